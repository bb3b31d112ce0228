"""Pictures to look at, of what a live run shows: turned as a player turns them, of 8 bits, as JPEG or PNG."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..evaluate.look import motion_picture, strongest
from ..frame import Frame, VideoInfo
from ..ops.canvas import full_scale
from ..pipeline.gaps import shrunk
from ..pipeline.live import Shown
from ..pipeline.live_stats import Stats


def upright(data: Tensor, info: VideoInfo) -> Tensor:
    """A picture `[3, H, W]` or `[4, H, W]`, uint8 or uint16 -> RGB uint8, turned as the video says."""
    rgb = data[:3]
    if rgb.dtype != torch.uint8:
        rgb = (rgb.int() // (full_scale(rgb.dtype) // 255)).byte()
    turns = info.rotation // 90
    return torch.rot90(rgb, turns, (1, 2)) if turns else rgb


def shape(size: tuple[int, int], info: VideoInfo) -> tuple[int, int]:
    """(H, W) at which frames of `size` are seen: turned, and with square pixels."""
    height, width = size
    seen = height, max(1, round(width * info.sample_aspect))
    return (seen[1], seen[0]) if info.rotation // 90 % 2 else seen


def flow_picture(flow: Tensor) -> Tensor:
    """Motion `[2, H, W]`, pixels -> RGB uint8 `[3, H, W]`: hue is direction, strength length, arrows say both."""
    return motion_picture(flow, strongest(flow))


def image(data: Tensor) -> Image.Image:
    """RGB uint8 `[3, H, W]` -> a Pillow picture."""
    return Image.fromarray(data.permute(1, 2, 0).contiguous().numpy())


def jpeg(data: Tensor, *, quality: int = 85) -> bytes:
    """RGB uint8 `[3, H, W]` -> a JPEG file."""
    file = io.BytesIO()
    image(data).save(file, "JPEG", quality=quality)
    return file.getvalue()


def side_by_side(shown: Shown, info: VideoInfo) -> Tensor:
    """The original on the left, what is shown on the right, of one height -> RGB uint8 `[3, H, W]`."""
    left = shrunk(shown.original, shown.frame.size)
    return torch.cat([upright(left.data, info), upright(shown.frame.data, info)], dim=2)


def save_png(data: Tensor, folder: Path, stem: str) -> Path:
    """Write RGB uint8 `[3, H, W]` into `folder` under the first name that is free; nothing is ever written over."""
    number = 1
    while True:
        path = folder / f"{stem}-{number:04d}.png"
        try:
            with path.open("xb") as file:
                image(data).save(file, "PNG")
            return path
        except FileExistsError:
            number += 1


def words(stats: Stats) -> str:
    """How it goes, in one line: rate, latency, losses, model and size."""
    height, width = stats.size
    latency = "" if stats.latency_ms is None else f"latency {said_latency(stats)}, "
    return (
        f"{stats.fps_out:.1f} of {stats.rate:g} fps, {latency}{stats.dropped} dropped, {stats.late} late, "
        f"{stats.model} at {width}x{height}"
    )


def said_latency(stats: Stats) -> str:
    """The latency in milliseconds; what is shown before its time is so many ahead."""
    assert stats.latency_ms is not None
    ms = round(stats.latency_ms)
    return f"{ms} ms" if ms >= 0 else f"none ({-ms} ms ahead)"


def enlarged(frame: Frame, size: tuple[int, int], pts: Fraction) -> Frame:
    """A frame of the inner size at the full one, for who wants one size throughout."""
    full = shrunk(frame, size)
    return Frame(full.data, pts, full.duration)
