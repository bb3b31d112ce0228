"""LIFT: many frames before and after the gap tell what moves, its two neighbours give the pixels.

    embed    every frame alone: features at 1/16 (for the context), 1/8, 1/4, 1/1 (for the flow, were it a neighbour)

    -6  -5  -4  -3  -2  -1   0 . 1   2   3   4   5   6   7      in gaps; . is t
     |   |   |   |   |   |   |   |   |   |   |   |   |   |
     +---+---+---+---+-- attention along time ---+---+---+
                             |   |
    relate     time code + 1/16 of all -> one context; time code + 1/8, 1/4, 1/1 of 0 and 1
    render     flow at 1/8, then 1/4 -> both neighbours warped and blended -> refined at full size

What stays where, and why. The encoder runs once a frame, whole, in `embed`: its fine scales are 80 % of its work, and
computing them a second time in `relate` would add a fifth to a third to the cost of a gap. But they are also large
(13 and, where there is a full-size scale, 43 floats a pixel; 1/16 is 1 float a pixel), and `relate` reads them of
frames 0 and 1 only. So the coarse scale comes first in an embedding and `Spec.kept_behind = 1` lets the window drop
the rest of a frame once it has gone behind 0; a frame ahead still waits to become a neighbour. The time code depends
on where a frame stands, so it is added in `relate`.

Published: github.com/JakubKubin/LIFT and github.com/Aniuula/LIFT (student work, no paper). What they got wrong and
what our own rows do instead is told in docs/models/lift.md.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ..errors import BadOption
from ..ops.resize import resize, resize_flow
from .entry import Entry, StateDict
from .lift_attention import TemporalAggregator, sinusoids
from .lift_layers import FINE, S4, S8, S16, ContextNet, Encoder, FlowEstimator, Refinement, Residual, fit, warp_both
from .model import Model, Prediction, Spec, Tensors


@dataclass(frozen=True)
class Layout:
    """One LIFT among all that can be built.

    Attributes:
        frames: how many it looks at: even, half on each side of the gap.
        layers: of the aggregator.
        window: frames that attend to each other jointly, all their tokens; None: each token, over all frames.
        shifted: every second layer's windows start half a window later, so that frames 0 and 1, which may stand on
            both sides of a border, see each other.
        body: channels of the encoder between full size and 1/4; None: the head that starts at half size, without
            full-size features.
        left_out: the index that the time code skips, as if a frame between 0 and 1 had been taken away; None: the code
            counts the frames as they stand.
        warp_features: the flow's second block sees the neighbours' features where the first puts them.
        warp_full: the refinement starts from the neighbours warped at full size, and sees both, instead of from a
            picture blown up from 1/4 and features that were never moved.
        timed_blend: the neighbours are weighed by 1 - t and t besides their visibility, so that t = 0 is frame 0.
        epsilon: keeps the blend finite where neither neighbour is visible.
        dropout: share of activations that the aggregator drops while training.
        any_time: it has been trained for every t, not for 1/2 alone.
    """

    frames: int = 14
    layers: int = 3
    window: int | None = None
    shifted: bool = True
    body: int | None = 128
    left_out: int | None = None
    warp_features: bool = True
    warp_full: bool = True
    timed_blend: bool = True
    epsilon: float = 1e-6
    dropout: float = 0.1
    any_time: bool = True

    def __post_init__(self) -> None:
        if self.frames < 2 or self.frames % 2:
            raise BadOption(
                f"LIFT with {self.frames} frames", "half of them stand on each side of the gap", "frames=14"
            )

    @property
    def context(self) -> tuple[int, ...]:
        """When the frames are, in gaps: 14 frames are -6 ... 7."""
        half = self.frames // 2
        return tuple(range(1 - half, half + 1))

    @property
    def places(self) -> list[int]:
        """Each frame's row of the time code."""
        skip = self.left_out
        return [index + (skip is not None and index >= skip) for index in range(self.frames)]


