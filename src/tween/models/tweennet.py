"""Optical flow searched without a network, judged and mended by a small one: tween's own.

    DIS motion both ways (`dis`)            three guesses of what passes through a pixel at t: ahead, back, still
            │                               each guess looks both frames up: six pictures of the same instant
            v
    stage at 1/4 ─> stage at 1/2 ─> stage at 1 ─> detail
        flows mended, weights mended          weights alone

    shown: the weighted mean of the six pictures, weights that sum to 1 at every pixel

With all its last layers at zero it shows what `dis` shows, so it never has to learn what a search finds better; and
nothing it shows was in neither frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..ops.resize import resize, resize_flow
from ..ops.warp import backward_warp
from .blocks import Residual
from .dis import DOUBT, STILLNESS, Array, Dis, View, agreement, at_once, carried, fitted, pictures
from .entry import Entry
from .model import Prediction, Spec, Tensors

PICTURES = 6  # ahead in both frames, back in both, still in both
FLOWS = 8  # ahead -> first (x, y), ahead -> last, back -> first, back -> last
KEPT = 16  # channels that a stage hands on
PATCH = 4  # pixels a side that a stage sees as one


class Stage(nn.Module):
    """Six pictures and what is known of them at one size -> changes to flows and weights.

    Args:
        width: channels of its convolutions, which stand on a grid of a patch.
        depth: how many of them after the first.
        fields: channels of what is known beside the pictures.
        mends_flows: False for the last stage, which leaves the flows as they are and hands nothing on.
    """

    def __init__(self, width: int, depth: int, fields: int, mends_flows: bool) -> None:
        super().__init__()
        self.told = FLOWS * 4 if mends_flows else 0
        self.see = nn.Conv2d(3 * (PICTURES + 1), width, PATCH, PATCH)
        self.join = nn.Conv2d(width + fields, width, 3, 1, 1)
        self.body = nn.Sequential(*(Residual(width) for _ in range(depth)))
        self.keep = nn.Conv2d(width, KEPT, 1) if mends_flows else None
        self.tell = nn.Conv2d(width, self.told + PICTURES * PATCH**2, 1)
        silence(self.tell)

    def forward(self, seen: Tensor, fields: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        """Pictures `[B, 21, H, W]` and fields `[B, F, H/4, W/4]` -> what to add to the flows `[B, 8, H/2, W/2]`, to
        the weights' logits `[B, 6, H, W]`, and what to hand on `[B, 16, H/4, W/4]`."""
        x = F.leaky_relu(self.see(seen), 0.2)
        x = self.body(F.leaky_relu(self.join(torch.cat((x, fields), 1)), 0.2))
        told = self.tell(x)
        flows = F.pixel_shuffle(told[:, : self.told], 2) if self.told else None
        return flows, F.pixel_shuffle(told[:, self.told :], PATCH), self.keep(x) if self.keep else None


