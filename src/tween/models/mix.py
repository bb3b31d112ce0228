"""The last step of `dis` in one pass over the picture, compiled by numba: both guesses looked up, weighed and mixed.

OpenCV does the same in some twenty passes, each through memory. Importing this needs numba.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, Final

import numpy as np

from ..ops.jit import F, U, compiled, corners, inlined
from ..ops.resize import neighbours

Array = np.ndarray[Any, Any]

FIELD: Final = 11  # numbers a pixel of the half-size field


@inlined
def pixel(picture: Any, height: int, width: int, y: float, x: float) -> Any:
    """The pixel between pixels at a place."""
    a, b, c, d, wa, wb, wc, wd = corners(height, width, y, x, 3, 1.0)
    return (
        wa * picture[a] + wb * picture[b] + wc * picture[c] + wd * picture[d],
        wa * picture[a + U(1)] + wb * picture[b + U(1)] + wc * picture[c + U(1)] + wd * picture[d + U(1)],
        wa * picture[a + U(2)] + wb * picture[b + U(2)] + wc * picture[c + U(2)] + wd * picture[d + U(2)],
    )


@compiled
def mix_rows(
    first: Any, last: Any, size: Any, field: Any, narrow: int, down: Any, across: Any, t: float, out: Any, rows: Any
) -> None:
    """Some rows of the picture. `down` and `across` are tables as `between` makes them."""
    height, width = size
    above, under, low = down
    lefts, rights, shares = across
    line = np.empty(narrow * FIELD, F)
    t = F(t)
    for y in range(rows[0], rows[1]):
        one, other, part = above[y] * U(narrow * FIELD), under[y] * U(narrow * FIELD), low[y]
        for k in range(narrow * FIELD):
            line[U(k)] = field[one + U(k)] + (field[other + U(k)] - field[one + U(k)]) * part
        for x in range(width):
            a, b, s = lefts[x] * U(FIELD), rights[x] * U(FIELD), shares[x]
            ahead_x = line[a] + (line[b] - line[a]) * s
            ahead_y = line[a + U(1)] + (line[b + U(1)] - line[a + U(1)]) * s
            back_x = line[a + U(2)] + (line[b + U(2)] - line[a + U(2)]) * s
            back_y = line[a + U(3)] + (line[b + U(3)] - line[a + U(3)]) * s
            ahead_first = line[a + U(4)] + (line[b + U(4)] - line[a + U(4)]) * s
            ahead_last = line[a + U(5)] + (line[b + U(5)] - line[a + U(5)]) * s
            back_first = line[a + U(6)] + (line[b + U(6)] - line[a + U(6)]) * s
            back_last = line[a + U(7)] + (line[b + U(7)] - line[a + U(7)]) * s
            ahead = line[a + U(8)] + (line[b + U(8)] - line[a + U(8)]) * s
            back = line[a + U(9)] + (line[b + U(9)] - line[a + U(9)]) * s
            still = line[a + U(10)] + (line[b + U(10)] - line[a + U(10)]) * s
            total = ahead + back + still
            ahead /= total * (ahead_first + ahead_last)
            back /= total * (back_first + back_last)
            still /= total
            wide, tall = F(x), F(y)
            p = pixel(first, height, width, tall - t * ahead_y, wide - t * ahead_x)
            q = pixel(last, height, width, tall + (F(1) - t) * ahead_y, wide + (F(1) - t) * ahead_x)
            v = pixel(first, height, width, tall - t * back_y, wide - t * back_x)
            w = pixel(last, height, width, tall + (F(1) - t) * back_y, wide + (F(1) - t) * back_x)
            at = (U(y) * U(width) + U(x)) * U(3)
            e, f, g, h = ahead * ahead_first, ahead * ahead_last, back * back_first, back * back_last
            i, j = still * (F(1) - t), still * t
            out[at] = e * p[0] + f * q[0] + g * v[0] + h * w[0] + i * first[at] + j * last[at]
            at += U(1)
            out[at] = e * p[1] + f * q[1] + g * v[1] + h * w[1] + i * first[at] + j * last[at]
            at += U(1)
            out[at] = e * p[2] + f * q[2] + g * v[2] + h * w[2] + i * first[at] + j * last[at]


def mixed(first: Array, last: Array, field: Array, t: float, threads: int) -> Array:
    """The picture at `t`.

    Args:
        first, last: pictures `[H, W, 3]`, float32.
        field: `[h, w, 11]`, float32: the motion of one guess (x, y) and of the other, in pixels of the pictures, first
            -> last; how far each trusts the first picture and the last, twice; what the guesses and a third one, that
            nothing moves, weigh. It is enlarged bilinearly.
        t: in [0, 1].
        threads: among which rows are shared.

    Returns:
        `[H, W, 3]`.
    """
    (height, width), (low, narrow) = first.shape[:2], field.shape[:2]
    out = np.empty(first.shape, np.float32)  # as the passes write it, however `first` lies in memory
    flat = [np.ascontiguousarray(array).reshape(-1) for array in (first, last)]
    tables = narrow, between(height, low), between(width, narrow)
    work = partial(mix_rows, *flat, (height, width), field.reshape(-1), *tables, t, out.reshape(-1))
    parts = min(height, 2 * max(1, threads))
    edges = [height * k // parts for k in range(parts + 1)]
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for _ in pool.map(work, itertools.pairwise(edges)):
            pass
    return out


@lru_cache(maxsize=8)
def between(size: int, small: int) -> tuple[Array, Array, Array]:
    """For each pixel of an axis of `size`: the pixels of a smaller one that it lies between, and how far between."""
    return neighbours(np.arange(size), size / small, small)
