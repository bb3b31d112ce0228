"""What `clues` and what follows from them compute, in three passes over the half-size grid, compiled by numba.

    agreed      how far both bends agree, and their mean so far weighed; made smooth by OpenCV
    seen        the 26 clues of a pixel, added up over its cell: no picture of them is ever written
    turned      what the network told of cells, enlarged -> what the last pass over the picture needs of a pixel

torch does the same in some sixty passes, each through memory; it is what these are tested against. Importing this
needs numba.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

import numpy as np

from ..ops.jit import F, U, compiled, corners, inlined, shared
from .clues import CELL, CLUES, EVEN, FEW, SMOOTH, STEADY, TOLD, UNSURE
from .dis import Array, Fit, opencv
from .mix import between

TINY: Final = 1e-12


@inlined
def length(x: float, y: float) -> float:
    return math.sqrt(x * x + y * y + F(TINY))


@compiled
def agree_rows(before: Any, after: Any, knows_before: float, knows_after: float, out: Any, part: Any) -> None:
    """Some pixels: the mean of both turns times how far they agree, and that. Turns and out are rows of three."""
    both = knows_before * knows_after
    sides = max(knows_before + knows_after, F(1))
    for i in range(part[0], part[1]):
        at = U(i) * U(3)
        bx, by, bw = before[at], before[at + U(1)], before[at + U(2)]
        ax, ay, aw = after[at], after[at + U(1)], after[at + U(2)]
        size = length(bx, by) + length(ax, ay)
        share = length(bx - ax, by - ay) / (F(0.5) * size + F(STEADY))
        agreed = both * bw * aw * math.exp(-share * share) + (F(1) - both) * F(0.5) * (bw + aw)
        out[at] = (bx + ax) / sides * agreed
        out[at + U(1)] = (by + ay) / sides * agreed
        out[at + U(2)] = agreed


@inlined
def differ(first: Any, last: Any, height: int, width: int, fy: float, fx: float, ly: float, lx: float) -> float:
    """How far two pictures differ, one at one place and one at another, the mean over colours."""
    a, b, c, d, wa, wb, wc, wd = corners(height, width, fy, fx, 3, 1.0)
    e, f, g, h, we, wf, wg, wh = corners(height, width, ly, lx, 3, 1.0)
    total = F(0)
    for k in range(3):
        one = wa * first[a + U(k)] + wb * first[b + U(k)] + wc * first[c + U(k)] + wd * first[d + U(k)]
        other = we * last[e + U(k)] + wf * last[f + U(k)] + wg * last[g + U(k)] + wh * last[h + U(k)]
        total += abs(one - other)
    return total / F(3)


@compiled
def see_rows(
    first: Any, last: Any, width: int, height: int, fields: Any, smooth: Any, known: Any, t: float, out: Any, part: Any
) -> None:
    """Some rows of cells. `fields`: motion ahead and back, what they and stillness weigh, both turns; all flat. A sum
    of logarithms is the logarithm of a product, of the eight pixels of a cell's row."""
    ahead, back, of_ahead, of_back, of_still, before, after = fields
    t, eps = F(t), F(STEADY)
    rest_of_t, off_share, pixels = F(1) - t, t * (F(1) - t), F(CELL * CELL)
    cells = width // CELL
    line = np.empty(cells * CLUES, F)
    for row in range(part[0], part[1]):
        line[:] = 0
        for y in range(row * CELL, (row + 1) * CELL):
            for cell in range(cells):
                at = U(cell) * U(CLUES)
                p0, p1, p2, p3, p4 = F(1), F(1), F(1), F(1), F(1)
                p16, p17, p18, p24 = F(1), F(1), F(1), F(1)
                for x in range(cell * CELL, (cell + 1) * CELL):
                    i = U(y) * U(width) + U(x)
                    two, three = i * U(2), i * U(3)
                    wa, wb, ws = of_ahead[i], of_back[i], of_still[i]
                    ax, ay, bx, by = ahead[two], ahead[two + U(1)], back[two], back[two + U(1)]
                    mx, my = (wa * ax + wb * bx) / (wa + wb), (wa * ay + wb * by) / (wa + wb)
                    px, py, pw = before[three], before[three + U(1)], before[three + U(2)]
                    nx, ny, nw = after[three], after[three + U(1)], after[three + U(2)]
                    sx, sy, agreed = smooth[three], smooth[three + U(1)], smooth[three + U(2)]
                    motion, one, other, both = length(mx, my), length(px, py), length(nx, ny), length(sx, sy)
                    through = F(EVEN) / (pw + nw + F(UNSURE))
                    hx = off_share * (through * (pw * px + nw * nx) + F(EVEN) * sx)
                    hy = off_share * (through * (pw * py + nw * ny) + F(EVEN) * sy)
                    tall, wide = F(y), F(x)
                    fx, fy = wide - t * mx, tall - t * my
                    lx, ly = wide + rest_of_t * mx, tall + rest_of_t * my
                    lie = differ(first, last, height, width, fy, fx, ly, lx)
                    bend = differ(first, last, height, width, fy + hy, fx + hx, ly + hy, lx + hx)
                    rest = F(0)
                    for k in range(3):
                        rest += abs(first[three + U(k)] - last[three + U(k)])
                    p0 *= F(1) + motion
                    p1 *= F(1) + one
                    p2 *= F(1) + other
                    p3 *= F(1) + both
                    p4 *= F(1) + length(px - nx, py - ny)
                    p16 *= wa + F(FEW)
                    p17 *= wb + F(FEW)
                    p18 *= ws + F(FEW)
                    p24 *= F(1) + length(hx, hy)
                    motion += eps
                    one_way, other_way, both_way = F(1) / (one + eps), F(1) / (other + eps), F(1) / (both + eps)
                    with_one, with_other = px * mx + py * my, nx * mx + ny * my
                    line[at + U(5)] += min(one / motion, F(4))
                    line[at + U(6)] += min(other / motion, F(4))
                    line[at + U(7)] += with_one * one_way / motion
                    line[at + U(8)] += with_other * other_way / motion
                    line[at + U(9)] += (px * nx + py * ny) * one_way * other_way
                    line[at + U(10)] += (sx * mx + sy * my) * both_way / motion
                    line[at + U(11)] += pw
                    line[at + U(12)] += nw
                    line[at + U(13)] += agreed
                    line[at + U(19)] += F(20) * min(lie, F(0.2))
                    line[at + U(20)] += F(20) * min(bend, F(0.2))
                    line[at + U(21)] += F(20) * min(max(lie - bend, F(-0.1)), F(0.1))
                    line[at + U(22)] += F(20) * min(rest / F(3), F(0.2))
                    line[at + U(25)] += length(ax - bx, ay - by) / (motion - eps + F(1))
                line[at] += math.log(p0)
                line[at + U(1)] += math.log(p1)
                line[at + U(2)] += math.log(p2)
                line[at + U(3)] += math.log(p3)
                line[at + U(4)] += math.log(p4)
                line[at + U(16)] += F(0.2) * math.log(p16)
                line[at + U(17)] += F(0.2) * math.log(p17)
                line[at + U(18)] += F(0.2) * math.log(p18)
                line[at + U(24)] += math.log(p24)
        for cell in range(cells):
            at = U(cell) * U(CLUES)
            line[at + U(14)] = known[0] * pixels
            line[at + U(15)] = known[1] * pixels
            line[at + U(23)] = F(4) * off_share * pixels
            for k in range(CLUES):
                out[(k * (height // CELL) + row) * cells + cell] = line[at + U(k)] / pixels


@compiled
def turn_rows(told: Any, tables: Any, turns: Any, t: float, narrow: int, width: int, out: Any, part: Any) -> None:
    """Some rows: how far off the straight line a pixel is (x, y), in its pixels, and what `dis` weighs there; three a
    pixel. `told` is `[h / 8, w / 8, 4]`, flat, `tables` as `between` makes them."""
    (above, under, low), (lefts, rights, shares) = tables
    before, after, smooth = turns
    off_share = F(t) * (F(1) - F(t))
    line = np.empty(narrow * TOLD, F)
    for y in range(part[0], part[1]):
        one, other, share = above[y] * U(narrow * TOLD), under[y] * U(narrow * TOLD), low[y]
        for k in range(narrow * TOLD):
            line[U(k)] = told[one + U(k)] + (told[other + U(k)] - told[one + U(k)]) * share
        for x in range(width):
            a, b, s = lefts[x] * U(TOLD), rights[x] * U(TOLD), shares[x]
            by_before = line[a] + (line[b] - line[a]) * s
            by_after = line[a + U(1)] + (line[b + U(1)] - line[a + U(1)]) * s
            by_both = line[a + U(2)] + (line[b + U(2)] - line[a + U(2)]) * s
            straight = line[a + U(3)] + (line[b + U(3)] - line[a + U(3)]) * s
            at = (U(y) * U(width) + U(x)) * U(3)
            pw, nw = before[at + U(2)], after[at + U(2)]
            through = F(1) / (pw + nw + F(UNSURE))
            by_before *= pw * through
            by_after *= nw * through
            hx = by_before * before[at] + by_after * after[at] + by_both * smooth[at]
            hy = by_before * before[at + U(1)] + by_after * after[at + U(1)] + by_both * smooth[at + U(1)]
            out[at], out[at + U(1)] = off_share * hx, off_share * hy
            out[at + U(2)] = F(1) / (F(1) + math.exp(-straight))


class Turns(NamedTuple):
    """How motion bends, on the grid of the luma: acceleration (x, y) and how far to believe it, three a pixel.

    Attributes:
        before, after: as the frame before says and the one after, `[h, w, 3]`.
        smooth: the mean of both over some pixels around, and how far they agree, `[h, w, 3]`.
        known: for both sides, 1 where that frame says anything.
    """

    before: Array
    after: Array
    smooth: Array
    known: tuple[float, float]


def turned(before: Array, after: Array, threads: int) -> Turns:
    """Both sides' turns and what they have in common."""
    cv2 = opencv()

    known = tuple(float(side[..., 2].max() > 0) for side in (before, after))
    common = np.empty_like(before)
    sides = [np.ascontiguousarray(side).reshape(-1) for side in (before, after)]
    shared(partial(agree_rows, *sides, *(F(side) for side in known), common.reshape(-1)), before[..., 0].size, threads)
    total = cv2.boxFilter(common, -1, (SMOOTH, SMOOTH), normalize=False, borderType=cv2.BORDER_CONSTANT)
    height, width = before.shape[:2]
    smooth = total[..., :2] / (total[..., 2:] + 1e-3 * around_count(height, width))
    return Turns(before, after, np.dstack((smooth, common[..., 2])), (known[0], known[1]))


def cells(
    halves: tuple[Array, Array], fits: Sequence[Fit], weights: Sequence[Array], turns: Turns, t: float, threads: int
) -> Array:
    """The mean of `clues` over cells, `[26, h / 8, w / 8]`.

    Args:
        halves: both frames at half their size, `[h, w, 3]` in [0, 1], float32; sides that are multiples of 8.
        fits, weights: as `judged` gives them.
        turns: as they are seen at `t`.
        t: in [0, 1].
        threads: among which rows are shared.
    """
    height, width = halves[0].shape[:2]
    out = np.empty((CLUES, height // CELL, width // CELL), np.float32)
    flat = [np.ascontiguousarray(array).reshape(-1) for array in halves]
    fields = tuple(
        np.ascontiguousarray(array).reshape(-1)
        for array in (*(fit.motion for fit in fits), *weights, turns.before, turns.after)
    )
    known = tuple(F(side) for side in turns.known)
    shared(
        partial(see_rows, *flat, width, height, fields, turns.smooth.reshape(-1), known, t, out.reshape(-1)),
        height // CELL,
        threads,
    )
    return out


def bent_by(told: Array, turns: Turns, t: float, threads: int) -> Array:
    """What the network told of cells `[4, h / 8, w / 8]` -> how far off the straight line each pixel is (x, y), in
    pixels of this grid, and what `dis` weighs there, `[h, w, 3]`."""
    height, width = turns.smooth.shape[:2]
    low, narrow = told.shape[1:]
    out = np.empty((height, width, 3), np.float32)
    flat = tuple(np.ascontiguousarray(array).reshape(-1) for array in (turns.before, turns.after, turns.smooth))
    tables = between(height, low), between(width, narrow)
    work = partial(turn_rows, np.ascontiguousarray(told.transpose(1, 2, 0)).reshape(-1), tables, flat, t, narrow, width)
    shared(partial(work, out.reshape(-1)), height, threads)
    return out


@lru_cache(maxsize=4)
def around_count(height: int, width: int) -> Array:
    """How many pixels of the picture lie around each, `[h, w, 1]`; for reading only."""
    sides = [
        np.minimum(np.arange(n) + SMOOTH // 2, n - 1) - np.maximum(np.arange(n) - SMOOTH // 2, 0) + 1
        for n in (height, width)
    ]
    return (sides[0][:, None, None] * sides[1][None, :, None]).astype(np.float32)
