"""Speed as it is asked for on the command line: ramps, slow motion at a rate, and what becomes of the sound."""

import json
from fractions import Fraction

import pytest
from clips import Clip

from tween import Curve, interpolate
from tween.cli.main import main
from tween.errors import Conflict, UnknownTime
from tween.pipeline.config import RenderConfig, output_of, timeline_of
from tween.pipeline.recipe import render
from tween.timeline import Slow
from tween.video.doors import open_source

F = Fraction


def shown(path):
    with open_source(path) as source:
        return [frame.pts for frame in source], source.info


@pytest.fixture
def clip(tmp_path):
    return Clip(frames=24, size=(48, 64), sound=("aac",)).make(tmp_path / "clip.mp4")


@pytest.fixture
def ramp(tmp_path):
    (tmp_path / "ramp.csv").write_text("source,speed\n0,1\n0.5,1\n0.5,25%\n0.75,25%\n0.75,1\n")
    return tmp_path / "ramp.csv"


def test_a_ramp_from_the_command_line(clip, ramp, tmp_path, capsys):
    """Half a second as filmed, a quarter at a quarter of the speed, a quarter as filmed: 1.75 s in all."""
    out = tmp_path / "out.mp4"
    assert main(["interpolate", str(clip), "-o", str(out), "--curve", str(ramp), "--model", "blend", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    times, info = shown(out)
    assert times == [F(k, 24) for k in range(42)]
    assert (report["frames_out"], info.audio, info.rate) == (42, 1, 24)
    assert report["notes"] == ["the sound stream 1 (aac in eng) is stretched with the picture, and encoded anew as AAC"]
    assert report["rendered"] == 18, "all frames shown as filmed are the source's own"


def test_a_ramp_at_a_rate_of_its_own(clip, ramp, tmp_path):
    interpolate(clip, tmp_path / "out.mp4", curve=ramp, rate=60, model="nearest", sound="drop")
    times, info = shown(tmp_path / "out.mp4")
    assert times == [F(k, 60) for k in range(105)]
    assert info.audio == 0


def test_a_part_is_ramped_by_the_file_s_own_clock(clip, ramp, tmp_path):
    interpolate(clip, tmp_path / "out.mp4", curve=ramp, start="0.5", end="0.75", model="nearest")
    times, _ = shown(tmp_path / "out.mp4")
    assert times == [F(k, 24) for k in range(24)]


def test_slow_motion_at_a_rate(clip, tmp_path):
    assert timeline_of(RenderConfig(clip, slow="2.5", rate="59.94")) == Slow("2.5", rate=F(60000, 1001))
    interpolate(clip, tmp_path / "out.mp4", slow="2", rate=30, model="nearest")
    times, info = shown(tmp_path / "out.mp4")
    assert times == [F(k, 30) for k in range(60)]
    assert info.audio == 1


@pytest.mark.parametrize("asked", [{"times": 2, "slow": "2"}, {"slow": "2", "curve": "x"}, {"times": 2, "rate": "60"}])
def test_two_clocks_are_one_too_many(clip, asked):
    with pytest.raises(Conflict, match="each says which frames to make: give one of them"):
        timeline_of(RenderConfig(clip, **asked))


def test_a_midpoint_model_cannot_follow_a_curve(clip, ramp, tmp_path, monkeypatch):
    from tween.models import zoo

    real = zoo.load("blend")
    real.spec = real.spec.__class__(any_time=False)
    monkeypatch.setattr(zoo, "load", lambda *_, **__: real)
    with pytest.raises(UnknownTime, match=r"instants of a speed curve; this model knows only the middle of a gap"):
        render(RenderConfig(clip, tmp_path / "out.mp4", curve=ramp, model="blend"))
    assert not (tmp_path / "out.mp4").exists()


def test_names_of_outputs(clip, ramp, tmp_path):
    assert output_of(RenderConfig(clip, curve=ramp)).name == "clip-ramp.mp4"
    assert output_of(RenderConfig(clip, slow="2", rate="60")).name == "clip-slow2.mp4"
    assert output_of(RenderConfig(tmp_path / "a.webm", times=2)).name == "a-x2.webm"
    assert output_of(RenderConfig(tmp_path / "a.webm", times=2, codec="h264")).name == "a-x2.mp4"


def test_the_face_has_curves(ramp):
    assert Curve.read(ramp).stretch() > 1
