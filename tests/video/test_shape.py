"""The shape of a pixel in Matroska and WebM: said, and nothing else of the file harmed."""

import shutil
import subprocess
from fractions import Fraction

import av
import pytest
from clips import Clip

from tween.pipeline.config import RenderConfig
from tween.pipeline.recipe import render
from tween.video.doors import open_source
from tween.video.shape import put_shape

F = Fraction
WAYS = [("ffv1", ".mkv"), ("av1", ".mkv"), ("av1", ".webm"), ("vp9", ".webm"), ("prores", ".mkv"), ("h264", ".mkv"),
        ("hevc", ".mkv")]  # fmt: skip


def packets_of(path):
    with av.open(str(path)) as container:
        return [(p.stream.index, p.pts, p.dts, p.is_keyframe, bytes(p)) for p in container.demux() if p.size]


@pytest.mark.parametrize("aspect", [F(4, 3), F(64, 45), F(8, 9)])
@pytest.mark.parametrize(("codec", "suffix"), WAYS)
@pytest.mark.slow
def test_anamorphic_film_stays_so(tmp_path, codec, suffix, aspect):
    clip = Clip(frames=4, size=(90, 720 if aspect == F(64, 45) else 144), aspect=aspect, sound=("libopus",),
                chapters=(("One", 0, 0.1),), attachment="" if suffix == ".webm" else "a.txt")  # fmt: skip
    source = clip.make(tmp_path / "in.mkv")
    preset = {"av1": "13", "vp9": "8", "h264": "ultrafast", "hevc": "ultrafast"}.get(codec)
    config = RenderConfig(source, tmp_path / f"out{suffix}", times=2, model="nearest", codec=codec, preset=preset)
    notes = render(config).notes
    assert not [note for note in notes if "shape" in note]
    with open_source(tmp_path / f"out{suffix}") as made:
        assert made.info.sample_aspect == aspect
        assert len(list(made)) == 7
    assert made.damage is None


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="needs ffprobe")
def test_others_read_it_without_a_word(tmp_path):
    source = Clip(frames=4, aspect=F(4, 3), codec="ffv1").make(tmp_path / "in.mkv")
    assert put_shape(source, F(4, 3), (64, 96))
    asked = ["ffprobe", "-v", "warning", "-count_frames", "-show_entries", "stream=sample_aspect_ratio,nb_read_frames",
             "-of", "csv=p=0", str(source)]  # fmt: skip
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("4:3,4", "")


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_nothing_else_changes(tmp_path, suffix):
    clip = Clip(frames=30, size=(64, 64), sound=("libopus",), chapters=(("One", 0, 1),), metadata={"title": "A film"})
    path = clip.make(tmp_path / f"in{suffix}")
    before, length = packets_of(path), path.stat().st_size
    assert put_shape(path, F(3, 2), (64, 64))
    assert packets_of(path) == before
    assert path.stat().st_size == length
    with av.open(str(path)) as container:
        assert (container.metadata["title"], len(container.chapters())) == ("A film", 1)
        assert container.streams.video[0].sample_aspect_ratio == F(3, 2)
        container.seek(500_000)
        assert next(container.decode(video=0)).pts is not None


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"\x1a\x45\xdf\xa3\x80", b"RIFF" + b"x" * 500])
def test_a_file_of_another_kind_is_left_alone(tmp_path, data):
    (tmp_path / "x.mkv").write_bytes(data)
    assert not put_shape(tmp_path / "x.mkv", F(4, 3), (64, 64))
    assert (tmp_path / "x.mkv").read_bytes() == data
