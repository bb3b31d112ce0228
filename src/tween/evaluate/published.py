"""The table of the field: what papers and projects print, beside which ours stand.

Values are copied, not measured here. Where the variant of SSIM is not known it is called `ssim`; those that IFRNet's
authors computed are `ssim_3d`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

IFRNET: Final = "IFRNet README, figures/benchmarks.png (paper table 1)"
OTHERS: Final = "IFRNet's table 1, a row of others; its SSIM may be another variant"
SNU: Final = ("snu-film-easy", "snu-film-medium", "snu-film-hard", "snu-film-extreme")


@dataclass(frozen=True)
class Published:
    """One published figure, or a few of one row.

    Attributes:
        protocol: of `protocols.PROTOCOLS`. model: as its authors call it.
        scores: metric -> value; `ssim` where the variant is not known.
        source: where it stands.
        name: the zoo's network that it belongs to, or "".
        step: predicting, the t + n that it is printed for, a running mean; 0 otherwise.
    """

    protocol: str
    model: str
    scores: dict[str, float]
    source: str
    name: str = ""
    step: int = 0


def _row(model: str, name: str, source: str, kind: str, values: str) -> list[Published]:
    """PSNR/SSIM of Vimeo-90K, UCF101 and SNU-FILM's four levels, as the table has them; `-` where it has none."""
    pairs = [value.split("/") for value in values.split()]
    return [
        Published(protocol, model, {"psnr": float(pair[0]), kind: float(pair[1])}, source, name)
        for protocol, pair in zip(("vimeo90k", "ucf101", *SNU), pairs, strict=False)
        if pair[0] != "-"
    ]


FIELD: Final = (
    *_row(
        "IFRNet", "ifrnet-b", IFRNET, "ssim_3d",
        "35.80/0.9794 35.29/0.9693 40.03/0.9905 35.94/0.9793 30.41/0.9358 25.05/0.8587",
    ),
    *_row(
        "IFRNet small", "ifrnet-s", IFRNET, "ssim_3d",
        "35.59/0.9786 35.28/0.9691 39.96/0.9905 35.92/0.9792 30.36/0.9357 25.05/0.8582",
    ),
    *_row(
        "IFRNet large", "ifrnet-l", IFRNET, "ssim_3d",
        "36.20/0.9808 35.42/0.9698 40.10/0.9906 36.12/0.9797 30.63/0.9368 25.27/0.8609",
    ),
    *_row(
        "RIFE", "", OTHERS, "ssim",
        "35.62/0.9780 35.28/0.9690 40.06/0.9907 35.75/0.9789 30.10/0.9330 24.84/0.8534",
    ),
    *_row(
        "ABME", "", OTHERS, "ssim",
        "36.18/0.9805 35.38/0.9698 39.59/0.9901 35.77/0.9789 30.58/0.9364 25.42/0.8639",
    ),
    *_row("SoftSplat", "", OTHERS, "ssim", "36.10/0.9700 35.39/0.9520"),
    *_row("AdaCoF", "", OTHERS, "ssim", "34.47/0.9730"),
    *_row("CAIN", "", OTHERS, "ssim", "34.65/0.9730"),
    *_row("SepConv", "", OTHERS, "ssim", "33.79/0.9702"),
    *(
        Published(
            "middlebury", model, {"psnr": psnr, "ssim_3d": ssim, "ie": ie},
            "IFRNet README, figures/middlebury_other.png", name,
        )
        for model, name, psnr, ssim, ie in (
            ("IFRNet", "ifrnet-b", 37.50, 0.9861, 1.946),
            ("IFRNet large", "ifrnet-l", 38.18, 0.9875, 1.846),
            ("IFRNet small", "ifrnet-s", 37.24, 0.9851, 1.995),
        )
    ),
    *(
        Published(
            protocol, model, {"psnr": psnr, "ssim": ssim},
            "IFRNet README, figures/8x_interpolation.png (paper table 5); trained for 8x, any time", name,
        )
        for model, name, rows in (
            ("IFRNet", "ifrnet-b", (("gopro", 29.84, 0.920), ("adobe240", 31.93, 0.943))),
            ("SuperSloMo", "", (("gopro", 28.52, 0.891), ("adobe240", 30.66, 0.931))),
            ("DAIN", "", (("gopro", 29.00, 0.910), ("adobe240", 29.50, 0.910))),
            ("DVF", "", (("gopro", 21.94, 0.776), ("adobe240", 28.23, 0.896))),
        )
        for protocol, psnr, ssim in rows
    ),
    Published("cityscapes", "DMVFN", {"ms_ssim": 0.9573, "lpips_alex": 0.0558}, "paperswithcode", step=1),
    Published(
        "cityscapes", "IFRVP", {"ms_ssim": 0.977},
        "IFRVP, read off flopscomparison_hrs_v2.svg, +-0.001; t + 1 is inferred", "ifrvp", step=1,
    ),
    Published(
        "cityscapes", "IFRVP-Fast", {"ms_ssim": 0.963},
        "IFRVP, read off flopscomparison_hrs_v2.svg, +-0.001; t + 1 is inferred", "ifrvp-fast", step=1,
    ),
    Published("kitti", "DMVFN", {"ms_ssim": 0.8853, "lpips_alex": 0.1074}, "paperswithcode", step=1),
    Published("vimeo90k-next", "DMVFN", {"ms_ssim": 0.9701, "lpips_alex": 0.0369}, "paperswithcode", step=1),
    Published(
        "lift-ucf101", "LIFT-15", {"psnr": 30.696, "ssim": 0.9033, "lpips_alex": 0.0580},
        "results.json of github.com/Aniuula/LIFT: 1000 clips of 38 classes, not apart from its training",
        "lift-15-kubin",
    ),
)  # fmt: skip


def field(protocol: str) -> list[Published]:
    """What is published on a set, in the table's order."""
    return [row for row in FIELD if row.protocol == protocol]
