"""RIFE on the CPU with everything between its convolutions fused: OpenVINO computes, numba moves.

    frame --head (OpenVINO)--+
                             pack -> rows of channels
    rows of both frames, t --> look --> block 0 (OpenVINO) --> look --> block 1 --> ... --> show --> frame

A graph that is one piece goes through memory some fifty times between two convolutions: warps by planes, resizing up to
full size and down again, joining, changes of layout. Here each gap is one pass (`passes`), and what a convolution reads
and writes are buffers that are made once.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..models.ifrnet import IFRNet
from ..models.model import Model, Tensors
from ..models.rife import Block, Rife
from ..ops.resize import neighbours
from .corners import Corners
from .fused_ifrnet import FusedIfrnet
from .graph import Piece
from .openvino import Graph
from .rows import Rows, RowsBackend, numbers

Numbers = npt.NDArray[np.float32]
NONE = np.full(6, -1, np.int64)  # where no block was before


def suits(model: Model) -> bool:
    """True for the networks that this is written for: RIFE that looks one way through time, on whole grids; IFRNet on
    frames as they are."""
    if isinstance(model, Rife):
        return not model.ensemble and all(scale == int(scale) for scale in model.scales)
    return type(model) is IFRNet and model.scale == 1


def fused(model: Model, size: tuple[int, int], *, precision: str = "fp32", label: str = "") -> RowsBackend:
    """The engine written for a network that `suits`; arguments as theirs."""
    engine = FusedIfrnet if isinstance(model, IFRNet) else FusedBackend
    return engine(model, size, precision=precision, label=label)


class Features(Piece):
    """The head as a graph: a frame `[1, 3, H, W]` -> its features, by corners, channels last."""

    def __init__(self, model: Rife) -> None:
        super().__init__("head")
        self.head = by_corners(copy.deepcopy(model.encode))

    def forward(self, frame: Tensor) -> Tensor:
        return self.head(frame).permute(0, 2, 3, 1)


class Stack(Piece):
    """A block's convolutions as a graph, its channels in the order in which `passes` has them.

    `[1, H / grid, W / grid, C]` -> what the last convolution gives, by corners and before a shuffle: channels last,
    those that nobody reads left out.

    Args:
        index: of the block.
        block: the block itself, which stays as it is.
        features: channels of the head.
        used: how many of the block's own channels are read.
    """

    ends_exact = True

    def __init__(self, index: int, block: Block, features: int, used: int) -> None:
        super().__init__(f"stack{index}")
        self.layers = nn.Sequential(*copy.deepcopy((block.conv0, block.convblock, block.lastconv)))
        first, last = self._first(self.layers), self._last(self.layers)
        order = reading_order(features, first.in_channels)
        first.weight = nn.Parameter(first.weight[:, order].contiguous(), requires_grad=False)
        shuffles = isinstance(self.layers[2], nn.Sequential)
        kept = [4 * channel + part for part in range(4) for channel in range(used)] if shuffles else list(range(used))
        last.weight = nn.Parameter(last.weight[:, kept].contiguous(), requires_grad=False)
        if last.bias is not None:
            last.bias = nn.Parameter(last.bias[kept].contiguous(), requires_grad=False)
        self.layers[2] = Corners(last, exact=True)

    def forward(self, rows: Tensor) -> Tensor:
        return self.layers(rows.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    @staticmethod
    def _first(layers: nn.Module) -> nn.Conv2d:
        return next(layer for layer in layers.modules() if isinstance(layer, nn.Conv2d))

    @staticmethod
    def _last(layers: nn.Module) -> nn.ConvTranspose2d:
        return next(layer for layer in layers.modules() if isinstance(layer, nn.ConvTranspose2d))


def by_corners(head: nn.Module) -> nn.Module:
    """A head, changed: its last convolution leaves corners."""
    name, last = list(head.named_children())[-1]
    assert isinstance(last, nn.ConvTranspose2d)
    setattr(head, name, Corners(last, exact=True))
    return head


def reading_order(features: int, count: int) -> list[int]:
    """Where the channels that `passes.look` writes stand in what a block was trained to read.

    Args:
        features: channels of the head.
        count: channels that the block reads.
    """
    both = 6 + 2 * features
    frames = [*range(3), *range(6, 6 + features), *range(3, 6), *range(6 + features, both)]
    return (
        [*frames, *range(count - 4, count), *range(both + 1, count - 4), both] if count > both + 1 else [*frames, both]
    )


class Gap:
    """What lies between two blocks, before the first or behind the last.

    Attributes:
        grid: pixels of the frame a cell, of the block to come; 1 for the frame itself.
        keeps: the sum is written back: each pixel is looked at.

    Args:
        width: of the frame, pixels.
        levels: of all blocks.
        fresh: those that are not in the sum yet.
    """

    def __init__(self, width: int, grid: int, levels: npt.NDArray[np.int64], fresh: slice, *, keeps: bool) -> None:
        self.grid, self.keeps = grid, keeps
        self._levels = levels[fresh].copy()
        self._last = levels[fresh.stop - 1].copy() if fresh.stop else NONE
        cells = np.arange(width // grid)
        points = cells if grid == 1 else (cells[:, None] * grid + (grid // 2 - 1, grid // 2)).ravel()
        self._places = np.zeros((2, len(self._levels), len(points)), np.uint64)
        self._shares = np.zeros((len(self._levels), len(points)), np.float32)
        for n, row in enumerate(self._levels):
            self._places[0, n], self._places[1, n], self._shares[n] = neighbours(points, row[3], row[2])
        # where there is no block before, `last` is -1 and nobody looks
        left, right, self._parts = neighbours((cells + 0.5) * grid - 0.5, self._last[3], max(1, self._last[2]))
        self._middles = np.stack([left, right])

    def known(self, passes: Any, total: Numbers, lows: Numbers) -> Any:
        """A `passes.Known` of what the blocks have said so far."""
        tables = self._places, self._shares, self._middles, self._parts
        return passes.Known(total, lows, self._levels, self._last, *tables)


class Step(NamedTuple):
    """One block: what it reads is made by the gap before it; both buffers are views."""

    graph: Graph
    gap: Gap
    read: Tensor
    said: Tensor


def level(size: tuple[int, int], cell: int, shuffled: bool, shape: Sequence[int]) -> tuple[int, int, int, int, int]:
    """A row of `levels` but for the offset: height, width, pixels a cell, 1 if shuffled, channels a cell."""
    return size[0] // cell, size[1] // cell, cell, int(shuffled), int(shape[-1]) // (16 if shuffled else 4)


class FusedBackend(RowsBackend):
    """RIFE 4.x that `suits`, on the CPU; a block's last convolution, which says motion, and its sums stay in f32."""

    def embed(self, frame: Tensor) -> Tensors:
        """`[B, 3, *size]` in [0, 1] -> `[B, H, W, lanes]`: a frame and its features, pixel by pixel."""
        return (torch.stack([self._embedded(one) for one in frame]),)

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """Both frames, one after the other."""
        return tuple(tensor for embedding in context for tensor in embedding)

    def render(self, scene: Tensors, t: Tensor) -> Tensor:
        """A scene and `t` `[B]` -> `[B, 3, *size]` in [0, 1]."""
        with self._turn:
            return torch.stack(
                [self._rendered(pictures, float(when)) for *pictures, when in zip(*scene, t, strict=True)]
            )

    def _warm_up(self) -> None:
        from . import passes

        model, version = self._network(), self._network().version
        self._passes, self._turn, self._in_rows = passes, Lock(), Rows()
        frames, summed = 3 + version.features, 4 if version.renews_mask else 5
        counts = frames, 4 * -(-frames // 4), summed, 5 + version.carried - summed
        assert counts[1] <= frames + 1  # else the passes would write behind a row
        self._channels = passes.Channels(*((0,) * count for count in counts))
        self._head = self._made(Features(model), [torch.zeros(1, 3, *self._size)]) if version.features else None
        self._steps, self._end = self._planned()
        blank = torch.zeros(1, 3, *self._size)
        self.render(self.relate([self.embed(blank)] * 2), torch.full((1,), 0.5))

    def _network(self) -> Rife:
        assert isinstance(self._model, Rife)
        return self._model

    def _planned(self) -> tuple[list[Step], Gap]:
        """Each block between its buffers, and what lies between the last one and the frame.

        One buffer is read by all blocks in turn; what they say lies in another, block behind block.
        """
        model, (height, width) = self._network(), self._size
        grids = [int(scale) for scale in model.scales]
        inputs = [(height // grid, width // grid, model.version.inputs(k)) for k, grid in enumerate(grids)]
        read = torch.empty(max(rows * cells * count for rows, cells, count in inputs), dtype=self._number)
        graphs = [self._stack(k, shape) for k, shape in enumerate(inputs)]
        levels, offset = np.zeros((len(grids), 6), np.int64), 0
        for index, (grid, graph) in enumerate(zip(grids, graphs, strict=True)):
            block = model.get_submodule(f"block{index}")
            assert isinstance(block, Block)
            levels[index] = offset, *level(self._size, grid * block.coarser, block.coarser == 1, graph.shapes[0])
            offset += int(np.prod(graph.shapes[0]))
        self._lows = torch.empty(offset)
        keeps = any(grid <= 2 for grid in grids[1:])
        self._motion = np.empty(height * width * len(self._channels.summed) if keeps else 0, np.float32)
        steps, summed = [], 0
        for index, (grid, shape, graph) in enumerate(zip(grids, inputs, graphs, strict=True)):
            gap = Gap(width, grid, levels, slice(summed, index), keeps=index > 0 and grid <= 2)
            if gap.keeps:
                summed = index
            start = int(levels[index, 0])
            said = self._lows[start : start + int(np.prod(graph.shapes[0]))].view(graph.shapes[0])
            steps.append(Step(graph, gap, read[: int(np.prod(shape))].view(1, *shape), said))
        return steps, Gap(width, 1, levels, slice(summed, len(grids)), keeps=False)

    def _stack(self, index: int, shape: tuple[int, int, int]) -> Graph:
        """A block's convolutions, compiled for rows of this (H, W, C)."""
        model = self._network()
        block = model.get_submodule(f"block{index}")
        assert isinstance(block, Block)
        used = 5 + (model.version.carried if index + 1 < len(model.scales) else 0)
        return self._made(
            Stack(index, block, model.version.features, used), [torch.zeros(1, *shape, dtype=self._number)]
        )

    def _embedded(self, frame: Tensor) -> Tensor:
        """`[3, H, W]` -> `[H, W, lanes]`."""
        height, width = self._size
        features = self._head([frame[None]])[0] if self._head else torch.empty(0)
        out = torch.empty(height, width, len(self._channels.lanes))
        given = frame.detach().contiguous().numpy(), numbers(features), self._channels, numbers(out)
        self._in_rows(height, partial(self._passes.pack, *given))
        return out

    def _rendered(self, pictures: Sequence[Tensor], t: float) -> Tensor:
        """Two rows of channels and an instant -> `[3, H, W]`."""
        size, lows = self._size, numbers(self._lows)
        both = tuple(numbers(picture.contiguous()) for picture in pictures)
        total = np.empty(0, np.float32)  # of what the blocks said, once one keeps it
        for step in self._steps:
            gap = step.gap
            if gap.keeps and not total.size:
                total = self._motion
                total[:] = 0
            known, into = gap.known(self._passes, total, lows), numbers(step.read)
            how = gap.grid, int(gap.keeps), np.float32(t), self._channels
            self._in_rows(size[0] // gap.grid, partial(self._passes.look, size, both, known, *how, into))
            step.graph.into([step.read], [step.said])
        known, out = self._end.known(self._passes, total, lows), torch.empty(3, *size)
        self._in_rows(size[0], partial(self._passes.show, size, both, known, self._channels, out.numpy()))
        return out
