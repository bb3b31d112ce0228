"""Sets by name: `open_set("vimeo90k", root)` finds the clips of a folder, or says what it looked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..errors import BadOption, WrongLayout, near
from . import highspeed, own, sequences, triplets
from .clips import VideoClip
from .layouts import DataSet, Split
from .mine import FOR_SCORES, FOR_TRAINING, mined
from .store import stored

__all__ = ["SETS", "DataSet", "Split", "open_set"]

Finder = Callable[[Path, Split], DataSet]

# name -> (finder, one line about it); layouts and sources: docs/data.md
SETS: dict[str, tuple[Finder, str]] = {
    "vimeo90k": (triplets.vimeo90k, "Vimeo-90K triplets, 448x256: 51,312 to train, 3,782 to test"),
    "vimeo90k-septuplet": (
        triplets.vimeo90k_septuplet,
        "Vimeo-90K septuplets: 64,612 to train, 7,824 to test",
    ),
    "gopro": (highspeed.gopro, "GoPro 240 fps, 1280x720: windows of 9, 7 frames asked for; 22 videos and 11"),
    "adobe240": (highspeed.adobe240, "Adobe240 videos, 1280x720: windows of 9, 7 frames asked for"),
    "x4k1000fps": (highspeed.x4k1000fps, "X4K1000FPS: 4,408 clips of 65 frames at 768x768; 15 of 33 at 4K to test"),
    "ucf101": (triplets.ucf101, "UCF101 triplets, 256x256: 379 to test"),
    "snu-film": (triplets.snu_film, "SNU-FILM triplets of four levels, 310 each, to test"),
    "snu-film-easy": (partial(triplets.snu_film, levels=("easy",)), "its easy level"),
    "snu-film-medium": (partial(triplets.snu_film, levels=("medium",)), "its medium level"),
    "snu-film-hard": (partial(triplets.snu_film, levels=("hard",)), "its hard level"),
    "snu-film-extreme": (partial(triplets.snu_film, levels=("extreme",)), "its extreme level"),
    "middlebury": (triplets.middlebury, "Middlebury other: 12 triplets to test, 60 in a row to train"),
    "middlebury-eval": (triplets.middlebury_eval, "Middlebury eval: 66 triplets in a row"),
    "xiph": (highspeed.xiph, "Xiph's eight 4K clips, every second of 99 frames hidden, to test"),
    "cityscapes": (sequences.cityscapes, "Cityscapes sequences of 30 frames, 2048x1024, to predict on"),
    "kitti": (sequences.kitti, "KITTI sequences to predict on"),
    "lift-ucf101": (sequences.lift_ucf101, "UCF101's 13,320 videos, 320x240, for long contexts"),
    "frames": (own.frames, "your folders of pictures, one a clip"),
    "list": (own.listed, "a text file that names folders, videos or pictures"),
    "video": (own.video, "your video files, read as they are; with a MANIFEST.tsv only what it lists"),
    "store": (stored, "what `tween store` has made of any of these: small, uncompressed, with flows"),
}


def open_set(name: str, root: str | Path, split: Split = "train", *, mine: bool | None = None) -> DataSet:
    """The clips of a set.

    Args:
        name: one of `SETS`.
        root: its folder (or file).
        split: "train", "val" or "test"; a set without splits gives all it has, and says so in its notes.
        mine: cut raw footage (video files without a manifest, the user's pictures) up and leave out what teaches
            nothing; for val and test only cuts and repeats. None does so for video files, True for pictures too. Each
            file is then decoded once, and what was seen is remembered.

    Raises:
        BadOption: no such set, or a set of tests asked for to train.
        WrongLayout: the root holds something else (with what was looked for and what was found), or nothing usable.
    """
    if name not in SETS:
        raise BadOption(f"no set is called {name}{near(name, SETS)}", f"one of {', '.join(SETS)} is needed")
    found = SETS[name][0](Path(root).expanduser(), split)
    is_film = any(isinstance(clip, VideoClip) for clip in found.clips)
    if not found.is_raw or not (is_film if mine is None else mine):
        return found
    usable = mined(found, FOR_TRAINING if split == "train" else FOR_SCORES)
    if not usable.clips:
        raise WrongLayout(
            f"nothing in {root} can be learnt from: {'; '.join(usable.notes)}",
            "moving pictures without cuts, repeats or stills are needed",
            "--data.mine false, which takes all of it",
        )
    return usable
