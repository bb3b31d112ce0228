"""What a container promises of its video (rate, length, duration), and how to see that it was not kept."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

from av.container import InputContainer
from av.video.stream import VideoStream

from ..timeline import broadcast_rate, exact

AV_TIME_BASE = 1_000_000
COARSE = Fraction(1, 2000)  # seconds: a clock that counts in longer steps rounds what it tells
MOVIE_TICK = Fraction(1, 1000)  # what nearly every mp4 counts its edit list in
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # Matroska's first two elements


@dataclass(frozen=True)
class Promises:
    """What is written of a video stream in its file.

    Attributes:
        grid: seconds of one tick of its pts.
        rate: mean frames a second.
        length: pictures that will be shown, where an index lists each of them.
        listed: pictures that the file says it holds, or 0.
        last_dts: the last picture's decoding time in ticks, where an index lists each.
        duration: seconds that it lasts, or None.
        past: when its last picture ends, seconds, or None.
        is_cut_off: the file ends before its own stated size.
    """

    grid: Fraction
    rate: Fraction
    length: int | None
    listed: int
    last_dts: int | None
    duration: Fraction | None
    past: Fraction | None
    is_cut_off: bool

    @classmethod
    def of(cls, container: InputContainer, stream: VideoStream, path: Path) -> Promises:
        grid = Fraction(stream.time_base or Fraction(1, AV_TIME_BASE))
        rate = Fraction(stream.average_rate or stream.guessed_rate or stream.base_rate or 25)
        if grid >= COARSE:
            rate = broadcast_rate(rate)  # Matroska's frame duration is whole nanoseconds: 59.94006 is 60000/1001
        entries = stream.index_entries
        is_listed = 0 < stream.frames == len(entries)
        length = sum(not entry.is_discard for entry in entries) if is_listed else None
        duration = _duration(container, stream, grid)
        if length is not None and duration is not None and abs(length / rate - duration) <= MOVIE_TICK:
            duration = length / rate  # mp4's edit list rounds it to the movie's clock; the index does not
        begins = (stream.start_time or 0) * grid
        return cls(
            grid=grid,
            rate=rate,
            length=length,
            listed=stream.frames,
            last_dts=entries[len(entries) - 1].timestamp if is_listed else None,
            duration=duration,
            past=None if duration is None else begins + duration,
            is_cut_off="matroska" in container.format.name and is_cut_off(path),
        )

    def are_broken(self, *, packets: int, last_dts: int | None, is_whole: bool) -> bool:
        """Whether a file that came to its end kept less than it promised.

        Args:
            packets: read of the stream.
            last_dts: the last decoding time among them, ticks.
            is_whole: they were read from the beginning.
        """
        if self.last_dts is not None:
            return last_dts is None or last_dts < self.last_dts
        return self.is_cut_off or (is_whole and packets < self.listed)


def is_cut_off(path: Path) -> bool:
    """Whether a Matroska file is shorter than its segment says. A segment of unknown size is never cut off."""
    with path.open("rb") as file:
        head = file.read(4096)
    if not head.startswith(EBML):
        return False
    size, begins = _size_at(head, 4)
    at = begins + (size or 0)
    if size is None or head[at : at + 4] != SEGMENT:
        return False
    size, begins = _size_at(head, at + 4)
    return size is not None and path.stat().st_size < begins + size


def _size_at(head: bytes, at: int) -> tuple[int | None, int]:
    """An EBML size and where its element's content begins (RFC 8794): the first byte's leading zeros are the
    number of bytes that follow; all ones mean that the size is unknown."""
    if at >= len(head) or not head[at]:
        return None, at
    width = 9 - head[at].bit_length()
    value = int.from_bytes(head[at : at + width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), at + width


def _duration(container: InputContainer, stream: VideoStream, grid: Fraction) -> Fraction | None:
    """Seconds that the video stream lasts: its own word, Matroska's tag, or the file's where it is alone."""
    if stream.duration is not None:
        return stream.duration * grid
    tag = stream.metadata.get("DURATION", "")
    parts = [exact(part) for part in tag.split(":")]
    if len(parts) == 3 and None not in parts:
        hours, minutes, seconds = cast(list[Fraction], parts)
        past = hours * 3600 + minutes * 60 + seconds  # when the last picture ends, counted from 0
        return past - (stream.start_time or 0) * grid
    if container.duration is not None and len(container.streams) == 1:
        return Fraction(container.duration, AV_TIME_BASE)
    return None
