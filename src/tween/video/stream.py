"""Where frames come from and where they go: the two protocols, and the doors that open them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol

from ..errors import TweenError
from ..frame import Frame, VideoInfo

Codec = Literal["auto", "h264", "hevc", "av1", "ffv1", "prores"]


class FrameSource(Protocol):
    """A video to be read once, front to back. Also a context manager.

    Attributes:
        info: what is known before the first frame.
        damage: after iteration, what broke the input off (an error with the words for the user), or None.
    """

    info: VideoInfo
    damage: TweenError | None

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order of pts, which strictly grow."""
        ...

    def __enter__(self) -> FrameSource: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class FrameSink(Protocol):
    """A video to be written. As a context manager it commits on success and leaves nothing on failure."""

    def write(self, frame: Frame) -> None:
        """Append one frame; pts must grow. The last frame lasts its `duration`, every other until the next."""
        ...

    def __enter__(self) -> FrameSink: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True)
class Encoding:
    """How a video is written.

    Attributes:
        codec: "auto" is h264.
        crf: constant quality, lower is better; None takes 16 (the equivalent of it for other codecs).
        preset: the encoder's speed word; None takes `fast` or its like.
        rate: frames a second to announce, or None for a variable rate.
        stretch: output seconds for one source second; sound is copied only at 1.
        overwrite: replace a file that is there.
    """

    codec: Codec = "auto"
    crf: int | None = None
    preset: str | None = None
    rate: Fraction | None = None
    stretch: Fraction = Fraction(1)
    overwrite: bool = False


def open_source(path: str | Path, *, start: Fraction | None = None, end: Fraction | None = None) -> FrameSource:
    """The frames of a video file or a folder of pictures.

    Raises:
        MissingFile, NotAVideo, NoVideoStream, EmptyVideo: as they say.
    """
    raise NotImplementedError


def open_sink(path: str | Path, *, like: FrameSource, encoding: Encoding | None = None) -> FrameSink:
    """Where frames are written: a video file, or a folder of pictures. Streams other than the picture are copied
    from `like`.

    Raises:
        OutputExists, CannotWrite, BadOption, UnsupportedStream: as they say.
    """
    raise NotImplementedError
