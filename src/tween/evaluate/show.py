"""The middle of an evaluation: gaps are shown to a model, and what it makes of them is judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..backends.backend import Backend
from ..data.clips import Clip
from ..ops.canvas import Canvas, to_float
from ..stopwatch import Stopwatch
from .engine import Engine, canvas_for
from .judge import Judge
from .protocols import Protocol, recipe_for
from .reading import Job, Pictures
from .result import Case, Row


class Shown(NamedTuple):
    """One rendered picture on its way to the judges."""

    row: Row  # without the scores of pictures
    inputs: tuple[Tensor, Tensor]  # uint8 [3, H, W]
    ours: Tensor  # [1, 3, H, W] in [0, 1]
    truth: Tensor  # uint8 [3, H, W]
    aux: dict[str, Tensor]


class Stage(NamedTuple):
    """What a gap is shown on."""

    backend: Backend
    canvas: Canvas


@dataclass
class Show:
    """Shows gaps to a model, one after the other.

    Args:
        judge: asked about the model's flow. clock: runs while the model works.
        looks: what the model tells beside its pictures is wanted.
    """

    engine: Engine
    protocol: Protocol
    judge: Judge
    clock: Stopwatch
    looks: bool
    _clip: Clip | None = field(default=None, init=False)
    _embedded: dict[int, Any] = field(default_factory=dict, init=False)

    def stage(self, job: Job, pictures: Pictures) -> Stage:
        """The backend for a gap's size, which is no part of the model's time, and the canvas."""
        height, width = pictures[job.gap.here].shape[1:]
        canvas = canvas_for(recipe_for(self.protocol, self.engine.family), (height, width), self.engine.spec.multiple)
        return Stage(self.engine.backend_for(canvas.size), canvas)

    def scored(self, job: Job, pictures: Pictures, stage: Stage) -> list[Case]:
        """One gap, shown and judged at once, in the thread of the caller."""
        groups = self.judge.together(self.shown(job, pictures, stage))
        return [case for group in groups for case in judged(self.judge, group, keeps=self.looks)]

    def shown(self, job: Job, pictures: Pictures, stage: Stage) -> Iterator[Shown]:
        """What the model makes of one gap."""
        backend, canvas = stage
        with self.clock.running():
            context = self._context(job, pictures, stage)
            scene = backend.relate(context)
            of_flow = self.judge.of_scene(backend, canvas, scene, job.clip, job.gap)
        neighbours = (pictures[job.gap.neighbours[0]], pictures[job.gap.neighbours[1]])
        recurs = backend.spec.predicts and not backend.spec.any_time
        ours: Tensor | None = None
        for place, t in job.gap.targets:
            with self.clock.running():
                if recurs and ours is not None:  # its own output is the newest frame now
                    context = [*context[1:], backend.embed(canvas.pad(ours))]
                    scene = backend.relate(context)
                ours, aux = self._rendered(stage, scene, 1.0 if recurs else float(t))
            row = Row(job.clip.name, job.clip.group, place, float(t), of_flow)
            yield Shown(row, neighbours, ours, pictures[place], aux)
        self._behind(job.gap.here, backend)

    def _context(self, job: Job, pictures: Pictures, stage: Stage) -> list[Any]:
        """Embeddings of the context; those of frames that the gap before has seen are at hand."""
        known = self._embedded if self._clip is job.clip else {}
        self._clip, self._embedded = job.clip, {}
        for place in dict.fromkeys(job.gap.context):
            has_it = place in known
            enters = None if has_it else stage.canvas.pad(to_float(pictures[place]).unsqueeze(0))
            self._embedded[place] = known[place] if enters is None else stage.backend.embed(enters)
        return [self._embedded[place] for place in job.gap.context]

    def _behind(self, here: int, backend: Backend) -> None:
        """Drop what nobody reads of frames that will stand before 0: a long context's fine scales are large."""
        kept = backend.spec.kept_behind
        if kept is not None:
            self._embedded = {p: e[:kept] if p <= here else e for p, e in self._embedded.items()}

    def _rendered(self, stage: Stage, scene: Any, t: float) -> tuple[Tensor, dict[str, Tensor]]:
        backend, canvas = stage
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


def judged(judge: Judge, shown: Sequence[Shown], *, keeps: bool) -> list[Case]:
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
