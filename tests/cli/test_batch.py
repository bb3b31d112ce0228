"""`tween batch`: what it says, and how it ends."""

import json

import pytest
from clips import Clip

from tween.batch.driver import Totals
from tween.batch.film import Result
from tween.batch.views import as_json, closing
from tween.cli.main import main

DONE = Result("a.mp4", "out/a.mp4", "done", frames=100, resumed=40, notes=("a note",))
BAD = Result("b.mp4", "out/b.mp4", "failed", reason="b.mp4 is no video")
TORN = Result("c.mp4", "out/c.mp4", "done", frames=10, damage="c.mp4 broke off", notes=("a note",))


def test_failures_are_listed_last_with_their_reasons():
    lines = closing(Totals([DONE, BAD, TORN], seconds=10.0, notes=["worker 1 is left out: full"]))
    assert lines[0] == "3 films: 2 done, 1 failed; 70 frames in 10.0 s (7.0 fps)"
    assert "note: a note (2 films)" in lines
    assert "note: worker 1 is left out: full" in lines
    assert lines[-2:] == ["damaged: c.mp4: c.mp4 broke off", "failed: b.mp4: b.mp4 is no video"]


@pytest.mark.parametrize(("films", "code"), [([DONE], 0), ([DONE, BAD], 1), ([DONE, TORN], 1)])
def test_exit_codes(films, code):
    totals = Totals(films)
    assert totals.exit_code == as_json(totals)["exit"] == code


@pytest.fixture
def inline(monkeypatch):
    """The command without processes of its own."""
    import sys
    from pathlib import Path

    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "batch")
    sys.modules.pop("inline_pool", None)
    from inline_pool import run_inline

    monkeypatch.setattr("tween.batch.run.batch", lambda config, watch: run_inline(config, watch=watch))


@pytest.mark.usefixtures("inline")
def test_a_batch_from_the_command_line(tmp_path, capsys):
    Clip(frames=5).make(tmp_path / "a.mp4")
    (tmp_path / "bad.mp4").write_bytes(b"no film" * 99)
    words = ["batch", str(tmp_path), "-o", str(tmp_path / "out"), "--times", "2", "--model", "blend"]
    assert main([*words, "--json"]) == 1
    said = capsys.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert {line["film"]["state"] for line in lines[:-1]} == {"done", "failed"}
    assert lines[-1]["done"] == 1
    assert lines[-1]["frames"] == 9
    assert "bad.mp4 is no video" in lines[-1]["failed"][0]["reason"]
    assert "failed: " in said.err

    assert main(words) == 1
    said = capsys.readouterr()
    assert "[1/2] a.mp4: finished before, 0 frames" in said.err
    assert "1 finished before, 1 failed" in said.err


def test_nothing_asked_for_is_told(tmp_path, capsys):
    Clip(frames=5).make(tmp_path / "a.mp4")
    assert main(["batch", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "say which frames you want" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tween.batch.run.batch", stopped)
    assert main(["batch", str(tmp_path), "-o", str(tmp_path / "out"), "--times", "2"]) == 130
    assert "what is finished is kept: the same command goes on from there" in capsys.readouterr().err
