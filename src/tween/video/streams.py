"""Everything of a file that is not the picture: sound, subtitles, chapters, names. Copied as packets where the
container holds them and time is left as it is; else encoded or written anew, with a note."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Discard, Stream

from ..timeline import Timeline
from . import subtitles
from .covers import Cover, cover_of, is_cover
from .files import FileSource
from .names import HELD, file_names, names_for
from .pcm import Bare, bare_of
from .promises import AV_TIME_BASE
from .sound import WORDS, Sound, codec_of, encoder_for
from .stream import SoundPolicy

SUFFIXES = {"mp4": ".mp4", "mov": ".mov", "matroska": ".mkv", "webm": ".webm"}


@dataclass
class Copied:
    """One stream on its way into the output.

    Attributes:
        source: where its packets come from.
        rewrite: its packets are text to be written in the container's own way.
        sound: encodes it anew, or None.
        is_stretched: its times follow the film's clock.
        target: where they go, once the output is open.
        last: the last decoding time muxed, in ticks of the source's grid.
        bare: knows its samples, where they have to be without a gap.
        held: a packet that does not say how long it lasts, until the next one does; lasted: how long the last one did.
    """

    source: Stream
    rewrite: bool = False
    sound: Sound | None = None
    is_stretched: bool = True
    target: Stream | None = None
    last: int | None = None
    bare: Bare | None = None
    held: Packet | None = None
    lasted: int = 0


class Copies:
    """The other streams of a source, muxed beside the picture as it goes.

    Args:
        source: the file they come from, or None where there is none.
        container: ffmpeg's name of the container they go into.
        clock: where it stretches time, text, chapters and whatever else stretch along. None leaves time as it is.
        sound: what becomes of the sound; "auto" stretches it with the clock.

    Attributes:
        notes: what is left out or changed, in words.

    Raises:
        UnsupportedStream: sound that has to be encoded anew, and that nothing here decodes.
    """

    def __init__(
        self, source: FileSource | None, container: str, clock: Timeline | None = None, sound: SoundPolicy = "auto"
    ) -> None:
        self.notes: list[str] = []
        self._source, self._container, self._clock, self._sound = source, container, clock, sound
        self._streams: dict[int, Copied] = {}
        self._inputs: list[InputContainer] = []
        self._output: OutputContainer | None = None
        self._feeds: list[Feed] = []
        self._attached: list[Cover] = []
        if source is None:
            return
        self._input = self._opened(source)
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
        grids = [copied.sound.grid if copied.sound else copied.source.time_base for copied in self._streams.values()]
        return [grid.denominator for grid in grids if grid is not None]

    def begin(self, output: OutputContainer, *, origin: Fraction, shift: Fraction) -> None:
        """Add the streams to an output whose header is not written yet.

        Args:
            output: the open container.
            origin: the first picture's pts, seconds; a stretch leaves this instant where it is.
            shift: all times move so many seconds earlier.
        """
        self._output, self._origin, self._shift = output, origin, shift
        if self._source is None:
            return
        for copied in self._streams.values():
            copied.target = self._added(output, copied)
        for attached in self._attached:
            output.add_attachment(*attached)
        output.metadata.update(file_names(self._input.metadata))
        output.set_chapters([moved for chapter in self._input.chapters() for moved in self._chapter(chapter)])
        moving = [copied for copied in self._streams.values() if copied.source.type != "attachment"]
        # Sound that is not stretched runs ahead of texts that are: each is read on its own.
        for is_stretched in (True, False):
            wanted = {copied.source.index for copied in moving if copied.is_stretched == is_stretched}
            if wanted:
                container = self._opened(self._source) if self._feeds else self._input
                self._feeds.append(Feed(self._placed(container, wanted)))

    def mux_until(self, moment: Fraction | None) -> None:
        """Mux the packets due up to `moment`, seconds in the output; None takes all that are left."""
        for feed in self._feeds:
            for packet in feed.until(moment):
                assert self._output is not None
                self._output.mux(packet)

    def close(self) -> None:
        """Close the source's file. Safe to call twice."""
        self._feeds = []
        while self._inputs:
            self._inputs.pop().close()

    def _opened(self, source: FileSource) -> InputContainer:
        self._inputs.append(av.open(str(source.path), metadata_errors="replace"))
        return self._inputs[-1]

    def _choose(self, stream: Stream, source: FileSource) -> None:
        """Copy a stream, rewrite it, or say that it is left out."""
        if stream.index == source.index:
            return
        if stream.type == "data" and (self._input.chapters() or "timecode" in source.metadata):
            return  # mp4 keeps chapters and timecode as tracks, which the muxer makes anew
        name, suffix = _name(stream), SUFFIXES[self._container]
        if isinstance(stream, AudioStream):
            self._choose_sound(stream, name)
        elif is_cover(stream) and self._container != "mp4":
            self._choose_cover(stream, source, suffix)
        elif _fits(stream, self._container) and (stream.type != "attachment" or self._container == "matroska"):
            self._streams[stream.index] = Copied(stream)
        elif stream.type == "subtitle" and subtitles.can_rewrite(codec_of(stream)):
            self._streams[stream.index] = Copied(stream, rewrite=True)
            self.notes.append(f"{name} is rewritten as {subtitles.FITTING[self._container]}, without its styling")
        else:
            self.notes.append(f"{name} is left out: a {suffix} file cannot hold it")

    def _choose_cover(self, stream: Stream, source: FileSource, suffix: str) -> None:
        """mp4 keeps a cover as a stream, Matroska as an attached file; mov would take it and write nothing."""
        picture = cover_of(source.path, stream) if self._container == "matroska" else None
        if picture is not None:
            self._attached.append(picture)
        else:
            self.notes.append(
                f"the cover picture ({codec_of(stream) or 'unknown'}) is left out: a {suffix} file cannot hold it"
            )

    def _anew(self, stream: AudioStream, clock: Timeline | None, why: str) -> Sound:
        """A stream that is encoded anew, and a note that says so."""
        encoder = encoder_for(stream, self._container)
        sound = Sound(stream, encoder, clock)
        mixed = f", mixed down to {sound.mixed_down}" if sound.mixed_down else ""
        self.notes.append(f"{_name(stream)} is {why.format(f'encoded anew as {WORDS[encoder]}{mixed}')}")
        return sound

    def _choose_sound(self, stream: AudioStream, name: str) -> None:
        if self._sound == "drop":
            self.notes.append(f"{name} is left out, as asked")
        elif self._clock is not None and self._sound != "keep":
            sound = self._anew(stream, self._clock, "stretched with the picture, and {}")
            self._streams[stream.index] = Copied(stream, sound=sound)
        elif _fits(stream, self._container):
            bare = bare_of(stream) if self._container in ("mp4", "mov") else None
            self._streams[stream.index] = Copied(stream, bare=bare, is_stretched=self._clock is None)
        else:
            sound = self._anew(stream, None, f"{{}}: a {SUFFIXES[self._container]} file cannot hold it")
            self._streams[stream.index] = Copied(stream, sound=sound, is_stretched=self._clock is None)

    def _miss_names(self) -> None:
        held = HELD.get(self._container)
        lost = [key for key in file_names(self._input.metadata) if held is not None and key.lower() not in held]
        if lost:
            suffix = SUFFIXES[self._container]
            self.notes.append(
                f"the file's words on {', '.join(sorted(lost))} are left out: a {suffix} file has no place"
            )

    def _added(self, output: OutputContainer, copied: Copied) -> Stream:
        if copied.sound is not None:
            target = copied.sound.add_to(output, self._clock_of(copied))
        elif copied.rewrite:
            target = subtitles.add_stream(output, self._container)
        else:
            target = _add(output, copied.source)
        names, lost = names_for(copied.source.metadata, self._container)
        self.notes += [f"{_name(copied.source)} {words}" for words in lost]
        target.metadata.update(names)
        target.disposition = copied.source.disposition
        return target

    def _at(self, seconds: Fraction) -> Fraction:
        """When an instant of the source is, in the output."""
        span = seconds - self._origin if self._clock is None else self._clock.span(self._origin, seconds)
        return self._origin + span - self._shift

    def _clock_of(self, copied: Copied) -> Callable[[Fraction], Fraction]:
        """The same for one stream: sound may keep its own length."""
        return self._at if copied.is_stretched else lambda seconds: seconds - self._shift

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

    def _placed(self, container: InputContainer, wanted: set[int]) -> Iterator[Packet]:
        """The window's packets, at their times in the output, of their streams there."""
        assert self._source is not None
        first, end = self._window()
        for stream in container.streams:
            if stream.index not in wanted:
                stream.discard = Discard.all
        if self._source.start:
            container.seek(int((self._source.start + self._source.offset) * AV_TIME_BASE))
        streams = [stream for stream in container.streams if stream.index in wanted]
        for packet in self._read(container.demux(streams)):
            copied = self._streams[packet.stream.index]
            grid = packet.time_base
            pts = packet.pts * grid if packet.pts is not None else None
            outside = pts is not None and ((first is not None and pts < first) or (end is not None and pts >= end))
            if outside and not is_cover(copied.source):
                continue
            if copied.sound is not None:
                yield from copied.sound.take(packet)
            else:
                for one in self._copied(packet, copied):
                    yield from self._lasting(one, copied)
        for copied in self._streams.values():
            if copied.held is not None and copied.source.index in wanted:
                copied.held.duration = copied.lasted
                yield copied.held
        for copied in self._streams.values():
            if copied.sound is not None and copied.source.index in wanted:
                yield from copied.sound.end()
                if copied.sound.broken:
                    self.notes.append(f"{_name(copied.source)} has {copied.sound.broken} packets that are broken")

    def _copied(self, packet: Packet, copied: Copied) -> Iterator[Packet]:
        """The packet in its place, unless it shows nothing."""
        if codec_of(copied.source) == "mov_text" and bytes(packet) == b"\0\0":
            return  # mp4's way of showing nothing; the muxer fills gaps itself
        if copied.rewrite:
            made = subtitles.rewritten(packet, str(codec_of(copied.source)), self._container)
            if made is None:
                return
            packet = made
        self._place(packet, copied)
        if copied.bare is not None:
            yield from copied.bare.silence_before(packet)
        yield packet

    @staticmethod
    def _lasting(packet: Packet, copied: Copied) -> Iterator[Packet]:
        """Packets of sound in order, each with a duration: Matroska often leaves them out, and mp4 would then cut the
        last one off."""
        if copied.source.type != "audio":
            yield packet
            return
        held, copied.held = copied.held, None
        if held is not None:
            copied.lasted = held.duration = max(0, (packet.dts or 0) - (held.dts or 0))
            yield held
        if packet.duration:
            copied.lasted = packet.duration
            yield packet
        else:
            copied.held = packet

    def _place(self, packet: Packet, copied: Copied) -> None:
        grid, at = packet.time_base, self._clock_of(copied)
        if is_cover(copied.source):
            packet.pts = packet.dts = round((self._origin - self._shift) / grid)
        else:
            self._move(packet, grid, at)
            dts = packet.pts if packet.dts is None else packet.dts
            if dts is not None:
                dts = max(dts, copied.last + self._step(copied, grid)) if copied.last is not None else dts
                copied.last = packet.dts = dts
                packet.pts = dts if packet.pts is None else max(packet.pts, dts)
        assert copied.target is not None
        packet.stream = copied.target

    def _step(self, copied: Copied, grid: Fraction) -> int:
        """By how many ticks of `grid` a packet has to come after the one before it: time never runs back, and in mp4
        and mov that of sound and pictures never stands still."""
        if self._container not in ("mp4", "mov") or copied.source.type == "subtitle":
            return 0
        assert copied.target is not None
        return max(1, math.ceil((copied.target.time_base or grid) / grid))

    def _move(self, packet: Packet, grid: Fraction, at: Callable[[Fraction], Fraction]) -> None:
        """A packet's times, from the source's clock onto the output's."""
        pts, dts, lasts = packet.pts, packet.dts, packet.duration
        if pts is not None:
            packet.pts = round(at(pts * grid) / grid)
        if dts is not None:
            packet.dts = round(at(dts * grid) / grid)
        begin = pts if pts is not None else dts
        if self._clock is not None and lasts and begin is not None:
            packet.duration = round((at((begin + lasts) * grid) - at(begin * grid)) / grid)

    def _read(self, packets: Iterator[Packet]) -> Iterator[Packet]:
        """Packets until the end, or until the file breaks off."""
        try:
            yield from (packet for packet in packets if packet.size)
        except FFmpegError as error:
            note = f"the sound and other streams break off with the file ({error.strerror})"
            self.notes += [note] if note not in self.notes else []


