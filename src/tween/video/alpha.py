"""Transparency: pictures with a fourth channel, to and from tensors.

Alpha is straight (colour is not multiplied by it) and always uses all its codes, whatever the range of the colour.
"""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from torch import Tensor

from ..frame import Colour
from .colour import FromRgb, ToRgb, depth_of, narrowed, rows_of, widened

PLANAR = ("yuva", "gbrap")  # names of formats whose fourth plane is alpha
OPAQUE = {"ya8": "gray", "ya16le": "gray16le", "ya16be": "gray16le"}


def has_alpha(pixel_format: str) -> bool:
    """Whether pictures of a format carry transparency."""
    return any(part.is_alpha for part in av.VideoFormat(pixel_format).components)


def is_float(pixel_format: str) -> bool:
    """Whether samples are fractions rather than whole numbers."""
    return pixel_format.removesuffix("le").removesuffix("be").endswith(("f16", "f32"))


def _is_planar(pixel_format: str) -> bool:
    """Whether alpha is a plane of its own, of whole numbers as this machine writes them."""
    return pixel_format.startswith(PLANAR) and not pixel_format.endswith("be") and not is_float(pixel_format)


def opaque_format(pixel_format: str) -> str:
    """The same format without its alpha, planar."""
    if _is_planar(pixel_format):
        return pixel_format.replace("yuva", "yuv").replace("gbrap", "gbrp")
    if not has_alpha(pixel_format):
        return pixel_format
    return OPAQUE.get(pixel_format, "gbrp" if depth_of(pixel_format) == 8 else "gbrp16le")


class ToRgba:
    """Decoded pictures of one stream -> `[4, H, W]` tensors; arguments as for `ToRgb`."""

    def __init__(self, colour: Colour, *, deep: bool) -> None:
        self._to_rgb, self._deep = ToRgb(colour, deep=deep), deep
        self._swscale = VideoReformatter()

    def __call__(self, picture: av.VideoFrame) -> Tensor:
        rgb = self._to_rgb(picture)
        if not has_alpha(picture.format.name):
            return torch.cat([rgb, torch.full_like(rgb[:1], 65535 if self._deep else 255)])
        alpha = _alpha_of(picture, self._swscale)
        depth = 8 if alpha.itemsize == 1 else min(16, depth_of(picture.format.name))
        if self._deep:
            wide = alpha.astype(np.uint16)
            alpha = wide * 257 if depth == 8 else widened(wide, depth)
        elif depth > 8:
            alpha = (alpha >> (depth - 8)).astype(np.uint8)
        return torch.cat([rgb, torch.from_numpy(np.ascontiguousarray(alpha))[None]])


class FromRgba:
    """`[4, H, W]` (or opaque `[3, H, W]`) tensors -> pictures of one format with alpha; arguments as for `FromRgb`."""

    def __init__(self, pixel_format: str, colour: Colour, *, native: Colour | None = None) -> None:
        self._format = pixel_format
        self._from_rgb = FromRgb(opaque_format(pixel_format), colour, native=native)
        self._swscale = VideoReformatter()

    def __call__(self, data: Tensor) -> av.VideoFrame:
        depth = depth_of(self._format)
        if data.shape[0] == 4:
            alpha = narrowed(data[3].detach().cpu().numpy(), depth)
        else:
            alpha = np.full(tuple(data.shape[1:]), 2**depth - 1, np.uint16)
        return self._joined(self._from_rgb(data[:3]), alpha)

    def recode(self, picture: av.VideoFrame) -> av.VideoFrame:
        """A decoded picture in this pixel format, without passing through RGB. `picture` is left as it is."""
        depth = depth_of(self._format)
        if not has_alpha(picture.format.name):
            full = np.full((picture.height, picture.width), 2**depth - 1, np.uint16)
            return self._joined(self._from_rgb.recode(picture), full)
        alpha, bits = _alpha_of(picture, self._swscale), min(16, depth_of(picture.format.name))
        wide = alpha.astype(np.uint16)
        wide = wide * 257 if bits == 8 else widened(wide, bits)
        return self._joined(self._from_rgb.recode(_opaque(picture, self._swscale)), narrowed(wide, depth))

    def _joined(self, opaque: av.VideoFrame, alpha: NDArray[Any]) -> av.VideoFrame:
        """A picture and its alpha `[H, W]` in one."""
        if self._format == "ya8":
            return self._tagged(_gray(opaque, alpha), opaque)
        planar = self._format
        if not _is_planar(planar):
            planar = "gbrap" if depth_of(planar) == 8 else "gbrap16le"
        made = av.VideoFrame(opaque.width, opaque.height, planar)
        for into, plane in zip(made.planes, opaque.planes, strict=False):
            _copy(plane, into)
        kind = np.dtype(np.uint8 if depth_of(planar) == 8 else np.uint16)
        rows_of(made.planes[3], kind)[: opaque.height, : opaque.width] = alpha
        if planar != self._format:
            made = self._swscale.reformat(made, format=self._format)
        return self._tagged(made, opaque)

    @staticmethod
    def _tagged(made: av.VideoFrame, like: av.VideoFrame) -> av.VideoFrame:
        made.colorspace, made.color_range = like.colorspace, like.color_range
        made.color_primaries, made.color_trc = like.color_primaries, like.color_trc
        return made


