"""Is there a cut, or a repeat, between these two frames?

frame --luma()--> 36 x 64 grey --strangeness()--> one number a gap --CutDetector--> yes or no
                                0: motion explains all, 1: as strange as any other picture

Within a shot every block of a picture is found again nearby in the other one; across a cut it is not, and the best
match is about as bad as the block's own mean. So the measure is the motion-compensated residual over the texture,
which needs no scale: dark or bright, calm or busy, a cut is near 1. How it was tuned and measured: docs/cuts.md.
"""

from __future__ import annotations

from collections import deque

import torch
import torch.nn.functional as F
from torch import Tensor

from ..frame import Frame

GRID = (36, 64)  # the small luma, whatever the frame's shape
BLOCK = (6, 8)  # 6 x 8 blocks of so many pixels of the grid
REACH = (6, 12)  # how far a block may have moved: 1/6 of the height, 3/16 of the width
SAMPLES = 4  # frame pixels read for each of the grid's, along each axis
LUMA = (0.2126, 0.7152, 0.0722)  # BT.709; of gamma-coded RGB, so luma, not luminance

CUT = 0.75  # stranger than this is a cut whatever came before
JUMP = 0.3  # below this nothing is a cut; between, only what stands out from the gaps before it
JUMP_RATIO = 3.0  # "stands out": so many times the strangest of the last RECENT gaps
RECENT = 8
TONE = 0.5  # of the threshold: less is left once the tones are matched, and only the tone has changed
SLACK_LEVELS = 1.0  # added to the texture, so that the noise of a flat picture is not strange
FLAT_LEVELS = 0.5  # less texture than this: a picture of one colour
FLAT_STEP_LEVELS = 20.0  # to or from one colour a smaller residual is a fade


