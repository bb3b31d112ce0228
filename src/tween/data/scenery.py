"""What is in a drawn scene: background, ground, objects, figures with limbs, shadows, lettering; and its light."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..models.dis import opencv
from . import textures
from .clips import Clip
from .layers import FINENESS, Layer, Motion, Shear, Swing
from .noise import noisy
from .textures import Rng

Array = np.ndarray[Any, Any]

USUAL_SPEED, FASTEST = 2.2, 20.0  # pixels a frame, in a picture of 256


class Kinds(NamedTuple):
    """How often, of 1."""

    cartoon: float = 0.15  # flat colours and outlines
    still: float = 0.3  # a camera that does not move
    tremor: float = 0.25  # of the cameras that do: held in hand
    blurred: float = 0.25  # motion blur
    drifting: float = 0.3  # exposure and colour change
    noisy: float = 0.5
    ground: float = 0.45
    figures: float = 0.35
    lettering: float = 0.08  # glued to the glass
    defocused: float = 0.25  # of the backgrounds
    bent: float = 0.35  # of the objects
    shadow: float = 0.3  # of the objects
    glassy: float = 0.05  # of the objects: more than half of what is behind shines through


KINDS = Kinds()


@dataclass(frozen=True)
class Light:
    """How a scene becomes a photograph.

    Attributes:
        gains: logarithm of the exposure of red, green, blue.
        shutter: how long light is gathered, in frames; 0 for an instant. samples: instants that stand for it.
        noise: standard deviation, in 1/255. seed: of the noise.
    """

    gains: tuple[Swing, Swing, Swing] = (Swing(), Swing(), Swing())
    shutter: float = 0.0
    samples: int = 1
    noise: float = 0.0
    seed: int = 0

    def instants(self, time: float) -> list[float]:
        """The times whose pictures are averaged; `time` is their middle."""
        places = (np.arange(self.samples) + 0.5) / self.samples - 0.5
        return [time + self.shutter * float(place) for place in places]

    def taken(self, picture: Array, time: float) -> Array:
        """uint8 or float32 `[H, W, 3]` in 0..255 -> uint8, exposed and with noise that is another at every time."""
        cv2 = opencv()
        gains = [math.exp(gain.at(time)) for gain in self.gains]
        if gains != [1, 1, 1] or picture.dtype != np.uint8:
            picture = cv2.multiply(picture, (*gains, 1.0), dtype=cv2.CV_8U)
        if self.noise:
            rng = np.random.default_rng([self.seed, round(time * 4096) + (1 << 40)])
            picture = noisy(picture, self.noise, rng)
        return picture


class Stage(NamedTuple):
    """What everything in a scene shares.

    Attributes:
        size: (H, W) of the picture. unit: its pixels, where a picture of 256 has one. speed: pixels a frame.
        colours: palette. cartoon: drawn flat. picture: a real one to cut from, or None. camera: of the world.
        sharpness: deviation of the blur of every surface, in its pixels.
    """

    size: tuple[int, int]
    unit: float
    speed: float
    colours: Array
    cartoon: bool
    picture: Array | None
    camera: Motion
    sharpness: float


def made(rng: Rng, size: tuple[int, int], pictures: Sequence[Clip] = ()) -> tuple[list[Layer], Light]:
    """Draw a scene: its layers, the nearest last, and its light. Time 0 is its middle."""
    unit = min(size) / 256
    speed = unit * float(np.clip(math.exp(rng.normal(math.log(USUAL_SPEED), 0.9)), 0.05, FASTEST))
    cartoon = bool(rng.random() < KINDS.cartoon)
    camera = _camera(rng, size, unit, speed)
    colours = textures.palette(rng, flat=cartoon)
    picture = None if cartoon else _picture(rng, pictures)
    stage = Stage(size, unit, speed, colours, cartoon, picture, camera, float(rng.uniform(0.8, 1.2)))
    layers = [_background(rng, stage)]
    if rng.random() < KINDS.ground:
        layers.append(_ground(rng, stage))
    for depth in sorted(rng.uniform(0.7, 1.7, min(2 + int(rng.poisson(3.5)), 10))):
        if rng.random() < KINDS.figures / 3:
            layers += _figure(rng, stage, depth)
        else:
            layers += _object(rng, stage, depth)
    if rng.random() < KINDS.lettering:
        layers.append(_lettering(rng, stage))
    return layers, _light(rng, speed)


def swing(rng: Rng, rate: float, *, start: float = 0.0, reach: float) -> Swing:
    """A change of at most `rate` a frame that stays within about `reach` of where it was, over 24 to 200 frames a
    swing, or faster where it must turn back sooner."""
    turn = 2 * math.pi / math.exp(rng.uniform(math.log(24), math.log(200)))
    turn = max(turn, abs(rate) / reach)
    return Swing(start, rate, turn, float(rng.normal(0, 0.6)))


def heavy(rng: Rng, usual: float, spread: float, most: float) -> float:
    """A size with a heavy tail, of either sign."""
    return float(rng.choice([-1, 1]) * min(most, usual * math.exp(rng.normal(0, spread))))


def _camera(rng: Rng, size: tuple[int, int], unit: float, speed: float) -> Motion:
    centre = Motion(x=Swing((size[1] - 1) / 2), y=Swing((size[0] - 1) / 2))
    if rng.random() < KINDS.still:
        return centre
    pan, angle = heavy(rng, 0.6 * speed, 0.5, FASTEST * unit), rng.normal(0, 0.5)
    reach = 0.8 * max(size)
    trembles = rng.random() < KINDS.tremor
    tremor = (unit * rng.uniform(0.2, 1.5), 2 * math.pi / rng.uniform(5, 14), rng.uniform(0, 6))
    return Motion(
        x=swing(rng, pan * math.cos(angle), start=centre.x.start, reach=reach),
        y=swing(rng, pan * math.sin(angle), start=centre.y.start, reach=reach),
        angle=swing(rng, heavy(rng, 0.0015, 1.0, 0.03), reach=0.3),
        zoom=swing(rng, heavy(rng, 0.002, 1.0, 0.03), reach=0.25),
        tilt_x=swing(rng, heavy(rng, 0.0005, 1.0, 0.005) / size[1], reach=0.15 / size[1]),
        shake=tremor if trembles else None,
    )


def _motion(rng: Rng, stage: Stage, side: float, place: tuple[float, float]) -> Motion:
    """Of an object of `side` pixels: along, about itself, nearer, tilting."""
    most = FASTEST * stage.unit
    speed, angle = heavy(rng, stage.speed, 0.5, most), rng.normal(0, 0.6)
    spin = heavy(rng, 0.25 * stage.speed / side, 1.0, min(0.25, most / side))
    reach = 0.6 * min(stage.size)
    return Motion(
        x=swing(rng, speed * math.cos(angle), start=place[0], reach=reach),
        y=swing(rng, speed * math.sin(angle), start=place[1], reach=reach),
        angle=swing(rng, spin, start=rng.normal(0, 0.3), reach=3.0),
        zoom=swing(rng, heavy(rng, 0.1 * stage.speed / side, 1.0, 0.05), reach=0.35),
        tilt_x=swing(rng, heavy(rng, 0.002, 1.0, 0.02) / side, reach=0.3 / side),
        tilt_y=swing(rng, heavy(rng, 0.002, 1.0, 0.02) / side, reach=0.3 / side),
    )


def _bends(rng: Rng, side: float, share: float) -> tuple[Shear, ...]:
    """Two waves across each other, of a depth that changes, at most a `share` of the side."""
    found = []
    angle = rng.uniform(0, math.pi)
    for turn in (0.0, math.pi / 2 + rng.normal(0, 0.3)):
        waves = 2 * math.pi * rng.uniform(0.5, 1.6) / side
        depth = min(share * side, 0.5 / waves) * rng.uniform(0.3, 1)
        direction = (math.cos(angle + turn), math.sin(angle + turn))
        change = swing(rng, heavy(rng, 0.04 * depth, 0.7, 0.2 * depth), start=depth / 2, reach=depth)
        found.append(Shear(direction, waves, heavy(rng, 0.03, 0.8, 0.3), rng.uniform(0, 6.3), change))
    return tuple(found)


def _surface(rng: Rng, stage: Stage, size: tuple[int, int]) -> Array:
    """Colours of something, uint8 RGB `[h, w, 3]`."""
    cv2 = opencv()
    if stage.picture is not None and rng.random() < 0.45:
        return textures.from_picture(rng, size, stage.picture)
    if stage.cartoon or rng.random() < 0.12:
        return textures.flat(rng, size, stage.colours)
    zoom = math.exp(rng.uniform(math.log(0.6), math.log(2)))
    small = tuple(max(8, round(side / zoom)) for side in size)
    made_small = textures.coloured(rng, (small[0], small[1]), stage.colours)
    return cv2.resize(made_small, size[::-1], interpolation=cv2.INTER_LINEAR if zoom > 1 else cv2.INTER_AREA)


def _lit(rng: Rng, picture: Array, depth: float) -> Array:
    """Light from one side."""
    cv2 = opencv()
    light = ((1 - depth / 2) + depth * textures.slope(rng, (picture.shape[0], picture.shape[1]))) * 128
    even = light.astype(np.uint8)
    return cv2.multiply(picture, cv2.merge([even, even, even]), scale=1 / 128)


def _soft(picture: Array, deviation: float) -> Array:
    """What a lens of the picture's resolution would see: surfaces are finer than it, and must not flicker."""
    return opencv().GaussianBlur(picture, (0, 0), deviation)


