"""Layers that families share."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def conv_prelu(channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution that keeps the size (divided by `stride`), then PReLU with one slope a channel."""
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2), nn.PReLU(channels_out))


class Residual(nn.Module):
    """activation(x + beta * conv(x)), beta learnt a channel: what RIFE >= 4 is made of."""

    def __init__(self, width: int, *, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, groups=groups)
        self.beta = nn.Parameter(torch.ones(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        change = self.conv(x)
        return nn.functional.leaky_relu(x + change * self.beta.to(change.dtype), 0.2)


class SideBlock(nn.Module):
    """IFRNet's residual block: the last `side` of `width` channels get a second, cheaper convolution of their own.

    Kong et al., "IFRNet", CVPR 2022, figure 4.
    """

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.parts = [width - side, side]
        self.conv1 = conv_prelu(width, width)
        self.conv2 = conv_prelu(side, side)
        self.conv3 = conv_prelu(width, width)
        self.conv4 = conv_prelu(side, side)
        self.conv5 = nn.Conv2d(width, width, 3, 1, 1)
        self.prelu = nn.PReLU(width)

    def forward(self, x: Tensor) -> Tensor:
        main, side = self.conv1(x).split(self.parts, 1)
        main, side = self.conv3(torch.cat((main, self.conv2(side)), 1)).split(self.parts, 1)
        return self.prelu(x + self.conv5(torch.cat((main, self.conv4(side)), 1)))


class ThirdsBlock(nn.Module):
    """IFRVP's block T: the first third, then the first two thirds, of the channels are convolved once more.

    Aikawa et al., ICIP 2024 (IFRVP), the network called IFRNet_T in its code.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        third = width // 3
        self.third = third
        self.conv1 = conv_prelu(width, width)
        self.conv2 = conv_prelu(third, third)
        self.conv3 = conv_prelu(2 * third, 2 * third)
        self.conv4 = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1))
        self.prelu = nn.PReLU(width)

    def forward(self, x: Tensor) -> Tensor:
        first, second, last = self.conv1(x).split(self.third, 1)
        both = self.conv3(torch.cat((self.conv2(first), second), 1))
        return self.prelu(x + self.conv4(torch.cat((both, last), 1)))


class AggregationBlock(nn.Module):
    """IFRVP's ELAN block: chains of narrow convolutions, all their stages gathered by one 1x1 convolution.

    x = [c1 | c2 | c3]    c2 -> c4 -> c5    c3 -> . -> c6 -> . -> c7    out = x + mix(c1 .. c7)
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        third = width // 3
        self.third = third
        self.conv1, self.conv2 = conv_prelu(third, third), conv_prelu(third, third)
        self.conv3, self.conv4 = conv_prelu(third, third), conv_prelu(third, third)
        self.conv5, self.conv6 = conv_prelu(third, third), conv_prelu(third, third)
        self.conv7 = nn.Sequential(nn.Conv2d(7 * third, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        c1, c2, c3 = x.split(self.third, 1)
        c4 = self.conv1(c2)
        c5 = self.conv2(c4)
        c6 = self.conv4(self.conv3(c3))
        c7 = self.conv6(self.conv5(c6))
        return x + self.conv7(torch.cat((c1, c2, c3, c4, c5, c6, c7), 1))
