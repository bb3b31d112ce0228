"""Methods without weights: baselines, teachers, test doubles."""

from __future__ import annotations

import torch
from torch import Tensor

from .dis import Dis
from .entry import Entry
from .model import Model, Prediction, Spec, Tensors


class Nearest(Model):
    """The neighbour that is nearer in time; the first of the two at the midpoint. What a display without
    interpolation shows."""

    spec = Spec(context=(0, 1))

    def render(self, scene: Tensors, t: Tensor) -> Prediction:
        """Two frames `[B, 3, H, W]` in [0, 1] and `t` `[B]` -> one of them."""
        first, last = scene
        mask = (per_picture(t) <= 0.5).to(first.dtype).expand_as(first[:, :1])
        return Prediction(torch.where(mask > 0.5, first, last), {"mask": mask})


class Blend(Model):
    """The mean of both neighbours, weighted by time: the oldest way to a higher frame rate, and the ghosts with it."""

    spec = Spec(context=(0, 1))

    def render(self, scene: Tensors, t: Tensor) -> Prediction:
        """Two frames `[B, 3, H, W]` in [0, 1] and `t` `[B]` in [0, 1] -> `(1 - t) * first + t * last`."""
        first, last = scene
        mask = (1 - per_picture(t)).to(first.dtype).expand_as(first[:, :1])
        return Prediction(last + mask * (first - last), {"mask": mask})


def per_picture(t: Tensor) -> Tensor:
    """`[B]` -> `[B, 1, 1, 1]`, so that one time meets every pixel of its picture."""
    return t.view(-1, 1, 1, 1)


ROWS: tuple[Entry, ...] = (
    Entry("nearest", lambda scale: Nearest(), "the neighbour that is nearer in time", trained=False),  # noqa: ARG005
    Entry("blend", lambda scale: Blend(), "both neighbours, weighted by time", trained=False),  # noqa: ARG005
    Entry(
        "dis",
        lambda scale: Dis(),  # noqa: ARG005
        "dense optical flow both ways, warped and blended by agreement",
        paper="Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016",
        code_licence="Apache-2.0 (OpenCV)",
        trained=False,
    ),
)
