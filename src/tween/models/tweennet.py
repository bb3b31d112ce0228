"""Motion searched without a network, and bent as far as a small one believes: tween's own.

    frames       -1 ─────── 0 ── t ── 1 ─────── 2
    search       DIS motion 0 <-> 1, and on to -1 and 2: how much it bends
    `dis`        what it shows at t, from 0 and 1 alone, along straight lines
    network      looks at cells of 16x16 pixels, and at all of them: how far to bend
    shown        frames 0 and 1 along the bent motion, and `dis`, mixed as the network says

What is shown was in one of the frames: the network has no say in colours, only in motion and trust. A clock that
jumps (a frame was lost, a game stalled) looks like a bend that nothing made; that is what it learns to tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..ops.resize import resize, resize_flow
from ..ops.warp import backward_warp
from .bend import Searches, along, bends
from .dis import SMALL_PICTURE, Array, Dis, View, at_once, drawn, judged, pictures
from .entry import Entry, Weights
from .model import Prediction, Spec, Tensors

CLUES = 26  # numbers that the network sees of a cell
CELL = 8  # pixels a side of a cell, of half the picture's size
TOLD = 4  # how far to bend as frame 0 says, as frame 1 says, as both say smoothly; what `dis` weighs
GATES = 3  # of those, how many bend
AT_FIRST = (0.12, 0.12, 0.25, 0.0)  # what an untrained network tells: bend by three quarters, mix evenly
EVEN = 0.25  # what every gate is where all of a bend that both sides agree on comes through
SMOOTH = 9  # pixels a side, of half the picture's size, over which a bend is made smooth
UNSURE = 0.1  # belief in both sides together, below which less of a bend comes through
STEADY = 0.3  # pixels: a motion below it has no direction to speak of
FEW = 1e-4


class Gates(nn.Module):
    """Clues of cells -> what the network tells of them. Each layer sees its neighbours, and mean and spread of all.

    Args:
        width: channels.
        depth: layers after the first.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.see = nn.Conv2d(CLUES, width, 3, 1, 1)
        self.near = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1) for _ in range(depth))
        self.far = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(depth))
        self.tell = nn.Conv2d(width, TOLD, 1)
        nn.init.zeros_(self.tell.weight)
        self.tell.bias = nn.Parameter(torch.tensor(AT_FIRST))

    def forward(self, clues: Tensor) -> Tensor:
        """`[B, 26, h, w]` -> `[B, 4, h, w]`."""
        x = F.leaky_relu(self.see(clues), 0.2)
        for near, far in zip(self.near, self.far, strict=True):
            mean = x.mean((2, 3), keepdim=True)
            spread = ((x - mean).square().mean((2, 3), keepdim=True) + FEW).sqrt()
            whole = far(torch.cat((mean, spread), 1).flatten(1))
            x = x + F.leaky_relu(near(x) + whole[:, :, None, None], 0.2)
        return self.tell(x)


class TweenNet(Dis):
    """DIS flow, bent as far as a network believes. Any t.

    The search runs on the CPU, on OpenCV's threads, whatever device the frames are on; the rest where they are. Frames
    -1 and 2 that repeat 0 and 1, as at a clip's ends and at cuts, say nothing of how motion bends.

    Args:
        width: channels of the network.
        depth: layers of it.
    """

    spec = Spec(context=(-1, 0, 1, 2), multiple=16, half=False, even=True)

    def __init__(self, width: int = 32, depth: int = 3) -> None:
        super().__init__()
        self.gates = Gates(width, depth)
        self.searched = Searches()

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """Four embeddings -> frames 0 and 1, their pixels and luma, motion `[B, 2, h, w, 2]` between them and how it
        bends `[B, 2, h, w, 3]`, on the luma's grid and in its pixels (x, y)."""
        (first, first_pixels, first_luma), (last, last_pixels, last_luma) = context[1:3]
        motion, bent = bends(self.searched, [luma for _, _, luma in context])
        seen = first_pixels, first_luma, last_pixels, last_luma
        return first, last, *seen, torch.from_numpy(motion), torch.from_numpy(bent)

    def render(self, scene: Tensors, t: Tensor) -> Prediction:
        """A scene at `t` `[B]` in [0, 1]. `aux`: `flow`; `mask`, the weight of frame 0 against frame 1; `merged`, the
        mean of those two alone."""
        return self.draw(self.search(scene, t), t)

    def search(self, scene: Tensors, t: Tensor) -> Tensors:
        """Both frames; what `dis` shows `[B, 3, H, W]`; and at half the picture's size, in pixels of that grid: its
        motions ahead and back `[B, 4, h, w]`, what they and stillness weigh `[B, 3, h, w]`, both bends `[B, 4, h, w]`
        and how far to believe them `[B, 2, h, w]`."""
        first, last, first_pixels, first_luma, last_pixels, last_luma, motion, bent = scene
        views = [
            [View(picture, luma) for picture, luma in zip(pictures(pixels), lumas.numpy(), strict=True)]
            for pixels, lumas in ((first_pixels, first_luma), (last_pixels, last_luma))
        ]
        each = [found(*one) for one in zip(*views, motion.numpy(), bent.numpy(), t.tolist(), strict=True)]
        shown, *fields = (torch.from_numpy(np.stack(part)).to(first) for part in zip(*each, strict=True))
        factor = first.shape[-2] / 2 / fields[0].shape[-2]  # 1, but for frames too small to search at half their size
        motions, weights, turns, belief = fields
        moves = resize_flow(motions, factor), resize(weights, factor)
        return first, last, shown.permute(0, 3, 1, 2), *moves, resize_flow(turns, factor), resize(belief, factor)

    def draw(self, sought: Tensors, t: Tensor) -> Prediction:
        """What the network makes of them."""
        first, last, shown, field = *sought[:3], Field(*sought[3:])
        when = t.to(first).view(-1, 1, 1, 1)
        flows, smooth = straight(field, when), smoothed(field)
        small = F.avg_pool2d(first, 2), F.avg_pool2d(last, 2)
        told = resize(self.gates(F.avg_pool2d(clues(small, flows, field, smooth, when), CELL)), CELL)
        off = when * (1 - when) * bent(field, smooth, told)
        return mixed((first, last, shown), flows + off.repeat(1, 2, 1, 1), told[:, 3:].sigmoid(), when)


