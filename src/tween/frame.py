"""A frame is pixels at an exact time."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Frame:
    """One picture and when it is shown.

    Attributes:
        data: RGB `[3, H, W]`, or RGBA `[4, H, W]`; uint8 in 0..255, or uint16 over its full range 0..65535
            (a 10-bit source is scaled to 16 bits, so that code never needs to know the depth).
        pts: when it is shown, seconds, exact.
        duration: how long its container shows it, seconds, or None if the container does not say. Only the
            last frame's matters: all others last until the next.
        native: the picture as the decoder gave it (an `av.VideoFrame`), or None for a frame that was computed.
            A sink of the same pixel format writes it as it is, so that originals never pass through RGB and back.
    """

    data: Tensor
    pts: Fraction
    duration: Fraction | None = None
    native: Any = field(default=None, repr=False, compare=False)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return int(self.data.shape[-2]), int(self.data.shape[-1])


@dataclass(frozen=True)
class Colour:
    """How numbers become light: the tags of ITU-T H.273 as integers. 2 is "unspecified".

    Attributes:
        matrix: YUV <-> RGB (1 BT.709, 5 and 6 BT.601, 9 BT.2020).
        primaries: 1 BT.709, 9 BT.2020.
        transfer: 1 BT.709, 16 PQ, 18 HLG.
        full_range: True for 0..255, False for 16..235, None where the file does not say.
    """

    matrix: int = 2
    primaries: int = 2
    transfer: int = 2
    full_range: bool | None = None


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before its first frame.

    Attributes:
        size: (H, W) of the decoded pictures, pixels, before any rotation for display.
        rate: mean frames a second, exact.
        length: number of frames, or None where the container does not say (an estimate counts as None).
        duration: seconds that the video stream lasts, or None.
        bit_depth: bits a sample, 8 to 16.
        pixel_format: ffmpeg's name, `yuv420p10le`.
        colour: colour tags.
        sample_aspect: width : height of one sample, 1 where unspecified.
        rotation: degrees counter-clockwise that a player turns the picture (0, 90, 180, 270).
        codec: ffmpeg's name of the video codec.
        audio, subtitles: number of such streams.
        has_alpha: pictures carry transparency.
        time_base: seconds of the grid on which every pts lies.
        offset: what the frames' clock shows at the file's beginning, seconds; `--start` counts from there.
    """

    size: tuple[int, int]
    rate: Fraction
    length: int | None = None
    duration: Fraction | None = None
    bit_depth: int = 8
    pixel_format: str = "yuv420p"
    colour: Colour = Colour()
    sample_aspect: Fraction = Fraction(1)
    rotation: int = 0
    codec: str = ""
    audio: int = 0
    subtitles: int = 0
    has_alpha: bool = False
    time_base: Fraction = Fraction(1, 90000)
    offset: Fraction = Fraction(0)
