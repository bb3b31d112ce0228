"""Sound that is encoded anew: where the container cannot hold its codec, or where time is stretched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream

from ..errors import UnsupportedStream
from ..timeline import Timeline
from .stretch import Samples, Stretcher

# container -> encoder of lossless and of other sound; and the bit rate of a channel
ANEW = {
    "mp4": ("alac", "aac"),
    "mov": ("alac", "aac"),
    "matroska": ("flac", "libopus"),
    "webm": ("libopus", "libopus"),
}
BITS = {"aac": 96_000, "libopus": 80_000}
LOSSLESS = ("pcm_", "flac", "alac", "truehd", "mlp", "wavpack", "tta", "ape")
WORDS = {"libopus": "Opus", "aac": "AAC", "flac": "FLAC", "alac": "ALAC"}
SILENCE_S = Fraction(1)  # a longer gap between two packets ends a run; a shorter one is filled
SLIP_S = Fraction(1, 50)  # packets that come so much off their place are taken to be in it
LAYOUTS = ("7.1", "5.1", "stereo", "mono")


def codec_of(stream: Stream) -> str | None:
    """ffmpeg's name of a stream's codec; None where nothing here knows it."""
    return getattr(stream, "name", None)  # a stream without a decoder has no such attribute, whatever its type says


def encoder_for(stream: Stream, container: str) -> str:
    """ffmpeg's encoder for a sound that a container is to hold."""
    lossless, lossy = ANEW[container]
    return lossless if (codec_of(stream) or "").startswith(LOSSLESS) else lossy


