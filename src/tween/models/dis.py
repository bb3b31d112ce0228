"""Frames in between by dense optical flow, without a network.

    luma of both frames ── DIS ──> motion ahead (first -> last) and back (last -> first)              once a gap
    each motion, carried along itself to t, is one guess of what passes through every pixel at t      once an instant
    a third guess: nothing moves
    every guess looks both frames up; guesses under which the frames agree weigh more; the mean is shown

Flow: Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016, as OpenCV has it. Figures, and what
was tried and left out, are in docs/models/classic.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..errors import MissingPackage
from ..ops.present import has_numba
from .model import Later, Model, Prediction, Spec, Tensors

Array = np.ndarray[Any, Any]
Result = TypeVar("Result")

PATCH_STRIDE = 4  # pixels of the luma, for patches of 8
SMALLEST_SIDE = 16  # pixels of the luma below which DIS has no room for its patches
AGREEMENT = 0.02  # a difference in luma that lowers a guess's weight to 1/e
STILLNESS = 0.3  # how much "nothing moves" weighs against a guess of motion that fits as well
UNSEEN = 0.5  # how far the frames are taken to agree where only one of them has something to show
DOUBT = 1e-6  # what a guess weighs that does not fit at all, so that three such are averaged
SCALE = 1e4  # cv2.blendLinear adds 1e-5 to the sum of the weights: this makes it a billionth
SMALL_PICTURE = 720 * 576  # pixels up to which pictures are searched as they are, and looked up bicubically
RED_GREEN_BLUE = (0.299, 0.587, 0.114)  # BT.601 luma, whatever the video's: it only has to show edges


class Dis(Model):
    """DIS flow both ways; three guesses at t, blended by how well the two frames agree under them.

    It runs on the CPU, on OpenCV's threads, whatever device the frames are on. For a given number of those
    (`cv2.getNumThreads`), equal frames in give equal frames out.
    """

    spec = Spec(context=(0, 1))
    searches = True

    def embed(self, frame: Tensor) -> Tensors:
        """`[B, 3, H, W]` in [0, 1] -> the frame, its pixels side by side in memory, and its luma in 0..255, float32
        `[B, h, w]`, on the grid that motion is searched on, on the CPU."""
        pixels = pixels_of(frame)
        lumas = [luma_of(self.on_grid(picture)) for picture in pictures(pixels)]
        return frame.detach(), pixels, torch.from_numpy(np.stack(lumas))

    def on_grid(self, picture: Array) -> Array:
        """A picture `[H, W, 3]` on the grid that motion is searched on: half of it, or a small one as it is."""
        return picture if is_small(*picture.shape[:2]) else halved(picture)

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """Two embeddings -> what is in them, and motion `[B, 2, h, w, 2]` on the luma's grid and in its pixels (x, y):
        first -> last, then last -> first."""
        (first, first_pixels, first_luma), (_, last_pixels, last_luma) = context
        motion = [both_ways(a, b) for a, b in zip(first_luma.numpy(), last_luma.numpy(), strict=True)]
        return first, first_pixels, first_luma, last_pixels, last_luma, torch.from_numpy(np.stack(motion))

    def render(self, scene: Tensors, t: Tensor) -> Prediction:
        """A scene at `t` `[B]` in [0, 1]. `aux`: `flow` is the mean over the guesses, `mask` is 1 - t."""
        first, seen = scene[0], [in_between(*one) for one in each(scene, t)]
        frame = torch.from_numpy(stacked([picture for picture, _ in seen])).permute(0, 3, 1, 2)
        return Prediction(frame.to(first), Later(partial(told, first, [moved for _, moved in seen], t)))


def told(frame: Tensor, moved: Sequence[Array], t: Tensor) -> dict[str, Tensor]:
    """What `render` tells beside the frame.

    Args:
        frame: the first, `[B, 3, H, W]`.
        moved: for each picture the mean motion of its guesses, first -> last, `[h, w, 2]` in pixels of the frame.
        t: `[B]`.
    """
    cv2 = opencv()
    size = (frame.shape[-1], frame.shape[-2])
    flows = []
    for motion, when in zip(moved, t.tolist(), strict=True):
        planes = cv2.split(motion)
        flows.append(np.stack([cv2.resize(share * plane, size) for share in (-when, 1 - when) for plane in planes]))
    mask = (1 - t.to(frame).view(-1, 1, 1, 1)).expand_as(frame[:, :1])
    return {"flow": torch.from_numpy(stacked(flows)).to(frame.device), "mask": mask}


def opencv() -> Any:
    """OpenCV, imported when it is first needed. (Any: its type stubs know nothing of DIS.)"""
    try:
        import cv2
    except ImportError as error:
        raise MissingPackage(
            "OpenCV is not installed", "the model `dis` needs it", "pip install opencv-python-headless"
        ) from error
    return cv2


class View(NamedTuple):
    """One frame: its picture `[H, W, 3]` in [0, 1] and its luma `[h, w]` in 0..255, float32."""

    picture: Array
    luma: Array


def each(scene: Tensors, t: Tensor) -> Iterator[tuple[View, View, Array, float]]:
    """A scene as `Dis.relate` makes it, picture by picture: both frames, motion both ways `[2, h, w, 2]`, its t."""
    _, first_pixels, first_luma, last_pixels, last_luma, motion = scene
    firsts, lasts = views(first_pixels, first_luma), views(last_pixels, last_luma)
    return zip(firsts, lasts, motion.numpy(), t.tolist(), strict=True)


def pixels_of(frame: Tensor) -> Tensor:
    """`[B, 3, H, W]` anywhere -> on the CPU, float32, a pixel's colours side by side in memory."""
    return frame.detach().to("cpu", torch.float32).contiguous(memory_format=torch.channels_last)


