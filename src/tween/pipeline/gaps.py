"""The newest frames of a stream, and what a model shows around them: one gap at a time.

window   [ -1   0 | 1   2 ]     between frames: as many after the gap's first as the model looks at
window   [ -1   0 ]             predicting: the gap begins at the newest frame, and nobody knows its end
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..backends.backend import Backend
from ..frame import Frame
from ..ops.canvas import Canvas, to_integer
from ..video.cuts import same_picture
from .context import context_of
from .interpolator import Cuts

HALF = Fraction(1, 2)


@dataclass
class Seen:
    """A frame as it came, as it is worked on (smaller, where the inner size is), and the shot it belongs to."""

    original: Frame
    frame: Frame
    shot: int
    embedding: Any = field(default=None, repr=False)


@dataclass
class Picture:
    """What a model shows at an instant.

    Attributes:
        frame: of the inner size.
        made: False for a source frame, or one that is held.
        flow: motion over the gap there, `[2, H, W]` pixels (x, y), where it was asked for and the model tells one.
    """

    frame: Frame
    made: bool
    flow: Tensor | None = None


class Gap:
    """From one frame to the next, or into the future, as one backend shows it.

    Attributes:
        a, b: the frames at its ends; without `b` it is the future of `a`.
    """

    def __init__(self, backend: Backend, canvas: Canvas, context: list[Seen], a: Seen, b: Seen | None) -> None:
        self.a, self.b = a, b
        self._backend, self._canvas, self._context = backend, canvas, context
        self._scene: Any = None
        if b is None:  # one frame says nothing of the future
            self._rests = all(seen is a for seen in context)
        else:
            self._rests = a.shot != b.shot or same_picture(a.frame, b.frame)

    @property
    def is_begun(self) -> bool:
        """Whether what its pictures share has been worked out."""
        return self._scene is not None

    def is_free(self, t: Fraction) -> bool:
        """Whether the picture at `t` costs nothing: it is a frame that came, or nothing can be between."""
        return t == 0 or self._rests

    def is_known(self, t: Fraction) -> bool:
        """Whether the model can show `t` at all."""
        return self.is_free(t) or self._backend.spec.any_time or t == (HALF if self.b else 1)

    def picture(self, pts: Fraction, t: Fraction, *, look: bool = False) -> Picture:
        """What is at `t`; `look` asks for the flow too."""
        if self.is_free(t):
            nearer = self.a if self.b is None or t < HALF else self.b
            return Picture(replace(nearer.frame, pts=pts, native=None, duration=None), made=False)
        if self._scene is None:
            self._scene = self._backend.relate([self._embedded(seen) for seen in self._context])
        data, flow = self._rendered(torch.tensor([float(t)]), look=look)
        return Picture(self._canvas.leave(data, pts, self.a.frame), True, flow)

    def newest(self, pts: Fraction) -> Picture:
        """The newest frame that is known of it, in the place of a picture that would come too late."""
        nearer = self.b or self.a
        return Picture(replace(nearer.frame, pts=pts, native=None, duration=None), made=False)

    def _rendered(self, t: Tensor, *, look: bool) -> tuple[Tensor, Tensor | None]:
        tell = getattr(self._backend, "look", None) if look else None
        if tell is None:
            return self._backend.render(self._scene, t), None
        told = tell(self._scene, t)
        flow = told.aux.get("flow")
        data = told.frame.to("cpu", torch.float32)
        if flow is None or flow.shape[1] != 4 or flow.shape[-2:] != data.shape[-2:]:
            return data, None
        flow = self._canvas.crop(flow.to("cpu", torch.float32))[0]
        return data, flow[2:] - flow[:2]

    def _embedded(self, seen: Seen) -> Any:
        if seen.embedding is None:
            seen.embedding = self._backend.embed(self._canvas.enter(seen.frame))
        return seen.embedding


class Gaps:
    """Frames in, gaps out. No context looks across a cut.

    Args:
        backend: runs the model on pictures of `size`.
        size: (H, W) that frames are brought to.
        cuts: finds scene cuts; None never finds one.
    """

    def __init__(self, backend: Backend, size: tuple[int, int], cuts: Cuts | None) -> None:
        self.backend, self.size, self.cuts, self.found_cuts = backend, size, cuts, 0
        self._past, self._future = max(0, -backend.spec.context[0]), max(0, backend.spec.context[-1])
        self._canvas = Canvas(size, backend.spec.multiple)
        self._window: deque[Seen] = deque(maxlen=self._past + self._future + 1)
        self._rest = 0  # frames at the window's end that no gap began at yet

    @property
    def newest(self) -> Seen | None:
        """The last frame that was taken in."""
        return self._window[-1] if self._window else None

    def forget(self) -> None:
        """Begin anew: what comes next does not follow on what came."""
        self._window.clear()
        self._rest = 0

    def take(self, frame: Frame) -> Gap | None:
        """Take in the next frame -> the gap that it completes, if it does."""
        inner, before = shrunk(frame, self.size), self.newest
        shot = 0 if before is None else before.shot
        if before is not None and self.cuts is not None and self.cuts.between(before.frame, inner):
            shot, self.found_cuts = shot + 1, self.found_cuts + 1
        self._window.append(Seen(frame, inner, shot))
        self._rest = min(self._rest + 1, self._future + 1)
        return self._gap(len(self._window) - 1 - self._future) if self._rest == self._future + 1 else None

    def rest(self) -> list[Gap]:
        """After the last frame: the gaps that waited for frames which will not come."""
        first = len(self._window) - self._rest + (self._rest == self._future + 1)
        found = [self._gap(here) for here in range(max(0, first), len(self._window) - 1)] if self._future else []
        self._rest = 0
        return found

    def last(self) -> Gap | None:
        """The last frame alone, which is held."""
        seen = self.newest
        return None if seen is None else Gap(self.backend, self._canvas, [seen], seen, None)

    def _gap(self, here: int) -> Gap:
        window = list(self._window)
        after = window[here + 1] if self._future else None
        return Gap(self.backend, self._canvas, context_of(self.backend.spec, window, here), window[here], after)


def shrunk(frame: Frame, size: tuple[int, int]) -> Frame:
    """The frame at another size, antialiased; itself where it has it already."""
    if frame.size == size:
        return frame
    deep = frame.data.dtype != torch.uint8
    data = frame.data[None].float() if deep else frame.data[None]
    smaller = F.interpolate(data, size=size, mode="bilinear", antialias=True, align_corners=False)[0]
    return replace(frame, data=to_integer(smaller / 65535, frame.data.dtype) if deep else smaller, native=None)
