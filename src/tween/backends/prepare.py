"""The one way to get a backend. What `auto` takes is decided here, by what was measured, and said aloud."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from ..errors import BadOption, Conflict, MissingPackage, near
from ..models import exported
from ..models.exported import Exported
from ..models.model import Model
from ..ops.canvas import Canvas
from . import machine
from .backend import Backend

BACKENDS = ("auto", "torch", "cudagraph", "fused", "openvino", "onnx", "ncnn", "tensorrt")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


class Choice(NamedTuple):
    """What runs a model, and why.

    Attributes:
        backend: `torch`, `cudagraph`, `fused`, `openvino`, `onnx`, `ncnn`, `tensorrt`.
        device: `cpu`, `cuda:0`, `mps`; for `onnx` also `directml`, `coreml`.
        precision: `fp32`, `bf16`, `fp16`; of a file that was exported so also `int8`.
        reason: one line for the user.
    """

    backend: str
    device: str
    precision: str
    reason: str


class Measured(NamedTuple):
    """An engine's speed over the torch backend's, of one family on one kind of CPU; both in fp32.

    Attributes:
        family: the file in `models` that the network lives in.
        engine: the backend.
        ratio: torch's time over the engine's, for a gap with one instant in it.
        where: network, size, machine, date.
    """

    family: str
    engine: str
    ratio: float
    where: str


NEEDS = {"openvino": "openvino", "fused": "numba"}  # an engine -> the package beside OpenVINO that it is not without
SMALL_PICTURE = 640 * 480  # pixels, beyond which a network on OpenVINO keeps all threads busy with one gap
INSTALL = {"openvino": "pip install openvino", "fused": "pip install numba"}

# tween bench --against eager; a family that is not here runs on torch. The first that can run is taken.
MEASURED = (
    Measured("rife", "fused", 2.1, "RIFE 4.25, 1280x720, 2 threads of an EPYC with AVX2, 2026-11-21"),
    # Taken on a busy machine: CPU time of one thread, --threads 1.
    Measured("rife", "openvino", 1.16, "RIFE 4.6, 448x256, one core of a Xeon with AVX-512, 2026-11-21"),
    Measured("ifrnet", "fused", 2.1, "IFRNet-S, 1280x720, 2 cores of an EPYC with AVX-512 and bf16, 2026-12-01"),
    Measured("ifrnet", "openvino", 1.26, "IFRNet-S, 1280x720, one core of a Xeon with AVX-512, 2026-11-21"),
    Measured("lightvfi", "openvino", 1.19, "448x256, one core of a Xeon with AVX-512, 2026-11-21"),
    Measured("emavfi", "openvino", 1.2, "EMA-VFI small, 448x256, one core of a Xeon with AVX-512, 2026-11-21"),
    Measured("ifrvp", "openvino", 1.15, "IFRVP, 448x256, 2 threads of an EPYC with AVX2, 2026-11-22"),
    Measured("deformvfi", "openvino", 1.29, "448x256, 2 threads of an EPYC with AVX2, 2026-11-22"),
)


def prepare(
    model: Model,
    size: tuple[int, int],
    *,
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    label: str = "",
    at_once: int = 1,
) -> Backend:
    """A backend for frames of `size`.

    Args:
        model: in eval mode, with its weights.
        size: (H, W) of the frames, pixels, before padding.
        backend: one of `BACKENDS`.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`; for `onnx` also `directml`, `coreml`.
        precision: `auto`, `fp32`, `bf16`, `fp16`.
        label: the model's name, for files in the cache.
        at_once: gaps that may be made side by side, where that is faster and there are threads to ask for them; what
            comes of it is the backend's `at_once`.

    Raises:
        BadOption: a value that does not exist, or that this machine or model cannot do.
        Conflict: values that exclude each other.
        MissingPackage: the backend asked for is not installed.
    """
    choice = choose(model, backend=backend, device=device, precision=precision)
    return _made(choice, model, Canvas(size, model.spec.multiple), label, at_once)


def _made(choice: Choice, model: Model, canvas: Canvas, label: str, at_once: int) -> Backend:
    """What was chosen; only its own package is imported."""
    if isinstance(model, Exported):
        from .exported import FileBackend

        return FileBackend(model, canvas.size, device=choice.device)
    if choice.backend == "fused":
        from .fused import fused

        return fused(model, canvas.size, precision=choice.precision, label=label)
    if choice.backend == "openvino":
        from .openvino import OpenVinoBackend

        side_by_side = at_once if math.prod(canvas.size) <= SMALL_PICTURE else 1
        return OpenVinoBackend(model, canvas.size, precision=choice.precision, label=label, at_once=side_by_side)
    if choice.backend == "onnx":
        from .onnx import OnnxBackend

        return OnnxBackend(model, canvas.size, device=choice.device, label=label)
    if choice.backend == "ncnn":
        from .ncnn import NcnnBackend

        return NcnnBackend(model, label=label)
    if choice.backend == "tensorrt":
        from .tensorrt import TensorRtBackend

        how = {"device": choice.device, "precision": choice.precision}
        return TensorRtBackend(model, canvas.size, label=label, **how)
    if choice.backend == "cudagraph":
        from .cudagraph import CudaGraphBackend

        return CudaGraphBackend(model, device=choice.device, precision=choice.precision)
    from .torch import TorchBackend

    return TorchBackend(model, device=choice.device, precision=choice.precision, at_once=at_once)


def choose(model: Model, *, backend: str = "auto", device: str = "auto", precision: str = "auto") -> Choice:
    """What `prepare` would take, and why; raises as it does."""
    for value, known, option in ((backend, BACKENDS, "--backend"), (precision, PRECISIONS, "--precision")):
        if value not in known:
            raise BadOption(f"{option} {value}{near(value, known)}", f"one of {', '.join(known)} is needed")
    if isinstance(model, Exported):
        return _file(model, backend, device, precision)
    if backend in NEVER_UNASKED:
        return NEVER_UNASKED[backend](model, device, precision)
    where, why_device = _device(model, device, backend)
    engine, why_engine = _engine(model, backend, where)
    number, why_number = _precision(model, precision, engine, where)
    reasons = [why for why in (why_device, why_engine, why_number) if why]
    return Choice(engine, where, number, "; ".join(reasons))


def is_network(model: Model) -> bool:
    """False for a classic method, which has nothing to compile or to cast."""
    return any(True for _ in model.parameters())


def family(model: Model) -> str:
    """The file in `models` that a network lives in, or lived in before it was exported."""
    if isinstance(model, Exported):
        return model.card.family
    return type(model).__module__.rpartition(".")[2]


def _file(model: Exported, backend: str, device: str, precision: str) -> Choice:
    """What runs a file of `tween export`: it is what it is."""
    engine = model.engine
    called, form = {"onnx": ("ONNX Runtime", "ONNX"), "openvino": ("OpenVINO", "OpenVINO")}[engine]
    if backend not in ("auto", engine):
        need = f"{called} runs what was exported to {form}"
        raise Conflict(f"--backend {backend} for {model.path}", need, f"--backend {engine}, or the model's own name")
    if precision not in ("auto", model.card.precision):
        need = f"it was exported in {model.card.precision}, which stays so"
        fix = f"--precision auto, or tween export --precision {precision}"
        raise Conflict(f"--precision {precision} for {model.path}", need, fix)
    where = "cpu" if device == "auto" else device
    if engine == "onnx":
        exported.providers(where)
    elif where != "cpu":
        raise Conflict(f"--device {device} for {model.path}", "OpenVINO runs on the CPU here", "--device cpu")
    return Choice(engine, where, model.card.precision, f"the file was exported to {form}")


def _onnx(model: Model, device: str, precision: str) -> Choice:
    """ONNX Runtime in fp32; on the CPU, unless another device is asked for that it has."""
    _must_compile(model, "onnx")
    where = "cpu" if device == "auto" else device
    exported.providers(where)
    _must_be_full(precision, "onnx", "--precision fp32, or a file of tween export --precision fp16")
    return Choice("onnx", where, "fp32", "as asked; fp32")


def _ncnn(model: Model, device: str, precision: str) -> Choice:
    """ncnn in fp32 on the CPU: it is here to try what runs on phones."""
    from . import ncnn

    _must_compile(model, "ncnn")
    ncnn.check(model)
    ncnn.runtime()
    if device not in ("auto", "cpu"):
        raise Conflict(f"--backend ncnn with --device {device}", "ncnn runs on the CPU here", "--device cpu")
    _must_be_full(precision, "ncnn", "--precision fp32")
    return Choice("ncnn", "cpu", "fp32", "as asked; fp32")


def _tensorrt(model: Model, device: str, precision: str) -> Choice:
    """TensorRT on a CUDA device; never taken unasked."""
    from . import tensorrt

    _must_compile(model, "tensorrt")
    tensorrt.runtime()
    where, why = _device(model, "cuda" if device == "auto" else device, "tensorrt")
    if not where.startswith("cuda"):
        raise Conflict(f"--backend tensorrt with --device {device}", "it runs on NVIDIA's GPUs", "--device cuda")
    possible = [number for number in _reduced(model, "tensorrt", where)[0] if number in tensorrt.PRECISIONS]
    number = (possible or ["fp32"])[0] if precision == "auto" else precision
    if number not in ("fp32", *possible):
        need = f"{' or '.join((*possible, 'fp32'))} is needed"
        raise BadOption(f"--precision {precision} on tensorrt, {where}", need, "--precision fp32")
    return Choice("tensorrt", where, number, f"{why}; {number}")


def _cudagraph(model: Model, device: str, precision: str) -> Choice:
    """Torch on a CUDA device, recorded."""
    _must_compile(model, "cudagraph")
    if model.chooses:
        need = "it computes only what is asked for, and a CUDA graph does the same each time"
        raise Conflict(f"--backend cudagraph for {family(model)}", need, "--backend torch")
    where, why = _device(model, "cuda" if device == "auto" else device, "cudagraph")
    if not where.startswith("cuda"):
        need = "CUDA graphs are of NVIDIA's GPUs"
        raise Conflict(f"--backend cudagraph with --device {device}", need, "--device cuda")
    number, why_number = _precision(model, precision, "cudagraph", where)
    return Choice("cudagraph", where, number, f"{why}; {why_number}")


NEVER_UNASKED = {"onnx": _onnx, "ncnn": _ncnn, "tensorrt": _tensorrt, "cudagraph": _cudagraph}


def _must_compile(model: Model, engine: str) -> None:
    if not is_network(model):
        need = "a classic method has nothing to compile and runs on torch"
        raise Conflict(f"--backend {engine} for {family(model)}", need, "--backend torch")
    if model.searches:
        need = "most of it is a search of motion by OpenCV, which is in no graph; it runs on torch"
        raise Conflict(f"--backend {engine} for {family(model)}", need, "--backend torch")


def _must_be_full(precision: str, engine: str, fix: str) -> None:
    if precision not in ("auto", "fp32"):
        raise BadOption(f"--precision {precision} on {engine}", "it runs fp32 here", fix)


def _device(model: Model, asked: str, backend: str) -> tuple[str, str]:
    kind, _, index = asked.partition(":")
    cuda = len(machine.cuda_devices())
    if asked == "auto":
        if cuda and is_network(model) and not model.searches and backend not in NEEDS:
            return "cuda:0", "a CUDA device is here"
        return "cpu", ""
    if asked == "cpu":
        return "cpu", ""
    if kind == "cuda" and (not index or index.isdecimal()):
        if int(index or 0) < cuda:
            return f"cuda:{int(index or 0)}", "as asked"
        need = f"torch sees {cuda} CUDA device{'' if cuda == 1 else 's'} here"
        raise BadOption(f"--device {asked}", need, "--device auto")
    if asked == "mps":
        if torch.backends.mps.is_available():
            return "mps", "as asked"
        raise BadOption("--device mps", "torch sees no Apple GPU here", "--device auto")
    raise BadOption(f"--device {asked}", "one of auto, cpu, cuda, cuda:1, mps is needed", "--device auto")


def _engine(model: Model, asked: str, device: str) -> tuple[str, str]:
    if asked in NEEDS:
        return _compiling(model, asked, device)
    if asked == "torch":
        return "torch", "as asked"
    if not is_network(model):
        return "torch", "a classic method has nothing to compile"
    if model.searches:
        return "torch", "most of it is a search of motion, which is in no graph"
    if device != "cpu":
        return "torch", ""
    if model.chooses:
        return "torch", "it computes only what is asked for, where a compiled graph computes all"
    rows = [row for row in MEASURED if row.family == family(model) and _can(model, row.engine)]
    if not rows:
        return "torch", f"no other backend was measured faster for {family(model)}"
    missing: list[str] = []
    for row in rows:
        told = f"{row.engine} was measured {row.ratio:g} times as fast as torch ({row.where})"
        if row.ratio > 1 and machine.version("openvino") and machine.version(NEEDS[row.engine]):
            return row.engine, "; ".join((told, *missing))
        missing.append(told if row.ratio <= 1 else f"{told}, but is not installed: {INSTALL[row.engine]}")
    return "torch", "; ".join(missing)


def _can(model: Model, engine: str) -> bool:
    """Whether an engine is written for a network."""
    if engine != "fused":
        return True
    from .fused import suits

    return suits(model)


def _compiling(model: Model, engine: str, device: str) -> tuple[str, str]:
    """OpenVINO, or the engine that fuses what lies between its convolutions."""
    for package, called in (("openvino", "OpenVINO"), (NEEDS[engine], "numba")):
        if machine.version(package) is None:
            raise MissingPackage(f"{called} is not installed", f"--backend {engine} needs it", INSTALL[engine])
    if device != "cpu":
        called = {"openvino": "OpenVINO", "fused": "it"}[engine]
        raise Conflict(f"--backend {engine} with --device {device}", f"{called} runs on the CPU here", "--device cpu")
    _must_compile(model, engine)
    if not _can(model, engine):
        need = "it is written for RIFE 4, at --scale 1 or less, without an ensemble, and for IFRNet at --scale 1"
        raise Conflict(f"--backend {engine} for {family(model)}", need, "--backend openvino")
    return engine, "as asked"


def _precision(model: Model, asked: str, engine: str, device: str) -> tuple[str, str]:
    possible, why = _reduced(model, engine, device)
    if asked == "auto":
        best = possible[0] if possible else "fp32"
        return best, f"{best}: {why}"
    if asked == "fp32" or asked in possible:
        return asked, f"{asked} as asked"
    raise BadOption(f"--precision {asked} on {engine}, {device}", why, "--precision fp32")


def _reduced(model: Model, engine: str, device: str) -> tuple[tuple[str, ...], str]:
    """The reduced precisions that are a gain here, the best first; and why these."""
    if not is_network(model):
        return (), "a classic method computes in full precision"
    if not model.spec.half:
        return (), f"{family(model)} needs full precision"
    if device == "mps":
        return (), "reduced precision was never run on an Apple GPU"
    if device != "cpu":
        major = torch.cuda.get_device_capability(device)[0]
        if major < 7:  # before Volta: no tensor cores
            return (), "this GPU has no tensor cores"
        return ("fp16", "bf16") if major >= 8 else ("fp16",), "the GPU has tensor cores"
    if engine == "openvino" and family(model) == "rife":
        return (), "OpenVINO by itself was measured 22 dB from f32 with RIFE 4.25 in bf16; --backend fused keeps 45"
    if _cpu_has_bf16(engine):
        return ("bf16",), "the CPU has bf16 (fp16 would ruin flow)"
    return (), "this CPU has no bf16 (AMX or AVX512-BF16), and fp16 would ruin flow"


def _cpu_has_bf16(engine: str) -> bool:
    if engine in NEEDS:
        from . import openvino

        return openvino.has_bf16()
    return machine.has_bf16()
