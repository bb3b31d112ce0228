"""What `auto` takes, and what is refused, by its words."""

import subprocess
import sys

import pytest
from networks import ifrnet_s, small

from tween.backends import machine, openvino, prepare
from tween.backends.openvino import OpenVinoBackend
from tween.backends.torch import TorchBackend
from tween.errors import BadOption, Conflict, MissingPackage
from tween.models import zoo
from tween.models.classic import Blend
from tween.models.ifrnet import build


@pytest.fixture
def network():
    return build("t", 1.0)


def this_machine(monkeypatch, *, bf16=False, cuda=0, packages=("openvino",)):
    monkeypatch.setattr(machine, "has_bf16", lambda: bf16)
    monkeypatch.setattr(openvino, "has_bf16", lambda: bf16)
    monkeypatch.setattr(machine, "cuda_devices", lambda: ("A GPU",) * cuda)
    monkeypatch.setattr(machine, "version", lambda name: "1.0" if name in packages else None)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: (8, 0))


def test_auto_takes_what_was_measured_and_says_so(monkeypatch, network):
    this_machine(monkeypatch)
    choice = prepare.choose(network)
    assert choice[:3] == ("openvino", "cpu", "fp32")
    row = next(row for row in prepare.MEASURED if (row.family, row.engine) == ("ifrnet", "openvino"))
    assert f"{row.ratio:g} times as fast as torch" in choice.reason
    assert row.where in choice.reason
    assert "no bf16" in choice.reason


def test_auto_stays_with_torch_where_nothing_was_measured(monkeypatch):
    this_machine(monkeypatch)
    choice = prepare.choose(small())
    assert choice[:3] == ("torch", "cpu", "fp32")
    assert "no other backend was measured faster for networks" in choice.reason


def test_auto_stays_with_torch_where_a_graph_would_compute_what_nobody_asked_for(monkeypatch):
    this_machine(monkeypatch)
    assert prepare.choose(zoo.create("ifrvp-t")).backend == "openvino"
    assert prepare.choose(zoo.create("ifrvp-steps")).backend == "torch"
    assert prepare.choose(zoo.create("ifrvp-steps"), backend="openvino").backend == "openvino"


def test_auto_without_openvino_says_what_is_missed(monkeypatch, network):
    this_machine(monkeypatch, packages=())
    choice = prepare.choose(network)
    assert choice.backend == "torch"
    assert "not installed: pip install openvino" in choice.reason


def test_classic_methods_run_on_torch_whatever_is_there(monkeypatch):
    this_machine(monkeypatch, bf16=True, cuda=1)
    assert prepare.choose(Blend())[:3] == ("torch", "cpu", "fp32")
    with pytest.raises(Conflict, match="a classic method has nothing to compile"):
        prepare.choose(Blend(), backend="openvino")


def test_bf16_where_the_cpu_has_it(monkeypatch, network):
    this_machine(monkeypatch, bf16=True)
    assert prepare.choose(network)[:3] == ("openvino", "cpu", "bf16")
    assert prepare.choose(network, backend="torch")[:3] == ("torch", "cpu", "bf16")
    assert prepare.choose(network, precision="fp32").precision == "fp32"


def test_cuda_where_it_is(monkeypatch, network):
    this_machine(monkeypatch, cuda=2)
    assert prepare.choose(network)[:3] == ("torch", "cuda:0", "fp16")
    assert prepare.choose(network, device="cuda:1", precision="bf16")[:3] == ("torch", "cuda:1", "bf16")
    assert prepare.choose(network, device="cpu")[:2] == ("openvino", "cpu")
    assert prepare.choose(network, backend="openvino")[:2] == ("openvino", "cpu")
    with pytest.raises(Conflict, match="--backend openvino with --device cuda:0"):
        prepare.choose(network, backend="openvino", device="cuda")


def test_a_network_that_needs_full_precision_gets_it(monkeypatch, network):
    from dataclasses import replace

    this_machine(monkeypatch, bf16=True)
    network.spec = replace(network.spec, half=False)
    assert prepare.choose(network).precision == "fp32"
    with pytest.raises(BadOption, match="ifrnet needs full precision"):
        prepare.choose(network, precision="bf16")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"precision": "bf16"}, "this CPU has no bf16"),
        ({"precision": "fp16"}, "fp16 would ruin flow"),
        ({"precision": "half"}, "one of auto, fp32, bf16, fp16 is needed"),
        ({"backend": "opnvino"}, "did you mean openvino"),
        ({"device": "cuda"}, "torch sees 0 CUDA devices here"),
        ({"device": "gpu"}, "one of auto, cpu, cuda, cuda:1, mps is needed"),
        ({"device": "cuda:x"}, "one of auto, cpu, cuda, cuda:1, mps is needed"),
    ],
)
def test_what_cannot_be_is_refused(monkeypatch, network, asked, words):
    this_machine(monkeypatch)
    with pytest.raises(BadOption) as refused:
        prepare.choose(network, **asked)
    assert words in str(refused.value)


def test_rife_on_openvino_alone_stays_in_f32(monkeypatch):
    """Its flows would be off by pixels: the engine that fuses keeps what says motion in f32."""
    this_machine(monkeypatch, bf16=True, packages=("openvino", "numba"))
    rife = zoo.create("rife-4.25")
    assert prepare.choose(rife, backend="openvino")[:3] == ("openvino", "cpu", "fp32")
    assert prepare.choose(rife, backend="fused").precision == "bf16"
    with pytest.raises(BadOption, match=r"measured 22 dB from f32.*--precision fp32"):
        prepare.choose(rife, backend="openvino", precision="bf16")


def test_openvino_asked_for_and_not_there(monkeypatch, network):
    this_machine(monkeypatch, packages=())
    with pytest.raises(MissingPackage, match="pip install openvino"):
        prepare.choose(network, backend="openvino")


@pytest.mark.slow
def test_prepare_makes_what_was_chosen():
    model = ifrnet_s()
    backend = prepare.prepare(model, (50, 70), backend="openvino", precision="fp32", label="ifrnet-s@test")
    assert isinstance(backend, OpenVinoBackend)
    assert isinstance(prepare.prepare(model, (50, 70), backend="torch", precision="fp32"), TorchBackend)


@pytest.mark.slow
def test_looking_at_backends_loads_no_engine():
    code = "import sys, tween.backends.prepare, tween.backends.machine; print('openvino' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


def test_the_machine_is_told():
    found = machine.machine()
    assert found.cpu
    assert found.cores >= 1
    assert set(found.features) <= set(machine.FEATURES)
    assert found.packages["torch"]
    assert "CPUExecutionProvider" in found.onnx
    assert machine.version("no-such-package-as-this") is None
