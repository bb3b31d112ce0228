"""Matrices, ranges and bit depth: the one place that knows how YUV becomes RGB and back.

A decoded picture becomes planar RGB (ffmpeg's `gbrp`, `gbrp16le`), which is the layout of `Frame.data`, so that no
transpose is needed. swscale does the sums, and has four habits that are mended here (tests/video/test_colour.py holds
each against the formulas of H.273):

- without ACCURATE_RND it darkens luma by a whole level; with it, 4:2:0 -> RGB -> 4:2:0 is the picture again;
- white in 16 bits is 65280 (limited range) or its top code shifted (full range), where ours is 65535;
- writing full range it rounds chroma down, half a level of tint: a detour over 14 or 16 bits rounds evenly;
- RGB of 9 to 14 bits it passes through YUV: those planes are scaled here instead.
"""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import torch
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UnsupportedStream
from ..frame import Colour

UNSPECIFIED = 2
RGB = 0
ACCURATE = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)
# H.274 matrix -> swscale's table. 1 BT.709, 4 FCC, 5 and 6 BT.601, 7 SMPTE 240M, 9 BT.2020 (non-constant luminance).
TABLES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}


def tags_of(picture: av.VideoFrame, context: av.VideoCodecContext) -> Colour:
    """The colour tags of a decoded picture; what it leaves open, its stream may say."""
    matrix, primaries, transfer = (
        shown if shown != UNSPECIFIED else stated
        for shown, stated in (
            (picture.colorspace, context.colorspace),
            (picture.color_primaries, context.color_primaries),
            (picture.color_trc, context.color_trc),
        )
    )
    limits = picture.color_range or context.color_range
    full = None if limits == ColorRange.UNSPECIFIED else limits == ColorRange.JPEG
    if full is None and picture.format.name.startswith("yuvj"):
        full = True
    return Colour(int(matrix), int(primaries), int(transfer), full)


def put_tags(target: av.VideoFrame | av.VideoCodecContext, colour: Colour) -> None:
    """Write the tags on a frame or a stream, unspecified ones as unspecified."""
    target.colorspace = colour.matrix
    target.color_primaries = colour.primaries
    target.color_trc = colour.transfer
    target.color_range = _range(colour.full_range)


def matrix_for(colour: Colour, size: tuple[int, int]) -> int:
    """The swscale table to convert with. Untagged video is taken as players take it: BT.709 from 1280 pixels of
    width or more than 576 of height, BT.601 below.

    Raises:
        UnsupportedStream: a matrix without a linear formula (YCgCo, ICtCp, constant luminance).
    """
    if colour.matrix in (UNSPECIFIED, RGB):
        return 1 if size[1] >= 1280 or size[0] > 576 else 5
    if colour.matrix not in TABLES:
        raise UnsupportedStream(
            f"the video's colours are coded with matrix {colour.matrix} of H.273",
            f"one of {', '.join(map(str, TABLES))} is needed",
            "convert it first: ffmpeg -i IN -vf colorspace=bt709 OUT",
        )
    return TABLES[colour.matrix]


def full_range_of(pixel_format: str, colour: Colour) -> bool:
    """Whether samples use all codes: as tagged; untagged RGB and gray do, untagged YUV does not."""
    if av.VideoFormat(pixel_format).is_rgb or pixel_format == "pal8":
        return True
    if colour.full_range is not None:
        return colour.full_range
    return pixel_format.startswith(("yuvj", "gray"))


class ToRgb:
    """Decoded pictures of one stream -> `[3, H, W]` tensors.

    Args:
        colour: the stream's tags.
        deep: give uint16 over 0..65535 instead of uint8 over 0..255.
    """

    def __init__(self, colour: Colour, *, deep: bool) -> None:
        self._colour, self._deep = colour, deep
        self._swscale = VideoReformatter()

    def __call__(self, picture: av.VideoFrame) -> Tensor:
        pixels = picture.format
        depth = depth_of(pixels.name)
        if self._deep and _is_planar_rgb(pixels.name):
            return torch.from_numpy(widened(_stacked(picture, np.uint16), depth))
        full = full_range_of(pixels.name, self._colour)
        target = "gbrp16le" if self._deep else "gbrp"
        planar = _convert(self._swscale, picture, target, self._colour, from_full=full, to_full=True)
        data = _stacked(planar, np.uint16 if self._deep else np.uint8)
        if self._deep and not pixels.is_rgb:
            shift = depth if full else 8
            np.minimum(data, 0xFFFF - (0xFFFF >> shift), out=data)
            data += data >> shift  # limited: 65280 + (65280 >> 8) = 65535; full, 10 bits: 65472 + (65472 >> 10) = 65535
        return torch.from_numpy(data)


