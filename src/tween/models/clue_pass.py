"""What `clues` and what follows from them compute, in three passes over the half-size grid, compiled by numba.

    agreed      how far both bends agree, and their mean so far weighed; made smooth by OpenCV
    seen        the 28 clues of a pixel, added up over its cell: no picture of them is ever written
    turned      what the network told of cells, enlarged -> what the last pass over the picture needs of a pixel

torch does the same in some sixty passes, each through memory; it is what these are tested against. Importing this
needs numba.
"""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

import numpy as np

from ..ops.jit import F, U, compiled, corners, enlarge_row, inlined, part_way, shared
from .clues import CELL, CLUES, EVEN, FEW, MOST, SMOOTH, STEADY, TOLD, UNSURE
from .dis import Array, opencv, trusted
from .mix import EXTRA, between
from .sought import Sought

TINY: Final = 1e-12
LOGS: Final = (0, 1, 2, 3, 4, 16, 17, 18, 24)  # clues that are logarithms
OF_WEIGHTS: Final = (16, 17, 18)  # those of them that are a fifth of one


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


@inlined
def moves(fields: Any, smooth: Any, i: Any, off_share: float) -> Any:
    """Of a pixel: its motion; both turns and their smooth mean, each with how far to believe it; how far off its line
    it is where every gate lets a quarter through."""
    ahead, back, of_ahead, of_back, _, before, after, _, _ = fields
    two, three = i * U(2), i * U(3)
    wa, wb = of_ahead[i], of_back[i]
    mx = (wa * ahead[two] + wb * back[two]) / (wa + wb)
    my = (wa * ahead[two + U(1)] + wb * back[two + U(1)]) / (wa + wb)
    px, py, pw = before[three], before[three + U(1)], before[three + U(2)]
    nx, ny, nw = after[three], after[three + U(1)], after[three + U(2)]
    sx, sy, agreed = smooth[three], smooth[three + U(1)], smooth[three + U(2)]
    through = F(EVEN) / (pw + nw + F(UNSURE))
    hx = off_share * (through * (pw * px + nw * nx) + F(EVEN) * sx)
    hy = off_share * (through * (pw * py + nw * ny) + F(EVEN) * sy)
    return (mx, my), (px, py, pw), (nx, ny, nw), (sx, sy, agreed), (hx, hy)


@inlined
def add_looks(
    first: Any, last: Any, size: Any, y: float, x: float, motion: Any, off: Any, t: float, line: Any, at: Any
) -> None:
    """Add how far the pictures differ along a pixel's motion, off its line, and with nothing moved."""
    height, width = size
    rest_of_t = F(1) - t
    fy, fx, ly, lx = y - t * motion[1], x - t * motion[0], y + rest_of_t * motion[1], x + rest_of_t * motion[0]
    lie = differ(first, last, height, width, fy, fx, ly, lx)
    bend = differ(first, last, height, width, fy + off[1], fx + off[0], ly + off[1], lx + off[0])
    rest = F(0)
    i = (U(y) * U(width) + U(x)) * U(3)
    for k in range(3):
        rest += abs(first[i + U(k)] - last[i + U(k)])
    line[at + U(19)] += F(20) * min(lie, F(0.2))
    line[at + U(20)] += F(20) * min(bend, F(0.2))
    line[at + U(21)] += F(20) * min(max(lie - bend, F(-0.1)), F(0.1))
    line[at + U(22)] += F(20) * min(rest / F(3), F(0.2))


@inlined
def add_ways(sizes: Any, motion: Any, before: Any, after: Any, smooth: Any, line: Any, at: Any) -> None:
    """Add how long turns are beside the motion, which way one lies to the other, and how far to believe them."""
    (mx, my), (px, py, pw), (nx, ny, nw), (sx, sy, agreed) = motion, before, after, smooth
    size, one, other, both = sizes
    whole = F(1) / (size + F(STEADY))
    one_way, other_way, both_way = F(1) / (one + F(STEADY)), F(1) / (other + F(STEADY)), F(1) / (both + F(STEADY))
    line[at + U(5)] += min(one * whole, F(4))
    line[at + U(6)] += min(other * whole, F(4))
    line[at + U(7)] += (px * mx + py * my) * one_way * whole
    line[at + U(8)] += (nx * mx + ny * my) * other_way * whole
    line[at + U(9)] += (px * nx + py * ny) * one_way * other_way
    line[at + U(10)] += (sx * mx + sy * my) * both_way * whole
    line[at + U(11)] += pw
    line[at + U(12)] += nw
    line[at + U(13)] += agreed


