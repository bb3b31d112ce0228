"""How motion bends: what the frames beyond a gap say of it.

    frame        -1          0          1          2
    searched      <---------- --------->
                              <--------- --------->
    on frame 0   motion to 1 + motion to -1  =  acceleration, in pixels; none on a straight line at one speed
    on frame 1   motion to 0 + motion to  2  =  the same, measured again

A path that is there at 0 and 1 and bends is off the straight line between them by acceleration * t (1 - t) / 2. The
cubic through all four places has for acceleration the line from the one on frame 0 to the one on frame 1, taken at
(1 + t) / 3.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .dis import Array, agreement, at_once, dense_search, grid, inside, looked_up, opencv

REMEMBERED = 32  # searches at most


class Found(NamedTuple):
    """Two lumas, for as long as somebody has them, and what is found between them."""

    a: weakref.ref[Tensor]
    b: weakref.ref[Tensor]
    motion: Future[Array]

    @property
    def is_alive(self) -> bool:
        return self.a() is not None and self.b() is not None


class Searches:
    """Searches between frames, each made once, whoever asks in whatever thread: a gap looks at the one after it, which
    is the next to come. What is remembered of frames that are gone goes with them.

    Args:
        refine: as `dense_search` takes it.
        turned: search in pictures turned by half a circle. DIS goes over a picture from one corner to the other, and
            errs otherwise from there.
    """

    def __init__(self, refine: int = 0, *, turned: bool = False) -> None:
        self._refine, self._turned = refine, turned
        self._found: dict[tuple[int, int], Found] = {}
        self._lock = threading.Lock()

    def __call__(self, a: Tensor, b: Tensor) -> Array:
        """Luma `[B, h, w]` in 0..255 twice -> where each pixel of `a` is in `b`, `[B, h, w, 2]`; not to be written."""
        key = id(a), id(b)
        with self._lock:
            alive = {k: one for k, one in self._found.items() if one.is_alive}
            self._found = dict(list(alive.items())[-REMEMBERED:])
            known = self._found.get(key)
            one = known or Found(weakref.ref(a), weakref.ref(b), Future())
            self._found[key] = one
        if known is None:
            try:
                pairs = zip(rounded(a), rounded(b), strict=True)
                one.motion.set_result(np.stack([self._search(*pair) for pair in pairs]))
            except BaseException as error:
                with self._lock:
                    self._found.pop(key, None)
                one.motion.set_exception(error)
        return one.motion.result()

    def _search(self, a: Array, b: Array) -> Array:
        if not self._turned:
            return dense_search(a, b, refine=self._refine)
        a, b = (np.ascontiguousarray(luma[::-1, ::-1]) for luma in (a, b))
        return -dense_search(a, b, refine=self._refine)[::-1, ::-1]

    def __deepcopy__(self, memo: object) -> Searches:
        return Searches(self._refine, turned=self._turned)

    def __reduce__(self) -> tuple[Callable[[], Searches], tuple[()]]:
        return partial(Searches, self._refine, turned=self._turned), ()


def rounded(luma: Tensor) -> Array:
    """`[B, h, w]` in 0..255 -> the same as a search takes it, uint8."""
    return np.rint(luma.numpy()).astype(np.uint8)


def bends(search: Searches, lumas: Sequence[Tensor]) -> tuple[Array, Array]:
    """Motion between the middle two of four frames, and how it bends.

    Args:
        search: what searches, and remembers.
        lumas: of frames -1, 0, 1 and 2, `[B, h, w]` in 0..255. A frame that repeats its neighbour, as at a clip's end,
            says nothing of how things move.

    Returns:
        Motion 0 -> 1 on frame 0 and 1 -> 0 on frame 1, `[B, 2, h, w, 2]`; acceleration (x, y) on the same two frames
        and how far to believe it, from 0 to 1, `[B, 2, h, w, 3]`.
    """
    ahead, back = at_once(lambda: search(lumas[1], lumas[2]), lambda: search(lumas[2], lumas[1]))
    before, after = at_once(lambda: bend(search, ahead, *lumas[1::-1]), lambda: bend(search, back, *lumas[2:]))
    return np.stack((ahead, back), 1), np.stack((before, after), 1)


def bend(search: Searches, motion: Array, here: Tensor, beyond: Tensor) -> Array:
    """`[B, h, w, 3]` of one side: motion `[B, h, w, 2]` from `here` to the far side of the gap, luma of the frame here
    and of the one beyond."""
    cv2 = opencv()
    found = np.zeros((*motion.shape[:3], 3), np.float32)
    told = [not torch.equal(a, b) for a, b in zip(here, beyond, strict=True)]
    if any(told):
        away = search(here, beyond)
        for n, luma, other in zip(range(len(found)), here.numpy(), beyond.numpy(), strict=True):
            if told[n]:
                belief = agreement(luma, looked_up(other, away[n], 1.0)) * inside(away[n], 1.0)
                cv2.merge([cv2.add(motion[n], away[n]), belief], found[n])
    return found


def along(bent: Array, moved: Array) -> Array:
    """What is known of pixels where they started, `[h, w, 3]`, seen from where `moved` `[h, w, 2]` has brought them."""
    cv2 = opencv()
    start = looked_up(moved, looked_up(moved, moved, -1.0), -1.0)
    places = cv2.scaleAdd(start, -1.0, grid(*start.shape[:2]))
    return cv2.remap(bent, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
