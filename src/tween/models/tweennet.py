"""Motion searched without a network, and bent as far as a small one believes: tween's own.

    frames       -1 ─────── 0 ── t ── 1 ─────── 2
    search       DIS motion 0 <-> 1, and on to -1 and 2: how much it bends, and what it was before and will be after
    network      looks at cells of 16x16 pixels, and at all of them: how far to bend, and whom to believe
    shown        three guesses along the bent motion, and what `dis` shows along straight lines, as the network says

What is shown was in one of the frames: the network has no say in colours, only in motion and trust. A clock that
jumps (a frame was lost, a game stalled) looks like a bend that nothing made; that is what it learns to tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..ops.present import has_numba
from ..ops.resize import resize, resize_flow
from ..ops.warp import backward_warp
from .bend import Searches, bends
from .clues import CELL, CLUES, MOST, Field, bent, clues, smoothed, straight
from .dis import Array, Dis, halved, is_small, luma_of, opencv, pictures, pixels_of, stacked, trusted, views
from .entry import Entry, ours
from .model import Later, Prediction, Spec, Tensors
from .sought import Sought, drawn, sought

Turn = Callable[[Array], Array]
EVEN_OUT = 1e-4  # so that the spread of what is even has a gradient
AT_FIRST = (0.12, 0.12, 0.25, 0.0, 0.0)  # what an untrained network tells: bend by three quarters, mix evenly


class Gates(nn.Module):
    """Clues of cells -> what the network tells of them. Each layer sees its neighbours, and mean and spread of all.

    Args:
        width: channels.
        depth: layers after the first.
        clues: how many it sees of a cell.
        at_first: what it tells untrained.
    """

    def __init__(self, width: int, depth: int, clues: int = CLUES, at_first: Sequence[float] = AT_FIRST) -> None:
        super().__init__()
        self.see = nn.Conv2d(clues, width, 3, 1, 1)
        self.near = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1) for _ in range(depth))
        self.far = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(depth))
        self.tell = nn.Conv2d(width, len(at_first), 1)
        nn.init.zeros_(self.tell.weight)
        self.tell.bias = nn.Parameter(torch.tensor(at_first))

    def forward(self, clues: Tensor) -> Tensor:
        """`[B, clues, h, w]` -> `[B, told, h, w]`."""
        x = F.leaky_relu(self.see(clues), 0.2)
        for near, far in zip(self.near, self.far, strict=True):
            mean = x.mean((2, 3), keepdim=True)
            spread = ((x - mean).square().mean((2, 3), keepdim=True) + EVEN_OUT).sqrt()
            whole = far(torch.cat((mean, spread), 1).flatten(1))
            x = x + F.leaky_relu(near(x) + whole[:, :, None, None], 0.2)
        return self.tell(x)


class Learning(Dis):
    """A search that a network is trained on, in windows: they are cut out of larger pictures, and halved as those would
    be. Whole pictures are searched as by `dis`."""

    def on_grid(self, picture: Array) -> Array:
        """As `dis`, but that windows are halved however small."""
        return halved(picture) if self.training else super().on_grid(picture)


class Searching(Learning):
    """What sees four frames and searches motion between them, each search made once.

    The search runs on the CPU, on OpenCV's threads, whatever device the frames are on. Frames -1 and 2 that repeat 0
    and 1, as at a clip's ends and at cuts, say nothing of how motion bends.
    """

    spec = Spec(context=(-1, 0, 1, 2), multiple=16, half=False, even=True)

    def __init__(self) -> None:
        super().__init__()
        self.searched = Searches()

    def embed(self, frame: Tensor) -> Tensors:
        """As `dis`, and its pixels on the luma's grid, `[B, h, w, 3]`."""
        pixels = pixels_of(frame)
        halves = [self.on_grid(picture) for picture in pictures(pixels)]
        lumas = [luma_of(half) for half in halves]
        return frame.detach(), pixels, torch.from_numpy(np.stack(lumas)), torch.from_numpy(stacked(halves))

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """Four embeddings -> those of frames 0 and 1, motion `[B, 2, h, w, 2]` between them and how it bends
        `[B, 2, h, w, 3]`, on the luma's grid and in its pixels (x, y)."""
        motion, bent = bends(self.searched, [luma for _, _, luma, _ in context])
        return *context[1], *context[2], torch.from_numpy(motion), torch.from_numpy(bent)


