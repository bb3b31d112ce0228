"""`--curve FILE`: a timeline whose speed changes, as keyframes say. Exact, and free of torch.

source s |                 . . '          A piece runs between two keyframes. In it source time is a cubic of output
         |             .'                 time with the keyframes' speeds as slopes at its ends; where keyframes give
         |   . . . '                      speeds, that is a parabola: speed changes evenly as the output is watched.
         | '        output time           All of it is rational, so every instant is exact; only the way back (when is
         +------------------------        an instant of the source shown?) is rounded, to a nanosecond.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from .errors import BadOption, MissingFile
from .timeline import Instant, common_step, exact, positive

NEAR = Fraction(1, 100_000)  # seconds: nearer than this to a frame, an instant is that frame
NANOSECOND = Fraction(1, 10**9)
SLOWEST, FASTEST = Fraction(1, 1000), Fraction(1000)
SOURCE = ("source", "time")  # what the column of source times is called
FIX = "lines such as `0 1`, `2.5 0.25`, `4 1`: source time, speed there"


class Piece(NamedTuple):
    """Source time over output time between two keyframes, seconds.

    Attributes:
        output, source: where it begins on either clock.
        lasts, shows: how much output and source time it takes.
        speed, then: source seconds a second of output, at its begin and at its end.
    """

    output: Fraction
    source: Fraction
    lasts: Fraction
    shows: Fraction
    speed: Fraction
    then: Fraction

    def at(self, output: Fraction) -> Fraction:
        """The source time shown at an output time within (a cubic with both slopes given)."""
        x = (output - self.output) / self.lasts
        bend = self.speed * (x - 2 * x**2 + x**3) + self.then * (x**3 - x**2)
        return self.source + self.lasts * bend + self.shows * (3 * x**2 - 2 * x**3)

    def when(self, source: Fraction) -> Fraction:
        """The output time that shows a source time within, to the nanosecond; exact where speed is constant."""
        if self.speed == self.then == self.shows / self.lasts:
            return self.output + (source - self.source) / self.speed
        low, high = 0, math.ceil(self.lasts / NANOSECOND)
        while high - low > 1:
            middle = (low + high) // 2
            if self.at(self.output + middle * NANOSECOND) <= source:
                low = middle
            else:
                high = middle
        return self.output + low * NANOSECOND


@dataclass
class Curve:
    """A keyframed time map, at a constant output rate. Before the first and after the last keyframe speed stays.

    Attributes:
        pieces: from keyframe to keyframe, in order; made by `of_speeds`, `of_times` or `read`.
        rate: frames a second of the output; the renderer sets the source's own.
        offset: what the frames' clock shows where the curve's source time is 0, seconds.
        origin: the instant that stays where it is, seconds; None takes the first frame's pts.
    """

    pieces: tuple[Piece, ...]
    rate: Fraction | None = None
    offset: Fraction = Fraction(0)
    origin: Fraction | None = None
    _zero: Fraction | None = field(default=None, init=False, repr=False)
    _next: tuple[Fraction, int] | None = field(default=None, init=False, repr=False)  # where ticks go on, and which

    @classmethod
    def of_speeds(cls, rows: Sequence[tuple[Fraction, Fraction]], rate: Fraction | None = None) -> Curve:
        """From (source seconds, speed there): 1 is as filmed, 1/4 slow motion. Two rows at one time are a jump.

        Raises:
            BadOption: no rows, times that run back, a speed outside 1/1000 to 1000.
        """
        if not rows:
            raise BadOption("a curve without keyframes", "at least one is needed", FIX)
        for (time, speed), (after, _) in pairwise([*rows, rows[-1]]):
            if not SLOWEST <= speed <= FASTEST:
                raise BadOption(f"a speed of {speed} at {float(time):g} s", "one from 1/1000 to 1000 is needed", FIX)
            if after < time:
                raise BadOption(f"a keyframe at {float(after):g} s after one at {float(time):g} s", "times must grow")
        ends = (rows[0][0] - 1, rows[0][1]), (rows[-1][0] + 1, rows[-1][1])  # speed stays on either side
        pieces, output = [], -1 / rows[0][1]
        for (time, speed), (after, then) in pairwise([ends[0], *rows, ends[1]]):
            if after > time:
                lasts = 2 * (after - time) / (speed + then)
                pieces.append(Piece(output, time, lasts, after - time, speed, then))
                output += lasts
        return cls(tuple(pieces), rate)

    @classmethod
    def of_times(cls, rows: Sequence[tuple[Fraction, Fraction]], rate: Fraction | None = None) -> Curve:
        """From (source seconds, output seconds), joined without a jump of speed and without running back.

        The speeds at the keyframes are those of F. N. Fritsch and J. Butland, "A method for constructing local
        monotone piecewise cubic interpolants" (1984): weighted harmonic means of the neighbours'.

        Raises:
            BadOption: fewer than two rows, or times that do not grow.
        """
        if len(rows) < 2:
            raise BadOption(f"a curve of {len(rows)} output times", "at least two keyframes are needed", "0 0 and 2 8")
        for (a, at), (b, then) in pairwise(rows):
            if b <= a or then <= at:
                got = f"keyframes {float(a):g} {float(at):g} and {float(b):g} {float(then):g}"
                raise BadOption(got, "source and output times must both grow from one keyframe to the next")
        steps = [(b - a, then - at) for (a, at), (b, then) in pairwise(rows)]
        mean = [shows / lasts for shows, lasts in steps]
        speeds = [mean[0]]
        for (before, after), (left, right) in zip(pairwise(mean), pairwise(lasts for _, lasts in steps), strict=True):
            first, second = 2 * right + left, right + 2 * left
            speeds.append((first + second) / (first / before + second / after))
        speeds.append(mean[-1])
        pieces = [
            Piece(at, source, lasts, shows, *ends)
            for (source, at), (shows, lasts), ends in zip(rows, steps, pairwise(speeds), strict=False)
        ]
        return cls(tuple(pieces), rate)

    @classmethod
    def read(cls, path: Path) -> Curve:
        """From a file of keyframes: text, CSV, or YAML (`.yaml`, `.yml`, `.json`).

        A row is a source time (seconds or h:m:s) and a speed (0.25, 1/4 or 25%). A first row `source output` says
        that the second column is output time instead. `#` begins a remark.

        Raises:
            MissingFile, BadOption: as they say.
        """
        if not path.is_file():
            raise MissingFile(f"--curve {path} is not there", "a file of keyframes is needed", FIX)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise BadOption(f"--curve {path.name} cannot be read ({error})", "a text file is needed", FIX) from error
        lines = _yaml(text, path.name) if path.suffix.lower() in (".yaml", ".yml", ".json") else _lines(text)
        return _of(lines, path.name)

    def between(self, a: Fraction, b: Fraction) -> list[Instant]:
        return [Instant(pts, self._within(shown - a) / (b - a)) for pts, shown in self._ticks(a, b)]

    def after(self, last: Fraction, end: Fraction) -> list[Instant]:
        return [Instant(pts, Fraction(0)) for pts, _ in self._ticks(last, end)]

    def span(self, a: Fraction, b: Fraction) -> Fraction:
        return self._when(b) - self._when(a)

    def source_after(self, a: Fraction, seconds: Fraction) -> Fraction:
        return self._shown(self._when(a) + seconds)

    def stretch(self) -> Fraction:
        zero = Fraction(0)
        return sum((piece.lasts for piece in self.pieces), zero) / sum((piece.shows for piece in self.pieces), zero)

    def tick(self) -> Fraction:
        return 1 / self._known_rate()

    def grid(self, time_base: Fraction) -> Fraction:
        return common_step(common_step(time_base, self.origin or Fraction(0)), self.tick())

    def _known_rate(self) -> Fraction:
        if self.rate is None:
            raise BadOption("a curve without a frame rate", "its output needs one", "Curve.read(path), rate=30")
        return self.rate

    def _ticks(self, a: Fraction, b: Fraction) -> list[tuple[Fraction, Fraction]]:
        """(pts, source time shown) of the output frames that show [a, b)."""
        if self.origin is None:
            self.origin = a
        if self._zero is None:
            self._zero = self._when(self.origin)
        rate = self._known_rate()
        k = self._next[1] if self._next is not None and self._next[0] == a else self._before(a)
        ticks = []
        while (shown := self._shown(self._zero + k / rate)) < b - NEAR:
            if shown >= a - NEAR:
                ticks.append((self.origin + k / rate, shown))
            k += 1
        self._next = b, k
        return ticks

    def _before(self, a: Fraction) -> int:
        """A tick before `a`, at most a few: the way back is rounded."""
        assert self._zero is not None
        return max(0, math.floor((self._when(a - NEAR) - self._zero) * self._known_rate()) - 1)

    @staticmethod
    def _within(after: Fraction) -> Fraction:
        return after if after > NEAR else Fraction(0)

    def _shown(self, output: Fraction) -> Fraction:
        """The frame clock's time that is shown at an output time, counted from a zero of the curve's own."""
        first, last = self.pieces[0], self.pieces[-1]
        if output <= first.output:
            return self.offset + first.source + (output - first.output) * first.speed
        if output >= last.output + last.lasts:
            return self.offset + last.source + last.shows + (output - last.output - last.lasts) * last.then
        return self.offset + self.pieces[_place(output, [piece.output for piece in self.pieces])].at(output)

    def _when(self, shown: Fraction) -> Fraction:
        """The output time, counted from a zero of the curve's own, at which the frame clock's time is shown."""
        source, first, last = shown - self.offset, self.pieces[0], self.pieces[-1]
        if source <= first.source:
            return first.output + (source - first.source) / first.speed
        if source >= last.source + last.shows:
            return last.output + last.lasts + (source - last.source - last.shows) / last.then
        return self.pieces[_place(source, [piece.source for piece in self.pieces])].when(source)


def _place(time: Fraction, begins: Sequence[Fraction]) -> int:
    """Which of the pieces that begin at `begins` holds a time."""
    return max(0, bisect_right(begins, time) - 1)


def _lines(text: str) -> Iterable[tuple[str, list[str]]]:
    """("line 3", its columns) for each line that is not empty."""
    for number, line in enumerate(text.splitlines(), 1):
        columns = [part for part in re.split(r"[\s,;]+", line.partition("#")[0]) if part]
        if columns:
            yield f"line {number}", columns


def _yaml(text: str, name: str) -> Iterable[tuple[str, list[str]]]:
    """The same of YAML: a list of pairs, or of mappings with `source` and one of `speed`, `output`."""
    import yaml

    try:
        rows = yaml.load(text, yaml.BaseLoader)  # every scalar as it is written: 0.1 stays a tenth
    except yaml.YAMLError as error:
        words = " ".join(str(error).split())
        raise BadOption(f"--curve {name} is no YAML ({words})", "a list of keyframes is needed", FIX) from error
    if not isinstance(rows, list):
        raise BadOption(f"--curve {name} is no list", "a list of keyframes is needed", "- {source: 0, speed: 1}")
    for number, row in enumerate(rows, 1):
        place = f"keyframe {number}"
        if isinstance(row, dict):
            names = sorted(row, key=lambda name: name not in SOURCE)
            if number == 1:
                yield place, names
            yield place, [str(row[name]) for name in names]
        else:
            yield place, [str(value) for value in row] if isinstance(row, list) else [str(row)]


def _of(lines: Iterable[tuple[str, list[str]]], name: str) -> Curve:
    kind, rows = "speed", list[tuple[Fraction, Fraction]]()
    for place, columns in lines:
        words = [column.lower() for column in columns]
        if not rows and words and words[0] in SOURCE:
            if words[1:] not in (["speed"], ["output"]):
                raise BadOption(f"--curve {name}, {place}: {' '.join(columns)}", "`source speed` or `source output`")
            kind = words[1]
            continue
        if len(columns) != 2:
            raise BadOption(f"--curve {name}, {place}: {' '.join(columns)}", "two columns are needed", FIX)
        time, value = _time(columns[0]), _speed(columns[1]) if kind == "speed" else _time(columns[1])
        if time is None or value is None:
            wrong = columns[0] if time is None else columns[1]
            raise BadOption(f"--curve {name}, {place}: {wrong}", f"a source time and a {kind} are needed", FIX)
        rows.append((time, value))
    return Curve.of_times(rows) if kind == "output" else Curve.of_speeds(rows)


def _time(text: str) -> Fraction | None:
    """Seconds or h:m:s."""
    total = Fraction(0)
    for part in text.split(":"):
        value = exact(part)
        if value is None:
            return None
        total = total * 60 + value
    return total


def _speed(text: str) -> Fraction | None:
    """0.25, 1/4, 25% or 0.25x."""
    if text.endswith("%"):
        number = exact(text[:-1])
        return None if number is None else number / 100
    return exact(text.removesuffix("x"))


def at_rate(curve: Curve, rate: object, offset: Fraction) -> Curve:
    """A curve over frames whose file begins at `offset`, giving `rate` frames a second."""
    return Curve(curve.pieces, positive(rate, "--rate"), offset)
