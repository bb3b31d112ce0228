"""Which encoder writes what: codecs, the containers that hold them, and the pixel format that keeps the most."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from ..errors import BadOption, Conflict, UnsupportedStream, near
from .alpha import has_alpha, is_float
from .colour import depth_of, has_chroma
from .encoder import Encoder
from .hardware import HARDWARE, check_opens, check_present
from .light import Light, light_options
from .stream import Encoding

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}


X26X = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
SVT = tuple(str(speed) for speed in range(13, -1, -1))
ENCODERS: dict[str, Encoder] = {
    # Where a CPU has AVX-512, what x264 makes of small pictures hangs on what its memory held before: two runs are not
    # alike. "cpu-independent" leaves those passes (of its mbtree) out, at no cost that could be measured.
    "h264": Encoder(
        "libx264",
        16,
        51,
        "fast",
        X26X,
        ("mp4", "mov", "matroska"),
        (("x264-params", "cpu-independent=1"),),
        says_aspect=True,
    ),
    # x265 4.1 overruns its memory on pictures of 34x18, so small ones are refused. 4.2 waits for ever if it is closed
    # with pictures inside while its look-ahead is just ending in a thread of its pool (640x360: 1 in 200 times; after a
    # rest of 20 ms 1 in 5,000). Low pictures gain nothing by that pool.
    "hevc": Encoder(
        "libx265",
        18,
        51,
        "fast",
        X26X,
        ("mp4", "mov", "matroska"),
        (("x265-params", "log-level=error"),),
        least=64,
        says_aspect=True,
        low_height=256,
        low=(("x265-params", "pools=none"),),
        rest_s=(0.2, 0.2),
    ),
    "av1": Encoder("libsvtav1", 20, 63, "8", SVT, ("mp4", "mov", "matroska", "webm")),
    "vp9": Encoder(
        "libvpx-vp9",
        20,
        63,
        "4",
        tuple(str(speed) for speed in range(8, -1, -1)),
        ("mp4", "matroska", "webm"),
        (("b", "0"), ("row-mt", "1"), ("deadline", "good")),
        dial="cpu-used",
    ),
    "ffv1": Encoder("ffv1", None, 0, None, (), ("matroska",), (("level", "3"), ("slicecrc", "1"))),
    "prores": Encoder("prores_ks", None, 0, None, (), ("mov", "matroska"), (("profile", "3"),), full_range=False),
    **HARDWARE,
}


DEFAULTS = {"webm": "av1"}  # elsewhere h264
TRANSPARENT = {"webm": "vp9", "matroska": "ffv1", "mov": "prores"}  # for sources with alpha; mp4 holds none
ALPHA_OPTIONS = {"vp9": {"auto-alt-ref": "0"}, "prores": {"profile": "4", "alpha_bits": "16"}}
DARK = Light()


@dataclass(frozen=True)
class Plan:
    """How one video is encoded: what `Encoding` leaves open, decided."""

    container: str
    codec: str
    encoder: Encoder
    pixel_format: str
    options: dict[str, str]
    notes: tuple[str, ...]


def plan_for(path: Path, encoding: Encoding, pixel_format: str, size: tuple[int, int], light: Light = DARK) -> Plan:
    """Choose container, codec, pixel format and the encoder's options.

    Raises:
        BadOption, Conflict: a suffix, codec, crf or preset that cannot be, or not together.
        UnsupportedStream: a size that the codec does not take.
    """
    container = container_of(path)
    codec: str = encoding.codec
    if codec == "auto":
        codec = TRANSPARENT.get(container, "h264") if has_alpha(pixel_format) else DEFAULTS.get(container, "h264")
    if codec not in ENCODERS:
        raise BadOption(f"--codec {codec}{near(codec, ENCODERS)}", f"one of auto, {', '.join(ENCODERS)} is needed")
    encoder = ENCODERS[codec]
    if container not in encoder.containers:
        fitting = [suffix for suffix, name in CONTAINERS.items() if name in encoder.containers and suffix != ".m4v"]
        raise BadOption(
            f"--codec {codec} into {path.name}",
            f"{codec} goes into {' or '.join(fitting)}",
            f"-o {path.with_suffix(fitting[0]).name}",
        )
    if min(size) < encoder.least:
        raise UnsupportedStream(
            f"the video is {size[1]}x{size[0]}",
            f"{codec} takes {encoder.least}x{encoder.least} and more",
            "--codec h264",
        )
    check_present(codec, encoder)
    target, notes = choose_format(pixel_format, encoder, size)
    if has_alpha(pixel_format) and not has_alpha(target):
        notes += (f"the video's transparency is left out: {codec} holds none (vp9, prores and ffv1 do)",)
    options = _options(codec, encoder, encoding)
    if size[0] <= encoder.low_height:
        options = _joined(options, dict(encoder.low))
    if has_alpha(target):
        options |= ALPHA_OPTIONS.get(codec, {})
    check_opens(codec, encoder, size, target, options)
    shown, missed = light_options(encoder.library, light)
    return Plan(container, codec, encoder, target, _joined(options, shown), (*notes, *missed))


def container_of(path: Path) -> str:
    """ffmpeg's name of the container that a suffix asks for, or BadOption."""
    suffix = path.suffix.lower()
    if suffix not in CONTAINERS:
        raise BadOption(
            f"{path.name} ends in {suffix or 'no suffix'}",
            f"a video file ends in {', '.join(CONTAINERS)}; a folder of pictures has no suffix",
            f"-o {path.with_suffix('.mp4').name}",
        )
    return CONTAINERS[suffix]