def _background(rng: Rng, stage: Stage) -> Layer:
    """Endless; with things painted on it; flat, or tilted away like a floor."""
    tall, wide = (int(1.35 * FINENESS * side) for side in stage.size)
    if stage.picture is not None and rng.random() < 0.6:
        surface = textures.from_picture(rng, (tall, wide), stage.picture)
    else:
        surface = _lit(rng, _surface(rng, stage, (tall, wide)), rng.uniform(0, 0.9))
        for _ in range(int(rng.integers(0, 12))):
            _painted(rng, stage, surface)
    blur = math.exp(rng.uniform(math.log(1.2), math.log(6))) if rng.random() < KINDS.defocused else stage.sharpness
    bent = rng.random() < 0.12
    tilt = Swing(rng.normal(0, 0.15) / stage.size[0])
    return Layer(
        opaque(_soft(surface, blur)),
        Motion(tilt_y=tilt, tilt_x=Swing(rng.normal(0, 0.08) / stage.size[1])),
        camera=stage.camera,
        depth=float(rng.uniform(0.4, 0.9)),
        shears=_bends(rng, 0.5 * min(stage.size), 0.03) if bent else (),
        endless=True,
    )


def _painted(rng: Rng, stage: Stage, surface: Array) -> None:
    """Something that does not move against the background: part of its surface."""
    height, width = surface.shape[:2]
    side = int(min(height, width) * math.exp(rng.uniform(math.log(0.05), math.log(0.5))))
    size = (min(height, max(12, side)), min(width, max(12, int(side * rng.uniform(0.5, 2)))))
    top, left = int(rng.integers(height - size[0] + 1)), int(rng.integers(width - size[1] + 1))
    mask = textures.shape(rng, size, str(rng.choice(textures.SHAPES, p=textures.OFTEN))).astype(np.float32) / 255
    here = np.ascontiguousarray(surface[top : top + size[0], left : left + size[1]])
    surface[top : top + size[0], left : left + size[1]] = opencv().blendLinear(
        _surface(rng, stage, size), here, mask, 1 - mask
    )


