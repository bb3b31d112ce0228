"""`tween evaluate` as a user meets it."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import Clip

from tween.cli.evaluate import run
from tween.cli.main import main
from tween.errors import BadOption, CannotWrite
from tween.models import adapters, lora, weights, zoo
from tween.models.adapters import Card
from tween.models.lora_config import LoraConfig

HERE = Path(__file__).parent


def _small_sets():
    """Of the tests of `evaluate`; by its path, as both folders are on nobody's."""
    spec = importlib.util.spec_from_file_location("small_sets", HERE.parent / "evaluate" / "small_sets.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


small_sets = _small_sets()


@pytest.fixture
def ucf101(tmp_path):
    small_sets.ucf101(tmp_path / "set", 4)
    return tmp_path / "set"


def test_a_table_and_json(ucf101, tmp_path, capsys):
    bad = ucf101 / "ucf101_interp_ours" / "3" / "frame_02.png"
    bad.write_bytes(b"nothing")
    out = tmp_path / "scores.json"
    argv = ["evaluate", "blend", "dis", "--set", "ucf101", "--root", str(ucf101), "--json", str(out)]
    assert main(argv) == 0
    shown = capsys.readouterr()
    head = shown.out.splitlines()[1]
    assert re.split(r"  +", head.strip()) == [
        "model",
        "run by",
        "PSNR, dB",
        "SSIM 3-D",
        "SSIM, variant unknown",
        "ms",
        "rule",
    ]
    assert re.search(r"IFRNet small +published +35\.28 +0\.9691 +- *$", shown.out, re.M)
    assert re.search(r"blend +torch, fp32 +\d\d\.\d\d +0\.\d{4} +- +\d+\.\d +in part", shown.out)
    assert "mean of all" in shown.out
    assert f"left out: 3: the picture {bad} cannot be read" in shown.err
    assert "1 broken, left out of the means" in shown.err
    told = json.loads(out.read_text())
    assert (told["set"], len(told["results"]), len(told["published"])) == ("ucf101", 2, 6)
    blend, dis = told["results"]
    assert [row["name"] for row in blend["rows"]] == ["1", "2", "4"]
    assert blend["psnr"] == told["psnr"] == pytest.approx(np.mean([row["scores"]["psnr"] for row in blend["rows"]]))
    assert dis["psnr"] > blend["psnr"]
    assert dis["broken"][0][0] == "3"
    assert not list(tmp_path.glob("*.part"))


def test_json_to_the_screen_is_alone_there(ucf101, capsys):
    assert main(["evaluate", "nearest", "--set", "ucf101", "--root", str(ucf101), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["model"] == "nearest"


def test_a_folder_of_pictures_hidden_by_turns(tmp_path, capsys):
    small_sets.folders(tmp_path / "set", (9, 9, 9))
    argv = ["nearest", "--set", "frames", "--root", str(tmp_path / "set"), "--every", "2", "--frames-per-clip", "5"]
    assert run([*argv, "--json", str(tmp_path / "out.json")]) == 0
    rows = json.loads((tmp_path / "out.json").read_text())["results"][0]["rows"]
    assert [(row["name"], row["place"]) for row in rows] == [(f"clip-{c}", p) for c in "ac" for p in (1, 3)]
    assert "checked" not in capsys.readouterr().out.replace("rule", "")


def test_the_future_step_by_step(tmp_path, capsys):
    small_sets.folders(tmp_path / "set", (9,))
    assert run(["repeat", "--set", "frames", "--root", str(tmp_path / "set"), "--ahead", "3"]) == 0
    shown = capsys.readouterr().out
    assert all(f"t + {n} " in shown for n in (1, 2, 3))
    assert "repeat, means up to" in shown


def test_precisions_and_backends_are_compared_with_torch(ucf101, capsys):
    argv = ["blend", "--set", "ucf101", "--root", str(ucf101), "--backend", "auto,torch", "--limit", "2"]
    assert run(argv) == 0
    shown = capsys.readouterr().out
    assert re.search(r"against torch, fp32 +run by +PSNR, dB \(worst\)", shown)
    assert re.search(r"blend +torch, fp32 +\+0\.000 \(\+0\.000\)", shown)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "ucf101", "--root", "{set}"], "no model; names of"),
        (["blend", "--set", "ucf101", "--root", "{empty}"], "looked for ucf101_interp_ours/1/frame_00.png"),
        (["blend", "--set", "ucf101", "--root", "{empty}/no"], "it is not there"),
        (["blend", "--set", "video", "--root", "{empty}"], "looked for video files"),
        (["blend", "--set", "ufc101", "--root", "{set}"], "did you mean ucf101"),
        (["lightvfi", "--set", "ucf101", "--root", "{set}"], "has no trained weights here"),
        (["repeat", "--set", "ucf101", "--root", "{set}"], "repeat predicts; --set ucf101 asks for frames in between"),
        (["blend", "--set", "ucf101", "--root", "{set}", "--gap", "4"], "its gap is 2"),
        (["blend", "--set", "ucf101", "--root", "{set}", "--metrics", "ssim"], "did you mean ssim_"),
        (["blend", "--set", "ucf101", "--root", "{set}", "--limit", "0"], "--limit 0; at least 1 is needed"),
        (["blend", "--set", "ucf101", "--root", "{set}", "--ahead", "2"], "it is for video, frames and list"),
        (["blend", "--set", "ucf101", "--root", "{set}", "--precision", "fp8"], "--precision fp8"),
        (["blend", "--set", "ucf101", "--root", "{set}", "--scale", "0.5"], "it works at the frame's own size only"),
    ],
)
def test_mistakes_are_told_in_one_line(ucf101, tmp_path, capsys, options, words):
    (tmp_path / "empty").mkdir()
    argv = [option.format(empty=tmp_path / "empty", set=ucf101) for option in options]
    assert main(["evaluate", *argv]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


def test_an_output_that_cannot_be_written_is_told_before_anything_runs(ucf101, tmp_path):
    with pytest.raises(CannotWrite, match=r"there is no folder .*; one is needed to write to; try: mkdir -p"):
        run(["blend", "--set", "ucf101", "--root", str(ucf101), "--json", str(tmp_path / "no" / "out.json")])


def test_one_model_that_does_not_suit_stops_before_the_first_has_run(ucf101, capsys):
    with pytest.raises(BadOption, match="repeat predicts"):
        run(["blend", "repeat", "--set", "ucf101", "--root", str(ucf101)])
    assert capsys.readouterr().out == ""


def test_a_report(ucf101, tmp_path):
    pytest.importorskip("tween.evaluate.report")
    page = tmp_path / "out.html"
    assert run(["blend", "dis", "--set", "ucf101", "--root", str(ucf101), "--report", str(page), "--quiet"]) == 0
    text = page.read_text()
    assert "<html" in text
    assert len(text) < 5_000_000
    assert "dis" in text


def test_the_whole_set_by_the_published_rule_is_marked(tmp_path, capsys):
    small_sets.middlebury(tmp_path, ((32, 40),) * 12)
    for options, mark in (([], "checked"), (["--limit", "11"], "in part"), (["--every", "1"], "checked")):
        assert run(["nearest", "--set", "middlebury", "--root", str(tmp_path), "--metrics", "psnr", *options]) == 0
        assert re.search(rf"nearest +torch, fp32 .*{mark}", capsys.readouterr().out)


def test_adapters_stand_beside_their_base(tmp_path, capsys):
    """The model with them, without them, and another one that they were not made for; sizes beside."""
    pytest.importorskip("peft")
    base, worn, film = tmp_path / "base.safetensors", tmp_path / "show.safetensors", tmp_path / "film.mp4"
    torch.manual_seed(0)
    model = zoo.create("lightvfi-16").eval()
    weights.write(model.state_dict(), base, name="lightvfi-16")
    config = LoraConfig(rank=2)
    card = Card(config, "lightvfi-16", adapters.hash_of(model.state_dict()), str(base))
    lora.add(model, config)
    with torch.no_grad():
        for parameter in lora.parameters(model).values():
            parameter.add_(0.1)
    adapters.write(worn, lora.learned(model), card)
    Clip(frames=9).make(film)
    line = ["evaluate", str(base), "blend", "--set", "video", "--root", str(film), "--lora", f"{worn}:0.5"]
    out = tmp_path / "scores.json"
    assert main([*line, "--backend", "torch", "--json", str(out)]) == 0
    assert "show.safetensors:0.5" in capsys.readouterr().out.replace("\n", "")
    told = json.loads(out.read_text())
    names = [result["model"] for result in told["results"]]
    assert names == [f"{base} + show.safetensors:0.5", str(base), "blend"]
    dressed, bare, _ = told["results"]
    assert told["psnr"] == dressed["psnr"] != bare["psnr"]
    assert (dressed["megabytes"], bare["adapter_megabytes"]) == (bare["megabytes"], 0)
    assert dressed["adapter_megabytes"] > 0.01
    assert main([*line[:1], *line[2:]]) == 2
    assert "for blend; it has no weights that an adapter could change" in capsys.readouterr().err
