"""What of a set's pictures is looked at: the size and the crop that a protocol names."""

from __future__ import annotations

from fractions import Fraction

from torch import Tensor, from_numpy

from .protocols import Protocol


def seen_through(protocol: Protocol, picture: Tensor) -> Tensor:
    """uint8 `[3, H, W]` -> the same, resized and cropped to the centre as the protocol says."""
    return centre(resized(picture, protocol), protocol.crop)


def resized(picture: Tensor, protocol: Protocol) -> Tensor:
    """uint8 `[3, H, W]` -> the protocol's size, on 8-bit values, as the published scripts do it with OpenCV."""
    if protocol.resize is None:
        return picture
    height, width = picture.shape[1:]
    if isinstance(protocol.resize, Fraction):
        size = (round(height * protocol.resize), round(width * protocol.resize))
    else:
        size = protocol.resize
    if size == (height, width):
        return picture
    import cv2

    how = cv2.INTER_AREA if protocol.resampling == "area" else cv2.INTER_LINEAR
    changed = cv2.resize(picture.permute(1, 2, 0).contiguous().numpy(), size[::-1], interpolation=how)
    return from_numpy(changed).permute(2, 0, 1).contiguous()


def centre(picture: Tensor, crop: tuple[int, int] | None) -> Tensor:
    """`[3, H, W]` -> its middle, `crop` (H, W) or less where it is smaller; an odd pixel stays right and below."""
    if crop is None:
        return picture
    height, width = picture.shape[1:]
    tall, wide = min(crop[0], height), min(crop[1], width)
    top, left = (height - tall) // 2, (width - wide) // 2
    return picture[:, top : top + tall, left : left + wide].contiguous()
