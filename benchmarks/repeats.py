"""How well repeated drawings are found, and what `--repeats retime` gains.

    python benchmarks/repeats.py --root ../shared/data/dev [--model dis] [--clips 20]

Gain: every fourth frame of a clip becomes a drawing, shown twice at half the clip's rate (animation on twos), and is
rendered with --times 2. That gives one frame for each of the clip's own, which are the truth. PSNR is a mean over the
frames that are no drawing; `blend`ed pixels count as any others.

Threshold: clips on twos are written with H.264 and read back. `change` of what is a repeat, and of what is not.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import torch
import torch.nn.functional as F

from tween.backends.prepare import prepare
from tween.frame import Frame
from tween.metrics.image import psnr
from tween.models import zoo
from tween.ops.canvas import to_float
from tween.pipeline.interpolator import Interpolator
from tween.pipeline.repeats import RepeatDetector, change
from tween.timeline import Times
from tween.video.cuts import CutDetector
from tween.video.doors import open_source

HOLD = 2  # frames a drawing is shown for
STEP = 4  # frames of the clip from drawing to drawing
CEILING_DB = 60.0  # what a frame counts that is right to the bit


def clips(root: Path, count: int, frames: int, width: int) -> Iterator[tuple[str, list[torch.Tensor]]]:
    """(name, uint8 `[3, H, W]` each): the first frames of each file, scaled to a width, in even sizes."""
    files = sorted(file for file in root.iterdir() if file.suffix in (".mp4", ".webm", ".mkv"))
    for file in files[:count]:
        with open_source(file) as source:
            whole = [frame.data for _, frame in zip(range(frames), source, strict=False)]
        height = round(whole[0].shape[1] * width / whole[0].shape[2] / 2) * 2
        scaled = (F.interpolate(data[None].float(), (height, width), mode="area")[0] for data in whole)
        yield file.stem, [picture.round().to(torch.uint8) for picture in scaled]


def gain(model: str, drawn: list[torch.Tensor]) -> tuple[float, float, int]:
    """PSNR plain and retimed, dB, and the drawings' repeats that were found."""
    drawings = [drawn[k] for k in range(0, len(drawn), STEP)]
    shown = [Frame(data.clone(), Fraction(k)) for k, data in enumerate(d for d in drawings for _ in range(HOLD))]
    backend = prepare(zoo.load(model), shown[0].size, device="cpu")
    found = []
    repeats = 0
    for detector in (None, RepeatDetector()):
        one = Interpolator(backend, Times(HOLD), CutDetector(), repeats=detector)
        scores = []
        for k, frame in enumerate(one(iter(shown))):
            if k % STEP and k < len(drawn):
                a, b = (to_float(data).unsqueeze(0) for data in (frame.data, drawn[k]))
                scores.append(min(float(psnr(a, b)), CEILING_DB))
        found.append(float(np.mean(scores)))
        repeats = one.tally.repeats
    return found[0], found[1], repeats


def changes(drawn: list[torch.Tensor], crf: int) -> tuple[list[float], list[float]]:
    """`change` of repeats and of new drawings, on twos, through H.264."""
    shown = [data for data in drawn for _ in range(HOLD)]
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": str(crf), "preset": "veryfast"})
        stream.height, stream.width = shown[0].shape[1:]
        stream.pix_fmt = "yuv420p"
        for data in shown:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(data.permute(1, 2, 0).numpy(), format="rgb24")))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        rows = [picture.to_ndarray(format="rgb24") for picture in container.decode(video=0)]
    frames = [Frame(torch.from_numpy(row).permute(2, 0, 1).contiguous(), Fraction(k)) for k, row in enumerate(rows)]
    apart = [change(a, b) for a, b in pairwise(frames)]
    return apart[::2], apart[1::2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("../shared/data/dev"))
    parser.add_argument("--model", default="dis")
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--frames", type=int, default=33)
    parser.add_argument("--width", type=int, default=480)
    args = parser.parse_args()
    gains, same, other = [], {18: [], 23: [], 28: []}, {18: [], 23: [], 28: []}
    for name, drawn in clips(args.root, args.clips, args.frames, args.width):
        plain, retimed, repeats = gain(args.model, drawn)
        gains.append((plain, retimed))
        print(
            f"{name:28} plain {plain:6.2f} dB   retime {retimed:6.2f} dB   {retimed - plain:+5.2f}   {repeats} repeats"
        )
        for crf in same:
            a, b = changes(drawn[:16], crf)
            same[crf] += a
            other[crf] += b
    plain, retimed = np.mean(gains, axis=0)
    print(f"mean of {len(gains)} clips: plain {plain:.2f}, retime {retimed:.2f}: {retimed - plain:+.2f} dB")
    for crf in same:
        print(f"crf {crf}: repeats {_spread(same[crf])}   new drawings {_spread(other[crf])}")


def _spread(values: list[float]) -> str:
    return "  ".join(f"{q} %: {np.percentile(values, q):.2f}" for q in (0, 1, 5, 50, 95, 99, 100))


if __name__ == "__main__":
    main()