class Lift(Model):
    """A LIFT network; see the head of this file for its verbs and `Layout` for its variants."""

    def __init__(self, layout: Layout | None = None) -> None:
        super().__init__()
        self.layout = layout = layout or Layout()
        self.spec = Spec(context=layout.context, multiple=32, any_time=layout.any_time, kept_behind=1)
        self.left = layout.context.index(0)  # where frame 0 is among the context's frames; frame 1 comes next
        self.encoder = Encoder(layout.body)
        rows = layout.places[-1] + 1
        for scale, channels in self.scales().items():
            self.register_buffer(f"time_code_{scale}", sinusoids(rows, channels))
        self.temporal = TemporalAggregator(layout.layers, layout.window, layout.shifted, layout.dropout)
        self.flow = FlowEstimator(layout.warp_features)
        self.synthesis = ContextNet()
        self.refinement = Refinement(warped=layout.warp_full, reduce=layout.body is None)
        self._initialise()

    def scales(self) -> dict[str, int]:
        """The encoder's scales in the order of an embedding, and their channels."""
        fine = {"s8": S8, "s4": S4}
        return {"s16": S16, **fine} if self.layout.body is None else {"s16": S16, **fine, "s1": FINE}

    def embed(self, frame: Tensor) -> Tensors:
        """`[B, 3, H, W]` in [0, 1] -> features at 1/16, the frame itself, features at 1/8, 1/4 and, maybe, 1/1."""
        coarse, *fine = self.encoder(frame)
        return (coarse, frame, *fine)

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """Embeddings of all frames; of those but 0 and 1 only the first tensor is read.

        Returns:
            The context `[B, 256, H/16, W/16]`; each frame's weight in it `[B, N]`; frames 0 and 1; then both's
            features at 1/8, 1/4 and, where there are such, 1/1, with the time code.
        """
        coarse = torch.stack([embedding[0] for embedding in context], dim=1)
        summary, weight = self.temporal(coarse + self._code("s16", self.layout.places)[None])
        pair = list(context[self.left : self.left + 2])
        scene = [summary, weight, pair[0][1], pair[1][1]]
        places = self.layout.places[self.left : self.left + 2]
        for index, scale in enumerate(list(self.scales())[1:], start=2):
            code = self._code(scale, places)
            scene += [pair[0][index] + code[:1], pair[1][index] + code[1:]]
        return tuple(scene)

    def render(self, scene: Tensors, t: Tensor) -> Prediction:
        """What is seen at `t` `[B]`.

        Besides `flow` and `mask`, `aux` holds `flow_s8` and `flow_s4` (pixels of their own grids), `visible_s4`
        (logits `[B, 2, H/4, W/4]` of the two neighbours), `blended` and `coarse` (pictures `[B, 3, H/4, W/4]`) and
        `importance` (`[B, N]`, the frames' weights in the context).
        """
        context, importance, *pair = scene
        frames, s8, s4, last = pair[0:2], pair[2:4], pair[4:6], pair[-2:]
        flow, logits, flow_s8 = self.flow(context, s8, s4, t)
        weights = self._weights(logits, t)
        blended = blend(warp_both([fit(frame, s4[0]) for frame in frames], flow), weights)
        change = self.synthesis(blended, context)
        coarse = (blended + change).clamp(0, 1)
        flow_full, weights_full = resize_flow(flow, 4.0), resize(weights, 4.0)
        warped: list[Tensor] = []
        if self.layout.warp_full:
            warped = warp_both(frames, flow_full)
            draft = (blend(warped, weights_full) + resize(change, 4.0)).clamp(0, 1)
            last = warp_both(last, flow if self.refinement.reduce else flow_full)
        else:
            draft = resize(coarse, 4.0)
        frame = (draft + self.refinement(draft, last, warped)).clamp(0, 1)
        aux = {"flow": flow_full, "mask": weights_full[:, :1], "flow_s8": flow_s8, "flow_s4": flow}
        return Prediction(
            frame, aux | {"visible_s4": logits, "blended": blended, "coarse": coarse, "importance": importance}
        )

    def _weights(self, logits: Tensor, t: Tensor) -> Tensor:
        """How much of each neighbour is shown, `[B, 2, H/4, W/4]`; the two sum to (nearly) 1."""
        visible = torch.sigmoid(logits)
        if self.layout.timed_blend:
            visible = visible * torch.stack([1 - t, t], dim=1).to(visible.dtype)[:, :, None, None]
        return visible / (visible.sum(dim=1, keepdim=True) + self.layout.epsilon)

    def _code(self, scale: str, places: list[int]) -> Tensor:
        """Rows of the time code of a scale, `[len(places), channels, 1, 1]`."""
        table = cast(Tensor, getattr(self, f"time_code_{scale}"))
        return table[places][:, :, None, None]

    def _initialise(self) -> None:
        """Convolutions keep the scale of what they see; the last ones are small: it starts as its neighbours' blend.

        With torch's own start the features of a deep encoder shrink until only their biases are left.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.25)  # PReLU's slope
            if isinstance(module, Residual):
                module.conv2.weight.data.mul_(0.3)
        heads = [self.flow.block_s8.output_conv, self.flow.block_s4.output_conv]
        for head in [*heads, self.synthesis.conv2, self.refinement.conv_out]:
            nn.init.normal_(head.weight, std=0.0003)
            nn.init.zeros_(cast(Tensor, head.bias))


def blend(pair: list[Tensor], weights: Tensor) -> Tensor:
    """Two pictures `[B, 3, h, w]` by their weights `[B, 2, h, w]`."""
    return pair[0] * weights[:, :1] + pair[1] * weights[:, 1:]


RENAMED = (
    ("encoder.encoder.", "encoder."),
    ("encoder.pos_enc_", "time_code_"),
    ("transformer.", "temporal."),
    (".temporal_attn.", ".attention."),
    (".spatial_conv.", ".spatial."),
    ("frame_importance.", "importance."),
    ("flow_estimator.", "flow."),
    ("synthesis.context_net.", "synthesis."),
    ("reduce_feat_31.", "reduce_left."),
    ("reduce_feat_32.", "reduce_right."),
)


def rename(state: StateDict) -> dict[str, Tensor]:
    """Keys of either repository's files -> ours; ours stay."""
    return {renamed(key): value for key, value in state.items()}


