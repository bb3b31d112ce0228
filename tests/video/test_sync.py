"""A flash is seen when its beep is heard, two hours on, from whatever clock it came."""

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from clips import Clip, packets
from test_sound import beep, heard, sparse

from tween.pipeline.config import RenderConfig
from tween.pipeline.recipe import render
from tween.video.doors import open_source

F = Fraction
TWO_HOURS = F(7200)
MOMENTS = [F(3, 2), F(1234567, 1000), F(3600), F(5432101, 1000), F(71985, 10)]


def flashes(path):
    """When white pictures begin, seconds."""
    with open_source(path) as source:
        lights = [(frame.pts, float(frame.data.float().mean()) > 128) for frame in source]
    lit = [lights[0][0]] if lights[0][1] else []
    return lit + [pts for (_, before), (pts, now) in pairwise(lights) if now and not before]


def beeps(path):
    """When sound begins after silence, seconds: from the packets' own times."""
    found, past = [], F(-10)
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            begin = frame.pts * frame.time_base
            wave = frame.to_ndarray().astype(float)
            wave = abs(wave) / (32768 if "s16" in frame.format.name else 2**31 if "s32" in frame.format.name else 1)
            loud = np.flatnonzero(wave.reshape(-1) > 0.1)
            if len(loud):
                if begin + F(int(loud[0]), frame.rate) - past > F(1, 2):
                    found.append(begin + F(int(loud[0]), frame.rate))
                past = begin + F(int(loud[-1]), frame.rate)
    return found


def apart(path):
    """By how much each flash and its beep are apart, seconds."""
    seen, found = flashes(path), beeps(path)
    assert len(seen) == len(found) == len(MOMENTS)
    return [float(abs(a - b)) for a, b in zip(seen, found, strict=True)]


@pytest.fixture(scope="module")
def two_hours(tmp_path_factory):
    path = tmp_path_factory.mktemp("long") / "in.mkv"
    sparse(path, TWO_HOURS, MOMENTS, step=10)
    assert max(apart(path)) < 0.002
    return path


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "out", ["out.mkv", *(pytest.param(f"out.{name}", marks=SLOW) for name in ("mp4", "mov", "webm"))]
)
@pytest.mark.slow
def test_times_keeps_sync_for_two_hours(two_hours, tmp_path, out):
    """The pictures' clock is variable, to the millisecond. Nothing may move by more than that."""
    path = tmp_path / out
    render(
        RenderConfig(
            two_hours, path, times=2, model="nearest", cuts="off", preset="13" if out == "out.webm" else "ultrafast"
        )
    )
    rate = 48000 if out == "out.webm" else 8000
    assert max(apart(path)) < 0.003 + 10 / rate


@SLOW
def test_a_constant_rate_keeps_sync_for_two_hours(two_hours, tmp_path):
    """7200 ticks on, a flash stands at the very tick that is next to it, and the sound where it was."""
    path = tmp_path / "out.mp4"
    report = render(RenderConfig(two_hours, path, rate="1.001", model="nearest", cuts="off", preset="ultrafast"))
    assert report.frames_out > 7200
    tick = 1 / F(1001, 1000)
    for flash, moment in zip(flashes(path), MOMENTS, strict=True):
        assert (flash / tick).denominator == 1
        assert abs(flash - moment) <= tick
    assert max(apart(path)) < tick


@SLOW
def test_slow_motion_keeps_sync_for_four_hours(two_hours, tmp_path):
    """Stretched sound is placed by the film's clock anew all the time: it cannot drift."""
    path = tmp_path / "out.mkv"
    render(RenderConfig(two_hours, path, slow="2", model="nearest", cuts="off", preset="ultrafast"))
    assert max(apart(path)) < 1 / 24
    assert flashes(path)[-1] == pytest.approx(float(2 * MOMENTS[-1]), abs=0.01)


def test_a_curve_keeps_sync_too(tmp_path):
    path = tmp_path / "in.mkv"
    moments = [F(2), F(9), F(31, 2), F(19)]
    sparse(path, F(20), moments, step=F(1, 8))
    (tmp_path / "ramp.txt").write_text("0 1\n5 1\n10 0.25\n12 2\n20 1\n")
    render(
        RenderConfig(path, tmp_path / "out.mkv", curve=tmp_path / "ramp.txt", rate="24", model="nearest", cuts="off")
    )
    seen, found = flashes(tmp_path / "out.mkv"), beeps(tmp_path / "out.mkv")
    assert len(seen) == len(found) == 4
    assert max(abs(float(a - b)) for a, b in zip(seen, found, strict=True)) < 1 / 12, (
        "nearest: half a source frame, slowed"
    )


