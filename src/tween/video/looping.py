"""A source that begins again at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from types import TracebackType

from ..errors import TweenError
from ..frame import Frame
from .stream import FrameSource


class Looping:
    """The frames of a source, again and again, on one clock that goes on.

    Args:
        again: opens the source; called anew for each round.

    Attributes:
        round_s: seconds of a round, None until the first one is over; begins: pts of the very first frame.
        others as in `FrameSource`; of the first round.
    """

    damage: TweenError | None
    notes: list[str]

    def __init__(self, again: Callable[[], FrameSource]) -> None:
        self._again, self._source = again, again()
        self.info = replace(self._source.info, length=None, duration=None)
        self.path = getattr(self._source, "path", None)
        self.damage, self.notes, self.alpha = None, [], False
        self.round_s: Fraction | None = None
        self.begins = Fraction(0)
        self._given_up = False

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order of pts; a round ends when its last frame has been shown."""
        shift = Fraction(0)
        while not self._given_up:
            first: Fraction | None = None
            past = Fraction(0)
            for frame in self._source:
                first = frame.pts if first is None else first
                past = frame.pts + (frame.duration or 1 / self.info.rate)
                yield replace(frame, pts=frame.pts + shift) if shift else frame
                if self._given_up:
                    return
            if first is None:
                return
            self._learn(first, past)
            assert self.round_s is not None
            shift += self.round_s
            self._source.__exit__(None, None, None)
            self._source = self._again()

    def give_up(self) -> None:
        """No more rounds; also ends a wait of the source, where it can wait."""
        self._given_up = True
        if (give_up := getattr(self._source, "give_up", None)) is not None:
            give_up()

    def __enter__(self) -> Looping:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.__exit__(kind, error, trace)

    def _learn(self, first: Fraction, past: Fraction) -> None:
        """At the end of a round; what the first one said is kept."""
        if self.round_s is None:
            self.begins, self.round_s = first, past - first
            self.damage, self.notes = self._source.damage, list(self._source.notes)
