"""`tween live`, the whole command: what it prints, what it refuses, how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
from clips import Clip

from tween.cli.main import main
from tween.live.session import Session
from tween.video.doors import open_source

LIVE = [sys.executable, "-m", "tween.cli.main", "live"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return Clip(frames=20, size=(48, 64), rate=Fraction(30)).make(tmp_path_factory.mktemp("live") / "clip.mp4")


@pytest.mark.slow
def test_none_prints_a_line_a_second_and_an_object_last(clip, capsys):
    assert main(["live", str(clip), "--show", "none", "--model", "blend", "--json", "--loop", "--seconds", "2.5"]) == 0
    out, error = capsys.readouterr()
    found = json.loads(out.splitlines()[-1])
    assert {
        "fps_in",
        "fps_out",
        "shown",
        "dropped",
        "late",
        "latency_ms",
        "latency_p95_ms",
        "model",
        "size",
        "steps",
    } <= set(found)
    assert found["model"] == "blend"
    assert found["size"] == [48, 64]
    assert found["rate"] == 60
    assert found["shown"] > 10
    lines = [line for line in error.splitlines() if " of 60 fps, " in line]
    assert len(lines) >= 2
    assert all("dropped" in line and "blend at 64x48" in line for line in lines)


@pytest.mark.slow
def test_a_file_ends_by_itself_and_prediction_is_ahead(clip, capsys):
    assert main(["live", str(clip), "--show", "none", "--predict", "--model", "repeat", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "repeat"
    assert found["rate"] == 30
    assert found["frames_in"] == 20


@pytest.mark.slow
def test_a_camera_made_of_a_file(clip, capsys):
    argv = ["live", f"camera:{clip}", "--show", "none", "--model", "blend", "--seconds", "1.5", "--json", "--quiet"]
    assert main(argv) == 0
    out, error = capsys.readouterr()
    assert json.loads(out)["shown"] > 5
    assert error == ""


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["nothing.mp4"], "nothing.mp4 is not there"),
        (["{clip}", "--rate", "60", "--times", "2"], "each says which frames to make: give one"),
        (["{clip}", "--scale", "3"], "more than 0 and at most 1 is needed"),
        (["{clip}", "--size", "640x480"], "only a camera can be asked for one; try: --scale 0.5"),
        (["camera:{clip}", "--size", "640"], "WIDTHxHEIGHT is needed; try: --size 1280x720"),
        (["camera:{clip}", "--loop"], "--loop with camera:{clip}; only a file has a beginning and an end"),
        (["-", "--loop"], "what came through a pipe does not come again"),
        (["{clip}", "--model", "diss"], "no model is called diss (did you mean dis"),
        (["{clip}", "--model", "ifrnet-s@none"], "ifrnet-s"),
        (["camera:99"], "camera:99 cannot be opened"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_said_in_words(clip, argv, words, capsys):
    argv = [word.format(clip=clip) for word in argv]
    assert main(["live", *argv, "--show", "none"]) == 2
    assert words.format(clip=clip) in capsys.readouterr().err


def test_a_window_without_a_display_says_what_else_there_is(clip, monkeypatch, capsys):
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    monkeypatch.setenv("DISPLAY", ":987")
    assert main(["live", str(clip), "--model", "blend"]) == 2
    assert "no window can be opened here" in capsys.readouterr().err


@pytest.mark.slow
def test_y4m_goes_through_it(clip, tmp_path):
    """y4m in, y4m out, as beside ffmpeg and mpv."""
    whole = tmp_path / "in.y4m"
    assert main(["interpolate", str(clip), "--times", "1", "-o", str(whole), "--quiet"]) == 0
    with whole.open("rb") as given:
        done = subprocess.run(
            [*LIVE, "-", "--show", "none", "--model", "blend", "--pipe", "--json"],
            stdin=given,
            capture_output=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out.y4m"
    out.write_bytes(done.stdout)
    with open_source(out) as source:
        assert source.info.rate == 60
        assert source.info.size == (48, 64)
        frames = list(source)
    assert 30 <= len(frames) <= 41
    assert json.loads(done.stderr.splitlines()[-1])["frames_in"] == 20


@pytest.mark.slow
def test_a_smaller_inner_size_goes_into_the_pipe_enlarged(clip, tmp_path):
    argv = [*LIVE, str(clip), "--show", "none", "--model", "blend", "--scale", "0.5", "--pipe", "--quiet"]
    done = subprocess.run(argv, capture_output=True, timeout=120)
    (tmp_path / "out.y4m").write_bytes(done.stdout)
    with open_source(tmp_path / "out.y4m") as source:
        assert source.info.size == (48, 64)


@pytest.mark.slow
def test_whoever_reads_the_pipe_may_go(clip):
    process = subprocess.Popen(
        [*LIVE, str(clip), "--loop", "--show", "none", "--model", "blend", "--pipe"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.read(5000).startswith(b"YUV4MPEG2")
    process.stdout.close()
    process.wait(60)
    assert b"whoever read the video has gone" in process.stderr.read()
    assert process.returncode == 0


def test_ctrl_c_breaks_into_no_wait(clip, capsys, monkeypatch):
    """Thrown from the middle of a wait, it could leave a lock behind that the threads then wait for."""
    took, came_back = Session.next, []

    def pressed(session, timeout_s):
        os.kill(os.getpid(), signal.SIGINT)
        shown = took(session, timeout_s)
        came_back.append(shown)
        return shown

    monkeypatch.setattr(Session, "next", pressed)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it
    try:
        assert main(["live", str(clip), "--loop", "--show", "none", "--model", "blend", "--json", "--quiet"]) == 130
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # put back as it was
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(came_back) == 1
    assert "shown" in json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_ctrl_c_ends_it_cleanly_and_still_tells(clip):
    process = subprocess.Popen(
        [*LIVE, str(clip), "--loop", "--show", "none", "--model", "blend", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
    )  # fmt: skip
    while "of 60 fps" not in process.stderr.readline():
        assert process.poll() is None
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out.splitlines()[-1])["shown"] > 0
    assert "Traceback" not in error
