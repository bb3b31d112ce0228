"""Flows: against a label or a teacher's, smooth, true to occlusion, and steady in time.

A flow is `[B, 2, H, W]` in pixels of its own grid, x then y; a pair of flows `[B, 4, H, W]` leads from the target to
frame 0, then to frame 1.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..ops.warp import backward_warp

VISIBLE = 50.0  # how fast a pixel stops counting where the warped frame and the truth differ (Lai et al. 2018)


def endpoint_error(flow: Tensor, label: Tensor) -> Tensor:
    """How far two pairs of flows lie apart, pixels, `[B, 2, H, W]`: to frame 0, to frame 1."""
    both = (flow - label).unflatten(1, (-1, 2)).square().sum(dim=2)
    return torch.sqrt(both + 1e-12)  # the root of 0 has no slope


def pyramid_error(flows: Iterable[Tensor], label: Tensor, *, power: float = 1.0) -> Tensor:
    """Mean of (endpoint error)^power, pixels of the label's grid, summed over flows of any size.

    A power below 1 lets what is far off, and often a mistake of the label, count less (Sun et al., "PWC-Net", CVPR
    2018, fine-tune with 0.4); within a tenth of a pixel it is a parabola, so that what is right pulls at nothing. A
    flow coarser than the label is held against the label's means.

    Args:
        flows: `[B, 4, H / k, W / k]` each, in pixels of their grids. label: `[B, 4, H, W]`.
    """
    total = label.new_zeros(())
    for flow in flows:
        scale = label.shape[-1] / flow.shape[-1]
        truth = F.interpolate(label, size=flow.shape[-2:], mode="area") if scale > 1 else label
        off = endpoint_error(scale * flow if scale > 1 else enlarged(flow, label), truth)
        total = total + (off if power == 1 else (off.square() + 0.01) ** (power / 2)).mean()
    return total


def robust_weight(flow: Tensor, label: Tensor, *, beta: float = 0.3) -> Tensor:
    """exp(-beta * endpoint error): how far a label is trusted, `[B, 2, H, W]` in (0, 1]. No gradient passes."""
    return torch.exp(-beta * endpoint_error(flow.detach(), label)).detach()


def adaptive_charbonnier(difference: Tensor, weight: Tensor) -> Tensor:
    """Mean of (d^2 + eps^2)^(w / 2), eps = 10^-((10 w - 1) / 3): near L1 where w is 1, and flat where it is 0."""
    eps = 10 ** (-(10 * weight - 1) / 3)
    return ((difference.square() + eps.square()) ** (weight / 2)).mean()


def flow_distillation(finest: Tensor, coarser: Iterable[Tensor], label: Tensor, *, beta: float = 0.3) -> Tensor:
    """IFRNet's task-oriented flow distillation: coarse flows learn a label as far as the task agrees with it.

    The finest flow, which only the task teaches, says where: at each pixel the label weighs less the further the two
    are apart. No gradient reaches the finest flow.

    Args:
        finest: `[B, 4, H, W]`.
        coarser: `[B, 4, H / k, W / k]` each, in pixels of their grids.
        label: `[B, 4, H, W]`.

    Returns:
        Scalar, the sum over coarser flows and both directions. (IFRNet weighs it with 0.01.)
    """
    weight = robust_weight(finest, label, beta=beta)
    total = label.new_zeros(())
    for flow in coarser:
        difference = (enlarged(flow, label) - label).unflatten(1, (2, 2))
        for way in range(2):
            total = total + adaptive_charbonnier(difference[:, way], weight[:, way : way + 1])
    return total


def enlarged(flow: Tensor, like: Tensor) -> Tensor:
    """A flow on the grid of `like`, in its pixels."""
    if flow.shape[-2:] == like.shape[-2:]:
        return flow
    height, width = like.shape[-2:]
    scale = flow.new_tensor((width / flow.shape[-1], height / flow.shape[-2])).repeat(flow.shape[1] // 2)
    resized = F.interpolate(flow, size=(height, width), mode="bilinear", align_corners=False)
    return resized * scale.view(1, -1, 1, 1)


def smoothness(flow: Tensor, target: Tensor | None = None, *, edges: float = 0.0) -> Tensor:
    """Mean absolute slope of flows along x plus along y, the mean over the flows.

    Args:
        flow: `[B, 2n, h, w]`.
        target: `[B, 3, H, W]`, for `edges`; it is resized to the flow's grid.
        edges: a step of the flow costs exp(-edges * |step of the target|), so that it may fall on an edge. LIFT by
            Kubin has 10; 0 is plain.
    """
    picture = flow.new_zeros((flow.shape[0], 1, *flow.shape[-2:])) if target is None or not edges else target
    picture = F.interpolate(picture, size=flow.shape[-2:], mode="bilinear", align_corners=False)
    total = flow.new_zeros(())
    for dim in (-1, -2):
        allowed = torch.exp(-edges * picture.diff(dim=dim).abs().mean(dim=1, keepdim=True))
        total = total + (flow.diff(dim=dim).abs() * allowed).mean()
    return total


def occlusion(visible: Tensor, warped_first: Tensor, warped_second: Tensor, target: Tensor) -> Tensor:
    """Each neighbour should be called visible where it, warped, is nearer to the target than the other: LIFT's term.

    Args:
        visible: logits `[B, 2, h, w]`, of frame 0 and of frame 1.
        warped_first, warped_second: `[B, 3, h, w]`, the neighbours as seen from the target.
        target: `[B, 3, H, W]`; it is resized.

    Returns:
        Scalar, the sum over both of the mean cross entropy.
    """
    small = F.interpolate(target, size=visible.shape[-2:], mode="bilinear", align_corners=False)
    off = [(warped.detach() - small).abs().mean(dim=1, keepdim=True) for warped in (warped_first, warped_second)]
    nearer = torch.cat((off[0] < off[1], off[1] < off[0]), dim=1).to(visible.dtype)
    return 2 * F.binary_cross_entropy_with_logits(visible, nearer)


def temporal(
    prediction: Tensor,
    first: Tensor,
    second: Tensor,
    flow: Tensor,
    *,
    target: Tensor | None = None,
    mode: str = "bilinear",
    padding: str = "border",
) -> Tensor:
    """How far the prediction departs from its two neighbours, followed along a flow: what flickers costs.

    deformvfi's idea with a flow that exists, and Lai et al.'s weight ("Learning Blind Video Temporal Consistency", ECCV
    2018): a pixel counts by exp(-50 |warped neighbour - target|^2), so what is hidden in a neighbour does not count.

    Args:
        prediction, first, second: `[B, 3, H, W]`.
        flow: `[B, 4, H, W]`, target -> first (x, y), target -> second (x, y). No gradient reaches it.
        target: `[B, 3, H, W]`, the truth that tells what is hidden; without it every pixel counts alike.
        mode, padding: of the warp.

    Returns:
        Scalar, the sum over both neighbours of the mean absolute difference.
    """
    total = prediction.new_zeros(())
    for frame, to_frame in ((first, flow[:, :2]), (second, flow[:, 2:4])):
        seen = backward_warp(frame, to_frame.detach(), mode=mode, padding=padding)
        off = (seen - prediction).abs()
        if target is not None:
            off = off * torch.exp(-VISIBLE * (seen - target).square().sum(dim=1, keepdim=True))
        total = total + off.mean()
    return total
