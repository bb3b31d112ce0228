"""Pictures without compression from standard input or a file: y4m, or bare pictures.

ffmpeg -i in.mp4 -f yuv4mpegpipe - | tween interpolate - -o - --rate 60 | mpv -
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

import av

from ..errors import BadOption, EmptyVideo, NotAVideo, TruncatedInput, TweenError, UnsupportedStream
from ..frame import Colour, Frame, VideoInfo
from .alpha import ToRgba
from .colour import ToRgb, depth_of
from .deinterlace import Deinterlacer
from .files import Deinterlace
from .y4m import (
    FIELDS,
    LONGEST,
    MAGIC,
    Layout,
    read_header,
)

PIPE = Path("-")  # standard input or standard output
STDIN = 0
POLL_S = 0.1  # how soon a wait for standard input can be given up
BLOCK = 1 << 20  # bytes read at a time: a header that lies about its size costs no memory


def is_y4m(path: Path) -> bool:
    """Whether a file begins as y4m does, whatever its name is."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC
    return False


class PipeSource:
    """Pictures without compression, from standard input or a .y4m file: one after the other, evenly spaced.

    Args:
        path: `-` for standard input, or a file.
        layout: how bare pictures lie; None reads a y4m header.
        rate: pictures a second where the header does not say.
        start, end: give only the frames in [start, end), seconds.
        deinterlace: make whole pictures of interlaced ones ("auto"), take them as they are ("off"), or "refuse" them.

    Raises:
        NotAVideo, EmptyVideo: as they say. UnsupportedStream: an unknown pixel format, or interlaced pictures that
            are to be refused. BadOption: standard input is a keyboard, or a rate for a stream that has one.
    """

    damage: TweenError | None
    notes: list[str]
    alpha = False

    def __init__(
        self,
        path: Path,
        *,
        layout: Layout | None = None,
        rate: Fraction | None = None,
        start: Fraction | None = None,
        end: Fraction | None = None,
        deinterlace: Deinterlace = "auto",
    ) -> None:
        self.path, self.start, self.end = path, start, end
        self.damage, self.notes, self.alpha = None, [], False
        self.sample_aspect: Fraction | None = None
        self.name = "standard input" if path == PIPE else path.name
        self._file = _opened(path)
        try:
            self._is_bare = layout is not None
            self.layout = layout or self._header(rate)
            self.interlaced = self.layout.fields in FIELDS
            self._deinterlaces = self.interlaced and self._meet_fields(deinterlace)
            self.sample_aspect = self.layout.sample_aspect
            self._left = self._pictures()
            self._first = next(self._left, None)
            if self._first is None:
                raise self._nothing()
            self.info = self._learn()
        except BaseException:
            self._file.close()
            raise

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order of pts, from 0 on, as uint8 or (deeper than 8 bits) uint16 RGB `[3, H, W]`; with `alpha` RGBA
        `[4, H, W]` where there is transparency."""
        if self._first is None:
            raise RuntimeError("a source is read once; open it again to read it again")
        kind = ToRgba if self.alpha and self.info.has_alpha else ToRgb
        to_rgb = kind(self.info.colour, deep=self.info.bit_depth > 8)
        tick = 1 / self.info.rate
        for native in self._whole():
            assert native.pts is not None
            yield Frame(to_rgb(native), native.pts * tick, tick, native)

    def give_up(self) -> None:
        """End a wait for standard input, from another thread: nobody wants more frames."""
        raw = getattr(self._file, "raw", None)
        if isinstance(raw, _Stdin):
            raw.is_given_up = True

    def __enter__(self) -> PipeSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _header(self, rate: Fraction | None) -> Layout:
        line = self._file.readline(LONGEST)
        if not line:
            raise EmptyVideo(f"{self.name} is empty", "a video in y4m is needed", "ffmpeg -i IN -f yuv4mpegpipe - |")
        if not line.startswith(MAGIC):
            raise NotAVideo(
                f"{self.name} is no y4m",
                "y4m, or the size of bare pictures, is needed",
                "ffmpeg -i IN -f yuv4mpegpipe - |, or --raw 1280x720 --source-rate 30",
            )
        layout = read_header(line.rstrip(b"\r\n"), self.name)
        if layout.rate is None and rate is None:
            raise BadOption(f"{self.name} does not say its frame rate", "it has to be said", "--source-rate 30")
        if layout.rate is not None and rate is not None:
            raise BadOption(f"a rate of {rate} for {self.name}", f"its header says {layout.rate}", "leave it out")
        return replace(layout, rate=layout.rate or rate)

    def _learn(self) -> VideoInfo:
        layout = self.layout
        assert layout.rate is not None
        is_rgb = av.VideoFormat(layout.pixel_format).is_rgb
        return VideoInfo(
            size=layout.size,
            rate=layout.rate,
            bit_depth=depth_of(layout.pixel_format),
            pixel_format=layout.pixel_format,
            colour=Colour(0, 1, 13, True) if is_rgb else Colour(full_range=layout.full_range),
            sample_aspect=layout.sample_aspect or Fraction(1),
            codec="rawvideo",
            has_alpha=any(part.is_alpha for part in av.VideoFormat(layout.pixel_format).components),
            time_base=1 / layout.rate,
        )

    def _meet_fields(self, deinterlace: Deinterlace) -> bool:
        """Tell of interlacing; True if whole pictures are to be made."""
        words = f"{self.name} is interlaced ({FIELDS[self.layout.fields]})"
        if deinterlace == "refuse":
            raise UnsupportedStream(words, "whole pictures are needed", "--deinterlace auto, or off")
        if deinterlace == "off":
            self.notes.append(f"{words}; its pictures are taken as whole ones")
            return False
        self.notes.append(f"{words}: whole pictures are made of its fields; --deinterlace off leaves them as they are")
        self._parity = "bff" if self.layout.fields == "b" else "tff"
        self.layout = replace(self.layout, fields="p")
        return True

    def _whole(self) -> Iterator[av.VideoFrame]:
        """Decoded pictures; their pts counts them."""
        fields, native = None, None
        for native in self._natives():
            if not self._deinterlaces:
                yield native
                continue
            fields = fields or Deinterlacer.of_bare(native, self._parity)
            yield from fields.take(native)
        if fields is not None and native is not None:
            yield from fields.end(native)

    def _natives(self) -> Iterator[av.VideoFrame]:
        found, self._first = self._first, None
        while found is not None:
            yield self._decoded(*found)
            found = next(self._left, None)

    def _pictures(self) -> Iterator[tuple[int, bytes]]:
        """(number of the picture, its bytes) of the part that is asked for."""
        rate, place = cast(Fraction, self.layout.rate), 0
        self._decoder = _decoder(self.layout)
        while self.end is None or place / rate < self.end:
            data = self._picture(place)
            if data is None:
                return
            if self.start is None or place / rate >= self.start:
                yield place, data
            place += 1

    def _picture(self, place: int) -> bytes | None:
        """The next picture's bytes; None at the end, which may come too soon."""
        if not self._is_bare:
            mark = self._file.readline(LONGEST)
            if not mark:
                return None
            if not mark.startswith(b"FRAME"):
                self._broke(place, "what follows is no picture")
                return None
        data, wanted = bytearray(), self.layout.length
        while len(data) < wanted:
            block = self._file.read(min(BLOCK, wanted - len(data)))
            if not block:
                if data or not self._is_bare:
                    self._broke(place, f"picture {place} has {len(data)} of {wanted} bytes")
                return None
            data += block
        return bytes(data)

    def _broke(self, place: int, why: str) -> None:
        self.damage = TruncatedInput(
            f"{self.name} broke off after {place} frames ({why})", "what could be read was rendered"
        )

    def _nothing(self) -> TweenError:
        if self.damage is not None:
            return EmptyVideo(f"no frame of {self.name} is whole", "at least one is needed")
        if self.start is not None or self.end is not None:
            return EmptyVideo(f"{self.name} shows no frame in the part asked for", "a part within the video is needed")
        return EmptyVideo(f"{self.name} holds no frame", "at least one is needed")

    def _decoded(self, place: int, data: bytes) -> av.VideoFrame:
        packet = av.Packet(data)
        packet.pts, packet.time_base = place, 1 / cast(Fraction, self.layout.rate)
        native = self._decoder.decode(packet)[0]
        native.pts, native.time_base = packet.pts, packet.time_base
        if self.layout.full_range is not None:
            native.color_range = 2 if self.layout.full_range else 1
        return native


