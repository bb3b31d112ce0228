"""Where a film can be split, and which of its finished segments fit together.

output    0 ........ 119 | 120 ...... 239 | 240 ...        segments, as `tween interpolate` makes them: what is joined
                                                           is the same file, to the byte
parts     [      one worker      ] [  another  ] ...       runs of segments; they begin where little has to be decoded
                                                           for nothing: soon after a keyframe, which is where cuts are
seams     how the pipeline stood at the end of a part, against how it stands where the next begins: equal, or the
          segment is made again from what is known
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import cast

from ..backends.backend import Backend
from ..frame import VideoInfo
from ..models.model import Spec
from ..pipeline.config import RenderConfig
from ..pipeline.going import trail_for
from ..pipeline.interpolator import Interpolator
from ..pipeline.journal import Mark, Piece, Place
from ..pipeline.part import Part
from ..pipeline.recipe import interpolators
from ..pipeline.repeats import MOST
from ..timeline import Timeline
from ..video.cuts import RECENT
from ..video.shown import Shown

SETTLING = RECENT + 4  # frames after which a detector has forgotten how it began, nearly always


@dataclass(frozen=True)
class Seam:
    """Where a part may begin.

    Attributes:
        number: of its first segment.
        since: what the packets say of the pipeline there.
        settled: source pts from which all passes render.
        idle: pictures that are decoded before the first one that is looked at.
    """

    number: int
    since: Mark
    settled: Fraction
    idle: int


@dataclass(frozen=True)
class _OnPaper:
    """A model of which only what it looks at matters."""

    spec: Spec


def passes_on_paper(spec: Spec, timeline: Timeline, info: VideoInfo, config: RenderConfig) -> list[Interpolator]:
    """The passes of a render, to be asked, not run; raises as `recipe.interpolators` does."""
    return interpolators(cast(Backend, _OnPaper(spec)), timeline, info, config.cuts, config.repeats)


def seams(pictures: Sequence[Shown], passes: Sequence[Interpolator], frames: int) -> list[Seam]:
    """The seams before each segment of `frames` output frames but the first.

    Args:
        pictures: of the source, as its packets tell.
        passes: as they will run.
        frames: in a segment.
    """
    times = [picture.pts for picture in pictures]
    keyframes = [k for k, picture in enumerate(pictures) if picture.is_keyframe]
    trail = trail_for(passes).length
    widest = MOST if passes[0].repeats is not None else 1  # frames that one drawing may be shown for
    found = []
    for k, (pts, gap) in enumerate(instants(times, [one.timeline for one in passes])):
        if k and k % frames == 0:
            enter = max(0, gap - (trail + SETTLING) * widest)
            before = bisect_right(keyframes, enter)
            idle = enter - keyframes[before - 1] if before else enter
            place = Place(times[enter], 0, enter, 0, [], [])
            since = Mark(pts, tuple(times[:2]), (place,))
            found.append(Seam(k // frames, since, times[max(0, gap - trail * widest)], idle))
    return found


def instants(times: Sequence[Fraction], timelines: Sequence[Timeline]) -> Iterator[tuple[Fraction, int]]:
    """(pts, index of the source's gap) of each output frame before the last source frame's own time."""
    stream: Iterable[tuple[Fraction, int]] = ((pts, k) for k, pts in enumerate(times))
    for timeline in timelines:
        stream = _between(stream, deepcopy(timeline))
    yield from stream


def _between(stream: Iterable[tuple[Fraction, int]], timeline: Timeline) -> Iterator[tuple[Fraction, int]]:
    last = None
    for (a, gap), (b, after) in pairwise(stream):
        yield from ((instant.pts, gap) for instant in timeline.between(a, b))
        last = b, after
    if last is not None and timeline.tick() is None:
        yield from ((instant.pts, last[1]) for instant in timeline.after(last[0], last[0]))


def begins(missing: Sequence[int], seams: Sequence[Seam], length: int, workers: int = 1) -> list[int]:
    """The segments at which parts begin, of a run of `missing` ones: about `length` apart, where little is idle; closer
    towards the end, so that `workers` end together."""
    idle = {seam.number: seam.idle for seam in seams}
    found, here, end = [missing[0]], missing[0], missing[-1] + 1
    while True:
        size = length if workers == 1 else min(length, max(1, (end - here) // (2 * workers)))
        if end - here <= size + size // 2:
            return found
        near = [n for n in range(here + max(1, size // 2), here + size + size // 2 + 1) if n in idle]
        if not near:
            return found
        here = min(near, key=lambda n: (idle[n], abs(n - here - size)))
        found.append(here)


class Chain:
    """The finished segments of one film: those that are known to follow one another, and those that wait.

    Args:
        config: of the film.
        seams: where parts may begin.
        frames: in a segment.
        done: segments that are in the journal. tail: how the pipeline stood after them.
        pieces: those that wait, by number.

    Attributes:
        wrong: guesses about a seam that did not hold.
        is_complete: the film's last segment is in the journal.
    """

    def __init__(
        self,
        config: RenderConfig,
        seams: Sequence[Seam],
        frames: int,
        *,
        done: int,
        tail: Mark | None,
        pieces: dict[int, Piece],
    ) -> None:
        self._config, self._frames = config, frames
        self._seams = {seam.number: seam for seam in seams}
        self.done, self.tail, self.pieces = done, tail, dict(pieces)
        self.wrong = 0
        self.is_complete = done > 0 and tail is None

    @property
    def last(self) -> int:
        """The number of the film's last segment, as far as is known."""
        ends = [number for number, piece in self.pieces.items() if piece.end is None]
        return min(ends, default=max([self.done, *self._seams, *(number + 1 for number in self.pieces)]))

    def add(self, piece: Piece, take: Callable[[Piece], None], drop: Callable[[int], None]) -> None:
        """A piece is finished: `take` is called with each that is now known to come next, in order, `drop` with the
        number of each that is not what it seemed."""
        self.pieces[piece.number] = piece
        self.advance(take, drop)

    def advance(self, take: Callable[[Piece], None], drop: Callable[[int], None]) -> None:
        """As `add`, with the pieces that wait already."""
        while not self.is_complete and (piece := self.pieces.get(self.done)) is not None:
            if self.tail is not None and not piece.follows(self.tail):
                self.wrong += 1
                del self.pieces[piece.number]
                drop(piece.number)
                return
            piece = piece if self.tail is None else piece.counted(self.tail)
            del self.pieces[piece.number]
            self.done, self.tail = self.done + 1, piece.end
            self.is_complete = piece.end is None
            take(piece)
        if self.is_complete:
            for number in list(self.pieces):  # of a film that is shorter than its packets said
                del self.pieces[number]
                drop(number)

    def parts(
        self, length: int, taken: Iterable[int] = (), first: Fraction = Fraction(0), workers: int = 1
    ) -> list[Part]:
        """What has to be rendered still, in parts of about `length` segments (see `begins`); those in `taken` are being
        made. `first`: as in `Part`."""
        if self.is_complete:
            return []
        there = {*self.pieces, *taken}
        last = self.last
        missing = [n for n in range(self.done, last + 1) if n not in there]
        parts = []
        for run in _runs(missing):
            starts = begins(run, [*self._seams.values()], length, workers)
            for a, b in pairwise([*starts, run[-1] + 1]):
                part = self._part(a, None if b > last else b - a, first)
                parts += [] if part is None else [part]
        return parts

    def alone(self, first: Fraction) -> Part:
        """All that is missing after what is known, as one part."""
        return Part(self._config, self.done, None, self._frames, first, self.tail)

    def _part(self, number: int, segments: int | None, first: Fraction) -> Part | None:
        before = self.pieces.get(number - 1)
        if number == self.done:
            return Part(self._config, number, segments, self._frames, first, self.tail)
        if before is not None:
            return None if before.end is None else Part(
                self._config, number, segments, self._frames, first, before.end
            )  # fmt: skip
        seam = self._seams[number]
        return Part(self._config, number, segments, self._frames, first, seam.since, True, seam.settled)


def _runs(numbers: Sequence[int]) -> list[list[int]]:
    """Neighbours together: 1 2 3 7 8 -> [1 2 3] [7 8]."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] + 1 == number:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs
