"""When an animation ends. FFmpeg's muxers guess how long the last picture is shown; here it is written into the
finished file, in the one place where it stands."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO

EXTENSION, PICTURE, CONTROL = 0x21, 0x2C, 0xF9  # GIF's blocks (GIF89a, appendix A)


def end_gif(path: Path, total: Fraction) -> None:
    """Make a GIF last `total` seconds: hundredths, two bytes after the flags of a graphic control extension."""
    with path.open("r+b") as file:
        *others, last = _gif_delays(file)
        before = sum(struct.unpack("<H", _at(file, place, 2))[0] for place in others)
        file.seek(last)
        file.write(struct.pack("<H", min(max(round(total * 100) - before, 0), 0xFFFF)))


def end_apng(path: Path, total: Fraction) -> None:
    """Make an APNG last `total` seconds: a fraction of two 16-bit numbers, 20 bytes into an fcTL chunk."""
    with path.open("r+b") as file:
        *others, last = [place for kind, place in _png_chunks(file) if kind == b"fcTL"]
        parts = [struct.unpack(">HH", _at(file, place + 20, 4)) for place in others]
        delay = (total - sum(Fraction(above, below or 100) for above, below in parts)).limit_denominator(0xFFFF)
        control = bytearray(_at(file, last, 26))
        struct.pack_into(">HH", control, 20, min(max(delay.numerator, 0), 0xFFFF), delay.denominator)
        file.seek(last)
        file.write(control + struct.pack(">I", zlib.crc32(b"fcTL" + control)))


def end_webp(path: Path, total: Fraction) -> None:
    """Make a WebP last `total` seconds: milliseconds, 24 bits, 12 bytes into an ANMF chunk. A WebP whose pictures are
    all the same is a still, and stays one."""
    with path.open("r+b") as file:
        places = [place + 12 for kind, place in _webp_chunks(file) if kind == b"ANMF"]
        if places:
            before = sum(int.from_bytes(_at(file, place, 3), "little") for place in places[:-1])
            file.seek(places[-1])
            file.write(min(max(round(total * 1000) - before, 0), 0xFFFFFF).to_bytes(3, "little"))


def _at(file: IO[bytes], place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)


def _gif_delays(file: IO[bytes]) -> Iterator[int]:
    """Where the delay of each picture stands."""
    file.seek(13 + _table(_at(file, 10, 1)[0]))
    while (kind := file.read(1)) and kind[0] in (EXTENSION, PICTURE):
        if kind[0] == PICTURE:
            flags = file.read(9)[8]
            file.seek(_table(flags) + 1, 1)  # its own colours, then the size of a code
        elif file.read(1)[0] == CONTROL:
            place = file.tell() + 2
            yield place
            file.seek(place - 2)
        while size := file.read(1)[0]:
            file.seek(size, 1)


def _table(flags: int) -> int:
    """Bytes of the table of colours that a GIF's flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _png_chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """The kind of each chunk and where its content begins."""
    place = 8
    while len(head := _at(file, place, 8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        yield kind, place + 8
        place += size + 12  # size, kind and a checksum around it


def _webp_chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """The kind of each chunk and where its content begins."""
    place = 12
    while len(head := _at(file, place, 8)) == 8:
        kind, size = struct.unpack("<4sI", head)
        yield kind, place + 8
        place += 8 + size + size % 2
