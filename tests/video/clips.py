"""Small clips for tests, made as they are needed: moving textures, with any stream, tag and clock a test asks for."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tween.frame import Colour

UNTAGGED = Colour()

CODECS = {
    ".mp4": "libx264",
    ".mov": "libx264",
    ".mkv": "libx264",
    ".webm": "libvpx-vp9",
    ".avi": "mpeg4",
    ".ts": "libx264",
}
FORMATS = {".mkv": "matroska", ".ts": "mpegts"}


@dataclass(frozen=True)
class Clip:
    """What a clip is made of.

    Attributes:
        frames: how many pictures.
        size: (H, W).
        rate: frames a second.
        ticks: pts of the pictures on `grid`; None counts them evenly by `rate`.
        grid: seconds of one tick; None is 1 / rate.
        codec: ffmpeg's encoder; None takes the container's usual one.
        pixel_format, colour, aspect, rotation: as they are written.
        sound: codecs of the sound streams, each a beep of its own pitch.
        sound_from: when the sound begins, seconds.
        subtitles: codecs of the subtitle streams.
        chapters: (title, start, end) in seconds.
        metadata: of the file.
        attachment: a file name to attach.
        options: of the encoder.
    """

    frames: int = 12
    size: tuple[int, int] = (64, 96)
    rate: Fraction = Fraction(24)
    ticks: Sequence[int] | None = None
    grid: Fraction | None = None
    codec: str | None = None
    pixel_format: str = "yuv420p"
    colour: Colour = UNTAGGED
    aspect: Fraction | None = None
    rotation: int = 0
    sound: Sequence[str] = ()
    sound_from: Fraction = Fraction(0)
    subtitles: Sequence[str] = ()
    chapters: Sequence[tuple[str, float, float]] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    attachment: str = ""
    options: dict[str, str] = field(default_factory=dict)

    def make(self, path: Path) -> Path:
        """Write the clip and give its path back."""
        container_options = {"movflags": "+faststart"} if path.suffix in (".mp4", ".mov") else {}
        kind = FORMATS.get(path.suffix, path.suffix[1:])
        with av.open(str(path), "w", format=kind, container_options=container_options) as container:
            container.metadata.update(self.metadata)
            video = self._add_video(container, path)
            sounds = [_add_sound(container, codec, k) for k, codec in enumerate(self.sound)]
            texts = [_add_text(container, codec) for codec in self.subtitles]
            if self.attachment:
                container.add_attachment(self.attachment, "text/plain", b"an attached file")
            container.set_chapters([_chapter(k, *row) for k, row in enumerate(self.chapters)])
            for picture in self.pictures():
                container.mux(video.encode(picture))
            container.mux(video.encode(None))
            for k, stream in enumerate(sounds):
                _beep(container, stream, 440 * (k + 1), self.duration, self.sound_from)
            for codec, stream in zip(self.subtitles, texts, strict=True):
                _say(container, stream, codec)
        return path

    @property
    def step(self) -> Fraction:
        return self.grid or 1 / self.rate

    @property
    def pts(self) -> list[Fraction]:
        """When the pictures stand, seconds."""
        ticks = self.ticks if self.ticks is not None else range(self.frames)
        return [tick * self.step for tick in ticks]

    @property
    def duration(self) -> Fraction:
        return self.pts[-1] + 1 / self.rate

    def pictures(self) -> list[av.VideoFrame]:
        """The pictures as they go into the encoder."""
        made = [picture(k, self.size, self.pixel_format, self.colour) for k in range(len(self.pts))]
        for one, pts in zip(made, self.pts, strict=True):
            one.pts, one.time_base = int(pts / self.step), self.step
        return made

    def _add_video(self, container, path):
        video = container.add_stream(
            self.codec or CODECS.get(path.suffix, "libx264"), rate=self.rate, time_base=self.step
        )
        video.height, video.width = self.size
        video.pix_fmt = self.pixel_format
        video.codec_context.time_base = self.step
        tag(video.codec_context, self.colour)
        video.options = (
            {"crf": "10", "preset": "ultrafast", "bf": "2", **self.options} if video.name == "libx264" else self.options
        )
        if self.aspect is not None:
            video.codec_context.sample_aspect_ratio = self.aspect
        if self.rotation:
            video.set_display_rotation(self.rotation)
        return video


def tag(target, colour: Colour) -> None:
    target.colorspace, target.color_primaries, target.color_trc = colour.matrix, colour.primaries, colour.transfer
    target.color_range = {None: 0, False: 1, True: 2}[colour.full_range]


def rgb(k: int, size: tuple[int, int]) -> np.ndarray:
    """Picture k as uint8 `[H, W, 3]`: smooth waves that wander, all hues."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    waves = [np.sin((x + 3 * k) / (7 + 2 * c) + c) * np.cos((y - k) / (9 - c) + 2 * c) for c in range(3)]
    return np.clip(np.stack(waves, -1) * 110 + 128, 0, 255).astype(np.uint8)


