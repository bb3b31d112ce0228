"""Everything of a file that is not the picture: sound, subtitles, chapters, names; copied as packets."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Discard, Disposition, Stream

from ..errors import UnsupportedStream
from . import subtitles
from .files import FileSource
from .promises import AV_TIME_BASE

OF_THE_FILE = {"major_brand", "minor_version", "compatible_brands", "encoder"}  # facts about the old file, not the film
OF_THE_STREAM = ("_STATISTICS", "BPS", "DURATION", "NUMBER_OF_", "ENCODER")
SUFFIXES = {"mp4": ".mp4", "mov": ".mov", "matroska": ".mkv", "webm": ".webm"}

# Names that mp4 and mov have a place for (found by writing and reading back); Matroska takes any.
QUICKTIME = {
    "album", "artist", "comment", "copyright", "creation_time", "date", "genre", "location", "location-eng", "title",
}  # fmt: skip
ITUNES = {
    "album_artist", "compilation", "composer", "description", "disc", "episode_id", "episode_sort",
    "gapless_playback", "grouping", "hd_video", "keywords", "lyrics", "media_type", "network", "season_number",
    "show", "synopsis", "track",
}  # fmt: skip
HELD = {"mov": QUICKTIME | {"make", "model"}, "mp4": QUICKTIME | ITUNES}


@dataclass
class Copied:
    """One stream on its way into the output.

    Attributes:
        source: where its packets come from.
        rewrite: its packets are text to be written in the container's own way.
        target: where they go, once the output is open.
        last: the last decoding time muxed, in ticks of the source's grid.
    """

    source: Stream
    rewrite: bool = False
    target: Stream | None = None
    last: int | None = None


class Copies:
    """The other streams of a source, muxed beside the picture as it goes.

    Args:
        source: the file they come from, or None where there is none.
        container: ffmpeg's name of the container they go into.
        stretch: output seconds for one source second. Text and chapters stretch along; sound is left out unless 1.

    Attributes:
        notes: what is left out or changed, in words.

    Raises:
        UnsupportedStream: sound that the container cannot hold.
    """

    def __init__(self, source: FileSource | None, container: str, stretch: Fraction) -> None:
        self.notes: list[str] = []
        self._source, self._container, self._stretch = source, container, stretch
        self._streams: dict[int, Copied] = {}
        self._input: InputContainer | None = None
        self._output: OutputContainer | None = None
        self._packets: Iterator[Packet] = iter(())
        self._waiting: Packet | None = None
        if source is None:
            return
        self._input = av.open(str(source.path), metadata_errors="replace")
        try:
            for stream in self._input.streams:
                self._choose(stream, source)
            self._miss_names()
        except BaseException:
            self.close()
            raise

    @property
    def timescales(self) -> list[int]:
        """Ticks a second of the copied streams."""
        return [c.source.time_base.denominator for c in self._streams.values() if c.source.time_base is not None]

    def begin(self, output: OutputContainer, *, origin: Fraction, shift: Fraction) -> None:
        """Add the streams to an output whose header is not written yet.

        Args:
            output: the open container.
            origin: the first picture's pts, seconds; a stretch leaves this instant where it is.
            shift: all times move so many seconds earlier.
        """
        self._output, self._origin, self._shift = output, origin, shift
        if self._input is None or self._source is None:
            return
        for copied in self._streams.values():
            copied.target = self._added(output, copied)
        output.metadata.update(file_names(self._input.metadata))
        output.set_chapters([moved for chapter in self._input.chapters() for moved in self._chapter(chapter)])
        wanted = [copied.source for copied in self._streams.values() if copied.source.type != "attachment"]
        for stream in self._input.streams:
            if stream not in wanted:
                stream.discard = Discard.all
        if wanted:
            if self._source.start:
                self._input.seek(int((self._source.start + self._source.offset) * AV_TIME_BASE))
            self._packets = self._placed(self._input.demux(wanted))

    def mux_until(self, moment: Fraction | None) -> None:
        """Mux the packets due up to `moment`, seconds in the output; None takes all that are left."""
        while True:
            self._waiting = self._waiting or next(self._packets, None)
            if self._waiting is None:
                return
            due = self._waiting.dts
            if moment is not None and due is not None and due * self._waiting.time_base > moment:
                return
            assert self._output is not None
            self._output.mux(self._waiting)
            self._waiting = None

    def close(self) -> None:
        """Close the source's file. Safe to call twice."""
        self._packets, self._waiting = iter(()), None
        if self._input is not None:
            self._input.close()
            self._input = None

    def _choose(self, stream: Stream, source: FileSource) -> None:
        """Copy a stream, rewrite it, or say that it is left out."""
        assert self._input is not None
        if stream.index == source.index:
            return
        if stream.type == "data" and (self._input.chapters() or "timecode" in source.metadata):
            return  # mp4 keeps chapters and timecode as tracks, which the muxer makes anew
        name, suffix = _name(stream), SUFFIXES[self._container]
        if self._stretch != 1 and stream.type in ("audio", "video", "data") and not _is_cover(stream):
            self.notes.append(f"{name} is left out: the picture is slowed, and it is not")
        elif _fits(stream, self._container):
            self._streams[stream.index] = Copied(stream)
        elif stream.type == "subtitle" and subtitles.can_rewrite(stream.name):
            self._streams[stream.index] = Copied(stream, rewrite=True)
            self.notes.append(f"{name} is rewritten as {subtitles.FITTING[self._container]}, without its styling")
        elif stream.type == "audio":
            raise UnsupportedStream(
                f"{name} does not fit into a {suffix} file", "a container that holds it", f"-o {source.path.stem}.mkv"
            )
        else:
            self.notes.append(f"{name} is left out: a {suffix} file cannot hold it")

    def _miss_names(self) -> None:
        assert self._input is not None
        held = HELD.get(self._container)
        lost = [key for key in file_names(self._input.metadata) if held is not None and key.lower() not in held]
        if lost:
            suffix = SUFFIXES[self._container]
            self.notes.append(
                f"the file's words on {', '.join(sorted(lost))} are left out: a {suffix} file has no place"
            )

    def _added(self, output: OutputContainer, copied: Copied) -> Stream:
        target = subtitles.add_stream(output, self._container) if copied.rewrite else _add(output, copied.source)
        target.metadata.update(stream_names(copied.source.metadata))
        target.disposition = copied.source.disposition
        return target

    def _at(self, seconds: Fraction) -> Fraction:
        """When an instant of the source is, in the output."""
        return self._origin + (seconds - self._origin) * self._stretch - self._shift

    def _window(self) -> tuple[Fraction | None, Fraction | None]:
        """First and past-last instant to keep, on the source's clock."""
        source = self._source
        assert source is not None
        return self._origin if source.start is not None else None, source.end and source.end + source.offset

    def _chapter(self, chapter: Any) -> list[Any]:
        """A chapter as the output shows it; nothing if the window leaves it out."""
        grid = Fraction(chapter["time_base"])
        begin, past = chapter["start"] * grid, chapter["end"] * grid
        first, end = self._window()
        if (first is not None and past <= first) or (end is not None and begin >= end):
            return []
        begin = begin if first is None else max(begin, first)
        past = past if end is None else min(past, end)
        return [{**chapter, "start": round(self._at(begin) / grid), "end": round(self._at(past) / grid)}]

    def _placed(self, packets: Iterator[Packet]) -> Iterator[Packet]:
        """The window's packets, at their times in the output, of their streams there."""
        first, end = self._window()
        for packet in self._read(packets):
            copied = self._streams[packet.stream.index]
            grid = packet.time_base
            pts = packet.pts * grid if packet.pts is not None else None
            outside = pts is not None and ((first is not None and pts < first) or (end is not None and pts >= end))
            if outside and not _is_cover(copied.source):
                continue
            if copied.source.name == "mov_text" and bytes(packet) == b"\0\0":
                continue  # mp4's way of showing nothing; the muxer fills gaps itself
            if copied.rewrite:
                made = subtitles.rewritten(packet, str(copied.source.name), self._container)
                if made is None:
                    continue
                packet = made
            self._place(packet, copied)
            yield packet

    def _place(self, packet: Packet, copied: Copied) -> None:
        grid = packet.time_base
        if packet.pts is not None:
            packet.pts = round(self._at(packet.pts * grid) / grid)
        dts = packet.pts if packet.dts is None else round(self._at(packet.dts * grid) / grid)
        if dts is not None:
            if copied.last is not None and dts < copied.last:  # no container takes time running back
                dts = copied.last
            copied.last = packet.dts = dts
            packet.pts = dts if packet.pts is None else max(packet.pts, dts)
        if self._stretch != 1 and packet.duration:
            packet.duration = round(packet.duration * self._stretch)
        assert copied.target is not None
        packet.stream = copied.target

    def _read(self, packets: Iterator[Packet]) -> Iterator[Packet]:
        """Packets until the end, or until the file breaks off."""
        try:
            yield from (packet for packet in packets if packet.size)
        except FFmpegError as error:
            self.notes.append(f"the sound and other streams break off with the file ({error.strerror})")


