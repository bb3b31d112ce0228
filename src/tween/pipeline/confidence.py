"""Where a frame in between can be believed, from the two frames around it alone.

still      both neighbours agree around a pixel, and what was made there is near them: the pixel is theirs, exactly
doubt      motion one way does not lead back, or what it leads to is not there: nobody can know what lies between

Both are judged from pixels, whatever model made the frame. How the numbers were chosen: docs/rendering.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import CannotWrite
from ..frame import Frame
from ..models.dis import Array, both_ways, looked_up, opencv
from ..ops.canvas import full_scale
from ..video.cuts import LUMA

SAME_LEVELS = 2.0  # difference of any channel, 0..255, up to which both neighbours agree
AROUND = 3  # pixels: they agree over a window of this size
MADE_LEVELS = 24.0  # mean change of what was made there: more is something that passes between the two
MADE_AROUND = 15  # pixels: over a window of this size
SMALL = 256  # pixels of the longer side on which motion is judged
CONSISTENT = 1.0  # pixels, plus a tenth of the motion: a way there and back ends no further off
FITS_LEVELS = 12.0  # difference of luma at which what motion leads to fits half
ENOUGH = 0.25  # confidence below which a blend was nearer the truth than a model

Fallback = Literal["hold", "blend", "off"]


@dataclass(frozen=True)
class Incident:
    """A gap in which nothing was rendered, and why.

    Attributes:
        begin, end: pts of the two frames around it, seconds.
        why: in words. confidence: 0 to 1, or None at a cut.
        shown: what was shown instead.
    """

    begin: Fraction
    end: Fraction
    why: str
    confidence: float | None
    shown: str

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and text."""
        return {**self.__dict__, "begin": float(self.begin), "end": float(self.end)}


class Guard:
    """Judges each gap before it is rendered, and each frame after.

    Args:
        fallback: what is shown in a gap that cannot be believed; "off" renders it all the same.
        enough: the least confidence to render at.

    Attributes:
        incidents: gaps in which nothing was rendered.
    """

    def __init__(self, fallback: Fallback = "blend", *, enough: float = ENOUGH) -> None:
        self.fallback, self.enough = fallback, enough
        self.incidents: list[Incident] = []

    def doubts(self, a: Frame, b: Frame) -> bool:
        """Whether to fall back between two neighbours."""
        if self.fallback == "off":
            return False
        found = matched(a, b)
        if found.confidence >= self.enough:
            return False
        confidence = round(found.confidence, 4)
        self.incidents.append(Incident(a.pts, b.pts, found.words(), confidence, self.fallback))
        return True

    def cut(self, a: Frame, b: Frame, shown: str) -> None:
        """Note a cut."""
        self.incidents.append(Incident(a.pts, b.pts, "a cut", None, shown))


class Stillness:
    """Keeps what rests between two frames as it is.

    Args:
        a, b: the two neighbours, of one size and depth.
    """

    def __init__(self, a: Frame, b: Frame) -> None:
        cv2 = opencv()
        self._scale = full_scale(a.data.dtype) // 255
        self._a, last = _planes(a), _planes(b)
        apart = reduce(cv2.max, (cv2.absdiff(*pair) for pair in zip(self._a, last, strict=True)))
        largest = cv2.dilate(apart, np.ones((AROUND, AROUND), np.uint8))
        self._agree = (largest <= SAME_LEVELS * self._scale).astype(np.uint8)
        self.is_none = not self._agree.any()
        self._low, self._high = ([f(*pair) for pair in zip(self._a, last, strict=True)] for f in (cv2.min, cv2.max))

    def kept(self, frame: Frame) -> Frame:
        """A frame rendered between them, with what rests as both show it: no value there leaves their range, so that
        what is equal in both is equal in it."""
        if self.is_none:
            return frame
        cv2, made = opencv(), _planes(frame)
        change = reduce(cv2.add, (cv2.subtract(*pair, dtype=cv2.CV_32F) for pair in zip(made, self._a, strict=True)))
        off = cv2.blur(change, (MADE_AROUND, MADE_AROUND))
        still = self._agree * (cv2.absdiff(off, 0.0) <= 3 * MADE_LEVELS * self._scale)
        data = frame.data.clone()
        for plane, low, high in zip(_planes(Frame(data, frame.pts)), self._low, self._high, strict=True):
            cv2.copyTo(cv2.min(cv2.max(plane, low), high), still, plane)
        return Frame(data, frame.pts, frame.duration)


