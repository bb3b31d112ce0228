"""A small clip of our own making, with sound, interpolated, and shown as a contact sheet.

The scene is a formula of time, so the frames in between are known exactly and the result can be scored.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from PIL import Image, ImageDraw

from ..errors import CannotWrite
from ..video.doors import open_source
from .config import RenderConfig
from .recipe import Report, render

SIZE: Final = (360, 640)
RATE: Final = 15
FRAMES: Final = 30
TIMES: Final = 4
SOUND_HZ: Final = 48000
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Demo:
    """What the demo made. `psnr` and `psnr_blend` compare the in-between frames with the scene itself, dB."""

    clip: Path
    smooth: Path
    sheet: Path
    psnr: float
    psnr_blend: float
    report: Report


def demo(folder: Path, *, model: str = "default") -> Demo:
    """Make a clip in `folder`, render it `TIMES` times smoother, and draw `contact-sheet.png`.

    Raises:
        CannotWrite: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        need = "a folder that can be written is needed"
        raise CannotWrite(f"{folder}: {error.strerror}", need, "tween demo -o DIR") from error
    clip, smooth, sheet = folder / "clip.mp4", folder / f"clip-x{TIMES}.mp4", folder / "contact-sheet.png"
    make_clip(clip)
    report = render(RenderConfig(clip, smooth, times=TIMES, model=model, overwrite=True))
    shown = {round(frame.pts * RATE * TIMES): np.asarray(frame.data.permute(1, 2, 0)) for frame in open_source(smooth)}
    between = [k for k in shown if k % TIMES]
    draw_sheet(shown, sheet)
    blends = {k: _blend(shown, k) for k in between}
    return Demo(
        clip,
        smooth,
        sheet,
        psnr=float(np.mean([_psnr(shown[k], truth(k)) for k in between])),
        psnr_blend=float(np.mean([_psnr(blends[k], truth(k)) for k in between])),
        report=report,
    )


