"""Drawings that a video shows for several frames: film in 60 Hz, animation on twos and threes.

frames     a  a  b  b  b  c       shown again: the same but for the noise of coding
drawings   a     b        c       `--repeats retime` lets motion run evenly from one drawing to the next

Noise that no eye sees may differ by more than a slow pan moves, so one threshold cannot tell them: what counts is how
a change compares with the largest of the last ones. Measured on `dev`: docs/rendering.md.
"""

from __future__ import annotations

from collections import deque

import torch
import torch.nn.functional as F
from torch import Tensor

from ..frame import Frame
from ..video.cuts import LUMA

BLOCK = 8  # pixels of a block, which is judged alone: a mouth moves, and nothing else
SAME = 2.0  # levels: less change than this is none
SHARE = 0.4  # of the largest recent change: less than this is noise ...
NOISE = 10.0  # ... unless it is more than this, levels
RECENT = 8  # gaps that are remembered
MOST = 5  # frames that one drawing may be shown for; what rests longer is a still, and is not stretched to move


class RepeatDetector:
    """Tells whether a frame shows the drawing before it again. Asked in order; make one for each stream."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT)

    @property
    def state(self) -> list[float]:
        """What it remembers. A detector that is given this judges what follows alike."""
        return list(self._recent)

    @state.setter
    def state(self, recent: list[float]) -> None:
        self._recent.clear()
        self._recent.extend(recent)

    def holds(self, drawing: Frame, after: Frame, held: int) -> bool:
        """Whether `after` repeats `drawing`, which was shown `held` times more already."""
        moved = change(drawing, after)
        is_same = moved < max(SAME, min(NOISE, SHARE * max(self._recent, default=0.0)))
        self._recent.append(moved)
        return is_same and held + 1 < MOST


def change(a: Frame, b: Frame) -> float:
    """How much the 8 x 8 block changed whose brightness changed most, levels of 0..255."""
    if a.data is b.data:
        return 0.0
    apart = luma(a) - luma(b)
    blocks = F.avg_pool2d(apart[None, None], min(BLOCK, *apart.shape), ceil_mode=True, count_include_pad=False)
    return float(blocks.abs().max())


def luma(frame: Frame) -> Tensor:
    """`[H, W]` float32 in 0..255."""
    data = frame.data[:3].float()
    grey = data[0] * LUMA[0] + data[1] * LUMA[1] + data[2] * LUMA[2]
    return grey / 257 if frame.data.dtype == torch.uint16 else grey
