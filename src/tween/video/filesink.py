"""Video files as sinks, through PyAV."""

from __future__ import annotations

import contextlib
import io
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import cast

import av
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.frame import PictureType
from av.video.stream import VideoStream

from ..errors import EmptyVideo, UnsupportedStream
from ..frame import Colour, Frame
from .alpha import from_rgb, has_alpha
from .codecs import finest, plan_for
from .colour import RGB, full_range_of, put_tags
from .draft import Draft
from .files import FileSource
from .light import Light
from .names import stream_names
from .priority import kept_priority
from .segments import Packets, PacketWriter, Segment
from .shape import put_shape
from .stream import Encoding, FrameSource
from .streams import Copies

SRGB_AS_VIDEO = Colour(matrix=1, primaries=1, transfer=13, full_range=False)


class FileSink:
    """A video file to be written; opened by `open_sink`.

    Frames that carry a `native` picture of the output's pixel format and size are encoded from it, untouched; all
    others are converted from RGB by the source's own matrix and range. The first frame keeps its pts, so that the
    copied sound stays where it was; of a source with a window (`start`), everything moves so that it stands at 0.

    Attributes:
        notes: what the output cannot hold, in words.
        has_alpha: it keeps transparency.
    """

    def __init__(self, path: Path, *, like: FrameSource, encoding: Encoding) -> None:
        self._origin = like if isinstance(like, FileSource) else None
        self.draft = Draft(
            path,
            overwrite=encoding.overwrite,
            source=self._origin.path if self._origin else None,
            resume=encoding.segment > 0,
        )
        try:
            self._prepare(path, like, encoding)
        except BaseException:
            self.draft.discard()
            raise

    def _prepare(self, path: Path, like: FrameSource, encoding: Encoding) -> None:
        light = getattr(like, "light", Light())
        self._plan = plan_for(path, encoding, like.info.pixel_format, like.info.size, light)
        self.has_alpha = has_alpha(self._plan.pixel_format)
        if self._plan.codec == "vp9" and any(p.is_alpha for p in av.VideoFormat(self._plan.pixel_format).components):
            encoding = replace(encoding, segment=0)  # its transparency is beside the packets, where no segment keeps it
        self._like, self._encoding = like, encoding
        self._copies = Copies(
            self._origin if encoding.others else None, self._plan.container, encoding.clock, encoding.sound
        )
        self.notes = [*self._plan.notes, *self._copies.notes]
        self._colour = self._tags()
        self._from_rgb = from_rgb(self._plan.pixel_format, self._colour, native=like.info.colour)
        self._grid = finest(*_grids(like, encoding))
        self._held: Frame | None = None
        self._shift = Fraction(0)
        self._durations: dict[int, int] = {}
        self._newest: av.Packet | None = None
        self._first, self._past, self._encoded = (0, 0), 0, 0
        self._holds_pictures = False  # the encoder does
        self._container: OutputContainer | None = None
        self._scratch: OutputContainer | None = None
        self._segments: list[Segment] = []
        self._finished: Callable[[Segment], None] | None = None
        self._log: PacketWriter | None = None

    @property
    def is_split(self) -> bool:
        """Whether it grows in segments that stand alone."""
        return self._encoding.segment > 0

    def resume(self, done: Sequence[Segment], finished: Callable[[Segment], None]) -> None:
        """Before the first frame: go on after `done`, and call `finished` for each segment more."""
        self._segments, self._finished = list(done), finished
        self.draft.keeps = bool(done)
        if done:
            self._place(done[0].begin)

    def write(self, frame: Frame) -> None:
        """Append one frame; pts must grow. The last frame lasts its `duration`, every other until the next.

        Raises:
            DiskFull, CannotWrite, UnsupportedStream: as they say.
            ValueError: a pts that does not grow, or another size: a fault of the caller.
        """
        if self._held is None:
            self._begin(frame)
        else:
            if frame.pts <= self._held.pts:
                raise ValueError(f"pts must grow: {frame.pts} after {self._held.pts}")
            if frame.size != self._held.size:
                raise ValueError(f"frame of {frame.size[1]}x{frame.size[0]} in a video of {self._held.size[::-1]}")
            self._encode(self._held, frame.pts - self._held.pts)
            if self._log is not None and self._encoded == self._encoding.segment:
                self._end_segment()
        self._held = frame

    def __enter__(self) -> FileSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.draft.settle(error)
            if error is None:
                self._finish()
        except (OSError, FFmpegError) as broken:
            raise self.draft.failure(broken) from broken
        finally:
            self._abandon()

    def _tags(self) -> Colour:
        """The source's own colour tags, unless the output cannot mean what they say."""
        colour, pixel_format = self._like.info.colour, self._like.info.pixel_format
        is_yuv = not av.VideoFormat(self._plan.pixel_format).is_rgb
        if is_yuv and (colour.matrix == RGB or av.VideoFormat(pixel_format).is_rgb or pixel_format == "pal8"):
            return SRGB_AS_VIDEO
        if not self._plan.encoder.full_range and full_range_of(pixel_format, colour):
            self.notes.append(f"{self._plan.codec} knows limited range only: the full range is written as that")
            return replace(colour, full_range=False)
        if colour.full_range is None and self._plan.codec != "ffv1" and full_range_of(pixel_format, colour):
            return replace(colour, full_range=True)  # untagged gray is full; what it becomes here has to say so
        return colour

    def _begin(self, frame: Frame) -> None:
        if not self._segments:
            self._place(frame.pts)
        if not self._encoding.segment:
            self._open(frame.pts, frame.size)

    def _place(self, first: Fraction) -> None:
        """Learn when the first frame is shown: of a source with a window, it stands at 0."""
        if getattr(self._like, "start", None) is not None:
            self._shift = first

    def _open(self, first: Fraction, size: tuple[int, int]) -> None:
        """Open the output and write its header. `first`: when its first frame is shown."""
        self._container = av.open(
            str(self.draft.part), "w", format=self._plan.container, container_options=self._muxer_options()
        )
        self._stream = self._picture_stream(self._container, size)
        self._copies.begin(self._container, origin=first, shift=self._shift)
        with self._told():
            self._container.start_encoding()

    def _picture_stream(self, container: OutputContainer, size: tuple[int, int]) -> VideoStream:
        """A stream of pictures in a container, its encoder ready to begin."""
        height, width = self._size = size
        rate = self._encoding.rate or self._like.info.rate / self._encoding.stretch
        stream = cast(
            VideoStream,
            container.add_stream(
                self._plan.encoder.library, rate=rate, width=width, height=height, time_base=self._grid
            ),
        )
        stream.pix_fmt = self._plan.pixel_format
        stream.codec_context.time_base = self._grid
        stream.codec_context.thread_type = "AUTO"
        stream.options = dict(self._plan.options)
        put_tags(stream.codec_context, self._colour)
        if self._plan.codec.startswith("hevc") and self._plan.container != "matroska":
            stream.codec_context.codec_tag = "hvc1"  # what Apple's players look for
        self._dress(stream)
        try:
            with kept_priority():
                stream.codec_context.open()
        except FFmpegError as error:
            raise UnsupportedStream(
                f"{self._plan.encoder.library} does not take {width}x{height} in {self._plan.pixel_format}"
                f" ({error.strerror})",
                "another codec is needed",
                "--codec h264" if self._plan.codec != "h264" else "--codec ffv1",
            ) from error
        return stream

    def _begin_segment(self, frame: Frame) -> None:
        self._scratch = av.open(io.BytesIO(), "w", format=self._plan.container)
        self._stream = self._picture_stream(self._scratch, frame.size)
        self._segment_begins, self._encoded = frame, 0
        with self._told():
            self._log = PacketWriter(self.draft.work / f"{len(self._segments):08d}.packets")

    def _end_segment(self) -> None:
        """Nothing more belongs to the segment: empty its encoder, and tell of it."""
        self._empty()
        assert self._log is not None
        assert self._scratch is not None
        with self._told():
            log, self._log = self._log, None
            segment = log.close(self._segment_begins.pts, self._segment_begins.size)
            self._segments.append(segment)
            self._scratch.close()
            if self._finished is not None:
                self._finished(segment)
                self.draft.keeps = True

    def _dress(self, stream: VideoStream) -> None:
        """Give the stream what is no pixel: aspect, rotation, names."""
        origin, aspect = self._origin, getattr(self._like, "sample_aspect", None)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if origin is None:
            return
        if origin.display_matrix is not None:
            stream.set_display_matrix(origin.display_matrix)
        stream.metadata.update(stream_names(origin.metadata))
        stream.disposition = origin.disposition

    def _muxer_options(self) -> dict[str, str]:
        if self._plan.container not in ("mp4", "mov"):
            return {}
        # Edit lists, which say when a stream begins, count in the movie's own timescale: it has to hold them all.
        scale = math.lcm(self._grid.denominator, *self._copies.timescales)
        scale = scale if scale < 2**31 else self._grid.denominator
        return {"movflags": "+faststart", "movie_timescale": str(scale)}

    def _encode(self, frame: Frame, duration: Fraction) -> None:
        if self._encoding.segment and self._log is None:
            self._begin_segment(frame)
        self._encoded += 1
        picture = self._picture(frame)
        ticks = round((frame.pts - self._shift) / self._grid)
        until = round((frame.pts - self._shift + duration) / self._grid)
        self._durations[ticks] = until - ticks
        kept = picture.pts, picture.time_base, picture.duration, picture.pict_type
        try:
            picture.pts, picture.time_base, picture.duration = ticks, self._grid, until - ticks
            picture.pict_type = PictureType.NONE  # the source's I, P or B is no wish of ours
            self._holds_pictures = True
            packets = self._stream.encode(picture)
        finally:
            picture.pts, time_base, picture.duration, picture.pict_type = kept
            if time_base is not None:
                picture.time_base = time_base
        self._mux(packets)

    def _empty(self) -> None:
        """Take out of the encoder what it holds."""
        packets = self._stream.encode(None)
        self._holds_pictures = False
        self._mux(packets)

    def _picture(self, frame: Frame) -> av.VideoFrame:
        native = frame.native
        if native is None or (native.height, native.width) != frame.size or self._colour is SRGB_AS_VIDEO:
            return self._from_rgb(frame.data)
        is_same = native.format.name == self._plan.pixel_format and self._colour == self._like.info.colour
        return native if is_same else self._from_rgb.recode(native)

    def _mux(self, packets: Iterable[av.Packet]) -> None:
        """Mux all packets but the newest, which waits: it may be the last, and then lasts longer. Those of a segment
        wait in its file."""
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts or 0, packet.duration)
            if self._log is not None:
                with self._told():
                    self._log.write(packet)
                continue
            packet.stream = self._stream
            packet.dts = self._decoding_time(packet)
            self._past = max(self._past, (packet.pts or 0) + (packet.duration or 0))
            if self._newest is not None:
                self._send(self._newest)
            else:
                self._first = packet.pts or 0, packet.dts or 0
            self._newest = packet

    def _decoding_time(self, packet: av.Packet) -> int:
        """The packet's dts, growing and never after its pts. x265 leaves it to chance in videos of a frame or two."""
        pts = packet.pts or 0
        last = None if self._newest is None else self._newest.dts
        least = pts if last is None else last + 1
        if packet.dts is None or packet.dts > pts or pts - packet.dts >= 2**31:
            return min(least, pts)
        return packet.dts if last is None else max(packet.dts, least)

    def _send_last(self) -> None:
        """mp4 counts a stream's length in decoding order: what is last there fills it up to the last picture's end."""
        packet = self._newest
        assert packet is not None
        if self._plan.container in ("mp4", "mov"):
            pts, dts = self._first
            packet.duration = max((self._past - pts) - ((packet.dts or 0) - dts), 1)
        self._send(packet)

    def _send(self, packet: av.Packet) -> None:
        with self._told():
            self._copies.mux_until((packet.dts or 0) * self._grid)
            assert self._container is not None
            self._container.mux(packet)

    def _finish(self) -> None:
        if self._held is not None:
            self._encode_last(self._held)
        elif not self._segments:
            raise EmptyVideo("no frame was written", "at least one is needed")
        if self._encoding.segment:
            self._join()
        else:
            self._empty()
        self._send_last()
        assert self._container is not None
        with self._told():
            self._copies.mux_until(None)
            self.notes += [note for note in self._copies.notes if note not in self.notes]
            container, self._container = self._container, None
            container.close()
            self._put_shape()
        self.draft.commit()

    def _encode_last(self, frame: Frame) -> None:
        rate = self._encoding.rate or self._like.info.rate / self._encoding.stretch
        self._encode(frame, frame.duration or 1 / rate)

    def _put_shape(self) -> None:
        """Matroska says the shape of a pixel beside its codec; what writes it cannot be told."""
        aspect = getattr(self._like, "sample_aspect", None) or Fraction(1)
        if aspect == 1 or self._plan.container not in ("matroska", "webm"):
            return
        if not put_shape(self.draft.part, aspect, self._size) and not self._plan.encoder.says_aspect:
            words = f"{aspect.numerator}:{aspect.denominator}"
            self.notes.append(f"the shape of a pixel ({words}) is left out: this file has no room for it")

    def _join(self) -> None:
        """All segments into one file, packets as they are."""
        if self._log is not None:
            self._end_segment()
        self._open(self._segments[0].begin, self._segments[0].size)
        with self._told():
            self._mux(Packets(self.draft.work, self._segments, self._grid))

    def _abandon(self) -> None:
        """Close what is open and remove what is unfinished; after a commit there is neither."""
        self._copies.close()
        if self._log is not None:
            self._log.abandon()
        container, self._container = self._container, None
        if container is not None:
            with contextlib.suppress(OSError):
                self.draft.part.unlink(missing_ok=True)  # first, where possible: closing then has nothing to finish
            with contextlib.suppress(OSError, FFmpegError):
                container.close()
        self.draft.discard()
        if self._holds_pictures:
            self._rest()

    def _rest(self) -> None:
        """Give an encoder that minds to be closed with pictures inside the time to come to an end with what it does."""
        seconds, per_megapixel = self._plan.encoder.rest_s
        if seconds:
            time.sleep(seconds + per_megapixel * math.prod(self._size) / 1e6)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the system, told as the user's own."""
        try:
            yield
        except (OSError, FFmpegError) as error:
            raise self.draft.failure(error) from error


def _grids(like: FrameSource, encoding: Encoding) -> list[Fraction]:
    if encoding.time_base is not None:
        return [encoding.time_base]
    ticks = [] if encoding.rate is None else [1 / encoding.rate]
    return [like.info.time_base * encoding.stretch, like.info.time_base, *ticks]
