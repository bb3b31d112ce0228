"""A model on a set, by a protocol: read | show | judge.

   reader threads              caller's thread                        judging threads
   pictures of a gap  --> embed, relate, render, in order  -->  one picture's scores  --> rows, in order

Both queues are bounded, so that memory does not grow with the set, and reading and judging hide behind the model.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from ..backends.backend import Backend
from ..data.clips import Clip
from ..data.layouts import DataSet
from ..errors import BrokenPicture
from ..models.model import Model
from ..ops.canvas import Canvas, to_float
from .engine import Engine, at_rest, canvas_for, engine_of
from .judge import Judge
from .plan import gap_of, suits
from .protocols import Protocol, recipe_for
from .reading import Job, Pictures, Read, jobs_of, pool, read_ahead, readers_for
from .result import Case, Observer, Result, Row

WAITING: Final = 4  # pictures whose scores may be outstanding
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
    with at_rest(model), pool(readers_for(jobs)) as readers, pool(judge.threads) as judges:
        run = _Run(engine, protocol, found, judge, observer is not None)
        for done, case in enumerate(run.cases(read_ahead(jobs, protocol, readers), judges), 1):
            found.rows.append(case.row)
            if observer is not None:
                observer(case)
            if watch is not None:
                watch(done, total)
    found.seconds = time.perf_counter() - begun
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
    if protocol.ends == "clamp" and len(engine.spec.context) > 2:
        found.append(f"{engine.name}: at a clip's ends its outermost frame stands for those beyond")
    if engine.spec.predicts and not engine.spec.any_time and protocol.ahead > 1:
        found.append(f"{engine.name} reaches step 2 and on by being shown its own output")
    return found


class _Shown(NamedTuple):
    """One rendered picture on its way to the judges."""

    row: Row  # without the scores of pictures
    inputs: tuple[Tensor, Tensor]  # uint8 [3, H, W]
    ours: Tensor  # [1, 3, H, W] in [0, 1]
    truth: Tensor  # uint8 [3, H, W]
    aux: dict[str, Tensor]


@dataclass
class _Run:
    """The middle thread: shows gaps to the model, one after the other."""

    engine: Engine
    protocol: Protocol
    found: Result
    judge: Judge
    looks: bool

    def __post_init__(self) -> None:
        self._clip: Clip | None = None
        self._embedded: dict[int, Any] = {}

    def cases(self, read: Iterator[Read], judges: ThreadPoolExecutor) -> Iterator[Case]:
        """Every picture with its scores, in order. What is broken is told in `found`."""
        waiting: deque[Future[list[Case]]] = deque()
        for job, pictures in read:
            if isinstance(pictures, BrokenPicture):
                told = (job.clip.name, pictures.got)
                self.found.broken += [told] if told not in self.found.broken else []
                continue
            for group in self.judge.together(self.shown(job, pictures)):
                waiting.append(judges.submit(_judged, self.judge, group, self.looks))
                while len(waiting) > WAITING:
                    yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()

    def shown(self, job: Job, pictures: Pictures) -> Iterator[_Shown]:
        """What the model makes of one gap."""
        height, width = pictures[job.gap.here].shape[1:]
        canvas = canvas_for(recipe_for(self.protocol, self.engine.family), (height, width), self.engine.spec.multiple)
        backend = self.engine.backend_for(canvas.size)
        self.found.backend, self.found.precision = backend.name, backend.precision
        begun = time.perf_counter()  # a backend that is made for a new size is no part of the model's time
        context = self._context(job, pictures, canvas, backend)
        scene = backend.relate(context)
        of_flow = self.judge.of_scene(backend, canvas, scene, job.clip, job.gap)
        neighbours = (pictures[job.gap.neighbours[0]], pictures[job.gap.neighbours[1]])
        recurs = backend.spec.predicts and not backend.spec.any_time
        ours: Tensor | None = None
        for place, t in job.gap.targets:
            if recurs and ours is not None:  # its own output is the newest frame now
                context = [*context[1:], backend.embed(canvas.pad(ours))]
                scene = backend.relate(context)
            ours, aux = self._rendered(backend, canvas, scene, 1.0 if recurs else float(t))
            self.found.model_seconds += time.perf_counter() - begun
            row = Row(job.clip.name, job.clip.group, place, float(t), of_flow)
            yield _Shown(row, neighbours, ours, pictures[place], aux)
            begun = time.perf_counter()
        self._behind(job.gap.here, backend)

    def _context(self, job: Job, pictures: Pictures, canvas: Canvas, backend: Backend) -> list[Any]:
        """Embeddings of the context; those of frames that the gap before has seen are at hand."""
        known = self._embedded if self._clip is job.clip else {}
        self._clip, self._embedded = job.clip, {}
        for place in dict.fromkeys(job.gap.context):
            has_it = place in known
            enters = None if has_it else canvas.pad(to_float(pictures[place]).unsqueeze(0))
            self._embedded[place] = known[place] if enters is None else backend.embed(enters)
        return [self._embedded[place] for place in job.gap.context]

    def _behind(self, here: int, backend: Backend) -> None:
        """Drop what nobody reads of frames that will stand before 0: a long context's fine scales are large."""
        kept = backend.spec.kept_behind
        if kept is not None:
            self._embedded = {p: e[:kept] if p <= here else e for p, e in self._embedded.items()}

    def _rendered(self, backend: Backend, canvas: Canvas, scene: Any, t: float) -> tuple[Tensor, dict[str, Tensor]]:
        when = torch.tensor([t])
        if not self.looks or not hasattr(backend, "look"):
            return canvas.crop(backend.render(scene, when)), {}
        seen = backend.look(scene, when)
        aux = {
            name: canvas.crop(tensor)[0].to("cpu", torch.float32)
            for name, tensor in seen.aux.items()
            if name in ("flow", "mask") and tuple(tensor.shape[-2:]) == canvas.size
        }
        return canvas.crop(seen.frame.to("cpu", torch.float32)), aux


def _judged(judge: Judge, shown: Sequence[_Shown], keeps: bool) -> list[Case]:
    """Scores of the pictures of a gap, or of one of them."""
    cases = []
    with torch.no_grad():
        truths = [to_float(one.truth).unsqueeze(0) for one in shown]
        scores = judge.scores([one.ours for one in shown], truths, shown[0].inputs)
        inputs = torch.stack([to_float(frame) for frame in shown[0].inputs]) if keeps else torch.empty(0)
    for one, truth, values in zip(shown, truths, scores, strict=True):
        row = Row(one.row.name, one.row.group, one.row.place, one.row.t, {**values, **one.row.scores})
        cases.append(Case(row, inputs, one.ours[0], truth[0], one.aux))
    return cases