@inlined
def see_pixel(
    first: Any, last: Any, size: Any, fields: Any, smooth: Any, y: int, x: int, t: float, line: Any, at: Any, logs: Any
) -> None:
    """Add a pixel's clues; of those that are logarithms it is multiplied into `logs`, as `LOGS` orders them."""
    ahead, back, of_ahead, of_back, of_still, _, _, outer, of_outer = fields
    i = U(y) * U(size[1]) + U(x)
    two = i * U(2)
    motion, before, after, common, off = moves(fields, smooth, i, t * (F(1) - t))
    (mx, my), (px, py, _), (nx, ny, _) = motion, before, after
    sizes = length(mx, my), length(px, py), length(nx, ny), length(common[0], common[1])
    for k in range(4):
        logs[U(k)] *= F(1) + sizes[k]
    logs[U(4)] *= F(1) + length(px - nx, py - ny)
    logs[U(5)] *= of_ahead[i] + F(FEW)
    logs[U(6)] *= of_back[i] + F(FEW)
    logs[U(7)] *= of_still[i] + F(FEW)
    logs[U(8)] *= F(1) + length(off[0], off[1])
    beside = F(1) / (F(1) + sizes[0])
    line[at + U(25)] += length(ahead[two] - back[two], ahead[two + U(1)] - back[two + U(1)]) * beside
    line[at + U(26)] += F(0.2) * math.log(of_outer[i] + F(FEW))  # a product of eight of these may be too much
    line[at + U(27)] += length(outer[two] - mx, outer[two + U(1)] - my) * beside
    add_looks(first, last, size, F(y), F(x), motion, off, t, line, at)
    add_ways(sizes, motion, before, after, common, line, at)