def choose_format(source: str, encoder: Encoder, size: tuple[int, int]) -> tuple[str, tuple[str, ...]]:
    """The encoder's pixel format that keeps the source's chroma and bit depth, or comes closest, and what is lost."""
    known = {pixels.name for pixels in av.Codec(encoder.library, "w").video_formats or ()}
    known = known & set(encoder.formats) if encoder.formats else known
    if encoder.library == "ffv1":
        return _lossless_format(source, known)
    family, depth = _family(source), depth_of(source)
    if has_alpha(source) and (clear := _clear_format(family, depth, known)):
        return clear
    notes = []
    odd = (size[1] % 2 and family in ("yuv420p", "yuv422p")) or (size[0] % 2 and family == "yuv420p")
    if odd and encoder.library in ("libx264", "libx265"):
        notes.append(f"{size[1]}x{size[0]} is odd, which H.264 and HEVC hold in 4:4:4 only: colours are written so")
        family = "yuv444p"
    for wider in FAMILIES[FAMILIES.index(family) :] + FAMILIES[FAMILIES.index(family) :: -1]:
        depths = sorted(d for d in (8, 10, 12, 14, 16) if _spelled(wider, d, known))
        if depths:
            kept = next((d for d in depths if d >= depth), depths[-1])
            if FAMILIES.index(wider) < FAMILIES.index(family):
                notes.append(f"{encoder.library} holds no {family}: colours are written as {wider}")
            if kept < depth:
                notes.append(f"{encoder.library} holds {kept} bits at most: {depth} are rounded to that")
            return _spelled(wider, kept, known), tuple(notes)
    raise UnsupportedStream(f"{encoder.library} holds nothing like {source}", "another --codec is needed")


FAMILIES = ["yuv420p", "yuv422p", "yuv444p"]


def _family(source: str) -> str:
    pixels = av.VideoFormat(source, 64, 64)
    if not has_chroma(source):
        return (
            "yuv420p"  # RGB: nobody asked for more; gray: few players know monochrome, and neutral colour costs nothing
        )
    across, down = 64 // pixels.chroma_width(64), 64 // pixels.chroma_height(64)
    return {(1, 1): "yuv444p", (2, 1): "yuv422p", (4, 1): "yuv422p", (1, 2): "yuv444p"}.get((across, down), "yuv420p")


