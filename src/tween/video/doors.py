"""The two doors: a path becomes a source or a sink."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from ..errors import BadOption
from .files import FileSource
from .filesink import FileSink
from .images import FolderSink, FolderSource
from .stream import Encoding, FrameSink, FrameSource


def open_source(
    path: str | Path, *, start: Fraction | None = None, end: Fraction | None = None, rate: Fraction | None = None
) -> FrameSource:
    """The frames of a video file or a folder of pictures.

    Args:
        path: a file, or a folder of pictures in the order of their names, numbers counted as numbers.
        start, end: give only the frames in [start, end), seconds from the file's beginning.
        rate: frames a second of a folder of pictures; None takes 24. A file has its own.

    Raises:
        MissingFile, NotAVideo, NoVideoStream, EmptyVideo, UnsupportedStream: as they say.
        BadOption: `rate` for a file, or an `end` that is not after `start`.
    """
    path = Path(path)
    if start is not None and end is not None and end <= start:
        raise BadOption(f"--start {float(start):g} --end {float(end):g}", "an end after the start is needed")
    if path.is_dir():
        return FolderSource(path, rate=rate or Fraction(24), start=start, end=end)
    if rate is not None:
        raise BadOption(f"a rate of {rate} for {path.name}", "only a folder of pictures needs to be given one")
    return FileSource(path, start=start, end=end)


def open_sink(path: str | Path, *, like: FrameSource, encoding: Encoding | None = None) -> FrameSink:
    """Where frames are written: a video file, or a folder of PNGs (a path without a suffix). Streams other than the
    picture are copied from `like`.

    Raises:
        OutputExists, CannotWrite, BadOption, Conflict, UnsupportedStream: as they say.
    """
    path = Path(path)
    if not path.suffix or path.is_dir():
        return FolderSink(path, like=like, encoding=encoding or Encoding())
    return FileSink(path, like=like, encoding=encoding or Encoding())
