"""Live: the newest frame wins, every picture has a deadline, and what would be late is not made.

    capture thread         worker thread                    whoever shows
    push(frame) --> [newest] --> gap --> picture --> [ready] --> take(): what is due by now

Nothing queues up: a frame that nobody looked at gives way to the next one, a picture that cannot be there before the
next one is due is not begun, and of several that are due only the newest is shown. All three are counted.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Final

from torch import Tensor

from ..frame import Frame
from ..timeline import Instant
from .gaps import Gap, Picture
from .ladder import Rung
from .live_stats import Counts, Stats
from .pace import Clock, Pace, now
from .stage import Build, Stage

LONGEST_GAP_S: Final = 1  # seconds without a frame after which what comes is no sequel (of slow sources: GAPS gaps)
GAPS: Final = 4
NEWER: Final = Fraction(1, 4)  # how fast the estimate of the work follows
FORGIVING: Final = Fraction(97, 100)  # of it is left each time it forbids a gap's pictures: it is tried again
WORD_S: Final = 0.5  # how soon a waiting thread notices that all is over


@dataclass(frozen=True)
class Shown:
    """A picture whose time has come.

    Attributes:
        frame: the picture, of the inner size; its pts is its own time on the source's clock.
        original: the source frame of that time, as it was captured: what is seen without us.
        made: a model made it; else it is a source frame, or one that is held.
        flow: motion over the gap, `[2, H, W]` pixels of `frame` (x, y), where `LiveRun.look` asks for it and the model
            tells one.
        due: when it was to be shown; instant: when its instant was before the camera. Both on the run's clock; None
            while it is paused.
        rung: the model and the scale that made it.
    """

    frame: Frame
    original: Frame
    made: bool
    flow: Tensor | None
    due: Fraction | None
    instant: Fraction | None
    rung: Rung


@dataclass
class _Ready:
    picture: Picture
    original: Frame
    rung: Rung


class LiveRun:
    """Frames in as they are captured, pictures out when they are due.

        with live_run(LiveConfig(), source_rate=Fraction(30)) as run:     # pipeline/live_start.py
            run.push(frame)                    # from any thread; never waits. frame.pts: the source's own clock
            shown = run.take(timeout_s=0.1)    # from one thread; None if nothing got due meanwhile
            run.showed(shown)                  # once it can be seen: this is where latency is measured
            run.latest()                       # from any thread: what was shown last
            run.stats()

    Args:
        build: makes a backend for a rung and a size (H, W); it runs on a thread of its own, or at the first frame.
        rungs: what may run, the best first. Without `hold_rate` only the first one is used.
        rate: pictures a second to show; source_rate: frames a second that will be pushed, about.
        predict: show the time after the newest frame instead of that between two.
        hold_rate: step down the rungs where pictures go missing, up again where there is time.
        cuts: look for scene cuts.
        say: told in words of every step.
        clock: seconds, exact and never running back.

    Attributes:
        look: set it to get flows.
        is_paused: nothing is shown but by `step`.
        is_over: `finish` was called and all was shown.

    Raises:
        TweenError: in `take`, `work` or at the end of the `with` block, whatever stopped the work.
    """

    def __init__(
        self,
        build: Build,
        rungs: Sequence[Rung],
        *,
        rate: Fraction,
        source_rate: Fraction,
        predict: bool = False,
        hold_rate: bool = False,
        cuts: bool = True,
        say: Callable[[str], None] | None = None,
        clock: Clock = now,
    ) -> None:
        self.rate, self.source_rate, self.predict = rate, source_rate, predict
        self.tick = 1 / rate
        self.look = self.is_paused = self.is_over = False
        self.counts = Counts(clock)
        self.pace = Pace(self.tick, 1 / source_rate, ahead=0 if predict else 1)
        self._stage = Stage(build, rungs, hold_rate=hold_rate, cuts=cuts, say=say)
        self._clock = clock
        self._change = threading.Condition()
        self._inbox: Frame | None = None
        self._todo: deque[tuple[Gap, Instant]] = deque()
        self._ready: deque[_Ready] = deque()
        self._origin: Fraction | None = None
        self._cost = {True: Fraction(0), False: Fraction(0)}  # seconds: of a gap's first picture, of another
        self._steps = self._admitted = self._era = 0  # the era ends with a pause: what was begun in it is not shown
        self._is_ending = self._is_ended = self._is_stopped = False
        self._planned: Fraction | None = None  # pts of the last picture that was planned
        self._has_shown = False  # a picture of the gap that is being worked on
        self._latest: Shown | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    # ---- frames in

    def push(self, frame: Frame, captured_at: Fraction | None = None) -> None:
        """Give the newest frame; one that was given before and is still waiting is forgotten.

        Args:
            frame: its pts grows from frame to frame, seconds of the source's own clock.
            captured_at: when it was captured, on this run's clock; None is now.
        """
        with self._change:
            if self._is_stopped or (self.is_paused and self._admitted == 0):
                return
            self._admitted = max(0, self._admitted - 1)
            self.counts.came(was_waiting=self._inbox is not None)
            self.pace.came(frame.pts, self._clock() if captured_at is None else captured_at)
            self._inbox = frame
            self._change.notify_all()

    def finish(self) -> None:
        """No frame comes any more: what is there is shown to its end."""
        with self._change:
            self._is_ending = True
            self._change.notify_all()

    def fail(self, error: BaseException) -> None:
        """Whoever gives frames cannot go on: `take` raises this."""
        with self._change:
            self._error = error
            self._change.notify_all()

    def wants(self, timeout_s: float | None = None) -> bool:
        """Wait until a frame would be taken in (which is always, but while it is paused); False if it would not."""
        with self._change:
            self._change.wait_for(lambda: self._is_stopped or not self.is_paused or self._admitted > 0, timeout_s)
            return not self._is_stopped and (not self.is_paused or self._admitted > 0)

    # ---- pictures out

    def take(self, timeout_s: float = 0.0) -> Shown | None:
        """The newest picture that is due, waited for at most so long; the older ones that nobody took are dropped."""
        until = self._clock() + Fraction(timeout_s)
        with self._change:
            while True:
                if self._error is not None:
                    raise self._error
                shown = self._stepped() if self.is_paused else self._due()
                left = until - self._clock()
                if shown is not None or self.is_over or left <= 0:
                    return shown
                self._change.wait(float(min(left, self._until_next())))

    def showed(self, shown: Shown) -> None:
        """A picture that was taken can be seen now: its latency ends here."""
        if shown.instant is not None:
            with self._change:
                self.counts.seen(self._clock() - shown.instant)

    def latest(self) -> Shown | None:
        """What was taken last, by whomever."""
        return self._latest

    def pause(self, paused: bool) -> None:
        """Hold what is shown, or go on from there; frames that come meanwhile are not looked at."""
        with self._change:
            self.is_paused = paused
            self._steps = self._admitted = 0
            if not paused:
                self._era += 1
                self.counts.drop(len(self._ready) + len(self._todo))
                self._ready.clear()
                self._todo.clear()
                self._inbox = None
                self.pace.restart()
            self._change.notify_all()

    def step(self) -> None:
        """While paused: show the next picture."""
        with self._change:
            self._steps += 1
            self._change.notify_all()

    def stats(self) -> Stats:
        """How it goes."""
        with self._change:
            return self.counts.stats(self._stage, gap=self.pace.gap, rate=self.rate)

    # ---- the work

    def work(self) -> bool:
        """Do one thing: make a picture, or look at the newest frame. False if there was nothing to do."""
        second = None if self.is_paused else self.counts.second(self.rate / self.source_rate)
        if self._stage.judge(second):
            self._cost = dict.fromkeys(self._cost, Fraction(0))
        with self._change:
            is_new = self._inbox is not None and (self.predict or not self._todo)
            came, task = self._inbox if is_new else None, None
            if is_new:
                self._inbox = None
            elif self._todo:
                task = (*self._todo.popleft(), self._era)
        if came is not None:
            self._see(came)
        elif task is not None:
            self._make(*task)
        elif self._is_ending:
            self._end()
        else:
            return False
        return True

    def __enter__(self) -> LiveRun:
        self._thread = threading.Thread(target=self._run, name="tween-live", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._change:
            self._is_stopped = True
            self._change.notify_all()
        if self._thread is not None:
            self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._is_stopped:
                if not self.work():
                    with self._change:
                        self._change.wait_for(lambda: self._is_stopped or self._has_work(), WORD_S)
        except BaseException as error:
            self.fail(error)

    def _has_work(self) -> bool:
        return bool(self._todo) or self._inbox is not None or (self._is_ending and not self.is_over)

    def _see(self, frame: Frame) -> None:
        """Take in a frame: the pictures up to it can be made now, or those after it."""
        begun = self._clock()
        gaps = self._stage.gaps_for(frame.size)
        before = gaps.newest
        self.pace.ahead = gaps.backend.spec.context[-1]
        step = None if before is None else frame.pts - before.original.pts
        if step is not None and not 0 < step <= max(Fraction(LONGEST_GAP_S), GAPS / self.source_rate):
            gaps.forget()
        gap = gaps.take(frame)
        if gap is not None:
            with self._change:
                self._plan(gap)
        self.counts.worked(self._clock() - begun)

    def _plan(self, gap: Gap) -> None:
        begin = gap.a.original.pts
        if self.predict:
            self.counts.drop(len(self._todo))  # what was foretold of a time that has come is of no use
            self._todo.clear()
        end = begin + self.pace.gap if gap.b is None else gap.b.original.pts
        instants = [one for one in self._instants(begin, end) if self._planned is None or one.pts > self._planned]
        if not instants:
            return
        if self.predict and self._planned is not None:  # a frame came later than foretold: nothing was shown meanwhile
            missing = max(0, round((instants[0].pts - self._planned) * self.rate) - 1)
            self.counts.wanted += missing
            self.counts.drop(missing)
        self._planned, self._has_shown = instants[-1].pts, False
        self.counts.wanted += len(instants)
        self._todo.extend((gap, instant) for instant in instants)

    def _instants(self, a: Fraction, b: Fraction) -> list[Instant]:
        """The output's ticks in [a, b), or, predicting, in (a, b]."""
        self._origin = a if self._origin is None else self._origin
        begin, end = ((pts - self._origin) * self.rate for pts in (a, b))
        ks = (
            range(math.floor(begin) + 1, math.floor(end) + 1)
            if self.predict
            else range(math.ceil(begin), math.ceil(end))
        )
        return [Instant(pts, (pts - a) / (b - a)) for pts in (self._origin + k / self.rate for k in ks)]

    def _make(self, gap: Gap, instant: Instant, era: int) -> None:
        """Make a picture, if there is time for it."""
        begun, is_first, is_free = self._clock(), not gap.is_begun, gap.is_free(instant.t)
        cost = Fraction(0) if is_free else self._cost[is_first]
        if gap.is_known(instant.t) and not self._is_too_late(instant, begun + cost):
            picture = gap.picture(instant.pts, instant.t, look=self.look)
        else:
            with self._change:
                self._cost[is_first] *= 1 if self._todo else FORGIVING
                if self._todo or self._has_shown:
                    self.counts.drop()
                    return
            is_free, picture = True, gap.newest(instant.pts)  # nothing of the gap was in time: at least where it ends
        ended = self._clock()
        if not is_free:
            self._cost[is_first] += (ended - begun - self._cost[is_first]) * NEWER
            self._cost[is_first] = self._cost[is_first].limit_denominator(10**6)
        with self._change:
            self.counts.worked(ended - begun, made=picture.made)
            if era != self._era:
                self.counts.drop()
                return
            self._has_shown = True
            self.pace.done(instant.pts, ended)
            self._ready.append(_Ready(picture, gap.a.original, self._stage.rung))
            self._change.notify_all()

    def _is_too_late(self, instant: Instant, ready_at: Fraction) -> bool:
        """Whether the next picture is due before this one can be there."""
        with self._change:
            if self.is_paused or ready_at <= self.pace.due(instant.pts) + self.tick:
                return False
            self.pace.done(instant.pts, ready_at)
            return True

    def _end(self) -> None:
        """After the last frame: what waited for more of them, then the last frame itself."""
        gaps = self._stage.gaps
        with self._change:
            self._is_ending, self._is_ended = False, True
            if gaps is not None and not self.predict:
                for gap in (*gaps.rest(), gaps.last()):
                    if gap is not None:
                        self._plan(gap)
            self._change.notify_all()

    # ---- what is due (with `_change` held)

    def _due(self) -> Shown | None:
        """The newest picture that is due; those before it are dropped."""
        moment, found = self._clock(), None
        while self._ready and self.pace.due(self._ready[0].picture.frame.pts) <= moment:
            if found is not None:
                self.counts.drop()
            found = self._ready.popleft()
        if found is None:
            self._is_done()
            return None
        pts = found.picture.frame.pts
        due = self.pace.due(pts)
        return self._showing(found, due, self.pace.at(pts), is_late=moment - due > self.tick / 2)

    def _stepped(self) -> Shown | None:
        if self._steps == 0:
            return None
        if not self._ready:
            if not self._has_work():
                self._admitted = 1
                self._change.notify_all()
            return None
        self._steps -= 1
        return self._showing(self._ready.popleft(), None, None, is_late=False)

    def _showing(self, found: _Ready, due: Fraction | None, instant: Fraction | None, *, is_late: bool) -> Shown:
        self.counts.show(is_late=is_late)
        picture = found.picture
        self._latest = Shown(picture.frame, found.original, picture.made, picture.flow, due, instant, found.rung)
        return self._latest

    def _until_next(self) -> Fraction:
        """Seconds until something gets due, or somebody has to look again."""
        if self.is_paused or not self._ready:
            return Fraction(WORD_S)
        return max(Fraction(0), self.pace.due(self._ready[0].picture.frame.pts) - self._clock())

    def _is_done(self) -> None:
        self.is_over = self.is_over or (self._is_ended and not self._ready and not self._todo)
