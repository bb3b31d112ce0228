"""Reading what a protocol asks for, a few gaps ahead of the model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, NamedTuple

from torch import Tensor

from ..data.clips import Clip
from ..data.layouts import DataSet
from ..errors import BrokenPicture, TooShort
from ..models.model import Spec
from .pictures import seen_through
from .plan import Gap, gaps
from .protocols import Protocol

READ_AHEAD: Final = 3  # gaps that are read before the model asks for them
READERS: Final = 2
Pictures = dict[int, Tensor]  # place -> uint8 [3, H, W]


class Job(NamedTuple):
    """One gap of one clip."""

    clip: Clip
    gap: Gap


Read = tuple[Job, "Pictures | BrokenPicture"]


def jobs_of(spec: Spec, data: DataSet, protocol: Protocol, gap: int, limit: int | None = None) -> Iterator[Job]:
    """Every gap that is asked for, in the order of the set; of `limit` clips, spread evenly.

    Raises:
        TooShort: there is none.
    """
    clips = spread(data.clips, limit)
    found = 0
    for clip in clips:
        for one in gaps(protocol, spec, clip.length, gap=gap, clip=clip.name):
            found += 1
            yield Job(clip, one)
    if not found:
        longest = max((clip.length for clip in clips), default=0)
        raise TooShort(f"the longest clip of {data.name} has {longest} frames", f"--gap {gap} needs more", "--gap 2")


def spread(clips: Sequence[Clip], limit: int | None) -> Sequence[Clip]:
    """At most `limit` clips, evenly over the set, the first one among them."""
    if limit is None or limit >= len(clips):
        return clips
    return [clips[k * len(clips) // limit] for k in range(limit)]


def are_apart(jobs: Sequence[Job]) -> bool:
    """True if no two gaps are of one clip, so that they may be read side by side."""
    return len({id(job.clip) for job in jobs}) == len(jobs)


def readers_for(jobs: Sequence[Job]) -> int:
    """How many threads may read side by side: gaps of one clip are read in order, by one."""
    return READERS if are_apart(jobs) else 1


@contextmanager
def pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that drop what they have not begun when the block is left by an error."""
    workers = ThreadPoolExecutor(threads, thread_name_prefix="tween-evaluate")
    try:
        yield workers
    finally:
        workers.shutdown(cancel_futures=True)


def read_ahead(jobs: Sequence[Job], protocol: Protocol, readers: ThreadPoolExecutor) -> Iterator[Read]:
    """Every job with its pictures, or what is wrong with them, in order; a few are read ahead."""
    reader = _Reader(protocol, keeps=not are_apart(jobs))
    waiting: deque[tuple[Job, Future[Pictures | BrokenPicture]]] = deque()
    for job in jobs:
        waiting.append((job, readers.submit(reader, job)))
        if len(waiting) > READ_AHEAD:
            first, future = waiting.popleft()
            yield first, future.result()
    for first, future in waiting:
        yield first, future.result()


class _Reader:
    """Reads what a gap needs; where gaps of one clip follow each other, only what the one before did not need."""

    def __init__(self, protocol: Protocol, *, keeps: bool) -> None:
        self._protocol, self._keeps = protocol, keeps
        self._clip: Clip | None = None
        self._kept: Pictures = {}

    def __call__(self, job: Job) -> Pictures | BrokenPicture:
        wanted = sorted({*job.gap.context, *job.gap.neighbours, *(place for place, _ in job.gap.targets)})
        kept = self._kept if self._keeps and self._clip is job.clip else {}
        missing = [place for place in wanted if place not in kept]
        try:
            fresh = dict(zip(missing, job.clip.read(missing), strict=True))
        except BrokenPicture as error:
            return error
        read = {p: kept[p] if p in kept else seen_through(self._protocol, fresh[p]) for p in wanted}
        if self._keeps:
            self._clip, self._kept = job.clip, read
        return read
