"""Sets of few frames with a true middle one: Vimeo-90K, UCF101, SNU-FILM, Middlebury."""

from __future__ import annotations

import re
from pathlib import Path

from .clips import PictureClip
from .layouts import DataSet, Split, base, folders, for_tests_alone, lines, pictures, windows, wrong

LEVELS = ("easy", "medium", "hard", "extreme")


def vimeo90k(root: Path, split: Split) -> DataSet:
    """Vimeo-90K triplets (toflow.csail.mit.edu): `tri_trainlist.txt`, `sequences/00001/0001/im1.png` to `im3.png`,
    and flow labels as `flow/00001/0001/flow_t0.flo`, `flow_t1.flo` (from im2 to im1 and to im3) where they are."""
    return _vimeo("vimeo90k", root, split, "tri", 3)


def vimeo90k_septuplet(root: Path, split: Split) -> DataSet:
    """Vimeo-90K septuplets: `sep_trainlist.txt`, `sequences/00001/0001/im1.png` to `im7.png`."""
    return _vimeo("vimeo90k-septuplet", root, split, "sep", 7)


def _vimeo(name: str, root: Path, split: Split, prefix: str, length: int) -> DataSet:
    file = f"{prefix}_trainlist.txt" if split == "train" else f"{prefix}_testlist.txt"
    folder = base(root, file)
    sought = f"{file} and sequences/00001/0001/im1.png to im{length}.png"
    fix = f"name the folder that holds {file}"
    if folder is None:
        raise wrong(name, root, sought, fix)
    rows = lines(folder / file)
    sequences, flow = folder / "sequences", folder / "flow"
    if not rows or not (sequences / rows[0]).is_dir():
        first = f"{sequences / rows[0]} is not there" if rows else f"{file} is empty"
        raise wrong(name, folder, f"{sought} ({first})", "unpack the whole archive there")
    has_flow = length == 3 and flow.is_dir()
    clips = tuple(
        PictureClip(
            row,
            row.split("/")[0],
            tuple(str(sequences / row / f"im{k + 1}.png") for k in range(length)),
            _labels(flow / row) if has_flow else None,
        )
        for row in rows
    )
    notes = (f"{len(clips)} of {file}", *(["flow labels from flow/"] if has_flow else []))
    if split == "val":
        notes += ("Vimeo-90K has no split of its own for validation: val is the test list",)
    return DataSet(name, clips, 2, (1,), notes) if length == 3 else DataSet(name, clips, notes=notes)


def _labels(folder: Path) -> tuple[tuple[int, int, str], ...] | None:
    paths = [str(folder / f"flow_t{k}.flo") for k in (0, 1)]
    return ((1, 0, paths[0]), (1, 2, paths[1])) if all(Path(path).is_file() for path in paths) else None


def ucf101(root: Path, split: Split) -> DataSet:
    """The 379 triplets of UCF101 (Liu et al., 2017): `ucf101_interp_ours/1/frame_00.png`, `frame_01_gt.png`,
    `frame_02.png`."""
    for_tests_alone("ucf101", split)
    names = ("frame_00.png", "frame_01_gt.png", "frame_02.png")
    for folder in (root, root / "ucf101_interp_ours"):
        scenes = [one for one in folders(folder) if (one / names[1]).is_file()] if folder.is_dir() else []
        if scenes:
            clips = tuple(PictureClip(one.name, one.name, tuple(str(one / n) for n in names)) for one in scenes)
            note = () if len(clips) == 379 else (f"{len(clips)} triplets; the published set has 379",)
            return DataSet("ucf101", clips, 2, (1,), note)
    raise wrong("ucf101", root, "ucf101_interp_ours/1/" + ", ".join(names), "name the folder ucf101_interp_ours")


def snu_film(root: Path, split: Split, levels: tuple[str, ...] = LEVELS) -> DataSet:
    """SNU-FILM (CAIN, Choi et al., 2020): `test-easy.txt` to `test-extreme.txt`, three paths a line. Each level is a
    group. Paths that begin with folders of another machine (`data/SNU-FILM/test/...`) are cut until they exist."""
    name = "snu-film" if len(levels) > 1 else f"snu-film-{levels[0]}"
    for_tests_alone(name, split)
    files = [f"test-{level}.txt" for level in levels]
    folder = base(root, files[0])
    sought = f"{', '.join(files)} and the pictures that they name"
    if folder is None or not all((folder / file).is_file() for file in files):
        raise wrong(name, folder or root, sought, f"name the folder that holds {files[0]}")
    clips = tuple(clip for level in levels for clip in _level(name, root, folder, level))
    return DataSet(name, clips, 2, (1,), (f"{len(clips)} triplets; 310 a level are published",))


