"""Which pictures a video file shows, in which order, and where decoding can begin.

A file's packets are counted once a process, so that place n is the n-th picture shown, whatever the order in which
pictures are stored. Where the packets do not tell, the pictures themselves are counted, which takes longer.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from ..errors import BrokenPicture, TweenError
from ..frame import Colour
from ..video.files import FileSource

PROBE = 4  # pictures at a file's beginning whose times must be those of its packets


@dataclass(frozen=True)
class Index:
    """What is known of a video file once its packets were counted.

    Attributes:
        length: pictures that it shows. size: (H, W) upright.
        stream: which of the file's streams is shown.
        turns: quarter turns counter-clockwise that make a decoded picture upright.
        colour: its tags. is_deep: more than 8 bits a sample. is_interlaced: its pictures are made of two fields.
        ticks: int64 [length], pts of the pictures, growing; None where the file does not tell (reading is slow then).
        keys: int64 [keyframes, 2], pts and decoding time of the packets at which decoding can begin, by pts.
    """

    length: int
    size: tuple[int, int]
    stream: int
    turns: int
    colour: Colour
    is_deep: bool
    is_interlaced: bool
    ticks: NDArray[np.int64] | None
    keys: NDArray[np.int64]


def index_of(path: str) -> Index:
    """What is known of a video file; found out once a process, and again if the file changes.

    Raises:
        BrokenPicture: it is missing, or no video that can be read.
    """
    return _index(path, *stamp(path))


def stamp(path: str) -> tuple[int, int]:
    """Size and time of change, by which a replaced file is known."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise BrokenPicture(f"{path} cannot be read ({error.strerror})", "a video file is needed") from error
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=4096)
def _index(path: str, size: int, changed_ns: int) -> Index:  # noqa: ARG001
    try:
        with FileSource(Path(path)) as source:
            packets = _packets(path, source.index)
            shown = iter(source)
            told = [frame.native.pts for frame in islice(shown, PROBE)]
            ticks = _shown(packets, told)
            if ticks is None:  # the packets do not tell: count the pictures themselves
                told += [frame.native.pts for frame in shown]
                is_told = None not in told and len(set(told)) == len(told)
                ticks = np.array(told, np.int64) if is_told else None
            return _made(source, ticks, len(told) if ticks is None else len(ticks), packets)
    except (TweenError, FFmpegError, OSError) as error:
        raise BrokenPicture(f"{path} cannot be read ({why(error)})", "a video file is needed") from error


@dataclass(frozen=True)
class Packet:
    """Of a stored picture: its times in ticks, whether decoding can begin there, whether it is never shown."""

    pts: int | None
    dts: int | None
    is_key: bool
    is_discard: bool
    is_corrupt: bool


def _packets(path: str, number: int) -> list[Packet]:
    with av.open(path, metadata_errors="replace") as container:
        stream = container.streams[number]
        is_vp8 = stream.codec_context.name == "vp8"
        return [
            Packet(one.pts, one.dts, one.is_keyframe, one.is_discard or (is_vp8 and _is_hidden(one)), one.is_corrupt)
            for one in container.demux(stream)
            if one.size
        ]


def _is_hidden(packet: av.Packet) -> bool:
    """Whether a VP8 picture is only there to be referred to: bit 4 of its first byte is clear (RFC 6386, 9.1)."""
    return not bytes(packet)[0] & 0x10


def _shown(packets: list[Packet], head: list[int | None]) -> NDArray[np.int64] | None:
    """When the pictures are shown, ticks, by their packets; None where only decoding can tell."""
    shown = [one.pts for one in packets if not one.is_discard and one.pts is not None]
    ticks = np.unique(np.array(shown, np.int64))
    is_plain = (
        all(one.pts is not None and not one.is_corrupt for one in packets)
        and bool(packets)
        and packets[0].is_key
        and len(ticks) == len(shown)
        and head == ticks[: len(head)].tolist()
    )
    return ticks if is_plain else None


def _made(source: FileSource, ticks: NDArray[np.int64] | None, length: int, packets: list[Packet]) -> Index:
    turns = source.info.rotation // 90 % 4
    high, wide = source.info.size
    keys = sorted(
        (one.pts, one.dts if one.dts is not None else one.pts) for one in packets if one.is_key and one.pts is not None
    )
    return Index(
        length=length,
        size=(wide, high) if turns % 2 else (high, wide),
        stream=source.index,
        turns=turns,
        colour=source.info.colour,
        is_deep=source.info.bit_depth > 8,
        is_interlaced=source.interlaced,
        ticks=ticks,
        keys=np.array(keys, np.int64).reshape(-1, 2),
    )


def why(error: BaseException) -> str:
    """What is wrong, in words."""
    return error.got if isinstance(error, TweenError) else str(error) or type(error).__name__
