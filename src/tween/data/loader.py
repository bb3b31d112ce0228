"""Batches for training: every sample a pure function of (seed, round, lane), so that a run can stop anywhere and go on.

  lane        0        1        2    ...   batch - 1       ranks own lanes side by side
  round 0   visit 0  visit 1  visit 2                      a visit is one place of one clip: its frames are read once
  round 1   visit B  ...                                   and give `draws` samples, one for each step of the round

A rank reads only its own lanes and a worker only its own rounds, so nothing is decoded twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..errors import BrokenPicture, TooShort
from ..models.model import Spec
from .augment import augmented
from .changes import Augment
from .clips import Broken, Clip
from .labels import flow_label
from .sample import Sample, Whole, Window, collated, shortest, windows
from .sets import DataSet

TRIES = 3  # places of a frame where a sample of the motion that is asked for is looked for

log = logging.getLogger("tween")

Collated = tuple[Tensor, Tensor, Tensor, Tensor | None, list[str]]


@dataclass(frozen=True)
class Source:
    """One set of clips to draw from.

    Attributes:
        clips: where samples come from.
        gaps: source frames between context frames 0 and 1; one is drawn for each sample.
        targets: places after frame 0 that may be asked for, or None for all.
        share: of the samples, together with the other sources' shares.
    """

    clips: tuple[Clip, ...]
    gaps: tuple[int, ...] = (2,)
    targets: tuple[int, ...] | None = None
    share: float = 1.0

    @classmethod
    def of(cls, found: DataSet, gaps: tuple[int, ...] | None, share: float = 1.0, *, predicts: bool = False) -> Source:
        """A set with the gaps asked for, or its own, or every second frame (predicting: every frame)."""
        if gaps is None and found.gap is not None and not predicts:
            return cls(found.clips, (found.gap,), found.targets, share)
        return cls(found.clips, gaps or ((1,) if predicts else (2,)), None, share)


@dataclass(frozen=True)
class Plan:
    """What to draw, and how.

    Attributes:
        spec: of the network. sources: at least one; shares are relative to each other.
        crop: (H, W) of a sample. augment: what else is done to it.
        batch: lanes, over all ranks.
        draws: samples of one visit. More of them spare decoding; the frames of a visit are then more alike.
        span: frames of a visit beyond the longest window, from which its draws choose.
        ahead: gaps past frame 0 that a predictor of any time is trained for.
        label: where flows come from: the clip's own, else optical flow of the sample; or nobody asks for them.
        motion: least and most pixels that a sample moves, the mean of its flow's x and y; None: any. Needs `label`.
        still: the share that is kept of samples that move less.
        seed: of everything.
    """

    spec: Spec
    sources: tuple[Source, ...]
    crop: tuple[int, int]
    augment: Augment = field(default_factory=Augment)
    batch: int = 8
    draws: int = 1
    span: int = 0
    ahead: int = 1
    label: bool = False
    motion: tuple[float, float] | None = None
    still: float = 0.3
    seed: int = 0


class Places:
    """The visits of a source: which clip, from which frame on.

    Raises:
        TooShort: no clip holds a window, with the name of a set that would.
    """

    def __init__(self, source: Source, plan: Plan, name: str = "the set") -> None:
        self.clips = source.clips
        self.windows = [w for gap in source.gaps for w in self._windows(source, plan, gap)]
        need = min(w.length for w in self.windows)
        self.reach = max(w.length for w in self.windows) + plan.span
        longest = max((clip.length for clip in source.clips), default=0)
        shortest(plan.spec, source.gaps, longest, name, ahead=plan.ahead)
        self.starts = [
            (number, start)
            for number, clip in enumerate(source.clips)
            for start in range(0, clip.length - need + 1, plan.span + 1)
        ]

    def _windows(self, source: Source, plan: Plan, gap: int) -> list[Window]:
        return windows(plan.spec, gap, targets=source.targets, ahead=plan.ahead)

    def chosen(self, visit: int, seed: int) -> tuple[Clip, int]:
        """The visit's clip and first frame: every place once before any comes twice."""
        epoch, place = divmod(visit, len(self.starts))
        number, start = self.starts[order(len(self.starts), seed, epoch)[place]]
        return self.clips[number], start


