"""LPIPS v0.1: learned perceptual similarity, as a metric and as a loss.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018. It needs two files of
the user's: the classifier's weights and the linear heads (`ops.features.FILES`).
"""

from __future__ import annotations

from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from .features import State, features

Net = Literal["alex", "vgg"]
STACK: Final = {"alex": "alexnet", "vgg": "vgg16"}
HEADS: Final = {"alex": "lpips_alex", "vgg": "lpips_vgg"}
LAYERS: Final = {
    "alex": ("relu1", "relu2", "relu3", "relu4", "relu5"),
    "vgg": ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"),
}
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of pictures in [-1, 1]


def lpips(a: Tensor, b: Tensor, *, net: Net, state: State, heads: State) -> Tensor:
    """How different two pictures look, `[B]`, 0 for equal ones.

    Args:
        a, b: `[B, 3, H, W]` in [0, 1].
        net: "alex" or "vgg".
        state: weights of AlexNet or VGG-16.
        heads: `lin0.model.1.weight` ... `lin4.model.1.weight`, `[1, C, 1, 1]` each.
    """
    shift, scale = (a.new_tensor(values).view(1, 3, 1, 1) for values in (SHIFT, SCALE))
    names = LAYERS[net]
    seen_a, seen_b = (features(STACK[net], state, (2 * picture - 1 - shift) / scale, names) for picture in (a, b))
    total = a.new_zeros(a.shape[0])
    for index, name in enumerate(names):
        apart = (_unit(seen_a[name]) - _unit(seen_b[name])).square()
        total = total + F.conv2d(apart, heads[f"lin{index}.model.1.weight"]).mean(dim=(1, 2, 3))
    return total


def _unit(x: Tensor) -> Tensor:
    """Each pixel's features, of length 1. `vector_norm` has a slope, 0, where all of them are 0."""
    return x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-10)
