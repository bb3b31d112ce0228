"""What a report shows of an evaluation: the pictures that came out worst and best.

A gallery watches `score` and keeps a handful: one for each clip first, then whatever else is extreme.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from ..metrics.table import METRICS
from . import look
from .look import Box
from .result import Case, Row

SIDE: Final = 256  # of a crop, pixels
WHOLE: Final = 320  # of a whole picture made small, pixels


@dataclass(frozen=True)
class Shot:
    """A case, cut down to what is shown of it.

    Attributes:
        row: where it is, and how it fared.
        size: (H, W) of the picture; box: the part of it that the crops show.
        inputs, ours, truth: uint8 `[3, h, w]`, the crops; inputs on top of one another.
        motion: uint8 `[3, h, w]`, or None where the model tells no flow; motion_px: at full colour.
        whole: uint8 `[3, h, w]`, the truth made small, or None where the crop is all of it.
    """

    row: Row
    size: tuple[int, int]
    box: Box
    inputs: Tensor
    ours: Tensor
    truth: Tensor
    motion: Tensor | None = None
    motion_px: float = 0.0
    whole: Tensor | None = None


class Gallery:
    """An observer of `score` that keeps the worst and the best pictures.

    Memory: about 1 MB a case, at most `2 * (worst + best)` of them.

    Args:
        worst, best: how many are kept of each.
        metric: by which they are ranked; None takes the first that a row has.
        side: of the crops, pixels.
    """

    def __init__(self, *, worst: int = 12, best: int = 6, metric: str | None = None, side: int = SIDE) -> None:
        self.metric, self.side = metric, side
        self._worst, self._best = _Extremes(worst), _Extremes(best)
        self._seen = 0

    def __call__(self, case: Case) -> None:
        """Look at a case, and keep what is shown of it if it is among the extremes."""
        self._seen += 1
        self.metric = self.metric or next(iter(case.row.scores), None)
        goodness = _goodness(case.row, self.metric)
        kept = [(shelf, rank) for shelf, rank in ((self._worst, goodness), (self._best, -goodness))
                if shelf.wants(case.row.name, rank)]  # fmt: skip
        if kept:
            shot = shot_of(case, self.side)
            for shelf, rank in kept:
                shelf.keep(rank, shot)

    @property
    def worst(self) -> list[Shot]:
        """The worst first; of a small set not more than its worse half."""
        return self._worst.shots()[: -(-self._seen // 2)]

    @property
    def best(self) -> list[Shot]:
        """The best first, without those that are among the worst."""
        taken = {id(shot) for shot in self.worst}
        return [shot for shot in self._best.shots() if id(shot) not in taken]


class _Extremes:
    """The `room` shots of least rank: of each clip its first, and of all clips together."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._of_clips: list[tuple[float, Shot]] = []
        self._of_all: list[tuple[float, Shot]] = []

    def wants(self, name: str, rank: float) -> bool:
        if not self.room:
            return False
        if len(self._of_all) < self.room or rank < self._of_all[-1][0]:
            return True
        of_same = [kept for kept, shot in self._of_clips if shot.row.name == name]
        if of_same:
            return rank < of_same[0]
        return len(self._of_clips) < self.room or rank < self._of_clips[-1][0]

    def keep(self, rank: float, shot: Shot) -> None:
        same = [pair for pair in self._of_clips if pair[1].row.name == shot.row.name]
        if not same or rank < same[0][0]:
            others = [pair for pair in self._of_clips if pair[1].row.name != shot.row.name]
            self._of_clips = sorted([*others, (rank, shot)], key=lambda pair: pair[0])[: self.room]
        self._of_all = sorted([*self._of_all, (rank, shot)], key=lambda pair: pair[0])[: self.room]

    def shots(self) -> list[Shot]:
        chosen = list(self._of_clips)
        taken = {id(shot) for _, shot in chosen}
        chosen += [pair for pair in self._of_all if id(pair[1]) not in taken][: self.room - len(chosen)]
        return [shot for _, shot in sorted(chosen, key=lambda pair: pair[0])]


def _goodness(row: Row, metric: str | None) -> float:
    """Higher is better; what is no number is the worst there is."""
    value = row.scores.get(metric, math.nan) if metric else math.nan
    if math.isnan(value):
        return -math.inf
    return -value if metric in METRICS and METRICS[metric].better == "lower" else value


def shot_of(case: Case, side: int = SIDE) -> Shot:
    """A case, cut to the square of `side` pixels where it is worst."""
    box = look.worst_box(case.ours.float(), case.truth.float(), side)
    height, width = case.truth.shape[1:]
    picture, px = None, 0.0
    if (flow := case.aux.get("flow")) is not None:
        moved = look.motion(box.of(flow))
        px = look.strongest(moved)
        picture = look.motion_picture(moved, px)
    return Shot(
        row=case.row,
        size=(height, width),
        box=box,
        inputs=look.to_bytes(look.overlay(box.of(case.inputs))),
        ours=look.to_bytes(box.of(case.ours)),
        truth=look.to_bytes(box.of(case.truth)),
        motion=picture,
        motion_px=px,
        whole=None if box[2:] == (height, width) else look.shrunk(case.truth, WHOLE),
    )
