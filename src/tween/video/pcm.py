"""Bare samples (PCM) as packets. mp4 and mov lay them end to end, whatever their times: a gap has to be filled."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from av.audio.stream import AudioStream
from av.packet import Packet

from .sound import SLIP_S, codec_of

SILENT = {"pcm_u8": b"\x80", "pcm_alaw": b"\xd5", "pcm_mulaw": b"\xff"}
BLOCK_S = 1  # seconds of silence in a packet, at most


@dataclass
class Bare:
    """What a stream of samples is made of, and how far it has come.

    Attributes:
        rate: samples a second; width: bytes of one, all channels together; silent: what a byte of silence is.
        past: when the last packet ended, seconds.
    """

    rate: int
    width: int
    silent: bytes
    past: Fraction | None = None

    def silence_before(self, packet: Packet) -> Iterator[Packet]:
        """Packets that fill the gap to `packet`, if there is one."""
        begins = (packet.pts or 0) * packet.time_base
        past = begins if self.past is None else self.past
        missing = round((begins - past) * self.rate) if begins - past > SLIP_S else 0
        while missing > 0:
            count = min(missing, BLOCK_S * self.rate)
            made = Packet(self.silent * (count * self.width))
            made.time_base, made.is_keyframe = packet.time_base, True
            made.pts = made.dts = round(past / packet.time_base)
            made.stream = packet.stream
            past, missing = past + Fraction(count, self.rate), missing - count
            made.duration = max(1, round(past / packet.time_base) - made.pts)
            yield made
        self.past = past + Fraction(packet.size // self.width, self.rate)


def bare_of(stream: AudioStream) -> Bare | None:
    """What a stream of bare samples is made of; None for a stream that is coded."""
    codec = codec_of(stream) or ""
    if not codec.startswith("pcm_"):
        return None
    bits = re.search(r"\d+", codec)
    return Bare(
        stream.codec_context.sample_rate,
        (int(bits.group()) if bits else 8) // 8 * stream.codec_context.channels,
        SILENT.get(codec, b"\0"),
    )
