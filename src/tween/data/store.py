"""A set made ready to be drawn from by the thousand: small pictures and their flows, uncompressed, read in place.

  STORE/<clip>/pictures.npy   uint8 [F, H, W, 3]
               flows.npy      float16 [F, 2 R, H / 2, W / 2, 2]: at half the pictures' size, in their pixels (x, y),
                              from each frame to the R before it and the R after it; NaN where there is none
               about.json     the clip's group and length, and what was asked for

Nothing is decoded when a sample is drawn. 25 pictures of 512x288 take 11 MB, and their flows towards two frames on
either side 15 MB.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import BrokenPicture, CannotWrite, Conflict
from ..models.dis import opencv
from .clips import Broken, Clip, checked
from .labels import luma, searched
from .layouts import DataSet, Split, walk, wrong

PICTURES, FLOWS, ABOUT = "pictures.npy", "flows.npy", "about.json"
REACH = 2  # frames on either side that flows go to: what gaps of 2 and 3 ask for
READ = 16  # frames that are decoded at a time
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class StoredClip:
    """A clip of a store.

    Attributes:
        name, group: as in `Clip`. folder: where its files are. length: frames.
        reach: frames on either side that flows go to.
    """

    name: str
    group: str
    folder: str
    length: int
    reach: int = 0

    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        height, width = mapped(f"{self.folder}/{PICTURES}").shape[1:3]
        return height, width

    def read(self, places: Sequence[int]) -> list[Tensor]:
        """As in `Clip`."""
        pictures = mapped(f"{self.folder}/{PICTURES}")
        read = {place: np.array(pictures[place]) for place in dict.fromkeys(checked(places, self.length, self.name))}
        return [torch.from_numpy(read[place]).permute(2, 0, 1) for place in places]

    def flow(self, target: int, first: int, second: int) -> Tensor | None:
        """As in `Clip`, at half the frames' size; None where one of the two is farther than the store reaches."""
        steps = [place - target for place in (first, second)]
        if any(not 1 <= abs(step) <= self.reach for step in steps):
            return None
        flows = mapped(f"{self.folder}/{FLOWS}")
        both = np.concatenate([flows[target, step + self.reach - (step > 0)] for step in steps], -1)
        return torch.from_numpy(both).permute(2, 0, 1)


@lru_cache(maxsize=1024)
def mapped(path: str) -> Array:
    """An array of a store, of which only what is looked at is read.

    Raises:
        BrokenPicture: it is not there, or no array.
    """
    try:
        return np.asarray(np.load(path, mmap_mode="r"))
    except (OSError, ValueError, EOFError) as error:
        got = f"{path} cannot be read ({error})"
        raise BrokenPicture(got, "a store that was written whole is needed", "write it again: tween store") from error


def stored(root: Path, split: Split) -> DataSet:
    """What `tween store` has written; without splits: all of it, whatever is asked for."""
    clips = tuple(_opened(folder, root) for folder in walk(root) if (folder / ABOUT).is_file()) if root.is_dir() else ()
    if not clips:
        raise wrong("store", root, f"folders with {PICTURES} and {ABOUT}", "tween store SET --root DIR -o STORE")
    notes = () if split == "train" else (f"{root} has no splits: {split} is all of it",)
    return DataSet("store", clips, notes=notes)


def _opened(folder: Path, root: Path) -> StoredClip:
    about = _about(folder)
    name = folder.relative_to(root).as_posix()
    return StoredClip(name, str(about["group"]), str(folder), about["length"], about["reach"])


