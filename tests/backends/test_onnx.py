"""What only ONNX Runtime has: a cache of graphs, devices of its own, files that are models."""

import pytest
import torch
from networks import moving, run, small, straight

from tween.backends import onnx, prepare
from tween.backends.onnx import OnnxBackend
from tween.errors import BadOption, Conflict, MissingPackage
from tween.models import exported
from tween.models.classic import Blend

SIZE = (16, 24)
HALF = torch.tensor([0.5])


@pytest.mark.slow
def test_it_is_within_a_ten_thousandth_and_the_second_start_exports_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("TWEEN_HOME", str(tmp_path))
    frames = moving(SIZE)
    first = run(OnnxBackend(small(), SIZE, label="a/small net"), frames, HALF)
    assert (first - straight(small(), frames, HALF)).abs().max() <= 1e-4
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("", "")
    names = sorted(path.name.rsplit("-", 1)[0] for path in (tmp_path / "compiled").iterdir())
    assert names == [f"a_small_net-{verb}-16x24-fp32" for verb in ("embed", "relate", "render")]

    def refuse(*_):
        raise AssertionError("exported again")

    monkeypatch.setattr(onnx, "to_onnx", refuse)
    assert torch.equal(run(OnnxBackend(small(), SIZE, label="a/small net"), frames, HALF), first)


def test_prepare_takes_it_when_asked(monkeypatch):
    choice = prepare.choose(small(), backend="onnx")
    assert choice[:3] == ("onnx", "cpu", "fp32")
    made = []
    monkeypatch.setattr(onnx, "OnnxBackend", lambda *asked, **how: made.append((asked[1], how)))
    prepare.prepare(small(), (15, 22), backend="onnx", label="a")
    assert made == [((16, 24), {"device": "cpu", "label": "a"})]


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"device": "cuda"}, BadOption, "CUDAExecutionProvider is needed"),
        ({"device": "cuda:1"}, BadOption, "onnxruntime-gpu: never both"),
        ({"device": "directml"}, BadOption, "DmlExecutionProvider is needed"),
        ({"device": "coreml"}, BadOption, "CoreMLExecutionProvider is needed"),
        ({"device": "npu"}, BadOption, "ONNX Runtime knows cpu, cuda, directml, coreml"),
        ({"device": "cpu:1"}, BadOption, "ONNX Runtime knows"),
        ({"precision": "fp16"}, BadOption, "it runs fp32 here"),
        ({"model": Blend()}, Conflict, "a classic method has nothing to compile"),
    ],
)
def test_what_it_cannot_do_is_refused(monkeypatch, asked, error, words):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(error, match=words):
        prepare.choose(asked.pop("model", small()), backend="onnx", **asked)


def test_devices_are_told_as_onnx_runtime_wants_them(monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: list(exported.PROVIDERS.values()))
    assert exported.providers("cpu") == ["CPUExecutionProvider"]
    assert exported.providers("cuda:1") == [
        ("CUDAExecutionProvider", {"device_id": 1, "use_tf32": 0}),
        "CPUExecutionProvider",
    ]
    assert exported.providers("directml")[0] == ("DmlExecutionProvider", {})


def test_without_onnx_runtime_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MissingPackage, match=r'pip install "tween\[export\]"'):
        prepare.choose(small(), backend="onnx")