def pictures(frames: Tensor) -> list[Array]:
    """`[B, 3, H, W]`, channels last in memory -> B views of it `[H, W, 3]`."""
    return list(frames.permute(0, 2, 3, 1).numpy())


def views(pixels: Tensor, lumas: Tensor) -> list[View]:
    """What `Dis.embed` makes of frames, one by one."""
    return [View(picture, luma) for picture, luma in zip(pictures(pixels), lumas.numpy(), strict=True)]


def stacked(arrays: list[Array]) -> Array:
    """B arrays -> one with a first axis of B; a batch of one is not copied."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def is_small(height: int, width: int) -> bool:
    """True for a picture whose detail is as fine as its pixels."""
    return height * width <= SMALL_PICTURE


def halved(picture: Array) -> Array:
    """`[H, W, 3]` -> half of it, each pixel the mean of four; or itself, where DIS would find half too small."""
    cv2 = opencv()

    height, width = (side + side % 2 for side in picture.shape[:2])
    if min(height, width) < 2 * SMALLEST_SIDE:
        return picture
    return cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)


def luma_of(picture: Array) -> Array:
    """`[h, w, 3]` in [0, 1] -> `[h, w]` in 0..255."""
    return opencv().transform(picture, 255 * np.array([RED_GREEN_BLUE], np.float32))


def both_ways(first: Array, last: Array) -> Array:
    """Luma `[h, w]` in 0..255 of two frames -> motion first -> last and last -> first, `[2, h, w, 2]` pixels."""
    first, last = np.rint(first).astype(np.uint8), np.rint(last).astype(np.uint8)
    return np.stack(at_once(lambda: dense_search(first, last), lambda: dense_search(last, first)))


def dense_search(a: Array, b: Array, *, refine: int = 0) -> Array:
    """Luma uint8 `[h, w]` twice -> where each pixel of `a` is in `b`, relative, `[h, w, 2]` (x, y). Zero where they
    are too small for a search. `refine`: rounds of DIS's variational refinement at each level."""
    cv2 = opencv()

    if min(a.shape) < SMALLEST_SIDE:
        return np.zeros((*a.shape, 2), np.float32)
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    search.setFinestScale(0)
    search.setPatchStride(PATCH_STRIDE)
    search.setVariationalRefinementIterations(refine)
    return search.calc(a, b, None)