def make_clip(path: Path) -> None:
    """Write the scene as H.264 with AAC sound: a tone that beeps each time the ball touches the ground."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "10", "preset": "fast"})
        video.height, video.width = SIZE
        video.pix_fmt = "yuv420p"
        video.codec_context.colorspace = 1  # BT.709, and said so
        sound = container.add_stream("aac", rate=SOUND_HZ, layout="mono")
        for k in range(FRAMES):
            picture = av.VideoFrame.from_ndarray(scene(Fraction(k, RATE)), format="rgb24")
            picture = picture.reformat(format="yuv420p", dst_colorspace="itu709")
            picture.colorspace = 1
            picture.pts, picture.time_base = k, Fraction(1, RATE)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        tone = beeps(Fraction(FRAMES, RATE))
        for start in range(0, len(tone), 1024):
            samples = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="fltp", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = SOUND_HZ, start, Fraction(1, SOUND_HZ)
            container.mux(sound.encode(samples))
        container.mux(sound.encode(None))


def truth(k: int) -> Array:
    """The scene at the `k`-th frame of the smooth clip."""
    return scene(Fraction(k, RATE * TIMES))


def scene(when: Fraction) -> Array:
    """uint8 `[H, W, 3]` at `when` seconds: a panning wall, a turning disc, and a ball that bounces before both."""
    t = float(when)
    height, width = SIZE
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    picture = _wall(x + 110 * t, y + 12 * t)
    _paint(picture, _disc(x, y, (200.0, 170.0), 95.0), _spokes(x - 200, y - 170, 0.9 * t))
    ball = (130.0 + 150.0 * t, 300.0 - 90.0 * abs(float(np.sin(np.pi * t / BOUNCE_S))))
    _paint(picture, _disc(x, y, ball, 38.0), _panels(x - ball[0], y - ball[1], 2.0 * t))
    return np.round(picture.clip(0, 1) * 255).astype(np.uint8)


BOUNCE_S: Final = 1.0


def beeps(duration: Fraction) -> Array:
    """float32 samples in [-1, 1]: a short 880 Hz tone at each bounce."""
    t = np.arange(int(duration * SOUND_HZ), dtype=np.float64) / SOUND_HZ
    since = t % BOUNCE_S
    return (0.4 * np.sin(2 * np.pi * 880 * t) * np.exp(-since / 0.04)).astype(np.float32)


def draw_sheet(shown: dict[int, Array], path: Path) -> None:
    """One gap of the smooth clip: what tween shows, the scene itself, a plain blend, and how far each is off."""
    first = TIMES * (FRAMES // 2 - 3)
    columns = list(range(first, first + TIMES + 1))
    ours = [shown[k] for k in columns]
    true = [truth(k) for k in columns]
    blends = [_blend(shown, k) for k in columns]
    rows = [
        ("tween", ours),
        ("truth", true),
        ("blend", blends),
        ("tween, error x4", [_error(a, b) for a, b in zip(ours, true, strict=True)]),
        ("blend, error x4", [_error(a, b) for a, b in zip(blends, true, strict=True)]),
    ]
    height, width = SIZE[0] * 3 // 5, SIZE[1] * 3 // 5
    sheet = Image.new("RGB", (len(columns) * width, len(rows) * height))
    draw = ImageDraw.Draw(sheet)
    for j, (title, pictures) in enumerate(rows):
        for i, picture in enumerate(pictures):
            sheet.paste(
                Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS), (i * width, j * height)
            )
            what = f"{title}   t = {Fraction(i, TIMES)}" + ("  (a source frame)" if i % TIMES == 0 and j == 0 else "")
            draw.rectangle((i * width, j * height, i * width + 7 * len(what), j * height + 15), fill=(0, 0, 0))
            draw.text((i * width + 3, j * height + 2), what, fill=(255, 255, 255))
    sheet.save(path)


def _wall(x: Array, y: Array) -> Array:
    """A fixed texture of smooth noise at several scales, float32 `[H, W, 3]`."""
    random = np.random.default_rng(3)
    picture = np.full((*x.shape, 3), 0.45, dtype=np.float32)
    for cell, strength in ((90.0, 0.30), (34.0, 0.22), (13.0, 0.16), (5.0, 0.10)):
        light, tint = random.uniform(-1, 1, (64, 64, 1)), random.uniform(-1, 1, (64, 64, 3))
        lattice = (0.8 * light + 0.3 * tint).astype(np.float32)
        picture += strength * _noise(lattice, x / cell, y / cell)
    return picture


def _noise(lattice: Array, x: Array, y: Array) -> Array:
    """The lattice's values, smoothly in between; it repeats beyond its edge."""
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    u, v = (w * w * (3 - 2 * w) for w in ((x - left)[..., None], (y - top)[..., None]))
    n = len(lattice)
    corner = [[lattice[(top + j) % n, (left + i) % n] for i in (0, 1)] for j in (0, 1)]
    upper = corner[0][0] + u * (corner[0][1] - corner[0][0])
    lower = corner[1][0] + u * (corner[1][1] - corner[1][0])
    return upper + v * (lower - upper)


def _spokes(x: Array, y: Array, turn: float) -> Array:
    angle, radius = np.arctan2(y, x) + turn, np.hypot(x, y)
    light = 0.5 + 0.3 * np.sin(9 * angle) * np.minimum(radius / 30, 1) + 0.15 * np.sin(radius / 5)
    return np.stack([light, 0.75 * light, 0.25 + 0.4 * light], axis=-1)


def _panels(x: Array, y: Array, turn: float) -> Array:
    """A beach ball: three panels of colour, turning."""
    angle = np.arctan2(y, x) + turn
    panel = 0.5 + 0.5 * np.tanh(6 * np.sin(1.5 * angle))
    light = 1 - 0.35 * np.hypot(x + 10, y + 12) / 40
    return np.stack([light, light * (0.25 + 0.6 * panel), light * (0.15 + 0.1 * panel)], axis=-1)


def _disc(x: Array, y: Array, centre: tuple[float, float], radius: float) -> Array:
    """How much of each pixel the disc covers, in [0, 1]."""
    return np.clip(radius + 0.5 - np.hypot(x - centre[0], y - centre[1]), 0, 1)


def _paint(picture: Array, cover: Array, over: Array) -> None:
    picture += cover[..., None] * (over - picture)


def _blend(shown: dict[int, Array], k: int) -> Array:
    a, t = k - k % TIMES, (k % TIMES) / TIMES
    b = shown.get(a + TIMES, shown[a])
    return np.round((1 - t) * shown[a].astype(np.float32) + t * b).astype(np.uint8)


def _error(a: Array, b: Array) -> Array:
    return np.clip(np.abs(a.astype(np.int16) - b) * 4, 0, 255).astype(np.uint8)


def _psnr(a: Array, b: Array) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2)))
