"""A render that is stopped, however, goes on where it was, and ends in the frames of one that never stopped."""

import hashlib
import multiprocessing
import random
import sys
import time

import av
import pytest
import torch
from alone import IMPORTED, render_alone
from clips import Clip

from tween import errors
from tween.models import zoo
from tween.models.model import Model, Prediction, Spec
from tween.pipeline import going, journal
from tween.pipeline.config import RenderConfig
from tween.pipeline.recipe import render

SEGMENT = 8


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(journal, "SEGMENT_FRAMES", SEGMENT)


def decoded(path):
    """Every picture of a video, or of a folder: its time and a digest of its planes."""
    if path.is_dir():
        return [(file.name, hashlib.md5(file.read_bytes()).hexdigest()) for file in sorted(path.iterdir())]
    with av.open(str(path)) as container:
        grid = container.streams.video[0].time_base
        return [
            (frame.pts * grid, hashlib.md5(b"".join(bytes(plane) for plane in frame.planes)).hexdigest())
            for frame in container.decode(video=0)
        ]


def packets_of(path, kind):
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [(bytes(p), p.pts * p.time_base) for p in container.demux(stream) if p.size and p.pts is not None]


class Stop(Exception):
    """The machine is switched off, as far as a render can be stopped without a process of its own."""


def stopped_at(config, frame):
    """Run until output frame `frame` was handed to the writer; True if that came before the end."""

    def watch(status):
        if status.frames == frame:
            raise Stop

    try:
        render(config, watch)
    except Stop:
        return True
    return False


