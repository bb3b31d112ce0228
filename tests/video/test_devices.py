"""Cameras, screens and loops: what comes, when it stands, what is said where there is none."""

import gc
import os
import re
import subprocess
import sys
import threading
import time
from fractions import Fraction
from itertools import islice, pairwise

import av
import pytest
import torch
from clips import Clip
from displays import display

from tween.errors import BadOption, MissingPackage, NoDevice
from tween.video import devices
from tween.video.devices import CameraSource, Grid, is_device, open_device
from tween.video.doors import open_source
from tween.video.looping import Looping

RATE = Fraction(25)
__all__ = ["display"]  # a fixture


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return Clip(frames=10, size=(48, 64), rate=RATE).make(tmp_path_factory.mktemp("devices") / "clip.mp4")


def pictures(clip):
    with open_source(clip) as source:
        return [frame.data for frame in source]


# ---- a camera made from a file


def test_a_file_plays_as_a_camera(clip):
    known = pictures(clip)
    with open_device(f"camera:{clip}") as camera:
        assert camera.is_live
        assert camera.info.size == (48, 64)
        assert camera.info.rate == RATE
        assert camera.info.length is None
        begun = time.monotonic()
        frames = list(islice(camera, 15))  # longer than the file: a camera has no end
        assert time.monotonic() - begun > 0.3  # and they came in their own time
    places = [frame.pts * RATE for frame in frames]
    assert all(place.denominator == 1 for place in places)
    assert all(b > a for a, b in pairwise(places))
    for frame in frames:
        assert any(torch.equal(frame.data, picture) for picture in known)


def test_what_nobody_reads_in_time_is_lost(clip):
    with open_device(f"camera:{clip}") as camera:
        frames = iter(camera)
        first = next(frames)
        time.sleep(0.5)
        late = next(frames)
    assert late.pts - first.pts > 8 / RATE
    assert late.native is None


def test_waiting_for_a_camera_is_given_up(tmp_path):
    slow = Clip(frames=4, size=(48, 64), rate=Fraction(1)).make(tmp_path / "slow.mp4")
    with open_device(f"camera:{slow}") as camera:
        threading.Timer(0.2, camera.give_up).start()
        begun = time.monotonic()
        assert len(list(camera)) <= 2
        assert time.monotonic() - begun < 30


def test_a_camera_at_another_rate(clip):
    with open_device(f"camera:{clip}", rate=Fraction(50)) as camera:
        assert camera.info.rate == 50
        frames = list(islice(camera, 3))
        assert all((frame.pts * 50).denominator == 1 for frame in frames)


# ---- the grid


def test_a_shivering_clock_is_put_on_the_grid():
    grid = Grid(Fraction(30))
    shiver = [0, 7, -6, 9, -9, 3]  # milliseconds
    seen = [grid.place(1000 + Fraction(k, 30) + Fraction(shiver[k % 6], 1000)) for k in range(300)]
    assert seen == [Fraction(k, 30) for k in range(300)]


def test_a_faster_camera_loses_a_frame_now_and_then_and_a_slower_one_leaves_a_place():
    fast, slow = Grid(Fraction(30)), Grid(Fraction(30))
    seen = [fast.place(Fraction(k, 31)) for k in range(310)]
    assert 8 <= seen.count(None) <= 11
    kept = [place for place in seen if place is not None]
    assert all(b > a for a, b in pairwise(kept))
    assert abs(kept[-1] - Fraction(309, 31)) < Fraction(2, 30)  # it has not run away from the clock
    places = [slow.place(Fraction(k, 29)) * 30 for k in range(290)]
    assert {b - a for a, b in pairwise(places)} == {1, 2}


def test_a_camera_in_the_dark_at_half_its_rate():
    grid = Grid(Fraction(30))
    assert [grid.place(Fraction(k, 15)) for k in range(5)] == [Fraction(k, 15) for k in range(5)]


# ---- errors


def test_a_camera_that_is_not_there_says_which_are(monkeypatch):
    with pytest.raises(NoDevice, match=r"camera:77 cannot be opened \(.+\); no camera is seen here; try: camera:0, "):
        open_device("camera:77")
    monkeypatch.setattr(devices, "cameras", lambda: ["0 (Front)", "2 (Back)"])
    with pytest.raises(NoDevice, match=re.escape("there are camera:0 (Front), camera:2 (Back)")):
        open_device("camera:77")


def test_cameras_are_listed_without_an_error():
    assert all(re.match(r"\S+ \(.*\)", words) for words in devices.cameras())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("screen:first", "screen:first; a number is needed, or a number and a part; try: screen:0:640x360+100+50"),
        ("microphone:0", "microphone:0; a camera or a screen is needed; try: camera:0, screen:0"),
    ],
)
def test_names_that_are_none(name, words):
    with pytest.raises(BadOption, match=re.escape(words)):
        open_device(name)


def test_a_screen_has_its_own_size():
    with pytest.raises(BadOption, match=re.escape("a part of it: screen:0:640x360+0+0")):
        open_device("screen:0", size=(360, 640))


def test_screens_need_mss(monkeypatch):
    monkeypatch.setitem(sys.modules, "mss", None)
    with pytest.raises(MissingPackage, match=re.escape('screens need it; try: pip install "tween[live]"')):
        open_device("screen:0")