def renamed(key: str) -> str:
    """One key of either repository -> ours."""
    for theirs, ours in RENAMED:
        key = key.replace(theirs, ours)
    return key.removesuffix(".pe") if key.startswith("time_code_") else key


LIFT_15 = Layout()
LIFT_64 = Layout(frames=64, layers=4, window=8, body=None)
KUBIN_15 = Layout(left_out=7, warp_full=False, timed_blend=False, any_time=False)
ANIUULA_15 = Layout(body=64, left_out=7, warp_features=False, warp_full=False, timed_blend=False, any_time=False)
ORIGINAL_64 = Layout(
    frames=64,
    layers=4,
    window=8,
    shifted=False,
    body=None,
    warp_features=False,
    warp_full=False,
    timed_blend=False,
    epsilon=1e-8,
    any_time=False,
)


def build(layout: Layout, scale: float = 1.0) -> Lift:  # noqa: ARG001  (no scale: the canvas' multiple rules it out)
    """An untrained network."""
    return Lift(layout)


def entry(name: str, layout: Layout, about: str, origin: str = "") -> Entry:
    """The zoo's row of a layout."""
    return Entry(
        name=name,
        build=functools.partial(build, layout),
        about=about,
        paper=f"no paper; {origin}" if origin else "no paper; after github.com/JakubKubin/LIFT, improved",
        code_licence="none stated" if origin else "MIT",
        rename=rename,
    )


ROWS: tuple[Entry, ...] = (
    entry("lift-15", LIFT_15, "LIFT over 14 frames: attention along time, both neighbours warped at full size, any t"),
    entry("lift-64", LIFT_64, "LIFT over 64 frames: shifted windows of 8, both neighbours warped at full size, any t"),
    entry(
        "lift-15-kubin",
        KUBIN_15,
        "LIFT over 14 frames as published by J. Kubin: midpoint, detail from features",
        "github.com/JakubKubin/LIFT at 2e7125e",
    ),
    entry(
        "lift-15-aniuula",
        ANIUULA_15,
        "LIFT over 14 frames as published by Aniuula: narrower encoder, midpoint",
        "github.com/Aniuula/LIFT at c847364",
    ),
    entry(
        "lift-64-original",
        ORIGINAL_64,
        "LIFT over 64 frames as published: fixed windows of 8, midpoint",
        "github.com/JakubKubin/LIFT at e3f5223",
    ),
)
