"""Bilinear resizing, of pictures and of flows."""

from __future__ import annotations

from typing import Any

import numpy as np
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


def neighbours(places: Any, factor: float, count: int) -> tuple[Any, Any, Any]:
    """How `resize` by `factor` finds what is at `places` along an axis of the large picture, in its pixels.

    Returns:
        Between which two of the `count` pixels of the small one, uint64, and how far towards the second, float32.
    """
    at = np.maximum((np.asarray(places) + 0.5) / factor - 0.5, 0)
    left = at.astype(np.uint64)
    return left, np.minimum(left + np.uint64(1), np.uint64(count - 1)), (at - left).astype(np.float32)
