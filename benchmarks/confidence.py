"""What stillness and confidence are worth: frames left out of real clips, rendered again, against what they were.

    python benchmarks/confidence.py --root ../shared/data/dev [--model dis] [--steps 2 4 8 16] --json FILE

For each gap of `step` frames the middle is rendered. Rows: PSNR of the model's frame, of the same with what rests kept
(also under a burnt-in logo and subtitle), of a blend and of the nearer frame; and the confidence, which knows nothing
of the truth.
"""

from __future__ import annotations

import argparse
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from tween.backends.prepare import prepare
from tween.frame import Frame
from tween.metrics.image import psnr
from tween.models import zoo
from tween.ops.canvas import Canvas, to_float
from tween.pipeline.confidence import Stillness, matched
from tween.video.cuts import CutDetector
from tween.video.doors import open_source

HALF = Fraction(1, 2)


def decibels(a: torch.Tensor, b: torch.Tensor) -> float:
    return min(60.0, float(psnr(to_float(a).unsqueeze(0), to_float(b).unsqueeze(0))))


def burnt_in(size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """A logo and a line of subtitles: uint8 `[3, H, W]`, and where they are, bool `[H, W]`."""
    height, width = size
    image, mask = Image.new("RGB", (width, height)), Image.new("L", (width, height))
    for picture, ink in ((image, ((20, 120, 220), (250, 250, 240))), (mask, (255, 255))):
        draw = ImageDraw.Draw(picture)
        draw.ellipse((width - 70, 12, width - 20, 62), fill=ink[0])
        draw.text((width - 60, 30), "TWEEN", fill=ink[1])
        draw.text((width // 4, height - 30), "And what lies in between? Nobody knows.", fill=ink[1], font_size=18)
    data = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)
    return data, torch.from_numpy(np.asarray(mask) > 128)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("../shared/data/dev"))
    parser.add_argument("--model", default="dis")
    parser.add_argument("--steps", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--gaps", type=int, default=3)
    parser.add_argument("--width", type=int, default=480)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    model, rows = zoo.load(args.model), []
    for file in sorted(f for f in args.root.iterdir() if f.suffix in (".mp4", ".webm", ".mkv")):
        with open_source(file) as source:
            limit = max(args.steps) * args.gaps + 1
            whole = [frame.data for _, frame in zip(range(limit), source, strict=False)]
        height = round(whole[0].shape[1] * args.width / whole[0].shape[2] / 2) * 2
        frames = [
            F.interpolate(d[None].float(), (height, args.width), mode="area")[0].round().to(torch.uint8) for d in whole
        ]
        overlay, where = burnt_in((height, args.width))
        backend = prepare(model, (height, args.width), device="cpu")
        canvas = Canvas((height, args.width), model.spec.multiple)

        def middle(a: Frame, b: Frame) -> Frame:
            scene = backend.relate([backend.embed(canvas.enter(frame)) for frame in (a, b)])  # noqa: B023
            return canvas.leave(backend.render(scene, torch.tensor([0.5])), HALF, a)  # noqa: B023

        for step in args.steps:
            for k in range(0, min(args.gaps * step, len(frames) - step), step):
                a, b = Frame(frames[k], Fraction(0)), Frame(frames[k + step], Fraction(1))
                truth = frames[k + step // 2]
                made = middle(a, b)
                kept = Stillness(a, b).kept(made)
                mixed = ((a.data.int() + b.data.int()) // 2).to(torch.uint8)
                row = {
                    "clip": file.stem, "step": step, "cut": CutDetector().between(a, b),
                    "made": decibels(made.data, truth), "kept": decibels(kept.data, truth),
                    "blend": decibels(mixed, truth), "hold": decibels(b.data, truth), **matched(a, b).__dict__,
                }  # fmt: skip
                first, last = (Frame(torch.where(where, overlay, f.data), f.pts) for f in (a, b))
                under = middle(first, last)
                over = Stillness(first, last).kept(under)
                for name, frame in (("logo_made", under), ("logo_kept", over)):
                    wrong = (frame.data.float() - overlay.float()).abs().amax(0)[where]
                    row[name] = float(wrong.mean())
                    row[f"{name}_exact"] = float((wrong == 0).float().mean())
                rows.append(row)
    if args.json:
        args.json.write_text(json.dumps(rows))
    for step in args.steps:
        some = [row for row in rows if row["step"] == step]
        names = (
            "made",
            "kept",
            "blend",
            "hold",
            "confidence",
            "logo_made",
            "logo_made_exact",
            "logo_kept",
            "logo_kept_exact",
        )
        print(f"step {step}, {len(some)} gaps:", *(f"{n} {np.mean([r[n] for r in some]):.3f}" for n in names))


if __name__ == "__main__":
    main()
