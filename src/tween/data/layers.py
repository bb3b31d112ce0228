"""One layer of a drawn scene: a surface, where it is at any time, and where any of its points is at any other time.

  surface (x, y)  --- shears --->  bent  --- matrix(t) --->  picture (x, y)         `placed`
  surface (x, y)  <-- shears ----  bent  <-- inverse ------  picture (x, y)         `found`

Each shear moves points along one direction by a wave across it, so that it is undone exactly; two of them bend a
surface as cloth and water do. Flow from t to s is `placed(found(x, t), s) - x`: exact at every t.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..models.dis import opencv

Array = np.ndarray[Any, Any]

FINENESS = 2.0  # pixels of a surface for one of the picture, where it is as near as it was drawn


@dataclass(frozen=True)
class Swing:
    """A value that changes smoothly in time, back and forth: the slower it swings, the straighter it moves.

    Attributes:
        start: at time 0. rate: the greatest change a frame. turn: radians a frame, > 0. phase: radians.
    """

    start: float = 0.0
    rate: float = 0.0
    turn: float = 0.05
    phase: float = 0.0

    def at(self, time: float) -> float:
        """The value at a time, in frames."""
        if self.rate == 0:
            return self.start
        return self.start + self.rate / self.turn * (math.sin(self.turn * time + self.phase) - math.sin(self.phase))


@dataclass(frozen=True)
class Motion:
    """Where something is: turned and scaled about itself, tilted, and put at a place.

    Attributes:
        x, y: pixels. angle: radians. zoom: logarithm of the scale. tilt_x, tilt_y: perspective, 1 / pixels.
        shake: (pixels, radians a frame, phase) of a small tremor, or None.
    """

    x: Swing = Swing()
    y: Swing = Swing()
    angle: Swing = Swing()
    zoom: Swing = Swing()
    tilt_x: Swing = Swing()
    tilt_y: Swing = Swing()
    shake: tuple[float, float, float] | None = None

    def matrix(self, time: float, depth: float = 1.0) -> Array:
        """Points of the thing -> points of what it is in, float64 `[3, 3]`; `depth` scales how far it moves."""
        x, y = depth * self.x.at(time), depth * self.y.at(time)
        if self.shake is not None:
            size, turn, phase = self.shake
            x += depth * size * math.sin(turn * time + phase)
            y += depth * size * math.sin(1.31 * turn * time + 2 * phase)
        cos, sin = math.cos(self.angle.at(time)), math.sin(self.angle.at(time))
        scale = math.exp(self.zoom.at(time))
        turned = np.array([[scale * cos, -scale * sin, x], [scale * sin, scale * cos, y], [0, 0, 1]])
        tilted = np.array([[1, 0, 0], [0, 1, 0], [self.tilt_x.at(time), self.tilt_y.at(time), 1]])
        return turned @ tilted


class Shear(NamedTuple):
    """A wave that moves points along `direction` by how far they are across it.

    Attributes:
        direction: unit vector. waves: radians a pixel. drift: radians a frame. phase: radians. depth: pixels, in time.
    """

    direction: tuple[float, float]
    waves: float
    drift: float
    phase: float
    depth: Swing

    def shift(self, x: Array, y: Array, time: float, sign: int) -> tuple[Array, Array]:
        """Points moved by the wave (`sign` 1), or moved back (-1)."""
        dx, dy = self.direction
        wave = np.sin((x * -dy + y * dx) * self.waves + (self.phase + self.drift * time))
        wave *= sign * self.depth.at(time)
        return x + dx * wave, y + dy * wave


@dataclass(frozen=True)
class Layer:
    """A surface that moves.

    Attributes:
        surface: uint8 RGBA `[h, w, 4]`, FINENESS pixels for one of the picture; its middle is the point (0, 0).
        motion: of the layer in its parent, or in the world.
        camera: of the world in the picture. depth: how far the layer follows the camera: 0 is glued to the glass.
        parent: what it hangs on, None for the world.
        shears: how it bends.
        endless: repeated in mirrors for ever, as a background is; else nothing is beyond its edge.
    """

    surface: Array = field(repr=False)
    motion: Motion
    camera: Motion | None = None
    depth: float = 1.0
    parent: Layer | None = None
    shears: tuple[Shear, ...] = ()
    endless: bool = False

    def matrix(self, time: float) -> Array:
        """Bent points of the surface -> the picture, float64 `[3, 3]`."""
        own = self.motion.matrix(time)
        if self.parent is not None:
            return self.parent.matrix(time) @ own
        return own if self.camera is None else self.camera.matrix(time, self.depth) @ own

    def placed(self, x: Array, y: Array, time: float) -> tuple[Array, Array]:
        """Points of the surface (pixels of the picture, from its middle) -> the picture."""
        for shear in self.shears:
            x, y = shear.shift(x, y, time, 1)
        return _projected(self.matrix(time), x, y)

    def found(self, x: Array, y: Array, time: float) -> tuple[Array, Array]:
        """Points of the picture -> of the surface."""
        x, y = _projected(np.linalg.inv(self.matrix(time)), x, y)
        for shear in reversed(self.shears):
            x, y = shear.shift(x, y, time, -1)
        return x, y

    def carried(self, x: Array, y: Array, time: float, other: float) -> tuple[Array, Array]:
        """Points of the picture at a time -> where they are at another."""
        if self.shears:
            return self.placed(*self.found(x, y, time), other)
        return _projected(self.matrix(other) @ np.linalg.inv(self.matrix(time)), x, y)

    def rests(self, time: float, other: float) -> bool:
        """True if nothing of it moves from one time to the other."""
        return time == other or (not self.shears and np.array_equal(self.matrix(time), self.matrix(other)))

    def looked_up(self, x: Array, y: Array, time: float) -> Array:
        """Its colours and alpha at points of the picture, `[h, w]` each -> uint8 `[h, w, 4]`."""
        cv2 = opencv()
        across, down = self.found(x, y, time)
        height, width = self.surface.shape[:2]
        across, down = across * FINENESS + (width - 1) / 2, down * FINENESS + (height - 1) / 2
        border = cv2.BORDER_REFLECT_101 if self.endless else cv2.BORDER_CONSTANT
        places = np.float32(across), np.float32(down)
        return cv2.remap(self.surface, *places, cv2.INTER_LINEAR, borderMode=border)

    def alpha(self, x: Array, y: Array, time: float) -> Array:
        """How much of it is at points of the picture `[...]`, 0 to 1."""
        if self.endless:
            return np.ones_like(x)
        flat = x.reshape(1, -1) if x.size < 30_000 else x.reshape(x.shape[0], -1)
        return (self.looked_up(flat, y.reshape(flat.shape), time)[..., 3] / np.float32(255)).reshape(x.shape)

    def covered(self, size: tuple[int, int], time: float) -> tuple[slice, slice]:
        """The rows and columns of a picture of `size` that it may be seen in."""
        if self.endless:
            return slice(0, size[0]), slice(0, size[1])
        half_y, half_x = ((side + 1) / (2 * FINENESS) for side in self.surface.shape[:2])
        rim = np.linspace(-1, 1, 9)
        edge = np.concatenate([np.stack([rim, np.full(9, s)], -1) for s in (-1, 1)])
        edge = np.concatenate([edge, edge[:, ::-1]]) * [half_x, half_y]
        x, y = self.placed(edge[:, 0], edge[:, 1], time)
        slack = 2 + (0.1 * max(np.ptp(x), np.ptp(y)) if self.shears else 0)  # between the points of the rim
        return _within(y, slack, size[0]), _within(x, slack, size[1])


def _within(points: Array, slack: float, side: int) -> slice:
    first = min(max(math.floor(points.min() - slack), 0), side)
    return slice(first, max(first, min(math.ceil(points.max() + slack) + 1, side)))


def _projected(matrix: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Points through a homography, in the points' own precision."""
    matrix = (matrix / matrix[2, 2]).astype(x.dtype)
    across = matrix[0, 0] * x + (matrix[0, 1] * y + matrix[0, 2])
    down = matrix[1, 0] * x + (matrix[1, 1] * y + matrix[1, 2])
    if matrix[2, 0] == 0 and matrix[2, 1] == 0:
        return across, down
    scale = 1 / (matrix[2, 0] * x + (matrix[2, 1] * y + 1))
    return across * scale, down * scale
