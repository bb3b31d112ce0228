"""3x3 convolutions in bf16 with 16 products where 36 are usual: Winograd's F(2x2, 3x3).

    4x4 pixels --transform--> 16 rows of channels --16 matrices--> 16 rows of sums --transform--> 2x2 pixels

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016. OpenVINO has it for no chip. It pays
where products are what takes the time: on chips with bf16 in AVX-512 (AMD's Zen 4 and later, Intel's Cooper Lake) and
without AMX. What is multiplied is rounded once more than in a plain convolution in bf16, which costs 5 dB of the
rounding's distance: of random numbers 47.4 dB remain, where the plain one keeps 52.6.

Pictures are flat, `[H, W, C]`, bf16 as its bits, with 16 numbers behind them that are read. Importing this needs numba.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from llvmlite.binding import get_host_cpu_features
from numba import config
from torch import Tensor, nn

from ..ops.jit import compiled, inlined
from .winograd_code import LANES, ROWS, WIDEST, multiply, transform_input, transform_output

Bits = npt.NDArray[np.uint16]
Numbers = npt.NDArray[np.floating[Any]]
HALF: Final = LANES // 2
TILES: Final = 4 * ROWS  # that are transformed together; 24 to 144 were as fast
G: Final = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])  # three weights -> four


class Layer(NamedTuple):
    """A convolution, made ready.

    Attributes:
        inputs: channels that are read.
        outputs: channels that are written, to the first and to the second picture.
        weights: bf16, aligned: by place in the square, by panel.
        panels: half registers of columns that are multiplied together.
        bias, slope: a float32 for each column, and more; slope of what is below 0.
    """

    inputs: int
    outputs: tuple[int, int]
    weights: Bits
    panels: npt.NDArray[np.int64]
    bias: npt.NDArray[np.float32]
    slope: npt.NDArray[np.float32]


class Place(NamedTuple):
    """Channels of a picture: its numbers, its channels, the first one of those that are meant."""

    numbers: Bits
    channels: int
    first: int


def can_compile() -> bool:
    """True if numba compiles for this very CPU: LLVM ends the process where it meets what it was told the CPU lacks."""
    return getattr(config, "CPU_NAME", None) is None and bool(get_host_cpu_features().get("avx512bf16", False))


def aligned(count: int, dtype: Any) -> Any:
    """So many zeros that begin where a register's store may."""
    spare = 64 // np.dtype(dtype).itemsize
    whole = np.zeros(count + spare, dtype)
    start = (-whole.ctypes.data % 64) // whole.itemsize
    return whole[start : start + count]


