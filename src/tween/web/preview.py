"""What a browser can play: h264 in mp4, 8 bits, 4:2:0. A file that is so is shown itself; of others a copy is made."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Final

import av
from av.error import FFmpegError
from av.video.stream import VideoStream

from ..frame import Frame, VideoInfo
from ..video.doors import open_source
from .asked import MIMES

PLAYS: Final = {  # codecs of browsers by container, as ffmpeg calls both
    "mov,mp4,m4a,3gp,3g2,mj2": {"h264", "av1"},
    "matroska,webm": {"vp8", "vp9", "av1"},
}
PLAIN: Final = {"yuv420p", "yuvj420p"}
LONGEST_S: Final = 60  # seconds of the source that a copy shows
LARGEST: Final = 1280  # pixels of a copy's longer side
FAST: Final = {"preset": "veryfast", "crf": "20"}
FASTSTART: Final = {"movflags": "+faststart"}
CLOCK: Final = Fraction(1, 90_000)


def plays(path: Path) -> bool:
    """Whether browsers play a file as it is."""
    if path.suffix.lower() not in MIMES:
        return False
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            known = PLAYS.get(container.format.name, set())
            return stream.codec_context.name in known | {"libdav1d"} and stream.pix_fmt in PLAIN
    except (FFmpegError, IndexError):
        return False


def make_preview(path: Path, target: Path, *, start: Fraction | None, lasts: Fraction) -> None:
    """A copy that browsers play: `lasts` seconds from `start` on, without sound; its clock begins at 0.

    Args:
        path: any video. target: an .mp4; it appears whole.
    """
    part, end = target.with_suffix(".part"), (start or 0) + lasts
    with (
        open_source(path, start=start, end=end) as source,
        av.open(str(part), "w", format="mp4", options=FASTSTART) as container,
    ):
        stream = _stream(container.add_stream("libx264", rate=source.info.rate, options=FAST), source.info)
        begun: Fraction | None = None
        for frame in source:
            begun = frame.pts if begun is None else begun
            container.mux(stream.encode(_shown(frame, stream, frame.pts - begun)))
        container.mux(stream.encode(None))
    part.replace(target)


def _stream(stream: VideoStream, info: VideoInfo) -> VideoStream:
    height, width = info.size
    width = round(width * info.sample_aspect)
    scale = min(1.0, LARGEST / max(width, height))
    stream.width, stream.height = (max(2, round(side * scale / 2) * 2) for side in (width, height))
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = stream.time_base = CLOCK
    return stream


def _shown(frame: Frame, stream: VideoStream, at: Fraction) -> av.VideoFrame:
    pixels = frame.data[:3]
    if pixels.element_size() > 1:
        pixels = pixels.int().div(257, rounding_mode="floor").to(dtype=pixels.new_empty(0).byte().dtype)
    native = av.VideoFrame.from_ndarray(pixels.permute(1, 2, 0).contiguous().numpy(), format="rgb24")
    made = native.reformat(width=stream.width, height=stream.height, format="yuv420p", dst_colorspace="ITU709")
    made.pts, made.time_base = round(at / CLOCK), CLOCK
    return made
