"""What an evaluation found: one row a picture asked for, and their means."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from torch import Tensor


@dataclass(frozen=True)
class Row:
    """The scores of one picture.

    Attributes:
        name: of the clip it belongs to; group: the sequence, film or split over which means are taken too.
        place: of the target in its clip, source frames; t: where it is, in gaps.
        scores: metric -> value, in the metric's own unit (`psnr` dB, `ssim_3d` 0 to 1, `ie` grey levels, ...).
    """

    name: str
    group: str
    place: int
    t: float
    scores: dict[str, float]


class Case(NamedTuple):
    """One picture that was asked for: its scores, and the pictures themselves, on the CPU.

    Attributes:
        row: where it is, and how it fared.
        inputs: `[2, 3, H, W]` in [0, 1], the neighbours of the gap; predicting, the last two frames that were shown.
        ours, truth: `[3, H, W]` in [0, 1].
        aux: what the model tells besides, of the pictures' size: `flow` `[4, H, W]` pixels, target -> first input
            (x, y), target -> second input (x, y); `mask` `[1, H, W]`. Empty where the backend tells nothing.
    """

    row: Row
    inputs: Tensor
    ours: Tensor
    truth: Tensor
    aux: dict[str, Tensor]


Observer = Callable[[Case], None]  # told of every case, in order, in one thread


@dataclass
class Result:
    """One model on one set by one protocol.

    Attributes:
        model, backend, precision: what ran. protocol: the set and its rule by name. checked: True if our protocol was
            held against the published one, and the whole set was scored.
        rows: in the order they were asked for.
        broken: (name, why) of what could not be read, and was left out of the means.
        notes: what a reader of the figures has to know: a recipe that was applied, a rule that was bent.
        is_prediction: True if frames to come were asked for, so that scores belong to steps.
        seconds: wall time of the whole; model_seconds: the part of it spent in the model.
        megabytes: of the network's weights; adapter_megabytes: of the adapters that it wore. 0 where nobody said.
    """

    model: str
    protocol: str
    backend: str = "torch"
    precision: str = "fp32"
    checked: bool = False
    rows: list[Row] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_prediction: bool = False
    seconds: float = 0.0
    model_seconds: float = 0.0
    megabytes: float = 0.0
    adapter_megabytes: float = 0.0

    def means(self, group: str | None = None) -> dict[str, float]:
        """Metric -> plain mean over the rows (of one group); a metric that a row lacks is averaged over the others."""
        return means(row for row in self.rows if group is None or row.group == group)

    def groups(self) -> list[str]:
        """The groups in the order they came."""
        return list(dict.fromkeys(row.group for row in self.rows))

    def steps(self) -> dict[float, dict[str, float]]:
        """t -> means over the rows at that t, ascending."""
        return {t: means(row for row in self.rows if row.t == t) for t in sorted({row.t for row in self.rows})}

    def running(self) -> dict[float, dict[str, float]]:
        """t -> means over the rows up to that t: what papers on prediction print for t + n."""
        return {t: means(row for row in self.rows if row.t <= t) for t in sorted({row.t for row in self.rows})}

    def as_json(self) -> dict[str, Any]:
        """Everything, with the means beside: `{"model": ..., "psnr": ..., "groups": {...}, "rows": [...]}`."""
        told: dict[str, Any] = {**self.means(), **asdict(self), "means": self.means()}
        told["groups"] = {group: self.means(group) for group in self.groups()}
        if self.is_prediction:
            told["running"] = {f"{t:g}": scores for t, scores in self.running().items()}
        return told


def means(rows: Iterable[Row]) -> dict[str, float]:
    """Metric -> plain mean over rows; a metric that a row lacks is averaged over the others."""
    found: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.scores.items():
            found.setdefault(name, []).append(value)
    return {name: mean(values) for name, values in found.items()}


def mean(values: Iterable[float]) -> float:
    """Plain mean; not a number for nothing."""
    found = list(values)
    if not all(map(math.isfinite, found)):
        return sum(found) / len(found)  # fsum refuses both infinities together
    return math.fsum(found) / len(found) if found else math.nan