def with_cuts(path, *, frames=40, every=7, codec="libx264"):
    """Shots of unlike textures, each of which moves."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.options = {"crf": "12", "bf": "2", "g": "12"}
        made = torch.Generator().manual_seed(5)
        for k in range(frames):
            if k % every == 0:
                wall = torch.randint(0, 255, (8, 12, 3), generator=made, dtype=torch.uint8)
                wall = wall.repeat_interleave(8, 0).repeat_interleave(8, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(wall.roll(2 * k, 1).numpy(), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def on_twos(path, frames=24):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.options = {"crf": "10"}
        for picture in Clip(frames=frames).pictures():
            for _ in range(2):
                picture.pts = None
                container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


WAYS = {
    "times": {"times": 3},
    "rate": {"rate": "60"},
    "fewer": {"rate": "10"},
    "slow": {"slow": "2.5"},
    "part": {"times": 3, "start": "0.3", "end": "1.2"},
    "ffv1": {"times": 3, "codec": "ffv1"},
    "cuts blended": {"times": 4, "cuts": "blend"},
    "cuts off": {"times": 2, "cuts": "off"},
    "retime": {"times": 2, "repeats": "retime"},
}


CLIPS = [
    *((way, "cuts.mp4") for way in WAYS),
    *((way, "cuts.mkv") for way in ("times", "slow", "part")),  # times in whole milliseconds
    ("retime", "twos.mp4"),
]


@pytest.mark.parametrize(("way", "source"), CLIPS)
@pytest.mark.slow
def test_stopped_anywhere_it_ends_in_the_same_frames(tmp_path, way, source):
    clip = on_twos(tmp_path / source) if source.startswith("twos") else with_cuts(tmp_path / source)
    suffix = ".mkv" if way == "ffv1" else ".mp4"
    config = {"input": clip, "model": "blend", **WAYS[way]}
    straight = render(RenderConfig(output=tmp_path / f"straight{suffix}", **config))
    going_on = RenderConfig(output=tmp_path / f"stopped{suffix}", **config)
    stops = random.Random(way + source).sample(range(SEGMENT + 2, max(SEGMENT + 4, straight.frames_out)), 2)
    for stop in sorted(stops):
        stopped_at(going_on, stop)
    report = render(going_on) if not going_on.output.exists() else None
    assert decoded(going_on.output) == decoded(tmp_path / f"straight{suffix}")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([source, f"straight{suffix}", f"stopped{suffix}"])
    if report is not None:
        assert report.resumed > 0
        assert (report.frames_out, report.frames_in, report.cuts) == (
            straight.frames_out, straight.frames_in, straight.cuts
        )  # fmt: skip


@pytest.mark.slow
def test_hevc_has_every_frame_at_its_time(tmp_path):
    """x265 writes other packets each time that it runs twice in one process: no two runs are equal, stopped or not."""
    clip = with_cuts(tmp_path / "clip.mp4", frames=20)
    straight, other = (
        RenderConfig(clip, tmp_path / n, times=3, model="blend", codec="hevc") for n in ("straight.mp4", "stopped.mp4")
    )
    render(straight)
    assert stopped_at(other, 30)
    assert render(other).resumed
    assert [pts for pts, _ in decoded(other.output)] == [pts for pts, _ in decoded(straight.output)]


class Wide(Model):
    """A midpoint model that looks at four frames: x4 takes two passes, and every context must be whole again."""

    spec = Spec(context=(-1, 0, 1, 2), any_time=False)

    def render(self, scene, t):  # noqa: ARG002
        return Prediction((-scene[0] + 5 * scene[1] + 5 * scene[2] - scene[3]).div(8).clamp(0, 1), {})


@pytest.mark.parametrize(("times", "stop"), [(2, 20), (4, 9), (4, 61), (8, 100)])
@pytest.mark.slow
def test_several_passes_over_wide_contexts(tmp_path, monkeypatch, times, stop):
    monkeypatch.setattr(zoo, "load", lambda *_, **__: Wide().eval())
    clip = with_cuts(tmp_path / "clip.mp4", frames=30)
    straight, other = (
        RenderConfig(clip, tmp_path / name, times=times, codec="ffv1") for name in ("straight.mkv", "stopped.mkv")
    )
    render(straight)
    was_stopped = stopped_at(other, stop)
    if was_stopped:
        assert render(other).resumed >= (stop - 1) // SEGMENT * SEGMENT - 2 * SEGMENT
    assert decoded(other.output) == decoded(straight.output)


def test_a_folder_of_pictures_goes_on(tmp_path):
    clip = with_cuts(tmp_path / "clip.mp4", frames=20)
    straight, other = (RenderConfig(clip, tmp_path / n, times=2, model="blend") for n in ("straight", "stopped"))
    render(straight)
    assert stopped_at(other, 29)
    finished = len(list((tmp_path / "stopped.part" / "stopped").iterdir()))
    times = {f.name: f.stat().st_mtime_ns for f in (tmp_path / "stopped.part" / "stopped").iterdir()}
    report = render(other)
    assert finished >= report.resumed >= 2 * SEGMENT
    kept = sorted(other.output.iterdir())[: report.resumed]
    assert [f.stat().st_mtime_ns for f in kept] == [times[f.name] for f in kept]
    assert decoded(other.output) == decoded(straight.output)
    assert not (tmp_path / "stopped.part").exists()


@pytest.mark.slow
def test_pictures_in_go_on_too(tmp_path):
    clip = with_cuts(tmp_path / "clip.mp4", frames=20)
    render(RenderConfig(clip, tmp_path / "frames", times=1, model="blend"))
    straight, other = (
        RenderConfig(tmp_path / "frames", tmp_path / n, rate="60", model="blend") for n in ("straight.mp4", "b.mp4")
    )
    render(straight)
    assert stopped_at(other, 30)
    assert render(other).resumed
    assert decoded(other.output) == decoded(straight.output)


def test_sound_comes_along_once(tmp_path):
    clip = Clip(frames=30, sound=["aac"]).make(tmp_path / "clip.mp4")
    config = RenderConfig(clip, tmp_path / "out.mp4", times=2, model="blend")
    assert stopped_at(config, 40)
    render(config)
    assert packets_of(config.output, "audio") == packets_of(clip, "audio")
    assert len(packets_of(config.output, "video")) == 59


@pytest.fixture
def stopped(tmp_path):
    """A render with something finished, and how it was asked for."""
    clip = Clip(frames=30).make(tmp_path / "clip.mp4")
    config = RenderConfig(clip, tmp_path / "out.mp4", times=2, model="blend")
    assert stopped_at(config, 40)
    return config


def changed(config, **options):
    from dataclasses import replace

    return replace(config, **options)


def test_another_option_is_told(stopped):
    with pytest.raises(errors.Conflict) as told:
        render(changed(stopped, crf=30, cuts="off"))
    words = str(told.value)
    assert "frames of out.mp4 are finished, of another render: " in words
    assert "--cuts was hold, is off" in words
    assert "--crf was None, is 30" in words
    assert "try: --no-resume to start anew" in words
    assert render(stopped).resumed  # nothing was lost by asking


@pytest.mark.slow
def test_another_input_is_told(stopped):
    Clip(frames=31).make(stopped.input)
    with pytest.raises(errors.Conflict, match="the input has changed"):
        render(stopped)
    assert render(changed(stopped, no_resume=True)).resumed == 0


@pytest.mark.slow
def test_no_resume_starts_anew(stopped):
    report = render(changed(stopped, no_resume=True, crf=30))
    assert report.resumed == 0
    assert len(decoded(stopped.output)) == 59
    assert not (stopped.output.parent / "out.mp4.part").exists()


@pytest.mark.slow
def test_a_mistake_loses_nothing(stopped):
    with pytest.raises(errors.BadOption):
        render(changed(stopped, crf=99))
    assert render(stopped).resumed


@pytest.mark.slow
def test_a_torn_journal_and_a_broken_segment_are_made_again(stopped, tmp_path):
    folder = tmp_path / "out.mp4.part"
    with (folder / "journal").open("ab") as file:
        file.write(b'{"segment": {"name": "000')
    second = folder / "00000001.packets"
    data = bytearray(second.read_bytes())
    data[len(data) // 2] ^= 1
    second.write_bytes(data)
    assert render(stopped).resumed == SEGMENT
    straight = changed(stopped, output=tmp_path / "straight.mp4")
    render(straight)
    assert decoded(stopped.output) == decoded(straight.output)


@pytest.mark.slow
def test_a_source_that_cannot_be_entered_in_the_middle_is_read_from_its_beginning(stopped, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(going, "go_on", lambda source, mark: asked.append(mark) or (source, None))
    assert render(stopped).resumed
    assert asked
    straight = changed(stopped, output=tmp_path / "straight.mp4")
    render(straight)
    assert decoded(stopped.output) == decoded(straight.output)


@pytest.mark.slow
def test_one_run_at_a_time(stopped):
    said = []

    def second(status):
        if status.frames == 45:
            with pytest.raises(errors.Conflict) as told:
                render(stopped)
            said.append(str(told.value))

    render(stopped, second)
    assert "another run is writing" in said[0]
    assert "one at a time" in said[0]
    assert len(decoded(stopped.output)) == 59


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(stopped):
    def interrupt(status):
        if status.frames == 45:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as told:
        render(stopped, interrupt)
    assert "what is finished is kept in" in str(told.value)
    assert "the same command goes on from there" in str(told.value)
    assert render(stopped).resumed > 2 * SEGMENT


def test_a_full_disk_keeps_what_is_finished(stopped, monkeypatch):
    from tween.video import segments

    put = segments.PacketWriter._put

    def full(self, data):
        if self.path.name >= "00000005.packets":
            raise OSError(28, "No space left on device")
        put(self, data)

    monkeypatch.setattr(segments.PacketWriter, "_put", full)
    with pytest.raises(errors.DiskFull) as told:
        render(stopped)
    assert "what is finished is kept in out.mp4.part" in str(told.value)
    assert "the same command goes on from there" in str(told.value)
    monkeypatch.undo()
    monkeypatch.setattr(journal, "SEGMENT_FRAMES", SEGMENT)
    assert render(stopped).resumed == 5 * SEGMENT
    assert len(decoded(stopped.output)) == 59


def test_a_join_that_fails_is_all_that_is_done_again(stopped, monkeypatch):
    from tween.video import filesink

    def broken(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(filesink, "Packets", broken)
    with pytest.raises(errors.DiskFull):
        render(stopped)
    monkeypatch.undo()
    monkeypatch.setattr(journal, "SEGMENT_FRAMES", SEGMENT)
    report = render(stopped)
    assert (report.resumed, report.frames_out, report.rendered) == (59, 59, 0)
    assert len(decoded(stopped.output)) == 59


KILLS = {"h264": 50, "ffv1": 20}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
@pytest.mark.parametrize("codec", [pytest.param("h264", marks=pytest.mark.long), "ffv1"])
def test_many_kills(tmp_path, codec):
    """SIGKILL at seeded moments, one render; whenever it ends before all kills are spent, it begins once more."""
    clip = with_cuts(tmp_path / "clip.mp4", frames=100, every=23)
    straight, other = (
        RenderConfig(clip, tmp_path / n, times=4, model="dis", codec=codec) for n in ("straight.mkv", "killed.mkv")
    )
    _forked(RenderConfig(clip, tmp_path / "first.mkv", times=2, model="blend"), None)  # the server is up now
    whole = _forked(straight, 90)
    seeded, went_on = random.Random(codec), 0
    for _ in range(KILLS[codec]):
        if other.output.exists():
            assert decoded(other.output) == decoded(straight.output)
            other.output.unlink()
        _forked(other, seeded.uniform(0, whole / 6))
        went_on += (tmp_path / "killed.mkv.part" / "journal").exists()
        assert other.output.exists() or not other.output.is_file()
    assert went_on > KILLS[codec] / 2
    if not other.output.exists():
        _forked(other, None)
    assert decoded(other.output) == decoded(straight.output)
    assert not list(tmp_path.glob("*.part"))


def _forked(config, life):
    """Render in a process of its own, killed after `life` seconds; how long it lived."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    begun = time.monotonic()
    process = context.Process(target=render_alone, args=(config, SEGMENT))
    process.start()
    process.join(life)
    if process.is_alive():
        process.kill()
        process.join()
    else:
        assert process.exitcode == 0
    return time.monotonic() - begun
