"""A set in UCF101's layout, made of crops of real clips: small triplets by the hundred, to time an evaluation with.

    python benchmarks/ucf101_like.py --root CLIPS -o DIR [--count 379]
    tween evaluate dis --set ucf101 --root DIR

CLIPS holds videos and a MANIFEST.tsv. Triplets are spread evenly over its clips: three frames in a row, the middle
256x256 of each, as `DIR/ucf101_interp_ours/<n>/frame_00.png, frame_01_gt.png, frame_02.png`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from tween.data.sets import open_set
from tween.evaluate.pictures import centre

NAMES = ("frame_00.png", "frame_01_gt.png", "frame_02.png")
SIDE = 256


def write(root: Path, out: Path, count: int) -> None:
    """`count` triplets of the clips of `root`, as many of each clip as of every other, or one more."""
    clips = open_set("video", root, "test").clips
    number = 0
    for index, clip in enumerate(clips):
        share = count * (index + 1) // len(clips) - count * index // len(clips)
        room = clip.length - 2
        for k in range(share):
            number += 1
            place = k * room // share
            folder = out / "ucf101_interp_ours" / str(number)
            folder.mkdir(parents=True, exist_ok=True)
            for name, picture in zip(NAMES, clip.read([place, place + 1, place + 2]), strict=True):
                Image.fromarray(centre(picture, (SIDE, SIDE)).permute(1, 2, 0).numpy()).save(folder / name)
    print(f"{number} triplets in {out}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--root", type=Path, required=True, help="folder of clips and MANIFEST.tsv")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=379)
    options = parser.parse_args()
    write(options.root, options.out, options.count)
