"""Drawings that a video shows for several frames: film in 60 Hz, animation on twos and threes.

frames     a  a  b  b  b  c       shown again: the same but for noise
drawings   a     b        c       `--repeats retime` lets motion run evenly from one drawing to the next
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..frame import Frame
from ..video.cuts import LUMA

BLOCK = 8  # pixels of a block, which is judged alone: a mouth moves, and nothing else
SAME_LEVELS = 2.5  # mean difference of the block that changed most, 0..255
MOST = 5  # frames that one drawing may be shown for; what rests longer is a still, and is not stretched to move


class RepeatDetector:
    """Tells whether a frame shows the drawing before it again."""

    def holds(self, drawing: Frame, after: Frame, held: int) -> bool:
        """Whether `after` repeats `drawing`, which was shown `held` times more already."""
        return held + 1 < MOST and change(drawing, after) < SAME_LEVELS


def change(a: Frame, b: Frame) -> float:
    """Mean absolute difference of luma in the 8 x 8 block that changed most, levels of 0..255."""
    if a.data is b.data:
        return 0.0
    apart = (luma(a) - luma(b)).abs_()
    blocks = F.avg_pool2d(apart[None, None], min(BLOCK, *apart.shape), ceil_mode=True, count_include_pad=False)
    return float(blocks.max())


def luma(frame: Frame) -> Tensor:
    """`[H, W]` float32 in 0..255."""
    data = frame.data[:3].float()
    grey = data[0] * LUMA[0] + data[1] * LUMA[1] + data[2] * LUMA[2]
    return grey / 257 if frame.data.dtype == torch.uint16 else grey
