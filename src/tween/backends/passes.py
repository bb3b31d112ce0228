"""What lies between the convolutions of a RIFE network, each in one pass over the picture, compiled by numba.

    pack     frame, its features     -> one row of channels a pixel
    look     both frames, the motion -> what a block reads: both frames warped and shrunk, motion, mask, carried, t
    show     both frames, the motion -> the frame

Pictures are `[H, W, C]`, flat, float32; what convolutions read and write is bf16 where they are. What a pixel needs
lies together, so that a warp reads four short rows where it would read a number in each of four places in every plane.
Nothing is warped that is not looked at: on a grid of 8 pixels a block sees the mean of the four pixels in the middle of
each cell, and only those are computed. These are the "points" below: two a cell and axis, or one on a grid of 1.

`lows` holds what the blocks said, as their last convolutions left it: by corners (`corners`). `levels` says where, a
row each: offset, height, width, pixels of the frame a cell, 1 where four neighbours share a place (a shuffle that is
still to come) and 0 where not, channels a cell. The channels are the flow (x, y to frame 0, x, y to frame 1, in cells),
the mask, what is carried.

A pass does the rows it is told to. What is as long as a tuple has a length that is known when it compiles; four results
are made before the first is stored, so that LLVM makes a vector of them. Importing this needs numba.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..ops.jit import F, U, compiled, corners, inlined
from .bits import load, pixel, row_of, store

ONE, TWO, THREE, FOUR = U(1), U(2), U(3), U(4)


class Known(NamedTuple):
    """The motion so far.

    Attributes:
        total: `[H, W, summed]`, flat: what the levels before `levels` say in sum, or empty where there is none.
        lows, levels: what is to be added, level by level.
        last: the row of `levels` of the block before; all -1 where there is none.
        places: `[2, levels, points]`, the cell to the left of each point of a row, and the cell to the right.
        shares: `[levels, points]`, how far it is to the right.
        middles, parts: the same of the middles of the cells, in `last`: `[2, cells]`, `[cells]`.
    """

    total: Any
    lows: Any
    levels: Any
    last: Any
    places: Any
    shares: Any
    middles: Any
    parts: Any


class Channels(NamedTuple):
    """Tuples that are as long as something has channels.

    Attributes:
        frames: a frame and its features.
        lanes: a row of the pictures: a multiple of 4, at most one more than `frames`.
        summed: what is added up over the blocks: flow, or flow and mask.
        carried: what is taken from the block before as it is: what is left of a row of `lows`.
    """

    frames: tuple[int, ...]
    lanes: tuple[int, ...]
    summed: tuple[int, ...]
    carried: tuple[int, ...]


@compiled
def pack(frame: Any, features: Any, channels: Any, out: Any, rows: Any) -> None:
    """Planes `[3, H, W]` and features by corners -> rows of `lanes`, zeros behind.

    Args:
        channels: a `Channels`.
        rows: (first, behind the last), those to do.
    """
    width, lanes, count = frame.shape[2], len(channels.lanes), len(channels.frames) - 3
    for y in range(rows[0], rows[1]):
        start, step = row_of(width, y, count)
        for x in range(width):
            at, there = (U(y) * U(width) + U(x)) * U(lanes), pixel(start, step, count, x)
            for k in range(3):
                out[at + U(k)] = frame[k, y, x]
            for k in range(count):
                out[at + U(3 + k)] = load(features, there + U(k))
            for k in range(3 + count, lanes):
                out[at + U(k)] = 0


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
    lot = size << (TWO * shuffled)  # of numbers in a place
    above, step = row_of(width >> shuffled, v0 >> shuffled, lot)
    below, _ = row_of(width >> shuffled, v1 >> shuffled, lot)
    start = U(level[0]) + U(first)
    above += start + ((v0 & shuffled) << ONE) * size
    below += start + ((v1 & shuffled) << ONE) * size
    for u in range(width):
        at = pixel(U(0), step, lot, U(u) >> shuffled) + (U(u) & shuffled) * size
        to = U(u) * U(len(channels))
        for k in range(len(channels)):
            row[to + U(k)] = top * load(lows, above + at + U(k)) + low * load(lows, below + at + U(k))


@inlined
def plain_row(lows: Any, level: Any, y: int, first: int, channels: Any, out: Any, adds: bool) -> None:
    """The same of a level whose cells are the pixels: nothing lies between."""
    shuffled, size = U(level[4]), U(level[5])
    lot = size << (TWO * shuffled)
    start, step = row_of(U(level[2]) >> shuffled, U(y) >> shuffled, lot)
    start += U(level[0]) + U(first) + ((U(y) & shuffled) << ONE) * size
    for x in range(level[2]):
        at, to = pixel(start, step, lot, U(x) >> shuffled) + (U(x) & shuffled) * size, U(x) * U(len(channels))
        for k in range(len(channels)):
            out[to + U(k)] = load(lows, at + U(k)) + (out[to + U(k)] if adds else F(0))


@inlined
def between(row: Any, left: int, right: int, share: float, step: int, k: int) -> Any:
    """Channel `k` of a row of `step` channels a cell, between two cells."""
    a, b = row[left * U(step) + U(k)], row[right * U(step) + U(k)]
    return a + (b - a) * share


@inlined
def motion_row(known: Any, width: int, y: int, keeps: int, summed: Any, row: Any, here: Any) -> None:
    """The motion along a row of the frame, in pixels, at its points: what is summed up already and what is not.

    Args:
        keeps: 1 to write the sum back.
        row: room for a row of cells.
        here: `[points, summed]`, flat; it is written.
    """
    start = U(y) * U(width) * U(len(summed))
    here[:] = 0
    if known.total.size:
        for k in range(len(here)):
            here[U(k)] = known.total[start + U(k)]
    for n in range(known.levels.shape[0]):
        if known.levels[n][3] == 1:
            plain_row(known.lows, known.levels[n], y, 0, summed, here, True)
            continue
        lerp_rows(known.lows, known.levels[n], y, 0, summed, known.levels[n][3], row)
        for x in range(known.places.shape[2]):
            left, right, share = known.places[0, n, x], known.places[1, n, x], known.shares[n, x]
            flow = (
                between(row, left, right, share, len(summed), 0),
                between(row, left, right, share, len(summed), 1),
                between(row, left, right, share, len(summed), 2),
                between(row, left, right, share, len(summed), 3),
            )
            to = U(x) * U(len(summed))
            put(here, to, flow, True)
            if len(summed) > 4:  # the mask, which is no length
                here[to + FOUR] += between(row, left, right, share, len(summed), 4) / F(known.levels[n][3])
    if keeps:
        for k in range(len(here)):
            known.total[start + U(k)] = here[U(k)]


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


@inlined
def frames_row(
    size: Any,
    pictures: Any,
    y: int,
    grid: int,
    margin: int,
    points: int,
    adds: bool,
    channels: Any,
    here: Any,
    out: Any,
    start: int,
    length: int,
) -> None:
    """Both frames under the motion along one row of the frame, added up cell by cell, from `out[start]` on."""
    height, width = size
    share = F(1) / F(points * points)
    for j in range(width // grid):
        to = start + U(j) * length
        beside = to + U(len(channels.frames))
        for p in range(points):
            at = (U(j) * U(points) + U(p)) * U(len(channels.summed))
            x = F(j * grid + margin + p)
            one = corners(height, width, F(y) + here[at + ONE], x + here[at], len(channels.lanes), share)
            for k in range(0, len(channels.lanes), 4):
                put(out, to + U(k), four(pictures[0], one, U(k)), adds or p > 0)
            other = corners(height, width, F(y) + here[at + THREE], x + here[at + TWO], len(channels.lanes), share)
            for k in range(0, len(channels.lanes), 4):
                put(out, beside + U(k), four(pictures[1], other, U(k)), adds or p > 0)


@inlined
def sums_row(
    cells: int, grid: int, points: int, adds: bool, summed: Any, here: Any, out: Any, start: int, length: int
) -> None:
    """The mean motion of each cell, in cells, and the mean mask where it is summed; put beside what is there if it
    `adds`."""
    share = F(1) / F(points * points)
    for j in range(cells):
        for p in range(points):
            at, to = (U(j) * U(points) + U(p)) * U(len(summed)), start + U(j) * length
            unit = share / F(grid)
            flow = here[at] * unit, here[at + ONE] * unit, here[at + TWO] * unit, here[at + THREE] * unit
            put(out, to, flow, adds or p > 0)
            if len(summed) > 4:
                out[to + FOUR] = here[at + FOUR] * share + (out[to + FOUR] if adds or p > 0 else F(0))


@compiled
def look(
    size: Any, pictures: Any, known: Any, grid: int, keeps: int, t: float, channels: Any, out: Any, rows: Any
) -> None:
    """What a block reads, from both frames and the motion so far.

    A row of `out` is: frame 0 and its features, frame 1 and its features, flow in cells, mask, carried, t. Of the
    first block, which nothing is known before: frames and t.

    Args:
        size: (H, W) of the frame, pixels.
        pictures: both frames, rows of `lanes`; what is behind `frames` is 0.
        known: a `Known`.
        grid: pixels of the frame a cell.
        keeps: 1 to write the sum back; each pixel must be looked at, so grid is 1 or 2.
        t: the instant.
        channels: a `Channels`.
        rows: (first, behind the last), those of the grid to do.
    """
    width = size[1]
    frames, summed, carried = channels.frames, channels.summed, channels.carried
    cells, begun = width // grid, known.last[0] >= 0
    length = U(2 * len(frames) + 1 + (len(summed) + len(carried) if begun else 0))
    points = 1 if grid == 1 else 2
    margin = 0 if grid == 1 else grid // 2 - 1
    row, kept = np.empty(width * len(summed), F), np.empty(width * (len(carried) + 1), F)
    here = np.zeros(cells * points * len(summed), F)
    moved = U(2 * len(frames))
    line = np.empty(cells * int(length) + 1, F)  # one row of `out`; what pads the last frame's last pixel lies behind
    for i in range(rows[0], rows[1]):
        for point in range(points):
            y = i * grid + margin + point
            if begun:
                motion_row(known, width, y, keeps, summed, row, here)
            frames_row(size, pictures, y, grid, margin, points, point > 0, channels, here, line, U(0), length)
            if begun:  # behind the frames, whose padding lies on it
                sums_row(cells, grid, points, point > 0, summed, here, line, moved, length)
        if begun:
            lerp_rows(known.lows, known.last, (F(i) + F(0.5)) * F(grid) - F(0.5), len(summed), carried, 1.0, kept)
            after = moved + U(len(summed))
            for j in range(cells):
                left, right = known.middles[0, j], known.middles[1, j]
                for k in range(len(carried)):
                    line[after + U(j) * length + U(k)] = between(kept, left, right, known.parts[j], len(carried), k)
        for j in range(cells):
            line[U(j + 1) * length - ONE] = t
        start = U(i) * U(cells) * length
        for k in range(U(cells) * length):
            store(out, start + U(k), line[U(k)])


@compiled
def show(size: Any, pictures: Any, known: Any, channels: Any, out: Any, rows: Any) -> None:
    """The frame: both frames warped and mixed, planes `[3, H, W]` in [0, 1]. Arguments as in `look`, on a grid of 1."""
    height, width = size
    summed, lanes = channels.summed, len(channels.lanes)
    row, mask = np.empty(width * len(summed), F), np.zeros(width, F)
    here = np.zeros(width * len(summed), F)
    for y in range(rows[0], rows[1]):
        motion_row(known, width, y, 0, summed, row, here)
        if len(summed) == 4 and known.last[3] == 1:
            plain_row(known.lows, known.last, y, 4, (0,), mask, False)
        elif len(summed) == 4:
            lerp_rows(known.lows, known.last, F(y), 4, (0,), 1.0, row)
        for x in range(width if known.last[3] > 1 or len(summed) > 4 else 0):
            if len(summed) == 4:
                mask[x] = between(row, known.middles[0, x], known.middles[1, x], known.parts[x], 1, 0)
            else:
                mask[x] = here[U(x) * U(len(summed)) + FOUR]
        for x in range(width):
            mask[x] = F(1) / (F(1) + math.exp(-mask[x]))
        for x in range(width):
            at = U(x) * U(len(summed))
            found = corners(height, width, F(y) + here[at + ONE], F(x) + here[at], lanes, 1.0)
            one = four(pictures[0], found, U(0))
            found = corners(height, width, F(y) + here[at + THREE], F(x) + here[at + TWO], lanes, 1.0)
            other = four(pictures[1], found, U(0))
            for k in range(3):
                value = other[k] + (one[k] - other[k]) * mask[x]
                out[k, y, x] = min(max(value, F(0)), F(1))
