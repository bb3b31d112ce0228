"""What may be done to a sample: documented fields that recipes and flags fill. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Augment:
    """What may happen to a sample besides the crop; the same for all of its frames. Nothing of it does by default.

    Probabilities are 0 to 1.
    """

    double: float = 0.0
    """Enlarge twice."""
    resize: tuple[float, float] = (1.0, 1.0)
    """Enlarge or shrink by a factor between these two, even on a logarithmic scale; on top of `double`."""
    channels: float = 0.0
    """RGB becomes BGR."""
    flip_vertical: float = 0.0
    """Turn upside down."""
    flip_horizontal: float = 0.0
    """Left becomes right."""
    transpose: float = 0.0
    """Rows become columns."""
    quarter_turns: float = 0.0
    """Turn by 90, 180 or 270 degrees."""
    rotate: float = 0.0
    """Turn by any angle up to `largest_angle`; enlarged where the crop would show what is beyond the border."""
    largest_angle: float = 180.0
    """Degrees, either way."""
    reverse: float = 0.0
    """Run backwards in time; not for predictors."""
    ends: float = 0.0
    """On either side, repeat the frame at the gap instead of those beyond it, as where a clip begins or ends."""
    skips: float = 0.0
    """On either side, take the frames beyond the gap from another distance, as where frames were lost or repeated."""
    jitter: float = 0.0
    """Change brightness, contrast, saturation (each multiplied by 1 -/+ its field) and hue (turned, in YIQ)."""
    brightness: float = 0.2
    """Of the jitter: at most this much, of 1."""
    contrast: float = 0.2
    """Of the jitter: at most this much, of 1."""
    saturation: float = 0.2
    """Of the jitter: at most this much, of 1."""
    hue: float = 0.1
    """Of the jitter: at most this much of the colour circle."""
    grayscale: float = 0.0
    """Take the colour away."""
    noise: float = 0.0
    """Add noise."""
    noise_levels: tuple[float, float] = (1.0, 8.0)
    """Its standard deviation, between these two, of 255."""
    compression: float = 0.0
    """Compress as JPEG does."""
    quality: tuple[int, int] = (30, 95)
    """Of the compression, between these two."""
    degraded: Literal["inputs", "all"] = "inputs"
    """What noise and compression are done to; of the inputs alone, the network learns to mend as well."""
