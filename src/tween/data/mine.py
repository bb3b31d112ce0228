"""Cutting footage into clips that can be learnt from: no cuts, no repeats, enough motion that can be followed.

frames --measured once, remembered--> one row a gap --Limits--> clips kept, and ranges thrown away with the reason

Every frame is accounted for: it is in a clip, or in a range with one of WHY. Where the limits come from: docs/data.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import BrokenPicture
from .clips import Clip, PictureClip, VideoClip
from .gaps import Gaps, measured
from .index import index_of
from .layouts import DataSet

AROUND = 4  # gaps on each side of a gap that it is compared with
REPEAT_SHARE = 0.1  # a gap with less than this share of its neighbours' change repeats a picture
REPEAT_LEAST_LEVELS = 0.1  # neighbours that change less stand still themselves
NOTHING_LEVELS = 0.04  # a change that a coder alone makes
LONGEST_STEP = 4  # a picture shown so many times over is the longest that is still taken for a slower film

EVEN_SHARE = 0.74  # neighbouring gaps of a steady film: the smaller motion over the larger, in the median

KEPT, SHORT, STILL, REPEAT, WILD, BROKEN, FIELDS, UNEVEN = range(8)
WHY = {
    SHORT: "between cuts too close to each other",
    STILL: "stand still",
    REPEAT: "repeat the one before, or lie between uneven repeats",
    WILD: "move in ways that no flow follows",
    BROKEN: "cannot be read",
    FIELDS: "are interlaced: deinterlace the file first",
    UNEVEN: "lie between steadier ones of half the rate",
}


@dataclass(frozen=True)
class Limits:
    """What makes footage usable.

    Attributes:
        least: frames of the shortest clip.
        still_px: mean motion over nine gaps, pixels a gap, below which a stretch stands still.
        wild: what is left of a gap's change once flow has explained what it can, over the mean gradient; more is out of
            reach.
        uneven: the smaller motion over the larger of neighbouring gaps, in the median of a clip; below it the clock was
            unsteady, and every second frame is taken if those are steady.
        progressive: leave interlaced video out.
    """

    least: int = 9
    still_px: float = 0.15
    wild: float = 4.0
    uneven: float = 0.62
    progressive: bool = True


FOR_TRAINING = Limits()
FOR_SCORES = Limits(least=3, still_px=0.0, wild=float("inf"), uneven=0.0, progressive=False)  # only cuts and repeats


class Thrown(NamedTuple):
    """Frames that were left out: `range` of places in the clip called `name`, and the reason in words."""

    name: str
    range: range
    why: str


@dataclass
class Mined:
    """What became of footage.

    Attributes:
        clips: kept. thrown: left out. frames: there were.
    """

    clips: list[Clip] = field(default_factory=list)
    thrown: list[Thrown] = field(default_factory=list)
    frames: int = 0

    def add(self, other: Mined) -> None:
        """Count another one's in."""
        self.clips += other.clips
        self.thrown += other.thrown
        self.frames += other.frames

    def words(self) -> tuple[str, ...]:
        """What was kept, and what was thrown away and why."""
        lost = Counter[str]()
        for one in self.thrown:
            lost[one.why] += len(one.range)
        total = sum(lost.values())
        clips = f"{len(self.clips):,} clip{'s' * (len(self.clips) != 1)}"
        kept = f"kept {self.frames - total:,} of {self.frames:,} frames in {clips}"
        return (kept, *(f"left out: {count:,} frames that {_verb(why)}" for why, count in lost.most_common()))


def mine(clip: Clip, limits: Limits = FOR_TRAINING) -> Mined:
    """The parts of a clip that can be learnt from, as clips of their own, and what was thrown away.

    The clip is read once from end to end; what was measured is remembered, so that other limits cost nothing.

    Raises:
        BrokenPicture: it cannot be read at all.
    """
    if limits.progressive and isinstance(clip, VideoClip) and index_of(clip.path).is_interlaced:
        return Mined([], [Thrown(clip.name, range(clip.length), WHY[FIELDS])], clip.length)
    fates, runs = cut_up(measured(clip), limits)
    edges = np.flatnonzero(np.diff(fates, prepend=-1, append=-1))
    thrown = [
        Thrown(clip.name, range(int(a), int(b)), WHY[int(fates[a])]) for a, b in pairwise(edges) if fates[a] != KEPT
    ]
    return Mined([part(clip, run) for run in runs], thrown, clip.length)


def mined(found: DataSet, limits: Limits = FOR_TRAINING) -> DataSet:
    """A set with each of its clips mined, and words about it among its notes. A clip that cannot be read at all is left
    out and named."""
    total, broken = Mined(), []
    for clip in found.clips:
        try:
            total.add(mine(clip, limits))
        except BrokenPicture as error:
            broken.append(f"left out: {error.got}")
    return replace(found, clips=tuple(total.clips), notes=(*found.notes, *total.words(), *broken))


