"""A model on a set, by a protocol: read | show | judge.

   reader threads              caller's thread                        workers
   pictures of a gap  --> embed, relate, render, in order  -->  one picture's scores  --> rows, in order

   small pictures of clips that share nothing:                        workers, side by side
                      ---------------------------------------->  embed, relate, render, score  --> rows, in order

The queues are bounded, so that memory does not grow with the set, and reading and judging hide behind the model.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

import torch

from ..backends.backend import Backend
from ..data.layouts import DataSet
from ..errors import BrokenPicture
from ..models.model import Model
from ..stopwatch import Stopwatch
from .engine import Engine, at_rest, engine_of
from .judge import Judge
from .plan import gap_of, suits
from .protocols import Protocol, recipe_for
from .reading import Job, Pictures, Read, are_apart, jobs_of, pool, read_ahead, readers_for
from .result import Case, Observer, Result
from .show import Show, Stage, judged

WAITING: Final = 4  # pictures whose scores may be outstanding
SIDE_BY_SIDE: Final = 4  # gaps at most that are shown at once
SMALL_PICTURE: Final = 640 * 480  # pixels, up to which they may be
Watch = Callable[[int, int], None]  # pictures done, pictures in all


def score(
    model: Model | Backend | Engine,
    data: DataSet,
    protocol: Protocol,
    *,
    metrics: Sequence[str] = (),
    gap: int | None = None,
    limit: int | None = None,
    name: str = "",
    observer: Observer | None = None,
    watch: Watch | None = None,
) -> Result:
    """The scores of a model on a set.

    A model that is given as such runs where it is, without gradients, in eval mode; it is left in the mode it was in.
    A frame is embedded once and a gap related once, however many instants are asked of it. Where a predictor knows
    only the next step, it reaches the others by being shown its own.

    Args:
        model: a model, a backend (which must take every size of the set), or an engine.
        data: from `open_set`. protocol: from `protocol_of`, perhaps changed by `dataclasses.replace`.
        metrics: names of `metrics.table.METRICS`, or `epe`; none takes the protocol's. PSNR of equal pictures counts
            as 100 dB.
        gap: source frames a gap, where the protocol leaves it open.
        limit: so many clips, spread evenly over the set.
        name: of the model, for tables.
        observer: told of every picture with its scores, in order.
        watch: told how far it is.

    Raises:
        BadOption: the model or a metric does not suit the protocol. TooShort: a context does not fit.
        UnknownTime: the model knows only the middle. BrokenPicture: not one picture could be scored.
    """
    engine = engine_of(model, name)
    judge, jobs = prepared(engine, data, protocol, metrics=metrics, gap=gap, limit=limit)
    total = sum(len(job.gap.targets) for job in jobs)
    found = Result(engine.name, protocol.name, notes=[*data.notes])
    found.notes += notes(protocol, engine)
    found.is_prediction = engine.spec.predicts
    begun = time.perf_counter()
    may_share = are_apart(jobs) and all(len(job.gap.targets) == 1 for job in jobs)
    clock = Stopwatch()
    with at_rest(model), pool(readers_for(jobs)) as readers, pool(SIDE_BY_SIDE if may_share else 1) as workers:
        run = _Run(Show(engine, protocol, judge, clock, observer is not None), found, may_share)
        for done, case in enumerate(run.cases(read_ahead(jobs, protocol, readers), workers), 1):
            found.rows.append(case.row)
            if observer is not None:
                observer(case)
            if watch is not None:
                watch(done, total)
    found.seconds, found.model_seconds = time.perf_counter() - begun, clock.seconds
    is_whole = limit is None and not found.broken and protocol.pictures in (None, total)
    found.checked = bool(protocol.checked) and is_whole
    if not found.rows:
        got = f"none of {len(jobs)} examples of {data.name} could be read, first: {found.broken[0][1]}"
        raise BrokenPicture(got, "at least one is needed")
    return found


def prepared(
    engine: Engine,
    data: DataSet,
    protocol: Protocol,
    *,
    metrics: Sequence[str] = (),
    gap: int | None = None,
    limit: int | None = None,
) -> tuple[Judge, list[Job]]:
    """What a run of `score` asks for; raises all that can be known before anything is run."""
    suits(protocol, engine.spec, engine.name)
    judge = Judge(metrics or protocol.metrics, engine.name, predicts=engine.spec.predicts)
    return judge, list(jobs_of(engine.spec, data, protocol, gap_of(protocol, engine.spec, gap), limit))


def notes(protocol: Protocol, engine: Engine) -> list[str]:
    """What was done for this model that the next one may not have had."""
    recipe, found = recipe_for(protocol, engine.family), []
    if recipe.zero_pad:
        found.append(f"{engine.name} on a canvas of zeros, {recipe.zero_pad[1]}x{recipe.zero_pad[0]}, as published")
    if engine.spec.even:
        found.append(f"{engine.name}: where a set has no frame beyond a gap, the gap's own is repeated")
    elif protocol.ends == "clamp" and len(engine.spec.context) > 2:
        found.append(f"{engine.name}: at a clip's ends its outermost frame stands for those beyond")
    if engine.spec.predicts and not engine.spec.any_time and protocol.ahead > 1:
        found.append(f"{engine.name} reaches step 2 and on by being shown its own output")
    return found


@dataclass
class _Run:
    """Hands gaps to the model, and what it makes of them to the judges.

    A small picture leaves a part of the machine idle. Where gaps are small and share nothing, each is shown and judged
    whole, several side by side, on as many threads less.
    """

    show: Show
    found: Result
    may_share: bool  # each gap is of another clip, and one picture of it is asked for

    def cases(self, read: Iterator[Read], workers: ThreadPoolExecutor) -> Iterator[Case]:
        """Every picture with its scores, in order. What is broken is told in `found`."""
        waiting: deque[Future[list[Case]]] = deque()
        threads, sides = torch.get_num_threads(), 1
        try:
            for job, pictures in read:
                if isinstance(pictures, BrokenPicture):
                    told = (job.clip.name, pictures.got)
                    self.found.broken += [told] if told not in self.found.broken else []
                    continue
                stage = self.show.stage(job, pictures)
                self.found.backend, self.found.precision = stage.backend.name, stage.backend.precision
                suits = side_by_side(stage, threads) if self.may_share else 1
                if suits != sides:
                    yield from _ended(waiting, 0)
                    sides = suits
                    torch.set_num_threads(threads // sides)
                for begun in self._begun(job, pictures, stage, workers, alone=sides == 1):
                    waiting.append(begun)
                    yield from _ended(waiting, WAITING)
            yield from _ended(waiting, 0)
        finally:
            torch.set_num_threads(threads)

    def _begun(
        self, job: Job, pictures: Pictures, stage: Stage, workers: ThreadPoolExecutor, *, alone: bool
    ) -> Iterator[Future[list[Case]]]:
        show = self.show
        if alone:
            for group in show.judge.together(show.shown(job, pictures, stage)):
                yield workers.submit(judged, show.judge, group, keeps=show.looks)
        else:
            yield workers.submit(replace(show).scored, job, pictures, stage)


def _ended(waiting: deque[Future[list[Case]]], left: int) -> Iterator[Case]:
    """Cases in order, until only so many are outstanding."""
    while len(waiting) > left:
        yield from waiting.popleft().result()


def side_by_side(stage: Stage, threads: int) -> int:
    """How many gaps like this one are best shown at once by that many threads, each on its share of them."""
    suits = stage.backend.name == "torch" and torch.device(stage.backend.device).type == "cpu"
    return min(SIDE_BY_SIDE, threads) if suits and math.prod(stage.canvas.size) <= SMALL_PICTURE else 1
