"""Pictures compared by what a trained classifier sees in them. (LPIPS, which is a metric too, is in `ops.lpips`.)"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from ..ops.features import State, features, normalised

IFRVP_LAYERS: Final = {  # Practical-RIFE and IFRVP, VGG-19; their factor of 0.1 is in it
    "relu1_1": 0.1 / 2.6,
    "relu2_1": 0.1 / 4.8,
    "relu3_1": 0.1 / 3.7,
    "relu4_1": 0.1 / 5.6,
    "relu5_1": 0.1 * 10 / 1.5,
}
DEFORMVFI_LAYERS: Final = {"relu2_2": 1.0}  # VGG-16
DEFORMVFI_SIZE: Final = 224  # pixels of a side, to which it resizes pictures


def vgg(
    prediction: Tensor, target: Tensor, *, net: str, state: State, layers: Mapping[str, float], size: int | None = None
) -> Tensor:
    """Weighted sum over layers of the mean absolute difference of what a VGG sees. (Johnson et al., ECCV 2016.)

    Args:
        prediction, target: `[B, 3, H, W]` in [0, 1]. No gradient reaches the target.
        net: "vgg16" or "vgg19".
        state: its weights, on the pictures' device.
        layers: name -> weight.
        size: both pictures are resized to a square of this side first; None leaves them.
    """
    if size is not None:
        square = (size, size)
        prediction = F.interpolate(prediction, size=square, mode="bilinear", align_corners=False)
        target = F.interpolate(target, size=square, mode="bilinear", align_corners=False)
    seen = features(net, state, normalised(prediction), layers)
    with torch.no_grad():
        wanted = features(net, state, normalised(target), layers)
    terms = [weight * (seen[name] - wanted[name]).abs().mean() for name, weight in layers.items()]
    return torch.stack(terms).sum()