def test_no_desktop_is_said_in_words(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":987")
    with pytest.raises(NoDevice, match=r"no screen can be captured here .* a desktop is needed"):
        open_device("screen:0")


def test_what_is_a_device():
    assert is_device("camera:0")
    assert is_device("screen:1:64x64+0+0")
    assert not is_device("clip.mp4")
    assert not is_device("cameras/screen.mp4")


@pytest.mark.parametrize(
    ("platform", "name", "file"),
    [
        ("v4l2", "2", "/dev/video2"),
        ("v4l2", "/dev/video5", "/dev/video5"),
        ("avfoundation", "1", "1:none"),
        ("dshow", "HD Webcam", "video=HD Webcam"),
    ],
)
def test_how_ffmpeg_calls_a_camera(platform, name, file):
    assert devices._device_file(name, platform) == file


def test_a_driver_of_ffmpeg_is_read_as_a_camera_is(monkeypatch):
    """No camera is here: ffmpeg's own virtual input goes the way that v4l2 goes."""
    monkeypatch.setattr(devices, "FORMATS", {sys.platform: "lavfi"})
    with CameraSource("testsrc=size=64x48:rate=20", rate=None, size=None) as camera:
        frames = list(islice(camera, 4))
    assert [frame.pts for frame in frames] == [Fraction(k, 20) for k in range(4)]
    assert frames[0].data.shape == (3, 48, 64)
    assert not torch.equal(frames[0].data, torch.zeros_like(frames[0].data))


# ---- a screen


@pytest.fixture
def painted(display, monkeypatch):
    """A display with a window of four colours at its middle, held by another process."""
    monkeypatch.setenv("DISPLAY", display)
    paint = (
        "import pygame, sys, time; pygame.display.init(); s = pygame.display.set_mode((200, 100), pygame.NOFRAME)\n"
        "for i, c in enumerate([(250, 10, 20), (10, 240, 30), (20, 30, 230), (200, 210, 5)]):\n"
        "    s.fill(c, (100 * (i % 2), 50 * (i // 2), 100, 50))\n"
        "for _ in range(600):\n"
        "    pygame.display.flip(); pygame.event.pump(); print('up', flush=True); time.sleep(0.1)\n"
    )
    env = {**os.environ, "SDL_VIDEODRIVER": "x11", "SDL_AUDIODRIVER": "dummy"}
    process = subprocess.Popen([sys.executable, "-c", paint], stdout=subprocess.PIPE, text=True, env=env)
    while (line := process.stdout.readline()) and line.strip() != "up":
        pass
    time.sleep(0.3)
    yield
    process.kill()
    process.communicate()


@pytest.mark.usefixtures("painted")
def test_a_screen_is_captured_in_its_colours():
    with open_device("screen:0", rate=Fraction(20)) as screen:
        assert screen.info.size == (480, 800)
        frames = list(islice(screen, 4))
    middle = frames[-1].data[:, 190:290, 300:500]
    for k, colour in enumerate([(250, 10, 20), (10, 240, 30), (20, 30, 230), (200, 210, 5)]):
        y, x = 25 + 50 * (k // 2), 50 + 100 * (k % 2)
        assert tuple(middle[:, y, x].tolist()) == colour
    places = [frame.pts * 20 for frame in frames]
    assert places[0] == 0
    assert all(b > a and b.denominator == 1 for a, b in pairwise(places))


@pytest.mark.usefixtures("painted")
def test_a_part_of_a_screen():
    with open_device("screen:0:100x50+400+190") as screen:
        assert screen.info.size == (50, 100)
        frame = next(iter(screen))
    assert tuple(frame.data[:, 25, 50].tolist()) == (10, 240, 30)
    assert frame.data.is_contiguous()


def test_a_screen_that_is_not_there_says_which_are(display, monkeypatch):
    monkeypatch.setenv("DISPLAY", display)
    with pytest.raises(NoDevice, match=re.escape("screen:3 is not there; there are screen:0 (800x480)")):
        open_device("screen:3")
    with pytest.raises(BadOption, match="a part of its 800x480 pixels is needed"):
        open_device("screen:0:640x480+200+0")


# ---- again and again


def test_a_loop_goes_on_on_one_clock(clip):
    known = pictures(clip)
    with Looping(lambda: open_source(clip)) as source:
        assert source.info.length is None
        frames = list(islice(source, 35))
        assert source.round_s == 10 / RATE
    assert [frame.pts for frame in frames] == [k / RATE for k in range(35)]
    for k, frame in enumerate(frames):
        assert torch.equal(frame.data, known[k % 10])


def test_a_loop_is_given_up(clip):
    with Looping(lambda: open_source(clip)) as source:
        seen = 0
        for _ in source:
            seen += 1
            if seen == 12:
                source.give_up()
    assert seen == 12


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of modules that warn when all there is is looked at
@pytest.mark.slow
def test_a_round_leaves_nothing_behind_for_the_collector(clip):
    """A picture in a circle of references keeps its decoder's memory: megabytes a round."""
    gc.collect()
    gc.disable()
    try:
        with Looping(lambda: open_source(clip)) as source:
            assert len(list(islice(source, 45))) == 45
        del source
        left = [one for one in gc.get_objects() if isinstance(one, av.VideoFrame)]
        left_before = len(left)
        del left
        gc.collect()
        assert sum(isinstance(one, av.VideoFrame) for one in gc.get_objects()) == left_before
    finally:
        gc.enable()
