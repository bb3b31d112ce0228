"""SSIM in one pass over two pictures, row by row, in float64; compiled by numba. Importing this needs numba."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.jit import U, compiled, inlined

D: Any = np.float64  # a variance is the small difference of two large numbers


@inlined
def add_row(one: Any, other: Any, share: float, lines: Any) -> None:
    """A row of each picture, and what comes of both, times `share`, on top of four lines."""
    for x in range(len(one)):
        p, q = D(one[x]), D(other[x])
        lines[0, x] += share * p
        lines[1, x] += share * q
        lines[2, x] += share * (p * p + q * q)
        lines[3, x] += share * (p * q)


@inlined
def widened(line: Any, half: int, into: Any) -> None:
    """A line with its ends repeated `half` times."""
    width = len(line)
    for x in range(half):
        into[x] = line[0]
        into[width + half + x] = line[width - 1]
    for x in range(width):
        into[half + x] = line[x]


@compiled
def ssim_sum(a: Any, b: Any, taps: Any, mixing: Any, constants: Any) -> float:
    """The sum of SSIM over all pixels and colours, edges repeated.

    Args:
        a, b: `[C, H, W]`.
        taps: of the window, a tuple of an odd length, symmetric.
        mixing: `[C, C]`, how a window runs across the colours; the identity where it does not.
        constants: c1 and c2, which keep the quotients finite.
    """
    colours, height, width = a.shape
    half = len(taps) // 2
    lines = np.empty((colours, 4, width), D)
    mixed, wide = np.empty((4, width), D), np.empty(width + 2 * half, D)
    seen = np.empty((4, width), D)
    c1, c2 = D(constants[0]), D(constants[1])
    total = 0.0
    for y in range(height):
        lines[:] = 0
        for c in range(colours):
            for k in range(len(taps)):
                from_row = min(max(y + k - half, 0), height - 1)
                add_row(a[c, from_row], b[c, from_row], D(taps[k]), lines[c])
        for c in range(colours):
            mixed[:] = 0
            for d in range(colours):
                share = mixing[c, d]
                if share:
                    for m in range(4):
                        for x in range(width):
                            mixed[m, x] += share * lines[d, m, x]
            for m in range(4):
                widened(mixed[m], half, wide)
                for x in range(width):
                    value = D(0)
                    for k in range(len(taps)):
                        value += D(taps[k]) * wide[U(x) + U(k)]
                    seen[m, x] = value
            row = D(0)
            for x in range(width):
                p, q = seen[0, x], seen[1, x]
                means, squares = p * q, p * p + q * q
                light = (D(2) * means + c1) / (squares + c1)
                row += light * (D(2) * (seen[3, x] - means) + c2) / (seen[2, x] - squares + c2)
            total += row
    return total
