"""TensorRT: what can be told without it, and, where it is, that it is torch. The latter was never run."""

import importlib.util
import sys

import onnx
import pytest
import torch
from networks import decibels, ifrnet_s, moving, run, small, straight

from tween.backends import half, machine, prepare
from tween.backends.graph import Verb, to_onnx
from tween.errors import BadOption, Conflict, MissingPackage
from tween.models.classic import Blend

HERE = importlib.util.find_spec("tensorrt") is not None and torch.cuda.is_available()


def test_without_it_its_name_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingPackage, match="TensorRT is not installed; an NVIDIA GPU and TensorRT are needed"):
        prepare.choose(small(), backend="tensorrt")


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"device": "cpu"}, Conflict, "it runs on NVIDIA's GPUs"),
        ({"device": "cuda:7"}, BadOption, "torch sees 1 CUDA device here"),
        ({"precision": "bf16"}, BadOption, "fp16 or fp32 is needed"),
    ],
)
def test_what_it_cannot_do_is_refused(monkeypatch, asked, error, words):
    """As if it were here: what is asked is judged before anything of it is used."""
    monkeypatch.setitem(sys.modules, "tensorrt", type(sys)("tensorrt"))
    monkeypatch.setattr(machine, "cuda_devices", lambda: ("A GPU",))
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: (9, 0))
    choice = prepare.choose(small(), backend="tensorrt")
    assert choice[:3] == ("tensorrt", "cuda:0", "fp16")
    with pytest.raises(error, match=words):
        prepare.choose(small(), backend="tensorrt", **asked)
    with pytest.raises(Conflict, match="a classic method has nothing to compile"):
        prepare.choose(Blend(), backend="tensorrt")


@pytest.mark.slow
def test_a_verb_has_a_graph_in_mixed_precision():
    """What TensorRT is given: strong types that ONNX's checker agrees with, float32 in and out, features too."""
    model = small()
    mixed = half.to_half(onnx.load_model_from_string(to_onnx(Verb(model, "embed"), moving((16, 24))[:1])))
    kinds = {port.type.tensor_type.elem_type for port in (*mixed.graph.input, *mixed.graph.output)}
    assert kinds == {onnx.TensorProto.FLOAT}
    assert any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in mixed.graph.initializer)


@pytest.mark.needs_tensorrt
@pytest.mark.skipif(not HERE, reason="TensorRT is not installed, or sees no GPU")
@pytest.mark.parametrize(("precision", "least_db"), [("fp32", 80), ("fp16", 50)])
def test_it_equals_torch(precision, least_db, tmp_path, monkeypatch):
    monkeypatch.setenv("TWEEN_HOME", str(tmp_path))
    model, frames, t = ifrnet_s(), moving((96, 160)), torch.tensor([0.3])
    for _ in range(2):  # built, then from the cache
        backend = prepare.prepare(model, (96, 160), backend="tensorrt", precision=precision)
        got = run(backend, frames, t)
        assert got.device.type == "cpu"
        assert decibels(got, straight(model, frames, t)) >= least_db
