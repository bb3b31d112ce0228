"""Clips in video files: any frame by its place, decoded when it is asked for, no dump of frames needed.

place 7 of the file --Index--> pts, and the keyframe before it --Decoder--> pictures from there on --> RGB

A file's packets are counted once a process, so that place n is the n-th picture shown, whatever the order in which
pictures are stored. A decoder stays open, where it stands, for a read that goes on from there.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from av.error import FFmpegError
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from ..errors import BrokenPicture, TweenError
from ..frame import Colour
from ..video.colour import ToRgb
from ..video.files import FileSource

OPEN_FILES = 3  # decoders kept open in a process
KEPT_BYTES = 16 << 20  # decoded pictures that a decoder keeps for the next read, which may begin a little before
KEPT_LEAST = 2
PROBE = 4  # pictures at a file's beginning whose times must be those of its packets
FURTHER = 8  # a keyframe is sought only if it lies so many pictures ahead: decoding them costs about as much


@dataclass(frozen=True)
class VideoClip:
    """A clip in a video file. Two clips of one file share its decoder.

    Attributes:
        name, group: as in `Clip`.
        path: of the file.
        start: the first frame, counted from 0 in the order in which frames are shown.
        length: frames of the clip.
        step: the clip is every `step`-th frame from `start`.
        crop: (x, y, width, height) in pixels of the upright picture; None takes all of it.
    """

    name: str
    group: str
    path: str
    start: int
    length: int
    step: int = 1
    crop: tuple[int, int, int, int] | None = None

    def size(self) -> tuple[int, int]:
        """(H, W) in pixels.

        Raises:
            BrokenPicture: the file cannot be read.
        """
        return (self.crop[3], self.crop[2]) if self.crop else index_of(self.path).size

    def read(self, places: Sequence[int]) -> list[Tensor]:
        """As in `Clip`: uint8 RGB `[3, H, W]`, upright. Each picture that is needed is decoded once."""
        for place in places:
            if not 0 <= place < self.length:
                raise IndexError(f"the clip {self.name} has places 0 to {self.length - 1}, not {place}")
        wanted = sorted({self.start + place * self.step for place in places})
        read: dict[int, Tensor] = {}
        with borrowed(self.path) as decoder:
            for place in wanted:
                read[place] = self._cropped(decoder.picture(place))
        return [read[self.start + place * self.step] for place in places]

    def flow(self, target: int, first: int, second: int) -> Tensor | None:  # noqa: ARG002
        """None: a video file holds no labels."""
        return None

    def _cropped(self, picture: Tensor) -> Tensor:
        if self.crop is None:
            return picture
        x, y, width, height = self.crop
        _, rows, columns = picture.shape
        if x + width > columns or y + height > rows:
            raise BrokenPicture(
                f"{self.path} shows {columns}x{rows}, and the clip {self.name} crops {width}x{height} at ({x}, {y})",
                "a crop within the picture is needed",
            )
        return picture[:, y : y + height, x : x + width].clone()


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
    return _index(path, *_stamp(path))


def _stamp(path: str) -> tuple[int, int]:
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
        raise BrokenPicture(f"{path} cannot be read ({_why(error)})", "a video file is needed") from error


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


class Lost(Exception):
    """Decoding from here did not lead to the picture that was wanted."""


class Decoder:
    """An open video file that gives any of its pictures, quickly if they are asked for in order."""

    def __init__(self, path: str) -> None:
        self.path, self.stamp = path, _stamp(path)
        self.index = index_of(path)
        self._container: Any = None
        self._run: Iterator[tuple[int, av.VideoFrame]] = iter(())
        self._next: int | None = None  # the place that the run gives next
        self._kept: OrderedDict[int, av.VideoFrame] = OrderedDict()
        self._to_rgb = ToRgb(self.index.colour, deep=self.index.is_deep)

    def picture(self, place: int) -> Tensor:
        """The picture at `place` of the file, uint8 RGB `[3, H, W]`, upright.

        Raises:
            BrokenPicture: it cannot be decoded, or the file ends before it.
        """
        data = self._to_rgb(self._native(place))
        if data.dtype == torch.uint16:
            data = ((data.int() + 128) // 257).to(torch.uint8)
        return torch.rot90(data, self.index.turns, (1, 2)).contiguous() if self.index.turns else data

    def close(self) -> None:
        """Close the file. The decoder can be used again, and opens it again."""
        self._kept.clear()
        self._next = None
        self._run = iter(())
        if self._container is not None:
            self._container.close()
            self._container = None

    def _native(self, place: int) -> av.VideoFrame:
        if place in self._kept:
            return self._kept[place]
        try:
            for begin in self._beginnings(place):
                try:
                    begin()
                    return self._reached(place)
                except Lost:
                    self._next = None
        except (TweenError, FFmpegError, OSError) as error:
            self.close()
            raise BrokenPicture(f"frame {place} of {self.path} cannot be read ({_why(error)})") from error
        raise BrokenPicture(
            f"frame {place} of {self.path} cannot be decoded (it holds {self.index.length})", "a whole video is needed"
        )

    def _beginnings(self, place: int) -> Iterator[Any]:
        """Ways to begin decoding so that `place` comes, the quickest first: go on, seek a keyframe, read all."""
        ticks, keys = self.index.ticks, self.index.keys
        if not 0 <= place < self.index.length:
            return
        key, ahead = -1, 0
        if ticks is not None:
            key = int(np.searchsorted(keys[:, 0], ticks[place], side="right")) - 1
            ahead = int(np.searchsorted(ticks, keys[key, 0])) if key >= 0 else 0
        if self._next is not None and self._next <= place and ahead <= self._next + FURTHER:
            yield lambda: None
        if ticks is not None and key >= 0:
            for earlier, kind in ((key, 1), (key, 0), (key - 1, 1)):  # by decoding time, then by pts
                if earlier >= 0:
                    yield lambda at=int(keys[earlier, kind]): self._seek(at)
        yield self._read_all

    def _reached(self, place: int) -> av.VideoFrame:
        for found, native in self._run:
            self._next = found + 1
            if native.is_corrupt:
                if found == place:
                    raise Lost
                continue
            self._keep(found, native)
            if found == place:
                return native
            if found > place:
                break
        raise Lost

    def _keep(self, place: int, native: av.VideoFrame) -> None:
        self._kept[place] = native
        self._kept.move_to_end(place)
        most = max(KEPT_LEAST, KEPT_BYTES // max(1, sum(plane.buffer_size for plane in native.planes)))
        while len(self._kept) > most:
            self._kept.popitem(last=False)

    def _seek(self, ticks: int) -> None:
        self._next = None
        if isinstance(self._container, _Closing):
            self.close()
        if self._container is None:
            self._container = av.open(self.path, metadata_errors="replace")
            stream = self._container.streams[self.index.stream]
            stream.thread_type = "AUTO"
            if get_worker_info() is not None:
                stream.thread_count = 1  # as many workers as cores are at it already
        stream = self._container.streams[self.index.stream]
        self._container.seek(ticks, stream=stream, backward=True)
        self._run = self._from_key(stream)

    def _from_key(self, stream: Any) -> Iterator[tuple[int, av.VideoFrame]]:
        """Places and pictures from the next keyframe packet on."""
        has_key = False
        for packet in self._container.demux(stream):
            has_key = has_key or packet.is_keyframe
            if has_key or not packet.size:
                yield from self._placed(_decoded(stream, packet))

    def _placed(self, natives: Iterable[av.VideoFrame]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Pictures with their places, by their pts."""
        ticks = self.index.ticks
        assert ticks is not None
        for native in natives:
            place = int(np.searchsorted(ticks, native.pts)) if native.pts is not None else len(ticks)
            if place < len(ticks) and ticks[place] == native.pts:
                yield place, native

    def _read_all(self) -> None:
        """From the beginning: slow, and right for every file that plays at all."""
        self.close()
        source = FileSource(Path(self.path))
        self._container = _Closing(source)
        natives = (frame.native for frame in source)
        self._run = enumerate(natives) if self.index.ticks is None else self._placed(natives)


