"""The user's own footage: folders of pictures, lists, video files, and roots with a MANIFEST.tsv."""

from __future__ import annotations

import csv
from itertools import groupby
from pathlib import Path

from ..errors import WrongLayout
from ..video.images import SUFFIXES
from .clips import Clip, PictureClip, VideoClip
from .layouts import VIDEOS, DataSet, Split, lines, pictures, split_folder, videos, walk, wrong
from .remember import lengths

MANIFEST = "MANIFEST.tsv"
COLUMNS = ("clip", "file", "start", "frames")  # needed; step, crop, source and split are optional
DEV = {"dev": "val", "valid": "val", "validation": "val"}


def frames(root: Path, split: Split) -> DataSet:
    """Pictures: a folder of folders, at any depth (each that holds pictures is a clip), or one folder of them. With
    subfolders train, val or test, those of the split."""
    place = (split_folder(root, split) or root) if root.is_dir() else root
    clips = tuple(_folder_clip(one, place) for one in _pictured(place))
    if not clips:
        sought = f"folders of at least two pictures ({', '.join(sorted(SUFFIXES))})"
        fix = "name a folder of folders of pictures, or `--set video` for video files"
        raise wrong("frames", root, sought, fix)
    return DataSet("frames", clips, notes=_about_split(root, place, split), is_raw=True)


def listed(root: Path, split: Split) -> DataSet:  # noqa: ARG001
    """A text file with one path a line, relative to the file's own folder: a folder of pictures, a video file, or a
    picture (pictures of one folder in a row are a clip). Two or more pictures on a line are a clip of their own."""
    if not root.is_file() or root.suffix.lower() in VIDEOS:
        raise wrong("list", root, "a text file with one path a line", "name the list: --data.root list.txt")
    rows = [[root.parent / part for part in _parts(line, root.parent)] for line in lines(root)]
    missing = next((path for row in rows for path in row if not path.exists()), None)
    if not rows or missing:
        got = f"{root} names {missing}, which is not there" if missing else f"{root} names nothing"
        raise WrongLayout(got, "one path a line is needed, relative to the list's folder")
    clips: list[Clip] = []
    notes: list[str] = []
    for kind, together in groupby(rows, _kind):
        clips += _of_kind(kind[0], list(together), root.parent, notes)
    if not clips:
        raise WrongLayout(f"{root} names no clip of two frames or more", "folders, videos or pictures are needed")
    return DataSet("list", tuple(clips), notes=tuple(notes), is_raw=True)


def video(root: Path, split: Split) -> DataSet:
    """Video files: one, a folder of them (at any depth), or a root with a MANIFEST.tsv, of which only the listed ranges
    are used. With subfolders train, val (or dev) or test, those of the split."""
    has_manifest = (root / MANIFEST).is_file()
    place = (split_folder(root, split) or root) if root.is_dir() and not has_manifest else root
    if (place / MANIFEST).is_file():
        return DataSet("video", manifest(place / MANIFEST, split), notes=_about_split(root, place, split))
    files = videos(place) if place.is_dir() else [place] if place.is_file() else []
    notes: list[str] = []
    clips = _films(files, place if place.is_dir() else place.parent, notes)
    if not clips:
        sought = f"video files ({', '.join(sorted(VIDEOS))}) or a {MANIFEST}"
        fix = notes[0] if notes else "name a video or a folder of videos, or take the set frames for pictures"
        raise wrong("video", root, sought, fix)
    return DataSet("video", tuple(clips), notes=(*notes, *_about_split(root, place, split)), is_raw=True)


