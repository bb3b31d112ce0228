"""Bilinear resizing, of pictures and of flows."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def resize(image: Tensor, factor: float) -> Tensor:
    """`[B, C, H, W]` -> `[B, C, H * factor, W * factor]`, bilinear, half-pixel centres. Factor 1 is the identity."""
    if factor == 1:
        return image
    return F.interpolate(image, scale_factor=factor, mode="bilinear", align_corners=False)


def resize_flow(flow: Tensor, factor: float) -> Tensor:
    """Resize a flow `[B, 2n, H, W]` and its unit with it: pixels of the old grid become pixels of the new."""
    if factor == 1:
        return flow
    return resize(flow, factor) * factor
