"""Video files as sources, through PyAV."""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, cast

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from ..errors import (
    EmptyVideo,
    MissingFile,
    NotAVideo,
    NoVideoStream,
    TruncatedInput,
    TweenError,
    UnsupportedStream,
)
from ..frame import Frame, VideoInfo
from ..timeline import common_step
from .alpha import ToRgba, has_alpha
from .colour import ToRgb, tags_of
from .deinterlace import Deinterlacer, is_interlaced
from .light import light_of, side_data
from .promises import AV_TIME_BASE, COARSE, Promises

Deinterlace = Literal["auto", "off", "refuse"]
TEXT_ART = {"tty", "bin", "xbin", "adf", "idf"}  # ffmpeg plays plain texts as pictures of a terminal


@dataclass(frozen=True)
class Picture:
    """A decoded picture in its place: `native` as the decoder gave it, `pts` and `duration` in seconds."""

    native: av.VideoFrame
    pts: Fraction
    duration: Fraction


class FileSource:
    """The frames of a video file, read once, front to back.

    Attributes:
        info: what is known before the first frame.
        damage: after iteration, what broke the input off, or None.
        notes: what was repaired on the way, in words.
        path, start, end: the file, and the window asked for, seconds from the file's beginning.
        display_matrix: the nine numbers that turn the picture for display, or None.
        sample_aspect: as the file states it; None where it does not.
        metadata, disposition, index: of the video stream in its file.
        interlaced: the pictures are made of two fields, or were, before they were deinterlaced.
        light: what the first picture says of HDR10's mastering display and light level.
        alpha: set it before iteration to get transparency as a fourth channel of the frames.

    Args:
        deinterlace: what to do with interlaced pictures: "auto" makes whole ones of them, "off" takes them as they
            are, "refuse" raises.

    Raises:
        MissingFile, NotAVideo, NoVideoStream, EmptyVideo: as they say.
        UnsupportedStream: interlaced pictures that are to be refused.
    """

    def __init__(
        self,
        path: Path,
        *,
        start: Fraction | None = None,
        end: Fraction | None = None,
        clock: Fraction | None = None,
        deinterlace: Deinterlace = "auto",
    ) -> None:
        self.path, self.start, self.end = path, start, end
        self._clock = clock  # the first picture's time as the file tells it, from which a coarse clock is counted
        self.damage: TweenError | None = None
        self.notes: list[str] = []
        self.alpha = self.interlaced = False
        self._form: tuple[int, int, str] | None = None
        self._deinterlace, self._fields = deinterlace, cast(Deinterlacer | None, None)
        self._container = _open(path)
        try:
            self._stream = _video_stream(self._container, path)
            self._stream.thread_type = "AUTO"
            self._decoder = _decoder(self._stream)
            self._promises = Promises.of(self._container, self._stream, path)
            self._decoded, self._broken, self._packets = 0, 0, 0
            self._last_dts: int | None = None
            self._pictures = self._placed()
            self._first = next(self._pictures, None)
            if self._first is None:
                raise self._nothing()
            self._learn(self._first.native)
        except BaseException:
            self._container.close()
            raise

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order of pts, which strictly grow, as uint8 or (deeper than 8 bits) uint16 RGB `[3, H, W]`."""
        if self._first is None:
            raise RuntimeError("a source is read once; open it again to read it again")
        kind = ToRgba if self.alpha and self.info.has_alpha else ToRgb
        to_rgb = kind(self.info.colour, deep=self.info.bit_depth > 8)
        picture: Picture | None = self._first
        self._first = None
        while picture is not None:
            yield Frame(to_rgb(picture.native), picture.pts, picture.duration, picture.native)
            picture = next(self._pictures, None)

    def again(self, since: Fraction) -> FileSource:
        """The same frames once more, but only from the one at `since` on, on the same clock."""
        source = FileSource(
            self.path, start=since - self.offset, end=self.end, clock=self._clock, deinterlace=self._deinterlace
        )
        source.alpha = self.alpha
        return source

    def moment(self, ticks: int) -> Fraction:
        """When a picture is shown whose packet says `ticks` of the stream's clock, seconds."""
        told = ticks * self._promises.grid
        return self._unrounded(told, told if self._clock is None else self._clock)

    def __enter__(self) -> FileSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pictures.close()
        self._container.close()

    @property
    def offset(self) -> Fraction:
        """When the file begins, seconds on its own clock; `start` and `end` count from there."""
        return Fraction(self._container.start_time or 0, AV_TIME_BASE)

    @property
    def _is_whole(self) -> bool:
        return self.start is None and self.end is None

    def _learn(self, native: av.VideoFrame) -> None:
        stream, context = self._stream, self._stream.codec_context
        self.display_matrix = _display_matrix(native)
        aspect = stream.sample_aspect_ratio or context.sample_aspect_ratio
        self.sample_aspect = Fraction(aspect) if aspect else None
        self.metadata = dict(stream.metadata)
        self.disposition = stream.disposition
        self.index = stream.index
        self.light = light_of(native)
        pixels = native.format
        kinds = [other.type for other in self._container.streams]
        self.info = VideoInfo(
            size=(native.height, native.width),
            rate=self._promises.rate,
            length=self._promises.length if self._is_whole else None,
            duration=self._promises.duration,
            bit_depth=max(part.bits for part in pixels.components),
            pixel_format=pixels.name,
            colour=tags_of(native, context),
            sample_aspect=self.sample_aspect or Fraction(1),
            rotation=native.rotation % 360,
            codec=context.name,
            audio=kinds.count("audio"),
            subtitles=kinds.count("subtitle"),
            has_alpha=has_alpha(pixels.name),
            time_base=self._grid(),
            offset=self.offset,
        )

    def _natives(self) -> Iterator[av.VideoFrame]:
        """Decoded pictures; broken packets are counted and skipped, a broken end ends it."""
        if self.start is not None and self.start > 0:
            moment = int((self.start + self.offset) / self._promises.grid)
            self._container.seek(moment, stream=self._stream, backward=True)
        try:
            for packet in self._container.demux(self._stream):
                if packet.size:
                    self._packets += 1
                    self._last_dts = packet.dts if packet.dts is not None else self._last_dts
                try:
                    natives = self._decoded_of(packet)
                except EOFError:
                    return
                except FFmpegError:
                    self._broken += 1
                    continue
                for native in natives:
                    self._broken += native.is_corrupt
                    self._decoded += 1
                    yield native
        except (FFmpegError, OSError):
            self._broken += 1

    def _decoded_of(self, packet: Packet) -> list[av.VideoFrame]:
        if self._decoder is None:
            return self._stream.decode(packet)
        return self._decoder.decode(packet if packet.size else None)

    def _whole(self) -> Iterator[av.VideoFrame]:
        """Decoded pictures; from the first interlaced one on they pass through a filter, as asked."""
        native = None
        for native in self._natives():
            if not self.interlaced and is_interlaced(native, self._stream):
                self._meet_fields(native)
            if self._fields is None:
                yield native
            else:
                yield from self._fields.take(native)
        if self._fields is not None and native is not None:
            yield from self._fields.end(native)

    def _alike(self, native: av.VideoFrame) -> av.VideoFrame:
        """The picture in the size and pixel format of the first one: a broadcast may change either on the way."""
        form = native.width, native.height, native.format.name
        self._form = form if self._form is None else self._form
        if form == self._form:
            return native
        width, height, pixel_format = self._form
        note = (
            f"the picture changes on the way: {form[0]}x{form[1]} {form[2]} is shown as {width}x{height} {pixel_format}"
        )
        self.notes += [note] if note not in self.notes else []
        made = native.reformat(width=width, height=height, format=pixel_format)
        made.pts, made.time_base = native.pts, native.time_base
        made.duration = native.duration
        return made

    def _meet_fields(self, native: av.VideoFrame) -> None:
        self.interlaced = True
        if self._deinterlace == "refuse":
            raise UnsupportedStream(
                f"{self.path.name} is interlaced", "whole pictures are needed", "--deinterlace auto, or off"
            )
        if self._deinterlace == "off":
            self.notes.append("the video is interlaced; its pictures are taken as whole ones")
            return
        self.notes.append(
            "the video is interlaced: whole pictures are made of its fields; --deinterlace off leaves them as they are"
        )
        self._fields = Deinterlacer(self._stream, native)

    def _placed(self) -> Generator[Picture]:
        """The window's pictures. Each lasts until the next, the last one until the stream ends."""
        waiting: tuple[av.VideoFrame, Fraction] | None = None
        past = None if self.end is None else self.end + self.offset
        for native, pts in self._ordered():
            if waiting is not None:
                yield Picture(*waiting, (pts if past is None else min(pts, past)) - waiting[1])
            if past is not None and pts >= past:
                return
            waiting = native, pts
        self._judge(None if waiting is None else waiting[1])
        if waiting is not None:
            yield Picture(*waiting, self._rest(*waiting))

    def _ordered(self) -> Iterator[tuple[av.VideoFrame, Fraction]]:
        """Decoded pictures from `start` on, at strictly growing times."""
        gap, dropped = 1 / self._promises.rate, 0
        last: Fraction | None = None
        for native in map(self._alike, self._whole()):
            if native.pts is not None:
                told = native.pts * self._promises.grid
                self._clock = told if self._clock is None else self._clock
                pts = self._unrounded(told, self._clock)
                pts = told if last is not None and pts <= last else pts
            else:
                pts = Fraction(0) if last is None else last + gap
            if last is not None and pts <= last:
                dropped += 1
                continue
            last = pts
            if self.start is None or pts - self.offset >= self.start:
                yield native, pts
        if dropped:
            self.notes.append(f"{dropped} pictures at a time already taken were left out")

    def _grid(self) -> Fraction:
        """A step of which every time given out is a multiple."""
        grid = self._promises.grid
        return grid if grid < COARSE else common_step(grid, 1 / self._promises.rate)

    def _unrounded(self, pts: Fraction, origin: Fraction) -> Fraction:
        """A time on a coarse clock (Matroska counts milliseconds) that is one of the stream's rate, counted from
        `origin`, but for rounding -> that time. Else a frame at 33 ms would not be the one wanted at 1/30 s."""
        grid, rate = self._promises.grid, self._promises.rate
        if grid < COARSE:
            return pts
        nearest = origin + round((pts - origin) * rate) / rate
        return nearest if abs(nearest - pts) <= grid else pts

    def _rest(self, native: av.VideoFrame, pts: Fraction) -> Fraction:
        """How long the last picture is shown: until the stream's end, if that is known and was reached."""
        past = self._promises.past
        if past is not None and past > pts and self.damage is None:
            return self._unrounded(past, pts) - pts
        return native.duration * self._promises.grid if native.duration else 1 / self._promises.rate

    def _judge(self, last: Fraction | None) -> None:
        """At the end of the file: set `damage` where it came too soon, or pictures were broken."""
        promises, name = self._promises, self.path.name
        if promises.are_broken(packets=self._packets, last_dts=self._last_dts, is_whole=self._is_whole):
            total = promises.listed or round((promises.past or 0) * promises.rate)
            of_all = f" of about {total}" if total else ""
            self.damage = TruncatedInput(
                f"{name} broke off after {float(last or 0):.1f} s ({self._decoded}{of_all} frames)",
                "what could be read was rendered",
                "get the whole file for the rest",
            )
        elif self._broken:
            self.damage = TruncatedInput(
                f"{name} is damaged: {self._broken} of {self._packets} pictures could not be read well",
                "what could be read was rendered",
            )

    def _nothing(self) -> TweenError:
        if self.start is not None or self.end is not None:
            return EmptyVideo(
                f"{self.path.name} shows no frame between {_words(self.start, '0')} and {_words(self.end, 'its end')}",
                "a part that lies within the video is needed",
            )
        return EmptyVideo(f"no frame of {self.path.name} could be decoded", "a video with at least one frame is needed")


