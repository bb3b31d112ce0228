"""A backend around a backend, with the same verbs: in tiles, where a frame is too large; mirrored, for a little more.

+------+--+------+      tiles of one size that overlap; where they do, one fades into the other
|      |##|      |
+------+--+------+      an embedding is that of each tile, and so is a scene
|######|##|######|
+------+--+------+      out of memory: the tiles shrink, and what was computed in larger ones is computed anew
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import BadOption
from ..models.model import Spec
from ..ops.canvas import Canvas
from .backend import Backend, any_size, at_once, searches

Size = tuple[int, int]
OVERLAP = 96  # pixels that neighbours share, or a quarter of a tile if that is less
SMALLEST = 128  # pixels: a tile is not made smaller
BYTES_A_PIXEL = {  # measured: peak memory of one frame at 640x640 (LIFT 320x320), the family's largest network, fp32;
    # of what searches for motion, as it does in large pictures
    "classic": 50, "dis": 210, "ahead": 210, "tweennet": 260, "foreseen": 260, "woven": 750,
    "ifrnet": 1810, "ifrvp": 1810, "rife": 1190,
    "emavfi": 2910, "lightvfi": 1240, "deformvfi": 1540, "lift": 6520,
}  # fmt: skip
UNMEASURED = 3000
SHARE_OF_FREE = 0.6  # of the free memory that a frame may take
MOST_AT_ONCE = 8  # gaps: where there are more threads, each gap has several
WORDS_OF_WANT = (
    "out of memory", "not enough memory", "can't allocate", "cannot allocate", "bad_alloc", "failed to allocate",
)  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Where tiles lie on a canvas.

    Attributes:
        size, tile: (H, W) of the canvas and of every tile, pixels.
        overlap: pixels that neighbours share at least.
    """

    size: Size
    tile: Size
    overlap: int

    def places(self) -> list[tuple[int, int]]:
        """(top, left) of each tile, spread evenly."""
        rows, columns = (_starts(n, t, self.overlap) for n, t in zip(self.size, self.tile, strict=True))
        return [(y, x) for y in rows for x in columns]

    def cut(self, frame: Tensor) -> Iterator[Tensor]:
        """`[B, C, H, W]` of the canvas' size -> its tiles."""
        height, width = self.tile
        for y, x in self.places():
            yield frame[..., y : y + height, x : x + width].contiguous()

    def join(self, tiles: Iterator[Tensor]) -> Tensor:
        """Tiles `[B, C, *tile]` in the order of `places` -> `[B, C, *size]`; a weighted mean where they overlap."""
        if self.size == self.tile:
            return next(tiles)
        weight = self._weight()
        total = torch.zeros(self.size)
        whole: Tensor | None = None
        for (y, x), tile in zip(self.places(), tiles, strict=True):
            if whole is None:
                whole = torch.zeros(*tile.shape[:2], *self.size)
            area = (..., slice(y, y + self.tile[0]), slice(x, x + self.tile[1]))
            whole[area] += tile * weight
            total[area] += weight
        assert whole is not None
        return whole.div_(total)

    def _weight(self) -> Tensor:
        """`[*tile]`: 1 inside, falling to nearly 0 at each edge over the overlap."""
        sides = []
        for length in self.tile:
            away = torch.minimum(torch.arange(length), torch.arange(length).flip(0)) + 0.5
            sides.append((away / max(1, self.overlap)).clamp(max=1))
        return sides[0][:, None] * sides[1][None]


@dataclass(frozen=True)
class Cut:
    """Something that was computed tile by tile: from which frames, in which layout."""

    frames: tuple[Tensor, ...]
    layout: Layout
    parts: list[Any]

    def __getitem__(self, kept: slice) -> Cut:
        """Some of an embedding's tensors (see `Spec.kept_behind`)."""
        return Cut(self.frames, self.layout, [part[kept] for part in self.parts])


@dataclass(frozen=True)
class Both:
    """What was computed of frames as they are, and turned by half a turn."""

    straight: Any
    turned: Any

    def __getitem__(self, kept: slice) -> Both:
        """Some of an embedding's tensors (see `Spec.kept_behind`)."""
        return Both(self.straight[kept], self.turned[kept])


class Tiling(NamedTuple):
    """What runs a tile, and where tiles lie."""

    inner: Backend
    layout: Layout


