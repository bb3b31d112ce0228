"""Deformable convolution: every tap of the kernel looks where an offset sends it, weighed by a mask.

  tap k = i * kw + j of output pixel (y, x) samples the image, bilinearly, at
      row     y * stride - padding + i * dilation + offset[2k]
      column  x * stride - padding + j * dilation + offset[2k + 1]
  and what lies outside the image is 0.

The same sum is written twice. On the CPU a pixel is a row of a table, a sample is a weighted sum of four rows
(`embedding_bag`: every core works, and on whole cache lines), and one matrix product serves all taps. Everywhere else,
and in every exported graph, it is a `grid_sample` and a 1x1 convolution for each tap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

BAND = 8192  # output pixels gathered at once on the CPU: their 67 channels x 9 taps are 20 MB


def deform_conv2d(
    image: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
) -> Tensor:
    """Modulated deformable convolution (Zhu et al., Deformable ConvNets v2, CVPR 2019), equal to torchvision's.

    Offset group g moves the g-th of G equal runs of channels. Gathering, offsets and mask are float32 (or float64)
    whatever the image is, also under autocast.

    Args:
        image: `[B, C, H, W]`.
        offset: `[B, 2 * G * kh * kw, H', W']` pixels; in each group channel 2k is tap k's y, 2k + 1 its x.
        weight: `[O, C, kh, kw]`.
        bias: `[O]` or None.
        mask: `[B, G * kh * kw, H', W']`, multiplies the samples, or None for 1.
        stride, padding, dilation: pixels, the same down and across.

    Returns:
        `[B, O, H', W']` of the image's dtype.

    Raises:
        ValueError: the shapes do not belong together.
    """
    mask = _checked_mask(image, offset, weight, mask)
    dtype, working = image.dtype, torch.promote_types(image.dtype, torch.float32)
    bias = weight.new_zeros(weight.shape[0]) if bias is None else bias
    image, offset, mask, weight, bias = (part.to(working) for part in (image, offset, mask, weight, bias))
    in_table = image.device.type == "cpu" and not torch.compiler.is_compiling()
    way = _by_table if in_table else torch.ops.tween.deform_conv2d
    return way(image, offset, mask, weight, bias, stride, padding, dilation).to(dtype)


def _checked_mask(image: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None) -> Tensor:
    """The mask, or ones where there is none, once the shapes are found to fit."""
    channels, taps = image.shape[1], weight.shape[2] * weight.shape[3]
    groups, rest = divmod(offset.shape[1], 2 * taps)
    if weight.shape[1] != channels:
        raise ValueError(f"a kernel for {weight.shape[1]} channels on an image of {channels}")
    if rest or groups == 0 or channels % groups:
        raise ValueError(f"{offset.shape[1]} offset channels fit neither {taps} taps nor {channels} image channels")
    if mask is None:
        return offset.new_ones(offset.shape[0], groups * taps, *offset.shape[2:])
    if mask.shape[1] != groups * taps:
        raise ValueError(f"a mask of {mask.shape[1]} channels where {groups * taps} are needed")
    return mask


def _origins(
    weight: Tensor, out_size: tuple[int, int], stride: int, padding: int, dilation: int
) -> tuple[Tensor, Tensor]:
    """Where the taps look before any offset: rows `[K, H', 1]` and columns `[K, 1, W']`, pixels."""
    high, wide = weight.shape[2:]
    tap = torch.arange(high * wide, dtype=weight.dtype, device=weight.device)
    i, j = tap.div(wide, rounding_mode="floor"), tap.remainder(wide)
    y = torch.arange(out_size[0], dtype=weight.dtype, device=weight.device) * stride - padding
    x = torch.arange(out_size[1], dtype=weight.dtype, device=weight.device) * stride - padding
    return (i * dilation).view(-1, 1, 1) + y.view(1, -1, 1), (j * dilation).view(-1, 1, 1) + x.view(1, 1, -1)


# ---- on the CPU ----------------------------------------------------------------------------------------------------


def _by_table(
    image: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int, dilation: int
) -> Tensor:
    """Band after band of output pixels: gather the samples of all taps, then one matrix product."""
    out_size, taps = (offset.shape[2], offset.shape[3]), weight.shape[2] * weight.shape[3]
    groups = mask.shape[1] // taps
    kernel = weight.view(weight.shape[0], groups, -1, taps).transpose(2, 3).reshape(weight.shape[0], -1)
    rows, columns = _origins(weight, out_size, stride, padding, dilation)
    learns = torch.is_grad_enabled() and any(part.requires_grad for part in (image, offset, mask, weight, bias))
    band = out_size[0] if learns else max(1, BAND // out_size[1])  # a band's gradient is as large as the whole table
    result = image.new_empty(image.shape[0], weight.shape[0], *out_size)
    for b in range(image.shape[0]):
        table = _table(image[b], groups)
        shift, share = offset[b].view(groups, taps, 2, *out_size), mask[b].view(groups, taps, *out_size)
        for top in range(0, out_size[0], band):
            part = slice(top, top + band)
            y = _pixel_major(rows[:, part] + shift[:, :, 0, part])
            x = _pixel_major(columns + shift[:, :, 1, part])
            where, how_much = _corners(y, x, _pixel_major(share[:, :, part]), image.shape)
            samples = F.embedding_bag(where, table, mode="sum", per_sample_weights=how_much)
            mixed = torch.addmm(bias[:, None], kernel, samples.view(-1, kernel.shape[1]).t())
            result[b, :, part] = mixed.view(-1, y.shape[0] // out_size[1], out_size[1])
    return result


def _pixel_major(field: Tensor) -> Tensor:
    """`[G, K, h, w]` -> `[h * w, G, K]`, in that order in memory."""
    return field.permute(2, 3, 0, 1).contiguous().view(-1, *field.shape[:2])


def _table(picture: Tensor, groups: int) -> Tensor:
    """`[C, H, W]` -> `[G * (H + 3) * (W + 3), C / G]`: a row a pixel, with a frame of zeros.

    The frame is one pixel wide above and left, two below and right, so that the four neighbours of every place from
    -1 to H, where samples have faded to nothing, have a row.
    """
    grouped = F.pad(picture, (1, 2, 1, 2)).view(groups, -1, (picture.shape[1] + 3) * (picture.shape[2] + 3))
    return grouped.transpose(1, 2).reshape(-1, grouped.shape[1])


def _corners(y: Tensor, x: Tensor, share: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Places `[P, G, K]`, pixels -> the four rows of the table around each, `[P * G * K, 4]`, and their weights."""
    height, width, pitch = shape[2], shape[3], shape[3] + 3
    y, x = y.clamp(-1, height), x.clamp(-1, width)
    top, left = y.floor(), x.floor()
    down, right = y - top, x - left
    first = (top.to(torch.int32) + 1) * pitch + (left.to(torch.int32) + 1)
    first = first.clamp_(0, (height + 1) * pitch + width + 1)  # a NaN has no place of its own
    group = torch.arange(y.shape[1], dtype=torch.int32).view(-1, 1) * ((height + 3) * pitch)
    where = (first + group).unsqueeze(-1) + torch.tensor([0, 1, pitch, pitch + 1], dtype=torch.int32)
    above, below = (1 - down) * share, down * share
    how_much = torch.stack((above * (1 - right), above * right, below * (1 - right), below * right), dim=-1)
    return where.view(-1, 4), how_much.view(-1, 4)