def from_rgb(pixel_format: str, colour: Colour, *, native: Colour | None = None) -> FromRgb | FromRgba:
    """What makes pictures of a format, with or without alpha."""
    kind = FromRgba if has_alpha(pixel_format) else FromRgb
    return kind(pixel_format, colour, native=native)


def _in_our_order(picture: av.VideoFrame, swscale: VideoReformatter) -> av.VideoFrame:
    """A planar picture whose samples were written by another kind of machine, with their bytes swapped."""
    name = picture.format.name
    if not (name.startswith(PLANAR) and name.endswith("be")) or is_float(name):
        return picture
    return swscale.reformat(picture, format=f"{name[:-2]}le")


def _alpha_of(picture: av.VideoFrame, swscale: VideoReformatter) -> NDArray[Any]:
    """A picture's alpha plane `[H, W]`, uint8, or uint16 at the picture's own depth."""
    picture = _in_our_order(picture, swscale)
    if not _is_planar(picture.format.name):
        picture = swscale.reformat(picture, format="gbrap" if depth_of(picture.format.name) == 8 else "gbrap16le")
    kind = np.dtype(np.uint8 if depth_of(picture.format.name) == 8 else np.uint16)
    return rows_of(picture.planes[3], kind)[: picture.height, : picture.width]


def _opaque(picture: av.VideoFrame, swscale: VideoReformatter) -> av.VideoFrame:
    """A picture without its alpha; planes as they are."""
    picture = _in_our_order(picture, swscale)
    name = picture.format.name
    if not _is_planar(name):
        return swscale.reformat(picture, format=opaque_format(name))
    made = av.VideoFrame(picture.width, picture.height, opaque_format(name))
    for into, plane in zip(made.planes, picture.planes, strict=False):
        _copy(plane, into)
    return FromRgba._tagged(made, picture)


def _gray(opaque: av.VideoFrame, alpha: NDArray[Any]) -> av.VideoFrame:
    made = av.VideoFrame(opaque.width, opaque.height, "ya8")
    rows = rows_of(made.planes[0], np.dtype(np.uint8))
    rows[: opaque.height, 0 : 2 * opaque.width : 2] = rows_of(opaque.planes[0], rows.dtype)[:, : opaque.width]
    rows[: opaque.height, 1 : 2 * opaque.width : 2] = alpha
    return made


def _copy(plane: Any, into: Any) -> None:
    """A plane's rows into another of the same size, whose rows may be padded otherwise."""
    kind = np.dtype(np.uint8)
    width = min(plane.line_size, into.line_size)
    rows_of(into, kind)[: plane.height, :width] = rows_of(plane, kind)[: plane.height, :width]
