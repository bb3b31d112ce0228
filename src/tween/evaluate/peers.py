"""Whom models are held against: the published way of running them, and other programs on this machine."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional as F

from ..ops.canvas import Canvas
from . import memory
from .speed import REAL, Clock, Lap, Runner
from .subjects import Subject, pictures

GAPS: Final = 8  # that a program is given beyond its first two frames
RIFE: Final = "rife-ncnn-vulkan"


def eager(one: Subject, size: tuple[int, int], device: str = "cpu") -> Runner:
    """fp32 eager torch as the published code runs it: planar memory, one call of everything for each output, a
    sampling grid made anew for each warp."""
    with memory.growth() as grown:
        begun = REAL.wall()
        model = one.model if device == "cpu" else copy.deepcopy(one.model).to(device)
        frames = pictures(Canvas(size, model.spec.multiple).size, len(model.spec.context))
        t = torch.tensor([1.0 if model.spec.predicts else 0.5], device=device)

        def shown() -> Tensor:
            with torch.inference_mode(), published_warp():
                given = torch.stack(frames, 1).to(device)
                made: Tensor = model(given, t).frame
                return made.to("cpu")

        shown()
        start_s = REAL.wall() - begun
    return Runner(
        name=one.name,
        backend="eager, as published",
        precision="fp32",
        device=device,
        lap=_whole(shown),
        weights=one.weights,
        shown=shown,
        is_midpoint=True,  # it keeps nothing of a gap
        start_s=start_s,
        peak_memory_mb=grown.mb,
    )


def _whole(work: Callable[[], Any]) -> Callable[[Clock], Lap]:
    def lap(clock: Clock) -> Lap:
        cpu, begun = clock.cpu(), clock.wall()
        work()
        return Lap(clock.wall() - begun, clock.cpu() - cpu)

    return lap


def plain_warp(image: Tensor, flow: Tensor, *, padding: str = "border", mode: str = "bilinear") -> Tensor:
    """`ops.warp.backward_warp` as published code writes it: the whole grid built for every call."""
    batch, _, height, width = flow.shape
    x = torch.linspace(-1, 1, width).view(1, 1, 1, width).expand(batch, -1, height, -1)
    y = torch.linspace(-1, 1, height).view(1, 1, height, 1).expand(batch, -1, -1, width)
    steps = torch.cat((flow[:, :1] / ((width - 1) / 2), flow[:, 1:] / ((height - 1) / 2)), 1)
    grid = (torch.cat((x, y), 1).to(flow) + steps).permute(0, 2, 3, 1)
    return F.grid_sample(image, grid, mode=mode, padding_mode=padding, align_corners=True)


@contextmanager
def published_warp() -> Iterator[None]:
    """Every network with the plain warp, for the length of a block."""
    models = [m for name, m in list(sys.modules.items()) if ".models." in name and hasattr(m, "backward_warp")]
    with ExitStack() as stack:
        for module in models:
            stack.callback(setattr, module, "backward_warp", module.backward_warp)
            module.backward_warp = plain_warp  # type: ignore[attr-defined]
        yield


def programs(size: tuple[int, int]) -> list[Runner]:
    """The programs that are on PATH, fed with the same texture; none is started here."""
    found = []
    if shutil.which("ffmpeg"):
        found.append(_program("ffmpeg minterpolate (mci)", "ffmpeg", size, _minterpolate))
    if shutil.which(RIFE):
        found.append(_program(RIFE, RIFE, size, _rife))
    return found


def _program(name: str, backend: str, size: tuple[int, int], run: Callable[[Sequence[Tensor]], None]) -> Runner:
    """Time a gap: what `GAPS` more frames take beyond two, so that a program's start does not count."""
    frames = [(255 * picture[0]).round().byte() for picture in pictures(size, GAPS + 2)]

    def lap(clock: Clock) -> Lap:
        marks = [clock.wall()]
        for count in (2, GAPS + 2):
            run(frames[:count])
            marks.append(clock.wall())
        return Lap(max(1e-6, (marks[2] - marks[1] - (marks[1] - marks[0])) / GAPS), 0.0)

    return Runner(name, backend, "", "cpu" if backend == "ffmpeg" else "vulkan", lap, is_midpoint=True)


def _minterpolate(frames: Sequence[Tensor]) -> None:
    height, width = frames[0].shape[1:]
    line = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "30"]
    line += ["-i", "-", "-vf", "format=yuv420p,minterpolate=mi_mode=mci:scd=none:fps=60", "-f", "null", "-"]
    sent = b"".join(frame.permute(1, 2, 0).contiguous().numpy().tobytes() for frame in frames)
    subprocess.run(line, input=sent, check=True, capture_output=True)


def _rife(frames: Sequence[Tensor]) -> None:
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "in"), Path(folder, "out")
        source.mkdir()
        made.mkdir()
        for k, frame in enumerate(frames):
            Image.fromarray(frame.permute(1, 2, 0).contiguous().numpy()).save(source / f"{k:08d}.png", compress_level=1)
        subprocess.run([RIFE, "-i", str(source), "-o", str(made)], check=True, capture_output=True)
