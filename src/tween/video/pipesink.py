"""y4m to standard output or a file, bare pictures to standard output. Nothing but video ever goes there."""

from __future__ import annotations

import contextlib
import os
import sys
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO

import av

from ..errors import BadOption, EmptyVideo
from ..frame import Colour, Frame, VideoInfo
from .alpha import from_rgb
from .alpha import has_alpha as _has_alpha
from .colour import UNSPECIFIED, matrix_for
from .draft import Draft
from .pipes import PIPE
from .plain import refuse_dials, unheard
from .stream import Encoding, FrameSource
from .y4m import Layout, check_format, chroma_of, colour_for, header, nearest_format

STDOUT, STDERR = 1, 2
PQ, HLG = 16, 18
Y4M = "y4m"


class PipeSink:
    """y4m to standard output or a file, or bare pictures to standard output; opened by `open_sink`.

    Pictures are evenly spaced there. Of a video that is not, a picture is repeated where the next comes late and left
    out where two fall together, so that time is kept; a note counts them.

    Raises:
        BadOption: standard output is a terminal, or an unknown format. Conflict: options of encoders.
        OutputExists, CannotWrite: of a file, as they say.
    """

    def __init__(self, path: Path, *, like: FrameSource, encoding: Encoding) -> None:
        refuse_dials(encoding, "pictures without compression", "there is nothing to encode", "name a video file")
        self._like, self._format = like, encoding.pipe_format if path == PIPE else Y4M
        if self._format != Y4M:
            check_format(self._format, "--pipe-format")
        self.has_alpha = self._format != Y4M and _has_alpha(self._format)
        where = "a pipe" if path == PIPE else "y4m"
        self.notes = [f"{words} left out: {where} holds none" for words in unheard(like.info, alpha=self.has_alpha)]
        self._rate = encoding.rate or like.info.rate / encoding.stretch
        self._layout, self._colour = self._plan()
        self._from_rgb = from_rgb(self._layout.pixel_format, self._colour, native=like.info.colour)
        self._is_rgb = av.VideoFormat(self._layout.pixel_format).is_rgb
        self._encoder = _encoder(self._layout)
        self._begins: Fraction | None = None
        self._place, self._repeated, self._left_out = 0, 0, 0
        self._last = b""
        source = getattr(like, "path", None)
        self._draft = None if path == PIPE else Draft(path, overwrite=encoding.overwrite, source=source)
        self._out: IO[bytes] | Stdout = Stdout() if self._draft is None else self._draft.part.open("wb")

    def write(self, frame: Frame) -> None:
        """Write one frame.

        Raises:
            BrokenPipeError: whoever read the video has gone. DiskFull, CannotWrite: of a file.
        """
        try:
            if self._begins is None:
                self._begin(frame)
            assert self._begins is not None
            place = round((frame.pts - self._begins) * self._rate)
            if place < self._place:
                self._left_out += 1
                return
            for _ in range(place - self._place):
                self._put(self._last)
                self._repeated += 1
            self._last = b"".join(bytes(packet) for packet in self._encoder.encode(self._picture(frame)))
            self._put(self._last)
        except OSError as error:
            raise self._failure(error) from error

    def __enter__(self) -> PipeSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
        except OSError as broken:
            raise self._failure(broken) from broken
        finally:
            self._abandon()

    def _plan(self) -> tuple[Layout, Colour]:
        info = self._like.info
        target = nearest_format(info.pixel_format) if self._format == Y4M else self._format
        if av.VideoFormat(target).is_rgb:
            colour = Colour(0, 1, 13, True)
        else:
            colour = colour_for(target, info.pixel_format, info.colour)
            self.notes += _unsaid(colour, info) if self._format == Y4M else []
        source = getattr(self._like, "layout", None)
        same = isinstance(source, Layout) and source.pixel_format == target
        chroma = source.chroma if isinstance(source, Layout) and same else ""
        fields = source.fields if isinstance(source, Layout) else "?"
        aspect = getattr(self._like, "sample_aspect", info.sample_aspect)
        if self._format == Y4M:
            chroma = chroma or ("420mpeg2" if target == "yuv420p" else chroma_of(target))
        return Layout(info.size, target, self._rate, aspect, colour.full_range, fields, chroma), colour

    def _begin(self, frame: Frame) -> None:
        self._begins = frame.pts
        if self._format == Y4M:
            self._out.write(header(self._layout))

    def _put(self, data: bytes) -> None:
        if self._format == Y4M:
            self._out.write(b"FRAME\n")
        self._out.write(data)
        self._out.flush()
        self._place += 1

    def _picture(self, frame: Frame) -> av.VideoFrame:
        native, target = frame.native, self._layout.pixel_format
        if native is None or (native.height, native.width) != frame.size or _is_rgb(native) != self._is_rgb:
            return self._from_rgb(frame.data if self.has_alpha else frame.data[:3])
        is_same = native.format.name == target and (self._is_rgb or self._colour == self._like.info.colour)
        return native if is_same else self._from_rgb.recode(native)

    def _finish(self) -> None:
        if self._begins is None:
            raise EmptyVideo("no frame was written", "at least one is needed")
        self._out.flush()
        if self._repeated or self._left_out:
            self.notes.append(
                f"pictures in a pipe are evenly spaced, these are not: {self._repeated} were repeated and "
                f"{self._left_out} left out; --rate makes them even"
            )
        if self._draft is not None:
            self._out.close()
            self._draft.commit()

    def _abandon(self) -> None:
        with contextlib.suppress(OSError):
            self._out.close()
        if self._draft is not None:
            self._draft.discard()

    def _failure(self, error: OSError) -> BaseException:
        return error if self._draft is None else self._draft.failure(error)


class Stdout:
    """Standard output for video alone: while this is open, whatever else anybody prints goes to standard error.

    Raises:
        BadOption: it is a terminal.
    """

    def __init__(self) -> None:
        if os.isatty(STDOUT):
            raise BadOption(
                "standard output is a terminal",
                "a program that takes video is needed there",
                "-o - | mpv -, or -o FILE",
            )
        sys.stdout.flush()
        self._video = os.dup(STDOUT)
        os.dup2(STDERR, STDOUT)
        self._is_open = True

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._video, left) :]

    def flush(self) -> None: ...

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            sys.stdout.flush()
            os.dup2(self._video, STDOUT)
            os.close(self._video)


def _encoder(layout: Layout) -> av.VideoCodecContext:
    encoder = av.CodecContext.create("rawvideo", "w")
    encoder.height, encoder.width = layout.size
    encoder.pix_fmt = layout.pixel_format
    encoder.time_base = Fraction(1, 25)  # wanted by ffmpeg, used by nobody
    return encoder


def _is_rgb(native: av.VideoFrame) -> bool:
    return native.format.is_rgb or native.format.name == "pal8"


def _unsaid(colour: Colour, info: VideoInfo) -> list[str]:
    """y4m has no word for matrices and transfers: readers guess them from the size."""
    lost = []
    if colour.matrix != UNSPECIFIED and matrix_for(colour, info.size) != matrix_for(Colour(), info.size):
        lost.append(f"matrix {colour.matrix}")
    if colour.transfer in (PQ, HLG):
        lost.append(f"transfer {colour.transfer}")
    return [f"y4m cannot say {' and '.join(lost)} of H.273: its reader has to be told"] if lost else []
