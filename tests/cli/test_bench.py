"""`tween bench` as a user meets it."""

import json
import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from clips import Clip

from tween.cli import bench
from tween.errors import BadOption, CannotWrite, Conflict, UnknownModel


@pytest.mark.slow
def test_the_command_writes_its_rows(tmp_path):
    told = tmp_path / "out.json"
    line = [
        "bench",
        "ifrnet-elan",
        "blend",
        "--size",
        "32,48",
        "--against",
        "eager",
        "--runs",
        "2",
        "--json",
        str(told),
    ]
    line += ["--backend", "torch", "--precision", "fp32", "--markdown"]
    command = [sys.executable, "-m", "tween", *line]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "| ifrnet-elan (random weights) | torch | fp32 |" in done.stdout
    assert "note: networks without weights here were timed with random ones" in done.stderr
    content = json.loads(told.read_text())
    assert (content["size"], content["runs"], content["command"][:2]) == ([32, 48], 2, ["tween", "bench"])
    assert content["machine"]["cores"] >= 1
    found = [(row["model"], row["backend"]) for row in content["rows"]]
    assert found == [("ifrnet-elan", "eager, as published"), ("ifrnet-elan", "torch"), ("blend", "torch")]
    eager, ours, blend = content["rows"]
    assert eager["ratio"] == 1
    assert ours["ratio"] == pytest.approx(eager["ms"] / ours["ms"])
    assert ours["db"] > 80
    assert blend["ratio"] is None
    for row in content["rows"]:
        assert row["ms"] > 0
        assert row["fps"] == pytest.approx(1000 / row["ms"])
    assert os.listdir(tmp_path) == ["out.json"]


def test_a_whole_render_and_a_plot(tmp_path, capsys):
    clip = Clip(frames=6).make(tmp_path / "clip.mp4")
    quality = tmp_path / "q.json"
    quality.write_text(json.dumps([{"model": "blend", "psnr": 28.0}, {"model": "ifrnet-elan", "psnr": 33.0}]))
    out, plot = tmp_path / "rows.json", tmp_path / "plot.svg"
    line = ["blend", "ifrnet-elan", "--clip", clip, "--runs", "1", "--quality", quality, "--plot", plot, "--json", out]
    assert bench.run([*map(str, line), "--backend", "torch"]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert all(row["clip_fps"] > 0 and row["clip_share"] > 0 for row in rows)
    assert ElementTree.parse(plot).getroot().tag.endswith("svg")
    assert "clip fps" in capsys.readouterr().out
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4", "plot.svg", "q.json", "rows.json"]


def test_what_predicts_is_not_rendered(tmp_path, capsys):
    clip = Clip(frames=4).make(tmp_path / "clip.mp4")
    assert bench.run(["repeat", "--clip", str(clip), "--runs", "1"]) == 0
    assert "note: repeat predict: --clip renders what interpolates" in capsys.readouterr().err


def test_one_that_cannot_is_left_out_and_told(capsys):
    line = ["blend", "--size", "32,48", "--runs", "1", "--backend", "torch", "openvino"]
    assert bench.run(line) == 0
    assert "note: blend, openvino, auto was left out: --backend openvino for classic" in capsys.readouterr().err
    with pytest.raises(Conflict, match="--backend openvino for classic"):
        bench.run(["blend", "--size", "32,48", "--runs", "1", "--backend", "openvino", "--quiet"])
    assert bench.run([*line[:-2], "torch,openvino"]) == 0
    assert "note: blend, openvino" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "error", "words"),
    [
        (
            ["blend", "--size", "720"],
            BadOption,
            r"--size 720; height and width in pixels .*; try: --size 720,1280",
        ),
        (["blend", "--size", "0,5"], BadOption, r"--size 0,5; height and width"),
        (["blend", "--runs", "0"], BadOption, r"--runs 0; at least one is needed"),
        (["blend", "--plot", "x.svg"], BadOption, r"--plot without --quality; .*; try: --quality FILE"),
        (["blend", "--json", "no/such/x.json"], CannotWrite, r"no/such/x\.json has no folder to lie in"),
        (["ifrnet-z"], UnknownModel, r"did you mean"),
        (["blend", "--size", "32,48", "--backend", "tensorflow"], BadOption, r"--backend tensorflow"),
    ],
)
def test_mistakes_are_told_before_anything_runs(line, error, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words):
        bench.run([*line, "--quiet"])
    assert os.listdir(tmp_path) == []
