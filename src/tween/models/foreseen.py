"""What comes next, foreseen from three frames: motion is searched; a small network says how it goes on.

    frames       -2 ─────── -1 ─────── 0 ─────── t
    search       DIS motion 0 -> -1 and, in pictures turned round, -1 -> 0; what it was the gap before: how it bends
    network      looks at cells of 8x8 pixels of the motion's grid, and at all of them: how far motion goes on bending,
                 and whom to believe
    shown        frame 0 carried on along either motion, along that of the gap before, and as it stands, as believed

All that is shown was in the newest frame: the network has no say in colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..ops.resize import resize, resize_flow
from ..ops.warp import backward_warp
from .ahead import REFINE
from .bend import Searches
from .clues import CELL, STEADY, length
from .dis import DOUBT, STILLNESS, Array, agreement, at_once, carried, inside, is_small, looked_up, opencv
from .entry import Entry, ours
from .model import Prediction, Spec, Tensors
from .tweennet import Gates, Learning

SEEN: Final = 21  # clues of a cell
SMOOTH: Final = 17  # pixels a side over which a bend is made smooth
AT_FIRST: Final = (0.2, 0.0, 0.2, 0.0, 0.0, -1.0, -2.0)  # how far both motions bend; trust in all but the first
BENDS: Final = 4  # of those
PARTS: Final = (2, 2, 2, 2, 1, 4, 2, 1)  # planes of a field


class Field(NamedTuple):
    """What a search finds of a gap, on its grid, in its pixels, seen on frame 0.

    Attributes:
        back: motion a gap as measured from 0 to -1, turned round, `[B, 2, h, w]`.
        onward: the same as measured from -1 to 0, `[B, 2, h, w]`.
        earlier: what it was the gap before; `back` once more where frame -2 says nothing, `[B, 2, h, w]`.
        turn: how much it changed since then, `[B, 2, h, w]`.
        belief: how far to believe that, 0 all over where frame -2 says nothing, `[B, 1, h, w]`.
        fits: how far frames 0 and -1 agree under these three motions and unmoved, from 0 to 1, `[B, 4, h, w]`.
        misses: the difference of lumas, from 0 to 1, under `back` and under `earlier`, `[B, 2, h, w]`.
        within: 1 where a pixel was within frame -1, `[B, 1, h, w]`.
    """

    back: Tensor
    onward: Tensor
    earlier: Tensor
    turn: Tensor
    belief: Tensor
    fits: Tensor
    misses: Tensor
    within: Tensor


class Foreseen(Learning):
    """Frame 0 carried on, along motion that goes on bending as far as a network believes. Any t >= 0.

    The search runs on the CPU, on OpenCV's threads, whatever device the frames are on; all else where the frames are.
    Frame -2 that repeats -1, as at a clip's begin and at cuts, says nothing of how motion bends.

    Args:
        width: channels of the network.
        depth: layers of it.
    """

    spec = Spec(context=(-2, -1, 0), multiple=16, half=False, even=True)

    def __init__(self, width: int = 32, depth: int = 3) -> None:
        super().__init__()
        self.searched, self.searched_turned = Searches(REFINE), Searches(REFINE, turned=True)
        self.foresight = Gates(width, depth, SEEN, AT_FIRST)

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """Three embeddings -> frame 0 and the planes of a `Field`, `[B, 16, h, w]`."""
        oldest, before, newest = (luma for _, _, luma in context)
        back, onward = at_once(lambda: self.searched(newest, before), lambda: self.searched_turned(before, newest))
        older = self.searched(before, oldest)
        lumas = (luma.numpy() for luma in (newest, before, oldest))
        fields = [found(*one) for one in zip(*lumas, back, onward, older, strict=True)]
        planes = torch.from_numpy(np.stack(fields)).permute(0, 3, 1, 2)
        return context[2][0], planes.to(context[2][0]).contiguous()

    def render(self, scene: Tensors, t: Tensor) -> Prediction:
        """A scene at `t` `[B]`, t >= 0, in gaps after frame 0."""
        frame, planes = scene
        field, when = Field(*planes.split(PARTS, 1)), t.to(frame).view(-1, 1, 1, 1)
        around = smoothed(field)
        told = resize(self.foresight(F.avg_pool2d(clues(field, around, when), CELL)), CELL)
        one, other = (0.5 * when * (1 + when) * bent(field, around, gates) for gates in told[:, :BENDS].split(2, 1))
        ways = [when * field.back + one, when * field.onward + other, when * field.earlier]
        trust = believed(field, told[:, BENDS:])
        come = [arrived(way, trust[:, n : n + 1]) for n, way in enumerate(ways)]
        factor = frame.shape[-1] / planes.shape[-1]
        weights = resize(torch.cat([trusted for _, trusted in come] + [trust[:, -1:]], 1), factor).softmax(1)
        mode = "bicubic" if is_small(*frame.shape[-2:]) else "bilinear"
        shown = weights[:, -1:] * frame
        for n, (way, _) in enumerate(come):
            seen = backward_warp(frame, -resize_flow(way, factor), mode=mode).clamp(0, 1)
            shown = shown + weights[:, n : n + 1] * seen
        return Prediction(shown, {})


def found(newest: Array, before: Array, oldest: Array, back: Array, onward: Array, older: Array) -> Array:
    """What a search says, the planes of a `Field` `[h, w, 16]`.

    Args:
        newest, before, oldest: lumas of frames 0, -1 and -2, `[h, w]` in 0..255.
        back, onward, older: motion 0 -> -1, -1 -> 0 and -1 -> -2, each where it starts, `[h, w, 2]`.
    """
    cv2 = opencv()
    within = inside(back, 1.0)
    earlier, turn, belief = back, np.zeros_like(back), np.zeros_like(newest)
    if not np.array_equal(before, oldest):
        earlier = looked_up(older, back, 1.0)
        both = cv2.add(back, earlier)
        belief = agreement(newest, looked_up(oldest, both, 1.0)) * within * inside(both, 1.0)
        turn = cv2.subtract(earlier, back)
    ways = -back, carried(onward, 1.0), -earlier
    seen = [looked_up(before, way, -1.0) for way in ways]
    fits = [agreement(newest, luma) for luma in (*seen, before)]
    misses = [cv2.absdiff(newest, luma) / 255 for luma in seen[::2]]
    return np.dstack((*ways, turn, fits[0] * belief, *fits, *misses, within))


def bent(field: Field, around: Tensor, gates: Tensor) -> Tensor:
    """How much motion changes in a gap `[B, 2, h, w]`, as far as gates `[B, 2, h, w]` let each pixel's own turn and
    that around it through."""
    return gates[:, :1] * field.belief * field.turn + gates[:, 1:] * around


def smoothed(field: Field) -> Tensor:
    """The turn of the pixels around each, as far as it is believed, `[B, 2, h, w]`."""
    return mean(field.turn * field.belief) / (mean(field.belief) + 1e-2)


def mean(image: Tensor) -> Tensor:
    """Of the pixels around each, `[B, C, h, w]`."""
    return F.avg_pool2d(image, SMOOTH, 1, SMOOTH // 2, count_include_pad=False)


def clues(field: Field, around: Tensor, when: Tensor) -> Tensor:
    """What the network goes by, `[B, 21, h, w]`: how long motions and turns are, which way they lie to one another, how
    far the frames agree. It sees no colours and no directions."""
    ways = field.back, field.onward, field.turn, around
    sizes = [length(way) for way in ways]
    doubt = length(field.back - field.onward)
    ahead, turn, wide = (ways[n] / (sizes[n] + STEADY) for n in (0, 2, 3))
    lines = [(a * b).sum(1, keepdim=True) for a, b in ((ahead, turn), (ahead, wide), (turn, wide))]
    shares = [(size / (sizes[0] + STEADY)).clamp(max=4) for size in (sizes[2], sizes[3], doubt)]
    fits, misses = 0.2 * (field.fits + DOUBT).log(), 10 * field.misses.clamp(max=0.2)
    known = (field.belief.amax((2, 3), keepdim=True) > 0).to(field.belief).expand_as(field.belief)
    logs = [(1 + size).log() for size in (*sizes, doubt)]
    beliefs = field.belief, field.within, known, (when - 1).expand_as(field.belief)
    return torch.cat((*logs, *lines, *shares, *beliefs, fits, misses), 1)


def believed(field: Field, told: Tensor) -> Tensor:
    """Logarithms of what three motions and rest weigh, seen on frame 0, `[B, 4, h, w]`."""
    fits = field.fits * field.fits.new_tensor((1, 1, 1, STILLNESS)).view(1, 4, 1, 1)
    return (fits + DOUBT).log() + F.pad(told, (0, 0, 0, 0, 1, 0))


def arrived(moved: Tensor, more: Tensor) -> tuple[Tensor, Tensor]:
    """How far things move `[B, 2, h, w]` and what is known of them `[B, C, h, w]`, seen from where they come to."""
    with torch.no_grad():
        first = backward_warp(moved, -moved)
    seen = backward_warp(torch.cat((moved, more), 1), -first)
    return seen[:, :2], seen[:, 2:]


ROWS: tuple[Entry, ...] = (
    Entry(
        "tweennet-ahead",
        lambda scale: Foreseen(),  # noqa: ARG005
        "the newest frame carried on along its optical flow, as far as a small network believes: it sees three frames",
        weights=(ours("tweennet-ahead", "39b479cf6d750921e7f63e278b20ed34ccb5231698bc85db6ba1df463bd8785b"),),
    ),
)
