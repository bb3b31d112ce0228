"""Every backend is torch, within its tolerance."""

from fractions import Fraction

import pytest
import torch
from networks import decibels, ifrnet_s, long, moving, run, small, straight
from recorder import again

from tween.backends.backend import Backend
from tween.backends.cudagraph import CudaGraphBackend
from tween.backends.onnx import OnnxBackend
from tween.backends.openvino import OpenVinoBackend
from tween.backends.torch import TorchBackend
from tween.frame import Frame
from tween.models.classic import Blend
from tween.ops.canvas import Canvas

pytestmark = pytest.mark.slow  # each compiles networks, or starts processes

LEAST_DB = {"torch": 110, "cudagraph": 110, "openvino": 95, "onnx": 95}
ENGINES = {"openvino": OpenVinoBackend, "onnx": OnnxBackend}
# where graphs are made for one test alone
EACH = ["torch", "cudagraph", "openvino", pytest.param("onnx", marks=pytest.mark.slow)]
SIZE = (36, 52)


def made(name, model, size):
    if name == "cudagraph":  # on the CPU, with what stands in for a CUDA graph
        return CudaGraphBackend(model, device="cpu", record=again)
    return TorchBackend(model) if name == "torch" else ENGINES[name](model, size)


@pytest.fixture(scope="module", params=sorted(LEAST_DB))
def pair(request):
    """A backend's name, the model, and the model on that backend."""
    model = small()
    return request.param, model, made(request.param, model, SIZE)


def test_it_says_what_it_is(pair):
    name, model, backend = pair
    assert isinstance(backend, Backend)
    assert (backend.name, backend.device, backend.precision, backend.spec) == (name, "cpu", "fp32", model.spec)


@pytest.mark.parametrize("t", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_it_equals_torch_at_any_time(pair, t):
    name, model, backend = pair
    frames, t = moving(SIZE), torch.tensor([t])
    got = run(backend, frames, t)
    assert got.dtype == torch.float32
    assert got.is_contiguous()
    assert decibels(got, straight(model, frames, t)) >= LEAST_DB[name]


def test_a_batch_holds_other_frames_and_times(pair):
    name, model, backend = pair
    frames, t = moving(SIZE, batch=3, seed=1), torch.tensor([0.25, 0.5, 0.875])
    assert decibels(run(backend, frames, t), straight(model, frames, t)) >= LEAST_DB[name]


def test_cached_verbs_give_the_same_bits(pair):
    _, _, backend = pair
    a, b, c = (backend.embed(frame) for frame in moving(SIZE, count=3))
    half = torch.tensor([0.5])
    first = backend.relate([a, b])
    early = backend.render(first, half)
    kept = early.clone()
    later = backend.render(backend.relate([b, c]), half)
    assert not torch.equal(later, early)
    assert torch.equal(early, kept), "a later call wrote over a result that the caller still holds"
    assert torch.equal(backend.render(first, half), kept), "a later gap changed an earlier scene"


def test_it_leaves_its_inputs_and_the_model_alone(pair):
    _, model, backend = pair
    frames = moving(SIZE)
    before = [frame.clone() for frame in frames]
    with torch.inference_mode():
        run(backend, frames, torch.tensor([0.5])).zero_()
    assert all(torch.equal(a, b) for a, b in zip(frames, before, strict=True))
    fresh = small().state_dict()
    assert all(torch.equal(fresh[key], tensor) for key, tensor in model.state_dict().items())
    assert all(tensor.is_contiguous() for tensor in model.state_dict().values())


def test_frames_may_lie_in_memory_as_they_like(pair):
    name, model, backend = pair
    frames = [frame.transpose(2, 3).contiguous().transpose(2, 3) for frame in moving(SIZE)]
    t = torch.tensor([0.5])
    assert decibels(run(backend, frames, t), straight(model, frames, t)) >= LEAST_DB[name]


@pytest.mark.parametrize("name", EACH)
def test_a_model_in_training_is_run_as_if_it_were_not(name):
    model = small().train()
    made(name, model, (8, 8))
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("name", EACH)
def test_a_long_context_may_lose_what_is_not_kept_behind(name):
    model, size = long(), (12, 20)
    backend, frames = made(name, model, size), moving(size, count=4)
    context, t = [backend.embed(frame) for frame in frames], torch.tensor([0.5])
    wanted = straight(model, frames, t)
    assert decibels(backend.render(backend.relate(context), t), wanted) >= LEAST_DB[name]
    context[0] = context[0][: model.spec.kept_behind]
    assert decibels(backend.render(backend.relate(context), t), wanted) >= LEAST_DB[name]


@pytest.mark.parametrize("name", EACH)
def test_a_model_of_one_verb_runs(name):
    frames, t = moving(SIZE), torch.tensor([0.25])
    assert torch.allclose(run(made(name, Blend(), SIZE), frames, t), 0.75 * frames[0] + 0.25 * frames[1], atol=1e-6)


@pytest.mark.parametrize("name", EACH)
def test_ifrnet_of_an_odd_size(name):
    model = ifrnet_s()
    canvas = Canvas((101, 75), model.spec.multiple)
    frames = [Frame((picture[0] * 255).to(torch.uint8), Fraction(i)) for i, picture in enumerate(moving((101, 75)))]
    entered, t = [canvas.enter(frame) for frame in frames], torch.tensor([0.3])
    got, wanted = run(made(name, model, canvas.size), entered, t), straight(model, entered, t)
    assert decibels(got, wanted) >= LEAST_DB[name]
    left, meant = (canvas.leave(picture, Fraction(3, 10), frames[0]) for picture in (got, wanted))
    assert left.size == (101, 75)
    assert (left.data.int() - meant.data.int()).abs().max() <= 1


@pytest.mark.needs_cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize(("precision", "least_db"), [("fp32", 60), ("fp16", 50), ("bf16", 40)])
def test_cuda_equals_the_cpu(precision, least_db):
    model, frames, t = ifrnet_s(), moving((96, 160)), torch.tensor([0.5])
    got = run(TorchBackend(model, device="cuda:0", precision=precision), frames, t)
    assert got.device.type == "cpu"
    assert decibels(got, straight(model, frames, t)) >= least_db
