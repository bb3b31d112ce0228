"""What lift.py sees in space: the encoder of one frame, the flow between two, and the picture made of both."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..ops.resize import resize, resize_flow
from ..ops.warp import backward_warp
from .blocks import conv_prelu

S4, S8, S16 = 128, 192, 256  # channels of the features at 1/4, 1/8 and 1/16 of the picture
FINE = 32  # channels of a neighbour's features in the refinement


class Residual(nn.Module):
    """Two 3 x 3 convolutions around which the input passes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv_prelu(channels, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.prelu = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.prelu(x + self.conv2(self.conv1(x)))


def stage(before: int, body: int, after: int) -> nn.Sequential:
    """Halve the picture, two residual blocks, widen."""
    return nn.Sequential(conv_prelu(before, body, stride=2), Residual(body), Residual(body), conv_prelu(body, after))


class Encoder(nn.Module):
    """What one frame looks like at 1/4, 1/8 and 1/16 of its size, and at full size where `body` is given.

    Args:
        body: channels between full size and 1/4 (LIFT-15); None for LIFT-64's head, which starts at half size.
    """

    def __init__(self, body: int | None) -> None:
        super().__init__()
        if body is None:
            self.conv_init = nn.Sequential(conv_prelu(3, 32, stride=2), conv_prelu(32, 64))
            self.conv_s4 = stage(64, 64, S4)
        else:
            self.conv_s1 = nn.Sequential(conv_prelu(3, FINE), conv_prelu(FINE, FINE))
            self.conv_s1_to_s4 = nn.Sequential(
                conv_prelu(FINE, 64, stride=2),
                conv_prelu(64, body, stride=2),
                Residual(body),
                Residual(body),
                conv_prelu(body, S4),
            )
        self.conv_s8 = stage(S4, S4, S8)
        self.conv_s16 = stage(S8, S8, S16)
        self.full_size = body is not None

    def forward(self, frame: Tensor) -> tuple[Tensor, ...]:
        """`[B, 3, H, W]` in [0, 1] -> features at 1/16, 1/8, 1/4 and, where there are such, 1/1."""
        if self.full_size:
            s1 = self.conv_s1(frame)
            s4 = self.conv_s1_to_s4(s1)
        else:
            s4 = self.conv_s4(self.conv_init(frame))
        s8 = self.conv_s8(s4)
        coarse_first = (self.conv_s16(s8), s8, s4)
        return (*coarse_first, s1) if self.full_size else coarse_first


class FlowBlock(nn.Module):
    """A quarter of the grid, residual blocks, and back: two flows and two occlusion logits.

    The grid's sides must be multiples of 4: else the block gives back a taller or wider map.
    """

    def __init__(self, before: int, channels: int, depth: int) -> None:
        super().__init__()
        self.conv_init = nn.Sequential(
            conv_prelu(before, channels // 2, stride=2), conv_prelu(channels // 2, channels, stride=2)
        )
        self.res_blocks = nn.Sequential(*(Residual(channels) for _ in range(depth)))
        self.output_conv = nn.ConvTranspose2d(channels, 6, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, before, h, w]` -> flow `[B, 4, h, w]` in this grid's pixels, logits `[B, 2, h, w]`; both float32."""
        start = self.conv_init(x)
        out = self.output_conv(start + self.res_blocks(start)).float()
        return resize_flow(out[:, :4], 2.0), resize(out[:, 4:], 2.0)


class FlowEstimator(nn.Module):
    """Flow and occlusion at 1/4, from 1/8 down, for any t.

    Args:
        warp_features: the second block also sees the neighbours' features where the first block's flow puts them.
    """

    def __init__(self, warp_features: bool) -> None:
        super().__init__()
        self.warp_features = warp_features
        seen = 2 * S4 * (2 if warp_features else 1)
        self.block_s8 = FlowBlock(2 * S8 + S16 + 1, 256, 8)
        self.block_s4 = FlowBlock(seen + S16 + 4 + 2 + 1, 128, 6)

    def forward(self, context: Tensor, s8: list[Tensor], s4: list[Tensor], t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The two neighbours' features and the context -> where they are seen at `t` `[B]`.

        Returns:
            Flow `[B, 4, H/4, W/4]` target -> frame 0 (x, y), target -> frame 1 (x, y) in pixels of this grid; logits
            `[B, 2, H/4, W/4]` of each being visible; and the first block's flow `[B, 4, H/8, W/8]` in its pixels.
        """
        flow_s8, logits = self.block_s8(torch.cat([*s8, fit(context, s8[0]), plane(t, s8[0])], dim=1))
        flow, logits = resize_flow(flow_s8, 2.0), resize(logits, 2.0)
        seen = [*s4, *warp_both(s4, flow)] if self.warp_features else s4
        more, more_logits = self.block_s4(torch.cat([*seen, fit(context, s4[0]), flow, logits, plane(t, s4[0])], dim=1))
        return flow + more, logits + more_logits, flow_s8


class ContextNet(nn.Module):
    """What the context adds to the blended neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(3 + S16, 64, 3, padding=1), nn.ReLU())
        self.conv2 = nn.Conv2d(64, 3, 3, padding=1)

    def forward(self, blended: Tensor, context: Tensor) -> Tensor:
        """`[B, 3, h, w]` and `[B, 256, any]` -> a change of the picture, `[B, 3, h, w]` float32."""
        return self.conv2(self.conv1(torch.cat([blended, fit(context, blended)], dim=1))).float()


class NormResidual(nn.Module):
    """A residual block with group norms."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.gn1 = nn.GroupNorm(8, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.gn2 = nn.GroupNorm(8, channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.gn2(self.conv2(F.relu(self.gn1(self.conv1(x))))))


class Refinement(nn.Module):
    """The last word, at full size: a draft and both neighbours' features -> a change of the draft.

    Args:
        warped: it also sees the warped neighbours themselves, 6 channels more.
        reduce: the features come from 1/4 and must be narrowed (LIFT-64); else they are full size already.
    """

    def __init__(self, warped: bool, reduce: bool) -> None:
        super().__init__()
        if reduce:
            self.reduce_left = nn.Conv2d(S4, FINE, 1, bias=False)
            self.reduce_right = nn.Conv2d(S4, FINE, 1, bias=False)
        self.reduce = reduce
        self.conv_init = narrow(3 + 2 * FINE + (6 if warped else 0), 64)
        self.res_blocks = nn.Sequential(NormResidual(64), NormResidual(64))
        self.conv_mid = narrow(64, 32)
        self.conv_out = nn.Conv2d(32, 3, 3, padding=1)

    def forward(self, draft: Tensor, features: list[Tensor], warped: list[Tensor]) -> Tensor:
        """`draft` `[B, 3, H, W]`, the features of both, and both warped or nothing -> `[B, 3, H, W]` float32."""
        if self.reduce:
            left, right = features
            features = [resize(self.reduce_left(left), 4.0), resize(self.reduce_right(right), 4.0)]
        x = self.conv_init(torch.cat([draft, *features, *warped], dim=1))
        return self.conv_out(self.conv_mid(self.res_blocks(x))).float()


def narrow(before: int, after: int) -> nn.Sequential:
    """3 x 3 convolution, group norm, ReLU."""
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.GroupNorm(8, after), nn.ReLU())


def warp_both(images: list[Tensor], flow: Tensor) -> list[Tensor]:
    """Frame 0's image by the first two channels of `flow`, frame 1's by the last two."""
    return [backward_warp(images[0], flow[:, :2]), backward_warp(images[1], flow[:, 2:])]


def fit(image: Tensor, like: Tensor) -> Tensor:
    """`image` resized to the height and width of `like`."""
    return F.interpolate(image, size=like.shape[-2:], mode="bilinear", align_corners=False)


def plane(t: Tensor, like: Tensor) -> Tensor:
    """`t` `[B]` as a channel `[B, 1, h, w]` of the height and width of `like`."""
    return t.to(like.dtype).view(-1, 1, 1, 1).expand(like.shape[0], 1, *like.shape[-2:])
