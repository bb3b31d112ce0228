"""Matrices, ranges and bit depth: the one place that knows how YUV becomes RGB and back.

A decoded picture becomes planar RGB (ffmpeg's `gbrp`, `gbrp16le`), which is the layout of `Frame.data`, so that no
transpose is needed. swscale without ACCURATE_RND darkens luma by a whole level on the way; with the flags below,
4:2:0 -> RGB -> 4:2:0 moves luma by nothing and chroma by a thousandth of a level (tests/video/test_colour.py).
"""

from __future__ import annotations

import av
import numpy as np
import torch
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
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


def put_tags(target: av.VideoFrame | av.VideoStream, colour: Colour) -> None:
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
    if is_rgb(pixel_format):
        return True
    if colour.full_range is not None:
        return colour.full_range
    return pixel_format.startswith(("yuvj", "gray"))


def is_rgb(pixel_format: str) -> bool:
    """Whether a format of ffmpeg's holds RGB rather than YUV or gray."""
    return pixel_format.startswith(("gbr", "rgb", "bgr", "argb", "abgr", "pal8", "0rgb", "0bgr"))


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
        table = matrix_for(self._colour, (picture.height, picture.width))
        planar = self._swscale.reformat(
            picture,
            format="gbrp16le" if self._deep else "gbrp",
            src_colorspace=table,
            dst_colorspace=table,
            interpolation=ACCURATE,
            src_color_range=_range(full_range_of(picture.format.name, self._colour)),
            dst_color_range=ColorRange.JPEG,
            threads=1,
        )
        return tensor_of(planar, torch.uint16 if self._deep else torch.uint8)


class FromRgb:
    """`[3, H, W]` tensors, uint8 or uint16 -> pictures of one pixel format, tagged.

    Args:
        pixel_format: ffmpeg's name of the format to make.
        colour: the tags to convert by and to write on each picture.
    """

    def __init__(self, pixel_format: str, colour: Colour) -> None:
        self._format, self._colour = pixel_format, colour
        self._swscale = VideoReformatter()

    def __call__(self, data: Tensor) -> av.VideoFrame:
        return self._convert(planar_of(data), full=True)

    def recode(self, picture: av.VideoFrame) -> av.VideoFrame:
        """A decoded picture of another pixel format, without passing through RGB. `picture` is left as it is."""
        return self._convert(picture, full=full_range_of(picture.format.name, self._colour))

    def _convert(self, picture: av.VideoFrame, *, full: bool) -> av.VideoFrame:
        table = matrix_for(self._colour, (picture.height, picture.width))
        made = self._swscale.reformat(
            picture,
            format=self._format,
            src_colorspace=table,
            dst_colorspace=table,
            interpolation=ACCURATE,
            src_color_range=_range(full),
            dst_color_range=_range(full_range_of(self._format, self._colour)),
            threads=1,
        )
        if made is not picture:
            put_tags(made, self._colour)
        return made


def tensor_of(planar: av.VideoFrame, dtype: torch.dtype) -> Tensor:
    """The planes of a `gbrp` picture as one `[3, H, W]` tensor in the order R, G, B."""
    data = torch.empty((3, planar.height, planar.width), dtype=dtype)
    rows = data.numpy()
    for channel, plane in zip((1, 2, 0), planar.planes, strict=True):
        line = plane.line_size // rows.itemsize
        rows[channel] = np.frombuffer(plane, rows.dtype).reshape(-1, line)[: planar.height, : planar.width]
    return data


def planar_of(data: Tensor) -> av.VideoFrame:
    """A `[3, H, W]` tensor as a `gbrp` or `gbrp16le` picture."""
    rows = data.detach().cpu().numpy()
    _, height, width = rows.shape
    planar = av.VideoFrame(width, height, "gbrp16le" if rows.itemsize == 2 else "gbrp")
    for channel, plane in zip((1, 2, 0), planar.planes, strict=True):
        line = plane.line_size // rows.itemsize
        np.frombuffer(plane, rows.dtype).reshape(-1, line)[:height, :width] = rows[channel]
    return planar


def _range(full: bool | None) -> ColorRange:
    if full is None:
        return ColorRange.UNSPECIFIED
    return ColorRange.JPEG if full else ColorRange.MPEG
