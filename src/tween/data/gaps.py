"""What lies between the frames of a clip: cuts, change, motion; measured once a file, then remembered."""

from __future__ import annotations

import hashlib
import importlib
import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..errors import BrokenPicture
from ..frame import Frame
from ..video.cuts import CutDetector, luma, same_picture
from .clips import Clip, PictureClip, VideoClip
from .remember import keep, recall, stamp

cv2: Any = importlib.import_module("cv2")  # its type stubs know nothing of DIS

log = logging.getLogger(__name__)

VERSION = 1  # of what is measured; another number measures everything again
LOOK = 256  # pixels of the longer side of what motion is measured on
TOGETHER = 4  # frames read at a time
FLAT_LEVELS = 0.5  # added to the gradient, so that the noise of a flat picture is not motion out of reach


class Gaps(NamedTuple):
    """What was measured between each frame and the next, arrays of [frames - 1].

    Attributes:
        cut: another shot begins. broken: one of the two frames cannot be read.
        change: mean absolute difference of the small lumas, levels; 0 exactly where the pictures are the same.
        motion: mean length of the flow, pixels of the clip.
        rest: what flow leaves of the change, over the mean gradient.
    """

    cut: NDArray[np.bool_]
    broken: NDArray[np.bool_]
    change: NDArray[np.float64]
    motion: NDArray[np.float64]
    rest: NDArray[np.float64]


def measured(clip: Clip) -> Gaps:
    """What lies between the frames of a clip; measured once, then remembered.

    Raises:
        BrokenPicture: no frame can be read.
    """
    key, mark = _key(clip)
    kept = recall(key)
    rows = [kept.get(name) for name in Gaps._fields]
    if kept.get("mark") == mark and all(isinstance(row, list) and len(row) == clip.length - 1 for row in rows):
        return Gaps(*(np.array(row, kind) for row, kind in zip(rows, KINDS, strict=True)))
    log.info("looking through %s, %d frames, for what can be learnt from", clip.name, clip.length)
    gaps = _measure(clip)
    keep(key, {"mark": mark, **{name: row.tolist() for name, row in gaps._asdict().items()}})
    return gaps


KINDS: tuple[Any, ...] = (np.bool_, np.bool_, np.float64, np.float64, np.float64)


def _key(clip: Clip) -> tuple[str, str]:
    """Which file and range it is, and by what a change of it is known."""
    if isinstance(clip, VideoClip):
        path = Path(clip.path).resolve()
        return f"gaps {VERSION} {path} {clip.start} {clip.length} {clip.step} {clip.crop}", stamp(path)
    assert isinstance(clip, PictureClip)
    marks = [f"{path} {stamp(Path(path)) if Path(path).is_file() else 'missing'}" for path in clip.paths]
    return f"gaps {VERSION} {clip.paths[0]} {clip.length}", hashlib.sha256("\n".join(marks).encode()).hexdigest()


def _measure(clip: Clip) -> Gaps:
    rows: list[tuple[bool, bool, float, float, float]] = []
    looker = _Looker()
    before: Seen | None = None
    for place, frame in enumerate(_frames(clip)):
        seen = None if frame is None else looker.seen(frame)
        if place and before is not None and seen is not None:
            rows.append(looker.between(before, seen))
        elif place:
            rows.append((False, True, 0.0, 0.0, 0.0))
        before = seen
    if before is None and all(row[1] for row in rows):
        raise BrokenPicture(f"no frame of {clip.name} can be read", "whole pictures are needed")
    columns = list(zip(*rows, strict=True)) if rows else [()] * 5
    return Gaps(*(np.array(column, kind) for column, kind in zip(columns, KINDS, strict=True)))


def _frames(clip: Clip) -> Iterator[Tensor | None]:
    """Every frame in order, None for one that is broken; a few are read at a time."""
    for first in range(0, clip.length, TOGETHER):
        places = range(first, min(clip.length, first + TOGETHER))
        try:
            yield from clip.read(places)
        except BrokenPicture:
            for place in places:
                yield _one(clip, place)


def _one(clip: Clip, place: int) -> Tensor | None:
    try:
        return clip.read([place])[0]
    except BrokenPicture as error:
        log.warning("%s", error.got)
        return None


class Seen(NamedTuple):
    """A frame, its small luma, and the grey picture that motion is measured on."""

    frame: Frame
    small: Tensor
    grey: NDArray[np.uint8]


class _Looker:
    """Measures what lies between frames, asked in order."""

    def __init__(self) -> None:
        self._cuts = CutDetector()
        self._dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._dis.setFinestScale(1)

    def seen(self, data: Tensor) -> Seen:
        """What is looked at of a frame, uint8 RGB [3, H, W]."""
        frame = Frame(data, Fraction(0))
        high, wide = frame.size
        shrunk = min(1.0, LOOK / max(high, wide))
        size = (max(16, round(wide * shrunk)), max(16, round(high * shrunk)))
        grey = cv2.resize(data[1].numpy(), size, interpolation=cv2.INTER_AREA)  # green: most of what luma is made of
        return Seen(frame, luma(frame), grey)

    def between(self, a: Seen, b: Seen) -> tuple[bool, bool, float, float, float]:
        """The row of `Gaps` between two neighbours."""
        is_cut = self._cuts.gap(a.small, b.small)
        if same_picture(a.frame, b.frame):
            return is_cut, False, 0.0, 0.0, 0.0
        change = max(0.001, round(float((a.small - b.small).abs().mean()), 3))
        flow = self._dis.calc(a.grey, b.grey, None)
        motion = float(np.hypot(flow[..., 0], flow[..., 1]).mean()) * a.frame.size[1] / a.grey.shape[1]
        return is_cut, False, change, round(motion, 3), round(rest(a.grey, b.grey, flow), 3)


def rest(a: NDArray[np.uint8], b: NDArray[np.uint8], flow: NDArray[np.float32]) -> float:
    """How much of `a` is not found in `b` along `flow` [H, W, 2]: mean absolute difference over mean gradient."""
    rows, columns = np.indices(a.shape, np.float32)
    followed = cv2.remap(
        b, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    wide = a.astype(np.float32)
    gradient = np.abs(np.diff(wide, axis=0)).mean() + np.abs(np.diff(wide, axis=1)).mean()
    return float(np.abs(wide - followed).mean() / (gradient + FLAT_LEVELS))