class _Closing:
    """A source in the place of a container."""

    def __init__(self, source: FileSource) -> None:
        self._source = source

    def close(self) -> None:
        self._source.__exit__(None, None, None)


def _decoded(stream: Any, packet: Any) -> list[av.VideoFrame]:
    try:
        frames: list[av.VideoFrame] = stream.decode(packet)
    except EOFError:
        return []
    except FFmpegError:  # a broken packet costs the pictures that need it
        return []
    return frames


class Pool:
    """The open decoders of a process: each is lent to one reader at a time; the longest unused are closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Decoder] = []  # the one used last at the end

    def take(self, path: str) -> Decoder:
        """An idle decoder of the file, else a new one."""
        stamp = _stamp(path)
        with self._lock:
            mine = [one for one in self._idle if one.path == path]
            taken = mine[-1] if mine else None
            if taken is not None:
                self._idle.remove(taken)
        if taken is not None and taken.stamp != stamp:
            taken.close()
            taken = None
        return taken or Decoder(path)

    def give(self, decoder: Decoder) -> None:
        """Back from its reader."""
        with self._lock:
            self._idle.append(decoder)
            surplus = self._idle[: max(0, len(self._idle) - OPEN_FILES)]
            del self._idle[: len(surplus)]
        for one in surplus:
            one.close()

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for one in idle:
            one.close()


POOL = Pool()
if hasattr(os, "register_at_fork"):  # a decoder's threads do not live on in a forked worker: none is open then
    os.register_at_fork(before=POOL.close)


class borrowed:  # noqa: N801  (a context manager that reads as a verb)
    """The decoder of a file, for a `with` block."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> Decoder:
        self._decoder = POOL.take(self._path)
        return self._decoder

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        POOL.give(self._decoder)


def _why(error: BaseException) -> str:
    return error.got if isinstance(error, TweenError) else str(error) or type(error).__name__
