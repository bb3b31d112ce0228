"""Tiny trees of the true layouts of public sets, made as they are needed: pictures of 16 x 24, each of its own grey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tween.data.flo import write_flo
from tween.data.highspeed import GOPRO_TEST, GOPRO_TRAIN

SIZE = (16, 24)


def picture(path: Path, level: int, size: tuple[int, int] = SIZE) -> Path:
    """A PNG (or JPEG, by its name) of one grey level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), level % 256, np.uint8)).save(path)
    return path


def row(folder: Path, names: list[str], first: int = 0) -> Path:
    """A folder of pictures, grey levels first, first + 1, ..."""
    for k, name in enumerate(names):
        picture(folder / name, first + k)
    return folder


def numbered(folder: Path, count: int, form: str = "{:06d}.png", start: int = 0, first: int = 0) -> Path:
    return row(folder, [form.format(start + k) for k in range(count)], first)


def vimeo90k(root: Path, *, flow: bool = False) -> Path:
    names = {"train": ["00001/0001", "00001/0002", "00002/0001"], "test": ["00003/0007"]}
    for split, rows in names.items():
        for k, name in enumerate(rows):
            row(root / "sequences" / name, ["im1.png", "im2.png", "im3.png"], 10 * k)
            if flow:
                for side in (0, 1):
                    path = root / "flow" / name / f"flow_t{side}.flo"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_flo(path, torch.full((2, *SIZE), float(2 * side - 1)))
        (root / f"tri_{split}list.txt").write_text("\n".join(rows) + "\n\n")
    return root


def septuplets(root: Path) -> Path:
    for split, name in (("train", "00001/0001"), ("test", "00001/0002")):
        row(root / "sequences" / name, [f"im{k}.png" for k in range(1, 8)])
        (root / f"sep_{split}list.txt").write_text(f"{name}\n")
    return root


def gopro(root: Path, layout: str = "flat", frames: int = 20) -> Path:
    """Layouts: flat `<video>/`, split `train/<video>/`, sharp `train/<video>/sharp/` beside `blur/`."""
    for split, videos in (("train", GOPRO_TRAIN), ("test", GOPRO_TEST)):
        for video in videos:
            folder = root / video if layout == "flat" else root / split / video
            if layout == "sharp":
                numbered(folder / "blur", 2, start=1)
                folder = folder / "sharp"
            numbered(folder, frames, start=47)
    return root


def ucf101(root: Path) -> Path:
    for k in (1, 2, 10):
        row(root / "ucf101_interp_ours" / str(k), ["frame_00.png", "frame_01_gt.png", "frame_02.png"], k)
    return root


def snu_film(root: Path, before: str = "test/") -> Path:
    numbered(root / "test" / "GOPRO_test" / "GOPR0384_11_00", 33, start=1)
    for level, step in (("easy", 1), ("medium", 2), ("hard", 4), ("extreme", 8)):
        rows = []
        for first in (1, 1 + 2 * step):
            rows.append(" ".join(f"{before}GOPRO_test/GOPR0384_11_00/{first + k * step:06d}.png" for k in range(3)))
        (root / f"test-{level}.txt").write_text("\n".join(rows) + "\n")
    return root


def middlebury(root: Path, *, folder: str = "other-data", flat: bool = False) -> Path:
    """Three scenes: one of eight frames, one of two, one of two with known motion."""
    for k, (scene, frames) in enumerate((("Beanbags", 8), ("Dimetrodon", 2), ("Venus", 2))):
        start = 7 if frames == 8 else 10
        at = root / (scene if flat else f"{folder}/{scene}")
        row(at, [f"frame{start + i:02d}.png" for i in range(frames)], 20 * k + start)
        picture((at if flat else root / "other-gt-interp" / scene) / "frame10i11.png", 20 * k + 5)
    motion = root / "other-gt-flow" / "Venus" / "flow10.flo"
    motion.parent.mkdir(parents=True)
    field = torch.full((2, *SIZE), 1.5)
    field[:, 0, 0] = torch.nan
    write_flo(motion, field)
    return root


def middlebury_eval(root: Path) -> Path:
    numbered(root / "eval-color-allframes" / "eval-data" / "Army", 8, "frame{:02d}.png", start=7)
    numbered(root / "eval-color-allframes" / "eval-data" / "Teddy", 2, "frame{:02d}.png", start=10)
    return root


def cityscapes(root: Path) -> Path:
    """Aachen has two sequences whose numbers touch; Frankfurt one recording with a jump in its numbers."""
    aachen = root / "leftImg8bit_sequence" / "train" / "aachen"
    for sequence in (0, 1):
        numbered(aachen, 30, f"aachen_{sequence:06d}_{{:06d}}_leftImg8bit.png")
    frankfurt = root / "leftImg8bit_sequence" / "val" / "frankfurt"
    numbered(frankfurt, 60, "frankfurt_000000_{:06d}_leftImg8bit.png", start=275)
    numbered(frankfurt, 30, "frankfurt_000000_{:06d}_leftImg8bit.png", start=557)
    return root


def x4k(root: Path) -> Path:
    numbered(root / "train" / "002" / "occ008.320", 65, "{:04d}.png")
    numbered(root / "train" / "003" / "occ001.100", 65, "{:04d}.png")
    for kind, clip in (("Type1", "TEST01"), ("Type2", "TEST06"), ("Type3", "TEST11")):
        numbered(root / "test" / kind / clip, 33, "{:04d}.png")
    return root
