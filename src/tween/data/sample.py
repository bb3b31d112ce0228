"""One sample: a clip seen through a Spec.

  places      0     1     2     3     4     5     6        k = 2 source frames a gap
  context    -1           0     ^     1           2        frames at start + k * c
  target                  t = 1/2                          frame at start + k * t

This is the one rule by which every network of the house is trained; it makes training match inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import BadOption, TooShort
from ..models.model import Batch, Spec
from ..ops.canvas import to_float


class Sample(NamedTuple):
    """One training sample, before it is part of a float batch.

    Attributes:
        frames: uint8 `[N, 3, H, W]`, the context in the order of `spec.context`.
        target: uint8 `[3, H, W]`.
        t: where the target is, in gaps.
        flow: None, or float32 `[4, H, W]` pixels, target -> frame 0 (x, y), target -> frame 1 (x, y).
        name: clip and places, for the words of an error.
    """

    frames: Tensor
    target: Tensor
    t: float
    flow: Tensor | None = None
    name: str = ""


class Whole(NamedTuple):
    """A sample as it was read, of which a crop is taken: nothing of it has been copied.

    Attributes:
        frames: uint8 `[3, H, W]` each, the context. target, t, name: as in `Sample`.
        flow: None, or `[4, h, w]`, at the frames' size or coarser, in the frames' pixels.
    """

    frames: Sequence[Tensor]
    target: Tensor
    t: float
    flow: Tensor | None = None
    name: str = ""


@dataclass(frozen=True)
class Window:
    """Which frames of a clip a sample is made of, as places after the window's first one.

    Attributes:
        gap: source frames between context frames 0 and 1.
        context: places of the context, ascending; target: place of the target.
        t: of the target, in gaps.
        labelled: places of the two frames that a flow label points to: those at 0 and 1, or, predicting, -1 and 0.
    """

    gap: int
    context: tuple[int, ...]
    target: int
    t: Fraction
    labelled: tuple[int, int]

    @property
    def length(self) -> int:
        """Frames from the first to the last one that is looked at."""
        return max(*self.context, self.target) + 1


def windows(spec: Spec, gap: int, *, targets: Sequence[int] | None = None, ahead: int = 1) -> list[Window]:
    """Every window of `gap` source frames that a network can learn from.

    Args:
        spec: the network's.
        gap: source frames between context frames 0 and 1.
        targets: places after frame 0 that are allowed; None: all that the network can render.
        ahead: how many gaps past frame 0 a predictor of any time is trained for.

    Raises:
        BadOption: no instant of such a gap lies on a source frame and within what the network can render.
    """
    first = min(spec.context[0], 0) * gap
    places = tuple(gap * c - first for c in spec.context)
    two = (-1, 0) if spec.predicts else (0, 1)
    labelled = (gap * two[0] - first, gap * two[1] - first)
    found = []
    for after in _instants(spec, gap, ahead):
        if targets is None or after in targets:
            found.append(Window(gap, places, after - first, Fraction(after, gap), labelled))
    if not found:
        need = "it learns the middle of a gap: an even number" if not spec.any_time else "a larger gap is needed"
        raise BadOption(f"a gap of {gap} source frames", need, "--data.gaps 2")
    return found


def _instants(spec: Spec, gap: int, ahead: int) -> list[int]:
    """Places after frame 0 that the network may be asked for."""
    if spec.predicts:
        return [gap * k for k in range(1, (ahead if spec.any_time else 1) + 1)]
    if spec.any_time:
        return list(range(1, gap))
    return [gap // 2] if gap % 2 == 0 else []


def shortest(spec: Spec, gaps: Sequence[int], longest_clip: int, name: str, *, ahead: int = 1) -> None:
    """Refuse a set that is too short for a context, naming one that is not.

    Raises:
        TooShort: no clip holds one window.
    """
    need = min(min(w.length for w in windows(spec, gap, ahead=ahead)) for gap in gaps)
    if longest_clip >= need:
        return
    fix = "--data.set vimeo90k-septuplet" if need <= 7 else f"--data.set video, with shots of {need} frames or more"
    got = f"the longest clip of {name} has {longest_clip} frames"
    raise TooShort(got, f"a context of {len(spec.context)} frames at a gap of {min(gaps)} needs {need}", fix)


def collated(samples: Sequence[Sample]) -> tuple[Tensor, Tensor, Tensor, Tensor | None, list[str]]:
    """Samples of one size -> uint8 frames `[B, N, 3, H, W]`, uint8 target `[B, 3, H, W]`, t `[B]`, flow or None, names.

    A flow is kept only if every sample of the batch has one.
    """
    flows = [sample.flow for sample in samples if sample.flow is not None]
    return (
        torch.stack([sample.frames for sample in samples]),
        torch.stack([sample.target for sample in samples]),
        torch.tensor([sample.t for sample in samples]),
        torch.stack(flows) if len(flows) == len(samples) else None,
        [sample.name for sample in samples],
    )


def batch_of(frames: Tensor, target: Tensor, t: Tensor, flow: Tensor | None, device: str | torch.device) -> Batch:
    """What `collated` gives, as floats in [0, 1] on `device`."""
    seen, wanted = (to_float(picture.to(device, non_blocking=True)) for picture in (frames, target))
    label = None if flow is None else flow.to(device, non_blocking=True)
    return Batch(frames=seen, t=t.to(device), target=wanted, flow=label)
