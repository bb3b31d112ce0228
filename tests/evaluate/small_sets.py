"""Small trees of pictures in the layouts of published sets, for every test of an evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def texture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """A smooth random picture, uint8 `[H, W, 3]`, larger than asked for by 64 pixels to be moved in."""
    coarse = np.random.default_rng(seed).integers(0, 256, (size[0] // 8 + 9, size[1] // 8 + 9, 3), dtype=np.uint8)
    wide = (size[1] + 64, size[0] + 64)
    return np.asarray(Image.fromarray(coarse).resize(wide, Image.Resampling.BICUBIC))


def moving(size: tuple[int, int], count: int, *, seed: int = 0, step: int = 2) -> list[np.ndarray]:
    """`count` frames `[H, W, 3]` of a texture that moves by `step` pixels a frame."""
    large = texture(size, seed)
    return [large[16 : 16 + size[0], k * step : k * step + size[1]] for k in range(count)]


def save(picture: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(picture)).save(path)
    return path


def ucf101(root: Path, count: int = 3, size: tuple[int, int] = (48, 64)) -> list[list[np.ndarray]]:
    """`ucf101_interp_ours/<n>/frame_00.png, frame_01_gt.png, frame_02.png`."""
    triplets = [moving(size, 3, seed=n, step=1 + n) for n in range(count)]
    for n, triplet in enumerate(triplets, 1):
        for name, picture in zip(("frame_00", "frame_01_gt", "frame_02"), triplet, strict=True):
            save(picture, root / "ucf101_interp_ours" / str(n) / f"{name}.png")
    return triplets


def folders(root: Path, lengths: tuple[int, ...], size: tuple[int, int] = (32, 40)) -> list[list[np.ndarray]]:
    """`clip-a/000.png` and on: one folder of pictures a clip."""
    clips = [moving(size, length, seed=n) for n, length in enumerate(lengths)]
    for n, clip in enumerate(clips):
        for k, picture in enumerate(clip):
            save(picture, root / f"clip-{'abcdef'[n]}" / f"{k:03d}.png")
    return clips


def middlebury(root: Path, sizes: tuple[tuple[int, int], ...] = ((38, 42), (48, 64))) -> list[list[np.ndarray]]:
    """`other-data/<scene>/frame10.png, frame11.png`, `other-gt-interp/<scene>/frame10i11.png`."""
    scenes = [moving(size, 3, seed=n) for n, size in enumerate(sizes)]
    for n, (first, middle, last) in enumerate(scenes):
        save(first, root / "other-data" / f"Scene{n}" / "frame10.png")
        save(last, root / "other-data" / f"Scene{n}" / "frame11.png")
        save(middle, root / "other-gt-interp" / f"Scene{n}" / "frame10i11.png")
    return scenes


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """dB of two pictures in 0..255, by numpy alone; 100 where they are equal."""
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return 100.0 if error == 0 else float(10 * np.log10(255**2 / error))
