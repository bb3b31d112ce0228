"""Every network of the zoo on a real clip: the whole render on torch and on OpenVINO, and how far the two agree.

    python benchmarks/every_model.py --clip ../shared/data/dev/ax_london240.mp4 [--only rife-4.21,lift-15] [--json FILE]

Networks without trained weights of their own run with random ones (a render is a render; its beauty is not asked
for). For each: `tween interpolate --times 2` or `tween predict` to ffv1 on both backends; the frames written are
compared (8 bits: greatest step, share of values that differ), and the float pictures of one gap are (dB).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch

from tween.backends.prepare import prepare
from tween.models import zoo
from tween.models.weights import write
from tween.ops.canvas import Canvas, to_float
from tween.pipeline.config import PredictConfig, RenderConfig
from tween.pipeline.recipe import predict, render
from tween.video.doors import open_source


def rendered(file: Path, name: str, clip: Path, end: str, out: Path, backend: str) -> list[torch.Tensor]:
    """The frames that the command line writes, uint8 `[3, H, W]`."""
    options = {"model": str(file), "backend": backend, "codec": "ffv1", "end": end, "overwrite": True}
    if zoo.signature(name).spec.predicts:
        predict(PredictConfig(clip, out, **options))
    else:
        render(RenderConfig(clip, out, times=2, **options))
    with open_source(out) as source:
        return [frame.data for frame in source]


def float_agreement(file: Path, clip: Path) -> float:
    """dB between the two backends' float pictures at t = 1/2 (or 1, predicting) of the clip's first whole context."""
    model = zoo.load(str(file))
    spec = model.spec
    with open_source(clip) as source:
        frames = [frame for frame, _ in zip(source, range(max(4, len(spec.context))), strict=False)]
    canvas = Canvas(frames[0].size, spec.multiple)
    places = [min(max(k - min(spec.context[0], 0), 0), len(frames) - 1) for k in spec.context]
    t = torch.tensor([1.0 if spec.predicts else 0.5])
    pictures = []
    for kind in ("torch", "openvino"):
        backend = prepare(model, canvas.frame_size, backend=kind, precision="fp32")
        scene = backend.relate([backend.embed(canvas.enter(frames[i])) for i in places])
        pictures.append(canvas.crop(torch.as_tensor(backend.render(scene, t))).double())
    error = ((pictures[0] - pictures[1]) ** 2).mean()
    return float(-10 * torch.log10(error.clamp_min(1e-30)))


def measured(name: str, clip: Path, end: str, folder: Path) -> dict[str, object]:
    """One network's row."""
    torch.manual_seed(5)
    file = folder / f"{name}.safetensors"
    write(zoo.create(name).state_dict(), file, name=name)
    ours = rendered(file, name, clip, end, folder / "torch.mkv", "torch")
    theirs = rendered(file, name, clip, end, folder / "openvino.mkv", "openvino")
    assert len(ours) == len(theirs), f"{name}: {len(ours)} frames on torch, {len(theirs)} on openvino"
    apart = [(to_float(a) - to_float(b)).abs() * 255 for a, b in zip(ours, theirs, strict=True)]
    return {
        "frames": len(ours),
        "step": round(max(float(a.max()) for a in apart), 2),
        "differ": max(float((a > 0).float().mean()) for a in apart),
        "db": round(float_agreement(file, clip), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--end", default="0.05", help="render up to this second")
    parser.add_argument("--only", default="", help="names, with commas between")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    table = {}
    print("| network | frames | greatest 8-bit step | values that differ | float agreement, dB | s |")
    print("|---|---|---|---|---|---|")
    for name in options.only.split(",") if options.only else zoo.networks():
        began = time.perf_counter()
        try:
            with tempfile.TemporaryDirectory() as folder:
                row = measured(name, options.clip, options.end, Path(folder))
        except Exception as error:  # one network's failure is a row, not the end of the table
            row = {"error": f"{type(error).__name__}: {error}"}
        table[name] = row
        print(
            f"| {name} | " + " | ".join(str(v) for v in row.values()) + f" | {time.perf_counter() - began:.0f} |",
            flush=True,
        )
        if options.json:
            options.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
