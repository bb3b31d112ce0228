"""Animations as sinks: GIF, APNG and animated WebP, through FFmpeg, picture by picture.

| kind | colours | times | transparency |
|---|---|---|---|
| GIF | 256 a picture, dithered | hundredths of a second, 2 at least | on or off |
| APNG | all, 8 or 16 bits | exact | yes |
| WebP | all, 8 bits, without loss | milliseconds | yes |
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import cast

import av
from av.container import OutputContainer
from av.error import FFmpegError
from av.filter import Graph
from av.video.stream import VideoStream

from ..errors import EmptyVideo
from ..frame import Colour, Frame
from .alpha import from_rgb
from .codecs import finest
from .draft import Draft
from .endings import end_apng, end_gif, end_webp
from .plain import refuse_dials, unheard
from .stream import Encoding, FrameSource

SRGB = Colour(matrix=0, primaries=1, transfer=13, full_range=True)


@dataclass(frozen=True)
class Kind:
    """How one kind of animation is written.

    Attributes:
        name: in words; codec, muxer: ffmpeg's names.
        formats: pixel formats: opaque, with alpha.
        deep_formats: the same for 16 bits, or None.
        tick: seconds of its clock, None for any.
        least: the shortest duration that is shown as it says, ticks.
        plays: the muxer's option for how often; options: the encoder's.
    """

    name: str
    codec: str
    muxer: str
    formats: tuple[str, str]
    deep_formats: tuple[str, str] | None
    tick: Fraction | None
    least: int
    plays: str
    options: tuple[tuple[str, str], ...] = ()


APNG = Kind("APNG", "apng", "apng", ("rgb24", "rgba"), ("rgb48be", "rgba64be"), None, 1, "plays", (("pred", "mixed"),))
KINDS = {
    ".gif": Kind("GIF", "gif", "gif", ("gbrp", "rgba"), None, Fraction(1, 100), 2, "loop"),
    ".apng": APNG,
    ".png": APNG,
    ".webp": Kind(
        "WebP", "libwebp_anim", "webp", ("bgra", "bgra"), None, Fraction(1, 1000), 1, "loop", (("lossless", "1"),)
    ),
}
ENDINGS = {"gif": end_gif, "apng": end_apng, "webp": end_webp}


class AnimatedSink:
    """An animation to be written; opened by `open_sink`. It is played as often as its source wants, a video for ever.

    The first picture is shown at once, whatever its pts. Attributes as in `FrameSink`.
    """

    has_alpha = True

    def __init__(self, path: Path, *, like: FrameSource, encoding: Encoding) -> None:
        self._kind = KINDS[path.suffix.lower()]
        kind, info = self._kind, like.info
        refuse_dials(encoding, f"a {kind.name}", "it has one way to be written", "name a video file")
        self.notes = [f"{words} left out: a {kind.name} holds none" for words in unheard(info, alpha=True)]
        formats = kind.formats
        if info.bit_depth > 8 and kind.deep_formats is not None:
            formats = kind.deep_formats
        elif info.bit_depth > 8:
            self.notes.append(f"a {kind.name} holds 8 bits: {info.bit_depth} are rounded to that")
        if kind.muxer == "gif" and info.codec != "gif":
            self.notes.append("a GIF holds 256 colours a picture: all others are made of those by dithering")
        self._format = formats[info.has_alpha]
        self._like, self._encoding = like, encoding
        self._tick = kind.tick or finest(encoding.time_base or info.time_base)
        self._from_rgb = from_rgb(self._format, SRGB)
        self._palette = _palette(info.size, self._format, info.has_alpha) if kind.muxer == "gif" else None
        self._held: tuple[Frame, int] | None = None
        self._begins, self._until = Fraction(0), Fraction(0)
        self._written, self._left_out, self._is_rounded = 0, 0, False
        self._durations: dict[int, int] = {}
        self._container: OutputContainer | None = None
        self._draft = Draft(path, overwrite=encoding.overwrite, source=getattr(like, "path", None))

    def write(self, frame: Frame) -> None:
        """Append one picture; pts must grow. The last one lasts its `duration`, every other until the next.

        Raises:
            DiskFull, CannotWrite: as they say.
        """
        self._until = frame.pts + (frame.duration or 1 / self._like.info.rate)
        if self._held is None:
            self._begins = frame.pts
            with self._told():
                self._open(frame.size)
            self._held = frame, 0
            return
        ticks = self._ticks(frame.pts)
        before, begun = self._held
        if ticks < begun + self._kind.least:
            self._left_out += 1
            return
        self._encode(before, begun, ticks - begun)
        self._held = frame, ticks

    def __enter__(self) -> AnimatedSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                with self._told():
                    self._finish()
                    self._draft.commit()
        finally:
            container, self._container = self._container, None
            if container is not None:
                with contextlib.suppress(OSError, FFmpegError):
                    container.close()
            self._draft.discard()

    def _open(self, size: tuple[int, int]) -> None:
        kind, plays = self._kind, getattr(self._like, "plays", 0)
        if kind.muxer == "gif":
            plays = -1 if plays == 1 else max(plays - 1, 0)  # it counts the times after the first
        self._container = av.open(
            str(self._draft.part), "w", format=kind.muxer, container_options={kind.plays: str(plays)}
        )
        stream = cast(VideoStream, self._container.add_stream(kind.codec, rate=25, time_base=self._tick))
        stream.height, stream.width = size
        stream.pix_fmt = "pal8" if self._palette is not None else self._format
        stream.codec_context.time_base = self._tick
        stream.options = dict(kind.options)
        self._stream = stream

    def _ticks(self, pts: Fraction) -> int:
        exact = (pts - self._begins) / self._tick
        self._is_rounded = self._is_rounded or exact.denominator != 1
        return round(exact)

    def _encode(self, frame: Frame, begun: int, ticks: int) -> None:
        picture = self._from_rgb(frame.data)
        picture.pts, picture.time_base, picture.duration = begun, self._tick, ticks
        self._durations[begun] = ticks
        self._written += 1
        with self._told():
            for coloured in [picture] if self._palette is None else _drawn(self._palette, picture):
                self._mux(self._stream.encode(coloured))

    def _mux(self, packets: Iterable[av.Packet]) -> None:
        assert self._container is not None
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts or 0, packet.duration)
            self._container.mux(packet)

    def _finish(self) -> None:
        if self._held is None:
            raise EmptyVideo("no frame was written", "at least one is needed")
        frame, begun = self._held
        until = max(self._ticks(self._until), begun + self._kind.least)
        self._encode(frame, begun, until - begun)
        if self._palette is not None:
            for coloured in _drawn(self._palette, None):
                self._mux(self._stream.encode(coloured))
        self._mux(self._stream.encode(None))
        assert self._container is not None
        container, self._container = self._container, None
        container.close()
        ENDINGS[self._kind.muxer](self._draft.part, until * self._tick)
        self._tell()

    def _tell(self) -> None:
        tick = self._tick
        if self._is_rounded:
            self.notes.append(f"a {self._kind.name} counts in steps of {float(tick * 1000):g} ms: times are rounded")
        if self._left_out:
            most = float(1 / (tick * self._kind.least))
            self.notes.append(
                f"a {self._kind.name} shows {most:g} pictures a second at most: {self._left_out} were left out"
            )

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, FFmpegError) as error:
            raise self._draft.failure(error) from error


def _palette(size: tuple[int, int], pixel_format: str, has_alpha: bool) -> Graph:
    """A filter that gives each picture the 256 colours that suit it best: exactly its own, if it has no more."""
    graph = Graph()
    height, width = size
    pixels = av.VideoFormat(pixel_format)
    source = graph.add_buffer(width=width, height=height, format=pixels, time_base=Fraction(1, 100))
    split = graph.add("split")
    best = graph.add("palettegen", f"stats_mode=single:reserve_transparent={int(has_alpha)}")
    use = graph.add("paletteuse", "new=1:dither=sierra2_4a")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(best, 0, 0)
    split.link_to(use, 1, 0)
    best.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph


def _drawn(graph: Graph, picture: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
    """Push a picture (None ends) and give what comes out, which may be an earlier one."""
    graph.push(picture)
    while True:
        try:
            yield cast(av.VideoFrame, graph.pull())
        except (BlockingIOError, EOFError):
            return