def luma(frame: Frame) -> Tensor:
    """A frame's small luma: float32 [36, 64] in 0..255 on the CPU. Alpha is ignored.

    Each cell is the mean of about 4 x 4 samples, so that an 8K frame costs what a 720p frame does; then 1 2 1 along
    both axes, for detail as fine as a cell would look another at each step of less than a cell.
    """
    rows, columns = (max(1, n // (SAMPLES * cells)) for n, cells in zip(frame.size, GRID, strict=True))
    samples = frame.data[:3, rows // 2 :: rows, columns // 2 :: columns].float()
    grey = samples[0] * LUMA[0] + samples[1] * LUMA[1] + samples[2] * LUMA[2]
    small = softened(F.adaptive_avg_pool2d(grey[None], GRID)[0].cpu())
    return small / 257 if frame.data.dtype == torch.uint16 else small


def softened(picture: Tensor) -> Tensor:
    """1 2 1 along both axes, edges repeated. [H, W]."""
    rows = torch.cat([picture[:1], picture, picture[-1:]])
    rows = (rows[:-2] + 2 * rows[1:-1] + rows[2:]) / 4
    both = torch.cat([rows[:, :1], rows, rows[:, -1:]], dim=1)
    return (both[:, :-2] + 2 * both[:, 1:-1] + both[:, 2:]) / 4


def same_picture(a: Frame, b: Frame) -> bool:
    """Whether two frames are the same picture, bit for bit. Different pictures are told by a few of their rows."""
    if a.data is b.data:
        return True
    if a.data.shape != b.data.shape or a.data.dtype != b.data.dtype:
        return False
    step = max(1, a.data.shape[-2] // 16)
    return torch.equal(a.data[:, ::step], b.data[:, ::step]) and torch.equal(a.data, b.data)


class CutDetector:
    """Finds the cuts of a stream, asked once for each pair of neighbours in order. Keeps no frame but the last one.

    A cut is any gap that no motion, fade or change of exposure explains: also both sides of a flash that leaves
    nothing to see, or of a shot of one frame. Make one for each stream.
    """

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._last: tuple[Frame, Tensor] | None = None

    @property
    def state(self) -> list[float]:
        """What it remembers of the gaps it judged. A detector that is given this judges what follows alike."""
        return list(self._recent)

    @state.setter
    def state(self, recent: list[float]) -> None:
        self._recent.clear()
        self._recent.extend(recent)

    def between(self, before: Frame, after: Frame) -> bool:
        """Whether a cut lies between two neighbours; of any size, uint8 or uint16."""
        if self._last is None or self._last[0] is not before:
            self._last = (before, luma(before))
        small_before, small_after = self._last[1], luma(after)
        self._last = (after, small_after)
        return self.gap(small_before, small_after)

    def gap(self, before: Tensor, after: Tensor) -> bool:
        """`between` for two small lumas, [36, 64] in 0..255."""
        strange, threshold = strangeness(before, after), self._threshold()
        cut = strange > threshold and not explained_by_tone(before, after, TONE * threshold)
        if cut:
            self._recent.clear()
        else:
            self._recent.append(strange)
        return cut

    def _threshold(self) -> float:
        """CUT, or less in a shot that has been calm for RECENT gaps."""
        if len(self._recent) < RECENT:
            return CUT
        return min(CUT, max(JUMP, JUMP_RATIO * max(self._recent)))


def strangeness(a: Tensor, b: Tensor) -> float:
    """How little of each picture can be found in the other: 0 is all, about 1 is two unrelated pictures.

    The mean over both directions of residual / (texture + SLACK_LEVELS). Below JUMP, where no cut is, the residual is
    that of no motion at all, which is larger and costs almost nothing.

    Args:
        a, b: float32 [36, 64] in 0..255.
    """
    texture_a, texture_b = texture(a), texture(b)

    def over_texture(in_a: float, in_b: float) -> float:
        return (in_a / (texture_a + SLACK_LEVELS) + in_b / (texture_b + SLACK_LEVELS)) / 2

    change = float((a - b).abs().mean())
    plain = over_texture(change, change)
    if plain <= JUMP:
        return plain
    return over_texture(residual(b, a), residual(a, b))


def explained_by_tone(a: Tensor, b: Tensor, share: float) -> bool:
    """Whether b is a with other brightness or contrast (a fade, a flash, an exposure), or the reverse.

    The richer picture is given the poorer one's histogram; if motion then explains
    all but a `share` of its texture, only the tone has changed.
    """
    texture_a, texture_b = texture(a), texture(b)
    poor, rich, levels = (a, b, texture_a) if texture_a < texture_b else (b, a, texture_b)
    if levels < FLAT_LEVELS:
        return residual(rich, poor) < FLAT_STEP_LEVELS
    return residual(with_tones_of(poor, rich), poor) < share * levels


def with_tones_of(tones: Tensor, picture: Tensor) -> Tensor:
    """`picture` with the histogram of `tones`: its k-th darkest pixel gets the k-th darkest tone. Both [36, 64]."""
    order = picture.flatten().argsort()
    matched = torch.empty_like(picture).flatten()
    matched[order] = tones.flatten().sort().values
    return matched.view_as(picture)


def texture(picture: Tensor) -> float:
    """Mean absolute deviation from the mean of its block, levels."""
    (rows, columns), (high, wide) = GRID, BLOCK
    blocks = picture.view(rows // high, high, columns // wide, wide)
    return float((blocks - blocks.mean((1, 3), keepdim=True)).abs().mean())


def residual(source: Tensor, target: Tensor) -> float:
    """Mean absolute difference, levels, once each block of `target` has found its best place in `source`.

    target block at (y, x)    looks at all of source (y - 6 ... y + 6, x - 12 ... x + 12), edges repeated
    """
    (rows, columns), (high, wide), (up, aside) = GRID, BLOCK, REACH
    places = 2 * aside + 1
    padded = F.pad(source[None, None], (aside, aside, up, up), mode="replicate")[0, 0]
    best = torch.full((rows // high, places, columns // wide), float("inf"))
    for y in range(2 * up + 1):  # a row of shifts at a time stays in the cache
        apart = (padded[y : y + rows].unfold(1, columns, 1) - target[:, None]).abs_()  # [36, places, 64]
        apart = apart.view(rows // high, high, places, columns).sum(1)
        best = torch.minimum(best, apart.view(rows // high, places, columns // wide, wide).sum(-1))
    return float(best.amin(1).mean()) / (high * wide)
