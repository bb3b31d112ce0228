"""Backward warping: look up, for every pixel of the target, where it comes from."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def backward_warp(image: Tensor, flow: Tensor, *, padding: str = "border", mode: str = "bilinear") -> Tensor:
    """Sample `image` at each pixel's place plus its flow.

    The grid and the flow are float32 whatever the image is: in half precision a step of the grid near the border of a
    wide image is a third of a pixel.

    Args:
        image: `[B, C, H, W]`, any range.
        flow: `[B, 2, H, W]` in pixels of this grid, x then y, target -> image.
        padding: what lies outside: "border" repeats the edge, "zeros" is black.
        mode: "bilinear" or "nearest".

    Returns:
        `[B, C, H, W]` of the image's dtype.
    """
    height, width = flow.shape[-2:]
    flow = flow.float()
    x = torch.linspace(-1.0, 1.0, width, device=flow.device).view(1, 1, width) + flow[:, 0] * (2.0 / max(width - 1, 1))
    y = torch.linspace(-1.0, 1.0, height, device=flow.device).view(1, height, 1) + flow[:, 1] * (
        2.0 / max(height - 1, 1)
    )
    grid = torch.stack((x, y), dim=-1)
    sampled = F.grid_sample(image.float(), grid, mode=mode, padding_mode=padding, align_corners=True)
    return sampled.to(image.dtype)
