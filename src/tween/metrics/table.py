"""Every metric by name: what it is, its unit, and which way is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from torch import Tensor

from . import image, perceptual, temporal


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        label: what a table prints over its column; no two are alike.
        about: what it is, in one line.
        unit: of its values, or "" where they have none.
        better: "higher" or "lower".
        value: (output, truth) -> values. Of a "picture" metric, `[B, 3, H, W]` in [0, 1] -> `[B]`; of a "clip" metric,
            `[N, 3, H, W]`, consecutive pictures -> `[N - 1]`.
        of: what it looks at.
        digits: after the point, in a table.
        files: weights that it needs, names of `ops.features.FILES`.
    """

    label: str
    about: str
    unit: str
    better: Literal["higher", "lower"]
    value: Callable[[Tensor, Tensor], Tensor]
    of: Literal["picture", "clip"] = "picture"
    digits: int = 4
    files: tuple[str, ...] = ()


METRICS: Final[dict[str, Metric]] = {
    "psnr": Metric(
        "PSNR", "peak signal-to-noise ratio of the values as they are", "dB", "higher", image.psnr, digits=2
    ),
    "psnr_8bit": Metric(
        "PSNR 8-bit",
        "the same after rounding to 256 levels, as files are compared",
        "dB",
        "higher",
        image.psnr_8bit,
        digits=2,
    ),
    "ssim_3d": Metric(
        "SSIM 3-D",
        "Gaussian 11x11x11 across the colours too, edges repeated: IFRNet, RIFE, EMA-VFI",
        "",
        "higher",
        image.ssim_3d,
    ),
    "ssim_2d": Metric("SSIM 2-D", "Gaussian 11x11 a colour, edges repeated", "", "higher", image.ssim_2d),
    "ssim_valid": Metric(
        "SSIM valid", "Gaussian 11x11 a colour, inside only: papers on prediction", "", "higher", image.ssim_valid
    ),
    "ssim_zero_padded": Metric(
        "SSIM zero-padded", "Gaussian 11x11 a colour, black around: LIFT", "", "higher", image.ssim_zero_padded
    ),
    "ms_ssim": Metric("MS-SSIM", "five scales, inside only: papers on prediction", "", "higher", image.ms_ssim),
    "ie": Metric(
        "IE",
        "mean absolute difference of 8-bit values: Middlebury",
        "levels",
        "lower",
        image.interpolation_error,
        digits=2,
    ),
    "lpips_alex": Metric(
        "LPIPS alex",
        "learned perceptual distance, AlexNet",
        "",
        "lower",
        perceptual.lpips_alex,
        files=("alexnet", "lpips_alex"),
    ),
    "lpips_vgg": Metric(
        "LPIPS vgg",
        "learned perceptual distance, VGG-16",
        "",
        "lower",
        perceptual.lpips_vgg,
        files=("vgg16", "lpips_vgg"),
    ),
    "tof": Metric(
        "tOF", "motion between outputs against motion between truths", "px", "lower", temporal.tof, "clip", 3
    ),
    "flicker": Metric(
        "flicker", "warping error of outputs along the truth's motion", "levels", "lower", temporal.flicker, "clip", 2
    ),
}
