"""One live run from source to whoever looks: what the window, the page and the script share."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from fractions import Fraction
from types import TracebackType

from ..pipeline.capture import Capture
from ..pipeline.live import LiveRun, Shown
from ..pipeline.pace import now
from ..video.stream import FrameSink, FrameSource
from .view import enlarged


def to_stderr(words: str) -> None:
    """One line for the user."""
    print(words, file=sys.stderr, flush=True)


@dataclass
class Session(AbstractContextManager["Session"]):
    """A source that plays into a run. The `with` block starts both, and ends both.

    Attributes:
        title: what the source is called.
        pipe: every picture that is shown goes there too, at the source's size.
        until: the machine's time at which it is over, or None.
        say: told in words of what happens.
    """

    title: str
    source: FrameSource
    run: LiveRun
    pipe: FrameSink | None = None
    seconds: Fraction | None = None
    say: Callable[[str], None] = to_stderr
    capture: Capture = field(init=False)

    def __post_init__(self) -> None:
        self.capture = Capture(self.source, self.run, say=self.say)
        self._until: Fraction | None = None
        self._is_ended = False
        self._has_reader = self.pipe is not None

    def __enter__(self) -> Session:
        gc.collect()
        gc.freeze()  # what is there stays: the collector looks at what is new alone, so it is quick, and often there
        self.run.__enter__()
        self.capture.__enter__()
        self._until = None if self.seconds is None else now() + self.seconds
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.capture.__exit__(kind, error, trace)
        self.run.__exit__(kind, error, trace)
        gc.unfreeze()

    @property
    def is_over(self) -> bool:
        """Whether all was shown, the time is up, somebody ended it, or whoever read the pipe has gone."""
        gone = self.pipe is not None and not self._has_reader
        return self._is_ended or self.run.is_over or gone or (self._until is not None and now() >= self._until)

    def end(self) -> None:
        """It is over from now on. Takes no lock: a signal's handler may call it."""
        self._is_ended = True

    def next(self, timeout_s: float) -> Shown | None:
        """The next picture that is due; it has gone into the pipe already."""
        shown = self.run.take(timeout_s)
        if shown is not None and self.pipe is not None and self._has_reader:
            try:
                self.pipe.write(enlarged(shown.frame, self.source.info.size, shown.frame.pts))
            except BrokenPipeError:
                self._has_reader = False
                self.say("whoever read the video has gone")
        return shown
