"""Is it steady? Consecutive pictures of a clip against those of the truth.

Both take `[N, 3, H, W]` in [0, 1], N consecutive pictures of one clip at even steps, and give `[N - 1]`, one value a
step. Motion is DIS optical flow on 8-bit luma (Kroeger et al., ECCV 2016, OpenCV's medium preset), so the values stand
beside others made with the same flow, and not beside those of papers that used another.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import BadOption, MissingPackage, TooShort
from ..ops.warp import backward_warp

Array = np.ndarray[Any, Any]

SMALLEST_SIDE = 16  # pixels below which DIS has no room for its patches
LUMA = (0.299, 0.587, 0.114)


def tof(outputs: Tensor, truths: Tensor) -> Tensor:
    """tOF: how far the motion between consecutive outputs is from that between consecutive truths, pixels.

    The mean endpoint difference of both flows. (Chu et al., "Learning Temporal Coherence via Self-Supervision for
    GAN-based Video Generation", 2020; there with another flow and the sum of absolute differences.)

    Raises:
        TooShort: fewer than two pictures.
        BadOption: pictures that are not of one shape, or too small for a flow.
        MissingPackage: OpenCV is not installed.
    """
    _comparable(outputs, truths)
    apart = _steps(outputs) - _steps(truths)
    return apart.square().sum(dim=1).sqrt().mean(dim=(1, 2))


def flicker(outputs: Tensor, truths: Tensor) -> Tensor:
    """Warping error of consecutive outputs along the truth's motion, in 8-bit grey levels.

    E_warp of Lai et al., "Learning Blind Video Temporal Consistency", ECCV 2018: each output is compared with the one
    before it, brought there by the flow of the truths; pixels whose forward and backward flow disagree (hidden in one
    of the two, after Sundaram et al., ECCV 2010) are left out. Given here as the root of the mean square, times 255.
    Real pictures flicker too: `flicker(truths, truths)` is what perfect outputs would have.

    Raises:
        TooShort, BadOption, MissingPackage: as `tof`.
    """
    _comparable(outputs, truths)
    luma = _luma(truths)
    errors = []
    for place in range(1, len(luma)):
        back, ahead = _flow(luma[place], luma[place - 1]), _flow(luma[place - 1], luma[place])
        seen = _visible(back, ahead).to(outputs.device)
        before = backward_warp(outputs[place - 1 : place].float(), back.to(outputs.device))
        squared = (outputs[place : place + 1] - before).square().mean(dim=1, keepdim=True)
        errors.append(255 * ((squared * seen).sum() / seen.sum().clamp_min(1)).sqrt())
    return torch.stack(errors)


def _comparable(outputs: Tensor, truths: Tensor) -> None:
    if outputs.shape != truths.shape:
        raise BadOption(f"{list(outputs.shape)} against {list(truths.shape)}", "a picture for every picture is needed")
    if len(outputs) < 2:
        raise TooShort(f"a clip of {len(outputs)} pictures", "steadiness needs two or more")
    if min(outputs.shape[-2:]) < SMALLEST_SIDE:
        height, width = outputs.shape[-2:]
        raise BadOption(f"motion of pictures of {width}x{height}", f"both sides must be {SMALLEST_SIDE} pixels or more")


def _steps(pictures: Tensor) -> Tensor:
    """Motion from each picture to the next, `[N - 1, 2, H, W]` pixels (x, y)."""
    luma = _luma(pictures)
    return torch.cat([_flow(a, b) for a, b in pairwise(luma)]).to(pictures.device)


def _luma(pictures: Tensor) -> list[Array]:
    """`[N, 3, H, W]` -> N of `[H, W]`, uint8."""
    weights = pictures.new_tensor(LUMA).view(1, 3, 1, 1)
    gray = (pictures.detach() * weights).sum(dim=1).clamp(0, 1).mul(255).round()
    return list(gray.to(torch.uint8).cpu().numpy())


def _flow(a: Array, b: Array) -> Tensor:
    """Where each pixel of `a` is in `b`, relative, `[1, 2, H, W]` (x, y)."""
    try:
        import cv2
    except ImportError as error:
        need, fix = "it finds the motion that steadiness is measured by", "pip install opencv-python-headless"
        raise MissingPackage("OpenCV is not installed", need, fix) from error
    opencv: Any = cv2  # its type stubs know nothing of DIS
    search = opencv.DISOpticalFlow_create(opencv.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return torch.from_numpy(search.calc(np.ascontiguousarray(a), np.ascontiguousarray(b), None)).permute(2, 0, 1)[None]


def _visible(flow: Tensor, other: Tensor) -> Tensor:
    """1 where going by `flow` and back by `other` ends near the start, `[1, 1, H, W]`; 0 elsewhere and outside."""
    returned = backward_warp(other, flow)
    gap = (flow + returned).square().sum(dim=1, keepdim=True)
    length = (flow.square() + returned.square()).sum(dim=1, keepdim=True)
    inside = backward_warp(torch.ones_like(length), flow, padding="zeros") > 0.999
    return ((gap < 0.01 * length + 0.5) & inside).float()
