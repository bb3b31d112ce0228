"""What this machine has: packages, instructions, devices. Facts only; what follows from them is `prepare`'s to say."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

PACKAGES = (
    *("tween", "torch", "openvino", "numba", "onnx", "onnxscript", "onnxruntime", "ncnn", "pnnx", "nncf", "tensorrt"),
    *("triton", "av", "numpy", "opencv-python-headless"),
)
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
BF16_FEATURES = ("amx_bf16", "avx512_bf16")


@dataclass(frozen=True)
class Machine:
    """What `tween doctor` prints.

    Attributes:
        cpu: the processor's own name.
        cores: threads that torch would use.
        features: those of `FEATURES` that the CPU has.
        cuda: names of the CUDA devices, in torch's order.
        mps: True where torch can use Apple's GPU.
        onnx: what ONNX Runtime can compute with, in its words; nothing where it is not installed.
        packages: version by package, None for one that is not installed.
    """

    cpu: str
    cores: int
    features: tuple[str, ...]
    cuda: tuple[str, ...]
    mps: bool
    onnx: tuple[str, ...]
    packages: dict[str, str | None]


def machine() -> Machine:
    """Everything known; imports torch and ONNX Runtime."""
    return Machine(
        cpu=cpu_name(),
        cores=torch.get_num_threads(),
        features=cpu_features(),
        cuda=cuda_devices(),
        mps=torch.backends.mps.is_available(),
        onnx=onnx_providers(),
        packages={name: version(name) for name in PACKAGES},
    )


def version(package: str) -> str | None:
    """An installed package's version, without importing it; None if it is not there."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def cuda_devices() -> tuple[str, ...]:
    """Names of the CUDA devices that torch sees."""
    if not torch.cuda.is_available():
        return ()
    return tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))


def onnx_providers() -> tuple[str, ...]:
    """What ONNX Runtime can compute with, in its own words; nothing where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return ()
    return tuple(onnxruntime.get_available_providers())


@cache
def cpu_features() -> tuple[str, ...]:
    """Those of `FEATURES` that the CPU has; elsewhere than on Linux, those that torch can tell."""
    flags = _cpuinfo("flags").split()
    if flags:
        return tuple(name for name in FEATURES if name in flags)
    return tuple(name for name, asked in _TORCH_KNOWS.items() if getattr(torch.cpu, asked, bool)())


def has_bf16() -> bool:
    """True if the CPU multiplies bf16 in hardware, so that bf16 is a gain."""
    return any(name in cpu_features() for name in BF16_FEATURES)


def multiplies_in_vectors() -> bool:
    """True if bf16 is multiplied in AVX-512 and not in AMX's tiles: fewer products are then less time."""
    return "avx512_bf16" in cpu_features() and "amx_bf16" not in cpu_features()


@cache
def cpu_name() -> str:
    """The processor as it calls itself, or its architecture."""
    name = _cpuinfo("model name")
    if not name and platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        name = asked.stdout.strip()
    return name or platform.processor() or platform.machine()


_TORCH_KNOWS = {  # functions of torch.cpu, none of them public: one that is gone says no
    "avx2": "_is_avx2_supported",
    "avx512f": "_is_avx512_supported",
    "avx512_vnni": "_is_vnni_supported",
    "avx512_bf16": "_is_avx512_bf16_supported",
    "amx_bf16": "_is_amx_tile_supported",
}


def _cpuinfo(field: str) -> str:
    """The first CPU's `field` in Linux's /proc/cpuinfo, or ""."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == field), "")