LATE = [
    ("mp4", "libx264", {"ticks": range(48, 72), "grid": F(1, 24)}),
    ("mkv", "libx264", {"ticks": range(48, 72), "grid": F(1, 24)}),
    ("mov", "libx264", {"ticks": range(48, 72), "grid": F(1, 24), "sound_from": F(1, 4)}),
    ("ts", "libx264", {"ticks": range(48, 72), "grid": F(1, 24)}),
    ("mp4", "libx264", {"frames": 24, "sound_from": F(1, 2)}),
]


@pytest.mark.parametrize(("suffix", "codec", "clock"), LATE)
@pytest.mark.parametrize("out", ["mp4", "mkv"])
@pytest.mark.slow
def test_a_picture_that_begins_after_its_sound_or_before(tmp_path, suffix, codec, clock, out):
    """Two seconds of sound before the first picture (or half a second after it): all stays as far apart as it was."""
    source = Clip(codec=codec, size=(64, 64), sound=("aac",), **clock).make(tmp_path / f"in.{suffix}")
    render(RenderConfig(source, tmp_path / f"out.{out}", times=2, model="nearest", preset="ultrafast"))

    def lead(path):
        with open_source(path) as opened:
            return next(iter(opened)).pts - packets(path, "audio")[0][0][0]

    assert abs(lead(tmp_path / f"out.{out}") - lead(source)) <= F(2, 1000)
    first = lead(source)
    assert first > F(1) if "ticks" in clock else first < 0


def test_pictures_without_times_are_counted_by_their_rate(tmp_path):
    """A bare stream of H.264 with B-frames has no clock at all."""
    film = Clip(frames=20, rate=F(25)).make(tmp_path / "film.mp4")
    with av.open(str(film)) as given, av.open(str(tmp_path / "bare.h264"), "w", format="h264") as bare:
        stream = bare.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                bare.mux(packet)
    with open_source(tmp_path / "bare.h264") as source:
        frames = list(source)
    assert len(frames) == 20
    assert {b.pts - a.pts for a, b in pairwise(frames)} == {F(1, 25)}


def test_avi_with_b_frames_keeps_its_count_and_clock(tmp_path):
    """AVI writes no pts: only the order of decoding is known."""
    film = Clip(frames=24, options={"bf": "2"}).make(tmp_path / "in.avi")
    render(RenderConfig(film, tmp_path / "out.mp4", times=2, model="nearest"))
    with open_source(tmp_path / "out.mp4") as source:
        shown = [frame.pts for frame in source]
    assert len(shown) == 47
    assert {b - a for a, b in pairwise(shown)} == {F(1, 48)}


def test_an_edit_list_is_obeyed(tmp_path):
    """The file shows its pictures from the fifth on, and says so by an edit list alone: so does the output."""
    film = Clip(frames=24, sound=("aac",), options={"g": "24"}).make(tmp_path / "whole.mp4")
    cut = tmp_path / "cut.mp4"
    with av.open(str(film)) as given, av.open(str(cut), "w") as container:
        targets = {s.index: container.add_stream_from_template(s) for s in given.streams}
        for packet in given.demux():
            if packet.size:
                back = F(5, 24) / packet.time_base
                packet.pts, packet.dts = packet.pts - int(back), packet.dts - int(back)
                packet.stream = targets[packet.stream.index]
                container.mux(packet)
    with open_source(cut) as source:
        frames = list(source)
    with av.open(str(cut)) as container:
        player = [f.pts * f.time_base for f in container.decode(video=0)]
    assert [f.pts for f in frames] == player
    render(RenderConfig(cut, tmp_path / "out.mp4", times=2, model="nearest"))
    with open_source(tmp_path / "out.mp4") as source:
        made = [f.pts for f in source]
    assert made[::2] == player
    lead = [packets(path, "audio")[0][0][0] for path in (cut, tmp_path / "out.mp4")]
    assert lead[0] == lead[1]


def test_the_helpers_can_fail(tmp_path):
    """Sound a tenth of a second late is seen by them."""
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w", format="matroska") as container:
        video = container.add_stream("ffv1", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for k in range(20):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 255 * (k == 10), np.uint8), format="rgb24")
            picture = picture.reformat(format="yuv420p")
            picture.pts, picture.time_base = k, F(1, 10)
            container.mux(video.encode(picture))
        for packet in beep(sound, F(11, 10), F(3, 10), 8000):
            container.mux(packet)
        container.mux(video.encode(None))
    assert float(abs(flashes(path)[0] - beeps(path)[0])) == pytest.approx(0.1, abs=0.002)
    assert heard(path)[1] == 8000