class Feed:
    """Packets in order, drawn as far as they are due."""

    def __init__(self, packets: Iterator[Packet]) -> None:
        self._packets = packets
        self._waiting: Packet | None = None

    def until(self, moment: Fraction | None) -> Iterator[Packet]:
        """Those due up to `moment`, seconds; None gives all."""
        while True:
            self._waiting = self._waiting or next(self._packets, None)
            if self._waiting is None:
                return
            due = self._waiting.dts
            if moment is not None and due is not None and due * self._waiting.time_base > moment:
                return
            packet, self._waiting = self._waiting, None
            yield packet


def _add(output: OutputContainer, source: Stream) -> Stream:
    return output.add_stream_from_template(source, opaque=True)


def _fits(stream: Stream, container: str) -> bool:
    """Whether a container takes a stream, found out by writing one that holds nothing else."""
    trial = av.open(io.BytesIO(), "w", format=container)
    try:
        target = _add(trial, stream)
        trial.start_encoding()
        if (codec_of(stream) or "").startswith("pcm_"):  # mp4 refuses some of it only once there is a sample
            packet = Packet(64)
            packet.stream, packet.pts, packet.dts, packet.duration = target, 0, 0, 1
            trial.mux(packet)
            trial.close()
    except (ValueError, FFmpegError):
        return False
    finally:
        with contextlib.suppress(ValueError, FFmpegError):
            trial.close()
    return True


def _name(stream: Stream) -> str:
    words = {"audio": "sound", "subtitle": "subtitle", "video": "further picture"}
    language = f" in {stream.language}" if stream.language not in (None, "und") else ""
    return (
        f"the {words.get(stream.type, stream.type)} stream {stream.index} ({codec_of(stream) or 'unknown'}{language})"
    )
