"""Everything of a file that is not the picture: sound, subtitles, chapters, names; copied as packets."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Discard, Disposition, Stream

from ..errors import UnsupportedStream
from .files import FileSource

OF_THE_FILE = {"major_brand", "minor_version", "compatible_brands", "encoder"}  # facts about the old file, not the film
OF_THE_STREAM = ("_STATISTICS", "BPS", "DURATION", "NUMBER_OF_", "ENCODER")


@dataclass
class Copied:
    """One stream on its way: from `source` to `target`, made when the output is opened."""

    source: Stream
    target: Stream | None = None


class Copies:
    """The other streams of a source, muxed beside the picture as it goes.

    Attributes:
        notes: what is left out, in words.
        timescales: ticks a second of the copied streams.
    """

    def __init__(self, source: FileSource | None, stretch: Fraction) -> None:
        self.notes: list[str] = []
        self._source, self._stretch = source, stretch
        self._streams: dict[int, Copied] = {}
        self._input: InputContainer | None = None
        self._output: OutputContainer | None = None
        self._waiting: Packet | None = None
        self._packets: Iterator[Packet] = iter(())
        self._shift = Fraction(0)

    @classmethod
    def of(cls, source: FileSource | None, container: str, stretch: Fraction) -> Copies:
        """Survey the source's streams for a container.

        Raises:
            UnsupportedStream: sound that the container cannot hold.
        """
        copies = cls(source, stretch)
        if source is None:
            return copies
        copies._input = av.open(str(source.path), metadata_errors="replace")
        try:
            for stream in copies._input.streams:
                copies._choose(stream, container)
        except BaseException:
            copies.close()
            raise
        return copies

    @property
    def timescales(self) -> list[int]:
        return [c.source.time_base.denominator for c in self._streams.values() if c.source.time_base is not None]

    def names(self, metadata: dict[str, str]) -> dict[str, str]:
        """Metadata without what described the old coding."""
        return {key: value for key, value in metadata.items() if not key.upper().startswith(OF_THE_STREAM)}

    def begin(self, output: OutputContainer, *, shift: Fraction) -> None:
        """Add the streams to an output whose header is not written yet. All times move `shift` seconds earlier."""
        self._output, self._shift = output, shift
        if self._input is None:
            return
        for copied in self._streams.values():
            copied.target = _add(output, copied.source)
            copied.target.metadata.update(self.names(copied.source.metadata))
            copied.target.disposition = copied.source.disposition
        output.metadata.update({k: v for k, v in self._input.metadata.items() if k.lower() not in OF_THE_FILE})
        output.set_chapters(self._chapters())
        wanted = [copied.source for copied in self._streams.values() if copied.source.type != "attachment"]
        for stream in self._input.streams:
            if stream not in wanted:
                stream.discard = Discard.all
        if wanted:
            assert self._source is not None
            if self._source.start:
                self._input.seek(int((self._source.start + self._source.offset) * 1_000_000))
            self._packets = self._moved(self._input.demux(wanted))

    def mux_until(self, moment: Fraction | None) -> None:
        """Mux the packets due up to `moment`, seconds in the output; None takes all that are left."""
        while True:
            self._waiting = self._waiting or next(self._packets, None)
            if self._waiting is None:
                return
            due = self._waiting.dts if self._waiting.dts is not None else self._waiting.pts
            if moment is not None and due is not None and due * self._waiting.time_base > moment:
                return
            assert self._output is not None
            self._output.mux(self._waiting)
            self._waiting = None

    def close(self) -> None:
        if self._input is not None:
            self._input.close()
            self._input = None

    def _choose(self, stream: Stream, container: str) -> None:
        assert self._source is not None
        if stream.index == self._source.index:
            return
        name = _name(stream)
        if stream.type == "data" and (self._input_chapters() or "timecode" in self._source.metadata):
            return  # mp4 keeps chapters and timecode as tracks, which the muxer makes anew
        if self._stretch != 1 and stream.type != "attachment" and not _is_cover(stream):
            self.notes.append(f"{name} is left out: it does not last as long as the slowed picture")
        elif _fits(stream, container):
            self._streams[stream.index] = Copied(stream)
        elif stream.type == "audio":
            raise UnsupportedStream(f"{name} does not fit into a .{container} file", "a roomier one", "-o OUT.mkv")
        else:
            self.notes.append(f"{name} is left out: a {container} file cannot hold it")

    def _input_chapters(self) -> list:  # type: ignore[type-arg]
        assert self._input is not None
        return self._input.chapters()

    def _chapters(self) -> list:  # type: ignore[type-arg]
        return self._input_chapters()

    def _moved(self, packets: Iterator[Packet]) -> Iterator[Packet]:
        """Packets of the window, at their times in the output, of their streams there."""
        assert self._source is not None
        end = None if self._source.end is None else self._source.end + self._source.offset
        for packet in packets:
            if packet.size == 0:
                continue
            copied = self._streams[packet.stream.index]
            grid = packet.time_base
            if packet.pts is not None and not _is_cover(copied.source):
                pts = packet.pts * grid
                if (self._source.start is not None and pts < self._shift) or (end is not None and pts >= end):
                    continue
            ticks = round(self._shift / grid)
            packet.pts = None if packet.pts is None else packet.pts - ticks
            packet.dts = None if packet.dts is None else packet.dts - ticks
            assert copied.target is not None
            packet.stream = copied.target
            yield packet


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
    words = {"audio": "the sound", "subtitle": "the subtitles", "attachment": "the attachment", "data": "the data"}
    language = f" in {stream.language}" if stream.language not in (None, "und") else ""
    return f"{words.get(stream.type, 'the ' + stream.type)} (stream {stream.index}, {stream.name}{language})"
