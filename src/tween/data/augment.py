"""Augmentation: what is done to a sample, the same for all of its frames; flow labels follow.

  resize, turn freely, crop      one look-up from the picture as it was read: only the crop is ever computed
  channels, flips, transpose,    views, copied once at the end
  quarter turns, time
  colour                         brightness, contrast, saturation, hue and grayscale are one 3 x 4 matrix
  noise, compression             of the inputs alone (the model then learns to mend as well), or of the target too

The order is that of IFRNet (Kong et al., CVPR 2022): resize, crop, channels, vertical flip, horizontal flip, transpose,
time; what it lacks stands beside its like, or after all of them. `IFRNET` is the published list.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import torch

from ..errors import BadOption
from ..models.dis import opencv
from .changes import Augment
from .noise import noisy
from .sample import Sample, Whole

Array = np.ndarray[Any, Any]

GRAY = np.array([0.299, 0.587, 0.114])  # BT.601 luma
YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])  # NTSC 1953


IFRNET: Final = Augment(
    double=0.1, channels=0.5, flip_vertical=0.3, flip_horizontal=0.5, transpose=0.05, reverse=0.5
)  # Vimeo-90K and GoPro
DEFORMVFI: Final = Augment(flip_horizontal=0.5, rotate=1.0, jitter=1.0, grayscale=0.2)  # its train_config.yaml
LIFT: Final = Augment(flip_horizontal=0.5, flip_vertical=0.5, quarter_turns=0.75, reverse=0.5)


class Look(NamedTuple):
    """Where a crop's pixels are in the pictures as they were read.

    Attributes:
        size: (H, W) of the crop, before it is transposed.
        scale: pixels of the crop for one of the picture, (vertical, horizontal).
        angle: radians that the picture is turned by, clockwise as seen.
        centre: of the crop, in the picture, in pixels (x, y) from the centre of the first one.
    """

    size: tuple[int, int]
    scale: tuple[float, float]
    angle: float
    centre: tuple[float, float]


class Turns(NamedTuple):
    """What is done by exchanging rows and columns: in this order."""

    vertical: bool
    horizontal: bool
    transpose: bool
    quarters: int

    @property
    def swaps(self) -> bool:
        """True if height and width change places."""
        return self.transpose != bool(self.quarters % 2)


def augmented(
    sample: Sample | Whole,
    augment: Augment,
    crop: tuple[int, int],
    rng: np.random.Generator,
    context: tuple[int, ...] = (0, 1),
) -> Sample:
    """A crop of a sample, changed as `augment` says. The same `rng` gives the same result.

    Args:
        sample: frames uint8 `[N, 3, H, W]`, target uint8 `[3, H, W]`, flow `[4, H, W]` pixels or None; of a whole one
            the flow may be coarser, in the frames' pixels all the same.
        augment: what may happen.
        crop: (H, W) of what comes out, pixels.
        rng: of every draw.
        context: when the sample's frames are, in gaps.

    Returns:
        A sample of `crop`; its flow is in the crop's pixels, and belongs to its frames as they are now.

    Raises:
        BadOption: a picture smaller than the crop; time reversal of a context that does not mirror.
    """
    refuse(sample, augment, crop, context)
    scale = _scale(augment, rng)
    turns, reversed_colours, angle = _turns(augment, rng)
    look = _look(sample, crop[::-1] if turns.swaps else crop, scale, angle, rng)
    frames, flow = _looked_up(sample, look)
    if reversed_colours:
        frames = frames[..., ::-1]
    frames, flow = _turned(frames, flow, turns)
    backwards = rng.random() < augment.reverse
    colours = _colours(augment, rng)
    context_frames, target = frames[:-1], frames[-1]
    if backwards:
        context_frames = context_frames[::-1]
        flow = None if flow is None else flow[..., [2, 3, 0, 1]]
    pictures = _recoloured([*context_frames, target], colours)
    pictures = _degraded(pictures, augment, rng)
    stack = torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy())
    label = None if flow is None else torch.from_numpy(flow.transpose(2, 0, 1).astype(np.float32, order="C"))
    return Sample(stack[:-1], stack[-1], 1 - sample.t if backwards else sample.t, label, sample.name)


def refuse(sample: Sample | Whole, augment: Augment, crop: tuple[int, int], context: tuple[int, ...]) -> None:
    """Raise BadOption for what cannot be done to such samples; see `augmented`."""
    if augment.reverse and {1 - c for c in context} != set(context):
        got = f"time reversal of frames at {', '.join(map(str, context))}"
        raise BadOption(got, "a context that is the same backwards is needed", "--data.augment.reverse 0")
    height, width = sample.target.shape[-2:]
    if height < crop[0] or width < crop[1]:
        got = f"{sample.name or 'a sample'} is {height} x {width}"
        least = f"{min(height, crop[0])} {min(width, crop[1])}"
        raise BadOption(got, f"a crop of {crop[0]} x {crop[1]} does not fit in it", f"--data.crop {least}")


def _scale(augment: Augment, rng: np.random.Generator) -> float:
    least, most = augment.resize
    scale = math.exp(rng.uniform(math.log(least), math.log(most)))
    return scale * 2 if rng.random() < augment.double else scale


def _turns(augment: Augment, rng: np.random.Generator) -> tuple[Turns, bool, float]:
    """Flips and quarter turns; whether channels are reversed; the free turn's angle, radians."""
    flips = (augment.channels, augment.flip_vertical, augment.flip_horizontal, augment.transpose)
    draws = rng.random(6) < np.array([*flips, augment.quarter_turns, augment.rotate])
    quarters, angle = int(rng.integers(1, 4)), math.radians(rng.uniform(-1, 1) * augment.largest_angle)
    turns = Turns(bool(draws[1]), bool(draws[2]), bool(draws[3]), quarters if draws[4] else 0)
    return turns, bool(draws[0]), angle if draws[5] else 0.0


