"""What is known of one encoder: a row of the tables in `codecs.py` and `hardware.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _crf(quality: int) -> dict[str, str]:
    return {"crf": str(quality)}


@dataclass(frozen=True)
class Encoder:
    """One row of the table of codecs.

    Attributes:
        library: ffmpeg's encoder.
        crf: constant quality that looks like H.264's 16; None for codecs without that dial.
        worst_crf: the largest value of that dial.
        preset: speed word that is the default; None where there is none.
        presets: all of them, fastest first.
        containers: those that hold it, of CONTAINERS' values.
        options: what the encoder is told besides.
        least: pictures smaller than this, on either side, it does not take.
        full_range: it can say that samples use all codes.
        dial: its option for the speed word.
        quality: a value of that dial as the encoder's options.
        formats: the pixel formats to choose from; none: all that it knows.
        is_even: it takes even widths and heights only.
        needs: what a machine needs for it, in words; "" for software.
        software: the codec to take where a machine lacks it.
        says_aspect: its stream tells the shape of a pixel; else only mp4 and mov do.
        low: what it is told besides for pictures of at most `low_height` rows.
        rest_s: how long it is left alone before it is closed with pictures inside: seconds, and seconds a megapixel.
    """

    library: str
    crf: int | None
    worst_crf: int
    preset: str | None
    presets: tuple[str, ...]
    containers: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()
    least: int = 1
    full_range: bool = True
    dial: str = "preset"
    quality: Callable[[int], dict[str, str]] = _crf
    formats: tuple[str, ...] = ()
    is_even: bool = False
    needs: str = ""
    software: str = ""
    says_aspect: bool = False
    low_height: int = 0
    low: tuple[tuple[str, str], ...] = ()
    rest_s: tuple[float, float] = (0.0, 0.0)