def picture(k: int, size: tuple[int, int], pixel_format: str, colour: Colour) -> av.VideoFrame:
    """Picture k in any pixel format. How its colours got there is nobody's business: tests compare planes."""
    made = av.VideoFrame.from_ndarray(rgb(k, size), format="rgb24").reformat(format=pixel_format)
    tag(made, colour)
    return made


def planes(native: av.VideoFrame) -> list[np.ndarray]:
    """A picture's planes without their padding."""
    found = []
    for plane, part in zip(native.planes, native.format.components, strict=False):
        row = plane.width * (2 if part.bits > 8 else 1) * (4 if len(native.planes) == 1 and native.format.is_rgb else 1)
        found.append(np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, :row])
    return found


def packets(path: Path, kind: str) -> list[list[tuple[Fraction, bytes]]]:
    """For each stream of a kind (audio, subtitle): its packets as (seconds, bytes)."""
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        found = {stream.index: [] for stream in streams}
        for packet in container.demux(streams) if streams else ():
            if packet.size:
                found[packet.stream.index].append((packet.pts * packet.time_base, bytes(packet)))
        return list(found.values())


def _add_sound(container, codec, k):
    sound = container.add_stream(codec, rate=48000, layout="stereo")
    sound.metadata["language"] = ("eng", "deu", "fra")[k]
    sound.time_base = Fraction(1, 48000)
    return sound


def _beep(container, stream, pitch, duration, begins):
    size = stream.codec_context.frame_size or 1024
    count, first = int(duration * 48000), int(begins * 48000)
    wave = np.sin(np.arange(count) * 2 * np.pi * pitch / 48000) * 0.3
    resampler = av.AudioResampler(format=stream.codec_context.format, layout="stereo", rate=48000, frame_size=size)
    block = av.AudioFrame.from_ndarray(np.stack([wave, wave]).astype(np.float32), format="fltp", layout="stereo")
    block.sample_rate, block.pts, block.time_base = 48000, first, Fraction(1, 48000)
    for part in [*resampler.resample(block), *resampler.resample(None)]:
        container.mux(stream.encode(part))
    container.mux(stream.encode(None))


def _add_text(container, codec):
    if codec == "mov_text":
        from tween.video.subtitles import add_stream

        return add_stream(container, "mp4")
    stream = container.add_mux_stream(codec, time_base=Fraction(1, 1000))
    stream.metadata["language"] = "eng"
    return stream


def _say(container, stream, codec):
    for k, (start, words) in enumerate(((0, "Hello"), (200, "there,\nyou"))):
        text = words.encode()
        if codec == "mov_text":
            text = struct.pack(">H", len(text)) + text
        if codec == "ass":
            text = f"{k},0,Default,,0,0,0,,{{\\b1}}{words}".replace("\n", "\\N").encode()
        packet = av.Packet(text)
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = start
        packet.duration, packet.is_keyframe = 150, True
        container.mux(packet)


def _chapter(k, title, start, end):
    return {
        "id": k + 1,
        "start": round(start * 1000),
        "end": round(end * 1000),
        "time_base": Fraction(1, 1000),
        "metadata": {"title": title},
    }
