"""The last step of `dis` in one pass over the picture, compiled by numba: both guesses looked up, weighed and mixed.

OpenCV does the same in some twenty passes, each through memory. Importing this needs numba.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, Final

import numpy as np

from ..ops.jit import F, U, compiled, corners, inlined, shared
from ..ops.resize import neighbours

Array = np.ndarray[Any, Any]

FIELD: Final = 11  # numbers a pixel of the half-size field
EXTRA: Final = 8  # and of what joins where motion bends
HARDLY: Final = 1 / 16  # pixels off a straight line that do not show
LITTLE: Final = 0.03  # a weight that is not worth a look


@inlined
def pixel(picture: Any, height: int, width: int, y: float, x: float) -> Any:
    """The pixel between pixels at a place."""
    a, b, c, d, wa, wb, wc, wd = corners(height, width, y, x, 3, 1.0)
    return (
        wa * picture[a] + wb * picture[b] + wc * picture[c] + wd * picture[d],
        wa * picture[a + U(1)] + wb * picture[b + U(1)] + wc * picture[c + U(1)] + wd * picture[d + U(1)],
        wa * picture[a + U(2)] + wb * picture[b + U(2)] + wc * picture[c + U(2)] + wd * picture[d + U(2)],
    )


@inlined
def weighed(line: Any, a: Any, b: Any, s: float, t: float) -> Any:
    """Between two pixels of a row of the field: both motions (x, y), and what is shown of the first picture and the
    last, moved by the one, moved by the other, and not moved. Those add up to 1."""
    ahead = line[a] + (line[b] - line[a]) * s, line[a + U(1)] + (line[b + U(1)] - line[a + U(1)]) * s
    back = (
        line[a + U(2)] + (line[b + U(2)] - line[a + U(2)]) * s,
        line[a + U(3)] + (line[b + U(3)] - line[a + U(3)]) * s,
    )
    ahead_first = line[a + U(4)] + (line[b + U(4)] - line[a + U(4)]) * s
    ahead_last = line[a + U(5)] + (line[b + U(5)] - line[a + U(5)]) * s
    back_first = line[a + U(6)] + (line[b + U(6)] - line[a + U(6)]) * s
    back_last = line[a + U(7)] + (line[b + U(7)] - line[a + U(7)]) * s
    of_ahead = line[a + U(8)] + (line[b + U(8)] - line[a + U(8)]) * s
    of_back = line[a + U(9)] + (line[b + U(9)] - line[a + U(9)]) * s
    of_still = line[a + U(10)] + (line[b + U(10)] - line[a + U(10)]) * s
    total = of_ahead + of_back + of_still
    of_ahead /= total * (ahead_first + ahead_last)
    of_back /= total * (back_first + back_last)
    of_still /= total
    shown = of_ahead * ahead_first, of_ahead * ahead_last, of_back * back_first, of_back * back_last
    return ahead, back, *shown, of_still * (F(1) - t), of_still * t


@inlined
def guess(first: Any, last: Any, height: int, width: int, y: float, x: float, moved: Any, t: float) -> Any:
    """What a motion (x, y) shows at a place, of the first picture and of the last."""
    return (
        pixel(first, height, width, y - t * moved[1], x - t * moved[0]),
        pixel(last, height, width, y + (F(1) - t) * moved[1], x + (F(1) - t) * moved[0]),
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
            ahead, back, e, f, g, h, i, j = weighed(line, a, b, s, t)
            p, q = guess(first, last, height, width, F(y), F(x), ahead, t)
            v, w = guess(first, last, height, width, F(y), F(x), back, t)
            at = (U(y) * U(width) + U(x)) * U(3)
            out[at] = e * p[0] + f * q[0] + g * v[0] + h * w[0] + i * first[at] + j * last[at]
            at += U(1)
            out[at] = e * p[1] + f * q[1] + g * v[1] + h * w[1] + i * first[at] + j * last[at]
            at += U(1)
            out[at] = e * p[2] + f * q[2] + g * v[2] + h * w[2] + i * first[at] + j * last[at]


@compiled
def mix_bent_rows(
    first: Any,
    last: Any,
    size: Any,
    field: Any,
    extra: Any,
    narrow: int,
    down: Any,
    across: Any,
    t: float,
    out: Any,
    rows: Any,
) -> None:
    """The same, mixed with what is seen off the straight line, where a third guess joins. What is hardly off is looked
    up once."""
    height, width = size
    above, under, low = down
    lefts, rights, shares = across
    line, more = np.empty(narrow * FIELD, F), np.empty(narrow * EXTRA, F)
    t = F(t)
    for y in range(rows[0], rows[1]):
        one, other, part = above[y] * U(narrow * FIELD), under[y] * U(narrow * FIELD), low[y]
        for k in range(narrow * FIELD):
            line[U(k)] = field[one + U(k)] + (field[other + U(k)] - field[one + U(k)]) * part
        one, other = above[y] * U(narrow * EXTRA), under[y] * U(narrow * EXTRA)
        for k in range(narrow * EXTRA):
            more[U(k)] = extra[one + U(k)] + (extra[other + U(k)] - extra[one + U(k)]) * part
        for x in range(width):
            a, b, s = lefts[x] * U(FIELD), rights[x] * U(FIELD), shares[x]
            ahead, back, e, f, g, h, i, j = weighed(line, a, b, s, t)
            a, b = lefts[x] * U(EXTRA), rights[x] * U(EXTRA)
            off_x = more[a] + (more[b] - more[a]) * s
            off_y = more[a + U(1)] + (more[b + U(1)] - more[a + U(1)]) * s
            straight = more[a + U(2)] + (more[b + U(2)] - more[a + U(2)]) * s
            of_outer = more[a + U(7)] + (more[b + U(7)] - more[a + U(7)]) * s
            bent = (F(1) - straight) / (F(1) + of_outer)
            of_outer *= bent
            if of_outer < F(LITTLE):
                bent, of_outer = bent + of_outer, F(0)
            if off_x * off_x + off_y * off_y < F(HARDLY * HARDLY):
                straight, bent = F(0), bent + straight
            wide, tall = F(x), F(y)
            at = (U(y) * U(width) + U(x)) * U(3)
            rest = straight + bent
            i, j = i * rest, j * rest
            red = i * first[at] + j * last[at]
            green = i * first[at + U(1)] + j * last[at + U(1)]
            blue = i * first[at + U(2)] + j * last[at + U(2)]
            if straight > F(0):
                p, q = guess(first, last, height, width, tall, wide, ahead, t)
                v, w = guess(first, last, height, width, tall, wide, back, t)
                red += straight * (e * p[0] + f * q[0] + g * v[0] + h * w[0])
                green += straight * (e * p[1] + f * q[1] + g * v[1] + h * w[1])
                blue += straight * (e * p[2] + f * q[2] + g * v[2] + h * w[2])
            wide, tall = wide + off_x, tall + off_y
            p, q = guess(first, last, height, width, tall, wide, ahead, t)
            v, w = guess(first, last, height, width, tall, wide, back, t)
            red += bent * (e * p[0] + f * q[0] + g * v[0] + h * w[0])
            green += bent * (e * p[1] + f * q[1] + g * v[1] + h * w[1])
            blue += bent * (e * p[2] + f * q[2] + g * v[2] + h * w[2])
            if of_outer > F(0):
                outer = (
                    more[a + U(3)] + (more[b + U(3)] - more[a + U(3)]) * s,
                    more[a + U(4)] + (more[b + U(4)] - more[a + U(4)]) * s,
                )
                of_first = more[a + U(5)] + (more[b + U(5)] - more[a + U(5)]) * s
                of_last = more[a + U(6)] + (more[b + U(6)] - more[a + U(6)]) * s
                of_outer /= of_first + of_last
                e, f = of_outer * of_first, of_outer * of_last
                p, q = guess(first, last, height, width, tall, wide, outer, t)
                red += e * p[0] + f * q[0]
                green += e * p[1] + f * q[1]
                blue += e * p[2] + f * q[2]
            out[at], out[at + U(1)], out[at + U(2)] = red, green, blue


def mixed(first: Array, last: Array, field: Array, t: float, threads: int, extra: Array | None = None) -> Array:
    """The picture at `t`.

    Args:
        first, last: pictures `[H, W, 3]`, float32.
        field: `[h, w, 11]`, float32: the motion of one guess (x, y) and of the other, in pixels of the pictures, first
            -> last; how far each trusts the first picture and the last, twice; what the guesses and a third one, that
            nothing moves, weigh. It is enlarged bilinearly.
        t: in [0, 1].
        threads: among which rows are shared.
        extra: None, or `[h, w, 8]`, float32: how far off the guesses' straight lines things are (x, y), in pixels of
            the pictures; the weight, in [0, 1], of what is seen on those lines all the same; of one more guess, looked
            up off its line alone, the motion, its trust in both pictures, and its weight, where the others' sum is 1.

    Returns:
        `[H, W, 3]`.
    """
    (height, width), (low, narrow) = first.shape[:2], field.shape[:2]
    out = np.empty(first.shape, np.float32)  # as the passes write it, however `first` lies in memory
    flat = [np.ascontiguousarray(array).reshape(-1) for array in (first, last)]
    tables = narrow, between(height, low), between(width, narrow)
    rows = mix_rows if extra is None else mix_bent_rows
    fields = [array.reshape(-1) for array in (field, extra) if array is not None]
    shared(partial(rows, *flat, (height, width), *fields, *tables, t, out.reshape(-1)), height, threads)
    return out


@lru_cache(maxsize=8)
def between(size: int, small: int) -> tuple[Array, Array, Array]:
    """For each pixel of an axis of `size`: the pixels of a smaller one that it lies between, and how far between."""
    return neighbours(np.arange(size), size / small, small)
