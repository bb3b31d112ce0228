"""What a file says of the light its colours were made for: HDR10's mastering display and content light level.

A decoder hands them out beside a picture, as ffmpeg's `AVMasteringDisplayMetadata` and `AVContentLightMetadata`; an
encoder wants them in words of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import av
from av.sidedata.sidedata import SideDataContainer

MASTERING = struct.Struct("20i2i")  # R, G, B and white as x, y; least and greatest light; which of them are given
DYNAMIC = {
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DOVI_RPU_BUFFER": "Dolby Vision",
    "DOVI_METADATA": "Dolby Vision",
    "DYNAMIC_HDR_VIVID": "HDR Vivid",
}


@dataclass(frozen=True)
class Light:
    """Static light data of a video.

    Attributes:
        red, green, blue, white: chromaticities (x, y) of the mastering display; () where they are not given.
        least, greatest: what it can show, candela a square metre.
        level: the brightest pixel, and the brightest mean of a frame, candela a square metre; () where not given.
        dynamic: names of what changes from scene to scene, which nothing here can keep.
    """

    red: tuple[Fraction, ...] = ()
    green: tuple[Fraction, ...] = ()
    blue: tuple[Fraction, ...] = ()
    white: tuple[Fraction, ...] = ()
    least: Fraction = Fraction(0)
    greatest: Fraction = Fraction(0)
    level: tuple[int, ...] = ()
    dynamic: tuple[str, ...] = ()


def side_data(native: av.VideoFrame) -> Iterable[Any]:
    """What a decoder hands out beside a picture. The picture's own attribute makes a circle of references, which keeps
    its decoder's memory, some megabytes a file, until Python's collector comes by."""
    return cast(Iterable[Any], cast(Any, SideDataContainer)(native))


def light_of(native: av.VideoFrame) -> Light:
    """What a decoded picture carries."""
    found: dict[str, Any] = {}
    dynamic = set()
    for data in side_data(native):
        name = data.type.name
        if name == "MASTERING_DISPLAY_METADATA":
            found |= _mastering(bytes(data))
        elif name == "CONTENT_LIGHT_LEVEL":
            level = struct.unpack("2I", bytes(data)[:8])
            found |= {"level": level} if any(level) else {}  # x265 writes 0, 0 for unknown
        elif name in DYNAMIC:
            dynamic.add(DYNAMIC[name])
    return Light(**found, dynamic=tuple(sorted(dynamic)))


def light_options(library: str, light: Light) -> tuple[dict[str, str], list[str]]:
    """What to tell an encoder of ffmpeg's, by option; and what it cannot be told, in words."""
    notes = [f"the {name} data is left out: it changes with every scene, and in-between ones have none"
             for name in light.dynamic]  # fmt: skip
    if not (light.white or light.level):
        return {}, notes
    if library not in PARAMS:
        return {}, [*notes, f"{library} cannot hold the light data of the mastering display (HDR10): left out"]
    option, mastering, level, unit = PARAMS[library]
    words = []
    if light.white:
        words.append(f"{mastering}={_display(light, unit)}")
    if light.level:
        words.append(f"{level}={light.level[0]},{light.level[1]}")
    return {option: ":".join(words)}, notes


# encoder -> its option, its words for the two, and whether it counts in H.265's whole units
PARAMS = {
    "libx264": ("x264-params", "mastering-display", "cll", True),
    "libx265": ("x265-params", "master-display", "max-cll", True),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light", False),
}


def _mastering(data: bytes) -> dict[str, Any]:
    *numbers, has_primaries, has_light = MASTERING.unpack(data[: MASTERING.size])
    if not (has_primaries and has_light):
        return {}
    parts = [Fraction(top, bottom or 1) for top, bottom in zip(numbers[::2], numbers[1::2], strict=True)]
    red, green, blue, white = (tuple(parts[k : k + 2]) for k in (0, 2, 4, 6))
    return {"red": red, "green": green, "blue": blue, "white": white, "least": parts[8], "greatest": parts[9]}


def _display(light: Light, in_units: bool) -> str:
    """H.265 counts chromaticity in 1/50000 and light in 1/10000; AV1's encoder takes plain numbers."""
    colour, luminance = (50_000, 10_000) if in_units else (1, 1)

    def pair(values: tuple[Fraction, ...], scale: int) -> str:
        return ",".join(str(round(v * scale)) if in_units else f"{float(v):.7g}" for v in values)

    points = {"G": light.green, "B": light.blue, "R": light.red, "WP": light.white}
    words = [f"{name}({pair(point, colour)})" for name, point in points.items()]
    return "".join([*words, f"L({pair((light.greatest, light.least), luminance)})"])
