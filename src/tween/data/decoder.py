"""Any picture of a video file by its place, quickest if they are asked for in order.

place --Index--> pts, and the keyframe before it --seek, decode--> pictures from there on --> RGB

A decoder stays open, where it stands, for a read that goes on from there.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from av.error import FFmpegError
from torch import Tensor
from torch.utils.data import get_worker_info

from ..errors import BrokenPicture, TweenError
from ..video.colour import ToRgb
from ..video.files import FileSource
from .index import index_of, stamp, why

OPEN_FILES = 3  # decoders kept open in a process
KEPT_BYTES = 16 << 20  # decoded pictures that a decoder keeps for the next read, which may begin a little before
KEPT_LEAST = 2
FURTHER = 8  # a keyframe is sought only if it lies so many pictures ahead: decoding them costs about as much


class Lost(Exception):
    """Decoding from here did not lead to the picture that was wanted."""


class Decoder:
    """An open video file that gives any of its pictures, quickly if they are asked for in order."""

    def __init__(self, path: str) -> None:
        self.path, self.stamp = path, stamp(path)
        self.index = index_of(path)
        self._container: Any = None
        self._run: Iterator[tuple[int, av.VideoFrame]] = iter(())
        self._next: int | None = None  # the place that the run gives next
        self._wanted = 0  # pts of the picture that is being looked for, ticks
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
        self._wanted = 0 if self.index.ticks is None else int(self.index.ticks[min(place, self.index.length - 1)])
        try:
            for begin in self._beginnings(place):
                try:
                    begin()
                    return self._reached(place)
                except (Lost, FFmpegError):
                    self._next = None
        except (TweenError, FFmpegError, OSError) as error:
            self.close()
            raise BrokenPicture(f"frame {place} of {self.path} cannot be read ({why(error)})") from error
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
        """Places and pictures from the next keyframe packet on. Before the one that is wanted, those that no other is
        made from are left out: half of the work where groups are long."""
        has_key = False
        for packet in self._container.demux(stream):
            has_key = has_key or packet.is_keyframe
            if has_key or not packet.size:
                is_before = packet.pts is not None and packet.pts < self._wanted
                stream.codec_context.skip_frame = "NONREF" if is_before else "DEFAULT"
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
        mark = stamp(path)
        with self._lock:
            mine = [one for one in self._idle if one.path == path]
            taken = mine[-1] if mine else None
            if taken is not None:
                self._idle.remove(taken)
        if taken is not None and taken.stamp != mark:
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
