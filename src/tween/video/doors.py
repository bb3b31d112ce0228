"""The two doors: a path becomes a source or a sink."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from ..errors import BadOption, Conflict, UnsupportedStream
from .animated import AnimatedSource, is_animation
from .animatedsink import KINDS, AnimatedSink
from .files import Deinterlace, FileSource
from .filesink import FileSink
from .images import FolderSink, FolderSource
from .patterns import is_pattern
from .pipes import PIPE, PipeSource, is_y4m
from .pipesink import PipeSink
from .stream import Encoding, FrameSink, FrameSource
from .y4m import raw_layout

MOST_PIXELS = 15360 * 8640  # 16K: a damaged header can claim any size, and every picture costs its size in memory


def open_source(
    path: str | Path,
    *,
    start: Fraction | None = None,
    end: Fraction | None = None,
    rate: Fraction | None = None,
    raw: str | None = None,
    deinterlace: Deinterlace = "auto",
) -> FrameSource:
    """The frames of a video file, an animation, a folder of pictures, or standard input.

    Args:
        path: a file; a folder of pictures in the order of their names, numbers counted as numbers; a pattern such as
            `frames/%05d.png` or `frames/*.png`; `-` for y4m on standard input.
        start, end: give only the frames in [start, end), seconds from the beginning.
        rate: frames a second of a folder of pictures (None takes 24) or of bare pictures. A file has its own.
        deinterlace: make whole pictures of interlaced ones ("auto"), take them as they are, or refuse them.
        raw: standard input holds bare pictures, `1280x720` or `1280x720:rgb48le`.

    Raises:
        MissingFile, NotAVideo, NoVideoStream, EmptyVideo, UnsupportedStream: as they say; UnsupportedStream also for
            pictures of more than 16K.
        BadOption: `rate` for a file, or an `end` that is not after `start`. Conflict: `raw` for a file.
    """
    path = Path(path)
    if start is not None and end is not None and end <= start:
        raise BadOption(f"--start {float(start):g} --end {float(end):g}", "an end after the start is needed")
    if raw is not None and path != PIPE:
        raise Conflict(f"--raw for {path.name}", "it is for bare pictures on standard input", "IN is then -")
    source = _source(path, start, end, rate, raw, deinterlace)
    height, width = source.info.size
    if height * width > MOST_PIXELS:
        source.__exit__(None, None, None)
        raise UnsupportedStream(
            f"{path.name} says that its pictures are {width}x{height}",
            f"{MOST_PIXELS // 10**6} million pixels at most are rendered",
            "make them smaller first: ffmpeg -i IN -vf scale=7680:-2 OUT, if they really are so large",
        )
    return source


def _source(
    path: Path,
    start: Fraction | None,
    end: Fraction | None,
    rate: Fraction | None,
    raw: str | None,
    deinterlace: Deinterlace,
) -> FrameSource:
    if path == PIPE:
        layout = None if raw is None else raw_layout(raw, rate)
        return PipeSource(path, layout=layout, rate=rate, start=start, end=end, deinterlace=deinterlace)
    if path.is_dir() or is_pattern(path):
        return FolderSource(path, rate=rate or Fraction(24), start=start, end=end)
    if is_y4m(path):
        return PipeSource(path, rate=rate, start=start, end=end, deinterlace=deinterlace)
    if is_animation(path) and rate is None:
        return AnimatedSource(path, start=start, end=end)
    if rate is not None:
        raise BadOption(f"a rate of {rate} for {path.name}", "only a folder of pictures needs to be given one")
    return FileSource(path, start=start, end=end, deinterlace=deinterlace)


def open_sink(path: str | Path, *, like: FrameSource, encoding: Encoding | None = None) -> FrameSink:
    """Where frames are written: a video file, an animation (.gif, .apng, .webp), a folder of PNGs (a path without a
    suffix, or a pattern such as `frames/%05d.png`), y4m, or `-` for standard output. Streams other than the
    picture are copied from `like`, where the target holds them.

    Raises:
        OutputExists, CannotWrite, BadOption, Conflict, UnsupportedStream: as they say.
    """
    path, encoding = Path(path), encoding or Encoding()
    if path == PIPE or path.suffix.lower() == ".y4m":
        return PipeSink(path, like=like, encoding=encoding)
    if not path.suffix or path.is_dir() or is_pattern(path):
        return FolderSink(path, like=like, encoding=encoding)
    if path.suffix.lower() in KINDS:
        return AnimatedSink(path, like=like, encoding=encoding)
    return FileSink(path, like=like, encoding=encoding)