def cut_up(gaps: Gaps, limits: Limits) -> tuple[NDArray[np.int64], list[range]]:
    """What becomes of each frame (KEPT or a key of WHY), and the runs of places that are kept."""
    frames = len(gaps.cut) + 1
    fates = np.full(frames, SHORT)
    wild = (gaps.rest > limits.wild) & ~gaps.cut
    for gap in np.flatnonzero(wild):
        fates[gap : gap + 2] = WILD
    for gap in np.flatnonzero(gaps.broken):
        fates[gap : gap + 2] = BROKEN
    runs = []
    breaks = np.flatnonzero(gaps.cut | gaps.broken | wild)
    for first, last in zip([0, *(breaks + 1)], [*breaks, frames - 1], strict=True):
        for run in _shot(gaps, range(int(first), int(last) + 1), limits, fates):
            fates[run.start : run.stop : run.step] = KEPT
            runs.append(run)
    return fates, runs


def _shot(gaps: Gaps, shot: range, limits: Limits, fates: NDArray[np.int64]) -> Iterator[range]:
    """The usable runs of a shot, given as its places; writes the fates of what is not."""
    change = gaps.change[shot.start : shot.stop - 1]
    is_repeat = repeats(change)
    new = np.flatnonzero(np.concatenate([[True], ~is_repeat])) + shot.start
    fates[shot.start + 1 + np.flatnonzero(is_repeat)] = REPEAT
    evenly = list(even_runs(new.tolist(), limits.least))
    covered = {place for run in evenly for place in run}
    if is_repeat.any():
        fates[[place for place in new if place not in covered and fates[place] == SHORT]] = REPEAT
    for run in evenly:
        motion = np.array([gaps.motion[place - 1] for place in run[1:]])
        is_still = np.concatenate([[False], around(motion) < limits.still_px])
        fates[[place for place, still in zip(run, is_still, strict=True) if still]] = STILL
        edges = [-1, *np.flatnonzero(is_still), len(run)]
        parts = (run[int(a) + 1 : int(b)] for a, b in pairwise(edges))
        for part in (one for one in parts if len(one) >= limits.least):
            steady = part[::2] if is_uneven(gaps.motion, part, limits) else part
            fates[[place for place in part if place not in steady]] = UNEVEN
            yield steady


def is_uneven(motion: NDArray[np.float64], run: range, limits: Limits) -> bool:
    """Whether neighbouring gaps of a run differ as a clock's do that stumbles, and pairs of gaps do not."""
    if len(run) < max(2 * limits.least, 2 * AROUND + 1):
        return False
    single = np.array([motion[a:b].sum() for a, b in pairwise(run)])
    double = single[: len(single) // 2 * 2].reshape(-1, 2).sum(1)
    return steadiness(single) < limits.uneven and steadiness(double) > EVEN_SHARE


def steadiness(motion: NDArray[np.float64]) -> float:
    """The smaller over the larger of neighbouring motions, in the median: 1 is perfectly steady."""
    smaller, larger = np.minimum(motion[1:], motion[:-1]), np.maximum(motion[1:], motion[:-1])
    return float(np.median(smaller / np.maximum(larger, 1e-6)))


def repeats(change: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which gaps of a shot show the same picture again: no change at all, or next to none where others change."""
    if len(change) < 3:
        return np.asarray(change == 0, bool)
    near = [np.sort(np.delete(change[max(0, k - AROUND) : k + AROUND + 1], min(k, AROUND))) for k in range(len(change))]
    usual = np.array([np.median(one[len(one) // 2 :]) for one in near])  # every second gap may be a repeat
    most = np.array([one[-2] for one in near])  # or two of three
    told = (usual > REPEAT_LEAST_LEVELS) & (change < REPEAT_SHARE * usual)
    nothing = (change < NOTHING_LEVELS) & (change < REPEAT_SHARE * most)
    return np.asarray((change == 0) | told | nothing, bool)


def around(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each value and its neighbours, AROUND on each side, fewer at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    first = np.maximum(np.arange(len(values)) - AROUND, 0)
    past = np.minimum(np.arange(len(values)) + AROUND + 1, len(values))
    return np.asarray((sums[past] - sums[first]) / (past - first))


def even_runs(places: Sequence[int], least: int) -> Iterator[range]:
    """Runs of at least `least` places at the same distance from each other, up to LONGEST_STEP: new pictures in every
    second frame are a film of half the rate."""
    at = 0
    while at + 1 < len(places):
        step, end = places[at + 1] - places[at], at + 1
        while end + 1 < len(places) and places[end + 1] - places[end] == step:
            end += 1
        if end - at + 1 >= least and step <= LONGEST_STEP:
            yield range(places[at], places[end] + 1, step)
            end += 1
        at = max(end, at + 1)


def part(clip: Clip, run: range) -> Clip:
    """The clip of the places `run` of a clip of videos or pictures."""
    name = f"{clip.name}/{run.start:06d}"
    if isinstance(clip, VideoClip):
        start, step = clip.start + run.start * clip.step, clip.step * run.step
        return replace(clip, name=name, start=start, length=len(run), step=step)
    assert isinstance(clip, PictureClip)
    return PictureClip(name, clip.group, tuple(clip.paths[place] for place in run))


def _verb(why: str) -> str:
    return f"lie {why}" if why.startswith("between") else why