class Tiled:
    """Runs a backend on tiles of the canvas.

    A network then sees no further than its tile: motion larger than the overlap is lost near the edges, and whatever
    it takes from the whole frame (IFRNet's mean colour, LIFT's attention) it takes from the tile.

    Args:
        make: a backend for frames of a size (H, W).
        size: of the canvas.
        tile: of the tiles, multiples of `spec.multiple`; no more than the canvas.

    Attributes:
        tile: as it is now: smaller once memory ran out.
    """

    def __init__(self, make: Callable[[Size], Backend], size: Size, tile: Size) -> None:
        self._make, self._size = make, size
        self._shrinking = Lock()
        self._use(tile)

    @property
    def at_once(self) -> int:
        """As of what runs the tiles, while there is memory for whole frames."""
        return at_once(self._now.inner) if self.tile == self._size else 1

    @property
    def searches(self) -> bool:
        """As of what runs the tiles."""
        return searches(self._now.inner)

    def embed(self, frame: Tensor) -> Cut:
        """`[B, 3, H, W]` -> what each of its tiles says alone."""
        return self._kept(lambda now: _embedded(now, frame))

    def relate(self, context: Sequence[Cut]) -> Cut:
        """What the tiles of the context say together, place by place."""
        frames = tuple(one.frames[0] for one in context)
        return self._kept(lambda now: _related(now, frames, context))

    def render(self, scene: Cut, t: Tensor) -> Tensor:
        """`[B, 3, H, W]` in [0, 1]."""

        def rendered(now: Tiling) -> Tensor:
            tiles = scene if scene.layout == now.layout else _related(now, scene.frames, ())
            return now.layout.join(now.inner.render(part, t) for part in tiles.parts)

        return self._kept(rendered)

    def _kept(self, work: Callable[[Tiling], Any]) -> Any:
        """Do it; as often as memory runs out, in smaller tiles."""
        while True:
            now = self._now
            try:
                return work(now)
            except (MemoryError, RuntimeError, OSError) as error:
                if not is_want_of_memory(error) or not self._shrink(now):
                    raise
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _shrink(self, now: Tiling) -> bool:
        """Halve the longer side of the tiles, if nobody else did meanwhile; False if they are as small as can be."""
        with self._shrinking:
            if self._now is not now:
                return True
            height, width = self.tile
            tile = (_halved(height, self.spec.multiple), width)
            if width >= height:
                tile = (height, _halved(width, self.spec.multiple))
            if tile == self.tile:
                return False
            self._use(tile)
            return True

    def _use(self, tile: Size) -> None:
        self.tile = tile
        inner = self._make(tile)
        self._now = Tiling(inner, Layout(self._size, tile, min(OVERLAP, min(tile) // 4)))
        self.name, self.spec, self.device, self.precision = inner.name, inner.spec, inner.device, inner.precision


def _embedded(now: Tiling, frame: Tensor) -> Cut:
    return Cut((frame,), now.layout, [now.inner.embed(tile) for tile in now.layout.cut(frame)])


def _related(now: Tiling, frames: tuple[Tensor, ...], context: Sequence[Cut]) -> Cut:
    """Embeddings of other layouts are made anew. A frame that stands twice in a context is embedded once."""
    kept = {id(one.frames[0]): one for one in context if one.layout == now.layout}
    for frame in frames:
        if id(frame) not in kept:
            kept[id(frame)] = _embedded(now, frame)
    columns = zip(*(kept[id(frame)].parts for frame in frames), strict=True)
    return Cut(frames, now.layout, [now.inner.relate(column) for column in columns])


class Mirrored:
    """The mean of what a backend makes of a frame and of the same frame turned by half a turn: twice the cost, for
    errors that have a direction.

    Args:
        inner: any.
    """

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self.name, self.spec, self.device, self.precision = inner.name, inner.spec, inner.device, inner.precision
        self.at_once, self.searches = at_once(inner), searches(inner)

    def embed(self, frame: Tensor) -> Both:
        """`[B, 3, H, W]` -> what it says, and what it says turned."""
        return Both(self._inner.embed(frame), self._inner.embed(frame.flip(-2, -1)))

    def relate(self, context: Sequence[Both]) -> Both:
        """Each among its own."""
        return Both(
            self._inner.relate([one.straight for one in context]), self._inner.relate([one.turned for one in context])
        )

    def render(self, scene: Both, t: Tensor) -> Tensor:
        """`[B, 3, H, W]` in [0, 1]."""
        return (self._inner.render(scene.straight, t) + self._inner.render(scene.turned, t).flip(-2, -1)) / 2


def wrapped(make: Callable[[Size], Backend], size: Size, spec: Spec, *, family: str, tile: str, tta: bool) -> Backend:
    """A backend for frames of a size, in whatever it has to be wrapped.

    Args:
        make: a backend for frames of a size (H, W).
        size: (H, W) of the frames.
        spec: of the model. family: the file of `models` it lives in.
        tile: as in `tile_for`. tta: mirror it.

    Raises:
        BadOption: as `tile_for` says. Whatever `make` raises.
    """
    canvas = Canvas(size, spec.multiple).size
    asked = make(size)
    tiles = tile_for(
        tile, canvas, spec, bytes_a_pixel=BYTES_A_PIXEL.get(family, UNMEASURED), free=free_memory(asked.device)
    )
    backend: Backend = asked
    if tile != "off" and (tiles is not None or any_size(asked)):
        backend = Tiled(lambda part: asked if part == canvas else make(part), canvas, tiles or canvas)
    return Mirrored(backend) if tta else backend


def tile_for(asked: str, size: Size, spec: Spec, *, bytes_a_pixel: float, free: float | None) -> Size | None:
    """The size of the tiles, or None for no tiles.

    Args:
        asked: "off", "auto" (only where the whole canvas would take more than a share of the free memory), or "H,W".
        size: (H, W) of the canvas.
        spec: of the model; tiles are multiples of its `multiple`.
        bytes_a_pixel: memory that the model takes for each pixel of a frame.
        free: bytes that are free where it computes, or None.

    Raises:
        BadOption: none of these, or tiles too small to be of use.
    """
    if asked == "off":
        return None
    if asked == "auto":
        if free is None or size[0] * size[1] * bytes_a_pixel <= SHARE_OF_FREE * free:
            return None
        pixels = SHARE_OF_FREE * free / bytes_a_pixel
        tile = size
        while tile[0] * tile[1] > pixels and max(tile) > SMALLEST:
            longer = 0 if tile[0] > tile[1] else 1
            halved = _halved(tile[longer], spec.multiple)
            if halved == tile[longer]:
                break
            tile = (halved, tile[1]) if longer == 0 else (tile[0], halved)
        return tile
    parts = asked.replace("x", ",").split(",")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise BadOption(f"--tile {asked}", "auto, off, or height and width in pixels are needed", "--tile 512,768")
    wanted = tuple(-(-int(part) // spec.multiple) * spec.multiple for part in parts)
    if min(wanted) < min(SMALLEST, *size):
        raise BadOption(f"--tile {asked}", f"tiles of {SMALLEST} pixels and more are needed", "--tile 512,768")
    tile = (min(wanted[0], size[0]), min(wanted[1], size[1]))
    return None if tile == size else tile


def most_at_once(family: str, size: Size, threads: int) -> int:
    """How many gaps of frames of a size (H, W) may be made at once on the CPU, by so many threads, as memory allows.
    `family` is the file of `models` that the model lives in."""
    free, most = free_memory("cpu"), min(threads, MOST_AT_ONCE)
    if free is not None:
        most = min(most, int(SHARE_OF_FREE * free / (BYTES_A_PIXEL.get(family, UNMEASURED) * size[0] * size[1])))
    return max(1, most)


def free_memory(device: str) -> int | None:
    """Bytes that are free where a device computes; None where the system does not tell."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    return _available()


def _available() -> int | None:
    """What Linux says is available, within the limit of the process' group."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None)
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no group, or "max"
        return free
    return limit if free is None else min(free, limit)


def is_want_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, whoever raised it."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return any(word in str(error).lower() for word in WORDS_OF_WANT)


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along one axis, the first at 0, the last ending at `length`."""
    if tile >= length:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(k * (length - tile) / (count - 1)) for k in range(count)]


def _halved(length: int, multiple: int) -> int:
    """About half, a multiple, and no less than SMALLEST."""
    half = -(-length // (2 * multiple)) * multiple
    least = -(-SMALLEST // multiple) * multiple
    return min(length, max(half, least))
