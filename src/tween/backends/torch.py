"""Runs a model as torch runs it: eager, without gradients, convolutions in the layout that is fastest."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..models.model import Model, Prediction, Tensors
from .pinned import CudaLink, Downloads, Uploads

Carry = Callable[[Tensor], Tensor]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchBackend:
    """Eager torch on one device.

    The weights are copied, so that neither layout nor device of the model it is given change. In reduced precision
    the convolutions are cast (autocast); flows, grids and warps stay in float32, as models ask for them. Frames
    go to a CUDA device, and come back, through page-locked memory (`pinned.py`).

    Args:
        model: any.
        device: `cpu`, `cuda`, `cuda:1`, `mps`.
        precision: `fp32`, `bf16`, `fp16`.
        at_once: gaps that may be made side by side.

    Attributes:
        searches: True for a model whose work is a search on this CPU.
        any_size: True: one serves frames of whatever size.
        at_once: as it came to be: a search is many small passes, so that several gaps at once, each on fewer threads,
            take less time than one after the other. Networks, which keep all threads busy, stay at 1.
    """

    name = "torch"
    any_size = True

    def __init__(self, model: Model, *, device: str = "cpu", precision: str = "fp32", at_once: int = 1) -> None:
        self.spec, self.device, self.precision = model.spec, device, precision
        self._model = copy.deepcopy(model).eval().requires_grad_(False).to(device)
        self.searches = model.searches and torch.device(device).type == "cpu"
        self.at_once = at_once if self.searches else 1
        self._frames: Carry = self._to_device
        self._times: Carry = self._to_device
        self._back: Carry = to_host
        if torch.device(device).type == "cuda":
            link = CudaLink(device)
            self._frames, self._times, self._back = Uploads(link), Uploads(link), Downloads(link)
        self._layout = torch.contiguous_format
        if any(isinstance(module, nn.Conv2d) for module in model.modules()):
            # As measured (2 cores, AVX-512, IFRNet-S at 720p): 3.2 s of CPU time a frame, against 4.5 s planar.
            self._layout = torch.channels_last
            self._model = self._model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def embed(self, frame: Tensor) -> Tensors:
        """`[B, 3, H, W]` in [0, 1] -> what one frame says alone, on the device."""
        with self._as_asked():
            return self._model.embed(self._frames(frame).contiguous(memory_format=self._layout))

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """Embeddings in `spec.context` order -> what they say together, on the device."""
        with self._as_asked():
            return self._model.relate(context)

    def render(self, scene: Tensors, t: Tensor) -> Tensor:
        """A scene and `t` `[B]` -> `[B, 3, H, W]` in [0, 1], float32, on the CPU, contiguous."""
        return self._back(self.look(scene, t).frame)

    def look(self, scene: Tensors, t: Tensor) -> Prediction:
        """As `render`, with all that the model tells besides (flows, masks), on the device; for looking at."""
        with self._as_asked():
            return self._model.render(scene, self._times(t))

    def _to_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, torch.float32)

    @contextmanager
    def _as_asked(self) -> Iterator[None]:
        kind, dtype, is_less = torch.device(self.device).type, DTYPES[self.precision], self.precision != "fp32"
        # No cast is kept: a CUDA graph would read it when it is gone. (Weights without gradients are never kept.)
        with torch.inference_mode(), torch.autocast(kind, dtype, enabled=is_less, cache_enabled=False):
            yield


def to_host(picture: Tensor) -> Tensor:
    """The same on the CPU, float32, contiguous."""
    return picture.to("cpu", torch.float32).contiguous()