def _open(path: Path) -> InputContainer:
    if not path.exists():
        raise MissingFile(f"{path} is not there", "an existing video file or folder of pictures is needed")
    if path.stat().st_size == 0:
        raise EmptyVideo(f"{path.name} is empty (0 bytes)", "a video file is needed")
    try:
        container = av.open(str(path), metadata_errors="replace")
    except PermissionError as error:
        raise NotAVideo(f"{path} may not be read ({error.strerror})", "a file that you may read is needed") from error
    except FFmpegError as error:
        raise NotAVideo(
            f"{path.name} is no video that can be read ({error.strerror})",
            "a whole file of a known kind is needed, such as mp4, mov, mkv, webm, avi or ts",
        ) from error
    if container.format.name in TEXT_ART:
        container.close()
        raise NotAVideo(f"{path.name} is a text", "a video file or a folder of pictures is needed")
    return container


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not moving:
        kinds = sorted({str(stream.type) for stream in container.streams}) or ["nothing"]
        raise NoVideoStream(f"{path.name} holds no moving pictures, only {' and '.join(kinds)}", "a video is needed")
    stream = moving[0]
    if stream.codec_context is None:
        raise NotAVideo(f"{path.name} is coded in a way that no decoder here knows", "another codec is needed")
    return stream


def _decoder(stream: VideoStream) -> av.VideoCodecContext | None:
    """A decoder of our own where ffmpeg's first choice would lose something: it shows VP8 and VP9 without alpha."""
    if stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE")) != "1":
        return None
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.codec.canonical_name, "")
    if name not in av.codecs_available:
        return None
    decoder = av.CodecContext.create(name, "r")
    decoder.extradata = stream.codec_context.extradata
    return cast(av.VideoCodecContext, decoder)


def _display_matrix(native: av.VideoFrame) -> tuple[int, ...] | None:
    for data in side_data(native):
        if data.type.name == "DISPLAYMATRIX":
            return struct.unpack("9i", bytes(data))
    return None


def _words(moment: Fraction | None, unset: str) -> str:
    return unset if moment is None else f"{float(moment):g} s"
