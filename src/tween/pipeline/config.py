"""What a render is asked for: documented fields that flags, YAML and the Python face all fill. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ..curve import Curve
from ..errors import BadOption, Conflict
from ..timeline import Rate, Slow, Timeline, Times, broadcast_rate, exact, positive
from ..video.patterns import is_pattern

ANIMATIONS = {".gif", ".apng", ".webp", ".y4m"}
KEPT = {".mp4", ".mov", ".mkv", ".webm", *ANIMATIONS}  # what comes in so goes out so


Codec = Literal[
    "auto", "h264", "hevc", "av1", "vp9", "ffv1", "prores", "h264_nvenc", "hevc_nvenc", "av1_nvenc", "h264_qsv",
    "hevc_qsv", "h264_vaapi", "h264_videotoolbox", "hevc_videotoolbox",
]  # fmt: skip

Engine = Literal["auto", "torch", "cudagraph", "fused", "openvino", "onnx", "ncnn", "tensorrt"]


def option(metavar: str | None = None, hint: str = "", *aliases: str) -> Any:
    """How an option reads in `--help`: its value's name, its default in words, its short forms."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"[{hint}]" if hint else "", aliases=aliases or None)


@dataclass(frozen=True)
class _InOut:
    input: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN", help_behavior_hint="")]
    """A video file, a folder of pictures, or - for y4m on standard input."""
    output: Annotated[Path | None, option("OUT", "beside IN, named after what was done", "-o")] = None
    """Where to write; a path without a suffix is a folder of pictures, - is y4m on standard output."""


@dataclass(frozen=True)
class Wanted:
    """Which frames are made: the same for every command that renders on a timeline."""

    rate: Annotated[str | None, option("R")] = None
    """Frames a second of the output, constant: 60, 59.94, 24000/1001."""
    times: Annotated[int | None, option("N")] = None
    """This many frames for each one; a variable frame rate stays variable."""
    slow: Annotated[str | None, option("F")] = None
    """Slow motion by this factor: 4, 2.5. With --rate, at that rate."""
    curve: Annotated[Path | None, option("FILE")] = None
    """Speed ramps: keyframes, a line each, of source time and speed (1, 0.25, 25%). With --rate, at that rate."""


@dataclass(frozen=True)
class Running:
    """What runs, and how the result is written: the same for every command that renders."""

    model: Annotated[str, option("NAME|FILE", "the best for this machine")] = "default"
    """A name from `tween models`, or a file of weights."""
    lora: Annotated[tuple[str, ...], option("FILE[:WEIGHT] ...", "none")] = ()
    """Adapters that the model wears, and how strongly: show.safetensors, or a.safetensors:0.7 b.safetensors:0.3.
    Without --model: the network that the first one was made for."""
    backend: Annotated[Engine, option(hint="auto: what measured fastest")] = "auto"
    """What runs the model; `tween doctor` says what auto takes, and why."""
    device: Annotated[str, option("DEVICE", "auto")] = "auto"
    """cpu, cuda, cuda:1, mps."""
    precision: Annotated[Literal["auto", "fp32", "bf16", "fp16"], option(hint="auto")] = "auto"
    """Of the convolutions; flows stay in fp32."""
    scale: Annotated[float, option("S", "1")] = 1.0
    """Estimate motion at this size: 0.5 for 4K and large motion, with networks that can."""
    tile: Annotated[str, option("auto|off|H,W", "auto: by free memory")] = "auto"
    """Work in tiles of this size, for 4K and 8K. When memory runs out, tiles shrink."""
    tta: bool = False
    """The mean of the frame and of its mirror image: twice the time, a little better."""
    cuts: Annotated[Literal["hold", "blend", "off"], option(hint="hold")] = "hold"
    """At a scene cut: hold the nearer frame, cross-fade, or do not look for cuts."""
    sound: Annotated[
        Literal["auto", "keep", "stretch", "drop"], option(hint="auto: copied; --slow, --curve: stretch")
    ] = "auto"
    """Where time is stretched: keep the sound's own length, stretch it (its pitch stays), or drop it."""
    deinterlace: Annotated[Literal["auto", "off", "refuse"], option(hint="auto")] = "auto"
    """Interlaced video: make whole pictures of its fields, take it as it is, or refuse it."""
    codec: Annotated[Codec, option("CODEC", "auto: h264; in webm av1")] = "auto"
    """Of the output: h264, hevc, av1, vp9, ffv1, prores; by a GPU: h264_nvenc, hevc_nvenc, av1_nvenc, h264_qsv,
    hevc_qsv, h264_vaapi, h264_videotoolbox, hevc_videotoolbox. The pixel format follows the source's depth."""
    crf: Annotated[int | None, option("Q", "16, or its like")] = None
    """Quality: lower is better and larger."""
    preset: Annotated[str | None, option("WORD", "fast, or its like")] = None
    """The encoder's own word for its speed."""
    source_rate: Annotated[str | None, option("R", "24")] = None
    """Frames a second of a folder of pictures, or of --raw."""
    raw: Annotated[str | None, option("WxH[:FORMAT]", "standard input is y4m")] = None
    """Standard input holds bare pictures of this size: 1280x720 (RGB of 8 bits), 1280x720:yuv420p10le."""
    pipe_format: Annotated[str, option("FORMAT", "y4m")] = "y4m"
    """What goes to standard output: y4m, or bare pictures: rgb24, rgb48le, yuv420p."""
    start: Annotated[str | None, option("TIME")] = None
    """Begin here: seconds or h:m:s."""
    end: Annotated[str | None, option("TIME")] = None
    """Stop here: seconds or h:m:s."""
    overwrite: bool = False
    """Replace an output that is there."""