def _look(sample: Sample | Whole, crop: tuple[int, int], scale: float, angle: float, rng: np.random.Generator) -> Look:
    """Draw where the crop is: anywhere, as long as all of it is within the picture; enlarged if it must be."""
    height, width = sample.target.shape[-2:]
    cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
    tall = (crop[0] - 1) * cos + (crop[1] - 1) * sin + 1  # of the turned crop, in pixels of the resized picture
    wide = (crop[1] - 1) * cos + (crop[0] - 1) * sin + 1
    scale = max(scale, tall / height, wide / width)
    resized = (max(round(height * scale), math.ceil(tall)), max(round(width * scale), math.ceil(wide)))
    scales = (resized[0] / height, resized[1] / width)
    top, left = (rng.integers(int(full - part) + 1) for full, part in zip(resized, (tall, wide), strict=True))
    middle = (left + (wide - 1) / 2, top + (tall - 1) / 2)
    centre = ((middle[0] + 0.5) / scales[1] - 0.5, (middle[1] + 0.5) / scales[0] - 0.5)
    return Look(crop, scales, angle, centre)


def _looked_up(sample: Sample | Whole, look: Look) -> tuple[Array, Array | None]:
    """The crop of every frame and the target, uint8 `[N + 1, h, w, 3]`, and of the flow `[h, w, 4]`."""
    planes = [picture.permute(1, 2, 0).numpy() for picture in (*sample.frames, sample.target)]
    flow = None if sample.flow is None else sample.flow.permute(1, 2, 0).numpy()
    if look.scale == (1, 1) and look.angle == 0:
        height, width = look.size
        left, top = (round(c - (side - 1) / 2) for c, side in zip(look.centre, (width, height), strict=True))
        here = (slice(top, top + height), slice(left, left + width))
        found = np.stack([plane[here] for plane in planes])
        if flow is None or flow.shape[:2] == planes[0].shape[:2]:
            return found, None if flow is None else flow[here]
    else:
        found = np.stack([_resampled(plane, look) for plane in planes])
    if flow is None:
        return found, None
    return found, _resampled(flow, _on_grid(look, planes[0].shape, flow.shape)) @ _vectors(look)


def _on_grid(look: Look, picture: Sequence[int], grid: Sequence[int]) -> Look:
    """A look at a picture `[H, W, C]` as one at something of its view with other pixels."""
    ratio = grid[0] / picture[0], grid[1] / picture[1]
    (down, across), (x, y) = look.scale, look.centre
    centre = (x + 0.5) * ratio[1] - 0.5, (y + 0.5) * ratio[0] - 0.5
    return look._replace(scale=(down / ratio[0], across / ratio[1]), centre=centre)


