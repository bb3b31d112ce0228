"""EMA-VFI's backbone: convolutions at fine scales, attention between the two frames at coarse ones.

G. Zhang et al., "Extracting Motion and Appearance via Inter-Frame Attention for Efficient Video Frame Interpolation",
CVPR 2023, sections 3.1 and 3.2. The two frames lie one behind the other in the batch: `[2B, ...]`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import conv_prelu

WINDOW = 7
HEAD_WIDTH = 32
APART = -100.0  # added to the attention between pixels that are no neighbours: enough for a weight of 0


class Layout:
    """How a feature map is cut into windows, and back.

        H x W  --pad evenly to multiples of 7-->  roll by `shift`  --cut-->  [N, windows, 49, C]

    Padding and rolling bring pixels into one window that are no neighbours; `apart` keeps their attention at 0.

    Args:
        height, width: of the map.
        shift: how far the windows are moved against the map, 0 or 3.
    """

    def __init__(self, height: int, width: int, shift: int) -> None:
        self.height, self.width, self.shift = height, width, shift
        tall, wide = -height % WINDOW, -width % WINDOW
        self.rows, self.columns = height + tall, width + wide
        self.top, self.left = tall // 2, wide // 2
        self.padding = (0, 0, self.left, wide - self.left, self.top, tall - self.top)

    def pad(self, x: Tensor) -> Tensor:
        """`[N, H, W, C]` -> `[N, rows, columns, C]`, zeros around."""
        return F.pad(x, self.padding)

    def crop(self, x: Tensor) -> Tensor:
        """The way back from `pad`."""
        return x[:, self.top : self.top + self.height, self.left : self.left + self.width]

    def cut(self, x: Tensor) -> Tensor:
        """`[N, rows, columns, C]` -> `[N, windows, 49, C]`."""
        return windows(torch.roll(x, (-self.shift, -self.shift), (1, 2)) if self.shift else x)

    def join(self, x: Tensor) -> Tensor:
        """`[N, windows, 49, C]` -> `[N, rows, columns, C]`."""
        x = x.unflatten(2, (WINDOW, WINDOW)).unflatten(1, (self.rows // WINDOW, self.columns // WINDOW))
        x = x.transpose(2, 3).reshape(x.shape[0], self.rows, self.columns, x.shape[-1])
        return torch.roll(x, (self.shift, self.shift), (1, 2)) if self.shift else x

    def apart(self, device: torch.device) -> Tensor:
        """`[windows, 1, 49, 49]`, added to attention logits: 0 between neighbours, else `APART`.

        The authors roll the map and not the mask of its padding, so that in shifted windows some padding is seen and
        some of the map is not. Their networks were trained so (256 / 8 is no multiple of 7), hence so it stays.
        """
        region = regions(self.rows, self.top, self.top + self.height, device)[:, None] * 3
        region = region + regions(self.columns, self.left, self.left + self.width, device)
        if self.shift:
            region = region * 3 + regions(self.rows, self.rows - WINDOW, self.rows - self.shift, device)[:, None]
            region = region * 3 + regions(self.columns, self.columns - WINDOW, self.columns - self.shift, device)
        place = windows(region[None, :, :, None])[0, :, :, 0]
        return (place[:, :, None] != place[:, None, :]).float().mul(APART)[:, None]


def windows(x: Tensor) -> Tensor:
    """`[N, rows, columns, C]` -> `[N, windows, 49, C]`."""
    count, rows, columns, channels = x.shape
    x = x.view(count, rows // WINDOW, WINDOW, columns // WINDOW, WINDOW, channels).transpose(2, 3)
    return x.reshape(count, -1, WINDOW * WINDOW, channels)


def regions(length: int, first: int, last: int, device: torch.device) -> Tensor:
    """`[length]`: 0 before `first`, 1 from there to `last`, 2 after."""
    place = torch.arange(length, device=device)
    return (place >= first).long() + (place >= last).long()


def places(height: int, width: int, like: Tensor) -> Tensor:
    """`[1, H, W, 2]`: each pixel's x and y in [-1, 1]."""
    x = torch.linspace(-1, 1, width, device=like.device).expand(height, width)
    y = torch.linspace(-1, 1, height, device=like.device)[:, None].expand(height, width)
    return torch.stack((x, y), dim=-1)[None]


