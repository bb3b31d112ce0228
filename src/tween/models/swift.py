"""`dis` for pictures that cannot wait: a coarser search, and each picture looked up once.

    quarter-size luma ── DIS ──> motion ahead and back         once a gap, a fifth of the time that `dis` takes
    the two motions, carried to t, become one: where they disagree, that under which the frames agree better
    one guess of what moves, one of what rests; the mean by how well each fits

Figures beside those of `dis`: docs/models/classic.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .dis import (
    DOUBT,
    PATCH_STRIDE,
    SCALE,
    SMALLEST_SIDE,
    STILLNESS,
    Array,
    Dis,
    View,
    agreement,
    at_once,
    carried,
    each,
    enlarged,
    grid,
    halved,
    inside,
    looked_up,
    opencv,
    stacked,
)
from .entry import Entry
from .model import Prediction, Tensors

FINEST = 1  # halvings of the half-size luma at which the search ends
SURE = 4  # the power of a fit by which one motion stands out from the other


class DisFast(Dis):
    """DIS flow both ways at quarter size, made one before the pictures are looked up. Frames are embedded as by `Dis`;
    it runs on the CPU as that does."""

    def on_grid(self, picture: Array) -> Array:
        """Half of it, however small."""
        return halved(picture)

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """As `Dis.relate`, of a coarser search."""
        (first, first_pixels, first_luma), (_, last_pixels, last_luma) = context
        motion = []
        for a, b in zip(first_luma.numpy(), last_luma.numpy(), strict=True):
            one, other = np.rint(a).astype(np.uint8), np.rint(b).astype(np.uint8)
            motion.append(np.stack([quick_search(one, other), quick_search(other, one)]))
        return first, first_pixels, first_luma, last_pixels, last_luma, torch.from_numpy(np.stack(motion))

    def render(self, scene: Tensors, t: Tensor) -> Prediction:
        """A scene at `t` `[B]` in [0, 1]. `aux`: `flow` of the one motion, `mask` is 1 - t."""
        first, seen = scene[0], [between(*one) for one in each(scene, t)]
        frame = torch.from_numpy(stacked([picture for picture, _ in seen])).permute(0, 3, 1, 2)
        moved = torch.from_numpy(stacked([flow for _, flow in seen])).permute(0, 3, 1, 2)
        when = t.view(-1, 1, 1, 1)
        flow = torch.cat([-when * moved, (1 - when) * moved], dim=1)
        mask = (1 - t.to(first).view(-1, 1, 1, 1)).expand_as(first[:, :1])
        return Prediction(frame.to(first), {"flow": flow.to(first.device), "mask": mask})


def quick_search(a: Array, b: Array) -> Array:
    """As `dis.dense_search`, but for its last and dearest level, which is interpolated."""
    cv2 = opencv()

    if min(a.shape) < SMALLEST_SIDE << FINEST:
        return np.zeros((*a.shape, 2), np.float32)
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    search.setFinestScale(FINEST)
    search.setPatchStride(PATCH_STRIDE)
    return search.calc(a, b, None)


def between(first: View, last: View, motion: Array, t: float) -> tuple[Array, Array]:
    """The picture at `t` `[H, W, 3]`, and the motion first -> last seen from there `[H, W, 2]`, pixels."""
    cv2 = opencv()
    moved, fit = one_of(first, last, carried(motion[0], t), -carried(motion[1], 1 - t), t)
    still = STILLNESS * agreement(first.luma, last.luma) + DOUBT
    size = first.picture.shape[1::-1]
    full = enlarged(moved, size)
    ways = [cv2.scaleAdd(full, share, grid(size[1], size[0])) for share in (-t, 1 - t)]
    seen = at_once(
        lambda: cv2.remap(first.picture, ways[0], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        lambda: cv2.remap(last.picture, ways[1], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
    )
    trust = [(1 - t) * inside(moved, -t) + DOUBT, t * inside(moved, 1 - t) + DOUBT]
    moving = cv2.blendLinear(*seen, *(cv2.resize(SCALE * share, size) for share in trust))
    resting = cv2.addWeighted(first.picture, 1 - t, last.picture, t, 0)
    part = cv2.resize(fit / (fit + still), size)
    return cv2.blendLinear(moving, resting, SCALE * part, SCALE * (1 - part)), full


def one_of(first: View, last: View, ahead: Array, back: Array, t: float) -> tuple[Array, Array]:
    """Two ideas of the motion through each pixel at `t`, `[h, w, 2]` -> one, and how well the frames agree under it,
    `[h, w]`."""
    fits = [
        agreement(looked_up(first.luma, way, -t), looked_up(last.luma, way, 1 - t)) + DOUBT for way in (ahead, back)
    ]
    sure = fits[0] ** SURE, fits[1] ** SURE
    share = (sure[0] / (sure[0] + sure[1]))[..., None]
    return ahead * share + back * (1 - share), np.maximum(*fits)


ROWS: tuple[Entry, ...] = (
    Entry(
        "dis-fast",
        lambda scale: DisFast(),  # noqa: ARG005
        "`dis` with a coarser search and one look-up, for live",
        paper="Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016",
        code_licence="Apache-2.0 (OpenCV)",
        trained=False,
    ),
)
