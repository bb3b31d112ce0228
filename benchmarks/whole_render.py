"""A whole render, as a user runs it: peak memory against length, and how much of the wall time the model has.

    python benchmarks/whole_render.py --frames 200 2000 --model blend
    python benchmarks/whole_render.py --frames 60 --model dis

The clip is generated: 1280x720, a moving texture, H.264. Each render is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import numpy as np


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--model", nargs="+", default=["blend"])
    parser.add_argument("--size", type=int, nargs=2, default=(720, 1280), metavar=("H", "W"))
    args = parser.parse_args()
    print("| model | frames in | frames out | seconds | fps out | in the model | peak memory, MB |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for frames in args.frames:
            clip = make(Path(folder) / f"{frames}.mp4", frames, tuple(args.size))
            for model in args.model:
                told = render(clip, model)
                print(
                    f"| {model} | {told['frames_in']} | {told['frames_out']} "
                    f"| {told['seconds']:.1f} | {told['fps']:.1f} | {told['model_share']:.1%} "
                    f"| {told['peak_memory_mb']:.0f} |",
                    flush=True,
                )
    return 0


def render(clip: Path, model: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tween", "interpolate", str(clip), "--times", "2", "--model", model]
    done = subprocess.run([*command, "--overwrite", "--json"], capture_output=True, text=True, check=True)
    told: dict[str, float] = json.loads(done.stdout)
    return told


def make(path: Path, frames: int, size: tuple[int, int]) -> Path:
    """A texture that slides 3 pixels a frame, there and back."""
    height, width = size
    random = np.random.default_rng(0)
    small = random.integers(40, 216, (height // 8 + 1, width // 4, 3), dtype=np.uint8)
    wall = np.kron(small, np.ones((8, 8, 1), dtype=np.uint8))[:height]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        span = wall.shape[1] - width
        for k in range(frames):
            x = abs((3 * k + span) % (2 * span) - span)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(wall[:, x : x + width], format="rgb24")))
        container.mux(stream.encode(None))
    return path


if __name__ == "__main__":
    sys.exit(main())