def found_at(scene: Tensors, t: Tensor) -> list[Sought]:
    """What a scene of `Searching` says of each of its pictures at `t` `[B]`."""
    (_, *seen, half), (_, *last_seen, last_half), (motion, bent) = scene[:4], scene[4:8], scene[8:]
    halves = zip(half.numpy(), last_half.numpy(), strict=True)
    each = zip(views(*seen), views(*last_seen), halves, motion.numpy(), bent.numpy(), t.tolist(), strict=True)
    return [sought(*one) for one in each]


class TweenNet(Searching):
    """What `dis` shows, along motion that is bent as far as a network believes. Any t.

    All but the network runs on the CPU; where gradients are wanted, all but the search where the frames are.

    Args:
        width: channels of the network.
        depth: layers of it.
    """

    def __init__(self, width: int = 32, depth: int = 3) -> None:
        super().__init__()
        self.gates = Gates(width, depth)

    def render(self, scene: Tensors, t: Tensor) -> Prediction:
        """A scene at `t` `[B]` in [0, 1]. `aux`: `flow`; `mask`, the weight of frame 0 against frame 1; `bent`, what is
        seen along the bent motion alone."""
        first, last, found = scene[0], scene[4], found_at(scene, t)
        if torch.is_grad_enabled():
            return self._learnt(first, last, found, t)
        shown = stacked(self._shown(found, first.device))
        frame = torch.from_numpy(shown).permute(0, 3, 1, 2).to(first)
        return Prediction(frame, Later(lambda: self._learnt(first, last, found, t).aux))

    def _shown(self, found: Sequence[Sought], device: torch.device) -> list[Array]:
        """Pictures `[H, W, 3]`, each in as few passes as there is something for to compile them."""
        if not any(one.knows for one in found):
            return [drawn(one, None) for one in found]
        see = passes if has_numba() else steps
        seen = [see(one) for one in found]
        told = self.gates(torch.from_numpy(stacked([cells for cells, _ in seen])).to(device)).cpu().numpy()
        return [drawn(one, turn(gates)) for one, (_, turn), gates in zip(found, seen, told, strict=True)]

    def _learnt(self, first: Tensor, last: Tensor, found: Sequence[Sought], t: Tensor) -> Prediction:
        """The same in steps that gradients come through."""
        with torch.no_grad():
            shown = torch.from_numpy(stacked([drawn(one, None) for one in found])).permute(0, 3, 1, 2).to(first)
            field, trusts, halves = tensors(found, first)
            when = t.to(first).view(-1, 1, 1, 1)
            flows, smooth = straight(field, when), smoothed(field)
            seen = F.avg_pool2d(clues(halves, flows, field, smooth, when), CELL)
        told = resize(self.gates(seen), CELL)
        off = when * (1 - when) * bent(field, smooth, told)
        return mixed((first, last, shown), field, trusts, off, told, when)


def passes(one: Sought) -> tuple[Array, Turn]:
    """The network's clues `[28, h / 8, w / 8]`, and what makes of what it says of them `[5, h / 8, w / 8]` what `mixed`
    takes as `extra`."""
    from .clue_pass import bent_by, cells, turned

    threads = opencv().getNumThreads()
    turns = turned(one.before, one.after, threads)
    return cells(one, turns, threads), lambda told: bent_by(told, one, turns, threads)


def steps(one: Sought) -> tuple[Array, Turn]:
    """The same in torch's steps."""
    field, _, halves = tensors([one], torch.empty(0))
    when = torch.tensor(one.t, dtype=torch.float32).view(1, 1, 1, 1)
    flows, smooth = straight(field, when), smoothed(field)

    def turn(told: Array) -> Array:
        gates = resize(torch.from_numpy(told)[None], CELL)
        off = when * (1 - when) * bent(field, smooth, gates)
        scale, outer = np.array(one.step, np.float32), one.outer
        told_of = gates[0, 3].sigmoid().numpy(), gates[0, 4].clamp(max=MOST).exp().numpy() * one.of_outer
        moves = off[0].permute(1, 2, 0).numpy() * scale, outer.motion * scale
        return np.dstack((moves[0], told_of[0], moves[1], *trusted(outer, one.t), told_of[1]))

    return F.avg_pool2d(clues(halves, flows, field, smooth, when), CELL)[0].numpy(), turn


