"""Finished pieces of an output: runs of encoded packets that need nothing outside themselves, joined as they are.

    frames   0 ... 119 | 120 ... 239 | 240 ...      each run has an encoder of its own, so it begins with a keyframe
    packets  00000000.packets  00000001.packets     and decodes alone; joined, nothing is encoded again

Where runs end is counted in frames, never in time: the film is the same however often its making was interrupted.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import IO

import av

MAGIC = b"tween packets 1\n"
HEAD = struct.Struct("<qqI?")  # pts, duration, size, is a keyframe


@dataclass(frozen=True)
class Segment:
    """One finished run of frames.

    Attributes:
        name: of its file; of a folder of pictures, of the first picture.
        frames: how many.
        begin: when the first of them is shown, seconds.
        size: (H, W) of the pictures.
        bytes: of its files together.
        crc: of its file; 0 for a folder of pictures.
        reorder: by how many places a packet may come before its turn to be shown.
    """

    name: str
    frames: int
    begin: Fraction
    size: tuple[int, int]
    bytes: int
    crc: int = 0
    reorder: int = 0


class PacketWriter:
    """A file of packets. Closing makes sure that it is on the disk."""

    def __init__(self, path: Path) -> None:
        self.path, self.pts = path, list[int]()
        self._crc, self._bytes = 0, 0
        self._file: IO[bytes] | None = path.open("wb")
        self._put(MAGIC)

    def write(self, packet: av.Packet) -> None:
        """Append a packet, its pts and duration in ticks of the stream."""
        data = bytes(packet)
        pts = packet.pts or 0
        self._put(HEAD.pack(pts, packet.duration or 0, len(data), packet.is_keyframe))
        self._put(data)
        self.pts.append(pts)

    def close(self, begin: Fraction, size: tuple[int, int]) -> Segment:
        """End the file.

        Args:
            begin: when its first frame is shown, seconds.
            size: (H, W) of its frames.
        """
        assert self._file is not None
        on_disk(self._file)
        self.abandon()
        return Segment(self.path.name, len(self.pts), begin, size, self._bytes, self._crc, reorder=reordered(self.pts))

    def abandon(self) -> None:
        """Let go of the file as it is. Safe to call twice."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _put(self, data: bytes) -> None:
        assert self._file is not None
        self._file.write(data)
        self._crc = zlib.crc32(data, self._crc)
        self._bytes += len(data)


class Packets:
    """The packets of a run of segments, one after the other, with decoding times that fit the whole.

    Args:
        folder: where the segments' files are.
        segments: in order.
        grid: seconds of a tick.
    """

    def __init__(self, folder: Path, segments: Sequence[Segment], grid: Fraction) -> None:
        self._paths = [folder / segment.name for segment in segments]
        self._reorder = max((segment.reorder for segment in segments), default=0)
        self._grid = grid

    def __iter__(self) -> Iterator[av.Packet]:
        """Packets in decoding order; a packet's dts is the pts of the picture shown `reorder` places before it.

        shown      0  1  2  3  4
        decoded    0  2  1  4  3        reorder 1
        dts       -1  0  1  2  3
        """
        decoding = self._decoding_times()
        for path in self._paths:
            with path.open("rb") as file:
                for pts, duration, size, is_keyframe in _heads(file):
                    packet = av.Packet(file.read(size))
                    packet.pts, packet.dts, packet.duration = pts, next(decoding), duration
                    packet.is_keyframe, packet.time_base = is_keyframe, self._grid
                    yield packet

    def _decoding_times(self) -> Iterator[int]:
        shown = self._shown()
        first = list(islice(shown, self._reorder + 1))
        yield from (pts - (first[-1] - first[0]) for pts in first[:-1])
        yield from first
        yield from shown

    def _shown(self) -> Iterator[int]:
        for path in self._paths:
            with path.open("rb") as file:
                found = []
                for pts, _, size, _ in _heads(file):
                    found.append(pts)
                    file.seek(size, os.SEEK_CUR)
            yield from sorted(found)


def is_whole(path: Path, segment: Segment) -> bool:
    """Whether a segment's file is there as it was closed."""
    try:
        if path.stat().st_size != segment.bytes:
            return False
        crc = 0
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                crc = zlib.crc32(block, crc)
    except OSError:
        return False
    return crc == segment.crc


def reordered(pts: list[int]) -> int:
    """By how many places a packet comes before its turn to be shown, at most. `pts` in decoding order."""
    place = {when: k for k, when in enumerate(sorted(pts))}
    return max((k - place[when] for k, when in enumerate(pts)), default=0)


def on_disk(file: IO[bytes]) -> None:
    """Return once all that was written is on the disk itself."""
    file.flush()
    os.fsync(file.fileno())


def _heads(file: IO[bytes]) -> Iterator[tuple[int, int, int, bool]]:
    """The packets' heads; whoever draws them reads or skips each packet's data."""
    if file.read(len(MAGIC)) != MAGIC:
        raise OSError(f"{file.name} is no file of packets")
    while head := file.read(HEAD.size):
        pts, duration, size, is_keyframe = HEAD.unpack(head)
        yield pts, duration, size, is_keyframe
