"""The most telling windows of a film: where much moves, and where the network as it is errs most.

runs --motion--> windows, spread over the shots --change--> a region of each --the network's error--> those that stay

They are kept in memory, so that nothing is decoded while the network learns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..data.clips import Clip, checked
from ..data.sample import windows
from ..errors import BrokenPicture
from ..models.model import Model, Spec
from ..ops.canvas import Canvas, to_float
from .film import Run

MOST_BYTES = 384 << 20  # of all windows that are learnt from; half as much for those that judge
MOST_WINDOWS = 160
ROUND = 16  # windows that are chosen together, spread over the film
LOWEST = 0.25  # the share of windows with the smallest error that is left out
LARGEST = (1088, 1920)  # of what judges; larger frames show their centre


class Window(NamedTuple):
    """A part of a film: `clip`'s number among its runs, the first frame, and the region of each frame (y, x, h, w)."""

    run: int
    start: int
    region: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Kept:
    """A clip in memory.

    Attributes:
        name, group: as in `Clip`. frames: uint8 `[N, 3, H, W]`.
    """

    name: str
    group: str
    frames: Tensor

    @property
    def length(self) -> int:
        return len(self.frames)

    def size(self) -> tuple[int, int]:
        return int(self.frames.shape[2]), int(self.frames.shape[3])

    def read(self, places: Sequence[int]) -> list[Tensor]:
        """As in `Clip`."""
        return [self.frames[place] for place in checked(places, self.length, self.name)]

    def flow(self, target: int, first: int, second: int) -> Tensor | None:  # noqa: ARG002
        """None: nobody knows."""
        return None


def gap_of(spec: Spec) -> int:
    """Source frames of a gap: every second frame is hidden, or, predicting, the next one asked for."""
    return 1 if spec.predicts else 2


def gaps_of(spec: Spec) -> tuple[int, ...]:
    """Gaps that are learnt from: wider ones too, so that a network of any time does not forget the other times."""
    return (2, 4) if spec.any_time and not spec.predicts else (gap_of(spec),)


def lengths_of(spec: Spec) -> tuple[int, int]:
    """Frames of the shortest window that a network can learn from, and of those that are kept."""
    least = windows(spec, gap_of(spec))[0].length
    return least, max(windows(spec, gap)[0].length for gap in gaps_of(spec))


def kept(run: Run, window: Window, length: int) -> Kept:
    """A window read into memory.

    Raises:
        BrokenPicture: it cannot be.
    """
    y, x, high, wide = window.region
    places = range(window.start, min(window.start + length, run.clip.length))
    frames = torch.stack([frame[:, y : y + high, x : x + wide] for frame in run.clip.read(list(places))])
    name = f"{run.clip.name} frames {places.start}..{places.stop - 1} at {x},{y}"
    return Kept(name, f"shot {run.shot}", frames.contiguous())


