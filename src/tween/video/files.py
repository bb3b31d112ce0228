"""Video files as sources, through PyAV."""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from ..errors import EmptyVideo, MissingFile, NotAVideo, NoVideoStream, TruncatedInput, TweenError
from ..frame import Frame, VideoInfo
from .colour import ToRgb, tags_of

AV_TIME_BASE = 1_000_000


@dataclass(frozen=True)
class Picture:
    """A decoded picture in its place: `native` as the decoder gave it, `pts` and `duration` in seconds."""

    native: av.VideoFrame
    pts: Fraction
    duration: Fraction | None


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
        interlaced: the pictures are made of two fields.
    """

    def __init__(self, path: Path, *, start: Fraction | None = None, end: Fraction | None = None) -> None:
        self.path, self.start, self.end = path, start, end
        self.damage: TweenError | None = None
        self.notes: list[str] = []
        self._container = _open(path)
        try:
            self._stream = _video_stream(self._container, path)
            self._stream.thread_type = "AUTO"
            self._decoded, self._broken, self._packets = 0, 0, 0
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
        to_rgb = ToRgb(self.info.colour, deep=self.info.bit_depth > 8)
        picture: Picture | None = self._first
        self._first = None
        while picture is not None:
            yield Frame(to_rgb(picture.native), picture.pts, picture.duration, picture.native)
            picture = next(self._pictures, None)

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

    def _learn(self, native: av.VideoFrame) -> None:
        stream, context = self._stream, self._stream.codec_context
        self.display_matrix = _display_matrix(native)
        aspect = stream.sample_aspect_ratio or context.sample_aspect_ratio
        self.sample_aspect = Fraction(aspect) if aspect else None
        self.metadata = dict(stream.metadata)
        self.disposition = stream.disposition
        self.index = stream.index
        self.interlaced = bool(native.interlaced_frame)
        pixels = native.format
        kinds = [other.type for other in self._container.streams]
        self.info = VideoInfo(
            size=(native.height, native.width),
            rate=_rate(stream),
            length=_length(stream) if self.start is None and self.end is None else None,
            duration=_duration(self._container, stream),
            bit_depth=max(part.bits for part in pixels.components),
            pixel_format=pixels.name,
            colour=tags_of(native, context),
            sample_aspect=self.sample_aspect or Fraction(1),
            rotation=native.rotation % 360,
            codec=context.name,
            audio=kinds.count("audio"),
            subtitles=kinds.count("subtitle"),
            has_alpha=any(part.is_alpha for part in pixels.components),
            time_base=_grid(stream),
        )

    def _natives(self) -> Iterator[av.VideoFrame]:
        """Decoded pictures; broken packets are counted and skipped, a broken end ends it."""
        if self.start is not None and self.start > 0:
            moment = int((self.start + self.offset) / _grid(self._stream))
            self._container.seek(moment, stream=self._stream, backward=True)
        try:
            for packet in self._container.demux(self._stream):
                self._packets += packet.size > 0
                try:
                    natives = self._stream.decode(packet)
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

    def _placed(self) -> Generator[Picture]:
        """Decoded pictures at strictly growing times, within the window."""
        grid = _grid(self._stream)
        gap = 1 / _rate(self._stream)
        last: Fraction | None = None
        dropped, reached_end = 0, False
        for native in self._natives():
            pts = native.pts * grid if native.pts is not None else (last + gap if last is not None else Fraction(0))
            if last is not None and pts <= last:
                dropped += 1
                continue
            last = pts
            if self.end is not None and pts - self.offset >= self.end:
                reached_end = True
                break
            if self.start is None or pts - self.offset >= self.start:
                yield Picture(native, pts, native.duration * grid if native.duration else None)
        if dropped:
            self.notes.append(f"{dropped} pictures at a time already taken were left out")
        if last is not None and not reached_end:
            self._judge(last)

    def _judge(self, last: Fraction) -> None:
        """Set `damage` where the end came too soon, or pictures were broken."""
        due = _last_due(self._container, self._stream)
        name = self.path.name
        if due is not None and last < due - Fraction(3, 2) / _rate(self._stream):
            total = self._stream.frames or round(due * _rate(self._stream))
            self.damage = TruncatedInput(
                f"{name} broke off after {float(last):.1f} s ({self._decoded} of about {total} frames)",
                "what could be read was rendered",
                "get the whole file for the rest",
            )
        elif self._broken:
            self.damage = TruncatedInput(
                f"{name} is damaged: {self._broken} of about {self._packets} pictures could not be read well",
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
        return av.open(str(path), metadata_errors="replace")
    except PermissionError as error:
        raise NotAVideo(f"{path} may not be read ({error.strerror})", "a file that you may read is needed") from error
    except FFmpegError as error:
        raise NotAVideo(
            f"{path.name} is no video that can be read ({error.strerror})",
            "a whole file of a known kind is needed, such as mp4, mov, mkv, webm, avi or ts",
        ) from error


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not moving:
        kinds = sorted({str(stream.type) for stream in container.streams}) or ["nothing"]
        raise NoVideoStream(f"{path.name} holds no moving pictures, only {' and '.join(kinds)}", "a video is needed")
    stream = moving[0]
    if stream.codec_context is None:
        raise NotAVideo(f"{path.name} is coded in a way that no decoder here knows", "another codec is needed")
    return stream


def _rate(stream: VideoStream) -> Fraction:
    return Fraction(stream.average_rate or stream.guessed_rate or stream.base_rate or 25)


def _grid(stream: VideoStream) -> Fraction:
    return Fraction(stream.time_base or Fraction(1, AV_TIME_BASE))


def _length(stream: VideoStream) -> int | None:
    """The number of pictures, where the container's index lists each of them."""
    entries = stream.index_entries
    if not stream.frames or len(entries) != stream.frames:
        return None
    return sum(not entry.is_discard for entry in entries)


def _duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Seconds that the video stream lasts: its own word, Matroska's tag, or the file's where it is alone."""
    if stream.duration is not None and stream.time_base is not None:
        return stream.duration * Fraction(stream.time_base)
    tag = stream.metadata.get("DURATION", "")
    if tag.count(":") == 2:
        hours, minutes, seconds = (Fraction(part) for part in tag.split(":"))
        past = hours * 3600 + minutes * 60 + seconds  # when the last picture ends, counted from 0
        return past - (stream.start_time or 0) * _grid(stream)
    if container.duration is not None and len(container.streams) == 1:
        return Fraction(container.duration, AV_TIME_BASE)
    return None


def _last_due(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """When the last picture should stand, seconds, or None where the file does not say."""
    duration = _duration(container, stream)
    if duration is None:
        return None
    return (stream.start_time or 0) * _grid(stream) + duration - 1 / _rate(stream)


def _display_matrix(native: av.VideoFrame) -> tuple[int, ...] | None:
    for data in cast(Any, native.side_data):
        if data.type.name == "DISPLAYMATRIX":
            return struct.unpack("9i", bytes(data))
    return None


def _words(moment: Fraction | None, unset: str) -> str:
    return unset if moment is None else f"{float(moment):g} s"
