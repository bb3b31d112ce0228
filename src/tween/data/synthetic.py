"""Drawn scenes: layers of textured shapes over a background, with exact flow, and what is seen of what, at any time.

  time         any number of frames, not only whole ones: the frame between two frames is drawn, not guessed
  motion       pan, zoom, turn, tremor of the camera with parallax; each object moves, turns, tilts, bends, swings limbs
  light        exposure and colour that drift, motion blur, noise: in some scenes

Speeds, for a picture of 256 pixels: a scene's is log-normal about 2.2 pixels a frame, an object's and the camera's
log-normal about that, each cut off at 20. Measured over 80 scenes at the usual gap of two frames: half of the pixels
move by less than 1.6 pixels, one in ten by more than 8, one in a hundred by more than 27; of the objects half by more
than 4, one in ten by more than 17, the fastest by 40 and, with the camera's motion, 65. A fifth of the pixels is hidden
in a neighbour at most, one in twenty usually. How many scenes have a still camera, are drawn flat with outlines, ... is
in `scenery.KINDS`. Surfaces cut from real pictures come with `pictures`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..models.dis import opencv
from . import scenery
from .clips import Clip
from .layers import Layer
from .scenery import Light

Array = np.ndarray[Any, Any]
Place = tuple[slice, slice]


class Scene:
    """Layers, the nearest last, and the light they are seen in.

    Args:
        layers: the first one endless.
        light: exposure, blur, noise.
        size: (H, W) of the picture.
    """

    def __init__(self, layers: Sequence[Layer], light: Light, size: tuple[int, int]) -> None:
        self.layers, self.light, self.size = list(layers), light, size

    def frame(self, time: float) -> Array:
        """What a camera takes at a time: light gathered around it, uint8 RGB `[H, W, 3]`."""
        instants = self.light.instants(time)
        if len(instants) == 1:
            return self.light.taken(self.instant(time), time)
        cv2 = opencv()
        gathered = np.zeros((*self.size, 3), np.float32)
        for instant in instants:
            cv2.accumulate(self.instant(instant), gathered)
        return self.light.taken(gathered / np.float32(len(instants)), time)

    def instant(self, time: float) -> Array:
        """An instant without exposure, blur and noise, uint8 RGB `[H, W, 3]`."""
        cv2 = opencv()
        picture = np.zeros((*self.size, 4), np.uint8)
        for _, layer, here, found in self._seen(time):
            if layer.endless:
                picture[here] = found
                continue
            share = cv2.extractChannel(found, 3) * np.float32(1 / 255)
            picture[here] = cv2.blendLinear(found, picture[here], share, 1 - share)
        return cv2.cvtColor(picture, cv2.COLOR_RGBA2RGB)

    def owner(self, time: float) -> Array:
        """The number of the layer that each pixel shows, uint8 `[H, W]`."""
        owner = np.zeros(self.size, np.uint8)
        for number, layer, here, found in self._seen(time):
            if not layer.endless:
                np.copyto(owner[here], number, where=found[..., 3] > 127)
        return owner

    def _seen(self, time: float) -> Iterator[tuple[int, Layer, Place, Array]]:
        """Number, layer, where in the picture it may be, and what it looks like there, uint8 RGBA `[h, w, 4]`."""
        x, y = grid(self.size, np.float32)
        for number, layer in enumerate(self.layers):
            here = layer.covered(self.size, time)
            if here[0].start < here[0].stop and here[1].start < here[1].stop:
                yield number, layer, here, layer.looked_up(x[:, here[1]], y[here[0]], time)

    def flow(self, target: float, other: float, owner: Array | None = None) -> Array:
        """Where what is seen at `target` is at `other`, hidden or not: pixels, float32 `[H, W, 2]` (x, y)."""
        owner = self.owner(target) if owner is None else owner
        flow = np.zeros((*self.size, 2), np.float32)
        x, y = grid(self.size, np.float64)
        for number in np.unique(owner):
            layer = self.layers[number]
            if layer.rests(target, other):
                continue
            rows, columns = layer.covered(self.size, target)
            to_x, to_y = layer.carried(x[:, columns], y[rows], target, other)
            mine = owner[rows, columns] == number
            np.copyto(flow[rows, columns, 0], to_x - x[:, columns], where=mine, casting="same_kind")
            np.copyto(flow[rows, columns, 1], to_y - y[rows], where=mine, casting="same_kind")
        return flow

    def visible(self, target: float, other: float) -> Array:
        """True where what is seen at `target` is seen at `other` too: inside of the picture, and nothing over it;
        bool `[H, W]`."""
        owner = self.owner(target)
        x, y = grid(self.size, np.float32)
        flow = self.flow(target, other, owner)
        x, y = x + flow[..., 0], y + flow[..., 1]
        free = (x >= 0) & (x <= self.size[1] - 1) & (y >= 0) & (y <= self.size[0] - 1)
        for number, layer in enumerate(self.layers[1:], 1):
            free &= (owner >= number) | (layer.alpha(x, y, other) <= 0.5)
        return free


@lru_cache(maxsize=8)
def grid(size: tuple[int, int], kind: type[np.floating[Any]]) -> tuple[Array, Array]:
    """Columns `[1, W]` and rows `[H, 1]` of a picture; for reading only."""
    return np.arange(size[1], dtype=kind)[None], np.arange(size[0], dtype=kind)[:, None]


@dataclass(frozen=True, eq=False)
class SyntheticClip:
    """A clip that is drawn when it is read. The same seed gives the same pictures, on every machine of one kind.

    Attributes:
        seed: of everything in it.
        frame_size: (H, W), pixels. length: frames.
        pictures: clips to cut surfaces from, or none.
        name, group: as of every clip.
    """

    seed: int
    frame_size: tuple[int, int] = (256, 256)
    length: int = 9
    pictures: tuple[Clip, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """`synthetic/000012`."""
        return f"{self.group}/{self.seed:06d}"

    @property
    def group(self) -> str:
        """`synthetic`."""
        return "synthetic"

    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.frame_size

    def read(self, places: Sequence[int]) -> list[Tensor]:
        """The frames at `places`, uint8 RGB `[3, H, W]` each."""
        if any(not 0 <= place < self.length for place in places):
            raise IndexError(f"{self.name} has frames 0..{self.length - 1}, and was asked for {list(places)}")
        return [self.frame(place) for place in places]

    def flow(self, target: int, first: int, second: int) -> Tensor:
        """Exact: float32 `[4, H, W]` pixels, target -> first (x, y), target -> second (x, y)."""
        return torch.cat([self.flow_between(target, first), self.flow_between(target, second)])

    def frame(self, time: float) -> Tensor:
        """The picture at any time, in frames; uint8 RGB `[3, H, W]`."""
        return torch.from_numpy(scene_of(self).frame(self._centred(time)).transpose(2, 0, 1).copy())

    def flow_between(self, target: float, other: float) -> Tensor:
        """Where what is seen at `target` is at `other`, hidden or not; float32 `[2, H, W]` pixels (x, y)."""
        scene, at = scene_of(self), self._centred(target)
        flow = scene.flow(at, self._centred(other), owner_at(self, target))
        return torch.from_numpy(flow.transpose(2, 0, 1).copy())

    def visible(self, target: float, other: float) -> Tensor:
        """True where what is seen at `target` is seen at `other` too; bool `[H, W]`."""
        return torch.from_numpy(scene_of(self).visible(self._centred(target), self._centred(other)))

    def _centred(self, time: float) -> float:
        """Scenes are made around time 0, and that is the clip's middle."""
        return time - (self.length - 1) / 2


