"""Animations as sources: GIF, APNG and animated WebP, through Pillow; APNG of 16 bits through FFmpeg.

Every picture is shown exactly as long as the file says. Pictures come as they are seen: what the file stores are
differences, laid over each other by its own rules.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
import torch
from av.error import FFmpegError
from PIL import Image
from torch import Tensor

from ..errors import EmptyVideo, NotAVideo, TruncatedInput, TweenError, UnsupportedStream
from ..frame import Colour, Frame, VideoInfo
from ..timeline import common_step
from .alpha import ToRgba
from .colour import ToRgb

SRGB = Colour(matrix=0, primaries=1, transfer=13, full_range=True)
GIF, PNG = b"GIF8", b"\x89PNG\r\n\x1a\n"
LONGEST_DELAY_PART = 65535  # an APNG's delay is a fraction of two such numbers, which Pillow gives as a float
MOST_PIXELS = 40_000_000  # 8K and some: a few bytes of a file can claim any size, and a picture costs its size
UNSAID = Fraction(1, 10)  # what browsers take for a duration of 0
HEAD = 1 << 20  # bytes in which an animated PNG says that it is one
# What Pillow raises for a damaged file is whatever it happens to meet.
BROKEN = (
    OSError, EOFError, SyntaxError, ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError,
    struct.error, zlib.error, Image.DecompressionBombError, FFmpegError,
)  # fmt: skip


def is_animation(path: Path) -> bool:
    """Whether a file is a GIF, or a PNG or WebP that moves, whatever its name is."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        head = file.read(64)
        if head.startswith(GIF):
            return True
        if head.startswith(PNG):
            return b"acTL" in (head + file.read(HEAD)).partition(b"IDAT")[0]
        return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)
    return False


@dataclass(frozen=True)
class Shown:
    """When a picture of an animation is shown: its number, its time and how long, seconds."""

    number: int
    pts: Fraction
    duration: Fraction


