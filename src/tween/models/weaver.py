"""The convolutions of tween's larger network: twice they look at what guesses of motion show, and say what is wrong.

         what the guesses of `sought` show          what the mended guesses show
                    │ 1/8                                     │ 1/4
coarse      1/8 ── 1/16 ── 1/8                  fine   1/4 ── 1/8 ── 1/4
                    │                                         │
         how to mend two guesses, whom to believe      the same once more, and colours
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE: Final = 0.2  # of leaky ReLUs
EVEN_OUT: Final = 1e-4  # so that the spread of what is even has a gradient


class Step(nn.Module):
    """leaky(x + conv(x)); with `far`, what is convolved is told mean and spread of the whole picture."""

    def __init__(self, width: int, *, far: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.far = nn.Linear(2 * width, width) if far else None

    def forward(self, x: Tensor) -> Tensor:
        change = self.conv(x)
        if self.far is not None:
            whole = x.float()
            mean = whole.mean((2, 3))
            spread = ((whole - mean[:, :, None, None]).square().mean((2, 3)) + EVEN_OUT).sqrt()
            change = change + self.far(torch.cat((mean, spread), 1))[:, :, None, None].to(change.dtype)
        return F.leaky_relu(x + change, SLOPE)


def steps(width: int, count: int, *, far: bool = False) -> nn.Sequential:
    """Several; with `far`, every second one is told of the whole picture."""
    return nn.Sequential(*(Step(width, far=far and n % 2 == 0) for n in range(count)))


class Finer(nn.Module):
    """Twice the size: `[B, C, h, w]` -> `[B, width, 2h, 2w]`."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(x), 2)


class Hourglass(nn.Module):
    """Some steps, some more at half the size, some more: what is near and what is around.

    Args:
        channels: that come in. widths: of the steps, and of those at half the size.
        depths: how many before and after, and how many at half the size.
        told: channels that go out.
        stride: 2 to halve what comes in.
        far: whether those at half the size are told of the whole picture.
    """

    def __init__(
        self,
        channels: int,
        widths: tuple[int, int],
        depths: tuple[int, int],
        told: int,
        *,
        stride: int = 1,
        far: bool = False,
    ) -> None:
        super().__init__()
        width, deep = widths
        self.enter = nn.Conv2d(channels, width, 3, stride, 1)
        self.before = steps(width, depths[0])
        self.coarser = nn.Conv2d(width, deep, 3, 2, 1)
        self.around = steps(deep, depths[1], far=far)
        self.finer = Finer(deep, width)
        self.after = steps(width, depths[0])
        self.tell = nn.Conv2d(width, told, 3, 1, 1)
        nn.init.zeros_(self.tell.weight)
        nn.init.zeros_(self.tell.bias)  # type: ignore[arg-type]

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, C, h, w]` -> what is told, and what it was told from; at first all told is 0."""
        near = self.before(F.leaky_relu(self.enter(seen), SLOPE))
        around = self.around(F.leaky_relu(self.coarser(near), SLOPE))
        known = self.after(F.leaky_relu(near + self.finer(around), SLOPE))
        return self.tell(known).float(), known
