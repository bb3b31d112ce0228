"""Encoders that a machine may have beside the processor: NVIDIA's, Intel's, Apple's. None is ever taken unasked, and
none is replaced in silence: what cannot be opened is told, with the software codec to take."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import cast

import av
from av.error import FFmpegError

from ..errors import UnsupportedStream
from .encoder import Encoder

EVERYWHERE = ("mp4", "mov", "matroska")
NVENC = tuple(f"p{speed}" for speed in range(1, 8))
QSV = ("veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
APPLE_BEST, QP2LAMBDA = 100, 118  # its quality runs from 0 to 100 and is better the larger; ffmpeg scales it


def _cq(quality: int) -> dict[str, str]:
    return {"rc": "vbr", "cq": str(max(quality, 1)), "b": "0"}  # 0 would leave the quality to the encoder


def _global_quality(quality: int) -> dict[str, str]:
    return {"global_quality": str(max(quality, 1))}


def _q_v(quality: int) -> dict[str, str]:
    return {"flags": "+qscale", "global_quality": str(round(APPLE_BEST * (1 - quality / 51)) * QP2LAMBDA)}


def _constant_qp(quality: int) -> dict[str, str]:
    return {"rc_mode": "CQP", "global_quality": str(max(quality, 1))}


_NVIDIA = Encoder(
    "h264_nvenc", 19, 51, "p5", NVENC, EVERYWHERE, quality=_cq, formats=("yuv420p", "yuv444p"), is_even=True,
    needs="an NVIDIA GPU that encodes it, with its driver", software="h264",
)  # fmt: skip
_INTEL = Encoder(
    "h264_qsv", 19, 51, "medium", QSV, EVERYWHERE, quality=_global_quality, formats=("nv12",), is_even=True,
    needs="an Intel GPU that encodes it, with its driver", software="h264",
)  # fmt: skip
_APPLE = Encoder(
    "h264_videotoolbox", 16, 51, None, (), EVERYWHERE, quality=_q_v, formats=("nv12",), is_even=True,
    needs="a Mac that encodes it", software="h264",
)  # fmt: skip
DEEP = ("yuv420p", "p010le")
HARDWARE: dict[str, Encoder] = {
    "h264_nvenc": _NVIDIA,
    "hevc_nvenc": replace(_NVIDIA, library="hevc_nvenc", crf=21, formats=(*DEEP, "yuv444p"), software="hevc"),
    "av1_nvenc": replace(
        _NVIDIA, library="av1_nvenc", crf=24, formats=DEEP, containers=(*EVERYWHERE, "webm"), software="av1"
    ),
    "h264_qsv": _INTEL,
    "hevc_qsv": replace(_INTEL, library="hevc_qsv", crf=21, formats=("nv12", "p010le"), software="hevc"),
    "h264_vaapi": replace(
        _INTEL, library="h264_vaapi", preset=None, presets=(), quality=_constant_qp, needs="a GPU that speaks VAAPI"
    ),
    "h264_videotoolbox": _APPLE,
    "hevc_videotoolbox": replace(
        _APPLE, library="hevc_videotoolbox", crf=18, formats=("nv12", "p010le"), software="hevc"
    ),
}  # fmt: skip


def check_present(codec: str, encoder: Encoder) -> None:
    """UnsupportedStream if the installed FFmpeg has no such encoder."""
    if encoder.library not in av.codecs_available:
        raise UnsupportedStream(
            f"--codec {codec}: the FFmpeg inside this PyAV has no {encoder.library}",
            "one that was built with it is needed",
            f"--codec {encoder.software or 'h264'}",
        )


def check_opens(
    codec: str, encoder: Encoder, size: tuple[int, int], pixel_format: str, options: dict[str, str]
) -> None:
    """Open a hardware encoder once, so that what this machine lacks is told before anything is rendered.

    Raises:
        UnsupportedStream: it does not open; the words say what was tried, and which software codec to take.
    """
    if not encoder.needs:
        return
    height, width = size
    if encoder.is_even and (height % 2 or width % 2):
        raise UnsupportedStream(
            f"{width}x{height} is odd, and {codec} takes even sizes only",
            "a codec for any size is needed",
            f"--codec {encoder.software}",
        )
    trial = cast(av.VideoCodecContext, av.CodecContext.create(encoder.library, "w"))
    trial.width, trial.height, trial.pix_fmt, trial.time_base = width, height, pixel_format, Fraction(1, 30)
    trial.options = dict(options)
    try:
        trial.open()
    except (FFmpegError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UnsupportedStream(
            f"--codec {codec} could not be opened on this machine ({encoder.library} with {width}x{height} in "
            f"{pixel_format}: {why})",
            f"{encoder.needs} is needed",
            f"--codec {encoder.software}",
        ) from error
