"""Two frames, warped and mixed: the last step of networks that say a flow to each frame and a mask."""

from __future__ import annotations

import logging
from functools import cache

import torch
from torch import Tensor

from .warp import backward_warp

log = logging.getLogger("tween")
CLOSE = 1e-4  # of what the kernel shows to what the eager way shows, on pictures in [0, 1]


def blended(
    first: Tensor,
    second: Tensor,
    flow: Tensor,
    mask: Tensor,
    *,
    mean: Tensor | None = None,
    residual: Tensor | None = None,
) -> Tensor:
    """`mask` of the first frame and the rest of the second, each warped, and what is added to them.

    On a GPU, without gradients and with Triton at hand, this is one pass (`blend_kernel.py`), which is tried on a small
    picture first; everywhere else it is `eager`. Both show the same.

    Args:
        first, second: `[B, C, H, W]`, any range.
        flow: `[B, 4, H, W]` pixels, target -> first (x, y), target -> second (x, y). Outside the edge goes on.
        mask: `[B, 1, H, W]` in [0, 1].
        mean: `[B, 1, 1, 1]`, or None. residual: `[B, C, H, W]`, or None.

    Returns:
        `[B, C, H, W]`, not clamped.
    """
    if suits(first, second, flow, mask, mean, residual) and runs_on(first.device):
        from .blend_kernel import blend

        return blend(first, second, flow, mask, mean, residual)
    return eager(first, second, flow, mask, mean, residual)


def eager(
    first: Tensor, second: Tensor, flow: Tensor, mask: Tensor, mean: Tensor | None, residual: Tensor | None
) -> Tensor:
    """As `blended`, step by step."""
    shown = mask * backward_warp(first, flow[:, :2]) + (1 - mask) * backward_warp(second, flow[:, 2:])
    for more in (mean, residual):
        if more is not None:
            shown = shown + more
    return shown


def suits(
    first: Tensor, second: Tensor, flow: Tensor, mask: Tensor, mean: Tensor | None, residual: Tensor | None
) -> bool:
    """Whether these are for the kernel: float32 on one GPU, of the shapes that `blended` names, with no gradient wanted
    and no graph being traced."""
    if not first.is_cuda or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    batch, channels, *size = first.shape
    parts = ((first, channels), (second, channels), (flow, 4), (mask, 1), (residual, channels))
    tensors = [(part, (batch, many, *size)) for part, many in parts if part is not None]
    if mean is not None:
        tensors.append((mean, (batch, 1, 1, 1)))
    learns = torch.is_grad_enabled() and any(part.requires_grad for part, _ in tensors)
    return not learns and all(
        part.shape == shape and part.dtype == torch.float32 and part.device == first.device for part, shape in tensors
    )


@cache
def runs_on(device: torch.device) -> bool:
    """Whether the kernel runs on a device, and shows there what the eager way shows. Asked once, of a small picture."""
    try:
        from .blend_kernel import blend
    except ImportError:
        return False
    made = torch.Generator().manual_seed(0)
    first, second, residual = (torch.rand(2, 3, 9, 14, generator=made).to(device) for _ in range(3))
    flow, mask = 8 * torch.randn(2, 4, 9, 14, generator=made), torch.rand(2, 1, 9, 14, generator=made)
    case = (first, second, flow.to(device), mask.to(device), first[:, :1, :1, :1], residual)
    try:
        away = float((blend(*case) - eager(*case)).abs().max())
    except Exception as error:  # Triton compiles with what it finds: no C compiler, a GPU it does not know, ...
        log.info("frames are blended step by step on %s, as Triton compiles nothing there: %s", device, error)
        return False
    if not away <= CLOSE:
        log.warning("frames are blended step by step on %s, as Triton's are off by %g there", device, away)
    return away <= CLOSE
