"""Two frames, warped and mixed, in one pass on a GPU. Importing this needs Triton.

for each pixel    flow -> four pixels of frame 0 --+
                  flow -> four pixels of frame 1 --+-- mask -- mean -- residual --> the frame at t

Eagerly each warp writes its grid before it reads it, and each step of the mix is a pass over the picture. Here nothing
lies between what is read and the frame. There are no gradients.
"""

from __future__ import annotations

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK: Final = 256  # pixels of a row that one program makes


@triton.jit
def _around(at: tl.tensor, last: tl.tensor) -> tl.tensor:
    """The pixel before a place on one axis, the one after it, and the latter's share; beyond the border the border
    goes on."""
    # not `maximum`: a place that is no number must end inside too
    at = tl.minimum(tl.where(at > 0, at, 0.0), last.to(tl.float32))
    before = at.to(tl.int32)
    return before, tl.minimum(before + 1, last), at - before.to(tl.float32)


@triton.jit
def _seen(
    plane: tl.tensor, left: tl.tensor, right: tl.tensor, share_x: tl.tensor, above: tl.tensor, below: tl.tensor,
    share_y: tl.tensor, inside: tl.tensor,
) -> tl.tensor:  # fmt: skip
    """One plane of a frame between four of its pixels; columns and rows are where they begin in memory."""
    a = tl.load(plane + above + left, mask=inside, other=0.0)
    b = tl.load(plane + above + right, mask=inside, other=0.0)
    c = tl.load(plane + below + left, mask=inside, other=0.0)
    d = tl.load(plane + below + right, mask=inside, other=0.0)
    return (a * (1 - share_x) + b * share_x) * (1 - share_y) + (c * (1 - share_x) + d * share_x) * share_y


@triton.jit(do_not_specialize=["height", "width"])
def kernel(  # type: ignore[no-untyped-def]
    first, second, flow, mask, mean, residual, out, height, width,
    first_b, first_c, first_y, first_x, second_b, second_c, second_y, second_x,
    flow_b, flow_c, flow_y, flow_x, mask_b, mask_y, mask_x, mean_b,
    residual_b, residual_c, residual_y, residual_x, out_b, out_c, out_y,
    channels: tl.constexpr, has_mean: tl.constexpr, has_residual: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """A block of pixels of one row, all channels. `first_x` and the like: how far one lies from the next in memory."""
    batch, y = tl.program_id(2).to(tl.int64), tl.program_id(1).to(tl.int64)
    x = tl.program_id(0) * block + tl.arange(0, block)
    inside = x < width
    motion = flow + batch * flow_b + y * flow_y + x * flow_x
    here_x, here_y = x.to(tl.float32), y.to(tl.float32)
    left_0, right_0, share_x0 = _around(here_x + tl.load(motion, mask=inside, other=0.0), width - 1)
    above_0, below_0, share_y0 = _around(here_y + tl.load(motion + flow_c, mask=inside, other=0.0), height - 1)
    left_1, right_1, share_x1 = _around(here_x + tl.load(motion + 2 * flow_c, mask=inside, other=0.0), width - 1)
    above_1, below_1, share_y1 = _around(here_y + tl.load(motion + 3 * flow_c, mask=inside, other=0.0), height - 1)
    left_0, right_0, left_1, right_1 = left_0 * first_x, right_0 * first_x, left_1 * second_x, right_1 * second_x
    above_0, below_0 = above_0.to(tl.int64) * first_y, below_0.to(tl.int64) * first_y
    above_1, below_1 = above_1.to(tl.int64) * second_y, below_1.to(tl.int64) * second_y
    weight = tl.load(mask + batch * mask_b + y * mask_y + x * mask_x, mask=inside, other=0.0)
    for channel in tl.static_range(channels):
        one, other = first + batch * first_b + channel * first_c, second + batch * second_b + channel * second_c
        mixed = weight * _seen(one, left_0, right_0, share_x0, above_0, below_0, share_y0, inside)
        mixed += (1 - weight) * _seen(other, left_1, right_1, share_x1, above_1, below_1, share_y1, inside)
        if has_mean:
            mixed += tl.load(mean + batch * mean_b)
        if has_residual:
            row = residual + batch * residual_b + channel * residual_c + y * residual_y
            mixed += tl.load(row + x * residual_x, mask=inside, other=0.0)
        tl.store(out + batch * out_b + channel * out_c + y * out_y + x, mixed, mask=inside)


def blend(
    first: Tensor, second: Tensor, flow: Tensor, mask: Tensor, mean: Tensor | None, residual: Tensor | None
) -> Tensor:
    """As `blend.blended`, of float32 tensors on one device, in whatever layout; the frame is contiguous."""
    batch, channels, height, width = first.shape
    out = torch.empty(first.shape, dtype=torch.float32, device=first.device)
    mask_b, _, mask_y, mask_x = mask.stride()
    with torch.cuda.device_of(first):  # Triton launches on the device that is current
        kernel[(triton.cdiv(width, BLOCK), height, batch)](
            first, second, flow, mask, first if mean is None else mean, first if residual is None else residual, out,
            height, width, *first.stride(), *second.stride(), *flow.stride(), mask_b, mask_y, mask_x,
            0 if mean is None else mean.stride(0), *((0, 0, 0, 0) if residual is None else residual.stride()),
            *out.stride()[:3], channels=channels, has_mean=mean is not None, has_residual=residual is not None,
            block=BLOCK, enable_fp_fusion=True,
        )  # fmt: skip
    return out