def tensors(found: Sequence[Sought], like: Tensor) -> tuple[Field, Tensor, tuple[Tensor, Tensor]]:
    """What was found as tensors of the dtype and on the device of another: a `Field`; how far its three motions trust
    frames 0 and 1 `[B, 6, h, w]`; both frames on its grid `[B, 3, h, w]`."""

    def planes(make: Callable[[Sought], Sequence[Array]]) -> Tensor:
        return torch.from_numpy(np.stack([np.dstack(make(one)) for one in found])).permute(0, 3, 1, 2).to(like)

    field = Field(
        planes(lambda one: [fit.motion for fit in one.fits]),
        planes(lambda one: one.weights),
        planes(lambda one: [one.before[..., :2], one.after[..., :2]]),
        planes(lambda one: [one.before[..., 2], one.after[..., 2]]),
        planes(lambda one: [one.outer.motion]),
        planes(lambda one: [one.of_outer]),
    )
    trusts = planes(lambda one: [part for fit in (*one.fits, one.outer) for part in trusted(fit, one.t)])
    return field, trusts, (planes(lambda one: [one.halves[0]]), planes(lambda one: [one.halves[1]]))


def mixed(
    pictures: tuple[Tensor, Tensor, Tensor], field: Field, trusts: Tensor, off: Tensor, told: Tensor, when: Tensor
) -> Prediction:
    """What is shown, and what is told of it.

    Args:
        pictures: frame 0, frame 1 and what `dis` shows, `[B, 3, H, W]`. Small ones are looked up bicubically.
        field: what was found, on a grid `[h, w]`.
        trusts: how far its motions trust frame 0 and frame 1, `[B, 6, h, w]`.
        off: how far off the straight line, `[B, 2, h, w]`.
        told: what the network told, `[B, 5, h, w]`.
        when: `[B, 1, 1, 1]`.
    """
    first, last, shown = pictures
    factor = first.shape[-1] / off.shape[-1]
    share, of_outer = told[:, 3:4].sigmoid(), told[:, 4:].clamp(max=MOST).exp() * field.of_outer
    weights = torch.cat((field.weights[:, :2], of_outer, field.weights[:, 2:]), 1)
    motions = resize_flow(torch.cat((field.motions, field.outer), 1), factor)
    off, trusts, weights, share = resize_flow(off, factor), *(resize(x, factor) for x in (trusts, weights, share))
    weights = weights / weights.sum(1, keepdim=True)
    mode = "bicubic" if is_small(*first.shape[-2:]) else "bilinear"
    scene, mask = weights[:, 3:] * ((1 - when) * first + when * last), weights[:, 3:] * (1 - when)
    for k in range(3):
        motion, (of_first, of_last) = motions[:, 2 * k : 2 * k + 2], trusts[:, 2 * k : 2 * k + 2].split(1, 1)
        one = backward_warp(first, off - when * motion, mode=mode).clamp(0, 1)
        other = backward_warp(last, off + (1 - when) * motion, mode=mode).clamp(0, 1)
        of_first = of_first / (of_first + of_last)
        scene = scene + weights[:, k : k + 1] * (of_first * one + (1 - of_first) * other)
        mask = mask + weights[:, k : k + 1] * of_first
    flow = resize_flow(straight(field, when), factor) + off.repeat(1, 2, 1, 1)
    return Prediction(share * shown + (1 - share) * scene, {"flow": flow, "mask": mask, "bent": scene})


ROWS: tuple[Entry, ...] = (
    Entry(
        "tweennet",
        lambda scale: TweenNet(),  # noqa: ARG005
        "optical flow searched as by `dis`, and bent as far as a small network believes: it sees four frames",
        weights=(ours("tweennet", "bc168034d38b2b27438daae5391cfc607588b77cefee3bd93a7e51231e9fc94d"),),
    ),
)
