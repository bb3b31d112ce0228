"""The census transform: how each pixel differs from its neighbours, whatever the light.

Zabih & Woodfill, ECCV 1994; made soft and differentiable by Meister et al., "UnFlow", AAAI 2018.
"""

from __future__ import annotations

from typing import Any, Final

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
    """Mean over pixels, channels and neighbours of d^2 / (0.1 + d^2); 0 within `border` of the edges.

    What a pixel is to its neighbour, the neighbour is to it with the sign turned, so each pair is looked at once and
    counts for each of its two pixels that is not in the border: half the work.
    """
    reach, count = patch // 2, a.numel() * patch**2
    counts = F.pad(
        torch.ones_like(a[:1, :1, border : a.shape[-2] - border, border : a.shape[-1] - border]), [border] * 4
    )
    if border < reach:  # neighbours beyond the edges are 0
        a, b, counts = (F.pad(x, [reach - border] * 4) for x in (a, b, counts))
    total = a.new_zeros(())
    for down in range(reach + 1):
        for right in range(-reach if down else 1, reach + 1):
            here, there = _pair(down, right)
            squared = (_soft(a[there] - a[here]) - _soft(b[there] - b[here])).square()
            total = total + (squared / (ROBUST + squared) * (counts[here] + counts[there])).sum()
    return total / count


def _soft(difference: Tensor) -> Tensor:
    return difference * torch.rsqrt(SOFT + difference.square())


def _pair(down: int, right: int) -> tuple[Any, Any]:
    """Slices of all pixels that have a neighbour `down` and `right` of them, and of those neighbours."""
    rows, columns = (slice(0, -down or None), slice(down, None)), (slice(0, -right or None), slice(right, None))
    if right < 0:
        columns = (slice(-right, None), slice(0, right))
    return (..., rows[0], columns[0]), (..., rows[1], columns[1])
