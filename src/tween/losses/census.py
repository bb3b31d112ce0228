"""The census transform: how each pixel differs from its neighbours, whatever the light.

Zabih & Woodfill, ECCV 1994; made soft and differentiable by Meister et al., "UnFlow", AAAI 2018.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

LUMA: Final = (0.2989, 0.5870, 0.1140)
SOFT, ROBUST = 0.81, 0.1  # where a difference stops counting more: of neighbours, squared, and of two transforms


def census(
    prediction: Tensor, target: Tensor, *, patch: int = 7, luma: bool = False, border: int | None = None
) -> Tensor:
    """Distance of the ternary census transforms of two pictures.

    Args:
        prediction, target: `[B, 3, H, W]` in [0, 1].
        patch: side of the neighbourhood.
        luma: weigh the colours as the eye does (RIFE, EMA-VFI) instead of alike (IFRNet).
        border: pixels at the edges that count as equal; half a patch, rounded down, if not given. (RIFE has 1.)

    Returns:
        Scalar, the mean over all pixels, those of the border included.
    """
    weights = prediction.new_tensor(LUMA if luma else (1 / 3,) * 3).view(1, 3, 1, 1)
    gray = [(picture * weights).sum(dim=1, keepdim=True) for picture in (prediction, target)]
    return _distance(gray[0], gray[1], patch, patch // 2 if border is None else border)


def geometry(features: Tensor, target: Tensor, *, patch: int = 3) -> Tensor:
    """Distance of the census transforms of two feature maps, channel by channel: IFRNet's geometry consistency.

    Gradients reach both sides: the encoder that made the target's features learns too.

    Args:
        features, target: `[B, C, h, w]`.
        patch: side of the neighbourhood.
    """
    return _distance(features, target, patch, patch // 2)


def _distance(a: Tensor, b: Tensor, patch: int, border: int) -> Tensor:
    """Mean over pixels, channels and neighbours of d^2 / (0.1 + d^2); 0 within `border` of the edges."""
    squared = (_transform(a, patch) - _transform(b, patch)).square()
    apart = (squared / (ROBUST + squared)).mean(dim=2)
    inside = F.pad(
        torch.ones_like(apart[..., border : a.shape[-2] - border, border : a.shape[-1] - border]), [border] * 4
    )
    return (apart * inside).mean()


def _transform(x: Tensor, patch: int) -> Tensor:
    """`[B, C, H, W]` -> `[B, C, patch^2, H, W]` in (-1, 1): the neighbours less the pixel, zeros beyond the edges."""
    around = F.unfold(x.flatten(0, 1).unsqueeze(1), patch, padding=patch // 2)
    difference = around.view(*x.shape[:2], patch**2, *x.shape[2:]) - x.unsqueeze(2)
    return difference / torch.sqrt(SOFT + difference.square())
