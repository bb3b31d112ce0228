"""tween's larger network: guesses of motion are searched; a network mends, believes and shades what they show.

    search      as `tweennet`: DIS motion between four frames; two guesses, a third, outer one, and how motion bends
    look        what every guess shows of both frames, at half size
    coarse      at 1/8: how far each of two guesses follows the others, bends, or moves on its own; whom to believe
    look again  what the mended guesses show
    fine        at 1/4: the same once more, and what to add to the colours
    shown       both guesses, looked up in both frames, and both frames at rest, as believed

Untrained, it shows what `dis` shows, of small pictures nearly (it searches at half their size, however small).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..ops.present import has_numba
from ..ops.resize import resize, resize_flow
from ..ops.warp import backward_warp
from .dis import Array, halved, is_small, pictures, stacked, trusted
from .entry import Entry
from .model import Later, Prediction, Spec, Tensors
from .sought import Sought
from .tweennet import Searching, found_at
from .weaver import Finer, Hourglass

FOLLOWS: Final = 3  # the other guess, the outer one, rest
TURNS: Final = 2  # as frame -1 says how motion bends, and as frame 2 does
MOVES: Final = 4  # pixels (x, y) in frame 0, and in frame 1
EACH: Final = FOLLOWS + TURNS + MOVES  # numbers that mend one guess
SOURCES: Final = 6  # of what is shown: two guesses in two frames, two frames at rest
TOLD: Final = 2 * EACH + SOURCES
SIDE: Final = 4  # pixels a side that one pixel of the fine look has colours for
SHADES: Final = 3 * SIDE * SIDE
NEAR: Final = 4.0  # pixels of motion up to which the network is told of it in proportion; beyond, of its logarithm
FEW: Final = 1e-4  # below which a weight is as good as none


class Prior(NamedTuple):
    """What a search finds, on the grid it was made on, in its pixels.

    Attributes:
        motions: first -> last, seen at t: ahead, back, outer, `[B, 6, h, w]`.
        weights: of those three and of rest, in [0, 1], `[B, 4, h, w]`; all but the third add up to 1.
        believed: logarithms of what the sources weigh, `[B, 6, h, w]`.
        turns: acceleration (x, y) and how far to believe it, as frame -1 says and as frame 2 does, `[B, 6, h, w]`.
        small: both frames, `[B, 3, h, w]` each.
        when: t, `[B, 1, 1, 1]`.
    """

    motions: Tensor
    weights: Tensor
    believed: Tensor
    turns: Tensor
    small: tuple[Tensor, Tensor]
    when: Tensor

    def flows(self, told: Tensor) -> Tensor:
        """To frame 0 and frame 1, of the guess ahead and of that back, `[B, 8, h, w]`, mended as `told`
        `[B, 2 * EACH, h, w]` says."""
        ahead, back, outer = self.motions.split(2, 1)
        bend = self.when * (1 - self.when)
        before, after = (bend * side[:, :2] * side[:, 2:] for side in self.turns.split(3, 1))
        flows = []
        for (own, other), say in zip(((ahead, back), (back, ahead)), told.split(EACH, 1), strict=True):
            follows, turns, moves = say.split((FOLLOWS, TURNS, MOVES), 1)
            motion = own + follows[:, :1] * (other - own) + follows[:, 1:2] * (outer - own) - follows[:, 2:] * own
            off = turns[:, :1] * before + turns[:, 1:] * after
            flows += [off - self.when * motion + moves[:, :2], off + (1 - self.when) * motion + moves[:, 2:]]
        return torch.cat(flows, 1)


def prior(found: Sequence[Sought], like: Tensor, t: Tensor) -> Prior:
    """What was found, as tensors of the dtype and on the device of another."""

    def planes(make: Callable[[Sought], Sequence[Array]]) -> Tensor:
        return torch.from_numpy(np.stack([np.dstack(make(one)) for one in found])).permute(0, 3, 1, 2).to(like)

    when = t.to(like).view(-1, 1, 1, 1)
    weights = planes(lambda one: [*one.weights[:2], one.of_outer / (1 + one.of_outer), one.weights[2]])
    trusts = planes(lambda one: [part for fit in one.fits for part in trusted(fit, one.t)])
    ahead, back = trusts.split(2, 1)
    rest = weights[:, 3:].expand(-1, 2, -1, -1) * torch.cat((1 - when, when), 1)
    shares = [weights[:, n : n + 1] * part / part.sum(1, keepdim=True) for n, part in enumerate((ahead, back))]
    return Prior(
        planes(lambda one: [one.fits[0].motion, one.fits[1].motion, one.outer.motion]),
        weights,
        (torch.cat((*shares, rest), 1) + FEW).log(),
        planes(lambda one: [one.before, one.after]),
        (planes(lambda one: [one.halves[0]]), planes(lambda one: [one.halves[1]])),
        when,
    )


def looked(small: tuple[Tensor, Tensor], flows: Tensor, mode: str = "bilinear") -> Tensor:
    """Both frames `[B, 3, h, w]` under each pair of flows `[B, 4 n, h, w]` -> `[B, 6 n, h, w]`."""
    ways = flows.split(2, 1)
    return torch.cat([backward_warp(small[n % 2], way, mode=mode) for n, way in enumerate(ways)], 1)


class Woven(Searching):
    """What `dis` shows, its guesses mended twice. Any t.

    The search runs on the CPU, on OpenCV's threads, whatever device the frames are on; all else where the frames are.

    Args:
        widths: channels at 1/4, 1/8 and 1/16 of the picture.
        depths: steps at 1/4 (twice as many), at 1/8 for the coarse look (twice) and for the fine one, at 1/16.
    """

    spec = Spec(context=(-1, 0, 1, 2), multiple=32, even=True)

    def __init__(
        self, widths: tuple[int, int, int] = (64, 96, 128), depths: tuple[int, int, int, int] = (2, 2, 4, 6)
    ) -> None:
        super().__init__()
        fine, middle, coarse = widths
        # 6 looks of 3 colours of 2x2 pixels; motions, weights, what is believed, turns; t
        self.coarse = Hourglass(6 * 12 + 6 + 4 + 6 + 6 + 1, (middle, coarse), depths[1::2], TOLD, stride=2, far=True)
        self.hand_on = Finer(middle, fine // 2)
        self.fine = Hourglass(4 * 12 + 8 + SOURCES + 1 + fine // 2, (fine, middle), depths[::2], TOLD + SHADES)

    def on_grid(self, picture: Array) -> Array:
        """Half of it, however small: what the convolutions see is in proportion to it."""
        return halved(picture)

    def render(self, scene: Tensors, t: Tensor) -> Prediction:
        """A scene at `t` `[B]` in [0, 1]. `aux`: `flow` and `mask`, the weight of frame 0 against frame 1, of what is
        shown; `merged_half`, what the coarse look would show at half size."""
        first, last = scene[0], scene[4]
        found = prior(found_at(scene, t), first, t)
        told, known = self.coarse(self._at_first(found))
        told = resize(told, 4)
        believed, flows = found.believed + told[:, 2 * EACH :], found.flows(told[:, : 2 * EACH])
        seen_again = looked(found.small, flows)
        finely, _ = self.fine(self._again(found, seen_again, flows, believed, known))
        more, shades = resize(finely[:, :TOLD], 2), finely[:, TOLD:]
        told = told + more
        flows, weighs = found.flows(told[:, : 2 * EACH]), found.believed + told[:, 2 * EACH :]
        one_pass = first.device.type == "cpu" and not torch.is_grad_enabled() and in_one_pass(first)
        frame = (drawn if one_pass else shown)((first, last), flows, weighs, shades)

        def aux() -> dict[str, Tensor]:
            half = mixed(torch.cat((seen_again, *found.small), 1), believed)
            return {**moved(flows, weighs, first.shape[-1] / flows.shape[-1]), "merged_half": half}

        return Prediction(frame, Later(aux))

    def _at_first(self, found: Prior) -> Tensor:
        """What the coarse look sees, at 1/4."""
        ways = []
        for motion in found.motions.split(2, 1):
            ways += [-found.when * motion, (1 - found.when) * motion]
        seen = F.pixel_unshuffle(looked(found.small, torch.cat(ways, 1)) - 0.5, 2)
        told = torch.cat((told_of(found.motions), found.weights, 0.2 * found.believed, told_of(found.turns)), 1)
        return joined(seen, F.avg_pool2d(told, 2), found.when)

    def _again(self, found: Prior, seen: Tensor, flows: Tensor, believed: Tensor, known: Tensor) -> Tensor:
        """What the fine look sees, at 1/4."""
        told = torch.cat((told_of(flows), 0.2 * believed), 1)
        return joined(F.pixel_unshuffle(seen - 0.5, 2), F.avg_pool2d(told, 2), found.when, self.hand_on(known))


def told_of(pixels: Tensor) -> Tensor:
    """Motion as a network takes it: of any length, it stays of the order of 1."""
    return 0.5 * (pixels / NEAR).asinh()


def joined(seen: Tensor, told: Tensor, when: Tensor, *more: Tensor) -> Tensor:
    """Channels side by side, a pixel's together in memory."""
    planes = [seen, told, when.expand(-1, 1, *told.shape[2:]), *(part.to(seen) for part in more)]
    return torch.cat(planes, 1).contiguous(memory_format=torch.channels_last)


