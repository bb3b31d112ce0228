"""Which instants are wanted: `Times(2)`, `Rate(60)`, `Slow(4)` (and `Curve`, beside). Exact, and free of torch.

source   a           b           c    end          every gap [a, b) is asked once, in order;
         |-----------|-----------|-----)           the last frame's own time [c, end) is asked once
Times(2) a     .     b     .     c
Rate     a   .   .   .   .   .   .   .             ticks run on through the last frame, which is held
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple, Protocol

from .errors import BadOption


class Instant(NamedTuple):
    """What a timeline wants.

    Attributes:
        pts: when the output frame is shown, seconds.
        t: where that is in the gap: 0 = its first frame, 1 = its last, > 1 = the future.
    """

    pts: Fraction
    t: Fraction


class Timeline(Protocol):
    """Asked once for each gap of a stream, in order, then once for the last frame's own time."""

    def between(self, a: Fraction, b: Fraction) -> list[Instant]:
        """The instants in [a, b), where frames stand at `a` and `b` (seconds, a < b)."""
        ...

    def after(self, last: Fraction, end: Fraction) -> list[Instant]:
        """The instants in [last, end): the last frame stands at `last` and is shown until `end`. Every t is 0."""
        ...

    def stretch(self) -> Fraction:
        """Output seconds for one source second: 1 unless time itself is slowed; the mean where that changes."""
        ...

    def span(self, a: Fraction, b: Fraction) -> Fraction:
        """Output seconds that the source's [a, b) takes; negative where b < a."""
        ...

    def source_after(self, a: Fraction, seconds: Fraction) -> Fraction:
        """The source's instant that is shown `seconds` of the output after its `a`: what `span` undoes."""
        ...

    def tick(self) -> Fraction | None:
        """Seconds between output frames where that is constant by design, else None."""
        ...

    def grid(self, time_base: Fraction) -> Fraction:
        """A step, seconds, of which every output pts is a multiple, if every source pts is one of `time_base`."""
        ...


@dataclass
class Times:
    """`factor` frames for each gap: n frames become (n - 1) * factor + 1, on the source's own clock.

    A variable frame rate stays variable: each gap is divided evenly.
    """

    factor: int

    def __post_init__(self) -> None:
        self.factor = whole(self.factor, "--times", least=1)

    def between(self, a: Fraction, b: Fraction) -> list[Instant]:
        steps = [Fraction(i, self.factor) for i in range(self.factor)]
        return [Instant(a + t * (b - a), t) for t in steps]

    def after(self, last: Fraction, end: Fraction) -> list[Instant]:  # noqa: ARG002
        return [Instant(last, Fraction(0))]

    def stretch(self) -> Fraction:
        return Fraction(1)

    def span(self, a: Fraction, b: Fraction) -> Fraction:
        return b - a

    def source_after(self, a: Fraction, seconds: Fraction) -> Fraction:
        return a + seconds

    def tick(self) -> None:
        return None

    def grid(self, time_base: Fraction) -> Fraction:
        return time_base / self.factor


@dataclass
class Rate:
    """A constant `rate` frames a second: ticks at `origin + k / rate` while the video lasts.

    A video that lasts D seconds gets ceil(D * rate) frames. Ticks are counted from the first frame (`origin`), so
    nothing drifts, and a stream of unknown length is served as it comes.

    Attributes:
        rate: frames a second; int, Fraction, or text such as "24000/1001" or "59.94".
        origin: the first tick, seconds; None takes the first frame's pts.
    """

    rate: Fraction
    origin: Fraction | None = None

    def __post_init__(self) -> None:
        self.rate = positive(self.rate, "--rate")

    def between(self, a: Fraction, b: Fraction) -> list[Instant]:
        return [Instant(tick, (tick - a) / (b - a)) for tick in self._ticks(a, b)]

    def after(self, last: Fraction, end: Fraction) -> list[Instant]:
        return [Instant(tick, Fraction(0)) for tick in self._ticks(last, end)]

    def stretch(self) -> Fraction:
        return Fraction(1)

    def span(self, a: Fraction, b: Fraction) -> Fraction:
        return b - a

    def source_after(self, a: Fraction, seconds: Fraction) -> Fraction:
        return a + seconds

    def tick(self) -> Fraction:
        return 1 / self.rate

    def grid(self, time_base: Fraction) -> Fraction:
        return common_step(common_step(time_base, self.origin or Fraction(0)), 1 / self.rate)

    def _ticks(self, a: Fraction, b: Fraction) -> list[Fraction]:
        if self.origin is None:
            self.origin = a
        first = math.ceil((a - self.origin) * self.rate)
        past = math.ceil((b - self.origin) * self.rate)
        return [self.origin + k / self.rate for k in range(first, past)]


