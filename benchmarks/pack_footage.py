"""Footage made small enough to travel to a machine that trains: every listed clip, each in a file of its own.

    python benchmarks/pack_footage.py ../shared/data/train -o footage [--side 432] [--crf 20] [--megabytes 46] [...]

Of each row of MANIFEST.tsv the listed frames are read, shrunk (quality B by 3/4, C by 1/2, where the codec has left
nothing of the finest detail; then to `--side` pixels on the shorter side at most) and coded anew in HEVC. Written are
footage/1, footage/2, ... of so many megabytes each, each with a MANIFEST.tsv of its own that keeps the attribution:
`tween train --data.root footage/1` reads one, `--data.root footage` (the manifest beside them) all.
"""

from __future__ import annotations

import argparse
import csv
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from tween.data.sets import open_set

SHRINK = {"A": 1.0, "B": 0.75, "C": 0.5}
QUIET = {"x265-params": "log-level=none"}
Pictures = list[NDArray[np.uint8]]  # [H, W, 3] each
ATTRIBUTION = ("kind", "split", "source", "shot", "quality", "repo", "path", "licence", "licence_evidence")
COLUMNS = ("clip", "file", "start", "frames", "step", "width", "height", "crop", "fps", *ATTRIBUTION, "processing")


def shrunk(pictures: Pictures, factor: float, side: int) -> Pictures:
    """Pictures times `factor` or down to `side`, whichever is less, with even sides."""
    height, width = pictures[0].shape[:2]
    factor = min(factor, side / min(height, width))
    size = tuple(2 * max(1, round(pixels * factor / 2)) for pixels in (width, height))
    return [cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pictures]  # type: ignore[misc]


def coded(pictures: Pictures, path: Path, rate: Fraction, crf: int, preset: str) -> None:
    """A video file of them."""
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx265", rate=rate, options={"crf": str(crf), "preset": preset, **QUIET})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))


def written(rows: list[dict[str, str]], path: Path) -> None:
    """A manifest."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, delimiter="\t", extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--side", type=int, default=432)
    parser.add_argument("--crf", type=int, default=20)
    parser.add_argument("--preset", default="medium", help="x265's: ultrafast for footage that need not be small")
    parser.add_argument("--megabytes", type=float, default=46)
    parser.add_argument("--limit", type=int, help="so many clips, for a try")
    options = parser.parse_args()
    with (options.root / "MANIFEST.tsv").open() as file:
        listed = {row["clip"]: row for row in csv.DictReader(file, delimiter="\t")}
    part, filled, rows, whole = 1, 0, [], []
    for clip in open_set("video", options.root, "train").clips[: options.limit]:
        row = listed[clip.name]
        folder = options.output / str(part)
        folder.mkdir(parents=True, exist_ok=True)
        pictures = [picture.permute(1, 2, 0).numpy() for picture in clip.read(range(clip.length))]
        small = shrunk(pictures, SHRINK[row["quality"][:1]], options.side)
        path = folder / f"{clip.name}.mp4"
        coded(small, path, Fraction(row["fps"] or 25).limit_denominator(1001), options.crf, options.preset)
        height, width = small[0].shape[:2]
        done = f"{row['processing']}; then {width}x{height}, HEVC, CRF {options.crf}"
        now = {"file": path.name, "start": "0", "step": "1", "crop": "", "width": str(width), "height": str(height)}
        rows.append({**row, **now, "frames": str(clip.length), "processing": done})
        whole.append({**rows[-1], "file": f"{part}/{path.name}"})
        written(rows, folder / "MANIFEST.tsv")
        written(whole, options.output / "MANIFEST.tsv")
        filled += path.stat().st_size
        print(f"{path}  {clip.length} frames  {width}x{height}  {path.stat().st_size / 1e6:.2f} MB", flush=True)
        if filled > 1e6 * (options.megabytes - 1):
            part, filled, rows = part + 1, 0, []


if __name__ == "__main__":
    main()
