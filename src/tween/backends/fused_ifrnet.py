"""IFRNet on the CPU with everything between its convolutions fused: OpenVINO computes, numba moves.

    frames --centre--> encoder (OpenVINO) --> decoder 4 (OpenVINO) --> refine --> decoder 3 --> ... --> show --> frame

What a convolution reads and writes are buffers that are made once, channels last, in bf16 where the engine is. Where
bf16 is multiplied in vectors, 3x3 convolutions are Winograd's (`winograd_ifrnet`), and OpenVINO has the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..models.blocks import SideBlock
from ..models.ifrnet import IFRNet
from ..models.model import Tensors
from .corners import Corners
from .graph import Piece
from .machine import multiplies_in_vectors
from .openvino import Graph
from .rows import Rows, RowsBackend, numbers

if TYPE_CHECKING:
    from .winograd_ifrnet import HalvingPyramids, SideStack


class Pyramids(Piece):
    """The encoder: two frames `[2, H, W, 3]`, less their mean -> their features, channels last, finest level first."""

    def __init__(self, model: IFRNet) -> None:
        super().__init__("pyramids")
        self.encoder = model.encoder

    def forward(self, frames: Tensor) -> Tensors:
        return tuple(level.permute(0, 2, 3, 1) for level in self.encoder(frames.permute(0, 3, 1, 2)))


class Refiner(Piece):
    """A decoder `[1, h, w, C]` -> what it says, by corners, `[1, h + 1, w + 1, 4 * out]`."""

    def __init__(self, model: IFRNet, level: int) -> None:
        super().__init__(f"refiner{level}")
        *layers, last = model.get_submodule(f"decoder{level}").get_submodule("convblock").children()
        assert isinstance(last, nn.ConvTranspose2d)
        self.layers, self.last = nn.Sequential(*layers), Corners(last)

    def forward(self, known: Tensor) -> Tensor:
        return self.last(self.layers(known.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)


class Step(NamedTuple):
    """One decoder, what it reads, what it says, and the flow that leads to it (none to the first)."""

    graph: Graph | SideStack
    read: Tensor
    said: Tensor
    flow: Tensor


class FusedIfrnet(RowsBackend):
    """IFRNet at scale 1, on the CPU; in bf16 what convolutions write, too, is that."""

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """Both frames in rows of lanes, their mean, and the features of both, level by level; a batch in front."""
        (first,), (second,) = context
        with self._turn:
            pairs = [self._related(both) for both in zip(first, second, strict=True)]
        return tuple(torch.stack(parts) if len(parts) > 1 else parts[0][None] for parts in zip(*pairs, strict=True))

    def render(self, scene: Tensors, t: Tensor) -> Tensor:
        """A scene and `t` `[B]` -> `[B, 3, *size]` in [0, 1]."""
        with self._turn:
            return torch.stack([self._rendered(parts, float(when)) for *parts, when in zip(*scene, t, strict=True)])

    def _warm_up(self) -> None:
        from . import ifrnet_passes

        assert isinstance(self._model, IFRNet)
        self._passes, self._turn, self._in_rows = ifrnet_passes, Lock(), Rows()
        model, (height, width) = self._model, self._size
        self._centred = torch.zeros(2, height, width, 3, dtype=self._number)
        self._encoder = self._pyramids()
        self._steps = [self._step(level) for level in range(model.levels, 0, -1)]
        blank = torch.zeros(1, 3, *self._size)
        self.render(self.relate([self.embed(blank)] * 2), torch.full((1,), 0.5))

    @cached_property
    def _by_winograd(self) -> bool:
        """True where products are what takes the time; the network's blocks must be wide."""
        narrow = not isinstance(self._network().get_submodule("decoder1.convblock.1"), SideBlock)
        if narrow or self._number != torch.bfloat16 or not multiplies_in_vectors():
            return False
        from .winograd import can_compile

        return can_compile()

    def _network(self) -> IFRNet:
        assert isinstance(self._model, IFRNet)
        return self._model

    def _pyramids(self) -> Graph | HalvingPyramids:
        """The encoder."""
        if not self._by_winograd:
            return self._made(Pyramids(self._network()), [self._centred])
        from .winograd_ifrnet import HalvingPyramids

        return HalvingPyramids(self._network(), self._centred, self._in_rows, self._made)

    def _step(self, level: int) -> Step:
        """A decoder between its buffers."""
        model = self._network()
        _, height, width, features = self._encoder.shapes[level - 1]
        coarsest = level == model.levels
        if self._by_winograd:
            from .winograd_ifrnet import SideStack

            graph: Graph | SideStack = (stack := SideStack(model, level, (height, width), self._in_rows, self._made))
            read = stack.read
        else:
            count = 2 * features + 1 if coarsest else 3 * features + 4
            read = torch.zeros(1, height, width, count, dtype=self._number)
            graph = self._made(Refiner(model, level), [read])
        said = torch.empty(graph.shapes[0], dtype=self._number)
        return Step(graph, read, said, torch.empty(0 if coarsest else height * width * 4))

    def _related(self, frames: Sequence[Tensor]) -> Tensors:
        """Two frames `[3, H, W]` -> what `relate` gives, without the batch."""
        mean = sum(float(frame.mean()) for frame in frames) / 2
        lanes = torch.empty(2, *self._size, 4)
        for frame, read, out in zip(frames, self._centred, lanes, strict=True):
            given = frame.detach().contiguous().numpy(), np.float32(mean), numbers(read), numbers(out)
            self._in_rows(self._size[0], partial(self._passes.centre, *given))
        return lanes, torch.tensor(mean), *self._encoder([self._centred])

    def _rendered(self, scene: Sequence[Tensor], t: float) -> Tensor:
        """What `_related` gives, and an instant -> `[3, H, W]`."""
        lanes, mean, *levels = scene
        begun = self._steps[0]
        torch.cat((*levels[-1], torch.full_like(levels[-1][0, ..., :1], t)), -1, out=begun.read[0])
        begun.graph.into([begun.read], [begun.said])
        before = begun
        for step, features in zip(self._steps[1:], reversed(levels[:-1]), strict=True):
            size, count = tuple(features.shape[1:3]), (0,) * features.shape[3]
            said, both = (numbers(before.said), before.flow.numpy()), (numbers(features[0]), numbers(features[1]))
            into = step.flow.numpy(), numbers(step.read)
            self._in_rows(size[0], partial(self._passes.refine, size, both, *said, count, *into))
            step.graph.into([step.read], [step.said])
            before = step
        out = torch.empty(3, *self._size)
        both = numbers(lanes[0]), numbers(lanes[1])
        said = numbers(before.said), before.flow.numpy()
        self._in_rows(self._size[0], partial(self._passes.show, self._size, both, np.float32(mean), *said, out.numpy()))
        return out
