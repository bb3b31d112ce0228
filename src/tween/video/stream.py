"""Where frames come from and where they go: the two protocols, and how a video is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Literal, Protocol, runtime_checkable

from ..errors import TweenError
from ..frame import Frame, VideoInfo
from ..timeline import Timeline
from .draft import Draft
from .segments import Segment

Codec = Literal[
    "auto", "h264", "hevc", "av1", "vp9", "ffv1", "prores", "h264_nvenc", "hevc_nvenc", "av1_nvenc", "h264_qsv",
    "hevc_qsv", "h264_vaapi", "h264_videotoolbox", "hevc_videotoolbox",
]  # fmt: skip
SoundPolicy = Literal["auto", "keep", "stretch", "drop"]


class FrameSource(Protocol):
    """A video to be read once, front to back. Also a context manager.

    Attributes:
        info: what is known before the first frame.
        damage: after iteration, what broke the input off (an error with the words for the user), or None.
        notes: after iteration, what was repaired on the way, in words.
        alpha: False; set it before iteration to get transparency as a fourth channel of the frames, where there is any.
    """

    info: VideoInfo
    damage: TweenError | None
    notes: list[str]
    alpha: bool

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order of pts, which strictly grow."""
        ...

    def __enter__(self) -> FrameSource: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class FrameSink(Protocol):
    """A video to be written. As a context manager it commits on success and leaves nothing on failure.

    Attributes:
        notes: whatever of the source the output cannot hold, in words: nothing is dropped in silence. Complete once
            the sink is closed.
        has_alpha: it keeps transparency: frames may have four channels.
    """

    notes: list[str]
    has_alpha: bool

    def write(self, frame: Frame) -> None:
        """Append one frame; pts must grow. The last frame lasts its `duration`, every other until the next."""
        ...

    def __enter__(self) -> FrameSink: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class Resumable(Protocol):
    """A sink that was opened with `Encoding.segment`: what an earlier run finished is still there, and it tells of
    every segment that it finishes.

    Attributes:
        draft: where the unfinished output and its journal are.
    """

    draft: Draft

    def resume(self, done: Sequence[Segment], finished: Callable[[Segment], None]) -> None:
        """Before the first frame: go on after `done`, which are whole, and call `finished` for each one more."""
        ...


@dataclass(frozen=True)
class Encoding:
    """How a video is written.

    Attributes:
        codec: "auto" is h264, or av1 where the container holds no h264 (.webm).
        crf: constant quality, lower is better; None takes 16 (the equivalent of it for other codecs).
        preset: the encoder's speed word; None takes `fast` or its like.
        rate: frames a second to announce, or None for a variable rate.
        time_base: the grid on which every pts of the output lies, seconds. None takes the coarsest grid that holds
            the source's pts and `rate`'s ticks.
        clock: the timeline, where it stretches time: subtitles, chapters and sound follow it. None leaves time alone.
        sound: with a clock, keep the sound's own length (copied, it begins with the picture and ends before or after
            it), stretch it along (its pitch stays), or drop it. "auto" stretches; without a clock it is copied.
        overwrite: replace a file that is there.
        others: copy sound, subtitles and whatever else the source holds beside the picture.
        segment: frames that are finished together, so that a later run can go on after them (see `Resumable`); 0
            finishes all at once.
        pipe_format: what goes to standard output: "y4m", or bare pictures in one of ffmpeg's pixel formats.
    """

    codec: Codec = "auto"
    crf: int | None = None
    preset: str | None = None
    rate: Fraction | None = None
    time_base: Fraction | None = None
    clock: Timeline | None = None
    sound: SoundPolicy = "auto"
    overwrite: bool = False
    others: bool = True
    segment: int = 0
    pipe_format: str = "y4m"

    @property
    def stretch(self) -> Fraction:
        """Output seconds for one source second, in the mean."""
        return Fraction(1) if self.clock is None else self.clock.stretch()
