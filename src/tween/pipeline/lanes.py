"""Several gaps at once: what a machine of many threads does better than one gap on all of them.

    frames, gap by gap        0  .  1  .  2  .  3            decided in order: cuts, doubts, what is an original
    lane 1                       [gap 0]  [gap 2]            made side by side, each lane on its share of the threads
    lane 2                       [gap 1]     [gap 3]
    settled                   0  .  1  .  2  .  3            handed on in order

A model whose work is many small passes, as a search for motion is, waits for its threads between each two of them. A
lane with one thread waits for nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from threading import Barrier, Lock
from typing import Final, Generic, Protocol, TypeVar

import torch

from ..backends.backend import Backend, at_once, searches
from ..backends.wrappers import MOST_AT_ONCE
from ..frame import Frame
from ..models.dis import opencv

TOGETHER: Final = 8  # instants of one gap that a lane makes in one go
Value = TypeVar("Value")


class Once(Generic[Value]):
    """A value that whoever asks first computes; who asks meanwhile waits for it."""

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make, self._lock, self._made = make, Lock(), list[Value]()

    def __call__(self) -> Value:
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]


@dataclass(frozen=True)
class Coming:
    """A frame that is being made.

    Attributes:
        pts, duration: as of the frame.
        batch: frames that are made together; place: which of them.
    """

    pts: Fraction
    batch: Future[list[Frame]]
    place: int
    duration: Fraction | None = None

    def frame(self) -> Frame:
        """It, once it is made; raises what went wrong."""
        return replace(self.batch.result()[self.place], pts=self.pts, duration=self.duration)


class Lanes:
    """Threads that make frames side by side.

    Args:
        count: of lanes.
        threads: what each computes on.
    """

    def __init__(self, count: int, threads: int) -> None:
        self.count, self.threads = count, threads
        self._pool = ThreadPoolExecutor(count, "tween-lane")
        before, all_there = torch.get_num_threads(), Barrier(count)
        for told in [self._pool.submit(_compute_on, threads, all_there) for _ in range(count)]:
            told.result()
        torch.set_num_threads(before)  # what a lane says goes for threads to come, too

    def begin(self, pts: Sequence[Fraction], make: Callable[[], Iterable[Frame]]) -> list[Coming]:
        """Have frames made, that will be shown at `pts`."""
        batch = self._pool.submit(lambda: list(make()))
        return [Coming(when, batch, place) for place, when in enumerate(pts)]

    def close(self) -> None:
        """Drop what has not begun; wait for what has."""
        self._pool.shutdown(cancel_futures=True)


def settled(frames: Iterable[Frame | Coming], lanes: Lanes | None) -> Iterator[Frame]:
    """The frames in order, each once it is made; so many are begun ahead that no lane waits."""
    waiting: deque[Frame | Coming] = deque()
    ahead = 0 if lanes is None else lanes.count + 1
    for one in frames:
        waiting.append(one)
        while waiting and (_is_made(waiting[0]) or _begun(waiting) > ahead or len(waiting) > ahead * TOGETHER):
            yield _frame(waiting.popleft())
    while waiting:
        yield _frame(waiting.popleft())


def _is_made(one: Frame | Coming) -> bool:
    return isinstance(one, Frame) or one.batch.done()


def _begun(waiting: Iterable[Frame | Coming]) -> int:
    return len({id(one.batch) for one in waiting if isinstance(one, Coming)})


def _frame(one: Frame | Coming) -> Frame:
    return one if isinstance(one, Frame) else one.frame()


def _compute_on(threads: int, all_there: Barrier) -> None:
    all_there.wait()  # each on a thread of its own
    torch.get_num_threads()  # whoever never asked is given the process' number at its first tensor
    torch.set_num_threads(threads)


class Laned(Protocol):
    """What renders in lanes, where it has some."""

    backend: Backend
    lanes: Lanes | None


@contextmanager
def in_lanes(one: Laned) -> Iterator[None]:
    """Give it as many lanes as its backend takes; they share the threads that torch and OpenCV have. A search hangs on
    how many OpenCV has, so that those hang on nothing that changes between two runs, as free memory."""
    threads, count = torch.get_num_threads(), at_once(one.backend)
    if count > 1 and one.backend.spec.kept_behind is None:
        one.lanes = Lanes(count, max(1, threads // count))
    try:
        if searches(one.backend):
            with _OPENCV.on(max(1, threads // MOST_AT_ONCE)):
                yield
        else:
            yield
    finally:
        if one.lanes is not None:
            one.lanes.close()
        one.lanes = None


class _OpenCvThreads:
    """OpenCV has one number of threads for the whole process, where several renders may run."""

    def __init__(self) -> None:
        self._lock, self._users, self._before = Lock(), 0, 0

    @contextmanager
    def on(self, threads: int) -> Iterator[None]:
        """So many, until the last one has left."""
        cv2 = opencv()
        with self._lock:
            if not self._users:
                self._before = cv2.getNumThreads()
            self._users += 1
            cv2.setNumThreads(threads)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    cv2.setNumThreads(self._before)


_OPENCV: Final = _OpenCvThreads()
