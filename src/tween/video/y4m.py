"""Pictures without compression: the header of YUV4MPEG2 (y4m), and where the samples of a bare picture lie.

    YUV4MPEG2 W1280 H720 F30000:1001 Ip A1:1 C420p10 XCOLORRANGE=LIMITED   a line
    FRAME                                                                   a line, then the planes: each picture

Letters as in mjpegtools' yuv4mpeg(5); the depths, `mono` and XCOLORRANGE as FFmpeg writes them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

import av

from ..errors import BadOption, NotAVideo, UnsupportedStream, near
from ..frame import Colour
from .colour import depth_of, full_range_of, has_chroma

MAGIC = b"YUV4MPEG2"
LONGEST = 512  # bytes of a header line; every known writer stays below 200
CHROMA = {  # the letter C -> ffmpeg's pixel format
    "420jpeg": "yuv420p",
    "420mpeg2": "yuv420p",
    "420paldv": "yuv420p",
    "420": "yuv420p",
    "411": "yuv411p",
    "422": "yuv422p",
    "444": "yuv444p",
    "444alpha": "yuva444p",
    "mono": "gray",
    **{f"{part}p{depth}": f"yuv{part}p{depth}le" for part in (420, 422, 444) for depth in (9, 10, 12, 14, 16)},
    **{f"mono{depth}": f"gray{depth}le" for depth in (9, 10, 12, 14, 16)},
}
FIELDS = {"t": "top field first", "b": "bottom field first", "m": "mixed fields"}
PLAIN = ("rgb24", "bgr24", "rgba", "bgra", "rgb48le", "rgba64le", "gray", "gray16le", "nv12", "p010le")


@dataclass(frozen=True)
class Layout:
    """How the bytes of each picture lie.

    Attributes:
        size: (H, W) in pixels.
        pixel_format: ffmpeg's name.
        rate: pictures a second, or None where nobody says.
        sample_aspect: width : height of one sample, or None where nobody says.
        full_range: as `Colour.full_range`.
        fields: y4m's letter for interlacing: p, t, b, m, or ? where nobody says.
        chroma: y4m's word for the pixel format, which also says where chroma is sampled; "" for a bare picture.
    """

    size: tuple[int, int]
    pixel_format: str
    rate: Fraction | None = None
    sample_aspect: Fraction | None = None
    full_range: bool | None = None
    fields: str = "?"
    chroma: str = ""

    @property
    def length(self) -> int:
        """Bytes of one picture."""
        height, width = self.size
        pixels = av.VideoFormat(self.pixel_format, width, height)
        if pixels.is_planar or len(pixels.components) == 1:
            return sum(part.width * part.height * ((part.bits + 7) // 8) for part in pixels.components)
        return width * height * pixels.padded_bits_per_pixel // 8


def read_header(line: bytes, name: str) -> Layout:
    """The first line of a y4m stream, without its line feed.

    Raises:
        NotAVideo: it says no size, or not as y4m does. UnsupportedStream: a pixel format or a size beyond us.
    """
    words = line.decode("ascii", "replace").split(" ")[1:]
    said = {word[0]: word[1:] for word in words if word and word[0] != "X"}
    try:
        size = int(said["H"]), int(said["W"])
        rate, aspect = _ratio(said.get("F", "0:0")), _ratio(said.get("A", "0:0"))
    except (KeyError, ValueError) as error:
        shown = line[:80].decode("ascii", "replace")
        raise NotAVideo(
            f"the y4m header of {name} reads {shown!r}", "W, H and F with whole numbers are needed"
        ) from error
    chroma = said.get("C", "420jpeg")
    if chroma not in CHROMA:
        raise UnsupportedStream(
            f"{name} is y4m of kind C{chroma}{near(chroma, CHROMA)}",
            f"one of {', '.join(CHROMA)} is needed",
            "ffmpeg -i IN -pix_fmt yuv420p -f yuv4mpegpipe -",
        )
    limits = {"XCOLORRANGE=FULL": True, "XCOLORRANGE=LIMITED": False}
    full = next((limits[word] for word in words if word in limits), None)
    return checked(Layout(size, CHROMA[chroma], rate, aspect, full, (said.get("I") or "?")[0], chroma), name)


def header(layout: Layout) -> bytes:
    """The first line of a y4m stream, with its line feed."""
    assert layout.rate is not None
    height, width = layout.size
    aspect = layout.sample_aspect or Fraction(0, 1)
    words = [
        f"W{width}",
        f"H{height}",
        f"F{layout.rate.numerator}:{layout.rate.denominator}",
        f"I{'p' if layout.fields == '?' else layout.fields}",
        f"A{aspect.numerator}:{aspect.denominator if aspect else 0}",
        f"C{layout.chroma or chroma_of(layout.pixel_format)}",
    ]
    if layout.full_range is not None:
        words.append(f"XCOLORRANGE={'FULL' if layout.full_range else 'LIMITED'}")
    return b" ".join([MAGIC, *(word.encode() for word in words)]) + b"\n"


def raw_layout(text: str, rate: Fraction | None) -> Layout:
    """`1280x720` or `1280x720:rgb48le`: bare pictures, RGB of 8 bits unless another of ffmpeg's formats is named.

    Raises:
        BadOption: it is neither, or nobody said how many pictures a second there are.
    """
    found = re.fullmatch(r"(\d{1,6})[x×](\d{1,6})(?::(\w+))?", text.strip().lower())
    if found is None:
        raise BadOption(
            f"--raw {text}", "WIDTHxHEIGHT is needed, or WIDTHxHEIGHT:FORMAT", "--raw 1280x720 or --raw 1280x720:bgra"
        )
    if rate is None:
        raise BadOption(f"--raw {text}", "bare pictures carry no rate: it has to be said", "--source-rate 30")
    width, height, pixel_format = int(found[1]), int(found[2]), found[3] or "rgb24"
    check_format(pixel_format, "--raw")
    return checked(Layout((height, width), pixel_format, rate), f"--raw {text}")


def check_format(pixel_format: str, option: str) -> None:
    """BadOption unless bare pictures of this format are understood."""
    known = sorted({*PLAIN, *CHROMA.values()})
    if pixel_format not in known:
        raise BadOption(f"{option} {pixel_format}{near(pixel_format, known)}", f"one of {', '.join(known)} is needed")


def checked(layout: Layout, name: str) -> Layout:
    """The layout, if pictures can be of its size."""
    height, width = layout.size
    if width < 1 or height < 1 or (width + 128) * (height + 128) >= 2**28:  # what ffmpeg allocates at most
        raise UnsupportedStream(f"{name} is of {width}x{height} pixels", "1 to about 16000x16000 is needed")
    return layout


def chroma_of(pixel_format: str) -> str:
    """y4m's word for a pixel format."""
    return next(word for word, known in CHROMA.items() if known == pixel_format)