def _ground(rng: Rng, stage: Stage) -> Layer:
    """Hills, a street, a table: everything below a line across the picture."""
    height, width = stage.size
    size = (int(FINENESS * height), int(FINENESS * width * 2.2))
    line = sum(rng.normal(0, 0.05 / k) * np.sin(k * np.linspace(0, 9, size[1]) + rng.uniform(0, 6)) for k in (1, 2, 5))
    line = (np.asarray(line) * rng.choice([0.1, 1, 2]) + 0.12) * size[0]
    mask = (np.arange(size[0], dtype=np.float32)[:, None] - line.astype(np.float32)).clip(0, 1) * 255
    colour = _lit(rng, _surface(rng, stage, size), rng.uniform(0, 0.6))
    motion = Motion(y=Swing(height * rng.uniform(0.35, 0.75)))
    return Layer(_cut_out(colour, mask.astype(np.uint8), stage.sharpness), motion, stage.camera, rng.uniform(0.8, 1.1))


def _cut_out(colour: Array, mask: Array, deviation: float) -> Array:
    """Colours and a mask -> RGBA."""
    cv2 = opencv()
    return cv2.merge([*cv2.split(_soft(colour, deviation)), _soft(mask, 0.7)])


def opaque(colour: Array) -> Array:
    """RGB -> RGBA."""
    return opencv().cvtColor(colour, opencv().COLOR_RGB2RGBA)


