"""What an upload is, before anything is rendered: decoded as far as its first picture, within limits.

Runs in a process of its own (worker.py): a decoder that breaks down takes no server with it.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
from av.error import FFmpegError

from ..errors import NotAVideo, TooMuch
from ..frame import VideoInfo
from ..video.animated import is_animation
from ..video.doors import open_source
from ..video.pipes import is_y4m

# Formats that hold their pictures themselves. A playlist, a list of pieces or a manifest names other files: its sender
# would be shown this machine's.
HOLD_THEIR_OWN: Final = (
    "mov", "mp4", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "m4v", "h264", "hevc", "av1", "obu", "ivf",
    "flv", "live_flv", "asf", "ogg", "mxf", "dv", "nut", "gif", "apng",
)  # fmt: skip


def look(path: Path, *, most_pixels: int, most_frames: int) -> dict[str, Any]:
    """The facts that a page shows.

    Raises:
        TooMuch: larger or longer than the limits, by what its header says. TweenError: it is no video, as always.
    """
    if not is_animation(path) and not is_y4m(path):
        _check_container(path, most_pixels)
    with open_source(path) as source:
        info = source.info
    check_limits(info, path.name, most_pixels=most_pixels, most_frames=most_frames)
    return facts_of(info)


def check_limits(info: VideoInfo, name: str, *, most_pixels: int, most_frames: int) -> None:
    """Raises TooMuch for a video that would cost this server too much."""
    _check_size(name, info.size[1], info.size[0], most_pixels)
    frames = info.length or round((info.duration or 0) * info.rate)
    if frames > most_frames:
        raise TooMuch(
            f"{name} says that it has {frames:,} frames", f"{most_frames:,} at most are taken here", "the command line"
        )


def facts_of(info: VideoInfo) -> dict[str, Any]:
    """`VideoInfo` as plain numbers and words."""
    frames = info.length or (round(info.duration * info.rate) if info.duration else None)
    return {
        "width": info.size[1],
        "height": info.size[0],
        "rate": said_rate(info.rate),
        "frames": frames,
        "seconds": round(float(info.duration), 3) if info.duration else None,
        "codec": info.codec,
        "bits": info.bit_depth,
        "sound": info.audio,
        "subtitles": info.subtitles,
        "alpha": info.has_alpha,
        "rotation": info.rotation,
    }


def said_rate(rate: Fraction) -> float:
    """Frames a second with three digits after the point."""
    return round(float(rate), 3)


def _check_container(path: Path, most_pixels: int) -> None:
    """Before any picture is decoded: a known kind, of a size that can be."""
    if path.stat().st_size == 0:
        return  # open_source has the words for it
    try:
        with av.open(str(path), options={"format_whitelist": ",".join(HOLD_THEIR_OWN)}) as container:
            for stream in container.streams.video:
                if stream.codec_context is not None:
                    _check_size(path.name, stream.codec_context.width, stream.codec_context.height, most_pixels)
    except FFmpegError as error:
        why = "Invalid data found when processing input" if error.strerror == "Invalid argument" else error.strerror
        raise NotAVideo(
            f"{path.name} is no video that can be read ({why})",
            "a whole file of a known kind is needed, such as mp4, mov, mkv, webm, avi or ts",
        ) from error


def _check_size(name: str, width: int, height: int, most_pixels: int) -> None:
    if width * height > most_pixels:
        raise TooMuch(
            f"{name} says that its pictures are {width}x{height}",
            f"{most_pixels / 1e6:.0f} million pixels at most are taken here",
            "the command line, or make them smaller first",
        )
