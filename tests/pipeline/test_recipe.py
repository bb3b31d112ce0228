"""The main job, end to end on generated files: counts, times, sound, depth, colour, damage, and nothing left behind."""

import errno
from dataclasses import replace
from fractions import Fraction

import av
import pytest
import torch
from clips import Clip

from tween import errors
from tween.frame import Colour
from tween.models import zoo
from tween.models.weights import write
from tween.pipeline.config import PredictConfig, RenderConfig
from tween.pipeline.extract import extract
from tween.pipeline.recipe import predict, render
from tween.video.doors import open_source
from tween.video.filesink import FileSink


def frames_of(path):
    with open_source(path) as source:
        return list(source), source.info


def packets_of(path, kind):
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [(bytes(p), p.pts * p.time_base) for p in container.demux(stream) if p.size and p.pts is not None]


def run(clip, out, **options):
    return render(RenderConfig(clip, out, **{"model": "blend", **options}))


@pytest.fixture
def clip(tmp_path):
    return Clip(frames=12, sound=["aac"]).make(tmp_path / "clip.mp4")


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_times(clip, tmp_path, factor):
    report = run(clip, tmp_path / "out.mp4", times=factor)
    frames, info = frames_of(tmp_path / "out.mp4")
    assert report.frames_out == len(frames) == 11 * factor + 1
    assert [f.pts for f in frames] == [Fraction(k, 24 * factor) for k in range(len(frames))]
    assert info.duration == frames_of(clip)[1].duration == Fraction(1, 2)