def _about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / ABOUT).read_text())
        return {**about, "length": int(about["length"]), "reach": int(about["reach"]), "group": about["group"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenPicture(f"{folder / ABOUT} cannot be read ({error!r})", "", f"delete {folder}") from error


@dataclass
class Stored:
    """What storing did: clips written, clips that were there, frames and bytes written, clips that cannot be read."""

    written: int = 0
    kept: int = 0
    frames: int = 0
    megabytes: float = 0.0
    broken: int = 0


def store(
    found: DataSet,
    out: Path,
    *,
    side: int = 288,
    reach: int = REACH,
    watch: Callable[[int, int, str], None] | None = None,
) -> Stored:
    """Write a store of a set; a clip that is there stays, so that a broken run goes on.

    Args:
        found: the set. out: the store's folder.
        side: pixels of the shorter side; smaller pictures keep their size. Sides become even.
        reach: frames on either side of each that flows go to, found by DIS; 0: no flows.
        watch: told clips done, of how many, and the next one's name.

    Raises:
        BrokenPicture: more than one clip in a hundred cannot be read. Conflict: a clip that is there was written with
            another side or reach. CannotWrite: the folder is closed to us, or the disk is full.
    """
    done, broken, asked = Stored(), Broken(), {"side": side, "reach": reach}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, clip in enumerate(found.clips):
            if watch:
                watch(number, len(found.clips), clip.name)
            folder = out / clip.name
            if (folder / ABOUT).is_file():
                _same(folder, asked)
                done.kept += 1
                continue
            try:
                pictures = _small(clip, side)
            except BrokenPicture as error:
                broken.skip(error)
                continue
            broken.read()
            arrays = {PICTURES: pictures, **({FLOWS: _flows(pictures, reach, pool)} if reach else {})}
            _write(folder, arrays, {"group": clip.group, "length": clip.length, **asked})
            done.written, done.frames = done.written + 1, done.frames + clip.length
            done.megabytes += sum(array.nbytes for array in arrays.values()) / 1e6
    broken.end()
    done.broken = len(broken.names)
    return done


def _same(folder: Path, asked: dict[str, int]) -> None:
    """Refuse to go on with a store of another kind."""
    about = _about(folder)
    written = {name: about.get(name) for name in asked}
    if written != asked:
        got, need = (" ".join(f"--{name} {value}" for name, value in told.items()) for told in (written, asked))
        raise Conflict(f"{folder} was written with {got}, and {need} is asked for", "", "-o ANOTHER_DIR")


def _small(clip: Clip, side: int) -> Array:
    """The clip's pictures, each pixel the mean of those that fall on it."""
    height, width = clip.size()
    factor = min(1.0, side / min(height, width))
    tall, wide = (2 * max(1, round(pixels * factor / 2)) for pixels in (height, width))
    small = np.empty((clip.length, tall, wide, 3), np.uint8)
    for start in range(0, clip.length, READ):
        for place, picture in enumerate(clip.read(range(start, min(start + READ, clip.length))), start):
            pixels = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
            small[place] = opencv().resize(pixels, (wide, tall), interpolation=opencv().INTER_AREA)
    return small


def _flows(pictures: Array, reach: int, pool: ThreadPoolExecutor) -> Array:
    """As stored."""
    count, height, width = pictures.shape[:3]
    flows = np.full((count, 2 * reach, height // 2, width // 2, 2), np.nan, np.float16)
    lumas = [luma(torch.from_numpy(picture).permute(2, 0, 1)) for picture in pictures]

    def one(place: int) -> None:
        for number, step in enumerate([*range(-reach, 0), *range(1, reach + 1)]):
            if 0 <= place + step < count:
                flow = searched(lumas[place], lumas[place + step], 1).transpose(1, 2, 0)
                half = (width // 2, height // 2)
                flows[place, number] = opencv().resize(flow, half, interpolation=opencv().INTER_AREA)

    list(pool.map(one, range(count)))
    return flows


def _write(folder: Path, arrays: dict[str, Array], about: dict[str, Any]) -> None:
    """A clip's folder, whole or not at all."""
    part = ""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = tempfile.mkdtemp(dir=folder.parent, prefix=".", suffix=".part")
        for name, array in arrays.items():
            np.save(f"{part}/{name}", array)
        Path(part, ABOUT).write_text(json.dumps(about))
        os.chmod(part, 0o755)
        os.replace(part, folder)
    except OSError as error:
        if part:
            shutil.rmtree(part, ignore_errors=True)
        raise CannotWrite(f"{folder} cannot be written ({error.strerror or error})", "", "-o DIR") from error