def stream_names(metadata: dict[str, str]) -> dict[str, str]:
    """A stream's metadata without what described its old coding."""
    return {key: value for key, value in metadata.items() if not key.upper().startswith(OF_THE_STREAM)}


def file_names(metadata: dict[str, str]) -> dict[str, str]:
    """A file's metadata without what described the old file."""
    return {key: value for key, value in metadata.items() if key.lower() not in OF_THE_FILE}


def _add(output: OutputContainer, source: Stream) -> Stream:
    return output.add_stream_from_template(source, opaque=True)


def _fits(stream: Stream, container: str) -> bool:
    """Whether a container takes a stream, found out by writing the header of one that holds nothing else."""
    trial = av.open(io.BytesIO(), "w", format=container)
    try:
        _add(trial, stream)
        trial.start_encoding()
    except (ValueError, FFmpegError):
        return False
    finally:
        with contextlib.suppress(ValueError, FFmpegError):
            trial.close()
    return True


def _is_cover(stream: Stream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _name(stream: Stream) -> str:
    words = {"audio": "sound", "subtitle": "subtitle", "video": "further picture"}
    language = f" in {stream.language}" if stream.language not in (None, "und") else ""
    return f"the {words.get(stream.type, stream.type)} stream {stream.index} ({stream.name or 'unknown'}{language})"
