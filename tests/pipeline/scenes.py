"""Frames made by formula, for the pipeline's tests."""

from fractions import Fraction

import torch

from tween.frame import Frame


def moving(
    n: int, *, size=(48, 64), step: float = 2.0, seed: int = 0, rate=Fraction(25), start=Fraction(0)
) -> list[Frame]:
    """`n` frames of a smooth random texture that slides `step` pixels a frame."""
    height, width = size
    generator = torch.Generator().manual_seed(seed)
    lattice = torch.rand(1, 3, height // 4 + 2, width // 2 + 2, generator=generator)
    wall = torch.nn.functional.interpolate(lattice, size=(height, 4 * width), mode="bicubic").clamp(0, 1)[0]
    frames = []
    for k in range(n):
        x = round(k * step)
        frames.append(Frame((wall[:, :, x : x + width] * 255).round().to(torch.uint8).contiguous(), start + k / rate))
    return frames
