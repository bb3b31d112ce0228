"""Small films of a few shots, each a texture that slides at its own speed."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np


def film(
    path: Path, *, shots: int = 4, frames: int = 16, lengths=(), size=(48, 64), seed: int = 0, speed: float = 3.0
) -> Path:
    """A film of `shots` shots of `frames` frames each, or of shots of the `lengths`."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(24))
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.options = {"crf": "8", "preset": "ultrafast"}
        for shot, length in enumerate(lengths or [frames] * shots):
            for picture in sliding(rng, shot, length, size, speed):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def sliding(rng, shot, frames, size, speed):
    """The pictures of one shot, uint8 `[H, W, 3]`."""
    cells = rng.uniform(0, 255, (16, 40, 3)).astype(np.float32)
    wall = cv2.resize(cells, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    wall = wall * 0.6 + (20 if shot % 2 else 90)
    for k in range(frames):
        shift = np.float32([[1, 0, 10 + speed * k], [0, 1, 8 + 0.3 * speed * k]])
        seen = cv2.warpAffine(wall, shift, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        yield np.clip(seen, 0, 255).astype(np.uint8)
