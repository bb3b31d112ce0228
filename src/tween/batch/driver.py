"""Films in, tasks out, pieces back: who renders what, and what becomes of what goes wrong.

An input that cannot be rendered fails alone. What a machine could not do (its disk is full, it died) another one does.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from .. import __version__
from ..errors import Busy, TweenError
from ..pipeline.config import RenderConfig
from ..pipeline.part import PartReport
from ..pipeline.recipe import Report
from .film import Film, Result, spans
from .films import Ledger
from .messages import Failed, Finished, Frames, Hand, Lost, Made, Message, Ready, Task
from .pool import Pool

TRIES = 3  # at the same segment of a film, before it is the film's fault
STRIKES = 2  # failures of one machine in a row, before it is left out
JOINERS = 2  # films that are joined at the same time, beside the rendering
AHEAD = 2  # tasks that wait for each worker
POLL_S = 0.25


@dataclass
class Totals:
    """What a batch did.

    Attributes:
        films: in the order in which they were asked for. workers: as they were at the end.
        seconds: of wall time, from the first task on; starting_s: before it, for workers and models.
        busy_s: of all workers' time, in tasks.
        notes: about workers.
    """

    films: list[Result] = field(default_factory=list)
    workers: list[Hand] = field(default_factory=list)
    seconds: float = 0.0
    starting_s: float = 0.0
    busy_s: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """1 if a film failed, or was damaged."""
        return int(any(film.state == "failed" or film.damage for film in self.films))


Watch = Callable[["Driver", "Film | None"], None]


class Driver:
    """One batch.

    Args:
        configs: of the films.
        pool: of workers, just started.
        ledger: of what is finished in the outputs' folder.
        length: segments in a part, where the user said.
        watch: told of each film that is settled, and now and then of none.
    """

    def __init__(
        self,
        configs: list[RenderConfig],
        pool: Pool,
        ledger: Ledger,
        *,
        length: int | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.films = [Film(number, config) for number, config in enumerate(configs)]
        self.hands = [Hand(slot) for slot in range(pool.size)]
        self.notes: list[str] = []
        self.begun = time.monotonic()
        self._pool, self._ledger, self._length, self._watch = pool, ledger, length, watch
        self._like: Ready | None = None  # what every worker has to be like
        self._queue: list[tuple[int, int, int, Task]] = []
        self._running: dict[int, Task] = {}
        self._begun_at: dict[int, int] = {}  # task -> the segment that it makes now
        self._tasks = 0
        self._tried: Counter[tuple[int, int]] = Counter()  # (film, segment) -> failures
        self._failed_on: dict[tuple[int, int], set[int]] = {}
        self._unopened = list(reversed(self.films))
        self._joiners = ThreadPoolExecutor(JOINERS, thread_name_prefix="tween-join")
        self._joining: dict[Future[None], Film] = {}
        self._working_since: float | None = None

    def run(self) -> Totals:
        """Render all films. Only a fault of ours, or Ctrl-C, ends it early; then workers are stopped, and nothing that
        is finished is lost."""
        try:
            while not all(film.is_settled for film in self.films):
                self._step()
        finally:
            self._pool.stop()
            self._joiners.shutdown(wait=True)
            for future, film in self._joining.items():
                self._joined(film, future)
            for film in self.films:
                film.close()
        return self._totals()

    def _step(self) -> None:
        if self._like is not None:
            self._open_more()
            self._give()
        if not any(not hand.left_out for hand in self.hands):
            self._give_up()
        said = self._pool.next(POLL_S)
        while said is not None:
            self._hear(self.hands[said[0]], said[1])
            said = self._pool.next(0.0)
        for future in [future for future in self._joining if future.done()]:
            self._joined(self._joining.pop(future), future)
        self._tell(None)

    def _totals(self) -> Totals:
        now = time.monotonic()
        since = self._working_since or now
        busy = sum(hand.busy_s for hand in self.hands)
        return Totals(
            [film.result() for film in self.films], self.hands, now - since, since - self.begun, busy, self.notes
        )

    def _tell(self, film: Film | None) -> None:
        if self._watch is not None:
            self._watch(self, film)

    # Films

    def _open_more(self) -> None:
        """Keep a few tasks waiting, and no more: an open film holds files."""
        wanted = AHEAD * sum(not hand.left_out for hand in self.hands)
        while self._unopened and len(self._queue) < wanted:
            film = self._unopened.pop()
            if self._ledger.has(film.config) and not film.config.overwrite:
                film.state = "skipped"
                self._tell(film)
                continue
            self._guarded(film, lambda film=film: self._open(film))  # type: ignore[misc]

    def _open(self, film: Film) -> None:
        assert self._like is not None
        hands = [hand for hand in self.hands if not hand.left_out]
        is_shared = all(hand.ready is None or hand.ready.sees_storage for hand in hands)
        film.open(self._like, workers=len(hands), length=self._length, is_shared=is_shared)
        if not film.output.exists():
            self._ledger.begin(film.config)
        if film.is_whole:
            self._put(Task(self._next_id(), film.number, film.config), 2)
        else:
            self._refill(film)

    def _refill(self, film: Film) -> None:
        """Tasks for what of a film nobody makes; its joining, where nothing is missing."""
        if film.state != "rendering" or film.is_whole:
            return
        tasks = [task for *_, task in self._queue if task.film == film.number]
        tasks += [task for task in self._running.values() if task.film == film.number]
        if film.is_complete:
            self._forget(film)
            film.state = "joining"
            self._joining[self._joiners.submit(film.join)] = film
            return
        if film.is_guessing:
            taken = {
                number
                for task in tasks
                if task.part is not None
                for number in spans(task.part, film.past)
                if number >= self._begun_at.get(task.id, 0)
            }
        else:
            self._queue = [row for row in self._queue if row[3].film != film.number or not _is_guess(row[3])]
            heapq.heapify(self._queue)
            taken = {0 for task in tasks if not _is_guess(task)}
        for part in film.parts(taken):
            is_again = self._tried[film.number, part.number] > 0 or not part.is_guess
            self._put(Task(self._next_id(), film.number, film.config, part), 1 if is_again else 2)

    def _put(self, task: Task, priority: int) -> None:
        """What others wait for comes first, then films in their order, then a film's beginning."""
        heapq.heappush(self._queue, (priority, task.film, task.id, task))

    def _next_id(self) -> int:
        self._tasks += 1
        return self._tasks

    def _forget(self, film: Film) -> None:
        self._queue = [row for row in self._queue if row[3].film != film.number]
        heapq.heapify(self._queue)

    def _guarded(self, film: Film, act: Callable[[], None]) -> None:
        """What goes wrong with one film is that film's alone."""
        try:
            act()
        except Exception as error:
            known = error if isinstance(error, TweenError) else TweenError(f"{type(error).__name__}: {error}")
            self._fail(film, known)

    def _fail(self, film: Film, error: TweenError) -> None:
        if film.is_settled:
            return
        self._forget(film)
        film.fail(error)
        self._tell(film)

    def _joined(self, film: Film, future: Future[None]) -> None:
        def done() -> None:
            future.result()
            self._settle(film)

        self._guarded(film, done)

    def _settle(self, film: Film) -> None:
        film.state = "done"
        self._ledger.add(film.config)
        film.close()
        self._tell(film)

    def _give_up(self) -> None:
        why = "; ".join(dict.fromkeys(hand.left_out for hand in self.hands))
        for film in self.films:
            self._fail(film, TweenError(f"no worker is left ({why})"))

    # Workers

    def _give(self) -> None:
        for hand in self.hands:
            if hand.ready is None or hand.task is not None or hand.left_out:
                continue
            if (task := self._next_for(hand)) is None:
                continue
            hand.task, hand.since = task, time.monotonic()
            self._working_since = self._working_since or hand.since
            self._running[task.id] = task
            self._begun_at[task.id] = 0 if task.part is None else task.part.number
            self._pool.give(hand.slot, task)

    def _next_for(self, hand: Hand) -> Task | None:
        """The first task that did not fail on this worker already; if all did, the first, unless others may take it."""
        waiting = sorted(self._queue)
        others = [other for other in self.hands if not other.left_out and other is not hand]
        for row in waiting:
            failed = self._failed_on.get(_key(row[3]), set())
            if hand.slot not in failed or all(other.slot in failed for other in others):
                self._queue.remove(row)
                heapq.heapify(self._queue)
                return row[3]
        return None

    def _hear(self, hand: Hand, message: Message) -> None:
        if isinstance(message, Ready):
            self._meet(hand, message)
        elif isinstance(message, Lost):
            self._lost(hand, message)
        elif isinstance(message, Failed) and message.task < 0:
            self._leave_out(hand, str(message.error))
        elif hand.task is None or message.task != hand.task.id:
            return
        elif isinstance(message, Frames):
            hand.frames += message.count
            film = self.films[hand.task.film]
            film.underway[message.task] = film.underway.get(message.task, 0) + message.count
        elif isinstance(message, Made):
            self._take(hand, hand.task, message)
        elif isinstance(message, Finished):
            self._finished(hand, self._released(hand), message)
        else:
            self._failed(hand, self._released(hand), message)

    def _meet(self, hand: Hand, ready: Ready) -> None:
        """All workers run the same: else a film would change from part to part."""
        if self._like is None and ready.version == __version__:
            self._like = ready
        hand.ready = ready
        if ready.version != __version__:
            self._leave_out(hand, f"{ready.host} has tween {ready.version}, this machine {__version__}")
        elif self._like is not None and _kind(ready) != _kind(self._like):
            self._leave_out(hand, f"{ready.host} runs {ready.runs}, others {self._like.runs}")

    def _leave_out(self, hand: Hand, why: str) -> None:
        hand.left_out = why
        self.notes.append(f"worker {hand.slot} is left out: {why}")
        self._pool.dismiss(hand.slot)

    def _take(self, hand: Hand, task: Task, made: Made) -> None:
        film = self.films[task.film]
        hand.strikes = hand.deaths = 0
        self._begun_at[task.id] = made.piece.number + 1
        film.underway.pop(task.id, None)
        if film.state != "rendering":
            return
        wrong = film.wrong
        self._guarded(film, lambda: film.take(made, is_guess=_is_guess(task)))
        if film.is_complete or film.wrong > wrong:
            self._guarded(film, lambda: self._refill(film))

    def _finished(self, hand: Hand, task: Task, message: Finished) -> None:
        hand.strikes = hand.deaths = 0
        film, report = self.films[task.film], message.report
        if film.is_settled:
            return
        film.seconds += report.seconds
        film.notes += report.notes
        film.damage = film.damage or report.damage
        if isinstance(report, Report):
            film.frames, film.resumed = report.frames_out, report.resumed
            self._guarded(film, lambda: self._settle(film))
        else:
            assert isinstance(report, PartReport)
            self._guarded(film, lambda: self._refill(film))

    def _failed(self, hand: Hand, task: Task, message: Failed) -> None:
        film = self.films[task.film]
        if message.kind == "machine" and not isinstance(message.error, Busy):
            hand.strikes += 1
            if hand.strikes >= STRIKES and any(h is not hand and not h.left_out for h in self.hands):
                self._leave_out(hand, str(message.error))
        if film.state != "rendering":
            return
        if message.kind == "input" and _is_guess(task):
            film.distrust()
        elif message.kind == "input":
            self._fail(film, message.error)
            return
        else:
            self._again(hand, task, film, message.error)
        self._guarded(film, lambda: self._refill(film))

    def _lost(self, hand: Hand, message: Lost) -> None:
        hand.ready = None
        hand.deaths += 1
        if hand.task is not None:
            task = self._released(hand)
            film = self.films[task.film]
            where = f"worker {hand.slot} died while it rendered {film.name}: {message.why}"
            self.notes.append(where)
            if film.state == "rendering":
                self._again(hand, task, film, TweenError(where))
                self._guarded(film, lambda: self._refill(film))
        if hand.deaths > TRIES:
            self._leave_out(hand, f"it died {hand.deaths} times ({message.why})")
        elif not hand.left_out:
            self._pool.replace(hand.slot)

    def _again(self, hand: Hand, task: Task, film: Film, error: TweenError) -> None:
        """What a machine could not do is tried again, elsewhere if there is one; not for ever."""
        key = (film.number, self._begun_at[task.id])
        self._tried[key] += 1
        self._failed_on.setdefault(key, set()).add(hand.slot)
        if self._tried[key] >= TRIES:
            self._fail(film, error)
        elif film.is_whole:
            self._put(Task(self._next_id(), film.number, film.config), 1)

    def _released(self, hand: Hand) -> Task:
        task, hand.task = hand.task, None
        assert task is not None
        hand.busy_s += time.monotonic() - hand.since
        self._running.pop(task.id, None)
        self.films[task.film].underway.pop(task.id, None)
        return task


def _key(task: Task) -> tuple[int, int]:
    return task.film, 0 if task.part is None else task.part.number


def _is_guess(task: Task) -> bool:
    return task.part is not None and task.part.is_guess


def _kind(ready: Ready) -> tuple[str, str]:
    return ready.runs.replace(ready.device, ready.device.partition(":")[0]), ready.model
