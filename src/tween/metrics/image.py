"""PSNR, SSIM in its named variants, MS-SSIM, interpolation error: one picture against another.

All take `[B, C, H, W]` in [0, 1] and give `[B]`. The variants of SSIM differ by hundredths on the same pair, so every
table names the one it prints.
"""

from __future__ import annotations

from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import BadOption

Edges = Literal["replicate", "constant", "valid"]  # repeated, black, or only windows that lie inside

MS_WEIGHTS: Final = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the five scales, finest first (Wang et al. 2003)
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
    return _ssim_map(a, b, dims=3).flatten(1).mean(dim=1)


def ssim_2d(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of each colour by itself with an 11x11 Gaussian, edges repeated, then the mean. (Wang et al. 2004.)"""
    return _ssim_map(a, b, dims=2).flatten(1).mean(dim=1)


def ssim_zero_padded(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of each colour by itself with an 11x11 Gaussian, black beyond the edges: what LIFT's code prints."""
    return _ssim_map(a, b, dims=2, edges="constant").flatten(1).mean(dim=1)


def ssim_valid(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of each colour by itself over the 11x11 Gaussian windows that lie inside: what papers on prediction print.

    Raises:
        BadOption: a side of less than 11 pixels.
    """
    _large_enough(a, _WINDOW, "ssim_valid")
    return _ssim_map(a, b, dims=2, edges="valid").flatten(1).mean(dim=1)


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Multi-scale SSIM over five scales, windows inside only, values in [0, 1]: what papers on prediction print.

    Wang et al., "Multi-scale structural similarity for image quality assessment", 2003, with the habits of the packages
    in use: scales are halved by averaging (a last odd line counts black beside it), a negative factor counts as 0.

    Raises:
        BadOption: a side of less than 161 pixels, on which the coarsest scale has no room for a window.
    """
    _large_enough(a, (_WINDOW - 1) * 2 ** (len(MS_WEIGHTS) - 1) + 1, "ms_ssim")
    total = a.new_ones(a.shape[:2])
    for scale, weight in enumerate(MS_WEIGHTS):
        light, contrast = _ssim_factors(a, b, dims=2, edges="valid")
        last = scale == len(MS_WEIGHTS) - 1
        factor = (light * contrast if last else contrast).mean(dim=(2, 3))
        total = total * factor.clamp_min(0) ** weight
        if not last:
            odd = [side % 2 for side in a.shape[2:]]
            a, b = (F.avg_pool2d(picture, 2, padding=odd) for picture in (a, b))
    return total.mean(dim=1)


def _large_enough(picture: Tensor, side: int, what: str) -> None:
    height, width = picture.shape[-2:]
    if min(height, width) < side:
        raise BadOption(
            f"{what} of a picture of {width}x{height}", f"both sides must be {side} pixels or more", "ssim_2d"
        )


def _rounded(picture: Tensor) -> Tensor:
    return picture.clamp(0, 1).mul(255).round() / 255


def _ssim_map(a: Tensor, b: Tensor, dims: int, edges: Edges = "replicate") -> Tensor:
    light, contrast = _ssim_factors(a, b, dims, edges)
    return light * contrast


def _ssim_factors(a: Tensor, b: Tensor, dims: int, edges: Edges) -> tuple[Tensor, Tensor]:
    """How alike the means are, and how alike what lies around them, at every pixel."""
    mean_a, mean_b = _blur(a, dims, edges), _blur(b, dims, edges)
    var_a = _blur(a * a, dims, edges) - mean_a**2
    var_b = _blur(b * b, dims, edges) - mean_b**2
    cov = _blur(a * b, dims, edges) - mean_a * mean_b
    c1, c2 = _K1**2, _K2**2
    light = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return light, (2 * cov + c2) / (var_a + var_b + c2)


def _blur(x: Tensor, dims: int, edges: Edges = "replicate") -> Tensor:
    """A separable Gaussian over the last `dims` dimensions."""
    at = torch.arange(_WINDOW, dtype=x.dtype, device=x.device) - _WINDOW // 2
    weight = torch.exp(-(at**2) / (2 * _SIGMA**2))
    weight = weight / weight.sum()
    for dim in range(x.ndim - dims, x.ndim):
        lines = x.movedim(dim, -1)
        flat = lines.reshape(-1, 1, lines.shape[-1])
        padded = flat if edges == "valid" else F.pad(flat, (_WINDOW // 2, _WINDOW // 2), mode=edges)
        blurred = F.conv1d(padded, weight.view(1, 1, -1))
        x = blurred.reshape(*lines.shape[:-1], -1).movedim(-1, dim)
    return x
