"""What four frames say of a gap before a network is asked, one picture at a time; and how a picture is drawn of it.

two guesses       as `dis` has them, from frames 0 and 1 alone
a third, outer    motion goes on as it came from frame -1, and comes as it will go on to frame 2: each is judged as
                  the others are, and they are made one by how well the frames agree under them
turns             how motion bends, as either side says
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from . import dis
from .bend import along
from .dis import (
    SCALE,
    Array,
    Fit,
    View,
    at_once,
    blended,
    carried,
    fitted,
    fused,
    in_one_pass,
    judged,
    look,
    opencv,
)

SHARPLY = 4  # the power of how well frames agree, by which two outer motions are weighed


class Sought(NamedTuple):
    """What is known of one picture before the network is asked.

    Attributes:
        first, last: frames 0 and 1.
        halves: their pictures on the grid that motion is searched on, `[h, w, 3]`.
        fits, weights: guesses at `t`, as `judged` gives them.
        outer: the third guess; where neither side says anything, the first once more.
        of_outer: what it weighs, where `weights` add up to 1, `[h, w]`; 0 where neither side says anything.
        before, after: how motion bends as frame -1 says and as frame 2 does, seen at `t`: acceleration (x, y) and how
            far to believe it, `[h, w, 3]`.
        t: in [0, 1].
    """

    first: View
    last: View
    halves: tuple[Array, Array]
    fits: tuple[Fit, Fit]
    weights: list[Array]
    outer: Fit
    of_outer: Array
    before: Array
    after: Array
    t: float

    @property
    def knows(self) -> bool:
        """True where a frame beyond the gap says anything."""
        return any(bool(side[..., 2].max() > 0) for side in (self.before, self.after))

    @property
    def step(self) -> tuple[float, float]:
        """Pixels of the picture in one of the grid (x, y)."""
        (height, width), (low, narrow) = self.first.picture.shape[:2], self.first.luma.shape
        return width / narrow, height / low


def sought(first: View, last: View, halves: tuple[Array, Array], motion: Array, bend: Array, t: float) -> Sought:
    """What is known at `t`, from motion `[2, h, w, 2]` and how it bends, `[2, h, w, 3]`."""
    fits, weights = judged(first, last, motion, t)
    before, after = at_once(
        lambda: along(bend[0], t * motion[0]),
        lambda: along(bend[1], (1 - t) * motion[1]),
    )
    known = [bool(side[..., 2].max() > 0) for side in bend]
    ways = [
        lambda: fitted(first, last, carried(motion[0] - bend[0, ..., :2], t), t),
        lambda: fitted(first, last, -carried(motion[1] - bend[1, ..., :2], 1 - t), t),
    ]
    outer, of_outer = fits[0], np.zeros_like(first.luma)
    if all(known):
        before[..., :2] *= (2 - t) / 1.5  # the cubic through four places: see `bend`
        after[..., :2] *= (1 + t) / 1.5
        outer = made_one(first, last, at_once(*ways), t)
    elif any(known):
        outer = ways[known.index(True)]()
    if any(known):
        of_outer = outer.weight * weights[0] / fits[0].weight
    return Sought(first, last, halves, fits, weights, outer, of_outer, before, after, t)


def made_one(first: View, last: View, fits: tuple[Fit, Fit], t: float) -> Fit:
    """One guess of two: where they disagree, nearly the one under which the frames agree better."""
    cv2 = opencv()
    one, other = (cv2.pow(fit.weight, SHARPLY) for fit in fits)
    share = one / (one + other)
    return fitted(first, last, fits[1].motion + cv2.merge([share, share]) * (fits[0].motion - fits[1].motion), t)


def drawn(one: Sought, extra: Array | None) -> Array:
    """The picture `[H, W, 3]` that the guesses show: off their straight lines, as `extra` of `mixed` says, or not."""
    if extra is None:
        return dis.drawn(one.first, one.last, one.fits, one.weights, one.t)
    if in_one_pass(one.first):
        return fused(one.first, one.last, one.fits, one.weights, one.t, extra)
    cv2 = opencv()
    size = one.first.picture.shape[1::-1]
    off, share, of_outer = (cv2.resize(np.ascontiguousarray(extra[..., k]), size) for k in (slice(2), 2, 7))
    ways = partial(look, one.first, one.last)
    seen = at_once(*(partial(ways, fit, one.t, off) for fit in one.fits))
    bent = blended(one.first, one.last, seen, one.weights, one.t)
    bent = cv2.blendLinear(bent, ways(one.outer, one.t, off), SCALE / (1 + of_outer), SCALE * of_outer / (1 + of_outer))
    return cv2.blendLinear(drawn(one, None), bent, SCALE * share, SCALE * (1 - share))