def _resampled(plane: Array, look: Look) -> Array:
    """One picture or flow `[H, W, C]`, uint8 or float32, seen through a look: bilinear, as the published enlarging
    is; a picture that shrinks is first averaged over the pixels that fall on one, while a flow's edges stay unmixed."""
    cv2 = opencv()
    part, (x, y) = _part(plane, look)
    height, width = part.shape[:2]
    down, across = (min(1.0, scale) for scale in look.scale) if plane.dtype == np.uint8 else (1.0, 1.0)
    if min(down, across) < 1:
        size = (max(1, round(width * across)), max(1, round(height * down)))
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        across, down = size[0] / width, size[1] / height
        x, y = (x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5
    cos, sin = math.cos(look.angle), math.sin(look.angle)
    step = (across / look.scale[1], down / look.scale[0])  # pixels of this plane for one of the crop
    matrix = np.array([[cos * step[0], sin * step[0], 0], [-sin * step[1], cos * step[1], 0]])
    matrix[:, 2] = np.array([x, y]) - matrix[:, :2] @ ((np.array(look.size[::-1]) - 1) / 2)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(part, matrix, look.size[::-1], flags=how, borderMode=cv2.BORDER_REPLICATE)


def _part(plane: Array, look: Look) -> tuple[Array, tuple[float, float]]:
    """The part of a picture that a look can see, and where the crop's centre is in it."""
    cos, sin = abs(math.cos(look.angle)), abs(math.sin(look.angle))
    (x, y), (height, width) = look.centre, look.size
    wide, tall = (width * cos + height * sin) / look.scale[1] / 2, (height * cos + width * sin) / look.scale[0] / 2
    left, top = max(0, math.floor(x - wide) - 2), max(0, math.floor(y - tall) - 2)
    part = plane[top : math.ceil(y + tall) + 3, left : math.ceil(x + wide) + 3]
    kept = np.uint8 if plane.dtype == np.uint8 else np.float32
    return np.ascontiguousarray(part, kept), (x - left, y - top)


def _vectors(look: Look) -> Array:
    """What a row (x, y, x, y) of flow in the picture is multiplied by to be one in the crop, `[4, 4]`."""
    cos, sin = math.cos(look.angle), math.sin(look.angle)
    one = np.array([[look.scale[1] * cos, look.scale[1] * sin], [-look.scale[0] * sin, look.scale[0] * cos]])
    return np.kron(np.eye(2), one).astype(np.float32)


def _turned(frames: Array, flow: Array | None, turns: Turns) -> tuple[Array, Array | None]:
    """Flips, transpose and quarter turns (counter-clockwise) of `[N, h, w, C]` and `[h, w, 4]`: views, but for the
    flow's signs."""
    steps: list[tuple[bool, Any, Sequence[float], bool]] = [  # done?, how, signs of (x, y), do x and y change places?
        (turns.vertical, lambda a: a[..., ::-1, :, :], (1, -1), False),
        (turns.horizontal, lambda a: a[..., ::-1, :], (-1, 1), False),
        (turns.transpose, lambda a: a.swapaxes(-3, -2), (1, 1), True),
    ]
    steps += [(True, lambda a: a.swapaxes(-3, -2)[..., ::-1, :, :], (1, -1), True)] * turns.quarters
    for done, how, signs, swaps in steps:
        if done:
            frames = how(frames)
            if flow is not None:
                flow = how(flow)
                flow = (flow[..., [1, 0, 3, 2]] if swaps else flow) * np.array([*signs, *signs], np.float32)
    return frames, flow


def _colours(augment: Augment, rng: np.random.Generator) -> tuple[Array, float] | None:
    """A matrix `[3, 3]` on RGB, and what contrast was multiplied by; None for no change."""
    draws = rng.random(2)
    brightness, contrast, saturation = (
        rng.uniform(max(0.0, 1 - most), 1 + most) for most in (augment.brightness, augment.contrast, augment.saturation)
    )
    turn = 2 * math.pi * rng.uniform(-augment.hue, augment.hue)
    matrix = np.eye(3)
    if draws[0] < augment.jitter:
        cos, sin = math.cos(turn), math.sin(turn)
        hue = np.linalg.inv(YIQ) @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ YIQ
        matrix = hue @ (saturation * np.eye(3) + (1 - saturation) * GRAY) * (brightness * contrast)
    else:
        contrast = 1.0
    if draws[1] < augment.grayscale:
        matrix = np.tile(GRAY, (3, 1)) @ matrix
    return None if np.array_equal(matrix, np.eye(3)) else (matrix, contrast)


def _recoloured(pictures: list[Array], colours: tuple[Array, float] | None) -> list[Array]:
    """Contrast grows about the mean gray of all frames together, so that what was equal in two of them stays so."""
    if colours is None:
        return pictures
    cv2 = opencv()
    matrix, contrast = colours
    mean = float(np.mean([picture[::4, ::4].mean((0, 1)) for picture in pictures], axis=0) @ (matrix.T @ GRAY))
    rows = np.hstack([matrix, np.full((3, 1), mean * (1 - contrast) / contrast)])
    return [cv2.transform(np.ascontiguousarray(picture), rows) for picture in pictures]


def _degraded(pictures: list[Array], augment: Augment, rng: np.random.Generator) -> list[Array]:
    """Noise, new in every frame; then JPEG, of one quality."""
    draws, deviation = rng.random(2), rng.uniform(*augment.noise_levels)
    quality = int(rng.integers(augment.quality[0], augment.quality[1] + 1))
    spared = [] if augment.degraded == "all" else [pictures.pop()]
    if draws[0] < augment.noise:
        pictures = [noisy(picture, deviation, rng) for picture in pictures]
    if draws[1] < augment.compression:
        pictures = [_compressed(picture, quality) for picture in pictures]
    return pictures + spared


def _compressed(picture: Array, quality: int) -> Array:
    cv2 = opencv()
    _, code = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1]