def _dressed(rng: Rng, stage: Stage, mask: Array) -> Array:
    """A mask -> RGBA: an outline in drawings, roundness and a light side elsewhere."""
    cv2 = opencv()
    colour = _surface(rng, stage, (mask.shape[0], mask.shape[1]))
    if stage.cartoon:
        thick = int(rng.integers(2, 6))
        inner = cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * thick + 1, 2 * thick + 1)))
        ink = stage.colours[0] * rng.choice([0.0, 0.25])
        share = inner[..., None].astype(np.float32) / 255
        colour = (colour * share + ink * (1 - share)).astype(np.uint8)
    elif rng.random() < 0.5:
        deep = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 3)
        round_ = np.sqrt(np.minimum(deep / (0.6 * deep.max() + 1e-3), 1)) * rng.uniform(0.2, 0.6)
        colour = (colour * (1 - round_.max() + round_)[..., None]).astype(np.uint8)
        colour = _lit(rng, colour, rng.uniform(0.2, 0.9))
    return _cut_out(colour, mask, stage.sharpness)


def _box(rng: Rng, stage: Stage, least: float, most: float) -> tuple[float, tuple[int, int]]:
    """A side in pixels of the picture; (h, w) of a surface of about that side."""
    side = min(stage.size) * math.exp(rng.uniform(math.log(least), math.log(most)))
    stretch = math.exp(rng.normal(0, 0.35))
    return side, (max(16, int(FINENESS * side / stretch)), max(16, int(FINENESS * side * stretch)))


def _somewhere(rng: Rng, stage: Stage) -> tuple[float, float]:
    """A place in the picture, from its middle."""
    return float(rng.uniform(-0.48, 0.48) * stage.size[1]), float(rng.uniform(-0.48, 0.48) * stage.size[0])


def _object(rng: Rng, stage: Stage, depth: float) -> list[Layer]:
    """A thing, perhaps with its shadow below it."""
    side, size = _box(rng, stage, 0.08, 0.7)
    kind = str(rng.choice(textures.SHAPES, p=textures.OFTEN))
    rgba = _dressed(rng, stage, textures.shape(rng, size, kind))
    if rng.random() < KINDS.glassy:
        rgba[..., 3] = (rgba[..., 3] * rng.uniform(0.2, 0.45)).astype(np.uint8)
    shears = _bends(rng, side, 0.1) if rng.random() < KINDS.bent else ()
    thing = Layer(rgba, _motion(rng, stage, side, _somewhere(rng, stage)), stage.camera, depth, shears=shears)
    return [_shadow(rng, thing, side), thing] if rng.random() < KINDS.shadow else [thing]


def _shadow(rng: Rng, thing: Layer, side: float) -> Layer:
    """Dark, soft and thin: what is under it is still what is seen."""
    alpha = opencv().GaussianBlur(thing.surface[..., 3], (0, 0), max(1.0, 0.03 * FINENESS * side))
    rgba = np.zeros_like(thing.surface)
    rgba[..., 3] = (alpha * rng.uniform(0.2, 0.45)).astype(np.uint8)
    away = Motion(x=Swing(side * rng.normal(0, 0.08)), y=Swing(side * rng.uniform(0.02, 0.12)))
    return Layer(rgba, away, parent=thing, shears=thing.shears)