# ---- everywhere else, and in graphs --------------------------------------------------------------------------------

torch.library.define(
    "tween::deform_conv2d",
    "(Tensor image, Tensor offset, Tensor mask, Tensor weight, Tensor bias, int stride, int padding, int dilation)"
    " -> Tensor",
)


@torch.library.impl("tween::deform_conv2d", "CompositeImplicitAutograd")
def _by_tap(
    image: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor,
    stride: int,
    padding: int,
    dilation: int,
) -> Tensor:
    """Tap after tap, so that nothing larger than the image is ever held: sample, weigh, mix the channels, add up."""
    batch, channels, height, width = image.shape
    out_size, taps = (offset.shape[2], offset.shape[3]), weight.shape[2] * weight.shape[3]
    groups = mask.shape[1] // taps
    rows, columns = _origins(weight, out_size, stride, padding, dilation)
    image = image.reshape(batch * groups, channels // groups, height, width)
    offset = offset.reshape(batch * groups, taps, 2, *out_size)
    mask = mask.reshape(batch * groups, taps, 1, *out_size)
    total = bias.view(1, -1, 1, 1)
    for k in range(taps):
        # pixel centres at (2 p + 1) / size - 1: right for a side of one pixel too
        y = (2 * (rows[k] + offset[:, k, 0]) + 1) / height - 1
        x = (2 * (columns[k] + offset[:, k, 1]) + 1) / width - 1
        sample = F.grid_sample(image, torch.stack((x, y), dim=-1), padding_mode="zeros", align_corners=False)
        sample = (sample * mask[:, k]).reshape(batch, channels, *out_size)
        total = total + F.conv2d(sample, weight.flatten(2)[:, :, k, None, None])
    return total


def onnx_translation() -> dict[Callable[..., Any], Callable[..., Any]]:
    """A `custom_translation_table` for `torch.onnx.export` that writes each convolution as one DeformConv node.

    ONNX has the operator from opset 19. ONNX Runtime 1.31 runs it, OpenVINO 2026.4 does not read it: the target
    decides, and without the table plain operators are written, which everything reads.
    """
    from onnxscript import opset19 as op

    def translate(
        image: Any, offset: Any, mask: Any, weight: Any, bias: Any, stride: int, padding: int, dilation: int
    ) -> Any:
        taps = weight.shape[2] * weight.shape[3]
        return op.DeformConv(
            image,
            weight,
            offset,
            bias,
            mask,
            dilations=[dilation] * 2,
            offset_group=mask.shape[1] // taps,
            pads=[padding] * 4,
            strides=[stride] * 2,
        )

    return {torch.ops.tween.deform_conv2d.default: translate}
