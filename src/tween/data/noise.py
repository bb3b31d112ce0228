"""Noise of a sensor, cheap enough for a loader."""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np

from ..models.dis import opencv

Array = np.ndarray[Any, Any]


def noisy(picture: Array, deviation: float, rng: np.random.Generator) -> Array:
    """uint8 `[h, w, 3]` with Gaussian noise of a standard deviation in 1/255, each value its own; rounded, cut off at
    0 and 255, and at 2.9 deviations."""
    cv2 = opencv()
    levels = np.rint(bell() * (deviation * 16)).astype(np.int16)  # 1/16 of a level: small deviations round fairly
    draws = np.frombuffer(rng.bytes(picture.size), np.uint8).reshape(picture.shape)
    grain = levels[draws]
    return cv2.addWeighted(np.ascontiguousarray(picture), 1.0, grain, 1 / 16, 0, dtype=cv2.CV_8U)


@lru_cache(maxsize=1)
def bell() -> Array:
    """The normal distribution, mean 0 and deviation 1, as 256 values that are equally likely; for reading only."""
    values = np.array([NormalDist().inv_cdf((k + 0.5) / 256) for k in range(256)], np.float32)
    values /= values.std()
    values.flags.writeable = False
    return values
