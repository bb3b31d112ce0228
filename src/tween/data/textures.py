"""What drawn scenes are made of: surfaces (pictures without an edge) and shapes (where a surface is seen).

A surface is grain, one of a few dozen kept gray pictures (fractal noise, dead leaves, bricks, marble, spots), coloured
from a scene's palette; or flat, or a piece of a real picture. Dead leaves, shapes of every size upon each other, have
the statistics of natural images (Lee, Mumford and Huang, IJCV 2001).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from ..models.dis import opencv

Array = np.ndarray[Any, Any]
Rng = np.random.Generator

GRAIN = 640  # side of a kept gray picture
GRAINS = 28
LETTERS = np.array(list("ABCDEFGHKLMNPRSTUVWXYZabcdeghkmnopqrstuvwxyz0123456789&!?%+=:"))
SHAPES = ("blob", "polygon", "box", "ellipse", "strip", "wires", "text", "ring", "fence", "leaves")
OFTEN = np.array([0.24, 0.14, 0.13, 0.10, 0.10, 0.08, 0.07, 0.05, 0.03, 0.06])


def palette(rng: Rng, *, flat: bool = False) -> Array:
    """A scene's colours, uint8 `[6, 3]`: two neighbouring hues in several shades, and one that stands out. Muted as
    footage is, or strong (`flat`) as drawings are."""
    usual = (0.07, 0.1, 0.29, 0.55, 0.6)  # skin and wood, sand, leaves, water, sky
    hue = rng.random() if flat or rng.random() < 0.4 else rng.choice(usual) + rng.normal(0, 0.02)
    hues = (hue + np.array([0, 0.02, 0.06, -0.05, rng.choice([0.1, 0.33, 0.5]), rng.random()])) % 1
    strength = rng.uniform(0.3, 0.95, 6) if flat else rng.beta(1.2, 2.8, 6) * rng.uniform(0.3, 1.1)
    value = rng.uniform(0.35, 1.0, 6) if flat else rng.beta(1.3, 1.3, 6) * 0.85 + 0.1
    hsv = np.stack([hues * 179, strength.clip(0, 1) * 255, value * 255], axis=-1)[None].astype(np.uint8)
    cv2 = opencv()
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0]


def coloured(rng: Rng, size: tuple[int, int], colours: Array) -> Array:
    """A surface of grain in a few of the palette's colours, uint8 RGB `[h, w, 3]`, repeated in mirrors if it is larger
    than the grain."""
    cv2 = opencv()
    base, detail = (piece(rng, size) for _ in range(2))
    stops = np.sort(rng.choice(len(colours), int(rng.integers(2, 5)), replace=False))
    shades = colours[stops].astype(np.float32)
    shades = shades[np.argsort(shades.sum(-1))] if rng.random() < 0.6 else shades
    at = np.linspace(0, 255, len(shades))
    ramp = np.stack([np.interp(np.arange(256), at, shades[:, c]) for c in range(3)], axis=-1)
    painted = cv2.LUT(cv2.merge([base, base, base]), ramp[None].astype(np.uint8))
    depth = rng.uniform(0.1, 0.8)
    light = (1 - depth / 2 + depth * np.arange(256) / 255) * 128
    lit = cv2.LUT(detail, light.astype(np.uint8)[None])
    return cv2.multiply(painted, cv2.merge([lit, lit, lit]), scale=1 / 128)


def flat(rng: Rng, size: tuple[int, int], colours: Array) -> Array:
    """One colour, or a soft blend of two from side to side."""
    first, second = colours[rng.choice(len(colours), 2, replace=False)]
    if rng.random() < 0.7:
        return np.broadcast_to(first, (*size, 3)).copy()
    share = slope(rng, size)
    return opencv().blendLinear(*(np.broadcast_to(one, (*size, 3)).copy() for one in (second, first)), share, 1 - share)


def slope(rng: Rng, size: tuple[int, int]) -> Array:
    """0 to 1 from one side of `[h, w]` to the other, in any direction, float32."""
    angle = rng.uniform(0, 2 * math.pi)
    y = np.linspace(-1, 1, size[0], dtype=np.float32)[:, None] * np.float32(math.sin(angle))
    x = np.linspace(-1, 1, size[1], dtype=np.float32) * np.float32(math.cos(angle))
    return (x + y) / (2 * (abs(math.sin(angle)) + abs(math.cos(angle)))) + 0.5


def from_picture(rng: Rng, size: tuple[int, int], picture: Array) -> Array:
    """A piece of a real picture uint8 `[H, W, 3]`, enlarged to `[h, w, 3]`."""
    cv2 = opencv()
    height, width = picture.shape[:2]
    part = rng.uniform(0.3, 1.0) * min(height / size[0], width / size[1])
    tall, wide = max(2, int(size[0] * part)), max(2, int(size[1] * part))
    top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
    here = np.ascontiguousarray(picture[top : top + tall, left : left + wide])
    return cv2.resize(here, size[::-1], interpolation=cv2.INTER_CUBIC if part < 1 else cv2.INTER_AREA)


def piece(rng: Rng, size: tuple[int, int]) -> Array:
    """A part of a kept grain, turned and mirrored, gray uint8 `[h, w]`."""
    cv2 = opencv()
    whole = np.rot90(grain(int(rng.integers(GRAINS))), int(rng.integers(4)))
    whole = whole.T if rng.random() < 0.5 else whole
    tall, wide = (min(side, GRAIN) for side in size)
    top, left = (int(rng.integers(GRAIN - side + 1)) for side in (tall, wide))
    part = np.ascontiguousarray(whole[top : top + tall, left : left + wide])
    below, right = size[0] - tall, size[1] - wide
    return cv2.copyMakeBorder(part, 0, below, 0, right, cv2.BORDER_REFLECT_101) if below or right else part


@lru_cache(maxsize=GRAINS)
def grain(number: int) -> Array:
    """One of the kept gray pictures, uint8 `[640, 640]`, over the whole range and evenly spread."""
    cv2 = opencv()
    rng = np.random.default_rng([number, 20_110_411])
    kinds = (fractal, leaves, fractal, marble, spots, bricks, fractal)
    made = kinds[number % len(kinds)](rng)
    even = cv2.normalize(made, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    return cv2.addWeighted(cv2.equalizeHist(even), 0.5, even, 0.5, 0)


def fractal(rng: Rng) -> Array:
    """Noise in octaves, rough or smooth, of clouds, earth, walls: float32 `[640, 640]`."""
    cv2 = opencv()
    rough, stretch = rng.uniform(0.4, 0.85), rng.choice([1, 1, 1, 4])
    total, weight = np.zeros((GRAIN, GRAIN), np.float32), 1.0
    for octave in range(7):
        side = 5 * 2**octave
        noise = rng.standard_normal((side, max(2, side // stretch))).astype(np.float32)
        total += weight * cv2.resize(noise, (GRAIN, GRAIN), interpolation=cv2.INTER_CUBIC)
        weight *= rough
    return total if rng.random() < 0.7 else -np.abs(total)


def marble(rng: Rng) -> Array:
    """Veins, wood and water: waves bent by noise, float32."""
    y, x = np.mgrid[0:GRAIN, 0:GRAIN].astype(np.float32)
    angle, length = rng.uniform(0, math.pi), rng.uniform(24, 90)
    bent = x * math.cos(angle) + y * math.sin(angle) + rng.uniform(4, 30) * fractal(rng)
    return np.sin(bent * (2 * math.pi / length)) + 0.25 * fractal(rng)


def spots(rng: Rng) -> Array:
    """Noise of one scale, cut off: fur, camouflage, pebbles; float32."""
    cv2 = opencv()
    noise = rng.standard_normal((GRAIN, GRAIN)).astype(np.float32)
    scale = math.exp(rng.uniform(math.log(3), math.log(16)))
    one = cv2.GaussianBlur(noise, (0, 0), scale) * scale
    cut = 1 / (1 + np.exp(-one * rng.uniform(6, 25)))
    return cv2.GaussianBlur(cut, (0, 0), 1) + 0.1 * fractal(rng)


def bricks(rng: Rng) -> Array:
    """Walls, tiles, planks, windows: rows of boxes, each of its own shade, with joints; float32."""
    cv2 = opencv()
    picture = np.zeros((GRAIN, GRAIN), np.float32)
    tall, wide = int(rng.integers(18, 70)), int(rng.integers(18, 160))
    joint, shift = int(rng.integers(1, 5)), rng.choice([0.0, 0.5, 0.31])
    for row, top in enumerate(range(0, GRAIN, tall)):
        for left in range(-int(row * shift * wide) % wide - wide, GRAIN, wide):
            corner = (left + wide - joint - 1, top + tall - joint - 1)
            cv2.rectangle(picture, (left, top), corner, float(rng.uniform(0.35, 1)), -1)
    return cv2.GaussianBlur(picture, (0, 0), 0.8) + 0.08 * fractal(rng)


def leaves(rng: Rng) -> Array:
    """Dead leaves: shapes of every size upon each other, the small ones last; float32."""
    cv2 = opencv()
    picture = np.full((GRAIN, GRAIN), 128, np.uint8)
    radii = np.sort(4 / (1 - rng.random(1600) * (1 - 4 / 120)))[::-1]  # a density of 1 / radius squared
    places, shades = rng.uniform(0, GRAIN, (1600, 2)), rng.uniform(10, 255, 1600)
    straight = rng.random() < 0.5
    for radius, place, shade in zip(radii, places, shades, strict=True):
        angle, narrow = rng.uniform(0, 360), rng.uniform(0.3, 1)
        box = (tuple(place), (2 * radius, 2 * radius * narrow), angle)
        if straight:
            cv2.fillConvexPoly(picture, np.rint(cv2.boxPoints(box)).astype(np.int32), float(shade), cv2.LINE_AA)
        else:
            cv2.ellipse(picture, box, float(shade), -1, cv2.LINE_AA)
    return cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 0.8) + 6 * fractal(rng)


def shape(rng: Rng, size: tuple[int, int], kind: str) -> Array:
    """A shape of SHAPES that fills most of `[h, w]` and leaves a rim of two pixels, uint8, 255 inside, soft edges."""
    cv2 = opencv()
    mask = np.zeros(size, np.uint8)
    DRAWN[kind](rng, mask)
    mask[:2] = mask[-2:] = 0
    mask[:, :2] = mask[:, -2:] = 0
    return cv2.GaussianBlur(mask, (5, 5), 0.9)


def _filled(mask: Array, points: Array) -> None:
    """Fill an outline `[N, 2]`, in -1 to 1 over the mask."""
    cv2 = opencv()
    half = (np.array(mask.shape[::-1]) - 1) / 2
    corners = np.rint((half + points * (half - 4)) * 16).astype(np.int32)
    cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, 4)


def _blob(rng: Rng, mask: Array) -> None:
    angles = np.linspace(0, 2 * math.pi, 120, endpoint=False)
    radius = np.ones(120)
    for wave in range(2, 8):
        radius += rng.normal(0, 0.45 / wave) * np.sin(wave * angles + rng.uniform(0, 6.3))
    radius = np.maximum(radius, 0.15) / radius.max()
    _filled(mask, radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], -1))


def _polygon(rng: Rng, mask: Array) -> None:
    corners = int(rng.integers(3, 9))
    angles = np.sort(rng.uniform(0, 2 * math.pi, corners) * 0.3 + np.arange(corners) * 2 * math.pi / corners)
    radius = rng.uniform(0.45, 1, corners)
    _filled(mask, radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], -1))


def _box(rng: Rng, mask: Array) -> None:
    cut = rng.choice([0, 0, 0.15, 0.3])
    across, down = rng.uniform(0.6, 1, 2)
    corners = [(-1, -1 + cut), (-1 + cut, -1), (1 - cut, -1), (1, -1 + cut)]
    corners += [(-x, -y) for x, y in corners]
    _filled(mask, np.array(corners) * [across, down])


def _ellipse(rng: Rng, mask: Array) -> None:
    angles = np.linspace(0, 2 * math.pi, 90, endpoint=False)
    _filled(mask, np.stack([np.cos(angles), rng.uniform(0.5, 1) * np.sin(angles)], -1))


def _path(rng: Rng, size: tuple[int, ...]) -> Array:
    """A smooth line across `[h, w]`, in pixels `[60, 2]`."""
    way = np.linspace(-0.85, 0.85, 60)
    bend = sum(rng.normal(0, 0.35 / k) * np.sin(k * way * 2 + rng.uniform(0, 6.3)) for k in range(1, 4))
    angle = rng.uniform(0, math.pi)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points = np.stack([way, np.clip(bend, -0.8, 0.8)], -1) @ turn.T
    return (points * 0.68 + 1) / 2 * np.array(size[::-1])


def _stroke(mask: Array, points: Array, thickness: int) -> None:
    cv2 = opencv()
    cv2.polylines(mask, [np.rint(points * 16).astype(np.int32)], False, 255, thickness, cv2.LINE_AA, 4)


def _strip(rng: Rng, mask: Array) -> None:
    _stroke(mask, _path(rng, mask.shape), max(3, int(min(mask.shape) * rng.uniform(0.06, 0.3))))


def _wires(rng: Rng, mask: Array) -> None:
    for _ in range(int(rng.integers(2, 7))):
        _stroke(mask, _path(rng, mask.shape), int(rng.integers(2, 6)))


def _text(rng: Rng, mask: Array) -> None:
    cv2 = opencv()
    rows = int(rng.integers(1, 4))
    fonts = [cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX]
    font, tall = int(rng.choice(fonts)), mask.shape[0] / rows
    for row in range(rows):
        words = "".join(rng.choice(LETTERS, int(rng.integers(3, 10))))
        wide = cv2.getTextSize(words, font, 1, 1)[0][0]
        scale = min(0.9 * mask.shape[1] / wide, tall / 30)
        place = (int(0.05 * mask.shape[1]), int((row + 0.72) * tall))
        cv2.putText(mask, words, place, font, scale, 255, max(1, round(scale * rng.uniform(1, 4))), cv2.LINE_AA)


def _ring(rng: Rng, mask: Array) -> None:
    angles = np.linspace(0, 2 * math.pi, 91)
    points = np.stack([np.cos(angles), np.sin(angles)], -1) * rng.uniform(0.5, 0.8)
    half = (np.array(mask.shape[::-1]) - 1) / 2
    _stroke(mask, half + points * half, max(2, int(min(mask.shape) * rng.uniform(0.03, 0.16))))


def _fence(rng: Rng, mask: Array) -> None:
    cv2 = opencv()
    apart, thick = int(rng.integers(18, 60)), int(rng.integers(3, 12))
    for left in range(apart // 2, mask.shape[1], apart):
        cv2.rectangle(mask, (left, 4), (left + thick, mask.shape[0] - 5), 255, -1)
    for top in np.linspace(0.2, 0.8, int(rng.integers(1, 4))) * mask.shape[0]:
        cv2.rectangle(mask, (4, int(top)), (mask.shape[1] - 5, int(top) + thick), 255, -1)


def _leaves(rng: Rng, mask: Array) -> None:
    cv2 = opencv()
    least = min(mask.shape)
    for _ in range(int(rng.integers(6, 30))):
        place = (0.5 + 0.17 * rng.standard_normal(2)) * np.array(mask.shape[::-1])
        length = least * rng.uniform(0.08, 0.3)
        cv2.ellipse(mask, (tuple(place), (length, length * rng.uniform(0.25, 0.7)), rng.uniform(0, 360)), 255, -1)


DRAWN = {
    "blob": _blob, "polygon": _polygon, "box": _box, "ellipse": _ellipse, "strip": _strip, "wires": _wires,
    "text": _text, "ring": _ring, "fence": _fence, "leaves": _leaves,
}  # fmt: skip
