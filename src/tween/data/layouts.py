"""What every set of clips needs: its description, and words for a folder that holds something else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import BadOption, WrongLayout
from ..video.images import SUFFIXES
from .clips import Clip, PictureClip

Split = Literal["train", "val", "test"]

VIDEOS = {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".y4m"}
SHOWN_NAMES = 5  # of what was found, in an error


@dataclass(frozen=True)
class DataSet:
    """Clips that belong together, and how they are meant to be used.

    Attributes:
        name: of the set.
        clips: in a fixed order.
        gap: source frames between context frames 0 and 1 that the set is made for (2 triplets, 8 GoPro); None: any.
        targets: places after frame 0 that are asked for ((1,) triplets, 1 to 7 GoPro); None: any.
        notes: what a user should know, in words: what was left out, which list was used, which rule the set goes by.
        is_raw: nobody has looked at the clips: there may be cuts, repeats and stills in them.
    """

    name: str
    clips: tuple[Clip, ...]
    gap: int | None = None
    targets: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()
    is_raw: bool = False


def wrong(name: str, root: Path, sought: str, fix: str) -> WrongLayout:
    """The error for a root that does not hold the set: what was looked for, what was found, what to type."""
    return WrongLayout(f"{root} does not hold the set {name}: {found(root)}", f"looked for {sought}", fix)


def found(root: Path) -> str:
    """A few of the names in a folder, in words."""
    if not root.exists():
        return "it is not there"
    if root.is_file():
        return "it is a file"
    names = sorted((path.name + "/" * path.is_dir() for path in root.iterdir()), key=natural)
    if not names:
        return "it is an empty folder"
    rest = len(names) - SHOWN_NAMES
    return f"it holds {', '.join(names[:SHOWN_NAMES])}" + (f" and {rest} more" if rest > 0 else "")


def for_tests_alone(name: str, split: Split) -> None:
    """Refuse to train on a set that the field measures with.

    Raises:
        BadOption: split is "train".
    """
    if split == "train":
        raise BadOption(
            f"split train of {name}", "that set is for tests alone", "train on another, such as vimeo90k or video"
        )


def base(root: Path, *marks: str) -> Path | None:
    """The folder that holds one of `marks` (paths in it): `root`, or the first of its subfolders; None without."""
    if not root.is_dir():
        return None
    below = sorted(path for path in root.iterdir() if path.is_dir())
    return next((folder for folder in (root, *below) if any((folder / mark).exists() for mark in marks)), None)


def lines(path: Path) -> list[str]:
    """The lines of a list file, without empty ones and comments (#)."""
    rows = (line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines())
    return [row for row in rows if row and not row.startswith("#")]


def pictures(folder: Path) -> list[str]:
    """Paths of the pictures in a folder, numbers in names counted as numbers: 9 before 10."""
    names = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != "."]
    return [str(path) for path in sorted(names, key=lambda path: natural(path.name))]


def folders(folder: Path) -> list[Path]:
    """The subfolders, in the same order; hidden ones left out."""
    below = [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
    return sorted(below, key=lambda path: natural(path.name))


def videos(folder: Path) -> list[Path]:
    """The video files in a folder and below, by their suffixes, in the same order; hidden ones left out."""
    files = [path for path in folder.rglob("*") if path.suffix.lower() in VIDEOS and path.is_file()]
    seen = [path for path in files if not any(part[0] == "." for part in path.relative_to(folder).parts)]
    return sorted(seen, key=lambda path: natural(path.relative_to(folder).as_posix()))


def walk(folder: Path) -> Iterator[Path]:
    """`folder` and every folder below it, parents first, in the same order."""
    yield folder
    for below in folders(folder):
        yield from walk(below)


def natural(name: str) -> list[tuple[int, str]]:
    """A key to sort names by: runs of digits compare as numbers."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name.lower())]


def windows(name: str, group: str, paths: Sequence[str], *, length: int, stride: int) -> list[PictureClip]:
    """Clips of `length` pictures, each beginning `stride` after the one before; a rest that is too short is left out.

    They are named by their first picture: `name/000009`.
    """
    starts = range(0, len(paths) - length + 1, stride)
    return [
        PictureClip(f"{name}/{Path(paths[start]).stem}", group, tuple(paths[start : start + length]))
        for start in starts
    ]


SPLITS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "test"),
    "test": ("test", "testing", "val", "valid", "validation", "dev"),
}


def split_folder(root: Path, split: Split) -> Path | None:
    """The subfolder of a split by its usual names (val takes test where there is no other, and the reverse)."""
    return next((root / word for word in SPLITS[split] if (root / word).is_dir()), None)