def nearest_format(source: str) -> str:
    """The y4m pixel format that keeps a format's chroma and depth: RGB becomes 4:4:4."""
    opaque = source.replace("yuvj", "yuv").replace("yuva", "yuv")
    if opaque in CHROMA.values():
        return opaque
    depth = next(d for d in (8, 9, 10, 12, 14, 16) if d >= depth_of(source) or d == 16)
    family = "gray" if _is_gray(source) else f"yuv{_subsampling(source)}p"
    return family if depth == 8 else f"{family}{depth}le"


def colour_for(pixel_format: str, source: str, colour: Colour) -> Colour:
    """The tags to convert by: the source's own. RGB goes into what readers take an untagged stream for."""
    if has_chroma(pixel_format) and not has_chroma(source):
        return Colour(full_range=False)
    if _is_gray(pixel_format):
        return Colour(colour.matrix, colour.primaries, colour.transfer, full_range_of(source, colour))
    return colour


def _is_gray(pixel_format: str) -> bool:
    return pixel_format.startswith(("gray", "ya", "mono"))


def _subsampling(source: str) -> str:
    pixels = av.VideoFormat(source, 64, 64)
    if not has_chroma(source):
        return "444"
    across, down = 64 // pixels.chroma_width(64), 64 // pixels.chroma_height(64)
    return {(2, 2): "420", (2, 1): "422", (4, 1): "422"}.get((across, down), "444")


def _ratio(text: str) -> Fraction | None:
    """ "30000:1001" as a number; "0:0" is y4m for "unknown"."""
    top, _, bottom = text.partition(":")
    above, below = int(top), int(bottom)
    return Fraction(above, below) if above > 0 and below > 0 else None
