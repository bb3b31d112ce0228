"""How fast models run on this machine: everyone warmed, then in turns, so that what disturbs one disturbs all.

round 1    A  B  C          a lap: embed the newest frame, relate the context, render one instant
round 2    B  C  A          x2 is a lap; x8 embeds and relates once, and renders seven times
round 3    C  A  B          (a model of the middle alone reaches x8 by seven laps)
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from ..backends import prepare
from ..backends.backend import Backend
from ..errors import BadOption
from ..models.cost import Cost, cost
from ..ops.canvas import Canvas
from . import memory
from .subjects import Subject, pictures

HALF: Final = 0.5


class Clock(NamedTuple):
    """Seconds of wall time, and of this process on all its cores."""

    wall: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float] = time.process_time


REAL: Final = Clock()


@dataclass(frozen=True)
class Lap:
    """One x2 gap, seconds.

    Attributes:
        wall, cpu: of the whole. parts: wall time of `embed`, `relate` and `render`; empty where nobody can tell.
    """

    wall: float
    cpu: float
    parts: dict[str, float] = field(default_factory=dict)


@dataclass
class Runner:
    """Somebody who can run a lap.

    Attributes:
        name, backend, precision, device, weights: what runs.
        lap: runs one x2 gap. shown: what it makes of it, `[1, 3, H, W]`; None where there is nothing to compare.
        is_midpoint: True where other instants than 1/2 cost whole laps.
        cost: of the network, None where nobody counts.
        start_s: from the weights to a warm model; peak_memory_mb: what the process grew by meanwhile.
    """

    name: str
    backend: str
    precision: str
    device: str
    lap: Callable[[Clock], Lap]
    weights: str = ""
    shown: Callable[[], Tensor] | None = None
    is_midpoint: bool = False
    cost: Cost | None = None
    start_s: float = 0.0
    peak_memory_mb: float | None = None


@dataclass
class SpeedRow:
    """What was measured of one model on one backend; times are medians of `runs` laps.

    Attributes:
        weights: "random" where the model was not trained: speed does not hang on that, pictures do.
        parameters; gmacs: thousands of millions of multiply-accumulates a frame in between, of the padded size.
        ms: one gap at x2; ms_low, ms_high: its quartiles. embed_ms, relate_ms, render_ms: the parts of it.
        ms_x8: one gap at x8, counted from the parts. cpu_ms: processor time of a gap, all cores together.
        fps, fps_x8: new frames a second. ratio, cpu_ratio: the yardstick's time over ours, None without one.
        db: PSNR to the yardstick's picture. peak_memory_mb: what the process grew by. start_s: until it was warm.
        clip_fps: frames written a second in a whole render; clip_share: new frames a second there over `fps`.
    """

    model: str
    backend: str
    precision: str
    device: str
    weights: str
    parameters: int
    gmacs: float
    runs: int
    ms: float
    ms_low: float
    ms_high: float
    cpu_ms: float
    fps: float
    ms_x8: float | None = None
    fps_x8: float | None = None
    embed_ms: float | None = None
    relate_ms: float | None = None
    render_ms: float | None = None
    peak_memory_mb: float | None = None
    start_s: float = 0.0
    ratio: float | None = None
    cpu_ratio: float | None = None
    db: float | None = None
    clip_fps: float | None = None
    clip_share: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and text."""
        return asdict(self)


def runner_of(one: Subject, size: tuple[int, int], backend: str, device: str, precision: str) -> Runner:
    """A model on a backend, warm.

    Raises:
        BadOption, Conflict, MissingPackage: as `prepare`.
    """
    with memory.growth() as grown:
        begun = time.perf_counter()
        ready = prepare.prepare(one.model, size, backend=backend, device=device, precision=precision, label=one.name)
        verbs = Verbs(ready, pictures(Canvas(size, one.model.spec.multiple).size, len(one.model.spec.context)))
        verbs.lap(REAL)
        start_s = time.perf_counter() - begun
    return Runner(
        name=one.name,
        backend=ready.name,
        precision=ready.precision,
        device=ready.device,
        lap=verbs.lap,
        weights=one.weights,
        shown=verbs.shown,
        is_midpoint=not one.model.spec.any_time,
        cost=cost(one.entry, size) if one.entry.trained else None,
        start_s=start_s,
        peak_memory_mb=grown.mb,
    )


class Verbs:
    """The three verbs on frames of a video: those that stay in the context are embedded before."""

    def __init__(self, backend: Backend, frames: Sequence[Tensor]) -> None:
        self.backend, self.newest = backend, frames[-1]
        self._before = [backend.embed(frame) for frame in frames[:-1]]
        self._t = torch.tensor([1.0 if backend.spec.predicts else HALF])

    def lap(self, clock: Clock) -> Lap:
        """One gap."""
        cpu, begun = clock.cpu(), clock.wall()
        context = [*self._before, self.backend.embed(self.newest)]
        embedded = self._now(clock)
        scene = self.backend.relate(context)
        related = self._now(clock)
        self.backend.render(scene, self._t)
        ended = self._now(clock)
        parts = {"embed": embedded - begun, "relate": related - embedded, "render": ended - related}
        return Lap(ended - begun, clock.cpu() - cpu, parts)

    def shown(self) -> Tensor:
        """What is rendered."""
        context = [*self._before, self.backend.embed(self.newest)]
        return self.backend.render(self.backend.relate(context), self._t)

    def _now(self, clock: Clock) -> float:
        if self.backend.device.startswith("cuda"):
            torch.cuda.synchronize(self.backend.device)
        return clock.wall()


