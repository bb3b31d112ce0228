"""The last step of `woven` in one pass over the picture, compiled by numba: six sources looked up, weighed, shaded.

torch does the same in some forty passes, each through memory; it is what this is tested against. Importing this needs
numba.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Final

import numpy as np

from ..ops.jit import F, U, compiled, enlarge_row, inlined, part_way, shared
from .dis import Array
from .mix import between, pixel

FIELD: Final = 14  # numbers a pixel of the field: four flows (x, y), six beliefs
BELIEFS: Final = 8  # where those begin
SOURCES: Final = 6
SIDE: Final = 4  # pixels a side that one pixel of shades has colours for


@inlined
def weighed(line: Any, a: Any, b: Any, s: float) -> Any:
    """Between two pixels of a row of the field: what the sources weigh; they add up to 1."""
    p = part_way(line, a + U(BELIEFS), b + U(BELIEFS), s)
    q = part_way(line, a + U(BELIEFS + 1), b + U(BELIEFS + 1), s)
    r = part_way(line, a + U(BELIEFS + 2), b + U(BELIEFS + 2), s)
    u = part_way(line, a + U(BELIEFS + 3), b + U(BELIEFS + 3), s)
    v = part_way(line, a + U(BELIEFS + 4), b + U(BELIEFS + 4), s)
    w = part_way(line, a + U(BELIEFS + 5), b + U(BELIEFS + 5), s)
    most = max(max(max(p, q), max(r, u)), max(v, w))
    p, q, r = math.exp(p - most), math.exp(q - most), math.exp(r - most)
    u, v, w = math.exp(u - most), math.exp(v - most), math.exp(w - most)
    share = F(1) / (p + q + r + u + v + w)
    return p * share, q * share, r * share, u * share, v * share, w * share


@inlined
def seen(picture: Any, size: Any, line: Any, a: Any, b: Any, s: float, y: float, x: float, weight: float) -> Any:
    """A picture's pixel under one flow, of a weight."""
    dx, dy = part_way(line, a, b, s), part_way(line, a + U(1), b + U(1), s)
    p = pixel(picture, size[0], size[1], y + dy, x + dx)
    return weight * p[0], weight * p[1], weight * p[2]


@compiled
def woven_rows(
    first: Any,
    last: Any,
    size: Any,
    field: Any,
    narrow: int,
    down: Any,
    across: Any,
    shades: Any,
    out: Any,
    rows: Any,
) -> None:
    """Some rows of the picture. `down` and `across` are tables as `between` makes them."""
    above, under, low = down
    lefts, rights, shares = across
    line = np.empty(narrow * FIELD, F)
    fours = U(size[1] // SIDE)
    for y in range(rows[0], rows[1]):
        enlarge_row(field, above[y] * U(narrow * FIELD), under[y] * U(narrow * FIELD), low[y], narrow * FIELD, line)
        row = U(y) // U(SIDE) * fours
        for x in range(size[1]):
            a, b, s = lefts[x] * U(FIELD), rights[x] * U(FIELD), shares[x]
            one, other, third, fourth, rest, last_rest = weighed(line, a, b, s)
            p = seen(first, size, line, a, b, s, F(y), F(x), one)
            q = seen(last, size, line, a + U(2), b + U(2), s, F(y), F(x), other)
            v = seen(first, size, line, a + U(4), b + U(4), s, F(y), F(x), third)
            w = seen(last, size, line, a + U(6), b + U(6), s, F(y), F(x), fourth)
            at = (U(y) * U(size[1]) + U(x)) * U(3)
            shade = (row + U(x) // U(SIDE)) * U(48) + U(y) % U(SIDE) * U(SIDE) + U(x) % U(SIDE)
            for k in range(3):
                still = rest * first[at + U(k)] + last_rest * last[at + U(k)]
                value = p[k] + q[k] + v[k] + w[k] + still + shades[shade + U(16 * k)]
                value = F(0) if value < F(0) else value  # not `max`: what is no number stays none
                out[at + U(k)] = F(1) if value > F(1) else value


def woven(first: Array, last: Array, field: Array, shades: Array, threads: int) -> Array:
    """The picture that is shown.

    Args:
        first, last: pictures `[H, W, 3]`, float32; sides are multiples of 4.
        field: `[h, w, 14]`, float32: flows in pixels of the pictures (x, y), target -> first and target -> last of one
            guess, then of the other; logarithms of what those four weigh, and both pictures at rest. It is enlarged
            bilinearly, and then they are weighed.
        shades: `[H / 4, W / 4, 48]`, float32: what is added to each of three colours of 4x4 pixels.
        threads: among which rows are shared.

    Returns:
        `[H, W, 3]` in [0, 1].
    """
    (height, width), (low, narrow) = first.shape[:2], field.shape[:2]
    out = np.empty(first.shape, np.float32)
    flat = [np.ascontiguousarray(array).reshape(-1) for array in (first, last)]
    tables = narrow, between(height, low), between(width, narrow)
    parts = [np.ascontiguousarray(array).reshape(-1) for array in (field, shades)]
    shared(partial(woven_rows, *flat, (height, width), parts[0], *tables, parts[1], out.reshape(-1)), height, threads)
    return out