@dataclass
class Slow:
    """Slow motion: every second of the source lasts `factor` seconds.

    A whole factor keeps the source's clock, each gap stretched and divided into `factor`. Any other factor (2.5, or
    1/2 to speed up) needs a constant output `rate`, which the renderer sets to the source's own.

    Attributes:
        factor: > 0; int, Fraction or text ("2.5", "5/2").
        rate: frames a second of the output, or None.
        origin: the instant that stays where it is, seconds; None takes the first frame's pts.
    """

    factor: Fraction
    rate: Fraction | None = None
    origin: Fraction | None = None
    _ticks: Rate | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.factor = positive(self.factor, "--slow")
        if self.rate is not None:
            self._ticks = Rate(self.rate)

    def between(self, a: Fraction, b: Fraction) -> list[Instant]:
        a, b = self._stretched(a), self._stretched(b)
        return self._inner().between(a, b)

    def after(self, last: Fraction, end: Fraction) -> list[Instant]:
        last, end = self._stretched(last), self._stretched(end)
        return self._inner().after(last, end)

    def stretch(self) -> Fraction:
        return self.factor

    def span(self, a: Fraction, b: Fraction) -> Fraction:
        return (b - a) * self.factor

    def source_after(self, a: Fraction, seconds: Fraction) -> Fraction:
        return a + seconds / self.factor

    def tick(self) -> Fraction | None:
        return self._inner().tick()

    def grid(self, time_base: Fraction) -> Fraction:
        time_base = common_step(time_base, self.origin or Fraction(0))
        return common_step(time_base, self._inner().grid(time_base * self.factor))

    def _inner(self) -> Times | Rate:
        if self._ticks is not None:
            return self._ticks
        if self.factor.denominator == 1:
            return Times(int(self.factor))
        raise BadOption(
            f"--slow {self.factor} without a frame rate",
            "a factor that is not whole needs one",
            "Slow(factor, rate=30)",
        )

    def _stretched(self, pts: Fraction) -> Fraction:
        if self.origin is None:
            self.origin = pts
        return self.origin + (pts - self.origin) * self.factor


def positive(value: object, option: str) -> Fraction:
    """A number above 0 from an int, float, Fraction or text: "60", "59.94", "24000/1001", "24000:1001".

    Raises:
        BadOption: not a number, or not above 0 and below a million.
    """
    number = exact(value)
    if number is None or not 0 < number < 1_000_000:
        examples = "4, 2.5 or 5/2" if option == "--slow" else "60, 23.976 or 24000/1001"
        raise BadOption(f"{option} {value}", f"a number above 0 is needed, such as {examples}")
    return number


def whole(value: object, option: str, least: int, most: int = 10_000) -> int:
    """A whole number from `least` to `most`, or BadOption."""
    number = exact(value)
    if number is None or number.denominator != 1 or not least <= number <= most:
        raise BadOption(f"{option} {value}", f"a whole number from {least} to {most} is needed", f"{option} 2")
    return int(number)


def exact(value: object) -> Fraction | None:
    """`value` as the Fraction that its decimal text names (0.1 is 1/10), or None if it is no finite number."""
    text = str(value).strip()
    if len(text) > 100:  # python refuses to read thousands of digits, and nobody means them
        return None
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?([/:]\d+)?", text, re.IGNORECASE):
        return None
    top, _, bottom = text.replace(":", "/").partition("/")
    if bottom and int(bottom) == 0:
        return None
    return Fraction(top) / Fraction(bottom or 1)


def common_step(a: Fraction, b: Fraction) -> Fraction:
    """The largest step of which both are whole multiples."""
    return Fraction(math.gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)


NTSC = {Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120, 240)}


def broadcast_rate(rate: Fraction) -> Fraction:
    """The NTSC rate that a rounded text such as 23.976 or 59.94 means, or `rate` itself."""
    return next((exact_rate for exact_rate in NTSC if abs(exact_rate - rate) <= Fraction(1, 200)), rate)
