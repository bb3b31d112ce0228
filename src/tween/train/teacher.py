"""Teachers: a model whose frames and flows another learns from, at every step or from labels written once."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..data.clips import Broken, Clip
from ..data.labels import Labels, dis_flow
from ..data.layouts import DataSet
from ..data.sample import Window, shortest, windows
from ..errors import BadOption, BrokenPicture, UnknownTime
from ..models import zoo
from ..models.dis import Dis
from ..models.model import Batch, Model, Prediction, Spec
from ..ops.canvas import Canvas, to_float

log = logging.getLogger("tween")

DIRECT = "dis"  # searched from the target itself, which a model in between never sees
CHUNK = 16  # windows whose frames are held at once


class Teacher:
    """A trained model that is asked about the student's own batches, and never changes.

    Args:
        model: with its weights, on the student's device.
        context: when the frames of the batches are, in gaps; None: where the teacher's are.

    Raises:
        BadOption: the teacher looks at frames that the batches do not have.
    """

    def __init__(self, model: Model, context: tuple[int, ...] | None = None) -> None:
        self.model = model.eval().requires_grad_(False)
        seen, given = model.spec.context, context or model.spec.context
        if missing := [place for place in seen if place not in given]:
            got = f"a teacher that looks at frames at {_listed(seen)}; the samples have {_listed(given)}"
            need = f"{_listed(missing)} would be missing"
            able = "dis-ahead" if given[-1] == 0 else "ifrnet-l, rife-4.25 or dis"
            raise BadOption(got, need, f"--teacher {able}")
        if model.spec.predicts != (given[-1] == 0):
            got = f"a teacher that {_what(model.spec.predicts)} for samples of a network that {_what(given[-1] == 0)}"
            raise BadOption(got, "both must be asked for the same instants", "--teacher dis, or dis-ahead to predict")
        self.places = [given.index(place) for place in seen]

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Prediction:
        """What the teacher shows for a batch: `[B, 3, H, W]`; of `aux` what is of the frame's size.

        Raises:
            UnknownTime: the teacher knows one instant, and the batch asks for another.
        """
        spec = self.model.spec
        only = 1.0 if spec.predicts else 0.5
        if not spec.any_time and bool((batch.t != only).any()):
            got = f"samples at t = {float(batch.t[batch.t != only][0]):g}"
            raise UnknownTime(got, f"this teacher knows t = {only:g} alone", "--teacher of any time, such as dis")
        canvas = Canvas((batch.frames.shape[-2], batch.frames.shape[-1]), spec.multiple)
        frames = canvas.pad(batch.frames[:, self.places].flatten(0, 1)).unflatten(0, (-1, len(self.places)))
        seen = self.model(frames, batch.t)
        whole = {name: canvas.crop(value) for name, value in seen.aux.items() if value.shape[-2:] == frames.shape[-2:]}
        return Prediction(canvas.crop(seen.frame), whole)


def _listed(places: tuple[int, ...] | list[int]) -> str:
    return ", ".join(map(str, places)) if len(places) <= 6 else f"{places[0]} ... {places[-1]}"


def _what(predicts: bool) -> str:
    return "predicts" if predicts else "interpolates"


@dataclass
class Written:
    """What labelling did.

    Attributes:
        written: labels made. kept: those that were there. broken: windows that could not be read.
        megabytes: size of those made. seconds: it took.
    """

    written: int = 0
    kept: int = 0
    broken: int = 0
    megabytes: float = 0.0
    seconds: float = 0.0


class Job(NamedTuple):
    """One label to make: a clip, and the places in it of a window."""

    clip: Clip
    start: int
    window: Window

    @property
    def where(self) -> tuple[str, int, int, int]:
        """By which the label is stored: name, target, first, second."""
        first, second = self.window.labelled
        return self.clip.name, self.start + self.window.target, self.start + first, self.start + second

    @property
    def places(self) -> list[int]:
        """In the clip, of the context and the target."""
        return [self.start + place for place in (*self.window.context, self.window.target)]


Maker = Callable[[Job, dict[int, Tensor]], Tensor]


def write_labels(
    found: DataSet,
    labels: Labels,
    *,
    model: str = DIRECT,
    gap: int | None = None,
    predict: bool = False,
    device: str = "cpu",
    watch: Callable[[int, int, str], None] | None = None,
) -> Written:
    """Flow labels for every window of a set; those that are there are left as they are, so a broken run goes on.

    Args:
        found: the set. labels: where they go.
        model: `dis`, which is searched directly from the target to each neighbour; or a network that gives a flow.
        gap: source frames between two neighbours; None: the set's own, or 2 (predicting, 1).
        predict: label the frame after two, towards both, instead of the one between.
        device: of a network.
        watch: told of every label how many are written or found, of all, and the clip at hand.

    Raises:
        BadOption: a model without a flow, or for other instants. TooShort: no clip holds a window.
        BrokenPicture: more than one window in a hundred cannot be read. CannotWrite: the folder is closed to us.
        NoWeights, UnknownModel: as `zoo.load`.
    """
    spec, make = _maker(model, predict, device)
    gap = (found.gap or (1 if predict else 2)) if gap is None else gap
    try:
        kinds = windows(spec, gap, targets=None if predict else found.targets) if gap > 0 else []
    except BadOption as error:
        raise BadOption(error.got, error.need, "--gap 2") from error
    if not kinds:
        raise BadOption(f"--gap {gap}", "one source frame or more is needed", "--gap 2")
    shortest(spec, (gap,), max((clip.length for clip in found.clips), default=0), found.name)
    total = sum(max(0, clip.length - kind.length + 1) for clip in found.clips for kind in kinds)
    done, broken, begun = Written(), Broken(), time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count() if model == DIRECT else 1) as pool:
        for clip in found.clips:
            for chunk in _chunks(clip, kinds):
                todo = [job for job in chunk if not labels.has(*job.where)]
                done.kept += len(chunk) - len(todo)
                for megabytes in _made(todo, make, labels, model, pool, broken):
                    done.written, done.megabytes = done.written + 1, done.megabytes + megabytes
                if watch:
                    watch(done.kept + done.written + len(broken.names), total, clip.name)
    broken.end()
    done.broken, done.seconds = len(broken.names), time.perf_counter() - begun
    return done


def _chunks(clip: Clip, kinds: list[Window]) -> Iterator[list[Job]]:
    """The windows of a clip, by where they start, a few at a time."""
    least = min(kind.length for kind in kinds)
    jobs = (
        Job(clip, start, kind)
        for start in range(clip.length - least + 1)
        for kind in kinds
        if start + kind.length <= clip.length
    )
    while chunk := list(islice(jobs, CHUNK)):
        yield chunk


def _made(
    jobs: list[Job], make: Maker, labels: Labels, model: str, pool: ThreadPoolExecutor, broken: Broken
) -> Iterator[float]:
    """Make and store the labels of a chunk; the megabytes of each. Pictures are read once, and in their order."""
    frames: dict[int, Tensor] = {}
    whole: list[Job] = []
    for job in jobs:
        try:
            wanted = sorted({*job.places} - frames.keys())
            frames.update(zip(wanted, job.clip.read(wanted), strict=True))
        except BrokenPicture as error:
            broken.skip(error)
            continue
        broken.read()
        whole.append(job)

    def one(job: Job) -> Path:
        return labels.save(*job.where, make(job, frames), which=model)

    for path in pool.map(one, whole):
        yield path.stat().st_size / 1e6


def _maker(name: str, predict: bool, device: str) -> tuple[Spec, Maker]:
    """What frames a maker of labels looks at, and the maker."""
    if name == DIRECT:
        return Spec((-1, 0) if predict else (0, 1)), _direct
    model = zoo.load(name)
    if type(model) is Dis:  # and not its kin that predicts
        return _maker(DIRECT, predict, device)
    try:
        model = model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise BadOption(f"--device {device}", "this machine has no such device", "--device cpu") from error
    if model.spec.predicts != predict:
        what = _what(model.spec.predicts)
        raise BadOption(f"--model {name}", f"it {what}", "--model dis" if model.spec.predicts else "without --predict")
    teacher = Teacher(model)

    def make(job: Job, frames: dict[int, Tensor]) -> Tensor:
        return _taught(teacher, name, job, frames, device)

    return model.spec, make


def _direct(job: Job, frames: dict[int, Tensor]) -> Tensor:
    first, second = (job.start + place for place in job.window.labelled)
    return dis_flow(frames[job.start + job.window.target], frames[first], frames[second])


def _taught(teacher: Teacher, name: str, job: Job, frames: dict[int, Tensor], device: str) -> Tensor:
    seen = to_float(torch.stack([frames[place] for place in job.places])).to(device)
    batch = Batch(frames=seen[None, :-1], t=torch.tensor([float(job.window.t)], device=device), target=seen[None, -1])
    aux = teacher(batch).aux
    if "flow" not in aux:
        able = "dis, ifrnet-s, ifrnet-l, rife-4.25"
        raise BadOption(f"--model {name}", "it gives no flow of the frame's size", f"--model one of {able}")
    return aux["flow"][0].float().cpu()
