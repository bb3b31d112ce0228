"""Text subtitles, from one container's way of writing into another's: words and lines stay, styling does not."""

from __future__ import annotations

import re
import struct
from fractions import Fraction

from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

TEXT = {"subrip", "srt", "text", "ass", "ssa", "webvtt", "mov_text"}
FITTING = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
FIELDS_BEFORE_TEXT = 8  # of an ASS event in Matroska: ReadOrder, Layer, Style, Name, three margins, Effect
MILLISECOND = Fraction(1, 1000)
PLAIN_STYLE = b"""[Script Info]
ScriptType: v4.00+
[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def can_rewrite(codec: str | None) -> bool:
    """Whether a subtitle codec holds text rather than pictures."""
    return codec in TEXT


def add_stream(output: OutputContainer, container: str) -> Stream:
    """A stream of the container's own text format."""
    codec = FITTING[container]
    if codec != "mov_text":
        return output.add_mux_stream(codec, time_base=MILLISECOND)
    stream = output.add_stream("mov_text", time_base=MILLISECOND)
    assert isinstance(stream, SubtitleStream)
    stream.codec_context.subtitle_header = PLAIN_STYLE
    stream.codec_context.time_base = MILLISECOND
    return stream


def rewritten(packet: Packet, codec: str, container: str) -> Packet | None:
    """A packet of `codec` in the container's own format, at the same time; None where it shows nothing."""
    words = text_of(bytes(packet), codec)
    if not words:
        return None
    data = words.encode()
    if FITTING[container] == "mov_text":
        data = re.sub(rb"</?\w[^>]*>", b"", data)[:0xFFFF]
        data = struct.pack(">H", len(data)) + data
    made = Packet(data)
    made.pts, made.dts, made.duration, made.time_base = packet.pts, packet.dts, packet.duration, packet.time_base
    made.is_keyframe = True
    return made


def text_of(data: bytes, codec: str) -> str:
    """The words of one packet, lines parted by newlines; simple tags such as <i> may remain."""
    if codec == "mov_text":
        return data[2 : 2 + int.from_bytes(data[:2], "big")].decode("utf-8", "replace")
    text = data.decode("utf-8", "replace")
    if codec in ("ass", "ssa"):
        text = text.split(",", FIELDS_BEFORE_TEXT)[-1]
        text = re.sub(r"\{[^}]*\}", "", text).replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
    return text.strip("\r\n\0")