@compiled
def see_rows(
    first: Any, last: Any, size: Any, fields: Any, smooth: Any, known: Any, t: float, out: Any, part: Any
) -> None:
    """Some rows of cells. `fields`: motion ahead and back, what they and stillness weigh, both turns, the third motion
    and its weight; all flat. A sum of logarithms is the logarithm of a product, of the eight pixels of a cell's row."""
    height, width = size
    t, pixels = F(t), F(CELL * CELL)
    cells = width // CELL
    line, logs = np.empty(cells * CLUES, F), np.empty(len(LOGS), F)
    for row in range(part[0], part[1]):
        line[:] = 0
        for y in range(row * CELL, (row + 1) * CELL):
            for cell in range(cells):
                at = U(cell) * U(CLUES)
                logs[:] = 1
                for x in range(cell * CELL, (cell + 1) * CELL):
                    see_pixel(first, last, size, fields, smooth, y, x, t, line, at, logs)
                for k in range(len(LOGS)):
                    line[at + U(LOGS[k])] += (F(0.2) if LOGS[k] in OF_WEIGHTS else F(1)) * math.log(logs[U(k)])
        for cell in range(cells):
            at = U(cell) * U(CLUES)
            line[at + U(14)], line[at + U(15)] = known[0] * pixels, known[1] * pixels
            line[at + U(23)] = F(4) * t * (F(1) - t) * pixels
            for k in range(CLUES):
                out[(k * (height // CELL) + row) * cells + cell] = line[at + U(k)] / pixels


@compiled
def turn_rows(
    told: Any, tables: Any, turns: Any, outer: Any, step: Any, t: float, narrow: int, width: int, out: Any, part: Any
) -> None:
    """Some rows of what `mixed` takes as `extra`. `told` is `[h / 8, w / 8, 5]`, flat, `tables` as `between` makes
    them; `outer`: the third motion, its trust in both pictures, its weight; `step`: pixels of the picture in one."""
    (above, under, low), (lefts, rights, shares) = tables
    before, after, smooth = turns
    motion, of_first, of_last, weight = outer
    wide, tall = F(step[0]), F(step[1])
    off_share = F(t) * (F(1) - F(t))
    line = np.empty(narrow * TOLD, F)
    for y in range(part[0], part[1]):
        enlarge_row(told, above[y] * U(narrow * TOLD), under[y] * U(narrow * TOLD), low[y], narrow * TOLD, line)
        for x in range(width):
            a, b, s = lefts[x] * U(TOLD), rights[x] * U(TOLD), shares[x]
            by_before, by_after = part_way(line, a, b, s), part_way(line, a + U(1), b + U(1), s)
            by_both, straight = part_way(line, a + U(2), b + U(2), s), part_way(line, a + U(3), b + U(3), s)
            third = part_way(line, a + U(4), b + U(4), s)
            i = U(y) * U(width) + U(x)
            two, three, at = i * U(2), i * U(3), i * U(EXTRA)
            pw, nw = before[three + U(2)], after[three + U(2)]
            through = F(1) / (pw + nw + F(UNSURE))
            by_before *= pw * through
            by_after *= nw * through
            hx = by_before * before[three] + by_after * after[three] + by_both * smooth[three]
            hy = by_before * before[three + U(1)] + by_after * after[three + U(1)] + by_both * smooth[three + U(1)]
            out[at], out[at + U(1)] = wide * off_share * hx, tall * off_share * hy
            out[at + U(2)] = F(1) / (F(1) + math.exp(-straight))
            out[at + U(3)], out[at + U(4)] = wide * motion[two], tall * motion[two + U(1)]
            out[at + U(5)], out[at + U(6)] = of_first[i], of_last[i]
            out[at + U(7)] = math.exp(min(third, F(MOST))) * weight[i]


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
    sides = flat(before), flat(after)
    shared(partial(agree_rows, *sides, *(F(side) for side in known), common.reshape(-1)), before[..., 0].size, threads)
    total = cv2.boxFilter(common, -1, (SMOOTH, SMOOTH), normalize=False, borderType=cv2.BORDER_CONSTANT)
    height, width = before.shape[:2]
    smooth = total[..., :2] / (total[..., 2:] + 1e-3 * around_count(height, width))
    return Turns(before, after, np.dstack((smooth, common[..., 2])), (known[0], known[1]))


def cells(one: Sought, turns: Turns, threads: int) -> Array:
    """The mean of `clues` over cells, `[28, h / 8, w / 8]`, for sides that are multiples of 8."""
    height, width = one.halves[0].shape[:2]
    out = np.empty((CLUES, height // CELL, width // CELL), np.float32)
    fields = *(fit.motion for fit in one.fits), *one.weights, turns.before, turns.after, one.outer.motion, one.of_outer
    known = tuple(F(side) for side in turns.known)
    smooth, t = flat(turns.smooth), one.t
    pictures = (flat(half) for half in one.halves)
    work = partial(see_rows, *pictures, (height, width), tuple(map(flat, fields)), smooth, known, t, out.reshape(-1))
    shared(work, height // CELL, threads)
    return out


def bent_by(told: Array, one: Sought, turns: Turns, threads: int) -> Array:
    """What the network told of cells `[5, h / 8, w / 8]` -> what `mixed` takes as `extra`, `[h, w, 8]`."""
    height, width = turns.smooth.shape[:2]
    low, narrow = told.shape[1:]
    out = np.empty((height, width, EXTRA), np.float32)
    sides = tuple(map(flat, (turns.before, turns.after, turns.smooth)))
    outer = tuple(map(flat, (one.outer.motion, *trusted(one.outer, one.t), one.of_outer)))
    tables = between(height, low), between(width, narrow)
    cell = flat(told.transpose(1, 2, 0))
    shared(
        partial(turn_rows, cell, tables, sides, outer, one.step, one.t, narrow, width, out.reshape(-1)), height, threads
    )
    return out


def flat(array: Array) -> Array:
    """In one row, as it lies in memory."""
    return np.ascontiguousarray(array).reshape(-1)


@lru_cache(maxsize=4)
def around_count(height: int, width: int) -> Array:
    """How many pixels of the picture lie around each, `[h, w, 1]`; for reading only."""
    sides = [
        np.minimum(np.arange(n) + SMOOTH // 2, n - 1) - np.maximum(np.arange(n) - SMOOTH // 2, 0) + 1
        for n in (height, width)
    ]
    return (sides[0][:, None, None] * sides[1][None, :, None]).astype(np.float32)