def _figure(rng: Rng, stage: Stage, depth: float) -> list[Layer]:
    """A body with a head and limbs that swing about their joints: two behind it, two before it."""
    side, _ = _box(rng, stage, 0.2, 0.5)
    tall, wide = side * rng.uniform(0.7, 1.1), side * rng.uniform(0.35, 0.6)
    body = _part(rng, stage, (tall, wide), rng.choice(["ellipse", "box", "blob"]))
    trunk = Layer(body, _motion(rng, stage, 2 * side, _somewhere(rng, stage)), stage.camera, depth)
    pace = 2 * math.pi / math.exp(rng.uniform(math.log(10), math.log(60)))
    limbs = []
    for number in range(4):
        right, low = number % 2 * 2 - 1, number // 2
        joint = (right * 0.32 * wide, (0.4 if low else -0.3) * tall)
        limbs.append(_limb(rng, stage, trunk, joint, 0.7 * tall, pace, right * (0.2 + 0.5 * (1 - low))))
    head = _part(rng, stage, (0.4 * tall, 0.38 * tall), rng.choice(["ellipse", "blob"]))
    nod = Motion(y=Swing(-0.62 * tall), angle=Swing(0, 0.2 * pace, pace, rng.uniform(0, 6)))
    return [limbs[0], limbs[2], trunk, Layer(head, nod, parent=trunk), limbs[1], limbs[3]]


def _limb(
    rng: Rng, stage: Stage, trunk: Layer, joint: tuple[float, float], length: float, pace: float, rest: float
) -> Layer:
    """Swings about its upper end; a speed at its tip that no object goes beyond."""
    size = (length, length * rng.uniform(0.22, 0.4))
    rate = min(rng.uniform(0.1, 0.8) * pace, 0.8 * FASTEST * stage.unit / length)
    shoulder = Motion(x=Swing(joint[0]), y=Swing(joint[1]), angle=Swing(-rest, rate, pace, rng.uniform(0, 6.3)))
    hinge = Layer(trunk.surface, shoulder, parent=trunk)
    return Layer(_part(rng, stage, size, "ellipse"), Motion(y=Swing(0.42 * length)), parent=hinge)


def _part(rng: Rng, stage: Stage, size: tuple[float, float], kind: str) -> Array:
    pixels = (max(16, int(FINENESS * size[0])), max(16, int(FINENESS * size[1])))
    return _dressed(rng, stage, textures.shape(rng, pixels, str(kind)))


def _lettering(rng: Rng, stage: Stage) -> Layer:
    """Titles, a logo, a score: still on the glass, whatever moves behind."""
    height, width = stage.size
    size = (int(FINENESS * height * rng.uniform(0.1, 0.25)), int(FINENESS * width * rng.uniform(0.3, 0.8)))
    mask = textures.shape(rng, size, "text")
    shade = rng.choice([15, 200, 250])
    colour = np.full((*size, 3), shade, np.uint8)
    place = (width / 2 + width * rng.normal(0, 0.12), height * rng.choice([0.12, 0.85]))
    return Layer(_cut_out(colour, mask, 0.7), Motion(x=Swing(place[0]), y=Swing(place[1])))


def _picture(rng: Rng, pictures: Sequence[Clip]) -> Array | None:
    """A frame of one of the clips, uint8 `[H, W, 3]`, in three scenes of four if there are any."""
    if not pictures or rng.random() < 0.25:
        return None
    clip = pictures[int(rng.integers(len(pictures)))]
    return clip.read([int(rng.integers(clip.length))])[0].permute(1, 2, 0).numpy()


def _light(rng: Rng, speed: float) -> Light:
    light = Light(seed=int(rng.integers(1 << 31)))
    if rng.random() < KINDS.drifting:
        exposure = swing(rng, heavy(rng, 0.01, 0.8, 0.06), reach=0.25)
        red, green, blue = (replace(exposure, rate=exposure.rate + heavy(rng, 0.002, 0.8, 0.01)) for _ in range(3))
        light = replace(light, gains=(red, green, blue))
    if rng.random() < KINDS.blurred:
        shutter = float(rng.uniform(0.2, 0.8))
        light = replace(light, shutter=shutter, samples=int(np.clip(math.ceil(shutter * speed), 2, 7)))
    if rng.random() < KINDS.noisy:
        light = replace(light, noise=min(6.0, abs(float(rng.normal(0, 2)))))
    return light
