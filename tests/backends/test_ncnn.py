"""ncnn: one graph for every size, translated once, within a thousandth of torch."""

import sys

import pytest
import torch
from networks import ifrnet_s, moving, run, straight

from tween.backends import ncnn, prepare
from tween.backends.backend import Backend
from tween.backends.ncnn import NcnnBackend
from tween.errors import BadOption, CannotExport, Conflict, MissingPackage
from tween.evaluate.subjects import enliven
from tween.models import zoo
from tween.models.classic import Blend

pytestmark = pytest.mark.slow  # each compiles networks, or starts processes


@pytest.fixture(scope="module")
def pair():
    """A model whose flows reach 20 pixels, and it on ncnn."""
    model = ifrnet_s()
    return model, NcnnBackend(model, label="ifrnet-s@test")


def test_it_is_within_a_thousandth_of_torch_at_any_size_and_time(pair):
    model, backend = pair
    assert isinstance(backend, Backend)
    assert (backend.name, backend.device, backend.precision, backend.spec) == ("ncnn", "cpu", "fp32", model.spec)
    for size in ((64, 96), (112, 80)):
        frames, t = moving(size, batch=2), torch.tensor([0.25, 0.9])
        got = run(backend, frames, t)
        assert got.shape == (2, 3, *size)
        assert (got - straight(model, frames, t)).abs().max() <= 1e-3


def test_what_was_shown_stays(pair):
    """ncnn's memory is its own: a frame is the caller's."""
    _, backend = pair
    frames, other = moving((32, 48)), moving((32, 48), seed=1)
    first = run(backend, frames, torch.tensor([0.5]))
    kept = first.clone()
    assert not torch.equal(run(backend, other, torch.tensor([0.5])), kept)
    assert torch.equal(first, kept)
    assert torch.equal(run(backend, frames, torch.tensor([0.5])), kept)


def test_a_predictor_of_one_step_needs_no_t():
    torch.manual_seed(0)
    model = enliven(zoo.create("ifrvp-fast"))
    frames, t = moving((32, 48)), torch.tensor([1.0])
    assert ncnn.input_names(model) == ["x0", "x1", "grid", "step"]
    assert (run(NcnnBackend(model), frames, t) - straight(model, frames, t)).abs().max() <= 1e-3


def test_the_second_start_translates_nothing(pair, monkeypatch, capfd):
    _, backend = pair

    def refuse(*_):
        raise AssertionError("translated again")

    monkeypatch.setattr(ncnn, "translate", refuse)
    frames, t = moving((32, 48)), torch.tensor([0.5])
    again = NcnnBackend(ifrnet_s(), label="ifrnet-s@test")
    assert torch.equal(run(again, frames, t), run(backend, frames, t))
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("", "")


def test_prepare_takes_it_when_asked(pair):
    model, _ = pair
    assert prepare.choose(model, backend="ncnn")[:3] == ("ncnn", "cpu", "fp32")
    assert isinstance(prepare.prepare(model, (50, 70), backend="ncnn", label="ifrnet-s@test"), NcnnBackend)


@pytest.mark.parametrize(
    ("name", "asked", "error", "words"),
    [
        ("ifrnet-t", {"device": "cuda"}, Conflict, "ncnn runs on the CPU here"),
        ("ifrnet-t", {"precision": "bf16"}, BadOption, "--precision bf16 on ncnn; it runs fp32 here"),
        ("tweennet", {}, Conflict, "most of it is a search of motion by OpenCV"),
        ("emavfi-small", {}, CannotExport, "between whose halves attention looks, and ncnn has no batches"),
        ("lift-15", {}, CannotExport, "its frames lie in one batch, along which attention looks"),
        ("deformvfi", {}, CannotExport, "pnnx knows no deformable convolution but torchvision's"),
        ("ifrvp-steps", {}, CannotExport, "a graph cannot choose among them"),
    ],
)
def test_what_it_cannot_do_is_refused(name, asked, error, words):
    with torch.device("meta"):
        model = zoo.create(name)
    with pytest.raises(error, match=words):
        prepare.choose(model, backend="ncnn", **asked)


def test_motion_at_another_size_is_refused_where_it_would_fix_the_size():
    with pytest.raises(CannotExport, match="motion estimated at another size ties it to the frames' size"):
        prepare.choose(zoo.create("ifrnet-t", scale=0.5), backend="ncnn")
    assert prepare.choose(zoo.create("rife-4.6", scale=0.5), backend="ncnn").backend == "ncnn"


def test_a_classic_method_is_refused():
    with pytest.raises(Conflict, match="--backend ncnn for classic; a classic method has nothing to compile"):
        prepare.choose(Blend(), backend="ncnn")


@pytest.mark.parametrize("package", ["ncnn", "pnnx"])
def test_what_is_not_installed_is_named(monkeypatch, package, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("TWEEN_HOME", str(tmp_path))
    with pytest.raises(MissingPackage, match=rf'{package} is not installed; .*pip install "tween\[export\]"'):
        prepare.prepare(zoo.create("ifrnet-t").eval(), (32, 48), backend="ncnn")