def manifest(path: Path, split: Split) -> tuple[VideoClip, ...]:
    """The clips of a MANIFEST.tsv: tab-separated, a row a clip, with columns clip, file, start and frames, and maybe
    step, crop (x,y,width,height), source (its group) and split (train, dev or val, test: rows of other splits are left
    out where the file names more than one).

    Raises:
        WrongLayout: a column is missing, a number is none, or a file is not there.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    lacking = [name for name in COLUMNS if not rows or name not in rows[0]]
    if lacking:
        got = f"{path} has no column {', '.join(lacking)}" if rows else f"{path} lists no clip"
        raise WrongLayout(got, f"tab-separated columns are needed: {', '.join(COLUMNS)}, and maybe step, crop, source")
    splits = {_split_of(row) for row in rows}
    if len(splits) > 1:
        rows = [row for row in rows if _split_of(row) == split]
    clips = tuple(_row(path, number, row) for number, row in enumerate(rows, 2))
    missing = sorted({clip.path for clip in clips if not Path(clip.path).is_file()})
    if missing or not clips:
        got = f"{path} lists {missing[0]}, which is not there" if missing else f"{path} lists no clip for {split}"
        raise WrongLayout(got, f"the files that it lists are needed ({len(missing)} are missing)" if missing else "")
    return clips


def _split_of(row: dict[str, str]) -> str:
    word = (row.get("split") or "").strip().lower()
    return DEV.get(word, word)


def _row(path: Path, number: int, row: dict[str, str]) -> VideoClip:
    try:
        crop = tuple(int(part) for part in row["crop"].split(",")) if row.get("crop") else None
        start, length, step = int(row["start"]), int(row["frames"]), int(row.get("step") or 1)
    except (TypeError, ValueError) as error:
        raise WrongLayout(f"line {number} of {path}: {error}", "whole numbers are needed") from error
    if start < 0 or length < 1 or step < 1 or (crop is not None and (len(crop) != 4 or min(crop[2:]) < 1)):
        need = "start >= 0, frames >= 1, step >= 1 and a crop x,y,width,height are needed"
        raise WrongLayout(f"line {number} of {path} describes no clip", need)
    group = row.get("source") or Path(row["file"]).stem
    return VideoClip(row["clip"], group, str(path.parent / row["file"]), start, length, step, crop)


def _pictured(place: Path) -> list[Path]:
    return [one for one in walk(place) if len(pictures(one)) > 1] if place.is_dir() else []


def _folder_clip(folder: Path, above: Path) -> PictureClip:
    name = folder.relative_to(above).as_posix() if folder != above else folder.resolve().name
    return PictureClip(name, name.split("/")[0], tuple(pictures(folder)))


def _films(files: list[Path], above: Path, notes: list[str]) -> list[Clip]:
    """Each video file whole; what cannot be read is told in `notes`."""
    counted, broken = lengths(above, files)
    notes += [f"left out: {why}" for why in broken]
    return [
        VideoClip(name, name, str(path), 0, counted[path])
        for path in files
        if path in counted and (name := path.relative_to(above).with_suffix("").as_posix())
    ]


def _parts(line: str, folder: Path) -> list[str]:
    """A line is one path, which may hold blanks, or several pictures."""
    return [line] if (folder / line).exists() else line.split()


def _kind(row: list[Path]) -> tuple[str, str]:
    if len(row) > 1:
        return "row", " ".join(map(str, row))
    if row[0].is_dir():
        return "folder", ""
    is_picture = row[0].suffix.lower() in SUFFIXES
    return ("picture", str(row[0].parent)) if is_picture else ("video", "")


def _of_kind(kind: str, rows: list[list[Path]], above: Path, notes: list[str]) -> list[Clip]:
    if kind == "row":
        return [_row_clip(row, above) for row in rows]
    if kind == "video":
        return [clip for (file,) in rows for clip in _films([file], file.parent, notes)]
    if kind == "folder":
        return [_folder_clip(one, place) for (place,) in rows for one in _pictured(place)]
    paths, folder = tuple(str(row[0]) for row in rows), rows[0][0].parent.name
    return [PictureClip(folder, folder, paths)] if len(paths) > 1 else []


def _row_clip(row: list[Path], above: Path) -> PictureClip:
    first = row[0].relative_to(above) if row[0].is_relative_to(above) else row[0]
    return PictureClip(first.with_suffix("").as_posix(), first.parent.as_posix(), tuple(map(str, row)))


def _about_split(root: Path, place: Path, split: Split) -> tuple[str, ...]:
    if place != root:
        return (f"the split {split} is {place}",)
    return () if split == "train" else (f"{root} has no splits: {split} is all of it",)
