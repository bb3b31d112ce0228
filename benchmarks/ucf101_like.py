"""A set in UCF101's layout, made of crops of real clips: small triplets by the hundred, to time an evaluation with.

    python benchmarks/ucf101_like.py --root CLIPS -o DIR [--count 379]
    tween evaluate dis --set ucf101 --root DIR
    python benchmarks/ucf101_like.py -o DIR --time dis       what an evaluation takes beyond its model

CLIPS holds videos and a MANIFEST.tsv. Triplets are spread evenly over its clips: three frames in a row, the middle
256x256 of each, as `DIR/ucf101_interp_ours/<n>/frame_00.png, frame_01_gt.png, frame_02.png`.

The time: the set in parts of 127 triplets; of each part the model alone (pictures in memory, nothing scored), then the
whole evaluation of it (reading, PSNR and SSIM too), in turns, so that both meet the same moods of the machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tween.data.sets import open_set
from tween.evaluate.engine import Prepared
from tween.evaluate.pictures import centre
from tween.evaluate.protocols import protocol_of
from tween.evaluate.score import score
from tween.models import zoo
from tween.ops.canvas import to_float

NAMES = ("frame_00.png", "frame_01_gt.png", "frame_02.png")
SIDE = 256
PART = 127  # triplets


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


def timed(root: Path, name: str, rounds: int) -> None:
    """Seconds of the model alone and of an evaluation, wall and CPU, over the whole set; the ratio of each round."""
    model = zoo.load(name)
    engine, rule, data = Prepared(model, name), protocol_of("ucf101"), open_set("ucf101", root, "test")
    parts = [replace(data, clips=data.clips[k : k + PART]) for k in range(0, len(data.clips), PART)]
    for number in range(1, rounds + 1):
        sums = np.zeros(4)
        for part in parts:
            frames = [[to_float(frame).unsqueeze(0) for frame in clip.read([0, 2])] for clip in part.clips]
            alone = clocked(lambda frames=frames: rendered(engine, frames))
            whole = clocked(lambda part=part: score(engine, part, rule))
            sums += np.array([*alone, *whole])
        told = "alone {:.2f} s (CPU {:.2f}), evaluated {:.2f} s (CPU {:.2f})".format(*sums)
        print(f"round {number}: {told}: {sums[2] / sums[0]:.2f} (CPU {sums[3] / sums[1]:.2f})", flush=True)


def rendered(engine: Prepared, pairs: list[list[torch.Tensor]]) -> None:
    for first, last in pairs:
        backend = engine.backend_for(tuple(first.shape[2:]))
        backend.render(backend.relate([backend.embed(first), backend.embed(last)]), torch.tensor([0.5]))


def clocked(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the wall and of the CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--root", type=Path, help="folder of clips and MANIFEST.tsv: make the set")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--time", metavar="MODEL", help="time an evaluation of this model on the set")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=379)
    options = parser.parse_args()
    if options.root:
        write(options.root, options.out, options.count)
    if options.time:
        timed(options.out, options.time, options.rounds)
