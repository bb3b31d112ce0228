"""Clips: runs of evenly spaced frames without a cut, whatever they are stored in.

clip     frame 0   1   2   3   4   5   6          places, whatever the frames' numbers in their file are
read     [2, 0]  ->  two pictures, in that order
"""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from av.error import FFmpegError
from PIL import Image
from torch import Tensor

from ..errors import BrokenPicture
from ..video.images import read_picture
from .flo import read_flo
from .footage import VideoClip

__all__ = ["Broken", "Clip", "PictureClip", "VideoClip"]

log = logging.getLogger(__name__)

# What Pillow and ffmpeg raise for files that are no whole pictures.
UNREADABLE = (
    OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, Image.DecompressionBombError, FFmpegError,
)  # fmt: skip


class Clip(Protocol):
    """A run of evenly spaced frames without a cut. It can be pickled, as it travels to the loader's workers.

    Attributes:
        name: "00001/0004", "bbb-002-00435".
        group: the sequence, film or split that it belongs to; scores are averaged per group too.
        length: frames.
    """

    @property
    def name(self) -> str: ...

    @property
    def group(self) -> str: ...

    @property
    def length(self) -> int: ...

    def size(self) -> tuple[int, int]:
        """(H, W) in pixels; cheap.

        Raises:
            BrokenPicture: the clip cannot be read at all.
        """
        ...

    def read(self, places: Sequence[int]) -> list[Tensor]:
        """The frames at `places` (0 to length - 1), uint8 RGB `[3, H, W]` each, in the order asked.

        A place that is asked for twice is the same tensor twice: copy before you write.

        Raises:
            BrokenPicture: one of them is missing or cannot be decoded. IndexError: a place outside of the clip.
        """
        ...

    def flow(self, target: int, first: int, second: int) -> Tensor | None:
        """Motion from the frame at `target` to the ones at `first` and `second`: `[4, H, W]` in pixels of the frames,
        target->first (x, y), target->second (x, y); float32, or coarser and float16 where a label is stored so. None
        without a label; NaN where the label does not know.

        Raises:
            BrokenPicture: the label is there and cannot be read.
        """
        ...


@dataclass(frozen=True)
class PictureClip:
    """A clip of picture files.

    Attributes:
        name, group: as in `Clip`.
        paths: of the pictures, one a frame.
        flows: known motions as (target, source, path of a .flo file): from the frame at place `target` to the one at
            place `source`; None without any.
    """

    name: str
    group: str
    paths: tuple[str, ...]
    flows: tuple[tuple[int, int, str], ...] | None = None

    @property
    def length(self) -> int:
        return len(self.paths)

    def size(self) -> tuple[int, int]:
        """(H, W) in pixels, from the header of the first picture.

        Raises:
            BrokenPicture: it is missing or cannot be read.
        """
        try:
            with Image.open(self.paths[0]) as picture:
                width, height = picture.size
                is_on_its_side = picture.getexif().get(0x0112, 1) >= 5
        except UNREADABLE as error:
            raise _broken(self.paths[0], error) from error
        return (width, height) if is_on_its_side else (height, width)

    def read(self, places: Sequence[int]) -> list[Tensor]:
        """As in `Clip`. Pictures of 16 bits are cut to 8, transparency is dropped."""
        read = {place: self._picture(place) for place in dict.fromkeys(checked(places, self.length, self.name))}
        sizes = {tuple(picture.shape[1:]): place for place, picture in read.items()}
        if len(sizes) > 1:
            (one, first), (other, second) = list(sizes.items())[:2]
            raise BrokenPicture(
                f"{self.paths[second]} is {other[1]}x{other[0]}, {self.paths[first]} is {one[1]}x{one[0]}",
                "pictures of one size are needed in a clip",
            )
        return [read[place] for place in places]

    def flow(self, target: int, first: int, second: int) -> Tensor | None:
        """As in `Clip`."""
        to_first, to_second = self.motion(target, first), self.motion(target, second)
        return None if to_first is None or to_second is None else torch.cat([to_first, to_second])

    def motion(self, target: int, source: int) -> Tensor | None:
        """Motion from the frame at `target` to the one at `source`: float32 `[2, H, W]`, x and y in pixels, NaN where
        it is not known; None without a label.

        Raises:
            BrokenPicture: the label is there and cannot be read.
        """
        paths = [path for a, b, path in self.flows or () if (a, b) == (target, source)]
        return read_flo(paths[0]) if paths else None

    def _picture(self, place: int) -> Tensor:
        path = self.paths[place]
        try:
            return read_picture(Path(path), deep=False)
        except UNREADABLE as error:
            raise _broken(path, error) from error


class Broken:
    """Pictures that could not be read: each is logged by its name, counted and skipped; too many are an error.

    Args:
        share: of all samples asked for; more broken ones than this are an error.
        least: samples that must have been asked for before that is judged.

    Attributes:
        asked: samples asked for. names: what was wrong with the broken ones, in words.
    """

    def __init__(self, share: float = 0.01, least: int = 100) -> None:
        self.share, self.least = share, least
        self.asked = 0
        self.names: list[str] = []

    def read(self, count: int = 1) -> None:
        """Count samples that were read well."""
        self.asked += count

    def skip(self, error: BrokenPicture) -> None:
        """Count a sample that is broken, and log what is; the caller takes another one.

        Raises:
            BrokenPicture: that was too many.
        """
        self.asked += 1
        self.names.append(error.got)
        log.warning("skipped: %s", error.got)
        if self.asked >= self.least:
            self._judge(len(self.names) > self.share * self.asked)

    def end(self) -> None:
        """Judge a whole pass over a set, however few its samples were.

        Raises:
            BrokenPicture: too many were broken, or all.
        """
        spared = max(1, int(self.share * self.asked))  # one broken picture of a small set is told, and no error
        self._judge(len(self.names) > spared or 0 < self.asked == len(self.names))

    def _judge(self, is_too_much: bool) -> None:
        if is_too_much:
            raise BrokenPicture(
                f"{len(self.names)} of {self.asked} samples could not be read, first {self.names[0]}",
                f"at most {self.share:.0%} may be broken",
                "get the set again, or leave the broken clips out",
            )


def checked(places: Sequence[int], length: int, name: str) -> Sequence[int]:
    """`places`, or IndexError where one lies outside of the clip."""
    for place in places:
        if not 0 <= place < length:
            raise IndexError(f"the clip {name} has places 0 to {length - 1}, not {place}")
    return places


def _broken(path: str, error: BaseException) -> BrokenPicture:
    is_missing = isinstance(error, FileNotFoundError)
    why = "it is not there" if is_missing else str(error) or type(error).__name__
    return BrokenPicture(
        f"the picture {path} cannot be read ({why})", "a whole picture is needed", "get it again, or leave it out"
    )