def _planes(frame: Frame) -> list[Array]:
    """The three planes `[H, W]` of a frame's colour, in its own memory."""
    return list(frame.data[:3].numpy())


@dataclass(frozen=True)
class Doubt:
    """How far two frames can be matched.

    Attributes:
        confidence: 0 (nothing of one is in the other) to 1 (all of it, and there and back agree).
        consistent: share of pixels whose motion there and back agrees.
        fits: how well what motion leads to is there, 0 to 1.
    """

    confidence: float
    consistent: float
    fits: float

    def words(self) -> str:
        """Which of the two is worse."""
        if self.consistent < self.fits:
            return f"motion there and back agrees in {self.consistent:.0%} of the picture only"
        return f"what motion leads to fits by {self.fits:.0%} only"


def matched(a: Frame, b: Frame) -> Doubt:
    """How far two neighbours can be matched, on their small lumas, by dense optical flow both ways."""
    first, last = small_luma(a), small_luma(b)
    ahead, back = both_ways(first, last)
    consistent, fits = zip(
        *(_one_way(*way) for way in ((first, last, ahead, back), (last, first, back, ahead))), strict=True
    )
    both = float(np.mean([(c * f).mean() for c, f in zip(consistent, fits, strict=True)]))
    return Doubt(both, float(np.mean([c.mean() for c in consistent])), float(np.mean([f.mean() for f in fits])))


def small_luma(frame: Frame) -> Array:
    """float32 `[h, w]` in 0..255, SMALL pixels along the longer side at most."""
    data = frame.data[:3]
    step = max(1, max(frame.size) // (2 * SMALL))
    rows = data[:, ::step, ::step].float()
    grey = (rows[0] * LUMA[0] + rows[1] * LUMA[1] + rows[2] * LUMA[2]) * (255 / full_scale(data.dtype))
    height, width = (max(16, round(n * min(1.0, SMALL / max(grey.shape)))) for n in grey.shape)
    return opencv().resize(grey.contiguous().numpy(), (width, height), interpolation=opencv().INTER_AREA)


def _one_way(source: Array, target: Array, there: Array, back: Array) -> tuple[Array, Array]:
    """Per pixel of `source`: 1 where the way there and back ends where it began, and how well the target fits."""
    error = np.hypot(*np.moveaxis(there + looked_up(back, there, 1), -1, 0))
    length = np.hypot(*np.moveaxis(there, -1, 0))
    apart = opencv().blur(np.abs(source - looked_up(target, there, 1)), (5, 5))
    return (error <= CONSISTENT + 0.1 * length).astype(np.float32), np.exp2(-apart / FITS_LEVELS)


def write_report(path: Path, guard: Guard, *, output: str, resumed: int) -> None:
    """Write where a render fell back, and why, as JSON.

    Raises:
        CannotWrite: the file cannot be written; the video is whole.
    """
    told = {
        "output": output,
        "fallback": guard.fallback,
        "least_confidence": guard.enough,
        "frames_of_an_earlier_run": resumed,
        "incidents": [one.as_json() for one in guard.incidents],
    }
    try:
        path.write_text(json.dumps(told, indent=1) + "\n")
    except OSError as error:
        need = "a place that can be written is needed; the video itself is whole"
        raise CannotWrite(f"--report {path}: {error.strerror}", need) from error
