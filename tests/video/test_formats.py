"""Every pixel format that ffmpeg can hand over comes in, and goes out without loss where ffv1 has a place for it."""

from fractions import Fraction

import av
import numpy as np
import pytest
from clips import picture, planes

from tween.frame import Colour
from tween.video.codecs import ENCODERS, choose_format
from tween.video.doors import open_sink, open_source
from tween.video.stream import Encoding

F = Fraction
# how ffmpeg names them -> what ffv1 writes
FORMATS = {
    "nv12": "yuv420p", "nv21": "yuv420p", "yuyv422": "yuv422p", "uyvy422": "yuv422p", "y210le": "yuv422p10le",
    "v30xle": "yuv444p10le", "xv30le": "yuv444p10le", "xv48le": "yuv444p16le", "vyu444": "yuv444p",
    "vuya": "yuva444p", "ayuv": "yuva444p", "yuv420p10be": "yuv420p10le", "yuv422p12be": "yuv422p12le",
    "yuv444p16be": "yuv444p16le", "gray10be": "gray10le", "gray16be": "gray16le", "yuva422p10be": "yuva422p10le",
    "yuva444p16be": "yuva444p16le", "gbrap12be": "gbrap12le", "gbrp10be": "gbrp10le", "rgb24": "bgr0", "bgr24": "bgr0",
    "gbrp": "bgr0", "rgba": "bgra", "argb": "bgra", "gbrap": "bgra", "rgb48le": "gbrp16le", "rgb48be": "gbrp16le",
    "bgr48le": "gbrp16le", "rgba64be": "gbrap16le", "bgra64le": "gbrap16le", "yuv411p": "yuv411p", "yuv410p": "yuv410p",
    "yuv420p9le": "yuv420p9le", "yuv422p14le": "yuv422p14le", "rgb565le": "bgr0",
}  # fmt: skip


def raw(path, name):
    with av.open(str(path), "w", format="nut") as container:
        stream = container.add_stream("rawvideo", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, name
        for k in range(2):
            one = picture(k, (48, 64), name, Colour())
            one.pts, one.time_base = k, F(1, 24)
            container.mux(stream.encode(one))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("name", "wanted"), FORMATS.items())
def test_a_pixel_format_goes_through_without_loss(tmp_path, name, wanted):
    with open_source(raw(tmp_path / "in.nut", name)) as source:
        assert source.info.pixel_format == name
        with open_sink(tmp_path / "out.mkv", like=source, encoding=Encoding(codec="ffv1")) as sink:
            frames = list(source)
            for frame in frames:
                sink.write(frame)
    with open_source(tmp_path / "out.mkv") as source:
        made = [frame.native for frame in source]
    assert {one.format.name for one in made} == {wanted}
    for one, frame in zip(made, frames, strict=True):
        back = one.reformat(format=name) if name != wanted else one
        if wanted == "bgr0" and name == "rgb565le":
            continue  # 5 and 6 bits widened: swscale's way back dithers
        assert all(np.array_equal(a, b) for a, b in zip(planes(back), planes(frame.native), strict=True))


@pytest.mark.parametrize("name", ["gbrpf32le", "grayf32le", "gbrapf32le"])
def test_fractions_are_rounded_and_that_is_told(name):
    target, notes = choose_format(name, ENCODERS["ffv1"], (48, 64))
    assert target in ("gbrp16le", "gbrap16le")
    assert notes == ("ffv1 holds whole numbers: the video's are rounded to 16 bits",)


HERE = {name: row for name, row in ENCODERS.items() if row.library in av.codecs_available}


@pytest.mark.parametrize("encoder", HERE.values(), ids=HERE)
def test_every_format_finds_one_to_be_written_in(encoder):
    """Nothing that a decoder may give is without an answer."""
    for name in [*FORMATS, "pal8", "ya8", "ya16le", "monow", "p010le", "p016le", "yuvj422p", "gbrapf32le"]:
        target, _ = choose_format(name, encoder, (48, 64))
        assert target in {form.name for form in av.Codec(encoder.library, "w").video_formats}