def race(
    runners: Sequence[Runner], runs: int, *, clock: Clock = REAL, watch: Callable[[int], None] | None = None
) -> list[list[Lap]]:
    """Laps of every runner, in turns; each round begins with another one.

    Args:
        runners: warm. runs: laps of each.
        clock: what tells the time.
        watch: told how many laps of all are done.

    Raises:
        BadOption: less than one lap is asked for.
    """
    if runs < 1:
        raise BadOption(f"--runs {runs}", "at least one is needed", "--runs 7")
    laps: list[list[Lap]] = [[] for _ in runners]
    done = 0
    for turn in range(runs):
        for k in range(len(runners)):
            who = (turn + k) % len(runners)
            laps[who].append(runners[who].lap(clock))
            done += 1
            if watch is not None:
                watch(done)
    return laps


def row_of(runner: Runner, laps: Sequence[Lap], yardstick: Sequence[Lap] = ()) -> SpeedRow:
    """What a runner's laps say.

    Args:
        laps: at least one.
        yardstick: laps of who it is held against, of the same race; none where there is nobody.
    """
    walls = [1000 * lap.wall for lap in laps]
    ms, cpu_ms = statistics.median(walls), 1000 * statistics.median(lap.cpu for lap in laps)
    low, high = quartiles(walls)
    row = SpeedRow(
        model=runner.name,
        backend=runner.backend,
        precision=runner.precision,
        device=runner.device,
        weights=runner.weights,
        parameters=runner.cost.parameters if runner.cost else 0,
        gmacs=runner.cost.macs / 1e9 if runner.cost else 0.0,
        runs=len(laps),
        ms=ms,
        ms_low=low,
        ms_high=high,
        cpu_ms=cpu_ms,
        fps=1000 / ms,
        peak_memory_mb=runner.peak_memory_mb,
        start_s=runner.start_s,
    )
    if all(lap.parts for lap in laps):
        parts = {name: 1000 * statistics.median(lap.parts[name] for lap in laps) for name in laps[0].parts}
        row.embed_ms, row.relate_ms, row.render_ms = parts["embed"], parts["relate"], parts["render"]
        row.ms_x8 = 1000 * statistics.median(_eightfold(lap, runner.is_midpoint) for lap in laps)
        row.fps_x8 = 7000 / row.ms_x8
    if yardstick:
        row.ratio = 1000 * statistics.median(lap.wall for lap in yardstick) / ms
        row.cpu_ratio = 1000 * statistics.median(lap.cpu for lap in yardstick) / cpu_ms if cpu_ms else None
    return row


def _eightfold(lap: Lap, is_midpoint: bool) -> float:
    """Seconds of a gap at x8."""
    return 7 * lap.wall if is_midpoint else lap.wall + 6 * lap.parts["render"]


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """What a quarter of the values stays below, and above; both ends of fewer than four."""
    if len(values) < 4:
        return min(values), max(values)
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


def likeness(ours: Tensor, theirs: Tensor) -> float:
    """PSNR of two pictures in [0, 1], dB; 200 for equal ones."""
    error = float(((ours.double() - theirs.double()) ** 2).mean())
    return 200.0 if error <= 1e-20 else float(-10 * torch.log10(torch.tensor(error, dtype=torch.float64)))


HEAD: Final = (
    "model", "backend", "precision", "ms", "embed", "relate", "render", "fps", "fps x8", "ratio", "MB", "clip fps",
)  # fmt: skip


def markdown(rows: Iterable[SpeedRow]) -> str:
    """The rows as docs/benchmarks.md has them."""
    lines = [f"| {' | '.join(HEAD)} |", "|---|---|---|" + "--:|" * (len(HEAD) - 3)]
    lines += [f"| {' | '.join(cells(row))} |" for row in rows]
    return "\n".join(lines)


def cells(row: SpeedRow) -> list[str]:
    """A row as text, in the order of `HEAD`."""
    name = f"{row.model} (random weights)" if row.weights == "random" else row.model
    numbers = [
        *(_ms(part) for part in (row.embed_ms, row.relate_ms, row.render_ms)),
        *(_rate(rate) for rate in (row.fps, row.fps_x8, row.ratio)),
        "" if row.peak_memory_mb is None else f"{row.peak_memory_mb:.0f}",
        _rate(row.clip_fps),
    ]
    return [name, row.backend, row.precision, f"{_ms(row.ms)} ({_ms(row.ms_low)} to {_ms(row.ms_high)})", *numbers]


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.2f}"
