"""IFRNet: one encoder, one decoder that refines flow and feature together, coarse to fine.

Kong et al., "IFRNet: Intermediate Feature Refine Network for Efficient Frame Interpolation", CVPR 2022
(arXiv 2205.14620); sizes T and ELAN from Aikawa et al., ICIP 2024 (IFRVP). Written from facts, not from their code.

          level n           level l = n-1 .. 2            level 1
  frames  f0, f1, t   ft, warp(f0), warp(f1), F0, F1       same
             |                  |                            |
          decoder n  ------>  decoder l  ------ ... ----> decoder 1 -> F0, F1, mask, residual at full size
                     F, ft              F, ft
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import BadOption
from ..ops.blend import blended
from ..ops.resize import resize_flow
from ..ops.warp import backward_warp
from .blocks import AggregationBlock, SideBlock, ThirdsBlock, conv_prelu
from .entry import Entry, Weights, ours
from .model import Model, Prediction, Spec, Tensors

LARGEST_MULTIPLE = 512  # a canvas coarser than this would be mostly padding


@dataclass(frozen=True)
class Size:
    """What tells the networks of the family apart.

    Attributes:
        widths: channels of the encoder's levels, finest first; level l is at 1 / 2^l of the frame.
        block: the decoders' residual block.
        side: channels of the `SideBlock`'s second path.
        first_kernel: of the very first convolution.
    """

    widths: tuple[int, ...]
    block: Literal["side", "thirds", "aggregation"] = "side"
    side: int = 0
    first_kernel: int = 3

    def blocks(self, width: int) -> list[nn.Module]:
        """The residual blocks of a decoder of `width` channels."""
        if self.block == "side":
            return [SideBlock(width, self.side)]
        if self.block == "thirds":
            return [ThirdsBlock(width)]
        return [AggregationBlock(width), AggregationBlock(width)]


SIZES = {
    "s": Size((24, 36, 54, 72), side=24),
    "b": Size((32, 48, 72, 96), side=32),
    "l": Size((64, 96, 144, 192), side=64, first_kernel=7),
    "t": Size((12, 18, 27), block="thirds"),
    "elan": Size((12, 18, 27), block="aggregation"),
}


class Encoder(nn.Module):
    """A frame's feature pyramid."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        below = 3
        for level, width in enumerate(size.widths, 1):
            kernel = size.first_kernel if level == 1 else 3
            stage = nn.Sequential(conv_prelu(below, width, kernel, stride=2), conv_prelu(width, width))
            self.add_module(f"pyramid{level}", stage)
            below = width

    def forward(self, picture: Tensor) -> list[Tensor]:
        """`[B, 3, H, W]`, its mean near 0 -> `[B, c_l, H / 2^l, W / 2^l]`, finest first."""
        pyramid = []
        for stage in self.children():
            picture = stage(picture)
            pyramid.append(picture)
        return pyramid


class Decoder(nn.Module):
    """One level: what is known there -> what is known at twice the size."""

    def __init__(self, size: Size, channels_in: int, width: int, channels_out: int) -> None:
        super().__init__()
        self.convblock = nn.Sequential(
            conv_prelu(channels_in, width),
            *size.blocks(width),
            nn.ConvTranspose2d(width, channels_out, 4, 2, 1),
        )

    def forward(self, known: Tensor) -> Tensor:
        return self.convblock(known)


