"""What lift.py sees over time: the time code, and attention over the frames of a long context.

A frame's coarse features are cut into 2 x 2 patches, one token each; a layer lets tokens look along time, then mixes
neighbours in space, then each by itself.

    joint windows of 4 frames (LIFT-64 has 8)        shifted by half: every second layer
    |0  1  2  3|4  5  6  7|8  9 10 11|               |0  1|2  3  4  5|6  7  8  9|10 11|
                    5 and 6 are the middle                 windows now bridge the old borders
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 256  # channels of a token
HEADS = 8


def sinusoids(count: int, channels: int) -> Tensor:
    """The time code `[count, channels]`: sines on even, cosines on odd channels, periods 2 pi to 20000 pi.

    Vaswani et al., Attention Is All You Need (2017), section 3.5.
    """
    position = torch.arange(count, dtype=torch.float32).unsqueeze(1)
    rate = torch.exp(torch.arange(0, channels, 2, dtype=torch.float32) * (-math.log(10000.0) / channels))
    table = torch.empty(count, channels)
    table[:, 0::2] = torch.sin(position * rate)
    table[:, 1::2] = torch.cos(position * rate)
    return table


def windows(frames: int, window: int, *, shifted: bool) -> list[int]:
    """Lengths of consecutive windows that cover `frames`: whole ones from the start, or from half a window on."""
    first = [min(window // 2, frames)] if shifted else []
    whole, rest = divmod(frames - sum(first), window)
    return first + [window] * whole + [rest] * (rest > 0)


class Attention(nn.Module):
    """Multi-head self-attention, 8 heads of 32."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)
        self.dropout = dropout

    def forward(self, tokens: Tensor) -> Tensor:
        """`[B, S, 256]` -> the same; all S look at all S."""
        batch, count, _ = tokens.shape
        split = self.qkv(tokens).view(batch, count, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(split[0], split[1], split[2], dropout_p=dropout)
        return F.dropout(self.proj(mixed.transpose(1, 2).reshape(batch, count, WIDTH)), self.dropout, self.training)


class SpatialMix(nn.Module):
    """Each token looks at its 3 x 3 neighbours of the same frame."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH, bias=False)
        self.pointwise = nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, grid: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(grid))


class Layer(nn.Module):
    """Attention along time, mixing in space, a small network a token; each normalised before and added.

    Args:
        window: None lets each token see itself in all frames (its own place only); a number lets all tokens of that
            many consecutive frames see each other.
        shifted: the windows start half a window later.
        dropout: share of activations dropped while training.
    """

    def __init__(self, window: int | None, shifted: bool, dropout: float) -> None:
        super().__init__()
        self.window, self.shifted = window, shifted
        self.norm1 = nn.LayerNorm(WIDTH)
        self.attention = Attention(dropout)
        self.norm2 = nn.GroupNorm(8, WIDTH)
        self.spatial = SpatialMix()
        self.norm3 = nn.LayerNorm(WIDTH)
        self.ffn = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * WIDTH, WIDTH),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """`[B, N, L, 256]`, L = the product of `size` (rows, columns of the token grid) -> the same."""
        tokens = tokens + self._along_time(self.norm1(tokens))
        tokens = tokens + self._in_space(tokens, size)
        return tokens + self.ffn(self.norm3(tokens))

    def _along_time(self, tokens: Tensor) -> Tensor:
        batch, frames, places, _ = tokens.shape
        if self.window is None:
            by_place = tokens.transpose(1, 2).reshape(batch * places, frames, WIDTH)
            return self.attention(by_place).view(batch, places, frames, WIDTH).transpose(1, 2)
        lengths = windows(frames, self.window, shifted=self.shifted)
        parts = [self.attention(part.flatten(1, 2)) for part in tokens.split(lengths, dim=1)]
        return torch.cat(parts, dim=1).view(batch, frames, places, WIDTH)

    def _in_space(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        grid = tokens.flatten(0, 1).transpose(1, 2).unflatten(2, size)
        return self.spatial(self.norm2(grid)).flatten(2).transpose(1, 2).view_as(tokens)


class TemporalAggregator(nn.Module):
    """All frames' coarse features -> one context: what the clip around the gap says about it.

    Args:
        layers: how many.
        window: frames a joint window, or None for attention along time over the whole context (see `Layer`).
        shift: every second layer shifts its windows by half.
        dropout: share of activations dropped while training.
    """

    def __init__(self, layers: int, window: int | None, shift: bool, dropout: float) -> None:
        super().__init__()
        self.patch_proj = nn.Linear(4 * WIDTH, WIDTH)
        self.layers = nn.ModuleList(Layer(window, shift and index % 2 == 1, dropout) for index in range(layers))
        self.importance = nn.Sequential(nn.Linear(WIDTH, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Weigh the frames and add them up.

        Args:
            coarse: `[B, N, 256, H/16, W/16]`, time code added; H and W multiples of 32.

        Returns:
            The context `[B, 256, H/16, W/16]`, and each frame's weight `[B, N]`, which sum to 1.
        """
        batch, frames = coarse.shape[:2]
        patches = F.pixel_unshuffle(coarse.flatten(0, 1), 2)  # channels, then the patch's rows, then its columns
        size = (patches.shape[2], patches.shape[3])
        tokens = self.patch_proj(patches.flatten(2).transpose(1, 2))
        tokens = tokens.view(batch, frames, size[0] * size[1], WIDTH)
        for layer in self.layers:
            tokens = layer(tokens, size)
        weight = torch.softmax(self.importance(tokens.mean(dim=2)).squeeze(-1).float(), dim=1)
        context = (tokens * weight[:, :, None, None]).sum(dim=1)
        context = context.transpose(1, 2).unflatten(2, size)
        return F.interpolate(context, scale_factor=2.0, mode="bilinear", align_corners=False), weight