def mixed(seen: Tensor, believed: Tensor) -> Tensor:
    """Six pictures `[B, 18, h, w]` by what their weights' logarithms `[B, 6, h, w]` say -> `[B, 3, h, w]`."""
    weights = believed.softmax(1).unsqueeze(2)
    return (weights * seen.unflatten(1, (SOURCES, 3))).sum(1)


def shown(frames: tuple[Tensor, Tensor], flows: Tensor, believed: Tensor, shades: Tensor) -> Tensor:
    """What is shown `[B, 3, H, W]` in [0, 1] of two frames. Small ones are looked up bicubically.

    Args:
        frames: `[B, 3, H, W]` twice.
        flows: `[B, 8, h, w]`, in pixels of their grid. believed: `[B, 6, h, w]`.
        shades: `[B, 48, H / 4, W / 4]`.
    """
    factor = frames[0].shape[-1] / flows.shape[-1]
    mode = "bicubic" if is_small(*frames[0].shape[-2:]) else "bilinear"
    seen = looked(frames, resize_flow(flows, factor), mode)
    return (mixed(torch.cat((seen, *frames), 1), resize(believed, factor)) + F.pixel_shuffle(shades, SIDE)).clamp(0, 1)


def drawn(frames: tuple[Tensor, Tensor], flows: Tensor, believed: Tensor, shades: Tensor) -> Tensor:
    """The same of large frames on the CPU, without gradients: in one pass."""
    from .weave_pass import woven

    factor = frames[0].shape[-1] / flows.shape[-1]
    field = torch.cat((factor * flows, believed), 1)
    parts = [pictures(part.contiguous(memory_format=torch.channels_last)) for part in (*frames, field, shades)]
    each = zip(*parts, strict=True)
    threads = torch.get_num_threads()
    seen = [woven(first, last, along, shade, threads) for first, last, along, shade in each]
    return torch.from_numpy(stacked(seen)).permute(0, 3, 1, 2)


def in_one_pass(frame: Tensor) -> bool:
    """True where frames are drawn by compiled code."""
    return has_numba() and not is_small(*frame.shape[-2:])


def moved(flows: Tensor, believed: Tensor, factor: float) -> dict[str, Tensor]:
    """Of flows `[B, 8, h, w]` and beliefs `[B, 6, h, w]`, `factor` times as large: the mean, `flow` `[B, 4, H, W]`, and
    what frame 0 weighs, `mask` `[B, 1, H, W]`."""
    weights = resize(believed, factor).softmax(1)
    flows = resize_flow(flows, factor)
    ahead, back = weights[:, :2].sum(1, keepdim=True), weights[:, 2:4].sum(1, keepdim=True)
    flow = (ahead * flows[:, :4] + back * flows[:, 4:]) / (ahead + back + FEW)
    return {"flow": flow, "mask": weights[:, ::2].sum(1, keepdim=True)}


ROWS: tuple[Entry, ...] = (
    Entry(
        "tweennet-m",
        lambda scale: Woven(),  # noqa: ARG005
        "guesses of motion searched as by `dis`, mended and believed by a network that sees four frames",
    ),
)