@dataclass(frozen=True)
class Between:
    """What lies between two frames, where that is not just for the model to say."""

    repeats: Annotated[Literal["keep", "retime"], option(hint="keep")] = "keep"
    """Drawings shown for several frames (film in 60 Hz, animation on twos): keep them, or spread the motion evenly."""
    fallback: Annotated[Literal["hold", "blend", "off"], option(hint="blend")] = "blend"
    """Between frames that cannot be matched at all: hold the nearer one, cross-fade, or render nevertheless."""
    no_resume: bool = False
    """Start anew, and do not go on with what a killed run left beside the output."""


@dataclass(frozen=True)
class RenderConfig(Between, Running, Wanted, _InOut):
    """Everything that decides what a render makes. Exactly one of `rate`, `times`, `slow` and `curve` is
    set, or `rate` beside one of the last two."""

    report: Annotated[Path | None, option("FILE")] = None
    """Write where nothing was rendered, and why, as JSON."""


@dataclass(frozen=True)
class _Ahead(_InOut):
    ahead: Annotated[int | None, option("N")] = None
    """Write the N frames after the last one. Without it: the whole clip, each frame as it was predicted from those
    before it, scored against what really came."""
    whole: bool = False
    """With --ahead N: the whole clip, each frame predicted N ahead."""


@dataclass(frozen=True)
class PredictConfig(Running, _Ahead):
    """Everything that decides what a prediction makes."""


def timeline_of(config: RenderConfig) -> Timeline:
    """The one timeline that is asked for.

    Raises:
        BadOption: none is. Conflict: more than one is.
    """
    asked = {"--times": config.times, "--rate": config.rate, "--slow": config.slow, "--curve": config.curve}
    asked = {option: value for option, value in asked.items() if value is not None}
    if not asked:
        raise BadOption("nothing was asked for", "say which frames you want", "--rate 60, --times 2 or --slow 4")
    rate = None if config.rate is None else broadcast_rate(positive(config.rate, "--rate"))
    if len(asked) > 1 and set(asked) not in ({"--rate", "--slow"}, {"--rate", "--curve"}):
        words = " and ".join(f"{option} {value}" for option, value in asked.items())
        raise Conflict(f"{words} together", "each says which frames to make: give one of them")
    if config.times is not None:
        return Times(config.times)
    if config.curve is not None:
        return replace(Curve.read(config.curve), rate=rate)
    if config.slow is not None:
        return Slow(positive(config.slow, "--slow"), rate=rate)
    assert rate is not None
    return Rate(rate)


def output_of(config: RenderConfig | PredictConfig) -> Path:
    """Where to write: as asked, or beside the input under a name that says what was done."""
    if config.output is not None:
        return config.output
    if str(config.input) == "-":
        raise BadOption("standard input has no name for the output to be called after", "say where to write", "-o -")
    what = _what(config).replace("/", "-").replace(":", "-")
    if is_pattern(config.input):  # the result is a folder beside its folder
        folder = config.input.parent.resolve()
        return folder.with_name(f"{folder.name}-{what}")
    return config.input.with_name(f"{config.input.stem}-{what}{suffix_for(config.input, config.codec)}")


def suffix_for(path: Path, codec: Codec) -> str:
    """The suffix of what is made of an input with a codec; "" is a folder of pictures."""
    suffix = path.suffix.lower()
    kept = suffix if suffix in KEPT else "" if path.is_dir() else ".mp4"
    if kept in ANIMATIONS and codec != "auto":
        kept = ".mp4"
    if kept == ".webm" and codec not in ("auto", "av1", "vp9"):
        kept = ".mp4"
    if codec == "ffv1" and kept == ".mp4":
        return ".mkv"
    return ".mov" if codec == "prores" and kept == ".mp4" else kept


def _what(config: RenderConfig | PredictConfig) -> str:
    if isinstance(config, PredictConfig):
        return f"ahead{config.ahead or 1}"
    if config.curve is not None:
        return config.curve.stem
    return f"x{config.times}" if config.times else f"slow{config.slow}" if config.slow else f"{config.rate}fps"


def seconds(text: str | None, option: str) -> Fraction | None:
    """ "12.5", "1:02" or "1:02:03.4" as seconds.

    Raises:
        BadOption: it is none of these.
    """
    if text is None:
        return None
    total = Fraction(0)
    for part in text.split(":"):
        value = exact(part)
        if value is None or value < 0:
            raise BadOption(f"{option} {text}", "a time in seconds or h:m:s is needed", f"{option} 1:02:03.5")
        total = total * 60 + value
    return total
