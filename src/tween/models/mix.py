"""The last step of `dis` in one pass over the picture, compiled by numba: both guesses looked up, weighed and mixed.

OpenCV does the same in some twenty passes, each through memory. Importing this needs numba.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, Final

import numpy as np

from ..ops.jit import F, U, compiled, corners, enlarge_row, inlined, part_way, shared
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
    """Between two pixels of a row of the field: both motions (x, y); what is shown of the first picture and the last,
    moved by the one, moved by the other, and not moved. Those six add up to 1."""
    ahead = part_way(line, a, b, s), part_way(line, a + U(1), b + U(1), s)
    back = part_way(line, a + U(2), b + U(2), s), part_way(line, a + U(3), b + U(3), s)
    ahead_first, ahead_last = part_way(line, a + U(4), b + U(4), s), part_way(line, a + U(5), b + U(5), s)
    back_first, back_last = part_way(line, a + U(6), b + U(6), s), part_way(line, a + U(7), b + U(7), s)
    of_ahead, of_back = part_way(line, a + U(8), b + U(8), s), part_way(line, a + U(9), b + U(9), s)
    of_still = part_way(line, a + U(10), b + U(10), s)
    total = of_ahead + of_back + of_still
    of_ahead /= total * (ahead_first + ahead_last)
    of_back /= total * (back_first + back_last)
    of_still /= total
    shown = of_ahead * ahead_first, of_ahead * ahead_last, of_back * back_first, of_back * back_last
    return ahead, back, shown, (of_still * (F(1) - t), of_still * t)


@inlined
def guess(
    first: Any, last: Any, size: Any, y: float, x: float, moved: Any, of_first: float, of_last: float, t: float
) -> Any:
    """What a motion (x, y) shows at a place, of the first picture and of the last, by what they weigh."""
    rest = F(1) - t
    p = pixel(first, size[0], size[1], y - t * moved[1], x - t * moved[0])
    q = pixel(last, size[0], size[1], y + rest * moved[1], x + rest * moved[0])
    return of_first * p[0] + of_last * q[0], of_first * p[1] + of_last * q[1], of_first * p[2] + of_last * q[2]


@inlined
def guesses(first: Any, last: Any, size: Any, y: float, x: float, ahead: Any, back: Any, shown: Any, t: float) -> Any:
    """What both guesses show at a place."""
    one = guess(first, last, size, y, x, ahead, shown[0], shown[1], t)
    other = guess(first, last, size, y, x, back, shown[2], shown[3], t)
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


@compiled
def mix_rows(
    first: Any, last: Any, size: Any, field: Any, narrow: int, down: Any, across: Any, t: float, out: Any, rows: Any
) -> None:
    """Some rows of the picture. `down` and `across` are tables as `between` makes them."""
    above, under, low = down
    lefts, rights, shares = across
    line = np.empty(narrow * FIELD, F)
    t = F(t)
    for y in range(rows[0], rows[1]):
        begins = above[y] * U(narrow * FIELD), under[y] * U(narrow * FIELD)
        enlarge_row(field, begins[0], begins[1], low[y], narrow * FIELD, line)
        for x in range(size[1]):
            ahead, back, shown, (i, j) = weighed(line, lefts[x] * U(FIELD), rights[x] * U(FIELD), shares[x], t)
            moving = guesses(first, last, size, F(y), F(x), ahead, back, shown, t)
            at = (U(y) * U(size[1]) + U(x)) * U(3)
            out[at] = moving[0] + i * first[at] + j * last[at]
            out[at + U(1)] = moving[1] + i * first[at + U(1)] + j * last[at + U(1)]
            out[at + U(2)] = moving[2] + i * first[at + U(2)] + j * last[at + U(2)]


@inlined
def joined(more: Any, a: Any, b: Any, s: float) -> Any:
    """Between two pixels of a row of `extra`: how far off (x, y); what is shown on the straight lines, off them, and by
    the third guess, which add up to 1."""
    off = part_way(more, a, b, s), part_way(more, a + U(1), b + U(1), s)
    straight, of_outer = part_way(more, a + U(2), b + U(2), s), part_way(more, a + U(7), b + U(7), s)
    bent = (F(1) - straight) / (F(1) + of_outer)
    of_outer *= bent
    if of_outer < F(LITTLE):
        bent, of_outer = bent + of_outer, F(0)
    if off[0] * off[0] + off[1] * off[1] < F(HARDLY * HARDLY):
        straight, bent = F(0), bent + straight
    return off, straight, bent, of_outer


@inlined
def third(
    first: Any, last: Any, size: Any, y: float, x: float, more: Any, a: Any, b: Any, s: float, weight: float, t: float
) -> Any:
    """What the third guess shows at a place, of a weight."""
    moved = part_way(more, a + U(3), b + U(3), s), part_way(more, a + U(4), b + U(4), s)
    of_first, of_last = part_way(more, a + U(5), b + U(5), s), part_way(more, a + U(6), b + U(6), s)
    weight /= of_first + of_last
    return guess(first, last, size, y, x, moved, weight * of_first, weight * of_last, t)


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
    above, under, low = down
    lefts, rights, shares = across
    line, more = np.empty(narrow * FIELD, F), np.empty(narrow * EXTRA, F)
    t = F(t)
    for y in range(rows[0], rows[1]):
        enlarge_row(field, above[y] * U(narrow * FIELD), under[y] * U(narrow * FIELD), low[y], narrow * FIELD, line)
        enlarge_row(extra, above[y] * U(narrow * EXTRA), under[y] * U(narrow * EXTRA), low[y], narrow * EXTRA, more)
        for x in range(size[1]):
            s = shares[x]
            ahead, back, shown, (i, j) = weighed(line, lefts[x] * U(FIELD), rights[x] * U(FIELD), s, t)
            a, b = lefts[x] * U(EXTRA), rights[x] * U(EXTRA)
            off, straight, bent, of_outer = joined(more, a, b, s)
            at = (U(y) * U(size[1]) + U(x)) * U(3)
            rest = straight + bent
            i, j = i * rest, j * rest
            red = i * first[at] + j * last[at]
            green = i * first[at + U(1)] + j * last[at + U(1)]
            blue = i * first[at + U(2)] + j * last[at + U(2)]
            if straight > F(0):
                seen = guesses(first, last, size, F(y), F(x), ahead, back, shown, t)
                red, green, blue = red + straight * seen[0], green + straight * seen[1], blue + straight * seen[2]
            tall, wide = F(y) + off[1], F(x) + off[0]
            seen = guesses(first, last, size, tall, wide, ahead, back, shown, t)
            red, green, blue = red + bent * seen[0], green + bent * seen[1], blue + bent * seen[2]
            if of_outer > F(0):
                seen = third(first, last, size, tall, wide, more, a, b, s, of_outer, t)
                red, green, blue = red + seen[0], green + seen[1], blue + seen[2]
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
