"""What a live run counts, and what it tells of it."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Final

from .ladder import Window
from .pace import Clock
from .stage import Stage

SPAN_S: Final = 2  # seconds that "frames a second" looks back
LATENCIES: Final = 100_000  # of the last pictures: at 60 a second, half an hour


@dataclass(frozen=True)
class Stats:
    """How a live run goes.

    Attributes:
        seconds: since the first frame. rate: pictures a second that are wanted.
        fps_in, fps_out: frames and pictures a second, of the last two seconds; mean_fps_in, mean_fps_out: of all.
        frames_in: frames that came; skipped: of these, the ones that a newer one replaced before they were looked at.
        wanted: pictures that were due; shown, dropped: of these; what remains is on its way.
        late: of those shown, the ones that came more than half a tick after they were due.
        made: of all pictures, those that a model made (the others are source frames, or held).
        latency_ms, latency_p95_ms: from the moment before the camera to the picture's showing, median and 95th
            percentile; negative where the picture was shown before. None before the first.
        gap_ms: between two source frames.
        model, backend, size: what runs, and (H, W) of its pictures.
        busy: share of the last second that the work took.
        steps: in words, how the model and the size were changed.
    """

    seconds: float
    rate: float
    fps_in: float
    fps_out: float
    mean_fps_in: float
    mean_fps_out: float
    frames_in: int
    skipped: int
    wanted: int
    shown: int
    dropped: int
    late: int
    made: int
    cuts: int
    latency_ms: float | None
    latency_p95_ms: float | None
    gap_ms: float
    model: str
    backend: str
    size: tuple[int, int]
    busy: float
    steps: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """A dict for `--json`: plain numbers and text."""
        return {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(self).items()}


class Counts:
    """Counts, as it goes on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.frames_in = self.skipped = self.wanted = self.shown = self.dropped = self.late = self.made = 0
        self._begun: Fraction | None = None
        self._in: deque[Fraction] = deque()
        self._out: deque[Fraction] = deque()
        self._latencies: deque[float] = deque(maxlen=LATENCIES)
        self._second_began: Fraction | None = None
        self._before = (0, 0, 0)  # wanted, dropped, skipped when the second began
        self._busy = Fraction(0)
        self.busy = 0.0

    def came(self, *, was_waiting: bool) -> None:
        """A frame came; another one may have waited in its place."""
        moment = self._clock()
        self._begun = moment if self._begun is None else self._begun
        self.frames_in += 1
        self.skipped += was_waiting
        self._in.append(moment)
        _trim(self._in, moment)

    def worked(self, seconds: Fraction, *, made: bool = False) -> None:
        """The worker was busy for so long."""
        self._busy += seconds
        self.made += made

    def drop(self, pictures: int = 1) -> None:
        """Pictures that were wanted will not be shown."""
        self.dropped += pictures

    def seen(self, latency: Fraction) -> None:
        """A picture got visible so many seconds after its instant."""
        self._latencies.append(float(latency))

    def show(self, *, is_late: bool) -> None:
        """A picture is shown."""
        moment = self._clock()
        self.shown += 1
        self.late += is_late
        self._out.append(moment)
        _trim(self._out, moment)

    def second(self, pictures_a_frame: Fraction) -> Window | None:
        """What a second brought, once it is over; a skipped frame counts as the pictures that it would have brought."""
        moment = self._clock()
        if self._second_began is None:
            self._second_began = moment
        length = moment - self._second_began
        if length < 1:
            return None
        here = self.wanted, self.dropped, self.skipped
        wanted, dropped, skipped = (a - b for a, b in zip(here, self._before, strict=True))
        self.busy = float(self._busy / length)
        self._second_began, self._before, self._busy = moment, here, Fraction(0)
        return Window(wanted, dropped + round(skipped * pictures_a_frame), self.busy)

    def stats(self, stage: Stage, *, gap: Fraction, rate: Fraction) -> Stats:
        """All of it."""
        moment = self._clock()
        gaps = stage.gaps
        seconds = float(moment - self._begun) if self._begun is not None else 0.0
        latencies = sorted(self._latencies)
        return Stats(
            seconds=seconds,
            rate=float(rate),
            fps_in=_recent(self._in, moment),
            fps_out=_recent(self._out, moment),
            mean_fps_in=self.frames_in / seconds if seconds else 0.0,
            mean_fps_out=self.shown / seconds if seconds else 0.0,
            frames_in=self.frames_in,
            skipped=self.skipped,
            wanted=self.wanted,
            shown=self.shown,
            dropped=self.dropped,
            late=self.late,
            made=self.made,
            cuts=stage.found_cuts,
            latency_ms=_percentile_ms(latencies, 0.5),
            latency_p95_ms=_percentile_ms(latencies, 0.95),
            gap_ms=float(gap * 1000),
            model=stage.rung.model,
            backend="" if gaps is None else f"{(runs := gaps.backend).name} on {runs.device}, {runs.precision}",
            size=(0, 0) if gaps is None else gaps.size,
            busy=self.busy,
            steps=tuple(stage.steps),
        )


def _trim(moments: deque[Fraction], moment: Fraction) -> None:
    while moments and moments[0] <= moment - SPAN_S:
        moments.popleft()


def _recent(moments: deque[Fraction], moment: Fraction) -> float:
    """A second, over the last SPAN_S seconds or since the first."""
    found = [one for one in moments if one > moment - SPAN_S]
    return (len(found) - 1) / float(found[-1] - found[0]) if len(found) > 1 and found[-1] > found[0] else 0.0


def _percentile_ms(ordered: list[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else None
