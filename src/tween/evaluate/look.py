"""Pictures of an evaluation that a person can read: where it is worst, how wrong it is, how things move.

Colours tell the same to every eye: errors run from dark to bright, motion has arrows besides its hue.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

ERROR_TOP = 64  # grey levels at which the error's scale ends
ARROW_STEP = 32  # pixels between two arrows
# Dark to bright by way of violet and orange, so that brightness alone tells it: ten stops of matplotlib's "inferno".
_EMBER = (
    (0, 0, 4), (27, 12, 65), (74, 12, 107), (120, 28, 109), (165, 44, 96),
    (207, 68, 70), (237, 105, 37), (251, 155, 6), (247, 209, 61), (252, 255, 164),
)  # fmt: skip


class Box(NamedTuple):
    """A part of a picture, pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, picture: Tensor) -> Tensor:
        """`[..., H, W]` -> `[..., height, width]`."""
        return picture[..., self.top : self.top + self.height, self.left : self.left + self.width]


def worst_box(ours: Tensor, truth: Tensor, side: int) -> Box:
    """The square of `side` pixels (or less, where the picture is less) that is furthest from the truth.

    Args:
        ours, truth: `[3, H, W]` in [0, 1].
        side: pixels; squares begin at multiples of an eighth of it, and at the far edges.
    """
    error = torch.nan_to_num((ours - truth).abs().mean(0), nan=1.0, posinf=1.0)
    height, width = min(side, error.shape[0]), min(side, error.shape[1])
    step = max(1, side // 8)
    tops, lefts = (_starts(whole, part, step) for whole, part in zip(error.shape, (height, width), strict=True))
    sums = F.pad(error.double().cumsum(0).cumsum(1), (1, 0, 1, 0))
    y, x = torch.tensor(tops), torch.tensor(lefts)
    inside = sums[y + height][:, x + width] - sums[y][:, x + width] - sums[y + height][:, x] + sums[y][:, x]
    row, column = divmod(int(inside.argmax()), len(lefts))
    return Box(tops[row], lefts[column], height, width)


def _starts(whole: int, part: int, step: int) -> list[int]:
    return sorted({*range(0, whole - part + 1, step), whole - part})


def to_bytes(picture: Tensor) -> Tensor:
    """`[3, H, W]` in [0, 1] -> uint8; what is no number becomes black."""
    return (torch.nan_to_num(picture.float(), nan=0.0).clamp(0, 1) * 255).round().byte()


def overlay(inputs: Tensor) -> Tensor:
    """The inputs `[N, 3, H, W]` in [0, 1] on top of one another -> `[3, H, W]`: what moves is seen as often."""
    return inputs.float().mean(0)


def error_map(ours: Tensor, truth: Tensor) -> Tensor:
    """Two pictures, uint8 `[3, h, w]` -> uint8 `[3, h, w]`: mean difference of the colours, black 0 to bright 64 levels
    and more."""
    levels = (ours.float() - truth.float()).abs().mean(0)
    return _ember(levels / ERROR_TOP)


def _ember(amount: Tensor) -> Tensor:
    stops = torch.tensor(_EMBER, dtype=torch.float32)
    place = amount.clamp(0, 1) * (len(stops) - 1)
    low = place.floor().long().clamp(max=len(stops) - 2)
    part = (place - low).unsqueeze(-1)
    return (stops[low] * (1 - part) + stops[low + 1] * part).round().byte().permute(2, 0, 1).contiguous()


def error_scale(width: int = 128, height: int = 10) -> Tensor:
    """The scale of `error_map`, from 0 on the left -> uint8 `[3, height, width]`."""
    return _ember(torch.linspace(0, 1, width).expand(height, width))


def motion(flow: Tensor) -> Tensor:
    """`flow` `[4, H, W]` as models tell it, pixels -> `[2, H, W]`, how far (x, y) things go within the gap."""
    return torch.nan_to_num(flow[2:4].float() - flow[0:2].float(), nan=0.0, posinf=0.0, neginf=0.0)


def strongest(moved: Tensor) -> float:
    """The length that 99 of 100 pixels of `[2, H, W]` stay below, pixels; at least 1."""
    return max(1.0, float(np.quantile(moved.norm(dim=0).numpy(), 0.99)))


def motion_picture(moved: Tensor, top: float) -> Tensor:
    """Motion `[2, h, w]`, pixels -> uint8 `[3, h, w]`: hue is direction, colour strength length, arrows say both.

    Args:
        moved: (x, y) of every pixel.
        top: pixels at which the colour is full.
    """
    picture = Image.fromarray(_wheel(moved, top).permute(1, 2, 0).contiguous().numpy())
    draw = ImageDraw.Draw(picture)
    height, width = moved.shape[1:]
    for y in range(ARROW_STEP // 2, height, ARROW_STEP):
        for x in range(ARROW_STEP // 2, width, ARROW_STEP):
            _arrow(draw, x, y, moved[:, y, x] / top)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()


def _wheel(moved: Tensor, top: float) -> Tensor:
    """Middlebury's manner: white at rest, red to the right, and on round the circle."""
    strength = (moved.norm(dim=0) / top).clamp(0, 1)
    hue = torch.atan2(moved[1], moved[0]) / (2 * math.pi) % 1
    corners = torch.stack([(hue * 6 - shift).remainder(6) for shift in (0, 2, 4)])
    pure = ((corners - 3).abs() - 1).clamp(0, 1)
    return ((1 - strength * (1 - pure)) * 255).round().byte()


def wheel(side: int = 72) -> Tensor:
    """The legend of `motion_picture` -> uint8 `[3, side, side]`, white outside the circle."""
    line = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(line, line, indexing="ij")
    moved = torch.stack([x, y])
    return _wheel(torch.where(moved.norm(dim=0) <= 1, moved, torch.zeros(())), 1.0)


def _arrow(draw: ImageDraw.ImageDraw, x: int, y: int, way: Tensor) -> None:
    length = float(way.norm())
    if length < 0.06:
        draw.ellipse((x - 1, y - 1, x + 1, y + 1), fill=(60, 60, 60))
        return
    reach = ARROW_STEP * 0.44 * min(1.0, length) / length
    dx, dy = float(way[0]) * reach, float(way[1]) * reach
    tip, angle, barb = (x + dx, y + dy), math.atan2(dy, dx), 3 + 2 * min(1.0, length)
    draw.line([(x - dx, y - dy), tip], fill=(25, 25, 25), width=1)
    for turn in (2.6, -2.6):
        end = (tip[0] + barb * math.cos(angle + turn), tip[1] + barb * math.sin(angle + turn))
        draw.line([tip, end], fill=(25, 25, 25), width=1)


def shrunk(picture: Tensor, longest: int) -> Tensor:
    """`[3, H, W]` in [0, 1] -> uint8, no side longer than `longest` pixels."""
    height, width = picture.shape[1:]
    scale = longest / max(height, width)
    if scale >= 1:
        return to_bytes(picture)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return to_bytes(F.interpolate(picture.float().unsqueeze(0), size=size, mode="area").squeeze(0))