class TweenNet(Dis):
    """DIS flow whose guesses a network mends and weighs. Any t.

    The search runs on the CPU, on OpenCV's threads, whatever device the frames are on; the rest where they are.

    Args:
        widths: channels of the stages at 1/4, 1/2 and 1 of the picture.
        depths: convolutions of each.
        detail: channels of the last look, at full size.
    """

    spec = Spec(context=(0, 1), multiple=16, half=False)
    sizes = (4, 2, 1)

    def __init__(
        self, widths: tuple[int, ...] = (48, 48, 32), depths: tuple[int, ...] = (3, 3, 4), detail: int = 8
    ) -> None:
        super().__init__()
        known = FLOWS + PICTURES + 1
        self.blocks = nn.ModuleList(
            Stage(width, depth, known + (KEPT if k else 0), mends_flows=self.sizes[k] > 1)
            for k, (width, depth) in enumerate(zip(widths, depths, strict=True))
        )
        last = nn.Conv2d(detail, PICTURES, 3, 1, 1)
        self.detail = nn.Sequential(nn.Conv2d(3 + PICTURES, detail, 3, 1, 1), nn.LeakyReLU(0.2), last)
        silence(last)

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """Two embeddings -> what `dis` keeps of them, and frame 1."""
        return *super().relate(context), context[1][0]

    def render(self, scene: Tensors, t: Tensor) -> Prediction:
        """A scene at `t` `[B]` in [0, 1]. `aux`: `flow` and `mask` are means over the six pictures by their weights;
        `merged` is the mean of the four that moved."""
        return self.draw(self.search(scene, t), t)

    def search(self, scene: Tensors, t: Tensor) -> Tensors:
        """Both frames, and flows and logits to `start` from."""
        return scene[0], scene[-1], *start(scene, t.to(scene[0]))

    def draw(self, sought: Tensors, t: Tensor) -> Prediction:
        """What the network makes of them."""
        first, last, flows, logits = sought
        change = torch.zeros_like(flows[:, :, :1, :1]), torch.zeros_like(logits[:, :, :1, :1])
        kept: list[Tensor] = []
        for stage, size in zip(self.blocks, self.sizes, strict=True):
            ratio = 2 if kept else 1
            change = resize_flow(change[0], ratio), resize(change[1], ratio)
            now = smaller(flows, size) / size + change[0]
            weights = (resize(logits, 2) if size == 1 else smaller(logits, size // 2)) + change[1]
            seen = looks(smaller(first, size), smaller(last, size), resize_flow(now, 2), fine=size == 1)
            mean = mixed(seen, weights)
            low = smaller(now, 2)
            moments = t.to(first).view(-1, 1, 1, 1).expand(-1, 1, *low.shape[-2:])
            fields = [0.1 * low, 0.3 * smaller(weights, PATCH), moments, *(resize(k, 2) for k in kept)]
            parts = [*(picture - mean for picture in seen), mean - mean.mean((2, 3), keepdim=True)]
            mended, told, memory = stage(torch.cat(parts, 1), torch.cat(fields, 1))
            change = change[0] if mended is None else change[0] + mended, change[1] + told
            kept = [] if memory is None else [memory]
        weights = weights + told
        apart = [10 * (a - b).abs().mean(1, keepdim=True) for a, b in zip(seen[::2], seen[1::2], strict=True)]
        weights = weights + self.detail(torch.cat((*apart, 0.3 * weights), 1))
        return shown(seen, weights, resize_flow(now, 2))


def silence(layer: nn.Module) -> None:
    """Let a layer say nothing at first."""
    for part in layer.parameters():
        nn.init.zeros_(part)


def start(scene: Tensors, t: Tensor) -> tuple[Tensor, Tensor]:
    """What `dis` would show, as flows `[B, 8, H/2, W/2]` in pixels of that grid and logits `[B, 6, H/2, W/2]`."""
    first, first_pixels, first_luma, last_pixels, last_luma, motions, _ = scene
    views = [
        [View(picture, luma) for picture, luma in zip(pictures(pixels), lumas.numpy(), strict=True)]
        for pixels, lumas in ((first_pixels, first_luma), (last_pixels, last_luma))
    ]
    found = [guesses(*of_one) for of_one in zip(*views, motions.numpy(), t.tolist(), strict=True)]
    motion, weight = (torch.from_numpy(np.stack(part)).to(first) for part in zip(*found, strict=True))
    factor = first.shape[-2] / 2 / motion.shape[-2]  # 1, but for frames too small to search at half their size
    motion, weight = resize_flow(motion, factor), resize(weight, factor)
    when = t.view(-1, 1, 1, 1)
    flows = torch.cat([share * moves for moves in motion.split(2, 1) for share in (-when, 1 - when)], 1)
    return flows, trusted(flows, weight, when).log()


def guesses(first: View, last: View, moves: Array, t: float) -> tuple[Array, Array]:
    """Motion of the guesses ahead and back at `t`, `[4, h, w]`, and how far each of the three fits, `[3, h, w]`."""
    moving = carried(moves[0], t), -carried(moves[1], 1 - t)
    ahead, back = at_once(*(partial(fitted, first, last, motion, t) for motion in moving))
    still = STILLNESS * agreement(first.luma, last.luma) + DOUBT
    return np.concatenate(moving, -1).transpose(2, 0, 1), np.stack((ahead.weight, back.weight, still))


def trusted(flows: Tensor, weight: Tensor, when: Tensor) -> Tensor:
    """The share of each of the six pictures `[B, 6, H, W]`: its guess's, and in it the nearer frame's, or that of the
    frame that is not left."""
    of_guess = weight / weight.sum(1, keepdim=True)
    shares = []
    for guess, fit in enumerate(weight.split(1, 1)):
        pair = torch.cat(((1 - when).expand_as(fit), when.expand_as(fit)), 1)
        if guess < FLOWS // 4:
            ways = flows[:, 4 * guess : 4 * guess + 4].split(2, 1)
            pair = pair * torch.cat([torch.maximum(within(way), fit) for way in ways], 1) + DOUBT
        shares.append(of_guess[:, guess : guess + 1] * pair / pair.sum(1, keepdim=True))
    return torch.cat(shares, 1).clamp_min(DOUBT)


def within(flow: Tensor) -> Tensor:
    """1 where a pixel's flow `[B, 2, H, W]` ends inside the picture, 0 from one pixel beyond it, `[B, 1, H, W]`."""
    height, width = flow.shape[-2:]
    x = flow[:, :1] + torch.arange(width, device=flow.device)
    y = flow[:, 1:] + torch.arange(height, device=flow.device)[:, None]
    beyond = torch.stack((-x, x - (width - 1), -y, y - (height - 1))).amax(0)
    return (1 - beyond).clamp(0, 1)


def smaller(image: Tensor, factor: int) -> Tensor:
    """`[B, C, H, W]` -> `[B, C, H/factor, W/factor]`, means of squares of pixels."""
    return image if factor == 1 else F.avg_pool2d(image, factor)


def looks(first: Tensor, last: Tensor, flows: Tensor, *, fine: bool) -> list[Tensor]:
    """Both frames under each guess, ahead, back and still: six pictures `[B, 3, H, W]`, those of frame 0 first of each
    pair. Bicubic if `fine`, for a linear look blurs what is as fine as a pixel."""
    ways = flows.split(2, 1)
    frames = (first, last) * (len(ways) // 2)
    mode = "bicubic" if fine else "bilinear"
    moved = [backward_warp(frame, way, mode=mode).clamp(0, 1) for frame, way in zip(frames, ways, strict=True)]
    return [*moved, first, last]


def mixed(seen: Sequence[Tensor], logits: Tensor) -> Tensor:
    """The mean of pictures `[B, 3, H, W]` by the softmax of their logits `[B, n, H, W]`."""
    shares = logits.softmax(1).split(1, 1)
    return torch.stack([share * picture for share, picture in zip(shares, seen, strict=True)]).sum(0)


def shown(seen: Sequence[Tensor], logits: Tensor, flows: Tensor) -> Prediction:
    """Six pictures, their logits and flows at full size -> what is shown, and what is told of it."""
    shares = logits.softmax(1)
    still = torch.zeros_like(flows[:, :2])
    ways = [*flows.split(2, 1), still, still]
    flow = [
        sum((shares[:, k : k + 1] * ways[k] for k in side), still) / shares[:, side].sum(1, keepdim=True)
        for side in ([0, 2, 4], [1, 3, 5])
    ]
    aux = {"flow": torch.cat(flow, 1), "mask": shares[:, ::2].sum(1, keepdim=True).clamp(0, 1)}
    aux["merged"] = mixed(seen[:4], logits[:, :4])
    return Prediction(mixed(seen, logits).clamp(0, 1), aux)


ROWS: tuple[Entry, ...] = (
    Entry(
        "tweennet",
        lambda scale: TweenNet(),  # noqa: ARG005
        "optical flow searched as by `dis`, mended and weighed by a small network",
    ),
)
