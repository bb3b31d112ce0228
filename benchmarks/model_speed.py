"""How fast a model runs on each backend: milliseconds a gap with one instant in it (x2), and the ratio to eager torch.

    python benchmarks/model_speed.py --models ifrnet-s --size 720,1280

The yardstick is fp32 eager torch as the published code runs it: planar memory, one call of everything for each
output, a sampling grid made anew for each warp. All rows run in one process, in turns, so that what disturbs one
disturbs all; the median is told. Untrained weights, drawn so that flows are some pixels long: speed hangs on nothing
else. CPU milliseconds are told too. On a busy machine compare those, with --threads 1: torch's threads wait for one
another by spinning, and that counts as work.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F

from tween.backends import prepare
from tween.backends.machine import machine
from tween.models import zoo
from tween.models.model import Model
from tween.ops.canvas import Canvas

HALF = torch.tensor([0.5])


Told = dict[str, float | str]


@dataclass
class Row:
    """One model on one backend."""

    model: str
    backend: str
    precision: str
    start_s: float = 0.0
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    db: float = 0.0

    def told(self, eager: Row) -> Told:
        ms, cpu = statistics.median(self.wall_ms), statistics.median(self.cpu_ms)
        return {
            "model": self.model, "backend": self.backend, "precision": self.precision, "ms": ms, "fps": 1000 / ms,
            "ratio": statistics.median(eager.wall_ms) / ms, "cpu_ms": cpu,
            "cpu_ratio": statistics.median(eager.cpu_ms) / cpu, "db": self.db, "start_s": self.start_s,
        }  # fmt: skip


def plain_warp(image: Tensor, flow: Tensor, *, padding: str = "border", mode: str = "bilinear") -> Tensor:
    """A warp as the published code writes it: the whole grid built for every call."""
    batch, _, height, width = flow.shape
    x = torch.linspace(-1, 1, width).view(1, 1, 1, width).expand(batch, -1, height, -1)
    y = torch.linspace(-1, 1, height).view(1, 1, height, 1).expand(batch, -1, -1, width)
    steps = torch.cat((flow[:, :1] / ((width - 1) / 2), flow[:, 1:] / ((height - 1) / 2)), 1)
    grid = (torch.cat((x, y), 1).to(flow) + steps).permute(0, 2, 3, 1)
    return F.grid_sample(image, grid, mode=mode, padding_mode=padding, align_corners=True)


@contextmanager
def published_warp(model: Model) -> Iterator[None]:
    """The model's family, and what it calls, with the plain warp."""
    module = sys.modules[type(model).__module__]
    if not hasattr(module, "backward_warp"):
        yield
        return
    with patch.object(module, "backward_warp", plain_warp):
        yield


def eager(model: Model) -> Callable[[list[Tensor]], Tensor]:
    """The yardstick."""

    def run(frames: list[Tensor]) -> Tensor:
        with torch.inference_mode(), published_warp(model):
            return model(torch.stack(frames, 1), HALF).frame

    return run


def prepared(model: Model, size: tuple[int, int], backend: str, precision: str) -> Callable[[list[Tensor]], Tensor]:
    """A backend, and every verb once a call; frames that stay in the context are embedded once, as in a video."""
    ready = prepare.prepare(model, size, backend=backend, precision=precision, label="benchmark")
    kept: dict[int, object] = {}

    def run(frames: list[Tensor]) -> Tensor:
        newest = len(frames) - 1
        context = [ready.embed(frame) if i == newest or i not in kept else kept[i] for i, frame in enumerate(frames)]
        kept.update(enumerate(context))
        return ready.render(ready.relate(context), HALF)

    return run


def enliven(model: Model, seed: int = 0) -> Model:
    """Weights that move pixels."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, torch.nn.ConvTranspose2d):
            torch.nn.init.normal_(module.weight, std=2 / (4 * module.in_channels) ** 0.5)
    return model.eval()


def pictures(size: tuple[int, int], count: int) -> list[Tensor]:
    """A smooth texture that moves by (5, 3) pixels a frame."""
    height, width = size
    noise = torch.rand(1, 3, height // 16 + 32, width // 16 + 32, generator=torch.Generator().manual_seed(0))
    world = F.interpolate(noise, scale_factor=16, mode="bicubic").clamp(0, 1)
    return [world[..., 3 * k : 3 * k + height, 5 * k : 5 * k + width].contiguous() for k in range(count)]


def measure(name: str, size: tuple[int, int], backends: list[tuple[str, str]], runs: int) -> list[Told]:
    """Rows of one model, the yardstick first."""
    model = enliven(zoo.create(name))
    frames = pictures(Canvas(size, model.spec.multiple).size, len(model.spec.context))
    rows, calls = [Row(name, "eager, as published", "fp32")], [eager(model)]
    for backend, precision in backends:
        begun = time.perf_counter()
        calls.append(prepared(model, size, backend, precision))
        rows.append(Row(name, backend, precision, start_s=time.perf_counter() - begun))
    wanted = calls[0](frames).double()
    for row, call in zip(rows, calls, strict=True):  # warm
        error = ((call(frames).double() - wanted) ** 2).mean()
        row.db = float(-10 * torch.log10(error.clamp(min=1e-20)))
    for _ in range(runs):
        for row, call in zip(rows, calls, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            call(frames)
            row.wall_ms.append(1000 * (time.perf_counter() - wall))
            row.cpu_ms.append(1000 * (time.process_time() - cpu))
    return [row.told(rows[0]) for row in rows]


def table(rows: list[Told]) -> str:
    """Markdown."""
    head = "| model | backend | precision | ms | fps | ratio | CPU ms | CPU ratio | dB to eager | start s |"
    lines = [head, "|---|---|---|--:|--:|--:|--:|--:|--:|--:|"]
    for row in rows:
        lines.append(
            f"| {row['model']} | {row['backend']} | {row['precision']} | {row['ms']:.0f} | {row['fps']:.2f} "
            f"| {row['ratio']:.2f} | {row['cpu_ms']:.0f} | {row['cpu_ratio']:.2f} | {row['db']:.0f} "
            f"| {row['start_s']:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["ifrnet-s"])
    parser.add_argument("--size", default="720,1280", help="H,W")
    parser.add_argument("--backends", nargs="+", default=["torch:fp32", "openvino:auto"], help="BACKEND:PRECISION")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, help="torch's threads; all by default")
    parser.add_argument("--json", help="write the rows to this file")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    size = tuple(int(side) for side in args.size.split(","))
    backends = [(name, number or "auto") for name, _, number in (text.partition(":") for text in args.backends)]
    rows = [row for name in args.models for row in measure(name, (size[0], size[1]), backends, args.runs)]
    found = machine()
    print(
        f"{found.cpu}, {found.cores} threads, {' '.join(found.features)}; {size[1]}x{size[0]}, x2, {args.runs} runs\n"
    )
    print(table(rows))
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"machine": asdict(found), "size": size, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
