"""To hold a rate: what is shown gets smaller, then its model cheaper, and better again where there is time to spare.

default 1     default 3/4     default 1/2     blend 1     blend 1/2
|  <-- up: calm for CALM_S, longer after each try that failed      down: late for LATE_S --> |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

SCALES: Final = (Fraction(1), Fraction(3, 4), Fraction(1, 2))
CHEAPER: Final = ("dis", "dis-fast", "blend")  # after the model asked for, from which these are the cheaper ones
CHEAPER_AHEAD: Final = ("dis-ahead", "repeat")

LATE_S: Final = 2  # seconds of missing pictures that bring a step down
CALM_S: Final = 5  # seconds without any that bring a step up
LONGEST_S: Final = 320  # the longest wait for one
SETTLED_S: Final = 60  # seconds after which a step up was right
MISSING: Final = 0.1  # more of the pictures than this are missing: the rate is not held
CALM: Final = 0.02  # less than this: it is
FULL: Final = 0.9  # of the time is what the work may take after a step up, as far as one can tell
DEARER: Final = 4.0  # how much more a dearer model is taken to cost; of a size, its pixels tell


class Rung(NamedTuple):
    """What runs: a model of the zoo (or a file), on pictures of this scale."""

    model: str
    scale: Fraction

    def __str__(self) -> str:
        return self.model if self.scale == 1 else f"{self.model} at {float(self.scale):g} of the size"


def rungs(model: str, scale: Fraction, *, predicts: bool) -> tuple[Rung, ...]:
    """The ladder below a model at a scale, the best first."""
    kinds = CHEAPER_AHEAD if predicts else CHEAPER
    below = kinds[kinds.index(model) + 1 :] if model in kinds else kinds
    first = [Rung(model, scale * part) for part in SCALES]
    return (*first, *(Rung(cheaper, scale * part) for cheaper in below for part in (SCALES[0], SCALES[-1])))


@dataclass
class Window:
    """One second of work: pictures that were wanted, that were missing, and the share of the time that was busy."""

    wanted: int
    missing: int
    busy: float


class Ladder:
    """Decides on which rung to stand, told once a second how it went.

    Attributes:
        place: the rung, 0 is the best.
    """

    def __init__(self, rungs: Sequence[Rung]) -> None:
        self.rungs, self.place = tuple(rungs), 0
        self._late, self._calm, self._patience = 0, 0, CALM_S
        self._since_up: int | None = None

    def judge(self, second: Window) -> int:
        """The rung to stand on from now on: one down, one up, or the same."""
        share = second.missing / max(1, second.wanted)
        self._since_up = None if self._since_up is None else self._since_up + 1
        self._late = self._late + 1 if share > MISSING else 0
        self._calm = self._calm + 1 if share < CALM else 0
        if self._late >= LATE_S and self.place + 1 < len(self.rungs):
            self._down()
        elif self._calm >= self._patience and self.place > 0 and second.busy * self._growth() < FULL:
            self._up()
        elif self._since_up is not None and self._since_up > SETTLED_S:
            self._patience, self._since_up = CALM_S, None
        return self.place

    def _growth(self) -> float:
        """How many times the work the rung above is, as far as one can tell without trying."""
        above, here = self.rungs[self.place - 1], self.rungs[self.place]
        return float((above.scale / here.scale) ** 2) if above.model == here.model else DEARER

    def _down(self) -> None:
        if self._since_up is not None and self._since_up <= SETTLED_S:  # the step up was a mistake
            self._patience = min(2 * self._patience, LONGEST_S)
        self.place += 1
        self._late = self._calm = 0
        self._since_up = None

    def _up(self) -> None:
        self.place -= 1
        self._late = self._calm = 0
        self._since_up = 0
