"""PSNR, SSIM in its named variants, MS-SSIM, interpolation error: one picture against another.

All take `[B, C, H, W]` in [0, 1] and give `[B]`. The variants of SSIM differ by hundredths on the same pair, so every
table names the one it prints.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import BadOption
from ..ops.present import has_numba

Edges = Literal["replicate", "constant", "valid"]  # repeated, black, or only windows that lie inside

MS_WEIGHTS: Final = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the five scales, finest first (Wang et al. 2003)
_K1, _K2, _WINDOW, _SIGMA = 0.01, 0.03, 11, 1.5
_BAND: Final = 1 << 15  # pixels of a band of rows, about: its maps stay in the cache
_ROWS: Final = 48  # at least, of a band: its neighbours' rows are blurred once more


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
    return _ssim(a, b, dims=3)


def ssim_2d(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of each colour by itself with an 11x11 Gaussian, edges repeated, then the mean. (Wang et al. 2004.)"""
    return _ssim(a, b, dims=2)


def ssim_zero_padded(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of each colour by itself with an 11x11 Gaussian, black beyond the edges: what LIFT's code prints."""
    return _ssim(a, b, dims=2, edges="constant")


def ssim_valid(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of each colour by itself over the 11x11 Gaussian windows that lie inside: what papers on prediction print.

    Raises:
        BadOption: a side of less than 11 pixels.
    """
    _large_enough(a, _WINDOW, "ssim_valid")
    return _ssim(a, b, dims=2, edges="valid")


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


def _ssim(a: Tensor, b: Tensor, dims: int, edges: Edges = "replicate") -> Tensor:
    """The mean of the map; where it is not one pass, in bands of rows: a third of the time of whole maps at 1080p, and
    at 4K not gigabytes."""
    if edges == "replicate" and _is_plain(a) and _is_plain(b) and has_numba():
        return _ssim_in_one_pass(a, b, dims)
    height, half = a.shape[2], _WINDOW // 2
    rows = max(_ROWS, _BAND // a.shape[3])
    total, count = a.new_zeros(a.shape[0]), 0
    for top in range(0, height, rows):
        bottom = height if height < top + rows + _WINDOW else top + rows  # no last band without room for a window
        above, below = min(half, top), min(half, height - bottom)
        band = slice(top - above, bottom + below)
        seen = _ssim_map(a[:, :, band], b[:, :, band], dims, edges)
        if edges != "valid":  # there the rows of other bands are gone with the window
            seen = seen[:, :, above : seen.shape[2] - below]
        total, count = total + seen.flatten(1).sum(dim=1), count + seen[0].numel()
        if bottom == height:
            break
    return total / count


def _ssim_in_one_pass(a: Tensor, b: Tensor, dims: int) -> Tensor:
    from .windows import ssim_sum

    mixing = np.array(_mixing(a.shape[1])) if dims == 3 else np.eye(a.shape[1])
    how = _taps(), mixing, (_K1**2, _K2**2)
    pairs = zip(a.detach().contiguous().numpy(), b.detach().contiguous().numpy(), strict=True)
    return a.new_tensor([ssim_sum(one, other, *how) / one.size for one, other in pairs])


def _ssim_map(a: Tensor, b: Tensor, dims: int, edges: Edges = "replicate") -> Tensor:
    light, contrast = _ssim_factors(a, b, dims, edges)
    return light * contrast


def _ssim_factors(a: Tensor, b: Tensor, dims: int, edges: Edges) -> tuple[Tensor, Tensor]:
    """How alike the means are, and how alike what lies around them, at every pixel."""
    both = torch.cat([a, b])
    squares = both.square()  # both variances are only ever added up
    blurred = _blur(torch.cat([both, squares[: len(a)] + squares[len(a) :], a * b]), dims, edges)
    mean_a, mean_b, spread, shared = blurred.chunk(4)
    means = mean_a * mean_b
    mean_squares = torch.addcmul(mean_a.square(), mean_b, mean_b)
    c1, c2 = _K1**2, _K2**2
    contrast = (shared - means).mul_(2).add_(c2).div_((spread - mean_squares).add_(c2))
    return means.mul_(2).add_(c1).div_(mean_squares.add_(c1)), contrast


def _blur(x: Tensor, dims: int, edges: Edges = "replicate") -> Tensor:
    """A separable Gaussian over height and width of `[N, C, H, W]`, with `dims` = 3 over the colours too."""
    weight = x.new_tensor(_taps())
    blurred = _planes_by_opencv(x, weight, edges) if _is_plain(x) else _planes_by_torch(x, weight, edges)
    if dims == 2:
        return blurred
    return (x.new_tensor(_mixing(x.shape[1])) @ blurred.flatten(2)).view_as(blurred)


@cache
def _taps() -> tuple[float, ...]:
    weight = [math.exp(-((i - _WINDOW // 2) ** 2) / (2 * _SIGMA**2)) for i in range(_WINDOW)]
    return tuple(value / math.fsum(weight) for value in weight)


@cache
def _mixing(colours: int) -> tuple[tuple[float, ...], ...]:
    """The Gaussian over so short an axis as the colours', edges repeated, as a matrix."""
    matrix = [[0.0] * colours for _ in range(colours)]
    for row in range(colours):
        for place, share in enumerate(_taps(), row - _WINDOW // 2):
            matrix[row][min(max(place, 0), colours - 1)] += share
    return tuple(map(tuple, matrix))


def _is_plain(x: Tensor) -> bool:
    """True for numbers that OpenCV can take as they are; it is 7 times as fast as a convolution on the CPU."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and not x.requires_grad


def _planes_by_opencv(x: Tensor, weight: Tensor, edges: Edges) -> Tensor:
    import cv2

    beyond = cv2.BORDER_CONSTANT if edges == "constant" else cv2.BORDER_REPLICATE
    planes, taps = x.detach().reshape(-1, *x.shape[-2:]).numpy(), weight.numpy()
    out = torch.empty(planes.shape, dtype=x.dtype)
    for plane, blurred in zip(planes, out.numpy(), strict=True):
        cv2.sepFilter2D(plane, -1, taps, taps, dst=blurred, borderType=beyond)
    half = _WINDOW // 2
    return out.view(x.shape)[..., half:-half, half:-half] if edges == "valid" else out.view(x.shape)


def _planes_by_torch(x: Tensor, weight: Tensor, edges: Edges) -> Tensor:
    planes = x.reshape(-1, 1, *x.shape[-2:])
    padded = planes if edges == "valid" else F.pad(planes, (_WINDOW // 2,) * 4, mode=edges)
    blurred = F.conv2d(F.conv2d(padded, weight.view(1, 1, 1, -1)), weight.view(1, 1, -1, 1))
    return blurred.view(*x.shape[:-2], *blurred.shape[-2:])
