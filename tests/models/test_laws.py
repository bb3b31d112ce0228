"""The laws of models, for every network of the zoo: a new one is tested by existing."""

import math
from fractions import Fraction

import pytest
import torch

from tween.frame import Frame
from tween.models import weights, zoo
from tween.models.cost import FIGURES
from tween.ops.canvas import Canvas

CLASSIC = [name for name, row in zoo.entries().items() if not row.trained]


def law_abiding():
    """Every network once: versions that differ in nothing but their weights (of RIFE) are one."""
    seen = set()
    for name, row in zoo.entries().items():
        spec = zoo.signature(name).spec
        kind = (name if not row.trained else tuple(sorted(zoo.signature(name).shapes.items())), spec)
        if kind not in seen:
            seen.add(kind)
            heavy = FIGURES.get(name, (0, 0))[1] > 400
            yield pytest.param(name, marks=pytest.mark.long if heavy else ())


@pytest.fixture(scope="module", params=law_abiding())
def model(request):
    """The network with random weights that leave no layer silent, in eval mode, and its name."""
    torch.manual_seed(11)
    made = zoo.create(request.param).eval()
    with torch.no_grad():
        for value in made.parameters():
            value.add_(0.01 * torch.randn_like(value))
    made.name = request.param
    return made


def moments(model, count=1):
    """Times that the model knows, `[count]`."""
    if model.spec.predicts:
        return 1.0 + torch.arange(count, dtype=torch.float32) % 3 if model.spec.any_time else torch.ones(count)
    return torch.linspace(0.3, 0.7, count) if model.spec.any_time else torch.full((count,), 0.5)


def size_of(model):
    """A small (H, W) that the model takes, wider than high."""
    side = model.spec.multiple * math.ceil(32 / model.spec.multiple)
    return side, side + model.spec.multiple * math.ceil(16 / model.spec.multiple)


def clip(model, batch=1, size=None):
    """A smooth picture that moves, `[B, N, 3, H, W]`."""
    height, width = size or size_of(model)
    y, x = torch.meshgrid(torch.arange(height) / 7, torch.arange(width) / 5, indexing="ij")
    at = torch.tensor(model.spec.context, dtype=torch.float32).view(1, -1, 1, 1, 1)
    phase = torch.arange(batch).view(-1, 1, 1, 1, 1) + torch.tensor([0.0, 1.0, 2.0]).view(1, 1, 3, 1, 1)
    return 0.5 + 0.4 * torch.sin(x + 0.3 * at + phase) * torch.cos(y - 0.2 * at)


@torch.inference_mode()
def run(model, frames, t):
    return model(frames, t)


@pytest.mark.slow
def test_any_size_goes_in_and_comes_out(model):
    for height, width, dtype in ((33, 47, torch.uint8), (20, 18, torch.uint16)):
        canvas = Canvas((height, width), model.spec.multiple)
        picture = (
            (clip(model, size=(height, width))[0] * (255 if dtype == torch.uint8 else 65535)).to(torch.int32).to(dtype)
        )
        frames = [Frame(data, Fraction(i)) for i, data in enumerate(picture)]
        entered = torch.stack([canvas.enter(frame) for frame in frames], 1)
        out = canvas.leave(run(model, entered, moments(model)).frame, Fraction(1, 2), like=frames[0])
        assert (out.size, out.data.dtype) == ((height, width), dtype)


@pytest.mark.slow
def test_a_picture_comes_out(model):
    frames = clip(model, batch=2)
    frame, aux = run(model, frames, moments(model, 2))
    assert frame.shape == (2, 3, *frames.shape[-2:])
    assert frame.dtype == torch.float32
    assert frame.min() >= 0
    assert frame.max() <= 1
    if "flow" in aux:
        assert aux["flow"].shape == (2, 4, *frames.shape[-2:])
        assert aux["flow"].dtype == torch.float32
    if "mask" in aux:
        assert aux["mask"].shape == (2, 1, *frames.shape[-2:])
        assert aux["mask"].min() >= 0
        assert aux["mask"].max() <= 1