@pytest.mark.parametrize(("rate", "exact"), [("60", 60), ("59.94", Fraction(60000, 1001)), ("144", 144), ("12", 12)])
def test_rate(clip, tmp_path, rate, exact):
    report = run(clip, tmp_path / "out.mp4", rate=rate)
    frames, info = frames_of(tmp_path / "out.mp4")
    assert len(frames) == report.frames_out == -(-Fraction(1, 2) * exact // 1)
    assert [f.pts for f in frames] == [Fraction(k) / exact for k in range(len(frames))]
    assert info.rate == exact
    assert bool(report.notes) == (rate == "12")
    if rate == "12":
        assert "24 frames a second: --rate 12 resamples it down to fewer" in report.notes[0]


def test_a_rate_that_nearly_fits_is_told(tmp_path):
    clip = Clip(frames=4, rate=Fraction(30000, 1001)).make(tmp_path / "ntsc.mp4")
    report = run(clip, tmp_path / "out.mp4", rate="60")
    assert report.rendered == 6
    assert "--rate 59.9401 keeps every original" in report.notes[0]
    exact = run(clip, tmp_path / "exact.mp4", rate="59.9401")
    assert (exact.rendered, exact.notes) == (3, [])


def test_sound_is_copied_to_the_byte_and_the_tick(clip, tmp_path):
    run(clip, tmp_path / "out.mp4", rate="60")
    assert packets_of(tmp_path / "out.mp4", "audio") == packets_of(clip, "audio")


def test_slow_motion_drops_its_sound_only_when_asked(clip, tmp_path):
    report = run(clip, tmp_path / "out.mp4", slow="2.5", sound="drop")
    frames, info = frames_of(tmp_path / "out.mp4")
    assert info.duration == Fraction(30, 24)
    assert info.audio == 0
    assert len(frames) == 30
    assert any("sound" in note for note in report.notes)


def test_originals_come_back_to_the_bit(tmp_path):
    source = Clip(frames=6, pixel_format="yuv420p10le", colour=Colour(9, 9, 16, False), codec="ffv1")
    path = source.make(tmp_path / "clip.mkv")
    run(path, tmp_path / "out.mkv", times=3, codec="ffv1")
    before, info = frames_of(path)
    after, info_after = frames_of(tmp_path / "out.mkv")
    assert [torch.equal(a.data, b.data) for a, b in zip(before, after[::3], strict=True)] == [True] * 6
    assert after[1].data.dtype == torch.uint16
    assert info_after.colour == info.colour == Colour(9, 9, 16, False)
    assert info_after.pixel_format == "yuv420p10le"


@pytest.mark.parametrize("size", [(63, 97), (37, 50), (2, 2)])
def test_odd_sizes(tmp_path, size):
    clip = Clip(frames=4, size=size, codec="ffv1", pixel_format="yuv444p").make(tmp_path / "clip.mkv")
    run(clip, tmp_path / "out.mp4", times=2)
    frames, info = frames_of(tmp_path / "out.mp4")
    assert info.size == size
    assert len(frames) == 7


def test_a_variable_clock_stays_variable(tmp_path):
    ticks = [0, 40, 60, 200, 210, 500]
    clip = Clip(frames=6, ticks=ticks, grid=Fraction(1, 1000)).make(tmp_path / "clip.mp4")
    run(clip, tmp_path / "out.mp4", times=2)
    frames, _ = frames_of(tmp_path / "out.mp4")
    expected = [0, 20, 40, 50, 60, 130, 200, 205, 210, 355, 500]
    assert [f.pts for f in frames] == [Fraction(k, 1000) for k in expected]


def test_a_part(clip, tmp_path):
    run(clip, tmp_path / "out.mp4", times=2, start="0.125", end="0.25")
    frames, _ = frames_of(tmp_path / "out.mp4")
    assert [f.pts for f in frames] == [Fraction(k, 48) for k in range(5)]


def test_a_folder_in_and_out(tmp_path, clip):
    run(clip, tmp_path / "frames", times=1)
    assert len(list((tmp_path / "frames").glob("*.png"))) == 12
    run(tmp_path / "frames", tmp_path / "back.mp4", times=2, source_rate="24")
    assert len(frames_of(tmp_path / "back.mp4")[0]) == 23


def test_cuts_are_held_not_blended(tmp_path):
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        generator = torch.Generator().manual_seed(1)
        shots = [
            torch.randint(0, 90, (6, 8, 3), generator=generator),
            torch.randint(150, 255, (6, 8, 3), generator=generator),
        ]
        for k in range(12):
            wall = shots[k // 6].repeat_interleave(8, 0).repeat_interleave(8, 1).roll(k, 1).to(torch.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(wall.numpy(), format="rgb24")))
        container.mux(stream.encode(None))
    report = run(tmp_path / "clip.mkv", tmp_path / "out.mkv", times=2, codec="ffv1")
    frames, _ = frames_of(tmp_path / "out.mkv")
    assert report.cuts == 1
    assert torch.equal(frames[11].data, frames[12].data)  # t = 1/2 is nearer to the second
    blended = run(tmp_path / "clip.mkv", tmp_path / "blend.mkv", times=2, codec="ffv1", cuts="off")
    assert blended.cuts == 0
    assert not torch.equal(frames_of(tmp_path / "blend.mkv")[0][11].data, frames[11].data)


def test_a_network_from_a_file_runs(tmp_path, clip):
    torch.manual_seed(0)
    weights = tmp_path / "net.safetensors"
    write(zoo.create("ifrnet-t").state_dict(), weights, name="ifrnet-t")
    report = run(clip, tmp_path / "out.mp4", times=2, model=str(weights), backend="torch")
    assert (report.frames_out, report.rendered) == (23, 11)


def test_a_midpoint_network_halves_until_it_is_there(tmp_path, clip):
    torch.manual_seed(0)
    weights = tmp_path / "net.safetensors"
    write(zoo.create("lightvfi").state_dict(), weights, name="lightvfi")
    report = run(clip, tmp_path / "out.mp4", times=4, model=str(weights), backend="torch", fallback="off")
    assert (report.frames_out, report.rendered) == (45, 11 + 22)
    with pytest.raises(errors.UnknownTime, match=r"knows only the middle of a gap.*--rate 48, 96, 192"):
        run(clip, tmp_path / "no.mp4", rate="60", model=str(weights), backend="torch")


def test_a_truncated_file_is_rendered_as_far_as_it_goes(tmp_path):
    path = Clip(frames=60, size=(120, 160)).make(tmp_path / "clip.mkv")
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    report = run(broken, tmp_path / "out.mkv", times=2)
    assert isinstance(report.damage, errors.TruncatedInput)
    assert report.damage.exit_code == 1
    read = report.frames_in
    assert 2 <= read < 60
    assert len(frames_of(tmp_path / "out.mkv")[0]) == 2 * read - 1


WRONG = [
    ({}, errors.BadOption, "nothing was asked for.*--rate 60, --times 2 or --slow 4"),
    ({"times": 2, "rate": "60"}, errors.Conflict, "--times 2 and --rate 60 together"),
    ({"rate": "fast"}, errors.BadOption, "--rate fast; a number above 0 is needed"),
    ({"rate": "-5"}, errors.BadOption, "--rate -5"),
    ({"rate": "1/0"}, errors.BadOption, "--rate 1/0"),
    ({"times": 0}, errors.BadOption, "--times 0; a whole number from 1"),
    ({"slow": "0"}, errors.BadOption, "--slow 0"),
    ({"times": 2, "start": "soon"}, errors.BadOption, "--start soon; a time in seconds or h:m:s"),
    ({"times": 2, "model": "ifrnet-z"}, errors.UnknownModel, "no model is called ifrnet-z.*ifrnet-"),
    ({"times": 2, "model": "ifrnet-l"}, errors.NoWeights, "an untrained network is never run.*ifrnet-l@vimeo90k"),
    ({"times": 2, "model": "ifrvp"}, errors.NoWeights, "ifrvp"),
    ({"times": 2, "model": "missing.safetensors"}, errors.MissingFile, "missing.safetensors"),
    ({"times": 2, "scale": 0.5}, errors.BadOption, "--scale 0.5"),
    ({"times": 2, "codec": "prores"}, errors.BadOption, "prores"),
    ({"times": 2, "crf": 99}, errors.BadOption, "--crf 99"),
    ({"times": 2, "precision": "fp16"}, errors.BadOption, "fp16"),
]


@pytest.mark.parametrize(("options", "kind", "words"), WRONG, ids=lambda v: str(v) if isinstance(v, dict) else None)
@pytest.mark.slow
def test_a_mistake_is_told_and_nothing_is_written(clip, tmp_path, options, kind, words):
    with pytest.raises(kind, match=words):
        run(clip, tmp_path / "out.mp4", **options)
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


BAD_FILES = {
    "zero.mp4": (b"", errors.EmptyVideo, "is empty"),
    "text.mp4": (b"This is not a video, only words in a file.\n" * 99, errors.NotAVideo, "no video that can be read"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_told(tmp_path, name):
    content, kind, words = BAD_FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(kind, match=words):
        run(tmp_path / name, tmp_path / "out.mp4", times=2)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(errors.MissingFile, match=r"nothing\.mp4 is not there"):
        run(tmp_path / "nothing.mp4", tmp_path / "out.mp4", times=2)


def test_sound_alone_is_no_video(tmp_path):
    with av.open(str(tmp_path / "sound.m4a"), "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.sample_rate = 48000
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(errors.NoVideoStream, match="no moving pictures, only"):
        run(tmp_path / "sound.m4a", tmp_path / "out.mp4", times=2)


def test_one_frame_is_too_little(tmp_path):
    path = Clip(frames=1).make(tmp_path / "clip.mp4")
    with pytest.raises(errors.TooShort, match="has 1 frame; two are needed"):
        run(path, tmp_path / "out.mp4", times=2)
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_an_output_is_not_replaced_unless_asked(clip, tmp_path):
    out = tmp_path / "out.mp4"
    out.write_text("mine")
    with pytest.raises(errors.OutputExists, match=r"is there already.*--overwrite"):
        run(clip, out, times=2)
    assert out.read_text() == "mine"
    run(clip, out, times=2, overwrite=True)
    assert len(frames_of(out)[0]) == 23


def test_the_input_is_never_the_output(clip):
    before = clip.read_bytes()
    with pytest.raises(errors.Conflict, match="input and output are both"):
        run(clip, clip, times=2, overwrite=True)
    assert clip.read_bytes() == before


def test_a_folder_that_is_not_there(clip, tmp_path):
    with pytest.raises(errors.CannotWrite, match="is not there"):
        run(clip, tmp_path / "no" / "out.mp4", times=2)


def test_a_full_disk_leaves_nothing(clip, tmp_path, monkeypatch):
    written = FileSink.write

    def full(self, frame):
        if frame.pts > Fraction(1, 4):
            raise OSError(errno.ENOSPC, "No space left on device")
        written(self, frame)

    monkeypatch.setattr(FileSink, "write", full)
    with pytest.raises((errors.DiskFull, OSError)):
        run(clip, tmp_path / "out.mp4", times=2)
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_ctrl_c_leaves_nothing(clip, tmp_path):
    def interrupt(status):
        if status.frames == 5:
            raise KeyboardInterrupt

    config = RenderConfig(clip, tmp_path / "out.mp4", times=2, model="blend")
    with pytest.raises(KeyboardInterrupt):
        render(config, interrupt)
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_the_watcher_hears_of_every_frame_and_of_the_end(clip, tmp_path):
    told = []
    render(RenderConfig(clip, tmp_path / "out.mp4", times=2, model="blend"), told.append)
    assert [status.frames for status in told] == list(range(1, 24))
    assert {status.expected for status in told} == {23}


def test_a_whole_clip_as_it_was_foretold(tmp_path, clip):
    torch.manual_seed(0)
    weights = tmp_path / "net.safetensors"
    write(zoo.create("ifrvp-t").state_dict(), weights, name="ifrvp-t")
    config = PredictConfig(clip, tmp_path / "out.mp4", model=str(weights), backend="torch")
    report = predict(config)
    frames, _ = frames_of(tmp_path / "out.mp4")
    assert [f.pts for f in frames] == [f.pts for f in frames_of(clip)[0]]
    assert report.psnr is not None
    assert 5 < report.psnr < 60
    assert report.rendered == 11  # every frame but the last is followed by a prediction; the first has no past: held
    ahead = predict(replace(config, output=tmp_path / "ahead.mp4", ahead=3))
    frames, info = frames_of(tmp_path / "ahead.mp4")
    assert [f.pts for f in frames] == [Fraction(k, 24) for k in range(3)]
    assert info.audio == 0
    assert ahead.psnr is None


def test_an_interpolator_does_not_predict(tmp_path, clip):
    with pytest.raises(errors.UnknownTime, match="a context must end at 0"):
        predict(PredictConfig(clip, tmp_path / "out.mp4", model="blend"))


def test_extract_splits_shots_and_leaves_repeats_out(tmp_path):
    frames = Clip(frames=6).make(tmp_path / "a.mp4")
    done = extract(frames, tmp_path / "out")
    assert (done.shots, done.frames, done.repeats) == (1, 6, 0)
    assert len(list((tmp_path / "out" / "a" / "shot-0000").glob("*.png"))) == 6
    with pytest.raises(errors.OutputExists, match="is there already"):
        extract(frames, tmp_path / "out")