class Field(NamedTuple):
    """What a search finds, at half the picture's size, in pixels of that grid.

    Attributes:
        motions: first -> last, as measured ahead and back, seen at t, `[B, 4, h, w]`.
        weights: of both, and of stillness; they add up to 1, `[B, 3, h, w]`.
        turns: acceleration, as the frame before says and the one after, `[B, 4, h, w]`.
        belief: how far to believe both, from 0 to 1; 0 all over where there is no such frame, `[B, 2, h, w]`.
    """

    motions: Tensor
    weights: Tensor
    turns: Tensor
    belief: Tensor


def found(first: View, last: View, motion: Array, bend: Array, t: float) -> tuple[Array, ...]:
    """One picture's share of `search`: what `dis` shows `[H, W, 3]`, and of a `Field` `[C, h, w]` each."""
    fits, weights = judged(first, last, motion, t)
    before, after = at_once(
        lambda: along(bend[0], t * motion[0]),
        lambda: along(bend[1], (1 - t) * motion[1]),
    )
    motions = np.concatenate([fit.motion for fit in fits], -1)
    turns = np.concatenate((before[..., :2], after[..., :2]), -1)
    belief = np.stack((before[..., 2], after[..., 2]))
    shown = drawn(first, last, fits, weights, t)
    return shown, motions.transpose(2, 0, 1), np.stack(weights), turns.transpose(2, 0, 1), belief


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
    """What the network goes by, `[B, 26, h, w]`: how long turns and motion are, which way one lies to the other, and
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
    return torch.cat((*((1 + size).log() for size in sizes), *shares, *lines, *beliefs, *looks, *rests), 1)


def length(motion: Tensor) -> Tensor:
    """`[B, 2, h, w]` -> `[B, 1, h, w]`."""
    return (motion.square().sum(1, keepdim=True) + 1e-12).sqrt()


def apart(first: Tensor, last: Tensor, flows: Tensor | None) -> Tensor:
    """How far frames `[B, 3, h, w]` differ, under flows `[B, 4, h, w]` or as they are, `[B, 1, h, w]`."""
    if flows is not None:
        first, last = backward_warp(first, flows[:, :2]), backward_warp(last, flows[:, 2:])
    return (first - last).abs().mean(1, keepdim=True)


def within(flow: Tensor) -> Tensor:
    """1 where a pixel's flow `[B, 2, H, W]` ends inside the picture, 0 from one pixel beyond it, `[B, 1, H, W]`."""
    height, width = flow.shape[-2:]
    x = flow[:, :1] + torch.arange(width, device=flow.device)
    y = flow[:, 1:] + torch.arange(height, device=flow.device)[:, None]
    beyond = torch.stack((-x, x - (width - 1), -y, y - (height - 1))).amax(0)
    return (1 - beyond).clamp(0, 1)


def mixed(pictures: tuple[Tensor, Tensor, Tensor], flows: Tensor, share: Tensor, when: Tensor) -> Prediction:
    """What is shown, and what is told of it.

    Args:
        pictures: frame 0, frame 1 and what `dis` shows, `[B, 3, H, W]`. Small ones are looked up bicubically, for a
            linear look blurs what is as fine as a pixel.
        flows: from t to both frames, `[B, 4, H/2, W/2]`.
        share: the weight of `dis`, `[B, 1, H/2, W/2]`.
        when: `[B, 1, 1, 1]`.
    """
    first, last, shown = pictures
    trust = (1 - when) * within(flows[:, :2]) + FEW, when * within(flows[:, 2:]) + FEW
    mask, share = resize(trust[0] / (trust[0] + trust[1]), 2), resize(share, 2)
    flows = resize_flow(flows, 2)
    fine = math.prod(first.shape[-2:]) <= SMALL_PICTURE
    to_first, to_last = flows.split(2, 1)
    one, other = (
        backward_warp(frame, flow, mode="bicubic" if fine else "bilinear")
        for frame, flow in ((first, to_first), (last, to_last))
    )
    merged = (mask * one + (1 - mask) * other).clamp(0, 1)
    return Prediction(share * shown + (1 - share) * merged, {"flow": flows, "mask": mask, "merged": merged})


ROWS: tuple[Entry, ...] = (
    Entry(
        "tweennet",
        lambda scale: TweenNet(),  # noqa: ARG005
        "optical flow searched as by `dis`, and bent as far as a small network believes: it sees four frames",
        weights=(
            Weights(
                "tween",
                file="tweennet.safetensors",
                sha256="1c3ce62cc649dd2be492272a0c40c236b7c0aaeb8c41a2ec1aea9e81171e89f0",
                licence="MIT",
                origin="tween, by recipes/tweennet.yaml, from Big Buck Bunny, Tears of Steel (CC BY 3.0, (c) Blender "
                "Foundation) and other open footage: models/assets/tweennet.md",
            ),
        ),
    ),
)