class FromRgb:
    """`[3, H, W]` tensors, uint8 or uint16 -> pictures of one pixel format, tagged.

    Args:
        pixel_format: ffmpeg's name of the format to make.
        colour: the tags to convert by and to write on each picture.
        native: the tags of decoded pictures given to `recode`; None says that they are the same.
    """

    def __init__(self, pixel_format: str, colour: Colour, *, native: Colour | None = None) -> None:
        self._format, self._colour, self._native = pixel_format, colour, native or colour
        self._full = full_range_of(pixel_format, colour)
        self._swscale, self._finish = VideoReformatter(), VideoReformatter()
        self._is_rgb = av.VideoFormat(pixel_format).is_rgb
        self._detour = _detour(pixel_format) if self._full and has_chroma(pixel_format) else None

    def __call__(self, data: Tensor) -> av.VideoFrame:
        rows = data.detach().cpu().numpy()
        depth = depth_of(self._format)
        if _is_planar_rgb(self._format) and depth > 8:
            return self._tagged(_planar(narrowed(rows, depth), self._format))
        if rows.itemsize == 2 and not self._is_rgb:
            rows = rows - (rows >> 8)  # white as swscale reads it: 65280
        return self._from(_planar(rows, "gbrp16le" if rows.itemsize == 2 else "gbrp"), full=True)

    def recode(self, picture: av.VideoFrame) -> av.VideoFrame:
        """A decoded picture in this pixel format, without passing through RGB. `picture` is left as it is."""
        return self._from(picture, full=full_range_of(picture.format.name, self._native))

    def _from(self, picture: av.VideoFrame, *, full: bool) -> av.VideoFrame:
        if self._detour is not None and picture.format.is_rgb:
            picture = _convert(self._swscale, picture, self._detour, self._colour, from_full=full, to_full=True)
            full = True
        made = _convert(self._finish, picture, self._format, self._colour, from_full=full, to_full=self._full)
        return made if made is picture else self._tagged(made)

    def _tagged(self, picture: av.VideoFrame) -> av.VideoFrame:
        put_tags(picture, self._colour)
        return picture


def has_chroma(pixel_format: str) -> bool:
    """Whether a format is YUV. (PyAV's own `is_chroma` overlooks 4:4:4.)"""
    pixels = av.VideoFormat(pixel_format)
    return not pixels.is_rgb and sum(not part.is_alpha for part in pixels.components) >= 3


def depth_of(pixel_format: str) -> int:
    """Bits a sample."""
    return max(part.bits for part in av.VideoFormat(pixel_format).components)


def _convert(
    swscale: VideoReformatter, picture: av.VideoFrame, target: str, colour: Colour, *, from_full: bool, to_full: bool
) -> av.VideoFrame:
    table = matrix_for(colour, (picture.height, picture.width))
    return swscale.reformat(
        picture,
        format=target,
        src_colorspace=table,
        dst_colorspace=table,
        interpolation=ACCURATE,
        src_color_range=_range(from_full),
        dst_color_range=_range(to_full),
        threads=2,
    )


def _detour(pixel_format: str) -> str | None:
    """The deeper format over which full-range chroma is rounded evenly, or None where there is none."""
    family = pixel_format.replace("yuvj", "yuv").removesuffix("le").rstrip("0123456789")
    deeper = f"{family.removesuffix('p')}p{14 if depth_of(pixel_format) == 8 else 16}le"
    return deeper if deeper != pixel_format and deeper in DETOURS else None


DETOURS = {f"yuv{chroma}p{depth}le" for chroma in ("420", "422", "444") for depth in (14, 16)}


def _is_planar_rgb(pixel_format: str) -> bool:
    return pixel_format.startswith("gbr") and pixel_format.endswith("le") and "f" not in pixel_format


def widened(samples: NDArray[Any], depth: int) -> NDArray[Any]:
    """Samples of 9 to 16 bits over the full 0..65535: the top bits repeated below (10 bits: abcdefghij abcdef)."""
    return (samples << (16 - depth)) | (samples >> (2 * depth - 16))


def narrowed(samples: NDArray[Any], depth: int) -> NDArray[Any]:
    """uint8 or uint16 samples to `depth` bits, rounded."""
    top = 255 if samples.itemsize == 1 else 65535
    wide = samples.astype(np.uint32) * (2**depth - 1) + top // 2
    return (wide // top).astype(np.uint16)


def _stacked(planar: av.VideoFrame, dtype: type[np.uint8] | type[np.uint16]) -> NDArray[Any]:
    """The planes of a `gbrp` picture as one `[3, H, W]` array in the order R, G, B."""
    rows = np.empty((3, planar.height, planar.width), dtype)
    for channel, plane in zip((1, 2, 0), planar.planes[:3], strict=True):
        rows[channel] = rows_of(plane, rows.dtype)[: planar.height, : planar.width]
    return rows


def _planar(rows: NDArray[Any], pixel_format: str) -> av.VideoFrame:
    """A `[3, H, W]` array as a picture of a `gbrp` format of the same depth."""
    _, height, width = rows.shape
    planar = av.VideoFrame(width, height, pixel_format)
    for channel, plane in zip((1, 2, 0), planar.planes, strict=True):
        rows_of(plane, rows.dtype)[:height, :width] = rows[channel]
    return planar


def rows_of(plane: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A plane's memory, its padding on the right included."""
    return np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)


def _range(full: bool | None) -> ColorRange:
    if full is None:
        return ColorRange.UNSPECIFIED
    return ColorRange.JPEG if full else ColorRange.MPEG
