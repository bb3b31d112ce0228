"""What passes work on and who does it: flat numbers, and threads that share a picture by rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from ..errors import imported
from ..models.model import Model
from .openvino import OpenVinoBackend


class Rows:
    """As many threads as torch has, kept for the next picture."""

    def __init__(self) -> None:
        self._count = max(1, torch.get_num_threads())
        self._threads = ThreadPoolExecutor(self._count, "tween-rows")

    def __call__(self, count: int, work: Callable[[tuple[int, int]], None]) -> None:
        """Do a picture of so many rows, each thread some of them: `work` takes (first, behind the last)."""
        parts = min(count, 2 * self._count)
        edges = [count * k // parts for k in range(parts + 1)]
        for _ in self._threads.map(work, itertools.pairwise(edges)):
            pass


def numbers(tensor: Tensor) -> Any:
    """A contiguous tensor, flat, as passes take it: float32, or the bits of bf16."""
    flat = tensor.view(-1)
    return flat.view(torch.uint16).numpy() if flat.dtype == torch.bfloat16 else flat.numpy()


class RowsBackend(OpenVinoBackend):
    """What the fused engines share: OpenVINO convolves, compiled passes do what lies between, row by row.

    Args:
        model: one that the engine is written for. It must not change afterwards.
        size: (H, W) of the tensors, multiples of `spec.multiple`.
        precision: `fp32`, or `bf16`: the convolutions and what they read in bf16; motion, warps and the frame in f32.
        label: the model's name, for the names of cached files.

    Raises:
        MissingPackage: no OpenVINO, or no numba.
        BadOption: a precision other than these.
    """

    name = "fused"

    def __init__(self, model: Model, size: tuple[int, int], *, precision: str = "fp32", label: str = "") -> None:
        imported("numba", "numba", "--backend fused needs it", "pip install numba")
        self._number = torch.bfloat16 if precision == "bf16" else torch.float32  # of what convolutions read
        super().__init__(model, size, precision=precision, label=label)
