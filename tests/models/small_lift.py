"""Small LIFTs and clips for them."""

import torch
from torch import Tensor

from tween.models.lift import Layout, Lift

SMALL = Layout(frames=6, layers=2)


def untrained(layout: Layout, seed: int = 0) -> Lift:
    torch.manual_seed(seed)
    return Lift(layout).eval()


def clip(frames: int, size: tuple[int, int] = (32, 64), batch: int = 1) -> Tensor:
    return torch.rand(batch, frames, 3, *size, generator=torch.Generator().manual_seed(3))


def half(batch: int = 1) -> Tensor:
    return torch.full((batch,), 0.5)
