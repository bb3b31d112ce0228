"""The future without a network: the newest frame again, or carried on along its motion.

-1 ──────── 0 ──────── t       motion is measured from 0 back to -1, and goes on as it went
    back       ahead
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .dis import Array, Dis, carried, dense_search, enlarged, looked_up, pictures, stacked
from .entry import Entry
from .model import Model, Prediction, Spec, Tensors

REFINE = 3  # rounds by which a motion is refined that only one search tells of


class Repeat(Model):
    """The newest frame, at any t: what a player shows that has nothing else."""

    spec = Spec(context=(-1, 0))

    def render(self, scene: Tensors, t: Tensor) -> Prediction:  # noqa: ARG002
        """Frame 0 of a scene of two frames `[B, 3, H, W]`."""
        return Prediction(scene[1], {})


class DisAhead(Dis):
    """DIS flow from the newest frame to the one before it, turned round: every pixel goes on as it came.

    Frames are embedded as by `Dis`; it runs on the CPU as that does.
    """

    spec = Spec(context=(-1, 0))

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """Two embeddings -> the newest frame, its pixels, and the motion of each of its luma's pixels per gap
        `[B, h, w, 2]` (x, y)."""
        (_, _, before), (frame, pixels, newest) = context
        motion = [onward(a, b) for a, b in zip(before.numpy(), newest.numpy(), strict=True)]
        return frame, pixels, torch.from_numpy(np.stack(motion))

    def render(self, scene: Tensors, t: Tensor) -> Prediction:
        """A scene at `t` `[B]`, t >= 0, in gaps after the newest frame."""
        frame, pixels, motion = scene
        shown = []
        for picture, moves, when in zip(pictures(pixels), motion.numpy(), t.tolist(), strict=True):
            arrived = enlarged(carried(moves, when), picture.shape[1::-1])
            shown.append(looked_up(picture, arrived, -when))
        return Prediction(torch.from_numpy(stacked(shown)).permute(0, 3, 1, 2).to(frame), {})


def onward(before: Array, newest: Array) -> Array:
    """Luma `[h, w]` in 0..255 of the frames at -1 and 0 -> where each pixel of the latter goes in one gap, as it came,
    `[h, w, 2]`. (Damping it where the two frames disagree was tried: 1.6 dB worse on real clips.)"""
    return -dense_search(*(np.rint(luma).astype(np.uint8) for luma in (newest, before)), refine=REFINE)


ROWS: tuple[Entry, ...] = (
    Entry("repeat", lambda scale: Repeat(), "the newest frame again", trained=False),  # noqa: ARG005
    Entry(
        "dis-ahead",
        lambda scale: DisAhead(),  # noqa: ARG005
        "the newest frame carried on along its optical flow",
        paper="Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016",
        code_licence="Apache-2.0 (OpenCV)",
        trained=False,
    ),
)