def _name(family: str, depth: int) -> str:
    return family if depth == 8 else f"{family}{depth}le"


def _spelled(family: str, depth: int, known: set[str]) -> str:
    """The name by which an encoder knows a format, or "": hardware likes planes of interleaved chroma."""
    interleaved = {("yuv420p", 8): "nv12", ("yuv420p", 10): "p010le"}
    names = (_name(family, depth), interleaved.get((family, depth), ""))
    return next((name for name in names if name in known), "")


def _lossless_format(source: str, known: set[str]) -> tuple[str, tuple[str, ...]]:
    """ffv1 holds nearly all formats as they are; the rest by another name or in the next that loses nothing."""
    known = {name for name in known if not is_float(name)}  # ffv1's are an experiment
    notes = ("ffv1 holds whole numbers: the video's are rounded to 16 bits",) if is_float(source) else ()
    named = source.replace("yuvj", "yuv")
    if named.endswith("be"):
        named = f"{named[:-2]}le"
    if named in known:
        return named, notes
    pixels, depth = av.VideoFormat(source), depth_of(source)
    if pixels.is_rgb or source == "pal8" or is_float(source):
        small, large = ("bgra", "gbrap16le") if has_alpha(source) and source != "pal8" else ("bgr0", "gbrp16le")
        return (small if depth <= 8 else large), notes
    family = _family(source)
    if has_alpha(source):
        family = family.replace("yuv", "yuva")
    return next(name for bits in (8, 10, 12, 16) if bits >= depth and (name := _name(family, bits)) in known), notes


def _clear_format(family: str, depth: int, known: set[str]) -> tuple[str, tuple[str, ...]] | None:
    """The encoder's format with alpha that keeps the most, and what is lost; None if it has none."""
    clear = [name for name in known if name.startswith("yuva")]
    if not clear:
        return None
    alike = family.replace("yuv", "yuva")
    best = max(clear, key=lambda name: (min(depth_of(name), depth), name.startswith(alike), name))
    kept = depth_of(best)
    lost = () if kept >= depth else (f"the encoder holds {kept} bits at most with alpha: {depth} are rounded to that",)
    return best, lost


def _options(codec: str, encoder: Encoder, encoding: Encoding) -> dict[str, str]:
    options = dict(encoder.options)
    if encoder.crf is None:
        if encoding.crf is not None:
            raise Conflict(f"--crf {encoding.crf} with --codec {codec}", f"{codec} has no such dial", "leave --crf out")
    else:
        crf = encoder.crf if encoding.crf is None else encoding.crf
        if not 0 <= crf <= encoder.worst_crf:
            raise BadOption(f"--crf {crf}", f"0 (best) to {encoder.worst_crf} is needed for {codec}", "--crf 16")
        options |= encoder.quality(crf)
    preset = encoding.preset or encoder.preset
    if encoding.preset is not None and encoding.preset not in encoder.presets:
        words = ", ".join(encoder.presets)
        need = f"one of {words} is needed for {codec}" if words else f"{codec} has no presets"
        raise BadOption(f"--preset {preset}{near(encoding.preset, encoder.presets)}", need)
    if preset is not None:
        options[encoder.dial] = preset
    return options


def _joined(options: dict[str, str], more: dict[str, str]) -> dict[str, str]:
    """Options of both; those that are lists of an encoder's own words are put in one."""
    return options | {key: ":".join(filter(None, (options.get(key), words))) for key, words in more.items()}


def finest(*grids: Fraction) -> Fraction:
    """The coarsest grid on which all of the given grids lie, in seconds; what no container holds becomes flicks.

    A container counts in 1 / n of a second with n below 2 ** 31. A flick (1 / 705,600,000 s) divides a frame of every
    usual rate, 24000/1001 among them.
    """
    bottom = math.lcm(*(grid.denominator for grid in grids))
    shared = Fraction(math.gcd(*(int(grid * bottom) for grid in grids)), bottom)
    return shared if shared.denominator < 2**31 else Fraction(1, 705_600_000)
