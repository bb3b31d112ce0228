"""The last blend: the kernel is the eager way, wherever it can be tried."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import blend_cases
import pytest
import torch

from tween.ops import blend
from tween.ops.warp import backward_warp

HAS_TRITON = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed (pip install triton, on Linux)")


@pytest.fixture(scope="module")
def interpreted():
    """How far the kernel is from the eager way, by case."""
    env = {**os.environ, "TRITON_INTERPRET": "1"}
    ran = subprocess.run(
        [sys.executable, str(Path(blend_cases.__file__))], capture_output=True, text=True, env=env, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("way", blend_cases.WAYS)
@pytest.mark.parametrize("name", blend_cases.CASES)
def test_the_kernel_is_the_eager_way(interpreted, name, way):
    """But for rounding: the kernel counts in pixels, `grid_sample` on an axis from -1 to 1. A width of 517 px rounds
    to 3e-5 px there, and these frames are noise, which changes by as much as 1 a pixel."""
    assert interpreted[f"{name}, {way}"] <= (5e-5 if name == "wider than a block" else 1e-5)


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("capability", [75, 80, 90])
@pytest.mark.parametrize("step", ["i32", "constexpr"], ids=["any layout", "contiguous"])
def test_it_compiles_for_gpus_that_are_not_here(capability, step, tmp_path, monkeypatch):
    """To machine code; the interpreter takes much that the compiler does not."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from tween.ops.blend_kernel import kernel

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    chosen = {"channels": 3, "has_mean": True, "has_residual": True, "block": 256}
    floats = ("first", "second", "flow", "mask", "mean", "residual", "out")
    if step == "constexpr":  # what Triton makes of a step of 1
        chosen |= {name: 1 for name in kernel.arg_names if name.endswith("_x")}
    kinds = {name: "*fp32" if name in floats else "i32" for name in kernel.arg_names}
    kinds |= dict.fromkeys(chosen, "constexpr")
    fused = {"enable_fp_fusion": True}  # as it is launched
    made = triton.compile(ASTSource(kernel, kinds, chosen), target=GPUTarget("cuda", capability, 32), options=fused)
    assert made.asm["cubin"]


def test_whole_pixels_are_a_shift():
    first, second = torch.rand(2, 1, 3, 8, 9)
    flow = torch.tensor([2.0, 0.0, 0.0, -3.0]).view(1, 4, 1, 1).expand(1, 4, 8, 9)
    shown = blend.blended(first, second, flow, torch.full((1, 1, 8, 9), 0.25))
    meant = 0.25 * first[..., 3:, 2:] + 0.75 * second[..., :-3, :-2]
    torch.testing.assert_close(shown[..., 3:, :-2], meant, atol=1e-5, rtol=0)


def test_gradients_reach_all_of_it():
    parts = blend_cases.case("odd", "mean and residual")
    for part in parts:
        part.requires_grad_()
    blend.blended(*parts[:4], mean=parts[4], residual=parts[5]).square().sum().backward()
    assert all(part.grad.abs().sum() > 0 for part in parts)


def test_on_the_cpu_it_is_the_eager_way_to_the_bit(monkeypatch):
    monkeypatch.setattr(blend, "runs_on", lambda _: pytest.fail("the kernel is for GPUs"))
    first, second, flow, mask, mean, residual = blend_cases.case("a batch", "mean and residual")
    one, other = backward_warp(first, flow[:, :2]), backward_warp(second, flow[:, 2:])
    wanted = mask * one + (1 - mask) * other + mean + residual
    assert torch.equal(blend.blended(first, second, flow, mask, mean=mean, residual=residual), wanted)


def test_without_triton_nothing_is_asked_of_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "tween.ops.blend_kernel", raising=False)
    blend.runs_on.cache_clear()
    assert not blend.runs_on(torch.device("cpu"))
    blend.runs_on.cache_clear()


@needs_triton
@pytest.mark.parametrize("fault", ["raises", "is off"])
def test_a_kernel_that_fails_its_trial_is_not_used(monkeypatch, fault):
    """Triton needs a C compiler where it runs: not every machine with a GPU has one."""
    from tween.ops import blend_kernel

    def faulty(*parts):
        if fault == "raises":
            raise RuntimeError("Failed to find C compiler")
        return blend.eager(*parts) + 0.01

    monkeypatch.setattr(blend_kernel, "blend", faulty)
    blend.runs_on.cache_clear()
    assert not blend.runs_on(torch.device("cpu"))
    monkeypatch.setattr(blend_kernel, "blend", blend.eager)
    blend.runs_on.cache_clear()
    assert blend.runs_on(torch.device("cpu"))
    blend.runs_on.cache_clear()


@pytest.mark.needs_cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@needs_triton
@pytest.mark.parametrize("way", blend_cases.WAYS)
@pytest.mark.parametrize("name", blend_cases.CASES)
def test_on_a_gpu_it_is_the_eager_way(name, way):
    """Never run yet."""
    first, second, flow, mask, mean, residual = parts = blend_cases.case(name, way, "cuda:0")
    assert blend.suits(*parts)
    assert blend.runs_on(first.device)
    shown = blend.blended(first, second, flow, mask, mean=mean, residual=residual)
    assert (shown - blend.eager(*parts)).abs().max() <= 5e-5
    assert not blend.suits(first.half(), *parts[1:])
    assert not blend.suits(first.clone().requires_grad_(), *parts[1:])
    assert not blend.suits(first, second[..., :-1, :], *parts[2:])
