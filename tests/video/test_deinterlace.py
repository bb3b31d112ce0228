"""Interlaced video is told, and made whole, taken as it is, or refused, as asked."""

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from clips import planes

from tween.errors import UnsupportedStream
from tween.pipeline.config import RenderConfig
from tween.pipeline.recipe import render
from tween.video.doors import open_source

F = Fraction
SIZE = (64, 96)
TOLD = "the video is interlaced: whole pictures are made of its fields; --deinterlace off leaves them as they are"


def bar(at):
    """A grey picture with a bright bar at column `at`."""
    rows = np.full((*SIZE, 3), 60, np.uint8)
    rows[:, int(at) % SIZE[1] : int(at) % SIZE[1] + 12] = 220
    return rows


def woven(k):
    """Top field at time k, bottom field at k + 1/2, of a bar that runs 8 pixels a frame."""
    rows = bar(8 * k)
    rows[1::2] = bar(8 * k + 4)[1::2]
    return rows


def film(path, codec, options, frames=8, weave=woven, pixel_format="yuv420p"):
    kind = {".ts": "mpegts", ".mkv": "matroska"}.get(path.suffix, path.suffix[1:])
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = SIZE
        stream.pix_fmt = pixel_format
        for k in range(frames):
            picture = av.VideoFrame.from_ndarray(weave(k), format="rgb24").reformat(format=pixel_format)
            picture.pts, picture.time_base = k, F(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


SOURCES = [
    ("in.ts", "mpeg2video", {"flags": "+ilme+ildct", "b": "8M"}),
    ("in.mp4", "libx264", {"x264-params": "interlaced=1:tff=1", "crf": "5", "preset": "ultrafast"}),
    ("in.mkv", "libx264", {"x264-params": "interlaced=1:tff=1", "crf": "5", "preset": "ultrafast"}),
]


def combing(native):
    """How much neighbouring rows differ, against rows of one field: 1 where there is no comb."""
    luma = planes(native)[0].astype(float)[8:-8, 8:-8]
    return (abs(luma[1:] - luma[:-1]).mean() + 1) / (abs(luma[2:] - luma[:-2]).mean() + 1)


@pytest.mark.parametrize(("name", "codec", "options"), SOURCES)
def test_fields_become_whole_pictures_at_the_frames_times(tmp_path, name, codec, options):
    path = film(tmp_path / name, codec, options)
    with open_source(path, deinterlace="off") as source:
        woven_frames = list(source)
    assert source.notes == ["the video is interlaced; its pictures are taken as whole ones"]
    with open_source(path) as source:
        frames = list(source)
    assert source.notes == [TOLD]
    assert source.damage is None
    assert [f.pts for f in frames] == [f.pts for f in woven_frames]
    assert [f.duration for f in frames] == [f.duration for f in woven_frames]
    assert len(frames) == 8
    assert max(combing(f.native) for f in woven_frames[1:-1]) > 3
    assert max(combing(f.native) for f in frames[1:-1]) < 1.6
    assert not any(f.native.interlaced_frame for f in frames)


@pytest.mark.parametrize(("name", "codec", "options"), SOURCES)
def test_refused_when_asked(tmp_path, name, codec, options):
    path = film(tmp_path / name, codec, options)
    with pytest.raises(
        UnsupportedStream, match=r"is interlaced; whole pictures are needed; try: --deint.* auto, or off"
    ):
        open_source(path, deinterlace="refuse")


def test_the_way_through_keeps_count_and_clock(tmp_path):
    path = film(tmp_path / "in.ts", *SOURCES[0][1:])
    report = render(RenderConfig(path, tmp_path / "out.mp4", times=2, model="blend"))
    assert TOLD in report.notes
    with open_source(tmp_path / "out.mp4") as source:
        frames = list(source)
    assert len(frames) == 15
    assert not source.interlaced
    assert [b.pts - a.pts for a, b in pairwise(frames)] == [F(1, 50)] * 14


def test_whole_pictures_are_left_alone(tmp_path):
    path = film(tmp_path / "in.mkv", "ffv1", {}, weave=lambda k: bar(8 * k))
    with open_source(path, deinterlace="refuse") as source:
        assert [f.native.format.name for f in source] == ["yuv420p"] * 8
    assert source.notes == []


def test_a_part_of_it(tmp_path):
    path = film(tmp_path / "in.mp4", *SOURCES[1][1:], frames=30)
    with open_source(path, start=F(2, 5), end=F(4, 5)) as source:
        assert [f.pts for f in source] == [F(k, 25) for k in range(10, 20)]
