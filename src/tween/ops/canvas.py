"""Frame <-> padded float tensor: the only place that knows both sizes.

  frame H x W                  canvas, multiples of `multiple`
+-------------+               +-----------------+
|             |    enter      |  edge repeated  |
|             |   ------->    |  +-----------+  |
|             |   <-------    |  |           |  |
+-------------+    leave      +-----------------+
"""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional as F

from ..frame import Frame


class Canvas:
    """Pads by repeating the edge, evenly on both sides (an odd pixel goes right or below), and crops back.

    Args:
        size: (H, W) of the frames.
        multiple: the canvas' height and width are the next multiples of this.
    """

    def __init__(self, size: tuple[int, int], multiple: int = 1) -> None:
        self.frame_size = size
        height, width = size
        tall, wide = -height % multiple, -width % multiple
        self.size = (height + tall, width + wide)
        self.padding = (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2)  # left, right, top, bottom

    def enter(self, frame: Frame) -> Tensor:
        """RGB or RGBA -> float32 `[1, C, *size]` in [0, 1], C = 3 or 4. Alpha stays straight: how it is shown to a
        model is the backend's business (`backends.alpha`)."""
        return self.pad(to_float(frame.data).unsqueeze(0))

    def leave(self, picture: Tensor, pts: Fraction, like: Frame) -> Frame:
        """`[1, C, *size]` in [0, 1], C = 3 or 4 -> a Frame of the depth of `like`, rounded to the nearest value."""
        return Frame(to_integer(self.crop(picture)[0], like.data.dtype), pts)

    def pad(self, picture: Tensor) -> Tensor:
        """`[B, C, H, W]` of the frame's size -> of the canvas' size."""
        if not any(self.padding):
            return picture
        return F.pad(picture, self.padding, mode="replicate")

    def crop(self, picture: Tensor) -> Tensor:
        """`[B, C, H, W]` of the canvas' size -> of the frame's size."""
        left, _, top, _ = self.padding
        height, width = self.frame_size
        return picture[..., top : top + height, left : left + width]


def to_float(data: Tensor) -> Tensor:
    """uint8 or uint16, full range -> float32 in [0, 1]."""
    return data.to(torch.float32).mul_(1.0 / full_scale(data.dtype))


def to_integer(picture: Tensor, dtype: torch.dtype) -> Tensor:
    """float in [0, 1] (clamped) -> uint8 or uint16 over its full range, contiguous."""
    scaled = picture.float().clamp(0, 1).mul_(full_scale(dtype)).round_()
    if dtype == torch.uint16:  # torch converts float to uint16 through int32 only
        return scaled.to(torch.int32).to(torch.uint16).contiguous()
    return scaled.to(dtype).contiguous()


def full_scale(dtype: torch.dtype) -> int:
    """The value that stands for 1.0."""
    if dtype == torch.uint8:
        return 255
    if dtype == torch.uint16:
        return 65535
    raise TypeError(f"frames are uint8 or uint16, not {dtype}")
