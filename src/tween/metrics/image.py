"""PSNR, SSIM in its named variants, interpolation error: one picture against another.

All take `[B, C, H, W]` in [0, 1] and give `[B]`. The variants of SSIM differ by hundredths on the same pair, so every
table names the one it prints.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_K1, _K2, _WINDOW, _SIGMA = 0.01, 0.03, 11, 1.5


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio, dB, over all values of a picture; inf for equal ones."""
    return -10 * torch.log10((a - b).square().mean(dim=(1, 2, 3)))


def psnr_8bit(a: Tensor, b: Tensor) -> Tensor:
    """PSNR after rounding both to 256 levels, as pictures on disk are compared."""
    return psnr(_rounded(a), _rounded(b))


def interpolation_error(a: Tensor, b: Tensor) -> Tensor:
    """Middlebury's IE as IFRNet prints it: mean absolute difference of 8-bit values, 0 to 255."""
    return (_rounded(a) - _rounded(b)).abs().mean(dim=(1, 2, 3)) * 255


def ssim_3d(a: Tensor, b: Tensor) -> Tensor:
    """SSIM over a volume: an 11x11x11 Gaussian runs across the colours too, edges repeated.

    What IFRNet, RIFE and EMA-VFI print. (Wang et al. 2004; the volume is a habit of this field.)
    """
    return _ssim_map(a.unsqueeze(1), b.unsqueeze(1), dims=3).flatten(1).mean(dim=1)


def ssim_2d(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of each colour by itself with an 11x11 Gaussian, edges repeated, then the mean. (Wang et al. 2004.)"""
    return _ssim_map(a, b, dims=2).flatten(1).mean(dim=1)


def _rounded(picture: Tensor) -> Tensor:
    return picture.clamp(0, 1).mul(255).round() / 255


def _ssim_map(a: Tensor, b: Tensor, dims: int) -> Tensor:
    mean_a, mean_b = _blur(a, dims), _blur(b, dims)
    var_a = _blur(a * a, dims) - mean_a**2
    var_b = _blur(b * b, dims) - mean_b**2
    cov = _blur(a * b, dims) - mean_a * mean_b
    c1, c2 = _K1**2, _K2**2
    top = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
    bottom = (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return top / bottom


def _blur(x: Tensor, dims: int) -> Tensor:
    """A separable Gaussian over the last `dims` dimensions, edges repeated."""
    at = torch.arange(_WINDOW, dtype=x.dtype, device=x.device) - _WINDOW // 2
    weight = torch.exp(-(at**2) / (2 * _SIGMA**2))
    weight = weight / weight.sum()
    for dim in range(x.ndim - dims, x.ndim):
        lines = x.movedim(dim, -1)
        shape = lines.shape
        padded = F.pad(lines.reshape(-1, 1, shape[-1]), (_WINDOW // 2, _WINDOW // 2), mode="replicate")
        x = F.conv1d(padded, weight.view(1, 1, -1)).reshape(shape).movedim(-1, dim)
    return x
