"""Frames in between by dense optical flow (DIS: Kroeger et al., "Fast Optical Flow using Dense Inverse Search", 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..ops.warp import backward_warp
from .model import Model, Prediction, Spec, Tensors

SMALLEST = 16  # OpenCV's DIS needs a few patches of 8 pixels on each side


class Dis(Model):
    """Flow both ways, once a gap; warped to any t and blended by how well the two flows agree."""

    spec = Spec(context=(0, 1))

    def embed(self, frame: Tensor) -> Tensors:
        """`[B, 3, H, W]` in [0, 1] -> the frame and its luma, uint8 `[B, 1, H, W]` on the CPU."""
        weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float32).view(1, 3, 1, 1)
        luma = (frame.detach().float().cpu() * weights).sum(1, keepdim=True)
        return frame, luma.clamp(0, 1).mul(255).round().to(torch.uint8)

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """Two embeddings -> frames, and flows `[B, 2, H, W]` in pixels from each frame to the other."""
        (first, luma_first), (last, luma_last) = context
        ahead, back = both_flows(luma_first, luma_last)
        return first, last, ahead.to(first.device), back.to(first.device)

    def render(self, scene: Tensors, t: Tensor) -> Prediction:
        """The scene at `t` `[B]` in [0, 1]."""
        first, last, ahead, back = scene
        when = t.to(first.device).float().view(-1, 1, 1, 1)
        to_first = -(1 - when) * when * ahead + when * when * back
        to_last = (1 - when) * (1 - when) * ahead - when * (1 - when) * back
        mask = (1 - when).expand_as(first[:, :1])
        seen_first, seen_last = backward_warp(first, to_first), backward_warp(last, to_last)
        frame = (seen_last + mask * (seen_first - seen_last)).clamp(0, 1)
        return Prediction(frame, {"flow": torch.cat((to_first, to_last), 1), "mask": mask})


def both_flows(first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Luma uint8 `[B, 1, H, W]` of two frames -> the flow from each to the other, float32 `[B, 2, H, W]` pixels."""
    pairs = list(zip(first[:, 0].numpy(), last[:, 0].numpy(), strict=True))
    ahead = np.stack([flow_between(a, b) for a, b in pairs])
    back = np.stack([flow_between(b, a) for a, b in pairs])
    return torch.from_numpy(ahead), torch.from_numpy(back)


def flow_between(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Luma uint8 `[H, W]` twice -> where each pixel of `a` goes in `b`, float32 `[2, H, W]` pixels (x, y)."""
    if min(a.shape) < SMALLEST:
        return np.zeros((2, *a.shape), np.float32)
    import cv2

    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.ascontiguousarray(search.calc(a, b, None).transpose(2, 0, 1))
