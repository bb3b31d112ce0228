"""The rules by which sets are scored, as those who published figures on them did it.

place      0   1   2   3   4   5   6   7   8        source frames of a clip
context    0                               1        gap = 8: frames 0 and 1 of a context stand 8 places apart
asked for      ^   ^   ^   ^   ^   ^   ^            t = 1/8 ... 7/8

Padding and scale are a matter of the published *model*, not of the set: `recipe` holds those of IFRNet's test scripts,
and only networks of its family are run by them. Every other model has its own canvas, edges repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from ..errors import BadOption, near

IMAGE: Final = ("psnr", "ssim_3d")  # what IFRNet, RIFE and EMA-VFI print
AHEAD: Final = ("psnr", "ssim_valid", "ms_ssim")  # what papers on prediction print, besides LPIPS (alex)
READ: Final = (
    "held against IFRNet's test scripts (b117bca) by reading; no published weights were at hand to repeat a figure"
)


@dataclass(frozen=True)
class Recipe:
    """How a published model was run on a set.

    Attributes:
        family: the file in `models` whose networks are run like this.
        scale: motion is estimated at this size; the canvas' multiple follows from it (0.8 makes 16 into 20).
        zero_pad: (H, W) of a canvas of zeros with the picture in its upper left corner; None repeats the edge, evenly
            on both sides.
    """

    family: str = "ifrnet"
    scale: float = 1.0
    zero_pad: tuple[int, int] | None = None


@dataclass(frozen=True)
class Protocol:
    """A set and how it is asked.

    Attributes:
        name: what `--set` takes; set, split: the names of `data.sets` that it is opened by.
        about: one line.
        gap: source frames between frames 0 and 1; None is the user's choice.
        targets: places after frame 0 that are asked for; None: all inside the gap (prediction: see `ahead`).
        first: place of frame 0 in each clip; None: gap after gap, from the clip's beginning to its end.
        frames: only so many frames of each clip; None: all.
        ahead: how many steps of the future are asked for; 0 interpolates.
        spacing: of a longer context. "gaps": everywhere as between 0 and 1. "frames": one source frame apart on both
            sides of the hidden one, as LIFT's published networks were shown it.
        ends: what stands where a context reaches past its clip: the outermost frame, as at the ends of a shot when a
            video is rendered ("clamp"), or nothing ("refuse").
        resize: None, a (H, W), or a factor; resampling: of it, as OpenCV has it, on 8-bit values.
        crop: (H, W) of the centre that is looked at; None: all.
        metrics: what is printed if nothing else is asked for.
        recipe: see above.
        pictures: how many are asked for of the whole published set; None where that is not known.
        checked: what our rule was held against, and how; "" where parts of it are inferred.
        source: where the rule is from.
    """

    name: str
    set: str
    about: str
    split: Literal["val", "test"] = "test"
    gap: int | None = 2
    targets: tuple[int, ...] | None = None
    first: int | None = None
    frames: int | None = None
    ahead: int = 0
    spacing: Literal["gaps", "frames"] = "gaps"
    ends: Literal["clamp", "refuse"] = "refuse"
    resize: tuple[int, int] | Fraction | None = None
    resampling: Literal["linear", "area"] = "linear"
    crop: tuple[int, int] | None = None
    metrics: tuple[str, ...] = IMAGE
    recipe: Recipe | None = None
    pictures: int | None = None
    checked: str = ""
    source: str = ""


def _snu(split: str) -> Protocol:
    return Protocol(
        f"snu-film-{split}",
        f"snu-film-{split}",
        f"SNU-FILM {split}, 310 triplets",
        recipe=Recipe(scale=0.8),
        pictures=310,
        checked=READ if split == "hard" else "",
        source="IFRNet; its script enables the hard split, and scale 0.8 is inferred for the other three",
    )


def _own(name: str, about: str) -> Protocol:
    """The user's own footage, in one of its forms."""
    metrics = ("psnr_8bit", "psnr", "ssim_3d")
    return Protocol(name, name, about, gap=None, ends="clamp", metrics=metrics, source="ours")


