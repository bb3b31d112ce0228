"""Targets that hold pictures and nothing else (folders, animations, pipes): what they leave out, what they refuse."""

from __future__ import annotations

from ..errors import Conflict
from ..frame import VideoInfo
from .stream import Encoding


def unheard(info: VideoInfo, *, alpha: bool) -> list[str]:
    """What is left out, as beginnings of a sentence: "the sound is". `alpha`: transparency is kept."""
    found = {"the sound is": info.audio, "the subtitles are": info.subtitles}
    return [
        *(words for words, streams in found.items() if streams),
        *(["the transparency is"] if info.has_alpha and not alpha else []),
    ]


def refuse_dials(encoding: Encoding, where: str, why: str, fix: str = "name a video file") -> None:
    """Conflict if an encoder's option was given for a target without one."""
    for dial, value in (("--codec", encoding.codec != "auto"), ("--crf", encoding.crf), ("--preset", encoding.preset)):
        if value not in (None, False):
            raise Conflict(f"{dial} with {where}", why, fix)
