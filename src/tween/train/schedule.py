"""Where a run stands, and what the learning rate is there."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .config import OptimConfig, Phase, TrainConfig


@dataclass
class Clock:
    """How far a run is. Time counts only where minutes are what ends it, so that steps alone decide all else.

    Attributes:
        step: steps done. seconds: spent in the loop, over all resumed parts.
        steps, minutes: where it ends, or None.
    """

    steps: int | None
    minutes: float | None
    step: int = 0
    seconds: float = 0.0

    @property
    def progress(self) -> float:
        """0 at the start, 1 at the end."""
        by_step = self.step / self.steps if self.steps else 0.0
        by_time = self.seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_step, by_time))

    @property
    def is_over(self) -> bool:
        """True at the first end reached."""
        return self.progress >= 1


def learning_rate(optim: OptimConfig, clock: Clock, lowered: float = 1.0) -> float:
    """The rate of the next step.

    Args:
        lowered: what a plateau has made of it so far.
    """
    rise = min(1.0, (clock.step + 1) / optim.warmup) if optim.warmup else 1.0
    if optim.schedule == "cosine":
        fall = optim.floor + (1 - optim.floor) * (1 + math.cos(math.pi * clock.progress)) / 2
    else:
        fall = max(optim.floor, lowered) if optim.schedule == "plateau" else 1.0
    return optim.lr * rise * fall


def phase_at(config: TrainConfig, progress: float) -> Phase:
    """The phase that holds at `progress`; a run without phases is one."""
    return next((phase for phase in config.phases if progress < phase.until), (config.phases or (Phase(),))[-1])


@dataclass
class Plateau:
    """Watches a validation score (higher is better) and lowers the rate when it stops rising.

    Attributes:
        best: so far. waited: validations since. lowered: the product of all lowerings.
    """

    best: float = -math.inf
    waited: int = 0
    lowered: float = 1.0

    def see(self, score: float, optim: OptimConfig) -> bool:
        """Take in a validation's score; True if it is the best so far."""
        if score > self.best:
            self.best, self.waited = score, 0
            return True
        self.waited += 1
        if optim.schedule == "plateau" and self.waited % (optim.patience + 1) == 0:
            self.lowered *= optim.factor
        return False
