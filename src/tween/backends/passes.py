"""What lies between the convolutions of a RIFE network, each in one pass over the picture, compiled by numba.

    pack     frame, its features     -> one row of channels a pixel
    look     both frames, the motion -> what a block reads: both frames warped and shrunk, motion, mask, carried, t
    show     both frames, the motion -> the frame

Pictures are `[H, W, C]`, flat, float32: what a pixel needs lies together, so that a warp reads four short rows where
it would read a number in each of four places in every plane. Nothing is warped that is not looked at: on a grid of 8
pixels a block sees the mean of the four pixels in the middle of each cell, and only those are computed. These pixels
are the "points" below: two a cell and axis, or one on a grid of 1.

`lows` holds what the blocks said, as their last convolutions left it. `levels` says where, a row each: offset, height,
width, pixels of the frame a cell, 1 where four neighbours share a place (a shuffle that is still to come) and 0 where
not, channels a cell. The channels are the flow (x, y to frame 0, x, y to frame 1, in cells), the mask, what is carried.

A pass does the rows it is told to. What is as long as a tuple has a length that is known when it compiles; four results
are made before the first is stored, so that LLVM makes a vector of them. Importing this needs numba.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ops.jit import F, U, compiled, inlined

ONE, TWO, THREE, FOUR = U(1), U(2), U(3), U(4)


@compiled
def pack(frame: Any, features: Any, lanes: Any, out: Any, rows: Any) -> None:
    """Planes `[3, H, W]` and rows `[H, W, F]` -> rows of 3 + F channels, zeros behind.

    Args:
        lanes: a tuple as long as a row of `out`.
        rows: (first, behind the last), those to do.
    """
    width, count = features.shape[1], features.shape[2]
    for y in range(rows[0], rows[1]):
        for x in range(width):
            at = (y * width + x) * len(lanes)
            for k in range(3):
                out[at + k] = frame[k, y, x]
            for k in range(count):
                out[at + 3 + k] = features[y, x, k]
            for k in range(3 + count, len(lanes)):
                out[at + k] = 0


@inlined
def lerp_rows(lows: Any, level: Any, y: float, first: int, channels: Any, unit: float, row: Any) -> None:
    """A level between two of its rows, at the row of the frame in pixels: `len(channels)` numbers a cell, from `first`
    on, times `unit`."""
    height, width, shuffled, size = U(level[1]), U(level[2]), U(level[4]), U(level[5])
    v = max((F(y) + F(0.5)) / F(level[3]) - F(0.5), F(0))
    v0 = U(v)
    v1 = min(v0 + ONE, height - ONE)
    low = (v - F(v0)) * F(unit)
    top = F(unit) - low
    step = size << (TWO * shuffled)  # from one place to the next
    line = (width >> shuffled) * step
    start = U(level[0]) + U(first)
    above = start + (v0 >> shuffled) * line + ((v0 & shuffled) << ONE) * size
    below = start + (v1 >> shuffled) * line + ((v1 & shuffled) << ONE) * size
    for u in range(width):
        at = (U(u) >> shuffled) * step + (U(u) & shuffled) * size
        to = U(u) * U(len(channels))
        for k in range(len(channels)):
            row[to + U(k)] = top * lows[above + at + U(k)] + low * lows[below + at + U(k)]


@inlined
def motion_row(lows: Any, levels: Any, y: int, places: Any, shares: Any, summed: Any, row: Any, into: Any) -> None:
    """Add what some levels say of the motion along a row of the frame, in pixels, at its points.

    Args:
        places: `[levels, points]`, the cell to the left of each point, and behind them the cell to the right.
        shares: `[levels, points]`, how far it is to the right.
    """
    points = places.shape[2]
    for n in range(levels.shape[0]):
        lerp_rows(lows, levels[n], y, 0, summed, levels[n][3], row)
        for x in range(points):
            left, right, share = places[0, n, x] * U(len(summed)), places[1, n, x] * U(len(summed)), shares[n, x]
            to = U(x) * U(len(summed))
            a = row[left] + (row[right] - row[left]) * share
            b = row[left + ONE] + (row[right + ONE] - row[left + ONE]) * share
            c = row[left + TWO] + (row[right + TWO] - row[left + TWO]) * share
            d = row[left + THREE] + (row[right + THREE] - row[left + THREE]) * share
            into[to] += a
            into[to + ONE] += b
            into[to + TWO] += c
            into[to + THREE] += d
            if len(summed) > 4:  # the mask, which is no length
                mask = row[left + FOUR] + (row[right + FOUR] - row[left + FOUR]) * share
                into[to + FOUR] += mask / F(levels[n][3])


@inlined
def between(height: int, width: int, y: float, x: float, lanes: Any, unit: float) -> Any:
    """Where the four pixels around a place begin, and the share of each; beyond the border the border goes on."""
    # not `max`: a flow that is no number must end inside too
    v = min(y, F(height - 1)) if y > 0 else F(0)
    u = min(x, F(width - 1)) if x > 0 else F(0)
    v0, u0 = U(v), U(u)
    fv, fu = v - F(v0), u - F(u0)
    a = (v0 * U(width) + u0) * U(len(lanes))
    right = U(len(lanes)) if u0 + ONE < U(width) else U(0)
    below = U(width) * U(len(lanes)) if v0 + ONE < U(height) else U(0)
    low, top = fv * F(unit), (F(1) - fv) * F(unit)
    return a, a + right, a + below, a + below + right, top * (F(1) - fu), top * fu, low * (F(1) - fu), low * fu


@inlined
def four(picture: Any, places: Any, k: int) -> Any:
    """Four lanes of the pixel between four pixels."""
    a, b, c, d, top_left, top_right, low_left, low_right = places
    a, b, c, d = a + k, b + k, c + k, d + k
    return (
        top_left * picture[a] + top_right * picture[b] + low_left * picture[c] + low_right * picture[d],
        top_left * picture[a + ONE]
        + top_right * picture[b + ONE]
        + low_left * picture[c + ONE]
        + low_right * picture[d + ONE],
        top_left * picture[a + TWO]
        + top_right * picture[b + TWO]
        + low_left * picture[c + TWO]
        + low_right * picture[d + TWO],
        top_left * picture[a + THREE]
        + top_right * picture[b + THREE]
        + low_left * picture[c + THREE]
        + low_right * picture[d + THREE],
    )


@inlined
def put(out: Any, to: int, values: Any, adds: bool) -> None:
    """Store or add four numbers."""
    a, b, c, d = values
    if adds:
        a, b, c, d = a + out[to], b + out[to + ONE], c + out[to + TWO], d + out[to + THREE]
    out[to] = a
    out[to + ONE] = b
    out[to + TWO] = c
    out[to + THREE] = d


@compiled
def look(
    size: Any,
    pictures: Any,
    motion: Any,
    lows: Any,
    levels: Any,
    last: Any,
    tables: Any,
    grid: int,
    keep: int,
    t: float,
    frames: Any,
    lanes: Any,
    summed: Any,
    carried: Any,
    out: Any,
    rows: Any,
) -> None:
    """What a block reads, from both frames and the motion so far.

    A row of `out` is: frame 0 and its features, frame 1 and its features, flow in cells, mask, carried, t. Of the
    first block, which nothing is known before: frames and t.

    Args:
        size: (H, W) of the frame, pixels.
        pictures: both frames, rows of `lanes`; what is behind `frames` is 0.
        motion: `[H, W, summed]`, flat: what the levels before `levels` say in sum, or empty where there is none.
        lows, levels: what is to be added, level by level.
        last: the row of `levels` of the block before; all -1 where there is none.
        tables: `places` and `shares` of the points for `levels`, then those of the cells' middles for `last`.
        grid: pixels of the frame a cell.
        keep: 1 to write the sum back into `motion`; each pixel must be looked at, so grid is 1 or 2.
        t: the instant.
        frames: a tuple as long as a frame and its features.
        lanes: as long as a row of the pictures: a multiple of 4, at most one more than `frames`.
        summed: as long as what is added up over the blocks: flow, or flow and mask.
        carried: as long as what is taken from the block before as it is: what is left of a row of `lows`.
        rows: (first, behind the last), those of the grid to do.
    """
    height, width = size
    places, shares, middles, parts = tables
    cells = width // grid
    begun = last[0] >= 0
    length = U(2 * len(frames) + 1 + (len(summed) + len(carried) if begun else 0))
    points = 1 if grid == 1 else 2
    margin = 0 if grid == 1 else grid // 2 - 1
    share = F(1) / F(points * points)
    row, kept = np.empty(width * len(summed), F), np.empty(width * (len(carried) + 1), F)
    here = np.zeros(cells * points * len(summed), F)
    for i in range(rows[0], rows[1]):
        if begun:
            lerp_rows(lows, last, (F(i) + F(0.5)) * F(grid) - F(0.5), len(summed), carried, 1.0, kept)
        for point in range(points):
            y = i * grid + margin + point
            if begun:
                if motion.size:
                    at = U(y) * U(width) * U(len(summed))
                    for k in range(width * len(summed)):
                        here[U(k)] = motion[at + U(k)]
                else:
                    here[:] = 0
                motion_row(lows, levels, y, places, shares, summed, row, here)
                if keep:
                    at = U(y) * U(width) * U(len(summed))
                    for k in range(width * len(summed)):
                        motion[at + U(k)] = here[U(k)]
            for j in range(cells):
                to = (U(i) * U(cells) + U(j)) * length
                beside = to + U(len(frames))
                moved = beside + U(len(frames))
                for p in range(points):
                    at = (U(j) * U(points) + U(p)) * U(len(summed))
                    adds = point + p > 0
                    x = F(j * grid + margin + p)
                    found = between(height, width, F(y) + here[at + ONE], x + here[at], lanes, share)
                    for k in range(0, len(lanes), 4):
                        put(out, to + U(k), four(pictures[0], found, U(k)), adds)
                    found = between(height, width, F(y) + here[at + THREE], x + here[at + TWO], lanes, share)
                    for k in range(0, len(lanes), 4):
                        put(out, beside + U(k), four(pictures[1], found, U(k)), adds)
                # What follows the frames is stored behind them: their padding lies on it.
                if begun:
                    unit = share / F(grid)
                    at = U(j) * U(points) * U(len(summed))
                    flow = here[at] * unit, here[at + ONE] * unit, here[at + TWO] * unit, here[at + THREE] * unit
                    if points == 2:
                        at += U(len(summed))
                        flow = (
                            flow[0] + here[at] * unit,
                            flow[1] + here[at + ONE] * unit,
                            flow[2] + here[at + TWO] * unit,
                            flow[3] + here[at + THREE] * unit,
                        )
                    put(out, moved, flow, point > 0)
                    if len(summed) > 4:
                        at = U(j) * U(points) * U(len(summed)) + FOUR
                        mask = here[at] * share
                        if points == 2:
                            mask += here[at + U(len(summed))] * share
                        out[moved + FOUR] = mask + (out[moved + FOUR] if point > 0 else F(0))
                    after = moved + U(len(summed))
                    left, right = middles[0, j] * U(len(carried)), middles[1, j] * U(len(carried))
                    for k in range(len(carried)):
                        out[after + U(k)] = kept[left + U(k)] + (kept[right + U(k)] - kept[left + U(k)]) * parts[j]
                    out[after + U(len(carried))] = t
                else:
                    out[moved] = t


@compiled
def show(
    size: Any,
    pictures: Any,
    motion: Any,
    lows: Any,
    levels: Any,
    last: Any,
    tables: Any,
    lanes: Any,
    summed: Any,
    out: Any,
    rows: Any,
) -> None:
    """The frame: both frames warped and mixed, planes `[3, H, W]` in [0, 1]. Arguments as in `look`, on a grid of 1."""
    height, width = size
    places, shares, middles, parts = tables
    row, mask = np.empty(width * len(summed), F), np.zeros(width, F)
    here = np.zeros(width * len(summed), F)
    for y in range(rows[0], rows[1]):
        if motion.size:
            at = U(y) * U(width) * U(len(summed))
            for k in range(width * len(summed)):
                here[U(k)] = motion[at + U(k)]
        else:
            here[:] = 0
        motion_row(lows, levels, y, places, shares, summed, row, here)
        if len(summed) == 4:
            lerp_rows(lows, last, F(y), 4, (0,), 1.0, row)
            for x in range(width):
                mask[x] = row[middles[0, x]] + (row[middles[1, x]] - row[middles[0, x]]) * parts[x]
        else:
            for x in range(width):
                mask[x] = here[U(x) * U(len(summed)) + FOUR]
        for x in range(width):
            mask[x] = F(1) / (F(1) + math.exp(-mask[x]))
        for x in range(width):
            at = U(x) * U(len(summed))
            found = between(height, width, F(y) + here[at + ONE], F(x) + here[at], lanes, 1.0)
            one = four(pictures[0], found, U(0))
            found = between(height, width, F(y) + here[at + THREE], F(x) + here[at + TWO], lanes, 1.0)
            other = four(pictures[1], found, U(0))
            for k in range(3):
                value = other[k] + (one[k] - other[k]) * mask[x]
                out[k, y, x] = min(max(value, F(0)), F(1))
