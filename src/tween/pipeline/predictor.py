"""The future of a stream: what comes after the frames that were seen.

window   [ -1   0 ] -> 1, 2, 3 ...     the context ends at 0, so nothing waits for a frame that has not come
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch

from ..backends.backend import Backend
from ..errors import BadOption, TooShort, UnknownTime
from ..frame import Frame
from ..metrics.image import psnr, ssim_3d
from ..ops.canvas import Canvas, to_float
from .interpolator import Cuts, Tally


class Predictor:
    """Shows frames before they arrive.

    A model that knows any t is asked for it at once; one that knows only the next step is fed its own output.
    What straddles a cut says nothing of the future: then the newest frame is held.

    Args:
        backend: runs a model whose context ends at 0.
        cuts: finds scene cuts; None never finds one.

    Raises:
        UnknownTime: the model interpolates and cannot predict.
    """

    def __init__(self, backend: Backend, cuts: Cuts | None = None) -> None:
        if not backend.spec.predicts:
            raise UnknownTime(
                f"a model that looks at {backend.spec.context}",
                "to predict, a context must end at 0, the newest frame",
                "--model ifrvp (see `tween models`)",
            )
        self.backend, self.cuts, self.tally = backend, cuts, Tally()
        self._canvas: Canvas | None = None
        self._seen: deque[tuple[Frame, Any]] = deque(maxlen=1 - backend.spec.context[0])

    def see(self, frame: Frame) -> None:
        """Take in the newest frame."""
        self.tally.frames_in += 1
        if self._seen and self.cuts is not None and self.cuts.between(self._seen[-1][0], frame):
            self.tally.cuts += 1
            self._seen.clear()
        self._take(frame)

    def future(self, ahead: int) -> Iterator[Frame]:
        """The next `ahead` frames, one gap apart, after what was seen. Seeing goes on from where it was.

        Raises:
            TooShort: nothing was seen yet.
        """
        if not self._seen:
            raise TooShort("no frame", "a future needs at least one frame before it")
        newest = self._seen[-1][0]
        gap = newest.pts - self._seen[-2][0].pts if len(self._seen) > 1 else newest.duration or Fraction(1, 25)
        kept = self._seen.copy()
        scene: Any = None
        for k in range(1, ahead + 1):
            frame = replace(newest, pts=newest.pts + k * gap, duration=gap, native=None)
            if len(self._seen) > 1:
                scene = self._relate() if scene is None or not self.backend.spec.any_time else scene
                frame = self._render(scene, k if self.backend.spec.any_time else 1, frame)
                if not self.backend.spec.any_time and k < ahead:
                    self._take(frame)  # its own output is the newest frame now
            self.tally.frames_out += 1
            yield frame
        self._seen = kept

    def _take(self, frame: Frame) -> None:
        with self.tally.watch.running():
            self._canvas = self._canvas or Canvas(frame.size, self.backend.spec.multiple)
            self._seen.append((frame, self.backend.embed(self._canvas.enter(frame))))

    def _relate(self) -> Any:
        newest = len(self._seen) - 1
        with self.tally.watch.running():
            return self.backend.relate([self._seen[max(0, newest + k)][1] for k in self.backend.spec.context])

    def _render(self, scene: Any, t: int, like: Frame) -> Frame:
        assert self._canvas is not None
        with self.tally.watch.running():
            shown = self._canvas.leave(self.backend.render(scene, torch.tensor([float(t)])), like.pts, like)
        self.tally.rendered += 1
        return replace(shown, duration=like.duration)


def zero_delay(predictor: Predictor, source: Iterable[Frame], ahead: int = 1) -> Iterator[tuple[Frame, Frame]]:
    """(shown, real) for each frame of a stream: what was shown at its time, predicted from the frames up to `ahead`
    before it, and what really came. The first `ahead` frames are themselves.

    Raises:
        BadOption: `ahead` is not at least 1.
    """
    if ahead < 1:
        raise BadOption(f"--ahead {ahead}", "at least 1 frame ahead is needed", "--ahead 1")
    waiting: deque[Frame] = deque()
    for real in source:
        known = len(waiting) < ahead
        yield real if known else replace(waiting.popleft(), pts=real.pts, duration=real.duration), real
        predictor.see(real)
        *_, furthest = predictor.future(ahead)
        waiting.append(furthest)


def after_last(predictor: Predictor, source: Iterable[Frame], ahead: int) -> Iterator[Frame]:
    """The `ahead` frames after the last one, as a clip of its own that begins at 0.

    Raises:
        BadOption: `ahead` is not at least 1.
    """
    if ahead < 1:
        raise BadOption(f"--ahead {ahead}", "at least 1 frame ahead is needed", "--ahead 1")
    for frame in source:
        predictor.see(frame)
    start: Fraction | None = None
    for frame in predictor.future(ahead):
        start = frame.pts if start is None else start
        yield replace(frame, pts=frame.pts - start)


class Score:
    """Mean PSNR and SSIM of what was shown against what really came, over the frames that were predicted.

    PSNR is over 8-bit RGB, a frame at a time; SSIM is the 3-D one (`metrics.image.ssim_3d`). Frames that were right to
    the bit, whose PSNR is infinite, count as 100 dB, so that one still does not hide all motion.
    """

    CEILING_DB = 100.0

    def __init__(self) -> None:
        self._psnr: list[float] = []
        self._ssim: list[float] = []

    def of(self, pairs: Iterable[tuple[Frame, Frame]]) -> Iterator[Frame]:
        """What was shown, scored as it passes."""
        for shown, real in pairs:
            if shown is not real:
                a, b = (to_float(frame.data[:3]).unsqueeze(0) for frame in (shown, real))
                self._psnr.append(min(float(psnr(a, b)), self.CEILING_DB))
                self._ssim.append(float(ssim_3d(a, b)))
            yield shown

    @property
    def psnr(self) -> float | None:
        """dB, or None if nothing was scored."""
        return sum(self._psnr) / len(self._psnr) if self._psnr else None

    @property
    def ssim(self) -> float | None:
        """Mean SSIM, or None if nothing was scored."""
        return sum(self._ssim) / len(self._ssim) if self._ssim else None