class Sound:
    """One sound stream on its way through decoder, clock and encoder.

    Args:
        source: the stream.
        encoder: from `encoder_for`.
        clock: stretches it; None leaves time as it is.

    Raises:
        UnsupportedStream: nothing here decodes it.
    """

    def __init__(self, source: AudioStream, encoder: str, clock: Timeline | None) -> None:
        context = source.codec_context
        if context is None or not context.sample_rate or not context.channels:
            raise UnsupportedStream(
                f"the sound stream {source.index} ({codec_of(source) or 'unknown'}) is coded in a way that no decoder"
                " here knows",
                "another codec is needed, or none",
                "--sound drop",
            )
        self._encoder_name, self._clock = encoder, clock
        self._rate, self._layout, self._channels = context.sample_rate, context.layout.name, context.channels
        self._is_deep = (context.format.bits or 16) > 16  # asked now: a context changes with its stream
        self._to_float = self._resampler()
        self._shape: tuple[str, str, int] | None = None  # of the frames that come: some streams change on the way
        self._expected: Fraction | None = None  # when the next sample should come, seconds of the source
        self._stretcher: Stretcher | None = None
        self.broken = 0

    @property
    def grid(self) -> Fraction:
        """Seconds of one tick of its packets."""
        return Fraction(1, self._held_rate())

    def add_to(self, output: OutputContainer, at: Callable[[Fraction], Fraction]) -> Stream:
        """Add a stream for it; `at`: when an instant of the source is, in the output."""
        self._at = at
        self._stream = cast(AudioStream, output.add_stream(self._encoder_name, rate=self._held_rate()))
        self._settle(self._stream.codec_context)
        self._stream.time_base = self.grid
        self._stream.codec_context.open()
        return self._stream

    def _settle(self, made: AudioCodecContext) -> None:
        """Tell an encoder what it gets."""
        made.sample_rate, made.layout = self._held_rate(), self._held_layout()
        formats = [form.name for form in made.codec.audio_formats or ()]
        wanted = ("s32p", "s32", "fltp", "flt") if self._is_deep else ("fltp", "flt", "s16p", "s16")
        made.format = next((name for name in wanted if name in formats), formats[0])
        if self._encoder_name in BITS:
            made.bit_rate = BITS[self._encoder_name] * made.layout.nb_channels
        made.time_base = self.grid

    def take(self, packet: Packet) -> Iterator[Packet]:
        """A packet of the source -> packets of the output, as they are done."""
        try:
            frames: list[av.AudioFrame] = packet.decode()  # type: ignore[assignment]
        except FFmpegError:
            self.broken += 1
            return
        for frame in frames:
            yield from self._frame(frame)

    def end(self) -> Iterator[Packet]:
        """What is left, once the source has no more."""
        yield from self._end_run()

    def _frame(self, frame: av.AudioFrame) -> Iterator[Packet]:
        pts = None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
        frame.pts = None
        shape = frame.format.name, frame.layout.name, frame.sample_rate
        if shape != self._shape:
            self._shape, self._to_float = shape, self._resampler()
        for part in self._to_float.resample(frame):
            # interleaved, because PyAV shows no more than seven planes
            samples: Samples = part.to_ndarray().astype(np.float32, copy=False).reshape(-1, self._channels).T
            if self._expected is None or (pts is not None and pts - self._expected > SILENCE_S):
                yield from self._end_run()
                self._start(pts or Fraction(0))
            assert self._expected is not None
            if pts is not None and abs(pts - self._expected) > SLIP_S:
                samples = self._in_place(samples, round((pts - self._expected) * self._rate))
            self._expected += Fraction(samples.shape[1], self._rate)
            pts = None
            yield from self._encoded(samples if self._stretcher is None else self._stretcher.feed(samples))

    @staticmethod
    def _in_place(samples: Samples, late: int) -> Samples:
        """Samples that come late by so many: silence before them; early: the first ones left out."""
        if late > 0:
            return np.concatenate([np.zeros((samples.shape[0], late), np.float32), samples], axis=1)
        return samples[:, -late:]

    def _start(self, begins: Fraction) -> None:
        """Begin a run of sound at an instant of the source, with an encoder of its own: a gap within one would move
        what follows by the encoder's delay, and its last frame may be short only once."""
        made = av.CodecContext.create(self._encoder_name, "w")
        assert isinstance(made, AudioCodecContext)
        self._settle(made)
        made.flags = self._stream.codec_context.flags
        made.open()
        self._encoder, self._expected = made, begins
        size = made.frame_size or 4096
        self._fit = av.AudioResampler(format=made.format, layout=made.layout, rate=made.sample_rate, frame_size=size)
        self._next = round(self._at(begins) * self._rate)
        clock = self._clock
        if clock is not None:
            self._stretcher = Stretcher(
                self._rate,
                shown=lambda seconds: clock.source_after(begins, seconds) - begins,
                lasts=lambda seconds: clock.span(begins, begins + seconds),
            )

    def _end_run(self) -> Iterator[Packet]:
        if self._expected is None:
            return
        if self._stretcher is not None:
            yield from self._encoded(self._stretcher.finish())
        for part in [*self._fit.resample(None), None]:
            yield from self._packets(part)
        self._expected = None

    def _encoded(self, samples: Samples) -> Iterator[Packet]:
        if not samples.shape[1]:
            return
        rows = np.ascontiguousarray(samples.T).reshape(1, -1)
        block = av.AudioFrame.from_ndarray(rows, format="flt", layout=self._layout)
        block.sample_rate, block.pts, block.time_base = self._rate, self._next, Fraction(1, self._rate)
        self._next += samples.shape[1]
        for part in self._fit.resample(block):
            yield from self._packets(part)

    def _packets(self, part: av.AudioFrame | None) -> Iterator[Packet]:
        for packet in self._encoder.encode(part):
            packet.stream, packet.time_base = self._stream, self.grid
            yield packet

    def _resampler(self) -> av.AudioResampler:
        return av.AudioResampler(format="flt", layout=self._layout, rate=self._rate)

    @property
    def mixed_down(self) -> str | None:
        """The layout that its channels are mixed down to, where the encoder does not take as many."""
        name = self._held_layout()
        return name if av.AudioLayout(name).nb_channels < self._channels else None

    def _held_rate(self) -> int:
        rates = av.Codec(self._encoder_name, "w").audio_rates
        if not rates or self._rate in rates:
            return self._rate
        return min((rate for rate in rates if rate >= self._rate), default=max(rates))

    def _held_layout(self) -> str:
        """The source's layout, or the largest usual one that the encoder takes."""
        for name in (self._layout.replace("(side)", ""), self._layout, *LAYOUTS):
            trial = av.CodecContext.create(self._encoder_name, "w")
            assert isinstance(trial, AudioCodecContext)
            trial.sample_rate, trial.layout = self._held_rate(), name
            trial.format = (trial.codec.audio_formats or [av.AudioFormat("fltp")])[0]
            if trial.layout.nb_channels > self._channels:
                continue
            try:
                trial.open()
            except (FFmpegError, ValueError):
                continue
            return name
        return "stereo"
