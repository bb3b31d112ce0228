"""What every network is: a Spec that says when its frames are, and three verbs.

for each frame    embed     what one frame says alone
for each gap      relate    what the context says together
for each instant  render    what is seen at t
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn

SLOPE = 1 / 4  # with which a PReLU begins

Tensors = tuple[Tensor, ...]


@dataclass(frozen=True)
class Spec:
    """What a model needs and can do.

    Attributes:
        context: when the frames it looks at are, in gaps, ascending: 0 and 1 are the two neighbours of t in (0, 1);
            (-1, 0, 1, 2) sees one more on each side; (-1, 0) ends at 0 and predicts t >= 1.
        multiple: height and width must be multiples of this; the canvas pads, models never do.
        any_time: False if it knows only t = 1/2 (or, predicting, only t = 1).
        half: True if its convolutions may run in reduced precision (flows and grids never do).
        even: True if frames beyond the gap mislead where they are not as far apart in time as the gap's own two. It
            sees those two repeated then, as at a clip's ends.
        kept_behind: how many tensors of an embedding, from the first, `relate` still reads once the frame stands
            before 0; the window drops the others then (a long context's fine scales). None: all of them.
    """

    context: tuple[int, ...] = (0, 1)
    multiple: int = 1
    any_time: bool = True
    half: bool = True
    even: bool = False
    kept_behind: int | None = None

    @property
    def predicts(self) -> bool:
        """True if the model never looks past t = 0."""
        return self.context[-1] == 0


class Prediction(NamedTuple):
    """What `render` returns.

    Attributes:
        frame: `[B, 3, H, W]` in [0, 1].
        aux: flows, masks and pyramids by name, for losses and for looking, never for showing. Where a model has
            them, `flow` is `[B, 4, H, W]` pixels, target -> frame 0 (x, y), target -> frame 1 (x, y), and `mask` is
            `[B, 1, H, W]` in [0, 1], the weight of frame 0.
    """

    frame: Tensor
    aux: Mapping[str, Tensor]


class Later(Mapping[str, Tensor]):
    """An `aux` that is made when somebody looks at it: what shows a video does not.

    Args:
        make: what makes it; called once at most.
    """

    def __init__(self, make: Callable[[], Mapping[str, Tensor]]) -> None:
        self._make = cache(make)

    def __getitem__(self, name: str) -> Tensor:
        return self._make()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._make())

    def __len__(self) -> int:
        return len(self._make())


class Batch(NamedTuple):
    """What a model is trained on.

    Attributes:
        frames: `[B, N, 3, H, W]` in [0, 1], N = len(spec.context), in its order.
        t: `[B]`, where the target is, in gaps.
        target: `[B, 3, H, W]` in [0, 1].
        flow: None, or `[B, 4, H, W]` pixels, target -> frame 0 (x, y), target -> frame 1 (x, y).
    """

    frames: Tensor
    t: Tensor
    target: Tensor
    flow: Tensor | None = None


class Model(nn.Module):
    """A network. A family overrides the verbs it has something to say in; the defaults pass frames through.

    Attributes:
        spec: what it needs and can do.
        searches: True if it looks at pixels outside torch, so that it runs on no tensors without memory (`meta`) and
            is part of no compiled graph.
        chooses: True if it computes only what `t` asks for; a compiled graph computes all of it, in several times the
            time.
        finest: of a network that refines level by level, the finest level that runs: 1 is all of it, more leaves the
            finer ones out while it learns. None: it has no such levels.
        levels: how many it has.
    """

    spec: Spec
    searches: bool = False
    chooses: bool = False
    finest: int | None = None
    levels: int = 0

    def embed(self, frame: Tensor) -> Tensors:
        """What one frame `[B, 3, H, W]` in [0, 1] says alone: computed once, kept while the frame is in the context."""
        return (frame,)

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """What the embeddings of the context, in `spec.context` order, say together; computed once a gap."""
        return tuple(chain.from_iterable(context))

    def render(self, scene: Tensors, t: Tensor) -> Prediction:
        """What is seen at `t` `[B]`, in gaps; computed once an instant."""
        raise NotImplementedError

    @torch.no_grad()
    def begin_kaiming(self) -> None:
        """Draw all weights anew so that signals keep their size from layer to layer (He et al., ICCV 2015, for a PReLU
        with slope 1/4), which networks without norms learn sooner from than from PyTorch's own; biases begin at 0."""
        for layer in self.modules():
            if not isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                continue
            inputs = layer.weight[0].numel() if isinstance(layer, nn.Conv2d) else layer.weight[:, 0].numel()
            if isinstance(layer, nn.ConvTranspose2d):  # of its taps only these fall on one pixel
                inputs //= math.prod(layer.stride)
            nn.init.normal_(layer.weight, 0, math.sqrt(2 / (1 + SLOPE**2) / inputs))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, frames: Tensor, t: Tensor) -> Prediction:
        """`frames` `[B, N, 3, H, W]` in [0, 1], `t` `[B]`: the three verbs in a row. Never overridden."""
        return self.render(self.relate([self.embed(frame) for frame in frames.unbind(1)]), t)
