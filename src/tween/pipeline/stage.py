"""Which model works, on which size: at first, when frames of another size come, and when the rate is not held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Thread

from ..backends.backend import Backend
from ..video.cuts import CutDetector
from .gaps import Gaps
from .ladder import Ladder, Rung, Window

Build = Callable[[Rung, tuple[int, int]], Backend]
SMALLEST = 16  # pixels of a side


class Stage:
    """The model at work, and the frames that it looks at.

    Args:
        build: makes a backend for a rung and a size (H, W); a step is built on a thread of its own, while the old
            backend goes on.
        rungs: what may run, the best first.
        hold_rate: step; else the first rung stays.
        cuts: look for scene cuts.
        say: told in words of every step.

    Attributes:
        rung: the one at work; gaps: what it works on, None before the first frame; found_cuts: so far.
        steps: every step so far, in words.
        building: the backend of the next step, while it is made.
    """

    def __init__(
        self,
        build: Build,
        rungs: Sequence[Rung],
        *,
        hold_rate: bool,
        cuts: bool,
        say: Callable[[str], None] | None,
    ) -> None:
        self.rung, self.steps = rungs[0], list[str]()
        self.gaps: Gaps | None = None
        self._build, self._rungs, self._hold, self._cuts, self._say = build, rungs, hold_rate, cuts, say
        self._ladder, self._wanted = Ladder(rungs), rungs[0]
        self._full: tuple[int, int] | None = None  # size of the frames that come
        self._earlier_cuts = 0
        self.building: Future[Backend] | None = None

    @property
    def found_cuts(self) -> int:
        """Cuts so far."""
        return self._earlier_cuts + (0 if self.gaps is None else self.gaps.found_cuts)

    def gaps_for(self, size: tuple[int, int]) -> Gaps:
        """Where frames of this size go: made at the first one, and anew where the size changes."""
        if self.gaps is None or self._full != size:
            self._full = size
            return self._enter(self._build(self.rung, self._inner(self.rung)), self.rung)
        return self.gaps

    def judge(self, second: Window | None) -> bool:
        """Told how a second went (None: none is over), look whether to step. True if another model is at work now."""
        if self.building is not None:
            if not self.building.done():
                return False
            self._step(self.building.result())
            return True
        if self._hold and second is not None and self._full is not None:
            self._wanted = self._rungs[self._ladder.judge(second)]
            if self._wanted != self.rung:
                self.building = self._begun(self._wanted, self._inner(self._wanted))
        return False

    def _begun(self, rung: Rung, size: tuple[int, int]) -> Future[Backend]:
        """A backend that is being made, on a thread that nobody has to wait for at the end."""
        future: Future[Backend] = Future()

        def build() -> None:
            try:
                future.set_result(self._build(rung, size))
            except BaseException as error:  # told by whoever asks for the result
                future.set_exception(error)

        Thread(target=build, name="tween-build", daemon=True).start()
        return future

    def _step(self, backend: Backend) -> None:
        is_better = self._rungs.index(self._wanted) < self._rungs.index(self.rung)
        height, width = self._enter(backend, self._wanted).size
        self.building = None
        words = f"{'time to spare' if is_better else 'the rate is not held'}: now {self.rung.model} at {width}x{height}"
        self.steps.append(words)
        if self._say is not None:
            self._say(words)

    def _enter(self, backend: Backend, rung: Rung) -> Gaps:
        self._earlier_cuts = self.found_cuts
        self.rung, self.gaps = rung, Gaps(backend, self._inner(rung), CutDetector() if self._cuts else None)
        return self.gaps

    def _inner(self, rung: Rung) -> tuple[int, int]:
        assert self._full is not None
        if rung.scale == 1:
            return self._full
        height, width = (max(min(SMALLEST, side), 2 * round(side * rung.scale / 2)) for side in self._full)
        return height, width
