"""What an evaluation found: one row a picture asked for, and their means."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any


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


@dataclass
class Result:
    """One model on one set by one protocol.

    Attributes:
        model, backend, precision: what ran. protocol: the set and its rule by name. checked: True if our protocol was
            held against the published one.
        rows: in the order they were asked for.
        broken: (name, why) of what could not be read, and was left out of the means.
        seconds: wall time of the whole; model_seconds: the part of it spent in the model.
    """

    model: str
    protocol: str
    backend: str = "torch"
    precision: str = "fp32"
    checked: bool = False
    rows: list[Row] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    model_seconds: float = 0.0

    def means(self, group: str | None = None) -> dict[str, float]:
        """Metric -> plain mean over the rows (of one group); a metric that a row lacks is averaged over the others."""
        rows = [row for row in self.rows if group is None or row.group == group]
        names = dict.fromkeys(name for row in rows for name in row.scores)
        return {name: mean(row.scores[name] for row in rows if name in row.scores) for name in names}

    def groups(self) -> list[str]:
        """The groups in the order they came."""
        return list(dict.fromkeys(row.group for row in self.rows))

    def as_json(self) -> dict[str, Any]:
        """Everything, with the means of the whole beside: `{"model": ..., "means": {"psnr": ...}, "rows": [...]}`."""
        return {**asdict(self), "means": self.means(), "groups": {group: self.means(group) for group in self.groups()}}


def mean(values: Iterable[float]) -> float:
    """Plain mean; not a number for nothing."""
    found = list(values)
    return math.fsum(found) / len(found) if found else math.nan
