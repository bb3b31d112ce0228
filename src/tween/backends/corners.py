"""A transposed convolution as one that multiplies by no zeros."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Corners(nn.Module):
    """A transposed convolution (4x4, stride 2, padding 1) as one 2x2 convolution; engines run it twice as fast.

    o | o | o      A value o of the small picture lies amid four pixels of the large one. Around each corner
    --+---+--      + between them are four pixels of the large picture (- and | pass between them) that look at
    o | o | o      the same four values. So `[B, C, h, w]` -> `[B, 4 * out, h + 1, w + 1]`: pixel by pixel of a
                   corner, from the top left; those beyond the border are nobody's.

    Args:
        layer: that convolution, which stays as it is.
        exact: for a network of residuals. In bf16 OpenVINO keeps what leads from the last convolution to an output in
            f32, and a transposed one is none to it: written so (stride 1, which is the same), it stays in f32 itself,
            and so do the sums before it; for RIFE that is worth 3.5 dB.
    """

    def __init__(self, layer: nn.ConvTranspose2d, *, exact: bool = False) -> None:
        super().__init__()
        self.exact = exact
        kernel = layer.weight.detach()  # [in, out, 4, 4]
        # Pixel a of a corner is 2 * corner - 1 + a; it sees value corner - 1 + s through tap 2 + a - 2 * s.
        parts = [kernel[:, :, [2 + a, a]][..., [2 + b, b]].transpose(0, 1) for a in (0, 1) for b in (0, 1)]
        self.weight = nn.Parameter(torch.cat(parts).contiguous(), requires_grad=False)
        bias = torch.zeros(kernel.shape[1]) if layer.bias is None else layer.bias.detach()
        self.bias = nn.Parameter(bias.repeat(4), requires_grad=False)

    def forward(self, values: Tensor) -> Tensor:
        if self.exact:
            return F.conv_transpose2d(values, self.weight.flip(2, 3).transpose(0, 1), self.bias)
        return F.conv2d(values, self.weight, self.bias, padding=1)
