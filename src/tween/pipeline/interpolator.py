"""Frames in, frames out: one generator.

window   . . [ -1   0 | 1   2 ] . .     the context around the gap between frames 0 and 1
                    ^ here
for each frame    backend.embed     once, when a context first needs it
for each gap      backend.relate    once, if an instant inside it is wanted
for each instant  backend.render    once
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from ..backends.backend import Backend
from ..errors import UnknownTime
from ..frame import Frame
from ..ops.canvas import Canvas, to_float, to_integer
from ..timeline import Instant, Timeline, Times
from ..video.cuts import same_picture

CutPolicy = Literal["hold", "blend", "off"]
HALF = Fraction(1, 2)


class Cuts(Protocol):
    """Tells, asked once for each pair of neighbours in order, whether a cut lies between them."""

    def between(self, before: Frame, after: Frame) -> bool: ...


@dataclass
class Tally:
    """What an interpolator has done so far.

    Attributes:
        frames_in, frames_out: frames drawn from the source; frames handed on.
        rendered: frames that the model made (the others are originals, or held at a cut).
        cuts: scene cuts found.
        model_s: seconds spent in the backend and on the canvas.
    """

    frames_in: int = 0
    frames_out: int = 0
    rendered: int = 0
    cuts: int = 0
    model_s: float = 0.0


@dataclass
class Seen:
    """A frame of the window, the shot it belongs to, and its embedding once somebody asked for it."""

    frame: Frame
    shot: int
    embedding: Any = field(default=None, repr=False)


class Interpolator:
    """Renders a timeline over a stream of frames.

    An instant that is a source frame is that frame, untouched. At a cut nothing is interpolated and no context looks
    across: frames hold (the nearer one in time), or cross-fade with the policy "blend"; "off" never looks for cuts.

    Args:
        backend: runs the model.
        timeline: which instants are wanted; a copy of it is asked, so that the same may serve another video.
        cuts: finds scene cuts; None never finds one.
        at_cut: what is shown between two shots.

    Raises:
        UnknownTime: while drawing, if the model cannot render an instant (a midpoint model asked for a third).
    """

    def __init__(
        self, backend: Backend, timeline: Timeline, cuts: Cuts | None = None, *, at_cut: CutPolicy = "hold"
    ) -> None:
        self.backend, self.timeline, self.at_cut = backend, deepcopy(timeline), at_cut
        self.cuts = None if at_cut == "off" else cuts
        self.tally = Tally()
        self._canvas: Canvas | None = None

    def __call__(self, source: Iterable[Frame]) -> Iterator[Frame]:
        """Frames in order of pts; each gap's instants, then those of the last frame's own time."""
        last: Seen | None = None
        step: Fraction | None = None
        for window, here in self._gaps(source):
            last = window[here]
            if here + 1 == len(window):
                break
            step = window[here + 1].frame.pts - last.frame.pts
            yield from self._counted(self._gap(window, here))
        if last is not None:
            yield from self._counted(self._ending(last.frame, step))

    def _counted(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        tick = self.timeline.tick()
        for frame in frames:
            self.tally.frames_out += 1
            yield replace(frame, duration=tick) if tick is not None else frame

    def _gaps(self, source: Iterable[Frame]) -> Iterator[tuple[list[Seen], int]]:
        """(window, index of the gap's first frame) for each gap; at the end, once more with the last frame alone."""
        past, future = max(0, -self.backend.spec.context[0]), max(1, self.backend.spec.context[-1])
        feed, window, here = self._shots(source), list[Seen](), 0
        while True:
            while len(window) <= here + future and (seen := next(feed, None)) is not None:
                window.append(seen)
            if not window:
                return
            yield window, here
            if here + 1 == len(window):
                return
            self._behind(window[here])
            here += 1
            if here > past:
                del window[0]
                here -= 1

    def _behind(self, seen: Seen) -> None:
        """Drop what nobody reads of a frame that now stands before 0: a long context's fine scales are large."""
        kept = self.backend.spec.kept_behind
        if kept is not None and seen.embedding is not None:
            seen.embedding = seen.embedding[:kept]

    def _shots(self, source: Iterable[Frame]) -> Iterator[Seen]:
        before: Frame | None = None
        shot = 0
        for frame in source:
            self.tally.frames_in += 1
            if before is not None and self.cuts is not None and self.cuts.between(before, frame):
                shot += 1
                self.tally.cuts += 1
            yield Seen(frame, shot)
            before = frame

    def _gap(self, window: list[Seen], here: int) -> Iterator[Frame]:
        a, b = window[here], window[here + 1]
        instants = self.timeline.between(a.frame.pts, b.frame.pts)
        inner = [instant for instant in instants if instant.t != 0]
        cut = a.shot != b.shot
        scene: Any = None
        still = bool(inner) and not cut and same_picture(a.frame, b.frame)
        for instant in instants:
            if instant.t == 0 or still:
                yield replace(a.frame, pts=instant.pts)
            elif cut:
                yield self._across(a.frame, b.frame, instant)
            else:
                scene = self._relate(window, here) if scene is None else scene
                yield self._render(scene, a.frame, instant)

    def _ending(self, last: Frame, step: Fraction | None) -> Iterator[Frame]:
        """The last frame's own time: it is shown as long as its container says, or as long as the one before it."""
        end = last.pts + (last.duration or step or Fraction(1, 25))
        instants = self.timeline.after(last.pts, end)
        for instant in instants:
            yield replace(last, pts=instant.pts, duration=(end - last.pts) * self.timeline.stretch())

    def _relate(self, window: list[Seen], here: int) -> Any:
        """What the context of the gap says together; it ends where its shot does."""
        start = time.perf_counter()
        shot = [i for i, seen in enumerate(window) if seen.shot == window[here].shot]
        places = (min(max(here + k, shot[0]), shot[-1]) for k in self.backend.spec.context)
        scene = self.backend.relate([self._embedded(window[i]) for i in places])
        self.tally.model_s += time.perf_counter() - start
        return scene

    def _embedded(self, seen: Seen) -> Any:
        if seen.embedding is None:
            self._canvas = self._canvas or Canvas(seen.frame.size, self.backend.spec.multiple)
            seen.embedding = self.backend.embed(self._canvas.enter(seen.frame))
        return seen.embedding

    def _render(self, scene: Any, like: Frame, instant: Instant) -> Frame:
        if not self.backend.spec.any_time and instant.t != HALF:
            raise UnknownTime(
                f"a frame at t = {instant.t} of a gap", "this model knows only the middle, t = 1/2", "--times 2"
            )
        assert self._canvas is not None
        start = time.perf_counter()
        picture = self.backend.render(scene, torch.tensor([float(instant.t)]))
        frame = self._canvas.leave(picture, instant.pts, like)
        self.tally.model_s += time.perf_counter() - start
        self.tally.rendered += 1
        return frame

    def _across(self, a: Frame, b: Frame, instant: Instant) -> Frame:
        if self.at_cut == "blend":
            mixed: Tensor = to_float(a.data).lerp(to_float(b.data), float(instant.t))
            return Frame(to_integer(mixed, a.data.dtype), instant.pts)
        return replace(a if instant.t < HALF else b, pts=instant.pts, duration=None)


def doublings(timeline: Timeline, gap: Fraction) -> int | None:
    """How often a midpoint model must run, one time over the other, to reach every instant of gaps of `gap` seconds.

    Returns:
        1 where t = 1/2 is all that is asked, 2 for quarters, ... or None where no number of halvings gets there.
    """
    parts: int
    if isinstance(timeline, Times):
        parts = timeline.factor
    else:
        tick = timeline.tick()
        if tick is None:
            return None
        parts = (tick / (gap * timeline.stretch())).denominator
    return parts.bit_length() - 1 if parts & (parts - 1) == 0 else None
