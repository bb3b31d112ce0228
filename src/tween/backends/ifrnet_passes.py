"""What lies between the convolutions of an IFRNet, each in one pass over the picture, compiled by numba.

    centre   frame, mean                    -> what the encoder reads, and rows of four lanes to sample
    refine   what a decoder said, features  -> what the next decoder reads
    show     what the last decoder said     -> the frame

Pictures are `[H, W, C]`, flat. What convolutions read and write is float32, or bf16 as its bits (uint16); flows are
float32. What a decoder said lies by corners: see `corners`. A pass does the rows it is told to.
Importing this needs numba.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ops.jit import F, U, compiled, corners, inlined
from .bits import load, pixel, row_of, store

ONE, TWO, THREE, FOUR = U(1), U(2), U(3), U(4)


@compiled
def centre(frame: Any, mean: float, read: Any, lanes: Any, rows: Any) -> None:
    """Planes `[3, H, W]` less a number -> rows of three channels, and rows of four lanes, the last of them 0."""
    width = frame.shape[2]
    for y in range(rows[0], rows[1]):
        for x in range(width):
            at = U(y) * U(width) + U(x)
            for k in range(3):
                value = frame[k, y, x] - F(mean)
                store(read, at * THREE + U(k), value)
                lanes[at * FOUR + U(k)] = value
            lanes[at * FOUR + THREE] = 0


@inlined
def flow_row(size: Any, said: Any, channels: int, before: Any, y: int, row: Any, flow: Any, start: int) -> None:
    """A row of flow, from `flow[start]` on: what the decoder says in its first four channels, and twice the flow
    before, from a grid half as fine, if there is one.

    Args:
        size: (H, W) of the flow.
        row: room for a row of the flow before.
    """
    height, width = U(size[0]), U(size[1])
    begin, step = row_of(size[1], y, channels)
    for x in range(size[1]):
        at = pixel(begin, step, channels, x)
        for k in range(4):
            flow[start + U(x) * FOUR + U(k)] = load(said, at + U(k))
    if not before.size:
        return
    half = width >> ONE
    # of two neighbours the nearer one counts three quarters: 0.25 and 0.75, twice
    near = U(y) >> ONE
    far = min(near + ONE, (height >> ONE) - ONE) if y & 1 else max(near, ONE) - ONE
    for k in range(half * FOUR):
        row[U(k)] = F(1.5) * before[near * half * FOUR + U(k)] + F(0.5) * before[far * half * FOUR + U(k)]
    for u in range(half):
        left, here, right = max(U(u), ONE) - ONE, U(u), min(U(u) + ONE, half - ONE)
        to = start + U(u) * U(8)
        for k in range(4):
            middle = F(0.75) * row[here * FOUR + U(k)]
            flow[to + U(k)] += middle + F(0.25) * row[left * FOUR + U(k)]
            flow[to + FOUR + U(k)] += middle + F(0.25) * row[right * FOUR + U(k)]


@inlined
def sample(picture: Any, places: Any, count: int, out: Any, to: int) -> None:
    """So many channels between four pixels."""
    a, b, c, d, top_left, top_right, low_left, low_right = places
    for k in range(count):
        top = top_left * load(picture, a + U(k)) + top_right * load(picture, b + U(k))
        low = low_left * load(picture, c + U(k)) + low_right * load(picture, d + U(k))
        store(out, to + U(k), top + low)


@compiled
def refine(size: Any, pictures: Any, said: Any, before: Any, features: Any, flow: Any, out: Any, rows: Any) -> None:
    """What a decoder reads: the guess of the one before, both frames' features under the flow, the flow.

    Args:
        size: (H, W) of this level.
        pictures: both frames' features.
        said: what the decoder before said of each pixel: 4 of flow, then the guess.
        before: the flow of the level before, or nothing.
        features: a tuple as long as a pixel has features.
        flow: of this level, which is written.
        out: rows of the guess, frame 0, frame 1, flow.
        rows: (first, behind the last), those to do.
    """
    height, width = size
    count = len(features)
    row = np.empty(2 * width, F)
    for y in range(rows[0], rows[1]):
        start = U(y) * U(width) * FOUR
        flow_row(size, said, 4 + count, before, y, row, flow, start)
        begin, step = row_of(width, y, 4 + count)
        for x in range(width):
            at, here = pixel(begin, step, 4 + count, x) + FOUR, start + U(x) * FOUR
            to = (U(y) * U(width) + U(x)) * U(3 * count + 4)
            for k in range(count):
                out[to + U(k)] = said[at + U(k)]
            one = corners(height, width, F(y) + flow[here + ONE], F(x) + flow[here], count, 1.0)
            sample(pictures[0], one, count, out, to + U(count))
            other = corners(height, width, F(y) + flow[here + THREE], F(x) + flow[here + TWO], count, 1.0)
            sample(pictures[1], other, count, out, to + U(2 * count))
            for k in range(4):
                store(out, to + U(3 * count + k), flow[here + U(k)])


@compiled
def show(size: Any, pictures: Any, mean: float, said: Any, before: Any, out: Any, rows: Any) -> None:
    """The frame: both frames warped, mixed and mended, planes `[3, H, W]` in [0, 1].

    Args:
        size: (H, W) of the frame.
        pictures: both frames, less `mean`, rows of four lanes.
        said: what the last decoder said of each pixel: 4 of flow, the mask, 3 of what is missing.
        before: the flow of the finest level.
    """
    height, width = size
    row, flow, mask = np.empty(2 * width, F), np.empty(4 * width, F), np.empty(width, F)
    for y in range(rows[0], rows[1]):
        flow_row(size, said, 8, before, y, row, flow, U(0))
        begin, step = row_of(width, y, 8)
        for x in range(width):
            mask[x] = load(said, pixel(begin, step, 8, x) + FOUR)
        for x in range(width):
            mask[x] = F(1) / (F(1) + math.exp(-mask[x]))
        for x in range(width):
            at, here = pixel(begin, step, 8, x), U(x) * FOUR
            one = corners(height, width, F(y) + flow[here + ONE], F(x) + flow[here], 4, 1.0)
            other = corners(height, width, F(y) + flow[here + THREE], F(x) + flow[here + TWO], 4, 1.0)
            for k in range(3):
                first, second = between(pictures[0], one, U(k)), between(pictures[1], other, U(k))
                value = second + (first - second) * mask[x] + F(mean) + load(said, at + U(5 + k))
                out[k, y, x] = min(max(value, F(0)), F(1))


@inlined
def between(picture: Any, places: Any, k: int) -> Any:
    """One lane between four pixels."""
    a, b, c, d, top_left, top_right, low_left, low_right = places
    top = top_left * picture[a + k] + top_right * picture[b + k]
    return top + low_left * picture[c + k] + low_right * picture[d + k]