TABLE: Final = (
    Protocol(
        "vimeo90k",
        "vimeo90k",
        "Vimeo-90K test, 3782 triplets of 448x256",
        recipe=Recipe(),
        checked=READ,
        source="IFRNet",
    ),
    Protocol(
        "vimeo90k-septuplet",
        "vimeo90k-septuplet",
        "Vimeo-90K septuplets: im3, im5 (and im1, im7 for long contexts) -> im4",
        first=2,
        source="the habit of four-frame papers; no script was read",
    ),
    Protocol(
        "vimeo90k-next",
        "vimeo90k",
        "Vimeo-90K test, foretold: im1, im2 -> im3",
        gap=1,
        first=1,
        ahead=1,
        metrics=AHEAD,
        source="IFRVP's order of the triplet; DMVFN prints figures for it",
    ),
    Protocol(
        "ucf101",
        "ucf101",
        "UCF101, 379 triplets of 256x256",
        recipe=Recipe(),
        pictures=379,
        checked=READ,
        source="IFRNet",
    ),
    _snu("easy"),
    _snu("medium"),
    _snu("hard"),
    _snu("extreme"),
    Protocol(
        "middlebury",
        "middlebury",
        "Middlebury other, 12 scenes: frame10, frame11 -> frame10i11",
        metrics=(*IMAGE, "psnr_8bit", "ie"),
        recipe=Recipe(zero_pad=(480, 640)),
        pictures=12,
        checked=READ,
        source="IFRNet",
    ),
    Protocol(
        "middlebury-flo",
        "middlebury",
        "Middlebury other, with the end-point error of flows where true motion (flow10.flo) is there",
        metrics=(*IMAGE, "epe"),
        source="ours: the flow that a model tells at t = 0, frame 10 -> frame 11",
    ),
    Protocol(
        "gopro",
        "gopro",
        "GoPro 8x: 11 videos, windows of 9 frames, centre 512x512, mean over all seven",
        gap=8,
        crop=(512, 512),
        recipe=Recipe(),
        checked=READ,
        source="IFRNet",
    ),
    Protocol(
        "adobe240",
        "adobe240",
        "Adobe240 8x: windows of 9 frames, mean over all seven",
        gap=8,
        source="IFRNet prints a figure and no script; crop and list are not known",
    ),
    Protocol(
        "x4k1000fps",
        "x4k1000fps",
        "X4K1000FPS test 8x: frames 0 and 32 -> 4, 8, ... 28",
        gap=32,
        targets=(4, 8, 12, 16, 20, 24, 28),
        pictures=15 * 7,
        source="XVFI's test set, from memory",
    ),
    Protocol(
        "xiph-2k",
        "xiph",
        "Xiph, the first 100 frames at half size, every second one hidden",
        resize=Fraction(1, 2),
        resampling="area",
        source="SoftSplat's benchmark, from memory",
    ),
    Protocol(
        "xiph-4k",
        "xiph",
        "Xiph, the first 100 frames, the centre 2048x1080, every second one hidden",
        crop=(1080, 2048),
        source="SoftSplat's benchmark, from memory",
    ),
    Protocol(
        "cityscapes",
        "cityscapes",
        "Cityscapes val at 1024x512: frames 2, 3 -> 4 ... 8, running means",
        split="val",
        gap=1,
        first=3,
        ahead=5,
        resize=(512, 1024),
        metrics=AHEAD,
        pictures=500 * 5,
        checked="held against DMVFN's test script (78c02e9) by reading; that IFRVP used it is inferred",
        source="DMVFN",
    ),
    Protocol(
        "kitti",
        "kitti",
        "KITTI at 832x256: frames 2, 3 -> 4 ... 8, running means",
        gap=1,
        first=3,
        ahead=5,
        resize=(256, 832),
        metrics=AHEAD,
        source="as Cityscapes; size from memory",
    ),
    Protocol(
        "lift-ucf101",
        "lift-ucf101",
        "UCF-101 videos at 256x256: of 15 frames the middle one is hidden",
        first=6,
        frames=15,
        spacing="frames",
        resize=(256, 256),
        metrics=("psnr", "ssim_zero_padded", "ssim_3d"),
        source="LIFT's batch run; its list of 1000 clips holds 38 of 101 classes and is not repeated here",
    ),
    _own("video", "any videos: every second frame (or --gap K: K - 1 of K) is hidden and asked for again"),
    _own("frames", "any folders of pictures: as `video`"),
    _own("list", "a text file that names folders, videos or pictures: as `video`"),
)
PROTOCOLS: Final = {protocol.name: protocol for protocol in TABLE}


def protocol_of(name: str) -> Protocol:
    """The protocol called `name`.

    Raises:
        BadOption: there is none, with the names most like it.
    """
    if name not in PROTOCOLS:
        raise BadOption(f"--set {name}{near(name, PROTOCOLS)}", f"one of {', '.join(PROTOCOLS)} is needed")
    return PROTOCOLS[name]


def recipe_for(protocol: Protocol, family: str) -> Recipe:
    """How networks of a family are run by this protocol."""
    return protocol.recipe if protocol.recipe is not None and protocol.recipe.family == family else Recipe(family)
