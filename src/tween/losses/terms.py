"""One picture against another, by pixels, edges, frequencies and colours.

All take a prediction and a target `[B, C, H, W]` in [0, 1] and give a scalar that can be minimised.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import BadOption

Blur = Literal["binomial", "gaussian"]
BLURS: Final = {  # five taps that sum to 1
    "binomial": (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16),
    "gaussian": tuple(math.exp(-x * x / 2) / sum(math.exp(-y * y / 2) for y in range(-2, 3)) for x in range(-2, 3)),
}


def charbonnier(prediction: Tensor, target: Tensor, *, eps: float = 1e-3) -> Tensor:
    """Mean of sqrt(d^2 + eps^2): an L1 that is round at 0. (Charbonnier et al., ICIP 1994.)"""
    return torch.sqrt((prediction - target).square() + eps**2).mean()


def l1(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference."""
    return (prediction - target).abs().mean()


def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference."""
    return (prediction - target).square().mean()


def log_mse(prediction: Tensor, target: Tensor, *, eps: float = 1e-5) -> Tensor:
    """Mean over the batch of ln(MSE + eps), each picture's own: 10 / ln 10 of it is less PSNR, so that easy and hard
    pictures count alike. `eps` is where better no longer pays: 1e-5 is 50 dB."""
    return ((prediction - target).square().mean((1, 2, 3)) + eps).log().mean()


def laplacian(prediction: Tensor, target: Tensor, *, blur: Blur = "binomial", levels: int = 5) -> Tensor:
    """L1 of the band-passes of a Laplacian pyramid, summed over its levels, all weighing the same.

    The low-pass that remains is not compared, so an equal change of all pixels costs nothing: use it beside a term
    that sees it. A pyramid is linear, so that of the difference is built, once.

    Args:
        prediction, target: `[B, C, H, W]`.
        blur: "binomial" as IFRVP, RIFE and EMA-VFI have it, "gaussian" (sigma 1) as LIFT does.
        levels: of band-passes.

    Raises:
        BadOption: a picture too small for so many levels.
    """
    rest = prediction - target
    if min(rest.shape[-2:]) <= 2 * 2 ** (levels - 1):
        height, width = rest.shape[-2:]
        need = f"both sides must be larger than {2**levels} pixels"
        raise BadOption(f"a Laplacian pyramid of {levels} levels on {width}x{height}", need, "fewer levels")
    total = rest.new_zeros(())
    for _ in range(levels):
        low = _blurred(rest, blur)[..., ::2, ::2]
        total = total + (rest - _grown(low, blur, rest.shape)).abs().mean()
        rest = low
    return total


def gradient(prediction: Tensor, target: Tensor) -> Tensor:
    """L1 of the Sobel gradients, along x and along y, each colour by itself; black beyond the edges."""
    kernel = prediction.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    difference = (prediction - target).flatten(0, 1).unsqueeze(1)
    slopes = F.conv2d(difference, torch.stack((kernel, kernel.T)).unsqueeze(1), padding=1)
    return slopes.abs().sum(dim=1).mean()


def frequency(prediction: Tensor, target: Tensor) -> Tensor:
    """L1 of the real and the imaginary parts of the plain (un-normalised) Fourier transforms, as IFRVP has it.

    It grows with the number of pixels: IFRVP's weight of 0.1 belongs to crops of 256 x 256.
    """
    return torch.view_as_real(torch.fft.fft2(prediction - target)).abs().mean()


def focal_frequency(prediction: Tensor, target: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Squared distance of the unitary Fourier transforms, each frequency weighed by how wrong it is.

    Jiang et al., "Focal Frequency Loss", ICCV 2021: the weight is (|d| / the largest |d| of its colour)^alpha, and no
    gradient goes through it.
    """
    distance = torch.view_as_real(torch.fft.fft2(prediction - target, norm="ortho")).square().sum(dim=-1)
    with torch.no_grad():
        weight = distance.sqrt() ** alpha
        weight = weight / weight.amax(dim=(-2, -1), keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)
    return (weight * distance).mean()


def colour(prediction: Tensor, target: Tensor, *, levels: int = 64) -> Tensor:
    """L1 between the histograms of each colour, summed over colours, the mean over the batch.

    A pixel between two levels counts partly for each, by nearness, so the histogram moves with the pixel and the term
    can be learnt from; counting by `floor`, as deformvfi does, gives no gradient. Of pictures of `levels` exact values
    both histograms are the same.

    Args:
        prediction, target: `[B, C, H, W]`; what lies outside [0, 1] counts for the nearest end.
        levels: of the histogram. deformvfi counts 256, of which so few pixels fall on each that the slope is mostly
            noise: a wrong contrast, which 64 or 32 levels correct, stays half wrong with 256.
    """
    return (histogram(prediction, levels) - histogram(target, levels)).abs().sum(dim=(1, 2)).mean()


def histogram(picture: Tensor, levels: int = 64) -> Tensor:
    """`[B, C, H, W]` in [0, 1] -> `[B, C, levels]`, each colour's share of pixels at 0, 1 / (levels - 1), ..., 1."""
    at = picture.flatten(2).clamp(0, 1) * (levels - 1)
    below = at.detach().floor().clamp(max=levels - 2)
    above = at - below
    empty = picture.new_zeros((*at.shape[:2], levels))
    counted = empty.scatter_add(2, below.long(), 1 - above).scatter_add(2, below.long() + 1, above)
    return counted / at.shape[2]


def _blurred(picture: Tensor, blur: Blur, gain: float = 1.0) -> Tensor:
    """Five taps along both axes, mirrored at the edges."""
    taps = picture.new_tensor(BLURS[blur])
    padded = F.pad(picture, (2, 2, 2, 2), mode="reflect").flatten(0, 1).unsqueeze(1)
    return F.conv2d(padded, (gain * torch.outer(taps, taps)).view(1, 1, 5, 5)).view(picture.shape)


def _grown(low: Tensor, blur: Blur, shape: torch.Size) -> Tensor:
    """Twice the size: every second pixel is zero, then blurred; `shape` says whether a last line is odd."""
    spread = low.new_zeros(shape)
    spread[..., ::2, ::2] = low
    return _blurred(spread, blur, gain=4.0)