@lru_cache(maxsize=8)
def order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The places of an epoch, shuffled."""
    return np.random.default_rng([seed, epoch, count]).permutation(count)


class Rounds(Dataset[list[Collated]]):
    """Round number -> one batch for each of its `draws` steps, of the lanes asked for.

    Raises:
        TooShort: see `Places`. TweenError: while drawing, if more than one picture in a hundred is broken.
    """

    def __init__(self, plan: Plan, lanes: Sequence[int]) -> None:
        self.plan, self.lanes = plan, list(lanes)
        self.places = [Places(source, plan) for source in plan.sources]
        self.broken = Broken()

    def __getitem__(self, number: int) -> list[Collated]:
        """The round's batches, in the order of its steps."""
        lanes = [self._visit(number * self.plan.batch + lane) for lane in self.lanes]
        return [collated(samples) for samples in zip(*lanes, strict=True)]

    def _visit(self, visit: int) -> list[Sample]:
        """The `draws` samples of a visit; one that cannot be read gives its turn to another."""
        for attempt in range(1000):
            rng = np.random.default_rng([self.plan.seed, visit, attempt])
            source, turn = shared_out(visit, [source.share for source in self.plan.sources])
            if attempt:
                turn = int(rng.integers(len(self.places[source].starts)))
            clip, start = self.places[source].chosen(turn, self.plan.seed)
            try:
                samples = self._drawn(self.places[source], clip, start, rng)
            except BrokenPicture as error:
                self.broken.skip(error)
                continue
            self.broken.read()
            if samples:
                return samples
        got = "a thousand visits in a row gave no sample"
        raise TooShort(got, "a set with pictures that can be read, and that move as --data.motion says, is needed")

    def _drawn(self, places: Places, clip: Clip, start: int, rng: np.random.Generator) -> list[Sample]:
        """The samples of a visit; none if one of them moves in ways that are not asked for, wherever it is cut."""
        end = min(clip.length, start + places.reach)
        fitting = [w for w in places.windows if w.length <= end - start]
        choices = []
        for _ in range(self.plan.draws):
            window = fitting[int(rng.integers(len(fitting)))]
            at = start + int(rng.integers(end - start - window.length + 1))
            choices.append((window, at, context_of(window, at, range(start, end), self.plan, rng)))
        wanted = sorted({place for w, at, context in choices for place in (*context, at + w.target)})
        frames = dict(zip(wanted, clip.read(wanted), strict=True))
        samples = [sample for choice in choices if (sample := self._suited(clip, frames, *choice, rng)) is not None]
        return samples if len(samples) == len(choices) else []

    def _suited(
        self,
        clip: Clip,
        frames: dict[int, Tensor],
        window: Window,
        at: int,
        places: Sequence[int],
        rng: np.random.Generator,
    ) -> Sample | None:
        """One sample, cropped and augmented: the first of a few whose motion suits, or None."""
        plan = self.plan
        flow = clip.flow(at + window.target, *(at + place for place in window.labelled)) if plan.label else None
        context = [frames[place] for place in places]
        name = f"{clip.name} frames {at}..{at + window.length - 1} t {window.t}"
        whole = Whole(context, frames[at + window.target], float(window.t), flow, name)
        for _ in range(TRIES):
            sample = self._sample(whole, rng)
            if plan.motion is None or sample.flow is None or suits(sample.flow, plan.motion, plan.still, rng):
                return sample
        return None

    def _sample(self, whole: Whole, rng: np.random.Generator) -> Sample:
        """One sample, cropped and augmented."""
        plan = self.plan
        sample = augmented(whole, plan.augment, plan.crop, rng, plan.spec.context)
        if plan.label and sample.flow is None:
            sample = sample._replace(flow=flow_label(sample, plan.spec.context))
        return sample


def suits(flow: Tensor, motion: tuple[float, float], still: float, rng: np.random.Generator) -> bool:
    """True if a flow `[4, H, W]` (pixels) is within `motion`; too little is let pass as often as `still` says."""
    pixels = float(np.nanmean(np.abs(flow.numpy())))
    return pixels <= motion[1] and (pixels >= motion[0] or rng.random() < still)


def context_of(window: Window, at: int, visit: range, plan: Plan, rng: np.random.Generator) -> list[int]:
    """The frames of a context whose window begins `at`, those beyond the gap missing or from elsewhere as the plan's
    `ends` and `skips` say. Nothing is drawn where both are 0."""
    places = [at + place for place in window.context]
    augment, when = plan.augment, plan.spec.context
    if not augment.ends and not augment.skips:
        return places
    first, last = places[when.index(0)], places[when.index(min(1, when[-1]))]  # of the gap; predicting, one frame
    for side, near, end in ((-1, first, visit.start), (1, last, visit.stop - 1)):
        beyond = [n for n, place in enumerate(places) if (place - near) * side > 0]
        drawn, away = rng.random(), abs(end - near)
        if not beyond or not away:
            continue
        if drawn < augment.ends:
            places = [near if n in beyond else place for n, place in enumerate(places)]
        elif drawn < augment.ends + augment.skips:
            shift = side * (1 + int(rng.integers(away)) - window.gap)
            moved = [min(max(place + shift, visit.start), visit.stop - 1) for place in places]
            places = [moved[n] if n in beyond else place for n, place in enumerate(places)]
    return places


def shared_out(visit: int, shares: Sequence[float]) -> tuple[int, int]:
    """Which source a visit belongs to, and the how-manieth of that source it is; as even as the shares allow."""
    left = sum(shares)
    for number, share in enumerate(shares[:-1]):
        part = share / left
        before, after = int(visit * part), int((visit + 1) * part)
        if after > before:
            return number, before
        visit, left = visit - before, left - share
    return len(shares) - 1, visit


def batches(plan: Plan, step: int, *, lanes: Sequence[int], workers: int = 0) -> Iterator[Collated]:
    """Endless batches of the `lanes`, from `step` on: those that an uninterrupted run would see.

    Args:
        plan: what to draw. step: the first batch's number.
        lanes: this rank's, of `range(plan.batch)`.
        workers: processes that read and augment; 0 does it here.
    """
    first, skipped = divmod(step, plan.draws)
    rounds = Rounds(plan, lanes)
    loader = DataLoader(
        rounds,
        batch_size=None,
        sampler=range(first, first + (1 << 40)),
        num_workers=workers,
        prefetch_factor=2 if workers else None,
        multiprocessing_context=fresh_processes() if workers else None,
        worker_init_fn=one_thread,
        generator=torch.Generator(),  # else it would draw from the one that dropout draws from
    )
    for batches_of_round in loader:
        yield from batches_of_round[skipped:]
        skipped = 0


def fresh_processes() -> Any:
    """How workers are started: never forked from this process, whose threads (OpenCV's, torch's) a fork would leave
    locked for ever; where it can be, forked from a server that has imported all and done nothing yet."""
    methods = torch.multiprocessing.get_all_start_methods()
    context = torch.multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload([__name__])
    return context


def one_thread(_: int) -> None:
    """A worker leaves the cores to the network."""
    import cv2

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
