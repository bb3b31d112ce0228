"""HDR: what was said of the mastering display and of the brightest light is said again."""

import struct
from fractions import Fraction

import av
import pytest
from clips import Clip

from tween.frame import Colour
from tween.pipeline.config import RenderConfig
from tween.pipeline.recipe import render
from tween.video.doors import open_source
from tween.video.light import Light, light_of, light_options

F = Fraction
PQ, HLG = Colour(9, 9, 16, False), Colour(9, 9, 18, False)
DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
P3 = Light(
    red=(F(34, 50), F(16, 50)), green=(F(265, 1000), F(69, 100)), blue=(F(15, 100), F(6, 100)),
    white=(F(15635, 50000), F(16450, 50000)), least=F(5, 1000), greatest=F(1000), level=(1000, 400),
)  # fmt: skip


def hdr(path, colour=PQ, display=True, level=True):
    params = ["log-level=error"] + [f"master-display={DISPLAY}"] * display + ["max-cll=1000,400"] * level
    return Clip(frames=3, size=(64, 64), codec="libx265", pixel_format="yuv420p10le", colour=colour,
                options={"x265-params": ":".join(params)}).make(path)  # fmt: skip


def light(path):
    with open_source(path) as source:
        assert len(list(source)) >= 3
        return source.light, source.info


def near(a, b):
    numbers = [
        (x, y)
        for key in ("red", "green", "blue", "white")
        for x, y in zip(getattr(a, key), getattr(b, key), strict=True)
    ]
    numbers += [(a.least, b.least), (a.greatest, b.greatest)]
    return a.level == b.level and all(abs(float(x - y)) < 1e-4 * max(1, float(y)) for x, y in numbers)


@pytest.mark.parametrize("colour", [PQ, HLG], ids=["PQ", "HLG"])
@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("hevc", ".mp4"),
        ("hevc", ".mkv"),
        ("hevc", ".mov"),
        ("av1", ".mp4"),
        ("av1", ".mkv"),
        ("av1", ".webm"),
        ("h264", ".mp4"),
    ],
)
@pytest.mark.slow
def test_hdr_stays_hdr(tmp_path, codec, suffix, colour):
    source = hdr(tmp_path / "in.mkv", colour)
    assert near(light(source)[0], P3)
    preset = "12" if codec == "av1" else "ultrafast"
    report = render(RenderConfig(source, tmp_path / f"out{suffix}", times=2, model="blend", codec=codec, preset=preset))
    assert report.notes == []
    made, info = light(tmp_path / f"out{suffix}")
    assert near(made, P3)
    assert (info.colour, info.bit_depth, info.length in (5, None)) == (colour, 10, True)


@pytest.mark.parametrize(("display", "level"), [(True, False), (False, True)])
def test_half_of_it_stays_half(tmp_path, display, level):
    source = hdr(tmp_path / "in.mp4", display=display, level=level)
    render(RenderConfig(source, tmp_path / "out.mp4", times=2, model="nearest", codec="hevc", preset="ultrafast"))
    made, _ = light(tmp_path / "out.mp4")
    assert (bool(made.white), bool(made.level)) == (display, level)


@pytest.mark.parametrize(("codec", "name"), [("ffv1", "ffv1"), ("prores", "prores_ks"), ("vp9", "libvpx-vp9")])
def test_a_codec_that_holds_none_says_so(tmp_path, codec, name):
    source = hdr(tmp_path / "in.mkv")
    report = render(RenderConfig(source, tmp_path / "out.mkv", times=2, model="nearest", codec=codec))
    assert f"{name} cannot hold the light data of the mastering display (HDR10): left out" in report.notes
    assert light(tmp_path / "out.mkv")[1].colour.transfer == 16


def test_light_that_changes_with_scenes_is_told():
    _, notes = light_options("libx265", Light(dynamic=("Dolby Vision",)))
    assert notes == ["the Dolby Vision data is left out: it changes with every scene, and in-between ones have none"]


def test_a_picture_without_light_has_none():
    assert light_of(av.VideoFrame(16, 16, "yuv420p")) == Light()
    assert light_options("libx264", Light()) == ({}, [])


def test_words_of_the_encoders():
    assert light_options("libx265", P3)[0] == {"x265-params": f"master-display={DISPLAY}:max-cll=1000,400"}
    assert light_options("libx264", P3)[0] == {"x264-params": f"mastering-display={DISPLAY}:cll=1000,400"}
    assert light_options("libsvtav1", P3)[0] == {
        "svtav1-params": "mastering-display=G(0.265,0.69)B(0.15,0.06)R(0.68,0.32)WP(0.3127,0.329)L(1000,0.005)"
        ":content-light=1000,400"
    }
    assert struct.calcsize("20i2i") == 88
