"""The engines that fuse what lies between convolutions, of RIFE and of IFRNet: the same numbers as torch, each version
and size."""

import threading

import pytest
import torch
from networks import decibels, lively, moving, run, straight

from tween.backends import machine, openvino, prepare
from tween.backends.openvino import has_bf16
from tween.errors import Conflict, MissingPackage
from tween.models import zoo
from tween.models.ifrnet import SIZES
from tween.models.ifrnet import build as ifrnet
from tween.models.rife import build
from tween.models.rife_versions import VERSIONS

pytest.importorskip("openvino")
pytest.importorskip("numba")
from tween.backends.fused import fused, reading_order, suits

pytestmark = pytest.mark.slow  # each compiles networks, or starts processes

T = torch.tensor([0.3])
BY_NUMBER = {version.number: version for version in VERSIONS}
# one of each kind: no head, mask that is added, head, grouped, carried, five blocks, a grid left out
QUICK = ("4.2", "elan")
SLOW = ("4.0", "s")
LONG = ("t", "b", "l", "4.25", "4.5", "4.6", "4.7", "4.12.lite", "4.14.lite", "4.21", "4.25.lite", "4.26.heavy")
KINDS = [
    *QUICK,
    *[pytest.param(number, marks=pytest.mark.slow) for number in SLOW],
    *[pytest.param(number, marks=pytest.mark.long) for number in LONG],
]
EACH = pytest.mark.parametrize("number", QUICK)


@pytest.fixture(autouse=True)
def _home(tmp_path_factory, monkeypatch):
    """A cache for this file alone, so that no test sees an old graph and each graph is made once."""
    monkeypatch.setenv("TWEEN_HOME", str(tmp_path_factory.getbasetemp() / "fused"))


def network(number, **options):
    """A version of RIFE or a size of IFRNet, with weights that move things as far on each grid: else a rounding error
    would grow to a pixel."""
    if number in SIZES:
        return lively(ifrnet(number, 1.0))
    model = lively(build(BY_NUMBER[number], **options))
    for block, scale in enumerate(model.scales):
        layer = model.get_submodule(f"block{block}").lastconv
        layer = layer[0] if BY_NUMBER[number].scaled else layer
        layer.weight.data.div_(scale)
    return model


def at_least(model):
    """A size for it, not square."""
    side = max(64, model.spec.multiple)
    return side, 2 * side


def both(model, size, t=T, batch=1):
    """What the engine and torch show, and torch's flow."""
    frames = moving(size, batch=batch)
    with torch.inference_mode():
        flow = model.render(model.relate([model.embed(frame) for frame in frames]), t).aux["flow"]
    return run(fused(model, size), frames, t), straight(model, frames, t), flow


@pytest.mark.parametrize("number", KINDS)
def test_it_shows_what_torch_shows(number):
    model = network(number)
    got, wanted, flow = both(model, at_least(model))
    assert flow.abs().mean() > 1  # pixels: something moved, and some of it beyond the border
    assert flow.abs().max() > 5
    assert got.shape == wanted.shape
    assert float((got - wanted).abs().max()) < 1e-4


@pytest.mark.long
def test_coarser_grids():
    model = network("4.6", scale=0.5)
    got, wanted, _ = both(model, at_least(model))
    assert float((got - wanted).abs().max()) < 1e-4


@EACH
def test_each_picture_of_a_batch_has_its_own_instant(number):
    model = network(number)
    got, wanted, _ = both(model, at_least(model), torch.tensor([0.2, 0.9]), batch=2)
    assert float((got - wanted).abs().max()) < 1e-4
    assert decibels(got[:1], got[1:]) < 40


@EACH
def test_frames_that_are_no_numbers_break_nothing(number):
    model = network(number)
    size = at_least(model)
    engine, frames = fused(model, size), moving(size)
    before = run(engine, frames, T)
    broken = [torch.full_like(frames[0], float("nan")), torch.full_like(frames[0], float("inf"))]
    assert run(engine, broken, T).shape == before.shape
    assert torch.equal(run(engine, frames, T), before)


@EACH
def test_threads_take_turns(number):
    model = network(number)
    size = at_least(model)
    engine, frames = fused(model, size), moving(size)
    moments = [torch.tensor([k / 8]) for k in range(1, 8)]
    alone = [run(engine, frames, t) for t in moments]
    shown = {}

    def work(k):
        shown[k] = run(engine, frames, moments[k])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(moments))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(shown[k], alone[k]) for k in range(len(moments)))


