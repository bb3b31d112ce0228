"""Windows of a film to measure a network on: spread over it, where it moves, with no cut inside.

film    |---------------------------------------------------------|
read        ======          ======          ======          ======      spots; a film that is short is read whole
parts       |--|--|         |--|--|         |--|--|         |--|--|     of each, the window that moves most
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import BadOption, EmptyVideo, TooShort
from ..frame import Frame, VideoInfo
from ..models.exported import moment
from ..models.model import Spec
from ..ops.canvas import Canvas, to_float, to_integer
from ..video.cuts import CutDetector, luma
from ..video.doors import open_source
from ..video.pipes import PIPE

WINDOWS: Final = 72  # that are looked for
LEAST: Final = 4  # without which nothing can be said
PART: Final = 8  # frames that a window is chosen from
SPOTS: Final = 24  # at which a long film is read
MOST_BYTES: Final = 1 << 30  # of all windows: of very large frames there are fewer
STILL_LEVELS: Final = 0.2  # mean change of a gap, of 255: where it is less nothing moves


@dataclass(frozen=True, eq=False)
class Window:
    """Frames of a context, and an instant.

    Attributes:
        frames: uint8 `[3, H, W]`, in the order of `spec.context`. t: in gaps.
    """

    frames: tuple[Tensor, ...]
    t: float

    def tensors(self, spec: Spec) -> tuple[Tensor, ...]:
        """As a model from frames to frame takes them: `[1, 3, H, W]` in [0, 1] and, where it takes any, `t` `[1]`."""
        frames = [to_float(frame).unsqueeze(0) for frame in self.frames]
        return (*frames, *[torch.tensor([self.t])] * spec.any_time)


def size_of(film: Path, multiple: int) -> tuple[int, int]:
    """(H, W) of the tensors that a film's frames become.

    Raises:
        BadOption: standard input, which cannot be read twice. MissingFile, NotAVideo, EmptyVideo: as `open_source`.
    """
    return Canvas(_info(film).size, multiple).size


def windows(film: Path, spec: Spec, size: tuple[int, int]) -> list[Window]:
    """Windows of neighbouring frames, in the film's order, at instants that take turns.

    Args:
        film: a video, or a folder of pictures. spec: of the network that will see them.
        size: (H, W), multiples of `spec.multiple`. A film of another size is scaled to cover it, and loses its edges.

    Raises:
        TooShort: too few frames for the context. BadOption: nothing moves; or as `size_of`.
        MissingFile, NotAVideo, EmptyVideo: as `open_source`.
    """
    span = spec.context[-1] - spec.context[0]
    each = len(spec.context) * 3 * size[0] * size[1]
    most = max(2 * LEAST, min(WINDOWS, MOST_BYTES // each))
    read, seen = 0, []
    for part, spot in _spots(film, span, most):
        for found in _parts(spot, part, span):
            read += found.frames
            if found.best is not None:
                places = [c - spec.context[0] for c in spec.context]
                seen.append(tuple(_fitted(found.best[place], size, spec.multiple) for place in places))
    if read < span + LEAST:
        got = f"--calibrate {film}: {read} frame{'s' * (read != 1)}"
        need = f"a context of {len(spec.context)} frames and {LEAST} windows of it need {span + LEAST} or more"
        raise TooShort(got, need, "a longer film")
    if len(seen) < LEAST:
        got = f"--calibrate {film}: {len(seen)} parts of it move, without a cut"
        raise BadOption(got, f"{LEAST} or more are needed to measure on", "a film with more motion")
    kept = [seen[k * len(seen) // most] for k in range(most)] if len(seen) > most else seen
    times = instants(spec)
    return [Window(frames, times[k % len(times)]) for k, frames in enumerate(kept)]


def instants(spec: Spec) -> tuple[float, ...]:
    """The t that a network is measured at."""
    if not spec.any_time:
        return (moment(spec),)
    return (1.0, 1.5, 2.0) if spec.predicts else (0.5, 0.25, 0.75)


@dataclass(frozen=True)
class _Part:
    """Some frames that were read: how many were new, and of all windows in them the one that moves most, if any."""

    frames: int
    best: tuple[Frame, ...] | None


def _info(film: Path) -> VideoInfo:
    if film == PIPE:
        raise BadOption("--calibrate -", "a file is needed: it is read more than once", "--calibrate film.mp4")
    with open_source(film) as source:
        return source.info


def _spots(film: Path, span: int, most: int) -> Iterator[tuple[int, Iterable[Frame]]]:
    """Frames to be read one after the other, and how many of them a part has."""
    info = _info(film)
    length = info.length or (int(info.duration * info.rate) if info.duration else None)
    parts = ceil(most / SPOTS)
    if length is None or not info.duration or length <= SPOTS * (parts * PART + span):
        with open_source(film) as source:
            yield max(1, (length or most * PART) // most), source
        return
    for k in range(SPOTS):
        start = Fraction(2 * k + 1, 2 * SPOTS) * info.duration
        try:
            with open_source(film, start=start) as source:
                yield PART, islice(source, parts * PART + span)
        except EmptyVideo:  # the film ends before its container says
            return


def _parts(frames: Iterable[Frame], part: int, span: int) -> Iterator[_Part]:
    """The best window that begins in each `part` frames; the window reaches `span` frames further."""
    recent: deque[tuple[Frame, Tensor]] = deque(maxlen=span + 1)
    changes: deque[float] = deque(maxlen=span)  # of each gap of a window, levels; -1 for a cut
    cuts, most, best, begun, new = CutDetector(), STILL_LEVELS, None, 0, 0
    for frame in frames:
        new += 1
        small = luma(frame)
        if recent:
            before = recent[-1][1]
            changes.append(-1.0 if cuts.gap(before, small) else float((small - before).abs().mean()))
        recent.append((frame, small))
        if len(recent) <= span:
            continue
        moved = sum(changes) / span if min(changes) >= 0 else 0.0
        if moved > most:
            most, best = moved, tuple(one for one, _ in recent)
        begun += 1
        if begun == part:
            yield _Part(new, best)
            most, best, begun, new = STILL_LEVELS, None, 0, 0
    yield _Part(new, best)


def _fitted(frame: Frame, size: tuple[int, int], multiple: int) -> Tensor:
    """uint8 `[3, *size]`: the frame on its canvas where that is the size, else scaled to cover it, its centre."""
    canvas = Canvas(frame.size, multiple)
    if canvas.size == size:
        return to_integer(canvas.enter(frame)[0], torch.uint8)
    scale = max(wanted / side for wanted, side in zip(size, frame.size, strict=True))
    high, wide = (max(wanted, ceil(scale * side)) for wanted, side in zip(size, frame.size, strict=True))
    picture = F.interpolate(to_float(frame.data).unsqueeze(0), size=(high, wide), mode="bilinear", antialias=True)
    top, left = (high - size[0]) // 2, (wide - size[1]) // 2
    return to_integer(picture[0, :, top : top + size[0], left : left + size[1]], torch.uint8)