def up(count: int, lanes: int = LANES) -> int:
    """As many as fill registers, or halves of them."""
    return -(-count // lanes) * lanes


def picture(*sizes: int) -> Bits:
    """An empty one of (H, W, C), or several (N, H, W, C), one behind the other."""
    return np.zeros(math.prod(sizes) + LANES, np.uint16)


def bits(values: Any) -> Bits:
    """float32 -> bf16 as its bits."""
    return torch.from_numpy(np.ascontiguousarray(values, np.float32)).bfloat16().view(torch.uint16).numpy()


def layer(convolution: nn.Conv2d, slope: Tensor | None = None, *, side: int = 0) -> Layer:
    """A 3x3 convolution that keeps the size.

    Args:
        slope: of the PReLU behind it, one a channel; None: there is none.
        side: so many of its last channels go to a second picture.
    """
    weight, count = convolution.weight.detach().double().numpy(), convolution.out_channels
    groups = [range(count - side), range(count - side, count)] if side else [range(count)]
    columns = [k for group in groups for k in (*group, *[-1] * (up(len(group), HALF) - len(group)))]
    kept = [place for place, k in enumerate(columns) if k >= 0]
    wide = np.zeros((len(columns), convolution.in_channels + convolution.in_channels % 2, 3, 3))
    wide[kept, : convolution.in_channels] = weight
    square = np.einsum("ia,ncab,jb->ijnc", G, wide, G).reshape(16, len(columns), -1)
    panels = panels_of(len(columns) // HALF)
    edges = HALF * np.cumsum([0, *panels])
    parts = [packed(here[start:end]) for here in square for start, end in itertools.pairwise(edges)]
    weights = aligned(sum(map(len, parts)), np.uint16)
    weights[:] = bits(np.concatenate(parts))
    bias, below = (np.full(up(len(columns)) + LANES, value, np.float32) for value in (0, 1))
    if convolution.bias is not None:
        bias[kept] = convolution.bias.detach().numpy()
    if slope is not None:
        below[kept] = slope.detach().numpy()
    outputs = (count - side, side)
    return Layer(convolution.in_channels, outputs, weights, np.array(panels), bias, below)


def packed(columns: Numbers) -> Numbers:
    """`[n, K]` -> of each pair of K the pairs of all columns, whole registers of them."""
    count, depth = columns.shape
    whole = np.zeros((up(count), depth))
    whole[:count] = columns
    return whole.reshape(up(count), -1, 2).transpose(1, 0, 2).ravel()


def panels_of(halves: int) -> list[int]:
    """Half registers of columns in panels of at most four registers, all about as wide."""
    count = -(-halves // WIDEST)
    return [halves * (k + 1) // count - halves * k // count for k in range(count)]


def tiles(size: tuple[int, int]) -> int:
    """How many a picture of (H, W) has."""
    return -(-size[0] // 2) * -(-size[1] // 2)


def room(one: Layer) -> tuple[Bits, npt.NDArray[np.float32], Bits, Bits, Bits]:
    """What `convolve` works in: rows and sums of a run of tiles; 4x4 pixels that reach over the border, as they are
    read and as they are written; zeros."""
    high, wide = up(one.inputs), len(one.bias) - LANES
    rows, sums = aligned(16 * TILES * high, np.uint16), aligned(16 * TILES * wide + LANES, np.float32)
    return rows, sums, np.zeros(16 * high, np.uint16), np.zeros(16 * wide, np.uint16), np.zeros(wide + LANES, np.uint16)


@inlined
def gather(size: Any, numbers: Any, first: int, step: int, y: int, x: int, edge: Any, channels: int) -> None:
    """4x4 pixels of a picture from (y, x) on, 0 beyond its border, put side by side into `edge`."""
    wide = len(edge) // 16
    for k in range(4):
        for j in range(4):
            inside = 0 <= y + k < size[0] and 0 <= x + j < size[1]
            at = ((y + k) * size[1] + x + j) * step + first
            for c in range(channels):
                edge[(4 * k + j) * wide + c] = numbers[at + c] if inside else 0


@inlined
def scatter(size: Any, edge: Any, numbers: Any, first: int, step: int, y: int, x: int, channels: int) -> None:
    """Those of 2x2 pixels in `edge` that are inside into their picture."""
    wide = len(edge) // 16
    for k in range(min(2, size[0] - y)):
        for j in range(min(2, size[1] - x)):
            for c in range(channels):
                numbers[((y + k) * size[1] + x + j) * step + first + c] = edge[(4 * k + j) * wide + c]


@inlined
def put(size: Any, one: Any, part: int, to: Any, added: Any, nothing: int, sums: Any, edge: Any, run: Any) -> None:
    """What a run of tiles (the first one, how many) has summed up, a part of its channels, into a picture."""
    height, width = size
    across, wide, channels = (width + 1) // 2, len(edge) // 16, one.outputs[part]
    skipped = 4 * part * ((one.outputs[0] + 7) // 8 * 8)
    step, start = 4 * TILES * wide, sums.ctypes.data + skipped
    bias, slope = one.bias.ctypes.data + skipped, one.slope.ctypes.data + skipped
    pixel, more = 2 * to.channels, 2 * added.channels
    begin, edge_at = to.numbers.ctypes.data + 2 * to.first, edge.ctypes.data
    plus = added.numbers.ctypes.data + 2 * added.first if more else nothing
    y, x = 2 * (run[0] // across), 2 * (run[0] % across)
    for n in range(run[1]):
        at, here = y * width + x, start + n * 4 * wide
        if y + 2 <= height and x + 2 <= width:
            onto, besides, line, step_on = begin + at * pixel, plus + at * more, width * pixel, pixel
            transform_output(here, step, bias, slope, onto, line, step_on, besides, width * more, more, channels)
        else:  # what is added is read below and beside the picture too, where nothing is kept of it
            if more:
                gather(size, added.numbers, added.first, added.channels, y, x, edge, channels)
            besides, line, step_on = (edge_at, 8 * wide, 2 * wide) if more else (nothing, 0, 0)
            transform_output(here, step, bias, slope, edge_at, 8 * wide, 2 * wide, besides, line, step_on, channels)
            scatter(size, edge, to.numbers, to.first, to.channels, y, x, channels)
        x += 2
        if x >= width:
            x, y = 0, y + 2


@compiled
def convolve(size: Any, one: Any, source: Any, target: Any, side: Any, added: Any, room: Any, run: Any) -> None:
    """The tiles (2x2 pixels, row by row) from one to another: a `run`.

    Args:
        size: (H, W). one: the `Layer`.
        source, target, side: `Place`s: what is read, and where the outputs go; nothing that is written is read.
        added: the `Place` of what is added before the slope, or one without channels.
        room: what `room` gives, of this call alone.
    """
    height, width = size
    rows, sums, edge, edge_out, zeros = room
    across, high, wide = (width + 1) // 2, len(edge) // 16, len(edge_out) // 16
    left, out = rows.ctypes.data, sums.ctypes.data
    row, sum_row, step, sum_step = 2 * high, 4 * wide, 2 * TILES * high, 4 * TILES * wide
    pairs, pixel = (one.inputs + 1) // 2, 2 * source.channels
    edge_at, weights = edge.ctypes.data, one.weights.ctypes.data
    begin = source.numbers.ctypes.data + 2 * source.first
    for first in range(run[0], run[1], TILES):
        count = min(TILES, run[1] - first)
        y, x = 2 * (first // across), 2 * (first % across)
        for n in range(count):
            to = left + n * row
            if y > 0 and x > 0 and y + 3 <= height and x + 3 <= width:
                at = begin + ((y - 1) * width + x - 1) * pixel
                transform_input(at, width * pixel, pixel, to, step, high // 16)
            else:
                gather(size, source.numbers, source.first, source.channels, y - 1, x - 1, edge, one.inputs)
                transform_input(edge_at, 8 * high, 2 * high, to, step, high // 16)
            x += 2
            if x >= width:
                x, y = 0, y + 2
        columns = weights
        for place in range(16):
            here, there = left + place * step, out + place * sum_step
            for panel in one.panels:
                for n in range(0, count, ROWS):
                    multiply(panel, here + n * row, row, columns, there + n * sum_row, sum_row, pairs)
                columns += pairs * ((panel + 1) // 2) * 64
                there += panel * 32
        put(size, one, 0, target, added, zeros.ctypes.data, sums, edge_out, (first, count))
        if one.outputs[1]:
            put(size, one, 1, side, added, zeros.ctypes.data, sums, edge_out, (first, count))
