"""IFRNet's 3x3 convolutions by Winograd, in the places of the fused engine's graphs.

    encoder    a level: halving convolution (OpenVINO), then one of its size (Winograd)
    decoder    convolution and `SideBlock` (Winograd), then the one that enlarges (OpenVINO)

Channels that a block convolves once more lie apart, so that nothing is written that is still read. Importing this needs
numba.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..models.blocks import SideBlock
from ..models.ifrnet import IFRNet
from ..models.model import Tensors
from . import winograd
from .corners import Corners
from .graph import Piece
from .openvino import Graph
from .rows import Rows
from .winograd import Place


class Halving(Piece):
    """The first convolution of a level of the encoder: `[2, H, W, C]` -> `[2, H / 2, W / 2, c]`."""

    def __init__(self, model: IFRNet, level: int) -> None:
        super().__init__(f"halving{level}")
        self.first = encoders(model, level)[0]

    def forward(self, pictures: Tensor) -> Tensor:
        return self.first(pictures.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Last(Piece):
    """The last convolution of a decoder alone."""

    def __init__(self, model: IFRNet, level: int) -> None:
        super().__init__(f"last{level}")
        self.last = Corners(cast(nn.ConvTranspose2d, convolutions(model, level)[-1]))

    def forward(self, known: Tensor) -> Tensor:
        return self.last(known.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def encoders(model: IFRNet, level: int) -> nn.Sequential:
    """The two convolutions of a level of the encoder."""
    return cast(nn.Sequential, model.encoder.get_submodule(f"pyramid{level}"))


def convolutions(model: IFRNet, level: int) -> nn.Sequential:
    """A decoder's layers."""
    return cast(nn.Sequential, model.get_submodule(f"decoder{level}").get_submodule("convblock"))


def picture(*sizes: int) -> tuple[winograd.Bits, Tensor]:
    """A new picture (N, H, W, C): its flat numbers, and itself in bf16."""
    flat = winograd.picture(*sizes)
    return flat, torch.from_numpy(flat).view(torch.bfloat16)[: math.prod(sizes)].view(sizes)


class Layers:
    """Convolutions on threads that share a picture's tiles.

    Args:
        in_rows: the threads. layers: convolutions with their PReLUs, and how many of their last channels go aside.
    """

    def __init__(self, in_rows: Rows, layers: Sequence[tuple[Sequence[nn.Module], int]]) -> None:
        self._in_rows, self._ready = in_rows, list[winograd.Layer]()
        for (convolution, slope), side in layers:
            assert isinstance(convolution, nn.Conv2d)
            assert isinstance(slope, nn.PReLU)
            self._ready.append(winograd.layer(convolution, slope.weight, side=side))

    def __call__(self, index: int, size: tuple[int, int], source: Place, target: Place, **more: Place) -> None:
        """A picture of `size` (H, W) from one place to another; `side` and `added` as `winograd.convolve` has them."""
        layer, none = self._ready[index], Place(target.numbers, 0, 0)
        places = source, target, more.get("side", none), more.get("added", none)

        def work(tiles: tuple[int, int]) -> None:
            winograd.convolve(size, layer, *places, winograd.room(layer), tiles)

        self._in_rows(winograd.tiles(size), work)


class HalvingPyramids:
    """The encoder, as `Pyramids`: every second convolution by Winograd, the others as graphs.

    Args:
        model: whose. centred: `[2, H, W, 3]` in bf16, what will be read. in_rows: threads. made: compiles a graph.
    """

    def __init__(self, model: IFRNet, centred: Tensor, in_rows: Rows, made: Callable[..., Graph]) -> None:
        levels = range(1, model.levels + 1)
        self._layers = Layers(in_rows, [(list(encoders(model, level)[1].children()), 0) for level in levels])
        self._graphs, self._halves, self.shapes = list[Graph](), list[tuple[Any, Tensor]](), list[tuple[int, ...]]()
        for level in levels:
            self._graphs.append(made(Halving(model, level), [centred]))
            self.shapes.append(self._graphs[-1].shapes[0])
            self._halves.append(picture(*self.shapes[-1]))
            centred = self._halves[-1][1]

    def __call__(self, given: Sequence[Tensor]) -> Tensors:
        """As a graph does; what it gives is the caller's."""
        (before,), found = given, list[Tensor]()
        for index, (graph, (flat, half)) in enumerate(zip(self._graphs, self._halves, strict=True)):
            graph.into([before], [half])
            _, height, width, count = half.shape
            told, before = picture(*half.shape)
            for start in (0, height * width * count):
                source, target = (Place(numbers[start:], count, 0) for numbers in (flat, told))
                self._layers(index, (height, width), source, target)
            found.append(before)
        return tuple(found)


class SideStack:
    """A decoder of one `SideBlock`: its 3x3 convolutions by Winograd, its last one as a graph.

    Args:
        model, level: whose decoder. size: (H, W) of what it reads. in_rows: threads. made: compiles a graph.
    """

    def __init__(
        self, model: IFRNet, level: int, size: tuple[int, int], in_rows: Rows, made: Callable[..., Graph]
    ) -> None:
        first, block = list(convolutions(model, level))[:2]
        assert isinstance(first, nn.Sequential)
        assert isinstance(block, SideBlock)
        self._size, (self._main, self._side) = size, block.parts
        stack = first, block.conv1, block.conv2, block.conv3, block.conv4
        layers = [*(list(one.children()) for one in stack), [block.conv5, block.prelu]]
        self._layers = Layers(in_rows, list(zip(layers, (0, self._side, 0, self._side, 0, 0), strict=True)))
        wide = self._wide = sum(block.parts)
        self._read, self.read = picture(1, *size, cast(nn.Conv2d, first[0]).in_channels)
        self._known, self._two, self._aside = (picture(1, *size, count)[0] for count in (wide, wide, self._side))
        self._one, self._block = picture(1, *size, wide)
        self._graph = made(Last(model, level), [self._block])
        self.shapes = self._graph.shapes

    def into(self, read: Sequence[Tensor], said: Sequence[Tensor]) -> None:
        """As a graph does: from `read`, which must be `self.read`, to `said`."""
        assert read[0] is self.read
        wide, size, aside = self._wide, self._size, Place(self._aside, self._side, 0)
        known, one, two = (Place(flat, wide, 0) for flat in (self._known, self._one, self._two))
        self._layers(0, size, Place(self._read, self.read.shape[-1], 0), known)
        self._layers(1, size, known, one, side=aside)
        self._layers(2, size, aside, Place(self._one, wide, self._main))
        self._layers(3, size, one, two, side=aside)
        self._layers(4, size, aside, Place(self._two, wide, self._main))
        self._layers(5, size, two, one, added=known)
        self._graph.into([self._block], said)
