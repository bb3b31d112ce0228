"""When a video's pictures are shown, as its packets tell: nothing is decoded, so an hour takes seconds.

What they tell may be wrong in a damaged file; whoever relies on it checks it against the pictures themselves.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import av
from av.error import FFmpegError

from .files import FileSource


class Shown(NamedTuple):
    """One picture: when it is shown, seconds, and whether a decoder can begin with it."""

    pts: Fraction
    is_keyframe: bool


def shown(source: FileSource) -> list[Shown] | None:
    """The pictures of a source's window, in order; None where some packet does not say when it is shown."""
    found: dict[Fraction, bool] = {}
    past = None if source.end is None else source.end + source.offset
    with av.open(str(source.path), metadata_errors="replace") as container:
        try:
            for packet in container.demux(container.streams[source.index]):
                if not packet.size or packet.is_discard:
                    continue
                if packet.pts is None:
                    return None
                pts = source.moment(packet.pts)
                is_late = source.start is None or pts - source.offset >= source.start
                if is_late and (past is None or pts < past):
                    found[pts] = found.get(pts, False) or bool(packet.is_keyframe)
        except (FFmpegError, OSError):
            pass  # a file that breaks off shows what came before
    return [Shown(pts, found[pts]) for pts in sorted(found)]