def _opened(path: Path) -> IO[bytes]:
    if path != PIPE:
        return path.open("rb")
    if os.isatty(STDIN):
        raise BadOption(
            "standard input is a keyboard",
            "a program that gives video is needed before it",
            "ffmpeg -i IN -f yuv4mpegpipe - | tween ...",
        )
    return io.BufferedReader(_Stdin(), BLOCK)


class _Stdin(io.RawIOBase):
    """Standard input that can be given up while nothing comes: whoever waits for it is told that it has ended."""

    def __init__(self) -> None:
        self._pipe, self.is_given_up = os.dup(STDIN), False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.is_given_up:
            if sys.platform == "win32" or select.select([self._pipe], [], [], POLL_S)[0]:
                data = os.read(self._pipe, len(buffer))
                buffer[: len(data)] = data
                return len(data)
        return 0

    def close(self) -> None:
        if not self.closed:
            os.close(self._pipe)
        super().close()


def _decoder(layout: Layout) -> av.VideoCodecContext:
    decoder = av.CodecContext.create("rawvideo", "r")
    decoder.height, decoder.width = layout.size
    decoder.pix_fmt = layout.pixel_format
    if layout.sample_aspect is not None:
        decoder.sample_aspect_ratio = layout.sample_aspect  # some encoders write what each picture says
    return decoder
