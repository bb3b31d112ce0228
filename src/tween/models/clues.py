"""What tells how far a motion bends: 28 clues a pixel, of lengths, angles, belief and how the frames agree.

On the grid that motion is searched on, in its pixels. A network that sees no colours and no directions has little to
learn by heart, and mirrored footage is told the same.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..ops.warp import backward_warp

CLUES: Final = 28  # numbers that the network sees of a cell
CELL: Final = 8  # pixels a side of a cell
TOLD: Final = (
    5  # how far to bend as frame 0 says, as frame 1 says, as both say; what `dis` and what a third guess weigh
)
GATES: Final = 3  # of those, how many bend
EVEN: Final = 0.25  # what every gate is where all of a bend that both sides agree on comes through
SMOOTH: Final = 9  # pixels a side over which a bend is made smooth
UNSURE: Final = 0.1  # belief in both sides together, below which less of a bend comes through
STEADY: Final = 0.3  # pixels: a motion below it has no direction to speak of
FEW: Final = 1e-4
MOST: Final = 4.0  # the logarithm of the most that a third guess may weigh


class Field(NamedTuple):
    """What a search finds.

    Attributes:
        motions: first -> last, as measured ahead and back, seen at t, `[B, 4, h, w]`.
        weights: of both, and of stillness; they add up to 1, `[B, 3, h, w]`.
        turns: acceleration, as the frame before says and the one after, `[B, 4, h, w]`.
        belief: how far to believe both, from 0 to 1; 0 all over where there is no such frame, `[B, 2, h, w]`.
        outer: a third motion, as it was before and will be after, `[B, 2, h, w]`.
        of_outer: what it weighs beside those of `weights`, `[B, 1, h, w]`.
    """

    motions: Tensor
    weights: Tensor
    turns: Tensor
    belief: Tensor
    outer: Tensor
    of_outer: Tensor


def straight(field: Field, when: Tensor) -> Tensor:
    """Flows to frame 0 and to frame 1 `[B, 4, h, w]` at one speed, along the mean of both motions."""
    ahead, back = field.motions.split(2, 1)
    of_ahead, of_back = field.weights[:, :1], field.weights[:, 1:2]
    motion = (of_ahead * ahead + of_back * back) / (of_ahead + of_back)
    return torch.cat((-when * motion, (1 - when) * motion), 1)


def smoothed(field: Field) -> tuple[Tensor, Tensor]:
    """The mean of both turns over some pixels around, `[B, 2, h, w]`, and how far they agree, `[B, 1, h, w]`: with one
    side alone by half of what is believed of it."""
    before, after = field.turns.split(2, 1)
    both = known(field).prod(1, keepdim=True)
    apart, size = length(before - after), length(before) + length(after)
    agreed = both * field.belief.prod(1, keepdim=True) * torch.exp(-((apart / (0.5 * size + STEADY)) ** 2))
    agreed = agreed + (1 - both) * 0.5 * field.belief.sum(1, keepdim=True)
    mean = (before + after) / known(field).sum(1, keepdim=True).clamp_min(1)
    return around(mean * agreed) / (around(agreed) + 1e-3), agreed


def known(field: Field) -> Tensor:
    """1 for a side that says anything, else 0, `[B, 2, 1, 1]`."""
    return (field.belief.amax((2, 3), keepdim=True) > 0).to(field.belief)


def around(image: Tensor) -> Tensor:
    """The mean of the pixels around each, `[B, C, h, w]`."""
    return F.avg_pool2d(image, SMOOTH, 1, SMOOTH // 2, count_include_pad=False)


def bent(field: Field, smooth: tuple[Tensor, Tensor], gates: Tensor) -> Tensor:
    """Half of the acceleration `[B, 2, h, w]`, as far as gates `[B, 3 or more, h, w]` let it through."""
    shares = gates[:, :2] * field.belief / (field.belief.sum(1, keepdim=True) + UNSURE)
    return shares[:, :1] * field.turns[:, :2] + shares[:, 1:] * field.turns[:, 2:] + gates[:, 2:3] * smooth[0]


def clues(
    small: tuple[Tensor, Tensor], flows: Tensor, field: Field, smooth: tuple[Tensor, Tensor], when: Tensor
) -> Tensor:
    """What the network goes by, `[B, 28, h, w]`: how long turns and motion are, which way one lies to the other, and
    how far the frames `[B, 3, h, w]` agree, moved and not. It sees no colours and no directions."""
    motion, (before, after), (turn, agreed) = flows[:, 2:] - flows[:, :2], field.turns.split(2, 1), smooth
    off = when * (1 - when) * bent(field, smooth, torch.full_like(flows[:, :GATES], EVEN))
    ways = motion, before, after, turn
    sizes = [length(way) for way in (*ways, before - after)]
    ahead, one, other, both = (way / (size + STEADY) for way, size in zip(ways, sizes, strict=False))
    lines = [(a * b).sum(1, keepdim=True) for a, b in ((one, ahead), (other, ahead), (one, other), (both, ahead))]
    shares = [(size / (sizes[0] + STEADY)).clamp(max=4) for size in sizes[1:3]]
    beliefs = field.belief, agreed, known(field).expand_as(field.belief), 0.2 * (field.weights + FEW).log()
    lie, bend, rest = (apart(*small, way) for way in (flows, flows + off.repeat(1, 2, 1, 1), None))
    looks = *(20 * one.clamp(max=0.2) for one in (lie, bend)), 20 * (lie - bend).clamp(-0.1, 0.1)
    doubt = length(field.motions[:, :2] - field.motions[:, 2:]) / (1 + sizes[0])
    rests = 20 * rest.clamp(max=0.2), (4 * when * (1 - when)).expand_as(rest), (1 + length(off)).log(), doubt
    outer = 0.2 * (field.of_outer + FEW).log(), length(field.outer - motion) / (1 + sizes[0])
    return torch.cat((*((1 + size).log() for size in sizes), *shares, *lines, *beliefs, *looks, *rests, *outer), 1)


def length(motion: Tensor) -> Tensor:
    """`[B, 2, h, w]` -> `[B, 1, h, w]`."""
    return (motion.square().sum(1, keepdim=True) + 1e-12).sqrt()


def apart(first: Tensor, last: Tensor, flows: Tensor | None) -> Tensor:
    """How far frames `[B, 3, h, w]` differ, under flows `[B, 4, h, w]` or as they are, `[B, 1, h, w]`."""
    if flows is not None:
        first, last = backward_warp(first, flows[:, :2]), backward_warp(last, flows[:, 2:])
    return (first - last).abs().mean(1, keepdim=True)
