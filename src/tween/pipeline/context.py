"""Which frames of a window are a model's context. None is across a cut, and none out of step where that misleads."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol, TypeVar

from ..frame import Frame
from ..models.model import Spec

OUT_OF_STEP = Fraction(1, 5)  # of a gap: how far from its even place a frame may be


class InShot(Protocol):
    """A frame of a window, and the shot it belongs to."""

    frame: Frame
    shot: int


Seen = TypeVar("Seen", bound=InShot)


def context_of(spec: Spec, window: Sequence[Seen], here: int) -> list[Seen]:
    """What a model is shown around the gap that begins `here`, in the order of its context."""
    shots, times = [seen.shot for seen in window], [seen.frame.pts for seen in window]
    return [window[place] for place in places(spec, here, shots, times)]


def places(spec: Spec, here: int, shots: Sequence[int], times: Sequence[Fraction]) -> list[int]:
    """Places in a window of the frames that `spec.context` names; where there is none, the nearest of the shot.

    Args:
        spec: the model's.
        here: place of the frame that stands at 0.
        shots: the shot of each frame of the window.
        times: when each is shown, seconds.
    """
    shot = [place for place, number in enumerate(shots) if number == shots[here]]
    found = [min(max(here + k, shot[0]), shot[-1]) for k in spec.context]
    if not spec.even or here == shot[-1]:
        return found
    gap = times[here + 1] - times[here]
    for near, outward in ((0, [k for k in spec.context[::-1] if k < 0]), (1, [k for k in spec.context if k > 1])):
        in_step = True  # what lies beyond a frame that is not, is not either
        for k in outward:
            place = spec.context.index(k)
            late = times[found[place]] - times[here] - k * gap
            in_step = in_step and abs(late) <= abs(k - near) * OUT_OF_STEP * gap
            found[place] = found[place] if in_step else here + near
    return found