class Attention(nn.Module):
    """Each pixel looks for itself in the other frame: what it finds is appearance, where it finds it is motion."""

    def __init__(self, width: int, motion_width: int) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        self.cor_embed = nn.Linear(2, motion_width)
        self.motion_proj = nn.Linear(motion_width, motion_width)

    def forward(self, x: Tensor, place: Tensor, apart: Tensor) -> tuple[Tensor, Tensor]:
        """`x` `[2B, windows, 49, C]`, `place` `[1, windows, 49, 2]` -> appearance as `x`, motion."""
        key, value = self.split(self.kv(x.roll(x.shape[0] // 2, 0))).chunk(2, dim=2)
        # `split` puts the heads of k before those of v: 2 * heads in all.
        logits = self.split(self.q(x)) * HEAD_WIDTH**-0.5 @ key.transpose(-2, -1)
        attention = torch.softmax(logits.float() + apart, dim=-1).to(value.dtype)
        here = self.cor_embed(place)
        there = self.merge(attention @ self.split(here).to(value.dtype))
        return self.proj(self.merge(attention @ value)), self.motion_proj(there - here)

    def split(self, x: Tensor) -> Tensor:
        """`[N, windows, 49, heads * c]` -> `[N, windows, heads, 49, c]`; a k and v pair has twice the heads."""
        count = 2 * self.heads if x.shape[-1] == self.kv.out_features else self.heads
        return x.unflatten(-1, (count, -1)).transpose(2, 3)

    def merge(self, x: Tensor) -> Tensor:
        """The way back from `split`."""
        return x.transpose(2, 3).flatten(3)


class Depthwise(nn.Module):
    """3 x 3, each channel alone, on `[N, H, W, C]`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        return self.dwconv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Mlp(nn.Module):
    """Two linear layers, between them a look at the neighbours."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.dwconv = Depthwise(4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.dwconv(self.fc1(x))))


class AttentionBlock(nn.Module):
    """Attention and MLP, each behind a norm."""

    def __init__(self, width: int, motion_width: int, shift: int) -> None:
        super().__init__()
        self.shift = shift
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, motion_width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`[2B, H, W, C]` -> the same, and motion `[2B, H, W, M]`."""
        _, height, width, _ = x.shape
        layout = Layout(height, width, self.shift)
        place = layout.cut(layout.pad(places(height, width, x)))
        # The norm comes after the padding, so padding is the norm's bias; and the shortcut starts behind the norm.
        x = self.norm1(layout.pad(x))
        found, motion = self.attn(layout.cut(x), place, layout.apart(x.device))
        x = layout.crop(x + layout.join(found))
        return x + self.mlp(self.norm2(x)), layout.crop(layout.join(motion))


class CrossScaleEmbed(nn.Module):
    """All finer scales, each through convolutions of growing dilation, gathered at half the coarsest's size.

    From a scale 2^k of the coarsest come 2^k convolutions with stride 2^(k + 1).
    """

    def __init__(self, widths: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(channels, widths[0], 3, stride=2 ** (finer + 1), padding=1 + step, dilation=1 + step)
            for finer, channels in enumerate(reversed(widths))
            for step in range(2**finer)
        )
        self.sources = [finer for finer in range(len(widths)) for _ in range(2**finer)]
        self.proj = nn.Conv2d(widths[0] * len(self.layers), width, 1)
        self.norm = nn.LayerNorm(width)

    def forward(self, scales: list[Tensor]) -> Tensor:
        """Three maps, finest first -> `[2B, H, W, C]`."""
        seen = [layer(scales[-1 - finer]) for layer, finer in zip(self.layers, self.sources, strict=True)]
        return self.norm(self.proj(torch.cat(seen, dim=1)).permute(0, 2, 3, 1))


class OverlapEmbed(nn.Module):
    """3 x 3 of stride 2."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(inputs, width, 3, 2, 1)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """`[2B, C, H, W]` -> `[2B, H / 2, W / 2, C]`."""
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class Convolutions(nn.Module):
    """A stage of 3 x 3 convolutions, each with its activation."""

    def __init__(self, inputs: int, width: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for step in range(depth):
            layers += [nn.Conv2d(inputs if step == 0 else width, width, 3, 1, 1), nn.PReLU(width)]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Backbone(nn.Module):
    """Five scales of appearance and, of the two coarsest, motion.

    Args:
        width: channels of the finest scale; each next has twice as many.
        depth: layers of each stage.
    """

    def __init__(self, width: int, depth: tuple[int, int, int, int, int]) -> None:
        super().__init__()
        w1, w2, w3, w4, w5 = (width * 2**scale for scale in range(5))
        self.block1 = Convolutions(3, w1, depth[0])
        self.patch_embed2 = conv_prelu(w1, w2, stride=2)
        self.block2 = Convolutions(w2, w2, depth[1])
        self.patch_embed3 = conv_prelu(w2, w3, stride=2)
        self.block3 = Convolutions(w3, w3, depth[2])
        self.patch_embed4 = CrossScaleEmbed((w1, w2, w3), w4)
        self.block4 = attention_stage(w4, depth[3])
        self.norm4 = nn.LayerNorm(w4, eps=1e-6)
        self.patch_embed5 = OverlapEmbed(w4, w5)
        self.block5 = attention_stage(w5, depth[4])
        self.norm5 = nn.LayerNorm(w5, eps=1e-6)

    def forward(self, frames: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """`[2B, 3, H, W]` -> appearance at 1, 1/2, 1/4, 1/8, 1/16 and motion at 1/8, 1/16, each `[2B, *, h, w]`."""
        fine = [self.block1(frames)]
        fine.append(self.block2(self.patch_embed2(fine[0])))
        fine.append(self.block3(self.patch_embed3(fine[1])))
        x4, motion4 = run(self.block4, self.norm4, self.patch_embed4(fine))
        x5, motion5 = run(self.block5, self.norm5, self.patch_embed5(x4))
        return [*fine, x4, x5], [motion4, motion5]


def attention_stage(width: int, depth: int) -> nn.ModuleList:
    """Blocks whose windows are shifted every second time; together they give as much motion as appearance."""
    return nn.ModuleList(AttentionBlock(width, width // depth, shift=step % 2 * (WINDOW // 2)) for step in range(depth))


def run(blocks: nn.ModuleList, norm: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """`[2B, H, W, C]` through a stage -> appearance and motion, `[2B, *, H, W]`."""
    motions = []
    for block in blocks:
        x, motion = block(x)
        motions.append(motion)
    return norm(x).permute(0, 3, 1, 2).contiguous(), torch.cat(motions, dim=-1).permute(0, 3, 1, 2).contiguous()
