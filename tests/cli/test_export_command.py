"""`tween export`, and what it wrote as a model of `tween interpolate`."""

import json
import shlex
from pathlib import Path

import pytest
from clips import Clip

from tween.backends.formats import Likeness, Order, Written
from tween.cli import export, main
from tween.evaluate.subjects import enliven
from tween.models import weights, zoo
from tween.models.exported import Card
from tween.video.doors import open_source


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder with a network's weights and its ONNX file."""
    folder = tmp_path_factory.mktemp("exported")
    weights.write(enliven(zoo.create("ifrnet-t")).state_dict(), folder / "net.safetensors", name="ifrnet-t")
    export.export(Order(str(folder / "net.safetensors"), folder / "m.onnx", size=(64, 96)))
    return folder


WRITTEN = Written(
    Path("m.onnx"),
    "onnx",
    Card("rife-4.25", "rife", (0, 1), 64, True, None, "fp16", "rife-4.25@practical + a.safetensors:0.7", "ab", "MIT"),
    11.25,
    "tween interpolate in.mp4 --times 2 --model m.onnx",
    Likeness(2.5e-4, ((64, 128), (128, 192))),
)


def test_it_tells_what_it_wrote(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(export, "export", lambda order, begun: asked.append(order) or begun() or WRITTEN)
    line = "export rife-4.25@practical -o m.onnx --lora a.safetensors:0.7 --precision fp16 --dynamic --scale 0.5"
    assert main.main(line.split()) == 0
    model, lora = "rife-4.25@practical", ("a.safetensors:0.7",)
    assert asked == [Order(model, Path("m.onnx"), any_size=True, precision="fp16", lora=lora, scale=0.5)]
    assert capsys.readouterr().err.splitlines() == [
        "m.onnx: tracing, writing and checking, which takes up to a few minutes",
        "m.onnx: rife-4.25 (rife-4.25@practical + a.safetensors:0.7), onnx, fp16, 11.2 MB; licence: MIT",
        "  in   x0     [1, 3, 64*h, 64*w] float32, RGB in [0, 1], the frame at 0",
        "  in   x1     [1, 3, 64*h, 64*w] float32, RGB in [0, 1], the frame at 1",
        "  in   t      [1] float32, 0 to 1, in gaps",
        "  out  frame  [1, 3, 64*h, 64*w] float32, RGB in [0, 1], the frame at t",
        "  held against torch at 128x64 and 192x128: 0.0003 apart at most",
        "run it: tween interpolate in.mp4 --times 2 --model m.onnx",
        "in your own program: docs/export.md",
    ]


def test_it_tells_of_one_size_one_time_and_a_long_context(monkeypatch, capsys):
    card = Card("lift-15-kubin", "lift", tuple(range(-6, 8)), 32, False, (720, 1280), weights="k.pth", licence="none")
    written = Written(Path("m.xml"), "openvino", card, 80.0, "benchmark_app -m m.xml", None, "it is so")
    monkeypatch.setattr(export, "export", lambda *_, **__: written)
    assert main.main(["export", "k.pth", "-o", "m.xml", "--size", "720x1280"]) == 0
    assert capsys.readouterr().err.splitlines()[1:] == [
        "  in   x0 ... x13 [1, 3, 720, 1280] float32, RGB in [0, 1], the frames at -6 to 7",
        "  out  frame  [1, 3, 720, 1280] float32, RGB in [0, 1], the frame at t = 0.5",
        "  for this size only: it is so",
        "  not held against torch: what runs it is not installed: pip install openvino",
        "run it: benchmark_app -m m.xml",
        "in your own program: docs/export.md",
    ]


def test_ncnn_takes_the_places_of_pixels(monkeypatch, capsys):
    card = Card("ifrnet-t", "ifrnet", (0, 1), 8, weights="n.pth", licence="MIT")
    written = Written(Path("m.param"), "ncnn", card, 1.2, "tween interpolate in.mp4", Likeness(1e-6, ((64, 72),)))
    monkeypatch.setattr(export, "export", lambda *_, **__: written)
    assert main.main(["export", "n.pth", "-o", "m.param"]) == 0
    assert capsys.readouterr().err.splitlines()[1:7] == [
        "  in   x0     [3, 8*h, 8*w] float32, RGB in [0, 1], the frame at 0",
        "  in   x1     [3, 8*h, 8*w] float32, RGB in [0, 1], the frame at 1",
        "  in   grid   [2, 8*h, 8*w] float32, each pixel's centre (x, y), the picture's edges at -1 and 1",
        "  in   step   [2, 1, 1] float32, 2 / (8*w), 2 / (8*h)",
        "  in   t      [1, 8*h, 8*w] float32, 0 to 1, in gaps, at every pixel",
        "  out  frame  [3, 8*h, 8*w] float32, RGB in [0, 1], the frame at t",
    ]


def test_json_holds_all_of_it(monkeypatch, capsys):
    monkeypatch.setattr(export, "export", lambda *_, **__: WRITTEN)
    assert main.main(["export", "rife-4.25@practical", "-o", "m.onnx", "--json"]) == 0
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert shown.err == ""
    assert (told["output"], told["format"], told["model"], told["precision"]) == ("m.onnx", "onnx", "rife-4.25", "fp16")
    assert (told["size"], told["multiple"], told["context"]) == (None, 64, [0, 1])
    assert (told["inputs"], told["instants"]) == (["x0", "x1", "t"], "0 to 1")
    assert (told["difference"], told["checked"]) == (2.5e-4, [[64, 128], [128, 192]])
    assert told["weights_sha256"] == "ab"


@pytest.mark.slow
def test_an_exported_file_renders_what_its_network_renders(exported, tmp_path, monkeypatch):
    monkeypatch.chdir(exported)
    clip = Clip(frames=3, size=(61, 91), codec="ffv1", pixel_format="yuv444p").make(tmp_path / "clip.mkv")
    pictures = []
    for model in ("net.safetensors", "m.onnx"):
        out = tmp_path / f"{model}.mkv"
        told = f"tween interpolate {clip} --times 2 --model {model} -o {out} --codec ffv1 --quiet"
        told += " --backend torch --precision fp32" if model == "net.safetensors" else ""
        assert main.main(shlex.split(told)[1:]) == 0
        with open_source(out) as source:
            pictures.append([frame.data.int() for frame in source])
    assert all((a - b).abs().max() <= 2 for a, b in zip(*pictures, strict=True))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["net.safetensors", "-o", "m.onnx", "--size", "big"], "--size big; height and width in pixels are needed"),
        (["net.safetensors", "-o", "m.onnx", "--format", "openvno"], "did you mean openvino"),
        (["gone.pth", "-o", "m.onnx"], "no weights file gone.pth"),
        (["ifrnet-z", "-o", "m.onnx"], "no model is called ifrnet-z"),
    ],
)
@pytest.mark.slow
def test_mistakes_are_told_in_a_line(exported, monkeypatch, capsys, line, words):
    monkeypatch.chdir(exported)
    assert main.main(["export", *line]) == 2
    assert words in capsys.readouterr().err