class IFRNet(Model):
    """The network of every size.

    Args:
        size: a row of `SIZES`.
        scale: motion is estimated on frames resized by this, and applied to the frames as they are.

    Attributes:
        levels: decoders; the coarsest has this number, and the one that shows the frame is 1.
        finest: decoders below this number rest, so that a network can learn from coarse to fine: its flow is then
            enlarged, and both frames count by how near they are in time.

    Raises:
        BadOption: a scale that is not above 0, or that asks for a canvas in steps of more than 512 pixels.
    """

    def __init__(self, size: Size, scale: float = 1.0) -> None:
        super().__init__()
        self.finest = 1
        self.scale = exact_scale(scale)
        self.spec = Spec(context=(0, 1), multiple=multiple_at(self.scale, 2 ** len(size.widths)))
        self.levels = len(size.widths)
        self.encoder = Encoder(size)
        below = (*size.widths, 0)
        for level in range(self.levels, 0, -1):
            width = size.widths[level - 1]
            channels_out = 4 + below[level - 2] if level > 1 else 8  # flow and feature, or flow, mask and residual
            if level == self.levels:
                decoder = Decoder(size, 2 * width + 1, 2 * width, channels_out)
            else:
                decoder = Decoder(size, 3 * width + 4, 3 * width, channels_out)
            self.add_module(f"decoder{level}", decoder)

    @torch.no_grad()
    def begin_kaiming(self) -> None:
        """As for every model; frames, whose values are around 0.25 from their mean, count four times, flows begin near
        0, mask and residual small."""
        super().begin_kaiming()
        for layer in self.encoder.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight *= 4
                break
        for level in range(1, self.levels + 1):
            decoder = self.get_submodule(f"decoder{level}")
            assert isinstance(decoder, Decoder)
            out = cast(nn.ConvTranspose2d, decoder.convblock[-1]).weight
            out[:, :4] *= 0.03
            if level == 1:
                out[:, 4:] *= 0.3

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """Both frames' pyramids, of the frames less the mean of the pair.

        Returns:
            frame 0 and frame 1, less their mean `[B, 1, 1, 1]`, which comes third; then the features of frame 0 and
            frame 1, level by level, finest first.
        """
        (first,), (second,) = context
        mean = (first.float().mean((1, 2, 3), keepdim=True) + second.float().mean((1, 2, 3), keepdim=True)) / 2
        if torch.jit.is_tracing():  # for engines that know no batches
            frames = first - mean, second - mean
            pyramids = [self.encoder(self._shrunk(frame)) for frame in frames]
            return (*frames, mean, *(feature for level in zip(*pyramids, strict=True) for feature in level))
        centred = torch.cat((first - mean, second - mean))
        pyramid = self.encoder(self._shrunk(centred))
        return (*centred.chunk(2), mean, *(feature for level in pyramid for feature in level.chunk(2)))

    def render(self, scene: Tensors, t: Tensor) -> Prediction:
        """What is seen at `t`.

        `aux` holds, beside `flow` and `mask`: `mean` `[B, 1, 1, 1]`, which was taken from the frames before encoding;
        `unclamped`, the frame before the last clamp; and, for every level l, `flow_l` `[B, 4, ...]`, the flow that
        decoder l found (l = 1 at the network's full size, l = 2 at half, in pixels of its own grid) and, below the
        coarsest, `feature_l`, the decoder's guess of what `encoder` gives at level l for the frame at `t`.
        """
        first, second, mean, *features = scene
        out, aux = self._decode(features, t)
        flow = self._grown_flow(aux["flow_1"])
        mask = self._grown(torch.sigmoid(out[:, :1]))
        residual = self._grown(out[:, 1:])
        unclamped = blended(first, second, flow, mask, mean=mean, residual=residual)
        aux |= {"flow": flow, "mask": mask, "mean": mean, "unclamped": unclamped}
        return Prediction(unclamped.clamp(0, 1), aux)

    def _decode(self, features: Sequence[Tensor], t: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Mask logit and residual `[B, 4, H, W]` in float32; every level's flow and feature by name."""
        aux: dict[str, Tensor] = {}
        first, second = features[-2:]
        batch, _, height, width = first.shape
        plane = t.to(first.dtype).view(-1, 1, 1, 1).expand(batch, 1, height, width)
        known = torch.cat((first, second, plane), 1)
        flow: Tensor | None = None
        for level in range(self.levels, 0, -1):
            out = self.get_submodule(f"decoder{level}")(known)
            change, rest = out[:, :4].float(), out[:, 4:]
            flow = change if flow is None else change + resize_flow(flow, 2)
            aux[f"flow_{level}"] = flow
            if level == 1:
                return rest.float(), aux
            aux[f"feature_{level - 1}"] = rest
            if level == self.finest:
                aux["flow_1"] = resize_flow(flow, 2 ** (level - 1))
                return self._by_time(aux["flow_1"], t), aux
            first, second = features[2 * level - 4 : 2 * level - 2]
            warped = backward_warp(first, flow[:, :2]), backward_warp(second, flow[:, 2:])
            known = torch.cat((rest, *warped, flow.to(rest.dtype)), 1)
        raise AssertionError("a network has at least one level")

    def _by_time(self, like: Tensor, t: Tensor) -> Tensor:
        """What a decoder 1 would give that knew the time and nothing else."""
        nearness = torch.logit(1 - t.to(like), eps=1e-3).view(-1, 1, 1, 1)
        return torch.cat((nearness.expand_as(like[:, :1]), torch.zeros_like(like[:, :3])), 1)

    # Sizes are whole numbers by `spec.multiple`; a factor of 1 / 0.7 would lose a pixel to rounding.

    def _shrunk(self, picture: Tensor) -> Tensor:
        return resized(picture, self.scale)

    def _grown(self, picture: Tensor) -> Tensor:
        return resized(picture, 1 / self.scale)

    def _grown_flow(self, flow: Tensor) -> Tensor:
        return resized(flow, 1 / self.scale) * float(1 / self.scale) if self.scale != 1 else flow


def resized(picture: Tensor, factor: Fraction) -> Tensor:
    """`[B, C, H, W]` -> `[B, C, H * factor, W * factor]`, which must be whole; bilinear, half-pixel centres."""
    if factor == 1:
        return picture
    height, width = (side * factor.numerator // factor.denominator for side in picture.shape[-2:])
    return F.interpolate(picture, size=(height, width), mode="bilinear", align_corners=False)


def exact_scale(scale: float) -> Fraction:
    """The short fraction that a scale such as 0.8 or 0.3333 means.

    Raises:
        BadOption: not a number above 0.
    """
    if not 0 < scale < math.inf:
        raise BadOption(f"scale {scale}", "a number above 0 is needed", "--scale 0.5")
    return Fraction(scale).limit_denominator(100)


def multiple_at(scale: Fraction, multiple: int) -> int:
    """The least m such that every multiple of m, times `scale`, is a multiple of `multiple`.

    Raises:
        BadOption: m is larger than `LARGEST_MULTIPLE`.
    """
    found = scale.denominator * multiple // math.gcd(multiple, scale.numerator) if scale else LARGEST_MULTIPLE + 1
    if found > LARGEST_MULTIPLE:
        need = f"it takes frames in steps of {LARGEST_MULTIPLE} pixels at most"
        raise BadOption(f"scale {float(scale)}", need, "--scale 0.5 (or 0.25, 0.75, 0.8)")
    return found


def build(size: str, scale: float) -> IFRNet:
    """An untrained IFRNet of a size of `SIZES`."""
    return IFRNet(SIZES[size], scale)


PAPER = "Kong et al., IFRNet, CVPR 2022, arXiv 2205.14620"
SMALLER = "Aikawa et al., IFRVP, ICIP 2024, ieeexplore.ieee.org/document/10647865"


DROPBOX = "https://www.dropbox.com/sh/hrewbpedd2cgdp3/AADbEivu0-CKDQcHtKdMNJPJa"
MIRROR = "https://github.com/Fannovel16/ComfyUI-Frame-Interpolation/releases/download/models/"


def published(name: str, data: str, *, mirrored: bool = False) -> Weights:
    """A file of the authors' Dropbox folder, where files have no address of their own; some are mirrored."""
    file = f"{name}_{data}.pth"
    return Weights(
        tag=data.lower(),
        url=MIRROR + file if mirrored else "",
        licence="MIT",
        origin=f"{file} of Kong et al., {DROPBOX}" + (", mirrored by Fannovel16" if mirrored else ""),
    )


ROWS: tuple[Entry, ...] = (
    Entry(
        "ifrnet-s",
        partial(build, "s"),
        about="flow and feature refined together, small",
        paper=PAPER,
        code_licence="MIT",
        weights=(
            published("IFRNet_S", "Vimeo90K", mirrored=True),
            published("IFRNet_S", "GoPro"),
            ours("ifrnet-s", "7717d40e1ab42007796e6891d50537eb441325bbd3ee1e1ef62afd6920154658"),
        ),
        scalable=True,
    ),
    Entry(
        "ifrnet-b",
        partial(build, "b"),
        about="flow and feature refined together",
        paper=PAPER,
        code_licence="MIT",
        weights=(published("IFRNet", "Vimeo90K"), published("IFRNet", "GoPro")),
        scalable=True,
    ),
    Entry(
        "ifrnet-l",
        partial(build, "l"),
        about="flow and feature refined together, large",
        paper=PAPER,
        code_licence="MIT",
        weights=(published("IFRNet_L", "Vimeo90K", mirrored=True), published("IFRNet_L", "GoPro")),
        scalable=True,
    ),
    Entry(
        "ifrnet-t",
        partial(build, "t"),
        about="IFRNet in three levels, a tenth of the size",
        paper=SMALLER,
        code_licence="MIT",
        scalable=True,
    ),
    Entry(
        "ifrnet-elan",
        partial(build, "elan"),
        about="IFRNet in three levels with layer aggregation, the fastest",
        paper=SMALLER,
        code_licence="MIT",
        scalable=True,
    ),
)
