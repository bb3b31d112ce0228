"""Sets of many frames a second: GoPro, Adobe240, X4K1000FPS, Xiph."""

from __future__ import annotations

from pathlib import Path

from .clips import Clip, PictureClip, VideoClip
from .index import index_of
from .layouts import (
    DataSet,
    Split,
    base,
    folders,
    for_tests_alone,
    lines,
    pictures,
    split_folder,
    videos,
    windows,
    wrong,
)

EIGHT = {"length": 9, "stride": 8}  # both ends of an 8x gap and the 7 frames within; the next begins where it ends
SEVEN = tuple(range(1, 8))

# GOPRO_Large_all (Nah et al., 2017) by its own folders train and test, which IFRNet and others train and test by.
GOPRO_TRAIN = (
    "GOPR0372_07_00", "GOPR0372_07_01", "GOPR0374_11_00", "GOPR0374_11_01", "GOPR0374_11_02", "GOPR0374_11_03",
    "GOPR0378_13_00", "GOPR0379_11_00", "GOPR0380_11_00", "GOPR0384_11_01", "GOPR0384_11_02", "GOPR0384_11_03",
    "GOPR0384_11_04", "GOPR0385_11_00", "GOPR0386_11_00", "GOPR0477_11_00", "GOPR0857_11_00", "GOPR0868_11_01",
    "GOPR0868_11_02", "GOPR0871_11_01", "GOPR0881_11_00", "GOPR0884_11_00",
)  # fmt: skip
GOPRO_TEST = (
    "GOPR0384_11_00", "GOPR0384_11_05", "GOPR0385_11_01", "GOPR0396_11_00", "GOPR0410_11_00", "GOPR0854_11_00",
    "GOPR0862_11_00", "GOPR0868_11_00", "GOPR0869_11_00", "GOPR0871_11_00", "GOPR0881_11_01",
)  # fmt: skip

# The eight 4K clips of media.xiph.org that frame interpolation is measured on (Niklaus and Liu, 2020).
XIPH = (
    "BoxingPractice", "Crosswalk", "DrivingPOV", "FoodMarket", "FoodMarket2", "RitualDance", "SquareAndTimelapse",
    "Tango",
)  # fmt: skip
XIPH_FRAMES = 99  # frames 1 to 99 of the first hundred: 49 hidden ones between 50 shown


def gopro(root: Path, split: Split) -> DataSet:
    """GoPro at 240 frames a second, GOPRO_Large_all: `<video>/000001.png`, flat or in `train/` and `test/`, with or
    without a folder `sharp/` in each video. Windows of 9 frames, one every 8."""
    names = GOPRO_TRAIN if split == "train" else GOPRO_TEST
    places = [root, root / "train", root / "test", *(folders(root) if root.is_dir() else [])]
    clips: list[Clip] = []
    missing = []
    for name in names:
        above = next((place for place in places if (place / name).is_dir()), None)
        if above is None:
            missing.append(name)
            continue
        video = above / name
        paths = pictures(video / "sharp" if (video / "sharp").is_dir() else video)
        clips += windows(name, name, paths, **EIGHT)
    if not clips:
        sought = f"the {len(names)} videos of the {split} list as folders of pictures, {names[0]}/000001.png first"
        raise wrong("gopro", root, sought, "unpack GOPRO_Large_all.zip and name its folder")
    notes = [f"{len(names) - len(missing)} of the {len(names)} videos of the published list"]
    notes += [f"missing: {', '.join(missing)}"] if missing else []
    notes += ["GoPro has no split of its own for validation: val is the test list"] if split == "val" else []
    return DataSet("gopro", tuple(clips), 8, SEVEN, tuple(notes))


def adobe240(root: Path, split: Split) -> DataSet:
    """Adobe240 (Su et al., 2017): the video files of `original_high_fps_videos/`, or one folder of pictures a video,
    also in `frame/train/` and so on. Windows of 9 frames, one every 8. A list `adobe240fps_folder_test.txt`,
    `test_list.txt` or `test.txt` (one name a line) chooses the videos of a split; without one all are taken."""
    names, note = _adobe_list(root, split)
    folder = _adobe_folder(root, split)
    clips: list[Clip] = []
    for name, video in _adobe_videos(folder).items():
        if names is not None and name not in names:
            continue
        if video.is_dir():
            clips += windows(name, name, pictures(video), **EIGHT)
        else:
            last = index_of(str(video)).length - EIGHT["length"]
            starts = range(0, last + 1, EIGHT["stride"])
            clips += [VideoClip(f"{name}/{k:06d}", name, str(video), k, EIGHT["length"]) for k in starts]
    if not clips:
        sought = "original_high_fps_videos/*.mov (or .mp4, .m4v), or one folder of pictures a video"
        raise wrong("adobe240", root, sought, "name the folder that holds original_high_fps_videos")
    return DataSet("adobe240", tuple(clips), 8, SEVEN, (note,))