@lru_cache(maxsize=4)
def scene_of(clip: SyntheticClip) -> Scene:
    """The scene that a clip draws; the last few are kept."""
    rng = np.random.default_rng([clip.seed, 1_905])
    layers, light = scenery.made(rng, clip.frame_size, clip.pictures)
    return Scene(layers, light, clip.frame_size)


@lru_cache(maxsize=4)
def owner_at(clip: SyntheticClip, time: float) -> Array:
    """Which layer each pixel shows at a time of a clip."""
    return scene_of(clip).owner(clip._centred(time))


@dataclass(frozen=True)
class SyntheticSet:
    """A set of drawn clips.

    Attributes:
        size: (H, W), pixels. count: clips. length: frames of each. seed: of the set: two of them share no scene as
            long as each has less than a million clips.
        pictures: clips to cut surfaces from.
        name, gap, targets, notes: as of every set.
    """

    size: tuple[int, int] = (256, 256)
    count: int = 10_000
    length: int = 9
    seed: int = 0
    pictures: tuple[Clip, ...] = field(default=(), repr=False)
    name: str = "synthetic"
    gap: int | None = None
    targets: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def clips(self) -> tuple[SyntheticClip, ...]:
        """All of them; nothing is drawn before it is read."""
        return tuple(self)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> SyntheticClip:
        if not 0 <= number < self.count:
            raise IndexError(number)
        return SyntheticClip(self.seed * 1_000_000 + number, self.size, self.length, self.pictures)

    def __iter__(self) -> Iterator[SyntheticClip]:
        return (self[number] for number in range(self.count))
