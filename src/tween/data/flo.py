"""Motion fields on disk: the .flo files of Middlebury and of flow labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import BrokenPicture

TAG = b"PIEH"  # 202021.25 as a little-endian float32: the format's own check of its byte order
UNKNOWN = 1e9  # the format: a larger motion means that none is known there


def read_flo(path: str | Path) -> Tensor:
    """A .flo file as float32 `[2, H, W]`: x (right), then y (down), pixels. NaN where no motion is known.

    The format is Middlebury's (vision.middlebury.edu/flow/code/flow-code/README.txt): the tag, width and height as
    int32, then x and y of each pixel, row by row, all little-endian.

    Raises:
        BrokenPicture: missing, cut short, or no such file.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise _broken(path, error.strerror or str(error)) from error
    if len(content) < 12 or content[:4] != TAG:
        raise _broken(path, "it does not begin as a .flo file does")
    width, height = (int(n) for n in np.frombuffer(content, "<i4", 2, offset=4))
    if width <= 0 or height <= 0 or len(content) < 12 + 8 * width * height:
        raise _broken(path, f"{len(content)} bytes are too few for {width}x{height}")
    rows = np.frombuffer(content, "<f4", 2 * width * height, offset=12).reshape(height, width, 2)
    motion = torch.from_numpy(rows.transpose(2, 0, 1).astype(np.float32))  # a copy in this machine's byte order
    return torch.where(motion.abs() > UNKNOWN, torch.nan, motion)


def write_flo(path: str | Path, motion: Tensor) -> None:
    """Write `[2, H, W]` float32 pixels as a .flo file; NaN is written as unknown.

    Raises:
        OSError: as writing does.
    """
    rows = torch.nan_to_num(motion.detach().cpu().float(), nan=2 * UNKNOWN).permute(1, 2, 0).contiguous().numpy()
    size = np.array([rows.shape[1], rows.shape[0]], "<i4").tobytes()
    Path(path).write_bytes(TAG + size + rows.astype("<f4").tobytes())


def _broken(path: str | Path, why: str) -> BrokenPicture:
    return BrokenPicture(f"the motion in {path} cannot be read ({why})", "a whole .flo file is needed")