def in_between(first: View, last: View, motion: Array, t: float) -> tuple[Array, Array]:
    """The picture at `t` `[H, W, 3]`, and the mean motion of the guesses, first -> last, `[h, w, 2]` in pixels of the
    picture."""
    fits, weights = judged(first, last, motion, t)
    mean = fits[0].motion * weights[0][..., None] + fits[1].motion * weights[1][..., None]
    return drawn(first, last, fits, weights, t), scaled(mean, first.picture.shape[1::-1])


def judged(first: View, last: View, motion: Array, t: float) -> tuple[tuple[Fit, Fit], list[Array]]:
    """Both guesses at `t`, ahead and back, and what they and the third, that nothing moves, weigh: three `[h, w]` that
    add up to 1."""
    fits = at_once(
        lambda: fitted(first, last, carried(motion[0], t), t),
        lambda: fitted(first, last, -carried(motion[1], 1 - t), t),
    )
    still = STILLNESS * agreement(first.luma, last.luma) + DOUBT
    total = fits[0].weight + fits[1].weight + still
    return fits, [weight / total for weight in (fits[0].weight, fits[1].weight, still)]


def drawn(first: View, last: View, fits: tuple[Fit, Fit], weights: Sequence[Array], t: float) -> Array:
    """The picture `[H, W, 3]` that guesses show by their weights: small ones looked up bicubically, large ones in one
    pass, where it can be compiled."""
    if in_one_pass(first):
        return fused(first, last, fits, weights, t)
    seen = at_once(*(partial(look, first, last, fit, t) for fit in fits))
    return blended(first, last, seen, weights, t)


def in_one_pass(view: View) -> bool:
    """True where a picture is drawn by compiled code."""
    return has_numba() and not is_small(*view.picture.shape[:2])


def blended(first: View, last: View, seen: tuple[Array, Array], weights: Sequence[Array], t: float) -> Array:
    """What two guesses show and a third, that nothing moves, by their weights `[h, w]`, which add up to 1."""
    cv2 = opencv()
    size = first.picture.shape[1::-1]
    shares = [SCALE * cv2.resize(weight, size) for weight in weights]
    moving = cv2.blendLinear(*seen, shares[0], shares[1])
    resting = cv2.addWeighted(first.picture, 1 - t, last.picture, t, 0)
    return cv2.blendLinear(moving, resting, shares[0] + shares[1], shares[2])


def fused(
    first: View, last: View, fits: tuple[Fit, Fit], weights: Sequence[Array], t: float, extra: Array | None = None
) -> Array:
    """The same in one pass over the picture, which looks the guesses up as it goes; `extra` as `mixed` takes it."""
    from .mix import mixed

    cv2 = opencv()
    size = first.picture.shape[1::-1]
    motions = [scaled(fit.motion, size) for fit in fits]
    field = cv2.merge([*motions, *(part for fit in fits for part in trusted(fit, t)), *weights])
    return mixed(first.picture, last.picture, field, t, cv2.getNumThreads(), extra)


def carried(motion: Array, t: float) -> Array:
    """A motion seen from where it starts -> seen from where it has come to at `t`: m(x) = motion(x - t m(x)), by two
    rounds of looking it up."""
    arrived = looked_up(motion, motion, -t)
    return looked_up(motion, arrived, -t)


class Fit(NamedTuple):
    """How far the frames agree under a motion `[h, w, 2]`, and how much of each pixel's way lies within both; but for
    the motion all `[h, w]`."""

    agree: Array
    in_first: Array
    in_last: Array
    weight: Array
    motion: Array


def fitted(first: View, last: View, motion: Array, t: float) -> Fit:
    """A motion `[h, w, 2]` (first -> last, in pixels of the luma) judged at `t`. What lies beyond the border of one
    frame is taken from the other, as far as its repeated edge does not agree, and nothing speaks against it."""
    agree = agreement(looked_up(first.luma, motion, -t), looked_up(last.luma, motion, 1 - t))
    in_first, in_last = inside(motion, -t), inside(motion, 1 - t)
    both = in_first * in_last
    return Fit(agree, in_first, in_last, both * agree + (1 - both) * UNSEEN + DOUBT, motion)


