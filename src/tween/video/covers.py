"""Cover pictures: a stream of one packet in mp4, an attached file in Matroska."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import av
from av.stream import Disposition, Stream

from .sound import codec_of

COVERS = {"png": ("png", "image/png"), "mjpeg": ("jpg", "image/jpeg"), "bmp": ("bmp", "image/bmp"),
          "webp": ("webp", "image/webp"), "gif": ("gif", "image/gif")}  # fmt: skip


class Cover(NamedTuple):
    """A file to attach: its name, its MIME type, and what is in it."""

    name: str
    kind: str
    content: bytes


def is_cover(stream: Stream) -> bool:
    """Whether a stream is a picture for the shelf."""
    return bool(stream.disposition & Disposition.attached_pic)


def cover_of(path: Path, stream: Stream) -> Cover | None:
    """The picture of a cover stream, as it is in the file; None for a kind that nobody would show."""
    codec = codec_of(stream)
    if codec not in COVERS:
        return None
    ending, kind = COVERS[codec]
    name = stream.metadata.get("filename") or stream.metadata.get("FILENAME") or f"cover.{ending}"
    with av.open(str(path), metadata_errors="replace") as container:
        for packet in container.demux(container.streams[stream.index]):
            if packet.size:
                return Cover(name, kind, bytes(packet))
    return None
