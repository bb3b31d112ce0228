"""The shape of a pixel, written into a finished Matroska or WebM file.

libavformat writes it as DisplayWidth and DisplayHeight of a track, from a field that PyAV cannot set. Its files begin

  header | Segment: SeekHead, Void, Info, Tracks (a TrackEntry a stream, with a Video in it), ... clusters

and the Void is room left over: Info and Tracks move into it by as much as Tracks grows, and nothing after them moves.
Elements are an ID, a size and that many bytes (RFC 8794); the IDs are those of RFC 9559.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

SEGMENT, SEEK_HEAD, VOID, INFO, TRACKS = 0x18538067, 0x114D9B74, 0xEC, 0x1549A966, 0x1654AE6B
CRC, SEEK, SEEK_POSITION, TRACK_ENTRY, VIDEO = 0xBF, 0x4DBB, 0x53AC, 0xAE, 0xE0
DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
FINEST = 64  # how many times larger than it is a picture may be said to be shown, so that its shape is exact
HEAD = 1 << 20  # bytes from the file's begin in which all of this lies


@dataclass
class Element:
    """An element of a file: where it begins, where its content does, and where it ends."""

    kind: int
    begin: int
    content: int
    end: int


def put_shape(path: Path, aspect: Fraction, size: tuple[int, int]) -> bool:
    """Write into a file that its first picture stream, of `size` (H, W), has pixels `aspect` times as wide as high.

    Returns:
        False where the file is not laid out as expected; it is untouched then.
    """
    width = size[1] * aspect
    times = width.denominator if width.denominator <= FINEST else 1  # 85 1/3 x 64 is said as 256 x 192
    with path.open("r+b") as file:
        old = file.read(HEAD)
        new = _shaped(old, round(width * times), size[0] * times)
        if new is None:
            return False
        file.seek(0)
        file.write(new)
    return True


def _shaped(data: bytes, width: int, height: int) -> bytes | None:
    top = {one.kind: one for one in _elements(data, 0, len(data))}
    if SEGMENT not in top:
        return None
    first = _elements(data, top[SEGMENT].content, len(data))[:4]
    if [one.kind for one in first] != [SEEK_HEAD, VOID, INFO, TRACKS] or first[3].end > len(data):
        return None
    head, void, info, tracks = first
    entry = next(one for one in _elements(data, tracks.content, tracks.end) if one.kind == TRACK_ENTRY)
    video = next((one for one in _elements(data, entry.content, entry.end) if one.kind == VIDEO), None)
    if video is None:
        return None
    more = _number(DISPLAY_WIDTH, width) + _number(DISPLAY_HEIGHT, height)
    room = void.end - void.content - len(more)
    grown = [_resized(data, one, len(more)) for one in (tracks, entry, video)]
    if room < 0 or None in grown:
        return None
    inside = _in_pixels(data, video)
    outer, middle, inner = (part or b"" for part in grown)
    moved = outer + data[tracks.content : entry.begin] + middle + data[entry.content : video.begin] + inner
    moved += inside + more + data[video.end : tracks.end]
    moved = _checked(moved)
    blank = _resized(data, void, -len(more))
    if blank is None:
        return None
    seeks = _checked(_sought(data, head, {info.begin, tracks.begin}, top[SEGMENT].content, len(more)))
    kept = seeks + blank + bytes(room) + data[info.begin : info.end] + moved
    assert len(kept) == tracks.end - head.begin
    return data[: head.begin] + kept + data[tracks.end :]


def _elements(data: bytes, begin: int, end: int) -> list[Element]:
    """The elements one after another in [begin, end); the last may run past what was read."""
    found = []
    while begin + 2 <= end and data[begin]:
        kind_width = 9 - data[begin].bit_length()
        at = begin + kind_width
        if at >= end or not data[at]:
            break
        width = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
        kind = int.from_bytes(data[begin:at], "big")
        found.append(Element(kind, begin, at + width, at + width + size))
        begin = at + width + size
    return found


def _resized(data: bytes, one: Element, by: int) -> bytes | None:
    """An element's ID and its size, so much larger, in as many bytes; None where they do not hold it."""
    width = 9 - data[one.begin + 9 - data[one.begin].bit_length()].bit_length()
    size = one.end - one.content + by
    if not 0 <= size < (1 << 7 * width) - 1:
        return None
    return data[one.begin : one.content - width] + ((1 << 7 * width) | size).to_bytes(width, "big")


def _number(kind: int, value: int) -> bytes:
    content = value.to_bytes((value.bit_length() + 7) // 8 or 1, "big")
    return kind.to_bytes(2, "big") + bytes([0x80 | len(content)]) + content


def _in_pixels(data: bytes, video: Element) -> bytes:
    """The content of a Video element, its DisplayUnit set to 0 (pixels) where it has one."""
    content = bytearray(data[video.content : video.end])
    for one in _elements(data, video.content, video.end):
        if one.kind == DISPLAY_UNIT:
            content[one.content - video.content : one.end - video.content] = bytes(one.end - one.content)
    return bytes(content)


def _sought(data: bytes, head: Element, moved: set[int], origin: int, by: int) -> bytes:
    """The SeekHead, with the positions of what moved lowered."""
    made = bytearray(data[head.begin : head.end])
    for seek in _elements(data, head.content, head.end):
        for one in _elements(data, seek.content, seek.end) if seek.kind == SEEK else ():
            value = int.from_bytes(data[one.content : one.end], "big")
            if one.kind == SEEK_POSITION and value + origin in moved:
                width = one.end - one.content
                made[one.content - head.begin : one.end - head.begin] = (value - by).to_bytes(width, "big")
    return bytes(made)


def _checked(element: bytes) -> bytes:
    """A master element whose checksum, if it has one, is that of its content."""
    (whole,) = _elements(element, 0, len(element))[:1]
    children = _elements(element, whole.content, len(element))
    if not children or children[0].kind != CRC:
        return element
    crc = children[0]
    right = zlib.crc32(element[crc.end :]).to_bytes(4, "little")
    return element[: crc.content] + right + element[crc.end :]
