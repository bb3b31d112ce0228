"""Colour, all the way through a render: an original frame of the output is off by no more than its codec makes it."""

from fractions import Fraction

import av
import numpy as np
import pytest
from clips import Clip, planes

from tween.frame import Colour
from tween.pipeline.config import RenderConfig
from tween.pipeline.recipe import render
from tween.video.codecs import plan_for
from tween.video.stream import Encoding

F = Fraction
MATRICES = {"BT.601 525": (6, 6, 6), "BT.601 625": (5, 5, 6), "BT.709": (1, 1, 1), "BT.2020": (9, 9, 14),
            "SMPTE 240M": (7, 7, 7), "FCC": (4, 6, 6), "untagged": (2, 2, 2)}  # fmt: skip
LAWS = [(name, full) for name in MATRICES for full in (False, True)]
every = pytest.mark.parametrize(("name", "full"), LAWS)


def clip_of(name, full, pixel_format, frames=4):
    return Clip(
        frames=frames, size=(64, 96), codec="ffv1", pixel_format=pixel_format, colour=Colour(*MATRICES[name], full)
    )


def pictures(path):
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def samples(native):
    """All codes of a picture as one line of integers."""
    kind = np.uint8 if max(part.bits for part in native.format.components) == 8 else np.uint16
    return np.concatenate([np.ascontiguousarray(rows).view(kind).ravel() for rows in planes(native)]).astype(int)


def error(path, originals, step=1):
    """Mean and greatest error of every `step`th picture of a file, in codes, and the mean of all planes apart."""
    off = [samples(made) - samples(was) for made, was in zip(pictures(path)[::step], originals, strict=True)]
    return np.abs(off).mean(), np.abs(off).max(), np.mean(off)


@every
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "yuv422p10le"])
@pytest.mark.slow
def test_with_ffv1_there_is_no_error(tmp_path, name, full, pixel_format):
    source = clip_of(name, full, pixel_format).make(tmp_path / "in.mkv")
    render(RenderConfig(source, tmp_path / "out.mkv", times=2, model="blend", codec="ffv1"))
    assert error(tmp_path / "out.mkv", pictures(source), step=2) == (0, 0, 0)


@every
@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9"])
@pytest.mark.slow
def test_with_a_lossy_codec_it_is_the_codec_s_own(tmp_path, name, full, codec):
    """The very frames that tween writes, straight through the same encoder by PyAV alone, lose as much. And there is no
    tint: the mean is not off."""
    source = clip_of(name, full, "yuv420p").make(tmp_path / "in.mkv")
    preset = {"av1": "12", "vp9": "8"}.get(codec, "ultrafast")
    for out, one, speed in (("out.mkv", codec, preset), ("lossless.mkv", "ffv1", None)):
        render(RenderConfig(source, tmp_path / out, times=2, model="blend", codec=one, preset=speed))
    plan = plan_for(tmp_path / "plain.mkv", Encoding(codec=codec, preset=preset), "yuv420p", (64, 96))
    plain(tmp_path / "plain.mkv", pictures(tmp_path / "lossless.mkv"), plan)
    originals = pictures(source)
    ours, most, mean = error(tmp_path / "out.mkv", originals, step=2)
    theirs, most_of_theirs, _ = error(tmp_path / "plain.mkv", originals, step=2)
    assert ours <= theirs * 1.01
    assert most <= most_of_theirs + 1
    assert abs(mean) < 0.12


def plain(path, originals, plan):
    """Pictures through an encoder as anybody would call it."""
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream(plan.encoder.library, rate=48, options=plan.options)
        stream.width, stream.height = originals[0].width, originals[0].height
        stream.pix_fmt = "yuv420p"
        stream.codec_context.color_range = originals[0].color_range
        for k, picture in enumerate(originals):
            picture.pts, picture.time_base, picture.pict_type = k, F(1, 48), 0
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


@every
def test_frames_between_equal_ones_have_their_colours(tmp_path, name, full):
    """A still film, its frames in between computed through RGB and back: no tint, whatever matrix and range."""
    still = clip_of(name, full, "yuv420p", frames=1).pictures()[0]
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for k in range(3):
            picture = still
            if k == 1:  # one code off in one place, so that the film is not still to the bit
                picture = clip_of(name, full, "yuv420p", frames=1).pictures()[0]
                memory = np.frombuffer(picture.planes[0], np.uint8)
                rows = memory.copy()
                rows[0] ^= 1
                picture.planes[0].update(rows.tobytes())
            picture.pts, picture.time_base = k, F(1, 24)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    report = render(RenderConfig(path, tmp_path / "out.mkv", times=2, model="blend", codec="ffv1"))
    assert report.rendered == 2
    made = pictures(tmp_path / "out.mkv")
    for k in (1, 3):
        off = samples(made[k]) - samples(made[0])
        assert abs(off.mean()) < 0.06
        assert abs(off).mean() < 0.3
