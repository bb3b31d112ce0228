"""Frames of a source into a live run, on threads of their own: as they come, or at the source's own pace.

A file plays by its pts against the machine's monotonic clock: nothing is added up, so nothing drifts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from fractions import Fraction
from types import TracebackType
from typing import Final

from ..frame import Frame
from ..video.stream import FrameSource
from . import offline
from .live import LiveRun
from .pace import Clock, now

AHEAD: Final = 3  # frames of a file that are decoded before their time
BEHIND_S: Final = 1  # a file that is decoded so late plays slower than it should: its clock is set back
LAGS_S: Final = Fraction(1, 10)  # so does one that is behind by this all the time, for BEHIND_S
NOTICE_S: Final = 0.1  # how soon a wait notices that all is over


class Capture:
    """Feeds `run` with the frames of `source` while the `with` block lasts; then tells it that no more will come.

    Args:
        source: a device (it has `is_live`) is read as it comes, anything else at its own pace.
        say: told in words if the source cannot keep its pace.

    Attributes:
        begun: the machine's time at which pts 0 was, or would have been, captured; None before the first frame of a
            source with a pace of its own, and while it is paused.
    """

    def __init__(
        self, source: FrameSource, run: LiveRun, *, say: Callable[[str], None] | None = None, clock: Clock = now
    ) -> None:
        self._source, self._run, self._say, self._clock = source, run, say, clock
        self.begun: Fraction | None = None
        self.is_paced = not getattr(source, "is_live", False)
        self._has_slipped = False
        self._late_since: Fraction | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="tween-capture", daemon=True)

    def __enter__(self) -> Capture:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._give_up()
        self._thread.join()

    def _give_up(self) -> None:
        if (give_up := getattr(self._source, "give_up", None)) is not None:
            give_up()

    def _feed(self) -> None:
        try:
            if self.is_paced:
                with offline.reading(self._source, AHEAD) as frames:
                    self._paced(frames)
            else:
                for frame in self._source:
                    if self._stopped.is_set():
                        return
                    self._run.push(frame)
            self._run.finish()
        except BaseException as error:
            self._run.fail(error)

    def _paced(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            if not self._wait(frame):
                return
            captured = self._clock() if self.begun is None else self.begun + frame.pts
            self._run.push(frame, captured)

    def _wait(self, frame: Frame) -> bool:
        """Wait for the frame's time, or, paused, until it is asked for. False if all is over."""
        while not self._stopped.is_set():
            if self._run.is_paused:
                self.begun = None
                if self._run.wants(NOTICE_S):
                    return True
                continue
            left = self._left(frame)
            if left <= 0:
                return True
            self._stopped.wait(float(min(left, Fraction(NOTICE_S))))
        return False

    def _left(self, frame: Frame) -> Fraction:
        """Seconds until the frame's time; its clock begins with the first frame, and anew after a pause."""
        moment = self._clock()
        if self.begun is None:
            self.begun = moment - frame.pts
        left = self.begun + frame.pts - moment
        if left >= -LAGS_S:
            self._late_since = None
        elif self._late_since is None:
            self._late_since = moment
        if left < -BEHIND_S or (self._late_since is not None and moment - self._late_since > BEHIND_S):
            self._slip(-left)
        return left

    def _slip(self, seconds: Fraction) -> None:
        """Set the source's clock back: what is always late would never be shown."""
        assert self.begun is not None
        self.begun += seconds
        self._late_since = None
        if self._say is not None and not self._has_slipped:
            self._say("the source cannot be read as fast as it plays: it plays slower")
        self._has_slipped = True
