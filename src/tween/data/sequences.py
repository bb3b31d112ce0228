"""Sets to predict on, and long clips: Cityscapes, KITTI, UCF101's own videos."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from .clips import Clip, PictureClip, VideoClip
from .layouts import DataSet, Split, base, folders, lines, pictures, split_folder, videos, walk, wrong
from .remember import lengths

SNIPPET = 30  # frames of a Cityscapes sequence
CITY_NAME = re.compile(r"(?P<sequence>.+_\d{6})_(?P<frame>\d{6})_leftImg8bit")  # city_sequence_frame_leftImg8bit
SHARES = (0.70, 0.15)  # train and val of UCF101 without its lists; test is the rest
SEED = 42


def cityscapes(root: Path, split: Split) -> DataSet:
    """Cityscapes sequences of 30 frames: `leftImg8bit_sequence/train/aachen/aachen_000000_000000_leftImg8bit.png` and
    on; or, as DMVFN prepares it, `train/000000/0000000000.png` and on. The next frame is asked for (gap 1)."""
    above = base(root, "leftImg8bit_sequence")
    whole = split_folder(above / "leftImg8bit_sequence" if above else root, split)
    clips = [clip for city in folders(whole) for clip in _snippets(city)] if whole else []
    if not clips:
        sought = f"leftImg8bit_sequence/{split}/<city>/<city>_000000_000000_leftImg8bit.png and on"
        raise wrong("cityscapes", root, sought, "unpack leftImg8bit_sequence_trainvaltest.zip and name its folder")
    published = {"train": 2975, "val": 500, "test": 1525}[split]
    note = f"{len(clips)} sequences; {published} are published for {split}"
    return DataSet("cityscapes", tuple(clips), 1, notes=() if len(clips) == published else (note,))


def _snippets(city: Path) -> Iterator[PictureClip]:
    """The sequences of a city: frames whose numbers follow each other, 30 at a time."""
    paths = pictures(city)
    told = [CITY_NAME.fullmatch(Path(path).stem) for path in paths]
    if paths and not any(told):
        yield PictureClip(city.name, city.name, tuple(paths))
        return
    rows = [(m["sequence"], int(m["frame"]), path) for m, path in zip(told, paths, strict=True) if m]
    for (sequence, _), run in groupby(enumerate(rows), lambda row: (row[1][0], row[1][1] - row[0])):
        together = [row for _, row in run]
        for k in range(0, len(together), SNIPPET):
            part = together[k : k + SNIPPET]
            name = f"{sequence}_{part[0][1]:06d}"
            yield PictureClip(name, city.name, tuple(path for _, _, path in part))


def kitti(root: Path, split: Split) -> DataSet:
    """KITTI to predict on: `train/000000/0000000000.png` and on, as DMVFN prepares it (nine frames of 832x256), or the
    raw recordings, of which only the left colour camera (`image_02`) is used. The next frame is asked for (gap 1)."""
    place = (split_folder(root, split) or root) if root.is_dir() else root
    found = [folder for folder in walk(place) if pictures(folder)] if place.is_dir() else []
    cameras = [folder for folder in found if "image_02" in folder.parts]
    clips = tuple(_sequence(folder, place) for folder in cameras or found)
    if not clips:
        raise wrong("kitti", root, f"{split}/000000/0000000000.png and on", "name the folder that holds the sequences")
    notes = () if place != root else (f"no folder {split} there: every sequence is taken",)
    return DataSet("kitti", clips, 1, notes=notes)


def _sequence(folder: Path, above: Path) -> PictureClip:
    name = folder.relative_to(above).as_posix()
    return PictureClip(name, name.split("/")[0], tuple(pictures(folder)))


def lift_ucf101(root: Path, split: Split) -> DataSet:
    """UCF101's videos (Soomro et al., 2012): `<Action>/v_<Action>_g01_c01.avi`. A split is that of the official lists
    where `trainlist01.txt` and `testlist01.txt` lie there or in `ucfTrainTestlist/` (val and test are then the same),
    else 70, 15 and 15 % of the videos, shuffled."""
    folder = base(root, "ApplyEyeMakeup") or root
    files = {f"{one.parent.name}/{one.name}": one for one in videos(folder)} if folder.is_dir() else {}
    names, note = _ucf_split(root, folder, sorted(files), split)
    chosen = {name: files[name] for name in names if name in files}
    if not chosen:
        sought = "<Action>/v_<Action>_g01_c01.avi and on"
        raise wrong("lift-ucf101", root, sought, "unpack UCF101.rar and name the folder UCF-101")
    counted, broken = lengths(folder, list(chosen.values()))
    clips: list[Clip] = [
        VideoClip(name.removesuffix(".avi"), name.split("/")[0], str(path), 0, counted[path])
        for name, path in chosen.items()
        if path in counted
    ]
    notes = (note, *(f"left out: {why}" for why in broken))
    return DataSet("lift-ucf101", tuple(clips), notes=notes)


def _ucf_split(root: Path, folder: Path, names: list[str], split: Split) -> tuple[list[str], str]:
    kind = "trainlist" if split == "train" else "testlist"
    for place in (root, folder, root / "ucfTrainTestlist", folder.parent / "ucfTrainTestlist"):
        official = sorted(place.glob(f"{kind}0?.txt")) if place.is_dir() else []
        if official:
            listed = [line.split()[0] for line in lines(official[0])]
            return listed, f"the videos of {official[0].name}"
    shuffled = list(names)
    random.Random(SEED).shuffle(shuffled)
    train, val = (round(sum(SHARES[:k]) * len(names)) for k in (1, 2))
    parts = {"train": shuffled[:train], "val": shuffled[train:val], "test": shuffled[val:]}
    return sorted(parts[split]), "no official lists there: 70, 15 and 15 % of the videos, shuffled with seed 42"