def _level(name: str, root: Path, folder: Path, level: str) -> list[PictureClip]:
    rows = [line.split() for line in lines(folder / f"test-{level}.txt")]
    uneven = [row for row in rows if len(row) != 3]
    if not rows or uneven:
        raise wrong(name, folder, f"three paths a line in test-{level}.txt", "get the list again")
    first = Path(rows[0][0]).parts
    places = [one for one in (folder, folder / "test", root, root / "test") if one.is_dir()]
    fitting = ((one, cut) for cut in range(len(first)) for one in places if one.joinpath(*first[cut:]).is_file())
    where = next(fitting, None)
    if where is None:
        raise wrong(
            name, folder, f"the picture {rows[0][0]}, or a later part of that path", "unpack the pictures there"
        )
    above, cut = where
    return [
        PictureClip(f"{level}/{number:03d}", level, tuple(str(above.joinpath(*Path(p).parts[cut:])) for p in row))
        for number, row in enumerate(rows, 1)
    ]


def middlebury(root: Path, split: Split) -> DataSet:
    """Middlebury's "other" scenes (Baker et al., 2011).

    test, val: the triplets with a true middle frame, `other-data/<scene>/frame10.png`, `frame11.png` and
    `other-gt-interp/<scene>/frame10i11.png`, or all three in `<scene>/`; motion from `other-gt-flow/<scene>/flow10.flo`
    where it is.
    train: three frames in a row of the longer scenes, frame07 to frame14, as deformvfi is trained.
    """
    data = _scenes_of(root, "other")
    if split == "train":
        return _in_rows("middlebury", root, data, "other")
    clips = _true_middles(root, data) if data else []
    if not clips:
        sought = "other-data/<scene>/frame10.png, frame11.png and other-gt-interp/<scene>/frame10i11.png"
        fix = "name the folder that holds other-data, or one folder a scene with all three pictures"
        raise wrong("middlebury", root, f"{sought} (or all three in <scene>/)", fix)
    note = () if len(clips) == 12 else (f"{len(clips)} scenes; the published set has 12",)
    return DataSet("middlebury", tuple(clips), 2, (1,), note)


def _true_middles(root: Path, data: Path) -> list[PictureClip]:
    clips = []
    for scene in folders(data):
        middle = [path for path in _middles(root, data, scene.name) if path.is_file()]
        if middle and (scene / "frame10.png").is_file():
            paths = (str(scene / "frame10.png"), str(middle[0]), str(scene / "frame11.png"))
            clips.append(PictureClip(scene.name, scene.name, paths, _true_motion(root, data, scene.name)))
    return clips


def middlebury_eval(root: Path, split: Split) -> DataSet:  # noqa: ARG001
    """Middlebury's "eval" scenes: `eval-data/<scene>/frame07.png` to `frame14.png`, three frames in a row. The middle
    between frames 10 and 11 is not public; it is scored on the benchmark's page."""
    return _in_rows("middlebury-eval", root, _scenes_of(root, "eval"), "eval")


def _scenes_of(root: Path, kind: str) -> Path | None:
    """The folder of scenes: in the archive's own folder, in the `allframes` archive's, or `root` itself."""
    for place in (f"{kind}-data", f"{kind}-color-allframes/{kind}-data", f"{kind}-color-twoframes/{kind}-data"):
        if (root / place).is_dir():
            return root / place
    is_scenes = root.is_dir() and any((scene / "frame10.png").is_file() for scene in folders(root))
    return root if is_scenes else None


def _middles(root: Path, data: Path, scene: str) -> list[Path]:
    above = (root, data.parent, data.parent.parent)
    return [data / scene / "frame10i11.png", *(one / "other-gt-interp" / scene / "frame10i11.png" for one in above)]


def _true_motion(root: Path, data: Path, scene: str) -> tuple[tuple[int, int, str], ...] | None:
    """The motion from frame 10 to frame 11, places 0 and 2 of the triplet, for the eight scenes that have it."""
    places = [one / "other-gt-flow" / scene / "flow10.flo" for one in (root, data.parent, data.parent.parent)]
    path = next((one for one in (data / scene / "flow10.flo", *places) if one.is_file()), None)
    return ((0, 2, str(path)),) if path else None


def _in_rows(name: str, root: Path, data: Path | None, kind: str) -> DataSet:
    clips: list[PictureClip] = []
    short = []
    for scene in folders(data) if data else []:
        paths = [path for path in pictures(scene) if re.fullmatch(r"frame\d+", Path(path).stem)]
        rows = windows(scene.name, scene.name, paths, length=3, stride=1)
        clips += rows
        short += [scene.name] if paths and not rows else []
    if not clips:
        sought = f"{kind}-data/<scene>/frame07.png, frame08.png and on, at least three a scene"
        raise wrong(name, root, sought, f"unpack {kind}-color-allframes.zip and name its folder")
    notes = (f"scenes of two frames left out: {', '.join(short)}",) if short else ()
    return DataSet(name, tuple(clips), 2, (1,), notes)