@EACH
def test_what_was_shown_stays_as_it_is(number):
    model = network(number)
    size = at_least(model)
    engine, frames = fused(model, size), moving(size)
    scene = engine.relate([engine.embed(frame) for frame in frames])
    first = engine.render(scene, T)
    kept = first.clone()
    engine.render(scene, torch.tensor([0.8]))
    assert torch.equal(first, kept)


@EACH
def test_the_network_itself_stays_as_it_is(number):
    model = network(number)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fused(model, at_least(model))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@EACH
def test_the_second_start_compiles_nothing(number, monkeypatch):
    model = network(number)
    fused(model, at_least(model))

    def refuse(*_):
        raise AssertionError("exported again")

    monkeypatch.setattr(openvino, "to_onnx", refuse)
    fused(model, at_least(model))


@pytest.mark.skipif(not has_bf16(), reason="no bf16 here")
@pytest.mark.parametrize(
    "number", ["t", "s", *[pytest.param(number, marks=pytest.mark.long) for number in ("4.25", "4.6", "b", "elan")]]
)
def test_bf16_keeps_45_db_where_flows_reach_20_pixels(number):
    model, size = network(number), (256, 448)
    frames = moving(size)
    got = run(fused(model, size, precision="bf16"), frames, T)
    assert decibels(got, straight(model, frames, T)) > (43 if number == "elan" else 45)  # OpenVINO by itself: 41


@pytest.mark.parametrize("number", list(BY_NUMBER))
def test_each_channel_is_read_once(number):
    version = BY_NUMBER[number]
    for block in range(len(version.widths)):
        count = version.inputs(block)
        assert sorted(reading_order(version.features, count)) == list(range(count))


def test_what_it_is_written_for():
    assert all(suits(build(version)) for version in VERSIONS)
    assert suits(build(BY_NUMBER["4.6"], scale=0.25))
    assert not suits(build(BY_NUMBER["4.6"], scale=2.0))  # half pixels
    assert all(suits(ifrnet(size, 1.0)) for size in SIZES)
    assert not suits(ifrnet("s", 0.5))
    assert not suits(zoo.create("ifrvp"))


# ---- what `prepare` makes of it


def packages(monkeypatch, *there):
    monkeypatch.setattr(machine, "version", lambda name: "1.0" if name in there else None)
    monkeypatch.setattr(machine, "cuda_devices", lambda: ())


def test_auto_takes_it_and_says_why(monkeypatch):
    packages(monkeypatch, "openvino", "numba")
    choice = prepare.choose(build(BY_NUMBER["4.25"]))
    assert choice[:2] == ("fused", "cpu")
    assert "times as fast as torch (RIFE 4.25" in choice.reason


def test_auto_takes_it_for_ifrnet(monkeypatch):
    packages(monkeypatch, "openvino", "numba")
    choice = prepare.choose(ifrnet("s", 1.0))
    assert choice[:2] == ("fused", "cpu")
    assert "times as fast as torch (IFRNet-S" in choice.reason
    assert prepare.choose(ifrnet("s", 0.5)).backend == "openvino"


def test_auto_without_numba_says_what_is_missed(monkeypatch):
    packages(monkeypatch, "openvino")
    choice = prepare.choose(build(BY_NUMBER["4.25"]))
    assert choice.backend == "openvino"
    assert "but is not installed: pip install numba" in choice.reason
    packages(monkeypatch)
    assert prepare.choose(build(BY_NUMBER["4.25"])).backend == "torch"


def test_auto_on_half_pixels_takes_the_plain_road(monkeypatch):
    packages(monkeypatch, "openvino", "numba")
    assert prepare.choose(build(BY_NUMBER["4.6"], scale=2.0)).backend == "openvino"


def test_asked_for_in_vain(monkeypatch):
    packages(monkeypatch, "openvino", "numba")
    with pytest.raises(Conflict, match=r"--backend fused for ifrnet; it is written for RIFE 4.* IFRNet at --scale 1"):
        prepare.choose(ifrnet("s", 0.5), backend="fused")
    with pytest.raises(Conflict, match="--backend fused for rife; it is written for RIFE 4, at --scale 1 or less"):
        prepare.choose(build(BY_NUMBER["4.6"], scale=4.0), backend="fused")
    packages(monkeypatch, "openvino")
    with pytest.raises(MissingPackage, match="numba is not installed"):
        prepare.choose(build(BY_NUMBER["4.6"]), backend="fused")


def test_prepare_gives_it():
    model = network("4.2")
    backend = prepare.prepare(model, (20, 60), backend="fused", precision="fp32", label="rife-4.2@test")
    assert (backend.name, backend.device, backend.precision) == ("fused", "cpu", "fp32")
