"""Frames in, frames out: one generator.

window   . . [ -1   0 | 1   2 ] . .     the context around the gap between frames 0 and 1
                    ^ here
for each frame    backend.embed     once, when a context first needs it
for each gap      backend.relate    once, if an instant inside it is wanted
for each instant  backend.render    once
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from itertools import pairwise
from threading import Lock
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from ..backends.backend import Backend
from ..errors import BrokenClock, UnknownTime
from ..frame import Frame
from ..ops.canvas import Canvas, to_float, to_integer
from ..stopwatch import Stopwatch
from ..timeline import Instant, Timeline, Times
from ..video.cuts import same_picture
from .confidence import Guard, Stillness
from .context import context_of
from .journal import Trail
from .lanes import TOGETHER, Coming, Lanes, Once, settled

CutPolicy = Literal["hold", "blend", "off"]
HALF = Fraction(1, 2)
LONGEST_GAP = 3600  # seconds between two frames, of which a constant rate makes frames


class Cuts(Protocol):
    """Tells, asked once for each pair of neighbours in order, whether a cut lies between them."""

    def between(self, before: Frame, after: Frame) -> bool: ...


class Repeats(Protocol):
    """Tells whether a frame shows the same drawing again, and so belongs to the time of the one before."""

    def holds(self, drawing: Frame, after: Frame, held: int) -> bool: ...


class Told:
    """The cuts that an earlier pass found or held, for the pass that draws its frames."""

    def __init__(self, earlier: Interpolator) -> None:
        self._earlier = earlier

    def between(self, before: Frame, after: Frame) -> bool:  # noqa: ARG002
        """Whether the earlier pass showed a cut between two frames that it made."""
        is_cut = after.pts in self._earlier.jumps
        self._earlier.jumps.discard(after.pts)
        return is_cut


@dataclass
class Tally:
    """What an interpolator has done so far.

    Attributes:
        frames_in, frames_out: frames drawn from the source; frames handed on.
        rendered: frames that the model made (the others are originals, or held at a cut).
        cuts: scene cuts found.
        doubted: frames that were not rendered, for nobody could know what they show.
        repeats: frames that showed the drawing before them again, and now show motion.
        watch: runs while the backend works, or the canvas.
    """

    frames_in: int = 0
    frames_out: int = 0
    rendered: int = 0
    cuts: int = 0
    repeats: int = 0
    doubted: int = 0
    watch: Stopwatch = field(default_factory=Stopwatch)

    @property
    def model_s(self) -> float:
        """Seconds during which the backend worked, or the canvas."""
        return self.watch.seconds


@dataclass
class Seen:
    """A frame of the window, the shot it belongs to, when it was shown again (with `repeats`: seconds), and its
    embedding once somebody asked for it."""

    frame: Frame
    shot: int
    held: list[Fraction] = field(default_factory=list)
    embedding: Any = field(default=None, repr=False)
    embedding_now: Lock = field(default_factory=Lock, repr=False)  # held by whoever makes it


class Interpolator:
    """Renders a timeline over a stream of frames.

    An instant that is a source frame is that frame, untouched. At a cut nothing is interpolated and no context looks
    across: frames hold (the nearer one in time), or cross-fade with the policy "blend"; "off" never looks for cuts.

    Args:
        backend: runs the model.
        timeline: which instants are wanted; a copy of it is asked, so that the same may serve another video.
        cuts: finds scene cuts; None never finds one.
        at_cut: what is shown between two shots.
        repeats: finds frames that show a drawing again, whose time then belongs to the gap before the next drawing:
            motion is spread evenly over it. None takes every frame for one of its own.
        trail: is told of every frame that the window takes in.
        guard: judges gaps and what is made in them; None believes everything.
        lanes: make gaps side by side; None makes one after the other, in the caller's thread. The backend's verbs are
            then called from several threads at once, and `spec.kept_behind` must be None.

    Attributes:
        jumps: pts of frames handed on before which lies a cut, until somebody asks (see `Told`).

    Raises:
        UnknownTime: while drawing, if the model cannot render an instant (a midpoint model asked for a third).
    """

    def __init__(
        self,
        backend: Backend,
        timeline: Timeline,
        cuts: Cuts | None = None,
        *,
        at_cut: CutPolicy = "hold",
        repeats: Repeats | None = None,
        trail: Trail | None = None,
        guard: Guard | None = None,
        lanes: Lanes | None = None,
    ) -> None:
        self.lanes = lanes
        self.backend, self.timeline, self.at_cut = backend, deepcopy(timeline), at_cut
        self.cuts = None if at_cut == "off" else cuts
        self.repeats, self.trail, self.guard = repeats, trail, guard
        self.tally = Tally()
        self.jumps: set[Fraction] = set()
        self._jumps_next = False
        self._since: Fraction | None = None
        self._canvas: Canvas | None = None

    def __call__(self, source: Iterable[Frame], *, since: Fraction | None = None) -> Iterator[Frame]:
        """Frames in order of pts; each gap's instants, then those of the last frame's own time.

        Args:
            source: frames in order of pts.
            since: leave out, and do not render, what comes before this output pts.
        """
        return settled(self.begun(source, since=since), self.lanes)

    def begun(self, source: Iterable[Frame], *, since: Fraction | None = None) -> Iterator[Frame | Coming]:
        """The same frames; with lanes, those that the model makes as soon as they are begun. While one is handed on,
        the window has taken in just what it needs."""
        self._since = since
        last: Seen | None = None
        step: Fraction | None = None
        for window, here in self._gaps(source):
            last = window[here]
            if here + 1 == len(window):
                break
            step = window[here + 1].frame.pts - (last.held[-1] if last.held else last.frame.pts)
            yield from self._counted(self._gap(window, here))
        if last is not None:
            yield from self._counted(self._ending(last, step))

    def _counted(self, frames: Iterable[Frame | Coming]) -> Iterator[Frame | Coming]:
        tick = self.timeline.tick()
        for frame in frames:
            self.tally.frames_out += 1
            if self._jumps_next:
                self.jumps.add(frame.pts)
                self._jumps_next = False
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
        last: Seen | None = None
        for frame in source:
            self.tally.frames_in += 1
            if last is not None and self._repeated(last, frame):
                last.held.append(frame.pts)
                last.frame = replace(last.frame, duration=frame.pts + (frame.duration or 0) - last.frame.pts)
                self.tally.repeats += 1
                continue
            if last is not None and self.repeats is not None:
                yield last
            last = self._next_shown(last, frame)
            if self.repeats is None:
                yield last
        if last is not None and self.repeats is not None:
            yield last

    def _next_shown(self, last: Seen | None, frame: Frame) -> Seen:
        """The frame in its shot, once it is known to be no repeat."""
        shot = 0 if last is None else last.shot
        if last is not None and self.cuts is not None and self.cuts.between(last.frame, frame):
            shot += 1
            self.tally.cuts += 1
        if self.trail is not None:
            self.trail.add(
                frame,
                frames=self.tally.frames_in - 1,
                cuts=self.tally.cuts,
                state=getattr(self.cuts, "state", []),
                repeats=getattr(self.repeats, "state", []),
            )
        return Seen(frame, shot)

    def _repeated(self, last: Seen, frame: Frame) -> bool:
        return self.repeats is not None and self.repeats.holds(last.frame, frame, len(last.held))

    def _gap(self, window: list[Seen], here: int) -> Iterator[Frame | Coming]:
        a, b = window[here], window[here + 1]
        instants = [instant for instant in self._instants(a, b.frame.pts) if self._is_wanted(instant)]
        if a.shot != b.shot:
            if self.guard is not None:
                self.guard.cut(a.frame, b.frame, self.at_cut)
            yield from self._apart(a.frame, b.frame, instants, self.at_cut, is_cut=True)
            return
        asked = any(instant.t != 0 for instant in instants)
        still = asked and same_picture(a.frame, b.frame)
        if asked and not still and self.guard is not None and self.guard.doubts(a.frame, b.frame):
            self.tally.doubted += sum(instant.t != 0 for instant in instants)
            yield from self._apart(a.frame, b.frame, instants, self.guard.fallback, is_cut=False)
            return
        for instant in instants:
            if instant.t == 0 or still:
                yield replace(a.frame, pts=instant.pts)
        if asked and not still:
            yield from self._between(window, here, [instant for instant in instants if instant.t != 0])

    def _between(self, window: list[Seen], here: int, instants: Sequence[Instant]) -> Iterator[Frame | Coming]:
        """What the model makes of a gap, at instants after its first frame."""
        a, b = window[here].frame, window[here + 1].frame
        for instant in instants:
            self._check_time(instant)
        context = context_of(self.backend.spec, window, here)
        self._canvas = self._canvas or Canvas(a.size, self.backend.spec.multiple)
        scene = Once(partial(self._relate, context))
        stillness = None if self.guard is None else Once(partial(Stillness, a, b))
        make = partial(self._made, scene, stillness, a)
        self.tally.rendered += len(instants)
        if self.lanes is None:
            yield from make(instants)
            return
        for k in range(0, len(instants), TOGETHER):
            some = instants[k : k + TOGETHER]
            yield from self.lanes.begin([instant.pts for instant in some], partial(make, some))

    def _instants(self, a: Seen, end: Fraction) -> list[Instant]:
        """What the timeline wants of a gap: asked for each frame that was shown in it, told of the gap as a whole.

        a.frame   held[0]   held[1]   end           a drawing on threes
          |----.----|----.----|----.----|           each part's instants ...
          0   1/6  1/3  1/2  2/3  5/6   1           ... at their t in the whole
        """
        begins = [a.frame.pts, *a.held]
        whole = end - a.frame.pts
        self._check_clock(a.frame.pts, end)
        found = []
        for begin, past in zip(begins, [*begins[1:], end], strict=True):
            for pts, t in self.timeline.between(begin, past):
                found.append(Instant(pts, (begin + t * (past - begin) - a.frame.pts) / whole))
        return found

    def _check_clock(self, begin: Fraction, end: Fraction) -> None:
        """BrokenClock if a frame would be repeated for hours: a damaged file's clock jumps by years."""
        tick = self.timeline.tick()
        if tick is not None and end - begin > LONGEST_GAP:
            raise BrokenClock(
                f"the video shows one frame for {float(end - begin):.6g} s, from {float(begin):.6g} s on",
                f"it would be repeated {int((end - begin) / tick)} times: a clock that does not jump is needed",
                "--times 2, which keeps the video's own clock, or --start and --end for a part without the jump",
            )

    def _is_wanted(self, instant: Instant) -> bool:
        return self._since is None or instant.pts >= self._since

    def _ending(self, last: Seen, step: Fraction | None) -> Iterator[Frame]:
        """The last frame's own time: it is shown as long as its container says, or as long as the one before it."""
        begins = [last.frame.pts, *last.held]
        until = last.frame.pts + (last.frame.duration or 0)
        end = until if until > begins[-1] else begins[-1] + (step or Fraction(1, 25))
        self._check_clock(last.frame.pts, end)
        for begin, past in pairwise(begins):
            for instant in filter(self._is_wanted, self.timeline.between(begin, past)):
                yield replace(last.frame, pts=instant.pts, duration=None)
        for instant in filter(self._is_wanted, self.timeline.after(begins[-1], end)):
            yield replace(last.frame, pts=instant.pts, duration=self.timeline.span(begins[-1], end))

    def _made(
        self, scene: Once[Any], stillness: Once[Stillness] | None, like: Frame, instants: Sequence[Instant]
    ) -> Iterator[Frame]:
        for instant in instants:
            frame = self._render(scene(), like, instant)
            yield frame if stillness is None else stillness().kept(frame)

    def _relate(self, context: Sequence[Seen]) -> Any:
        """What the context of a gap says together; it ends where its shot does."""
        with self.tally.watch.running():
            return self.backend.relate([self._embedded(seen) for seen in context])

    def _embedded(self, seen: Seen) -> Any:
        assert self._canvas is not None
        with seen.embedding_now:
            if seen.embedding is None:
                seen.embedding = self.backend.embed(self._canvas.enter(seen.frame))
            return seen.embedding

    def _check_time(self, instant: Instant) -> None:
        if not self.backend.spec.any_time and instant.t != HALF:
            raise UnknownTime(
                f"a frame at t = {instant.t} of a gap", "this model knows only the middle, t = 1/2", "--times 2"
            )

    def _render(self, scene: Any, like: Frame, instant: Instant) -> Frame:
        assert self._canvas is not None
        with self.tally.watch.running():
            picture = self.backend.render(scene, torch.tensor([float(instant.t)]))
            return self._canvas.leave(picture, instant.pts, like)

    def _apart(self, a: Frame, b: Frame, instants: list[Instant], policy: str, *, is_cut: bool) -> Iterator[Frame]:
        """What is shown where nothing is rendered: the nearer frame, or both mixed. Where it jumps is kept for later
        passes, if it is a cut."""
        has_jumped = not is_cut
        for instant in instants:
            if policy == "blend" and instant.t != 0:
                self._jumps_next, has_jumped = is_cut, True
                mixed: Tensor = to_float(a.data).lerp(to_float(b.data), float(instant.t))
                yield Frame(to_integer(mixed, a.data.dtype), instant.pts)
            elif instant.t < HALF:
                shown = replace(a, pts=instant.pts)
                yield shown if instant.t == 0 else replace(shown, duration=None)
            else:
                self._jumps_next, has_jumped = self._jumps_next or not has_jumped, True
                yield replace(b, pts=instant.pts, duration=None)
        if is_cut and (policy == "blend" or not has_jumped):
            self._jumps_next = True


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
