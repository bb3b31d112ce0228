"""The deformable network of 424635328/video-frame-interpolation: one flow, one warp, three deformable convolutions.

  frame 0 --+-- features --+-- flow --> frame 1 warped --+
  frame 1 --+              |                             +-- deformable blocks -- tanh --> frame at 1/2
                           +-----------------------------+

Everything runs at full resolution. Its authors call it EMA-VFI; it is not the CVPR 2023 network of that name.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..ops.deform import deform_conv2d
from ..ops.warp import backward_warp
from .entry import Entry
from .model import Model, Prediction, Spec, Tensors


class DeformVFI(Model):
    """Frame 1 warped by one flow, fused with the features of both frames by deformable convolutions.

    Args:
        channels: of every feature map.
        blocks: number of feature convolutions, and of deformable blocks.
    """

    spec = Spec(context=(0, 1), multiple=1, any_time=False)

    def __init__(self, channels: int = 64, blocks: int = 3) -> None:
        super().__init__()
        c = channels
        self.feat_ext_conv1 = _conv_relu(6, c)
        self.feat_ext_blocks = nn.Sequential(
            OrderedDict((f"conv_block_{i}", _conv_relu(c, c)) for i in range(blocks)),
        )
        self.context_encoding = nn.Sequential(
            _conv_relu(c, 2 * c, stride=2),
            _conv_relu(2 * c, 4 * c, stride=2),
            _conv_relu(4 * c, 4 * c),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * c, c),
        )
        self.motion_estimation = nn.Sequential(_conv_relu(2 * c, c), _conv_relu(c, c), nn.Conv2d(c, 2, 3, padding=1))
        self.attention_blocks = nn.ModuleList(DeformableBlock(c + 3) for _ in range(blocks))
        self.reconstruction = nn.Sequential(
            _conv_relu(c + 3, c), _conv_relu(c, c // 2), nn.Conv2d(c // 2, 3, 3, padding=1)
        )

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """Frame 1, the features of the pair, and the flow `[B, 2, H, W]` that brings frame 1 to the middle."""
        (first,), (second,) = context
        features = self.feat_ext_blocks(self.feat_ext_conv1(torch.cat((first, second), dim=1)))
        gist = self.context_encoding(features)[:, :, None, None].expand_as(features)
        return second, features, self.motion_estimation(torch.cat((features, gist), dim=1)).float()

    def render(self, scene: Tensors, t: Tensor) -> Prediction:  # noqa: ARG002
        """The frame at t = 1/2, the only one it knows."""
        second, features, flow = scene
        warped = backward_warp(second, flow, padding="zeros")
        x = torch.cat((features, warped.to(features.dtype)), dim=1)
        for block in self.attention_blocks:
            x = block(x)
        frame = (torch.tanh(self.reconstruction(x).float()) + 1) / 2
        return Prediction(frame, {"flow1": flow, "warped1": warped})


class DeformableBlock(nn.Module):
    """A modulated deformable 3x3 convolution that finds its own offsets and mask.

    Of the 27 channels that it predicts, the middle nine are the mask and the outer two nines, one after the other,
    are the offsets, which the convolution reads as (y, x) pairs. So tap 4 takes y from the first nine's last channel
    and x from the last nine's first. Trained weights have grown around that order.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.offset_conv = nn.Conv2d(channels, 27, 3, padding=1)
        for parameter in self.offset_conv.parameters():  # before training every tap looks straight
            nn.init.zeros_(parameter)
        self.dcn_v2 = DeformConv(channels)

    def forward(self, x: Tensor) -> Tensor:
        front, middle, back = self.offset_conv(x).float().chunk(3, dim=1)
        return self.dcn_v2(x, torch.cat((front, back), dim=1), torch.sigmoid(middle))


class DeformConv(nn.Module):
    """Weights of a 3x3 deformable convolution that keeps size and channels; starts as a plain convolution would."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        plain = nn.Conv2d(channels, channels, 3, padding=1)
        self.weight, self.bias = plain.weight, plain.bias

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        return deform_conv2d(x, offset, self.weight, self.bias, mask=mask, padding=1)


def _conv_relu(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1), nn.ReLU())


ROWS: tuple[Entry, ...] = (
    Entry(
        name="deformvfi",
        build=lambda scale: DeformVFI(),  # noqa: ARG005
        about="one flow and three deformable convolutions at full resolution; midpoint only",
        paper="github.com/424635328/video-frame-interpolation",
        code_licence="MIT",
    ),
)