@pytest.mark.slow
def test_what_was_kept_gives_what_is_computed_anew_bit_for_bit(model):
    frames, t = clip(model), moments(model)
    with torch.inference_mode():
        embedded = [model.embed(frame) for frame in frames.unbind(1)]
        scene = model.relate(embedded)
        model.render(scene, moments(model, 2)[1:])  # an instant before must leave nothing behind
        kept = model.render(scene, t).frame
    assert torch.equal(kept, run(model, frames, t).frame)


@pytest.mark.slow
def test_pictures_of_a_batch_do_not_meet(model):
    frames, t = clip(model, batch=2), moments(model, 2)
    both = run(model, frames, t).frame
    for i in range(2):
        alone = run(model, frames[i : i + 1], t[i : i + 1]).frame
        assert (both[i : i + 1] - alone).abs().max() < 1e-4


@pytest.mark.slow
def test_a_model_of_any_time_heeds_it(model):
    if not model.spec.any_time or model.name in {"nearest", "repeat"}:
        return  # what knows one time only is asked for no other: the pipeline sees to it
    frames, t = clip(model), moments(model)
    later = t + (1 if model.spec.predicts else 0.15)
    assert not torch.equal(run(model, frames, later).frame, run(model, frames, t).frame)


@pytest.mark.slow
def test_the_multiple_is_enough(model):
    for rows, columns in ((1, 3), (2, 1)):
        least = math.ceil(16 / model.spec.multiple) * model.spec.multiple
        frames = clip(model, size=(rows * least, columns * least))
        assert run(model, frames, moments(model)).frame.shape[-2:] == frames.shape[-2:]


@pytest.mark.slow
def test_every_parameter_learns(model):
    if model.name in CLASSIC:
        assert not list(model.parameters())
        return
    count = len(model.steps) if hasattr(model, "steps") else 1
    frames = clip(model, batch=count)
    t = torch.arange(1.0, count + 1) if count > 1 else moments(model)
    with torch.enable_grad():
        model.zero_grad(set_to_none=True)
        frame, _ = model(frames, t)
        (frame - frames[:, 0].flip(-1)).square().mean().backward()
    silent = [key for key, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    model.zero_grad(set_to_none=True)
    assert not silent, f"{len(silent)} parameters learn nothing: {silent[:5]}"


@pytest.mark.slow
def test_reduced_precision_shows_the_same_picture(model):
    if not model.spec.half or model.name in CLASSIC:
        return
    frames, t = clip(model), moments(model)
    exact = run(model, frames, t).frame
    with torch.autocast("cpu", torch.bfloat16):
        frame, aux = run(model, frames, t)
    assert (frame.float() - exact).abs().mean() < 0.01
    if "flow" in aux:
        assert aux["flow"].dtype == torch.float32


@pytest.mark.slow
def test_weights_come_back_from_a_file(model, tmp_path):
    if model.name in CLASSIC:
        return
    weights.write(model.state_dict(), tmp_path / "w.safetensors", name=model.name)
    loaded = zoo.load(tmp_path / "w.safetensors")
    assert loaded.spec == model.spec
    assert not loaded.training
    frames, t = clip(model), moments(model)
    assert torch.equal(run(loaded, frames, t).frame, run(model, frames, t).frame)


@pytest.mark.parametrize("name", CLASSIC)
@pytest.mark.parametrize("t", [0.25, 0.5, 0.9])
def test_equal_frames_give_that_frame_back(name, t):
    made = zoo.load(name)
    frames = clip(made, size=(48, 64))[:, :1].expand(-1, len(made.spec.context), -1, -1, -1)
    assert (run(made, frames, torch.tensor([t])).frame - frames[:, 0]).abs().max() < 1e-5
