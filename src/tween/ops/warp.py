"""Backward warping: look up, for every pixel of the target, where it comes from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .resize import resize


class Places(NamedTuple):
    """Where the pixels of a picture are, for graphs that cannot count them and take them as inputs.

    Attributes:
        grid: `[1, 2, H, W]`, each pixel's centre (x, y); the picture's own edges are -1 and 1.
        step: `[1, 2, 1, 1]`, one pixel in these units: 2 / W, 2 / H.
    """

    grid: Tensor
    step: Tensor


_given: ContextVar[Places | None] = ContextVar("places", default=None)


@contextmanager
def given(places: Places) -> Iterator[None]:
    """Inside, warps look their pixels' places up, and compute none."""
    token = _given.set(places)
    try:
        yield
    finally:
        _given.reset(token)


def backward_warp(image: Tensor, flow: Tensor, *, padding: str = "border", mode: str = "bilinear") -> Tensor:
    """Sample `image` at each pixel's place plus its flow.

    The grid and the flow are float32 whatever the image is: in half precision a step of the grid near the border of a
    wide image is a third of a pixel.

    Args:
        image: `[B, C, H, W]`, any range.
        flow: `[B, 2, H, W]` in pixels of this grid, x then y, target -> image.
        padding: what lies outside: "border" repeats the edge, "zeros" is black.
        mode: "bilinear", "nearest", or "bicubic", which is sharper and can pass the image's range.

    Returns:
        `[B, C, H, W]` of the image's dtype.
    """
    flow = flow.float()
    if (places := _given.get()) is not None:
        return _on_given(image.float(), flow, places, padding, mode).to(image.dtype)
    grid = torch.stack((_axis(flow[:, 0], -1), _axis(flow[:, 1], -2)), dim=-1)
    return _sample(image.float(), grid, padding, mode).to(image.dtype)


def _on_given(image: Tensor, flow: Tensor, places: Places, padding: str, mode: str) -> Tensor:
    """The same, from places of full size: those of a smaller grid are their means, as resizing makes them."""
    share = int(flow.shape[-1]) / int(places.grid.shape[-1])
    grid = resize(places.grid, share) + flow * (places.step / share)
    return F.grid_sample(image, grid.permute(0, 2, 3, 1), mode=mode, padding_mode=padding, align_corners=False)


def _axis(shift: Tensor, dim: int) -> Tensor:
    """Pixels `[B, H, W]` along one axis -> places on it, -1 the first pixel's centre and 1 the last's.

    Counted from the middle, so that a mirrored flow gives mirrored places, to the bit. `arange`, since an exported
    `linspace` keeps the size it was traced at.
    """
    size = shift.shape[dim]
    pixels = torch.arange(size, dtype=shift.dtype, device=shift.device) - (size - 1) / 2
    return ((pixels if dim == -1 else pixels[:, None]) + shift) * (2.0 / max(size - 1, 1))


def _sample(image: Tensor, grid: Tensor, padding: str, mode: str) -> Tensor:
    """`grid_sample`, which on the CPU gives each picture one core: a lone picture is cut into strips, one a core."""
    learns = torch.is_grad_enabled() and (image.requires_grad or grid.requires_grad)
    alone = image.device.type == "cpu" and grid.shape[0] == 1 and not learns and not torch.compiler.is_compiling()
    strips = math.gcd(grid.shape[1], torch.get_num_threads()) if alone else 1
    if strips > 1:
        image, grid = image.expand(strips, -1, -1, -1), grid.view(strips, -1, *grid.shape[2:])
    sampled = F.grid_sample(image, grid, mode=mode, padding_mode=padding, align_corners=True)
    return sampled if strips == 1 else sampled.transpose(0, 1).reshape(1, image.shape[1], -1, grid.shape[2])