def judges(runs: Sequence[Run], spec: Spec, count: int) -> list[Window]:
    """At most `count` windows, evenly over the runs, of whole frames: not the most telling, but what comes."""
    length = lengths_of(spec)[0]
    steps = [(k, start) for k, run in enumerate(runs) for start in range(0, run.clip.length - length + 1, length - 1)]
    size = runs[0].clip.size()
    count = max(1, min(count, len(steps), MOST_BYTES // 2 // _bytes(size, LARGEST, length)))
    chosen = [steps[(2 * k + 1) * len(steps) // (2 * count)] for k in range(count)]
    return [Window(k, start, _centre(runs[k].clip.size(), LARGEST)) for k, start in chosen]


def telling(
    runs: Sequence[Run],
    model: Model,
    crop: tuple[int, int],
    *,
    seconds: float,
    seed: int,
    told: Callable[[float], None],
) -> list[Window]:
    """The windows to learn from.

    Args:
        runs: to learn from. model: as it is, in eval mode. crop: (H, W) of a sample; regions are half as large again.
        seconds: how long this may take. seed: of the choice. told: how far it is, 0 to 1.

    Raises:
        BrokenPicture: not one can be read.
    """
    spec, rng = model.spec, np.random.default_rng(seed)
    least, length = lengths_of(spec)
    most = max(ROUND, min(MOST_WINDOWS, MOST_BYTES // _bytes((2 * crop[0], 2 * crop[1]), (1 << 30,) * 2, length)))
    begun, broken = time.perf_counter(), ""
    found: list[tuple[float, Window]] = []
    for together in _rounds(runs, least, rng):
        if len(found) >= most or (found and time.perf_counter() - begun > seconds):
            break
        for number, start in sorted(together):
            try:
                found.append(_judged(runs[number], number, start, model, crop, length, rng))
            except BrokenPicture as error:
                broken = error.got
        told(max(len(found) / most, min(1.0, (time.perf_counter() - begun) / seconds)))
    if not found:
        raise BrokenPicture(broken or "no window of the film could be read", "whole pictures are needed")
    found.sort(key=lambda one: -one[0])
    return [window for _, window in found[: max(1, round((1 - LOWEST) * len(found)))]]


def _rounds(runs: Sequence[Run], least: int, rng: np.random.Generator) -> Iterator[list[tuple[int, int]]]:
    """(run, start) in rounds, each drawn over the whole film: more often where more moves, none twice."""
    places = [(k, start) for k, run in enumerate(runs) for start in range(run.clip.length - least + 1)]
    motion = np.array([runs[k].motion[start : start + least - 1].mean() for k, start in places])
    weights = np.minimum(motion, 4 * np.median(motion)) + 0.1 * motion.mean() + 1e-6  # what moves wildly says little
    order = np.argsort(rng.exponential(size=len(places)) / weights)
    for first in range(0, len(order), ROUND):
        yield [places[k] for k in order[first : first + ROUND]]


def _judged(
    run: Run, number: int, start: int, model: Model, crop: tuple[int, int], length: int, rng: np.random.Generator
) -> tuple[float, Window]:
    """The error of the network as it is in the region of a window that changes most, or nearly most."""
    window = windows(model.spec, gap_of(model.spec))[0]
    frames = run.clip.read([start + place for place in (*window.context, window.target)])
    region = _busiest(frames, (3 * crop[0] // 2, 3 * crop[1] // 2), rng)
    y, x, high, wide = region
    seen = [to_float(frame[:, y : y + high, x : x + wide]).unsqueeze(0) for frame in frames]
    start = min(start, max(0, run.clip.length - length))
    return error_of(model, seen[:-1], seen[-1], float(window.t)), Window(number, start, region)


def _busiest(frames: Sequence[Tensor], wanted: tuple[int, int], rng: np.random.Generator) -> tuple[int, int, int, int]:
    """(y, x, h, w) of a region where the outermost frames differ much: drawn, more often where they differ more."""
    height, width = frames[0].shape[1:]
    high, wide = min(wanted[0], height), min(wanted[1], width)
    change = (frames[0].float() - frames[-2].float()).abs().mean(0)
    sums = torch.nn.functional.pad(change.double().cumsum(0).cumsum(1), (1, 0, 1, 0))
    rows = torch.linspace(0, height - high, 1 + -(-(height - high) // max(1, high // 2))).long()
    columns = torch.linspace(0, width - wide, 1 + -(-(width - wide) // max(1, wide // 2))).long()
    of_each = [
        (float(sums[y + high, x + wide] - sums[y, x + wide] - sums[y + high, x] + sums[y, x]), int(y), int(x))
        for y in rows
        for x in columns
    ]
    weights = np.array([one[0] for one in of_each]) ** 2 + 1e-9
    _, y, x = of_each[int(rng.choice(len(of_each), p=weights / weights.sum()))]
    return y, x, high, wide


@torch.no_grad()
def error_of(model: Model, context: Sequence[Tensor], target: Tensor, t: float) -> float:
    """Mean absolute error of a model, 0 to 1; frames `[1, 3, H, W]` in [0, 1], of any size."""
    device = next(model.parameters()).device
    canvas = Canvas((target.shape[-2], target.shape[-1]), model.spec.multiple)
    frames = torch.stack([canvas.pad(frame.to(device)) for frame in context], 1)
    shown = canvas.crop(model(frames, torch.tensor([t], device=device)).frame)
    return float((shown.cpu() - target).abs().mean())


def _centre(size: tuple[int, int], most: tuple[int, int]) -> tuple[int, int, int, int]:
    high, wide = min(size[0], most[0]), min(size[1], most[1])
    return (size[0] - high) // 2, (size[1] - wide) // 2, high, wide


def _bytes(size: tuple[int, int], most: tuple[int, int], length: int) -> int:
    """Of `length` frames in memory."""
    return 3 * length * min(size[0], most[0]) * min(size[1], most[1])


def clips(found: Sequence[Window], runs: Sequence[Run], length: int) -> tuple[Clip, ...]:
    """Windows read into memory, in the film's order so that it is decoded forwards; broken ones are left out.

    Raises:
        BrokenPicture: all are.
    """
    read: list[Clip] = []
    broken: BrokenPicture | None = None
    for window in sorted(found):
        try:
            read.append(kept(runs[window.run], window, length))
        except BrokenPicture as error:
            broken = error
    if broken is not None and not read:
        raise broken
    return tuple(read)