def _adobe_list(root: Path, split: Split) -> tuple[set[str] | None, str]:
    words = {"train": ("train",), "val": ("valid", "val", "test"), "test": ("test",)}[split]
    files = [root / form.format(w) for w in words for form in ("adobe240fps_folder_{}.txt", "{}_list.txt", "{}.txt")]
    for file in files:
        if file.is_file():
            return {Path(line).stem for line in lines(file)}, f"the videos of {file.name}"
    return None, f"no {files[0].name} there: the split {split} is every video"


def _adobe_folder(root: Path, split: Split) -> Path:
    for place in (root / "frame", root / "frames", root / "original_high_fps_videos", root):
        if place.is_dir():
            return split_folder(place, split) or place
    return root


def _adobe_videos(folder: Path) -> dict[str, Path]:
    """Name -> file or folder of pictures; a file goes before the folder of pictures that was made from it."""
    if not folder.is_dir():
        return {}
    framed = {path.name: path for path in folders(folder) if pictures(path)}
    return framed | {path.stem: path for path in videos(folder)}


def x4k1000fps(root: Path, split: Split) -> DataSet:
    """X4K1000FPS (Sim et al., 2021). train: `train/002/occ008.320/0000.png` to `0064.png`. test and val:
    `test/Type1/TEST01/0000.png` to `0032.png`, where frames 0 and 32 are shown and 4, 8, ... 28 are asked for.
    The archives' video files (one a clip) are read as they are."""
    place = _x4k_place(root, split)
    clips: list[Clip] = []
    for kind in folders(place) if place else []:
        clips += [_pictured(f"{kind.name}/{one.name}", one) for one in folders(kind) if pictures(one)]
        clips += [_filmed(f"{kind.name}/{one.stem}", one) for one in videos(kind)]
    if not clips:
        sought = (
            "train/002/occ008.320/0000.png to 0064.png"
            if split == "train"
            else f"{split}/Type1/TEST01/0000.png to 0032.png"
        )
        raise wrong("x4k1000fps", root, sought, "name the folder that holds train and test")
    if split == "train":
        return DataSet("x4k1000fps", tuple(clips), notes=("frames of 1000 a second: choose a gap of 2 to 32",))
    whole = [clip for clip in clips if clip.length >= 33]
    notes = (f"{len(whole)} clips; the published test set has 15",) if len(whole) != 15 and split == "test" else ()
    return DataSet("x4k1000fps", tuple(whole), 32, tuple(range(4, 32, 4)), notes)


def _x4k_place(root: Path, split: Split) -> Path | None:
    if split == "train":
        above = base(root, "train")
        return above / "train" if above else None
    above = base(root, split, "Type1")
    if above is None:
        return None
    return above / split if (above / split).is_dir() else above


def _pictured(name: str, folder: Path) -> PictureClip:
    return PictureClip(name, name.split("/")[0], tuple(pictures(folder)))


def _filmed(name: str, path: Path) -> VideoClip:
    return VideoClip(name, name.split("/")[0], str(path), 0, index_of(str(path)).length)


def xiph(root: Path, split: Split) -> DataSet:
    """Xiph's eight 4K clips of 4096x2160: `BoxingPractice-001.png` to `-100.png` and so on, or one folder of pictures
    or one video file (`Netflix_BoxingPractice_4096x2160_60fps_10bit_420.y4m`) a clip. Of the first hundred frames every
    second one is hidden. "2K" is each picture shrunk to 2048x1080 by area, "4K" its middle 2048x1080."""
    for_tests_alone("xiph", split)
    clips: list[Clip] = []
    missing = []
    for name in XIPH:
        triplets = _xiph_triplets(root, name)
        clips += triplets
        missing += [] if triplets else [name]
    if not clips:
        sought = f"{XIPH[0]}-001.png and on, {XIPH[0]}/001.png and on, or Netflix_{XIPH[0]}_*.y4m"
        raise wrong("xiph", root, sought, "name the folder that holds the eight clips")
    notes = ["2K: shrink to 2048x1080 by area; 4K: the middle 2048x1080"]
    notes += [f"missing: {', '.join(missing)}"] if missing else []
    return DataSet("xiph", tuple(clips), 2, (1,), tuple(notes))


def _xiph_triplets(root: Path, name: str) -> list[Clip]:
    if not root.is_dir():
        return []
    below = [one for one in folders(root) if one.name in (name, f"Netflix_{name}")]
    paths = pictures(below[0]) if below else [p for p in pictures(root) if Path(p).name.startswith(f"{name}-")]
    if paths:
        return [*windows(name, name, paths[:XIPH_FRAMES], length=3, stride=2)]
    files = [one for one in videos(root) if one.stem == name or one.stem.startswith((f"Netflix_{name}_", f"{name}_"))]
    if not files:
        return []
    shown = min(XIPH_FRAMES, index_of(str(files[0])).length)
    return [VideoClip(f"{name}/{k + 1:03d}", name, str(files[0]), k, 3) for k in range(0, shown - 2, 2)]