def trusted(fit: Fit, t: float) -> tuple[Array, Array]:
    """How far the first frame is trusted at `t`, and the last, `[h, w]`; not adding up to 1."""
    cv2 = opencv()
    return (1 - t) * cv2.max(fit.in_first, fit.agree) + DOUBT, t * cv2.max(fit.in_last, fit.agree) + DOUBT


def look(first: View, last: View, fit: Fit, t: float, off: Array | None = None) -> Array:
    """The mean of both frames under one idea of the motion, `[H, W, 3]`; with `off` `[H, W, 2]`, that far off its
    straight line."""
    cv2 = opencv()
    size = first.picture.shape[1::-1]
    full = enlarged(fit.motion, size)
    seen_first, seen_last = looked_up(first.picture, full, -t, off), looked_up(last.picture, full, 1 - t, off)
    if min(fit.in_first.min(), fit.in_last.min()) == 1:
        return cv2.addWeighted(seen_first, 1 - t, seen_last, t, 0)
    shares = [cv2.resize(SCALE * part, size) for part in trusted(fit, t)]
    return cv2.blendLinear(seen_first, seen_last, *shares)


def inside(motion: Array, share: float) -> Array:
    """1 where a pixel's place plus `share` of its motion is within the frame, 0 from one pixel beyond it, `[h, w]`."""
    cv2 = opencv()
    height, width = motion.shape[:2]
    x, y = cv2.split(cv2.scaleAdd(motion, share, grid(height, width)))
    beyond = cv2.max(cv2.max(-x, x - (width - 1)), cv2.max(-y, y - (height - 1)))
    return np.clip(1 - beyond, 0, 1)


def agreement(a: Array, b: Array) -> Array:
    """Luma in 0..255 twice -> 1 where they are equal around a pixel, falling to 0, `[h, w]`."""
    cv2 = opencv()

    return cv2.exp(cv2.blur(cv2.absdiff(a, b), (5, 5)) * (-1 / (255 * AGREEMENT)))


def looked_up(image: Array, motion: Array, share: float, off: Array | None = None) -> Array:
    """`image` at each pixel's place plus `share` of its motion, and what it is off by besides; beyond the border the
    edge repeats. Bicubic for pictures that are small, for their detail is as fine as their pixels; else bilinear, as
    good there and faster."""
    cv2 = opencv()
    height, width = motion.shape[:2]
    fine = image.ndim == 3 and image.shape[2] == 3 and is_small(height, width)
    places = cv2.scaleAdd(motion, share, grid(height, width))
    if off is not None:
        places = cv2.add(places, off, dst=places)
    how = cv2.INTER_CUBIC if fine else cv2.INTER_LINEAR
    found = cv2.remap(image, places, None, how, borderMode=cv2.BORDER_REPLICATE)
    return np.clip(found, 0, 1, out=found) if fine else found


@lru_cache(maxsize=4)
def grid(height: int, width: int) -> Array:
    """`[H, W, 2]`: each pixel's own place (x, y); for reading only."""
    places = np.empty((height, width, 2), np.float32)
    places[..., 0] = np.arange(width, dtype=np.float32)
    places[..., 1] = np.arange(height, dtype=np.float32)[:, None]
    places.flags.writeable = False
    return places


def enlarged(motion: Array, size: tuple[int, int]) -> Array:
    """`[h, w, 2]` -> `[H, W, 2]` for `size` = (W, H), in pixels of the new grid."""
    cv2 = opencv()

    return cv2.resize(scaled(motion, size), size)


def scaled(motion: Array, size: tuple[int, int]) -> Array:
    """Motion in pixels of its own grid -> in pixels of a grid of `size` = (W, H), where it is."""
    return motion * np.array([size[0] / motion.shape[1], size[1] / motion.shape[0]], np.float32)


def at_once(one: Callable[[], Result], other: Callable[[], Result]) -> tuple[Result, Result]:
    """Two tasks side by side, where torch may use two threads; OpenCV lets go of Python's lock while it works."""
    if torch.get_num_threads() == 1:
        return one(), other()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(one)
        second = other()
        return running.result(), second