class AnimatedSource:
    """The pictures of an animation, from 0 on; attributes as in `FrameSource`.

    Attributes:
        plays: how often the file wants to be played; 0 is for ever.
        start: the beginning of the part asked for, seconds, or None.

    Raises:
        NotAVideo: it cannot be read. EmptyVideo: nothing is shown in the part asked for.
    """

    damage: TweenError | None
    notes: list[str]

    def __init__(self, path: Path, *, start: Fraction | None = None, end: Fraction | None = None) -> None:
        self.path, self.start, self._end = path, start, end
        self.damage, self.notes, self.alpha = None, [], False
        try:
            with Image.open(path) as picture:
                self._learn(picture)
        except BROKEN as error:
            raise NotAVideo(
                f"{path.name} is no animation that can be read ({error})", "a whole one is needed"
            ) from error
        self._shown = [s for s in self._all if _lies_in(s, start, end)]
        if not self._shown:
            raise self._nothing()
        if self._shown[-1] != self._all[-1]:
            self.damage = None  # it lies behind the part asked for

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order of pts: RGB `[3, H, W]`, with `alpha` RGBA `[4, H, W]` where there is transparency; uint8, or
        uint16 for 16 bits."""
        wanted = {shown.number: shown for shown in self._shown}
        last = self._shown[-1].number
        given = 0
        try:
            for number, data in enumerate(self._pictures()):
                if number in wanted:
                    yield Frame(data, wanted[number].pts, wanted[number].duration)
                    given += 1
                if number == last:
                    break
        except BROKEN as error:
            self._broke(given, error)
        if given < len(wanted) and self.damage is None:
            self._broke(given, "pictures are missing")

    def __enter__(self) -> AnimatedSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def again(self, since: Fraction) -> AnimatedSource:
        """The same animation once more, but only from the picture at `since` on."""
        source = AnimatedSource(self.path, start=since, end=self._end)
        source.alpha = self.alpha
        return source

    def _learn(self, picture: Any) -> None:
        """All times, and whether anything shines through, from one look at every picture."""
        self._kind = picture.format or ""
        width, height = picture.size
        if width * height > MOST_PIXELS:
            raise UnsupportedStream(
                f"{self.path.name} says that it is {width}x{height}", f"{MOST_PIXELS // 10**6} million pixels at most"
            )
        self._is_deep = self._kind == "PNG" and _png_depth(self.path) == 16
        self._skipped = 1 if getattr(picture, "default_image", False) else 0  # a still for those who show no motion
        has_alpha, durations, pts = False, list[Fraction](), Fraction(0)
        self._all: list[Shown] = []
        try:
            for number in range(self._skipped, picture.n_frames):
                picture.seek(number)
                picture.load()
                durations.append(self._duration(picture.info.get("duration", 0)))
                has_alpha = has_alpha or _shines_through(picture)
        except BROKEN as error:
            if not durations:
                raise
            self._broke(len(durations), error)
        for number, duration in enumerate(durations):
            self._all.append(Shown(number, pts, duration or UNSAID))
            pts += duration or UNSAID
        if not all(durations):
            self.notes.append("pictures that the file shows for no time at all are shown for 0.1 s, as browsers do")
        self.plays = _plays(picture)
        self.info = self._info(picture.size, has_alpha, pts)

    def _info(self, size: tuple[int, int], has_alpha: bool, total: Fraction) -> VideoInfo:
        width, height = size
        grid = self._all[0].duration
        for shown in self._all:
            grid = common_step(grid, shown.duration)
        name = ("rgba" if has_alpha else "rgb") + ("64le" if has_alpha else "48le") * self._is_deep
        return VideoInfo(
            size=(height, width),
            rate=len(self._all) / total,
            length=len(self._all),
            duration=total,
            bit_depth=16 if self._is_deep else 8,
            pixel_format=name if self._is_deep or has_alpha else "rgb24",
            colour=SRGB,
            codec=self._kind.lower(),
            has_alpha=has_alpha,
            time_base=grid,
        )

    def _duration(self, milliseconds: float) -> Fraction:
        exact = Fraction(milliseconds) / 1000
        return exact.limit_denominator(LONGEST_DELAY_PART) if self._kind == "PNG" else exact

    def _pictures(self) -> Iterator[Tensor]:
        has_alpha = self.alpha and self.info.has_alpha
        if self._is_deep:
            to_rgb = (ToRgba if has_alpha else ToRgb)(SRGB, deep=True)
            with av.open(str(self.path), format="apng") as container:
                yield from (to_rgb(native) for native in container.decode(video=0))
            return
        with Image.open(self.path) as picture:
            for number in range(self._skipped, len(self._all) + self._skipped):
                picture.seek(number)
                rows = np.asarray(picture.convert("RGBA" if has_alpha else "RGB"))
                yield torch.from_numpy(np.ascontiguousarray(rows.transpose(2, 0, 1)))

    def _broke(self, count: int, error: object) -> None:
        self.damage = TruncatedInput(
            f"{self.path.name} broke off after {count} pictures ({error})", "what could be read was rendered"
        )

    def _nothing(self) -> TweenError:
        total = float(self._all[-1].pts + self._all[-1].duration)
        return EmptyVideo(f"{self.path.name} shows no picture in the part asked for", f"it lasts {total:g} s")


def _lies_in(shown: Shown, start: Fraction | None, end: Fraction | None) -> bool:
    return (start is None or shown.pts >= start) and (end is None or shown.pts < end)


def _shines_through(picture: Image.Image) -> bool:
    """Whether any pixel of the picture, as it is seen, is not opaque."""
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return False
    return bool(np.asarray(picture.convert("RGBA").getchannel("A")).min() < 255)


def _plays(picture: Image.Image) -> int:
    """How often an animation is to be played, 0 for ever. A GIF counts the times after the first."""
    loop = picture.info.get("loop")
    if picture.format == "GIF":
        return 1 if loop is None else 0 if loop == 0 else int(loop) + 1
    return int(loop or 0)


def _png_depth(path: Path) -> int:
    with path.open("rb") as file:
        head = file.read(25)
    return head[24] if len(head) == 25 else 8
