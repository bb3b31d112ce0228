"""When a picture is due: pts against a monotonic clock, as little behind the capture as the work allows.

captured     a           b           c          frames as they come in, on the machine's clock
shown        .           a     +     b     +    interpolating: a frame later, for b must be seen first, and the lead
shown      + b'    +     c'                     predicting: one picture before its time, and the lead
             |--| lead: what the work took in the last pictures
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from statistics import median
from typing import Final

Clock = Callable[[], Fraction]

RECENT_FRAMES: Final = 9  # of which the usual gap is taken
LONGEST_GAPS: Final = 8  # a silence that is longer than so many is none of the source's gaps
RECENT_PICTURES: Final = 60  # of which the lead is taken
OUTLIERS: Final = 2  # pictures of those that may be late: one slow moment delays no other
SLACK: Final = Fraction(4, 5)  # of a gap: the longest lead, so that all is shown within two frames
WAKING_S: Final = Fraction(2, 1000)  # what passes between a picture's end and its showing
FALL: Final = Fraction(1, 50)  # how fast the lead goes back, a picture


def now() -> Fraction:
    """Seconds of the machine's monotonic clock, exact."""
    return Fraction(time.monotonic_ns(), 10**9)


class Pace:
    """Tells when a pts is due.

    Args:
        tick: seconds between two pictures of the output.
        ahead: how many gaps after the picture's own a model must have seen: 1 between two frames, 0 to predict.

    Attributes:
        gap: the usual time between two source frames, seconds.
        lead: how much of the delay is there for the work, seconds.
    """

    def __init__(self, tick: Fraction, gap: Fraction, ahead: int) -> None:
        self.tick, self.gap, self.ahead = tick, gap, ahead
        self.lead = Fraction(0)
        self._offset: Fraction | None = None
        self.restart()

    def restart(self) -> None:
        """Forget when frames came: the source's clock stood still, or begins anew. The next frame tells."""
        self._offsets: deque[Fraction] = deque(maxlen=RECENT_PICTURES)
        self._gaps: deque[Fraction] = deque(maxlen=RECENT_FRAMES)
        self._needs: deque[Fraction] = deque(maxlen=RECENT_PICTURES)
        self._last: Fraction | None = None

    def came(self, pts: Fraction, captured_at: Fraction) -> None:
        """A source frame was captured, whether anybody looks at it or not: the delay follows the source's gaps, not the
        wider ones between the frames that a slow model looks at.

        The offset is that of the frame that came soonest of the last ones: the others were held up on the way.
        """
        self._offsets.append(captured_at - pts)
        self._offset = min(self._offsets)
        if self._last is not None and 0 < pts - self._last <= LONGEST_GAPS * self.gap:
            self._gaps.append(pts - self._last)
            self.gap = median(self._gaps)
        self._last = pts

    @property
    def delay(self) -> Fraction:
        """Seconds from a picture's own time to its showing; negative where it is shown before."""
        base = self.gap * self.ahead if self.ahead else -self.tick
        return base + self.lead

    def at(self, pts: Fraction) -> Fraction:
        """When what is at `pts` was, or will be, before the camera, on the machine's clock."""
        assert self._offset is not None, "no frame came yet"
        return self._offset + pts

    def due(self, pts: Fraction) -> Fraction:
        """When to show `pts`, on the machine's clock."""
        return self.at(pts) + self.delay

    def done(self, pts: Fraction, ready_at: Fraction) -> None:
        """A picture was (or would have been) ready at `ready_at`: the lead follows what most of the last ones took."""
        self._needs.append(ready_at + WAKING_S - (self.due(pts) - self.lead))
        wanted = sorted(self._needs)[-1 - min(OUTLIERS, len(self._needs) // 4)]
        longest = self.gap * SLACK + (0 if self.ahead else self.tick)
        wanted = min(max(wanted, Fraction(0)), longest)
        self.lead = wanted if wanted >= self.lead else max(wanted, self.lead * (1 - FALL))
        self.lead = self.lead.limit_denominator(10**6)
