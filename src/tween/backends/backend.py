"""The three verbs again, on plain tensors: whatever runs a model, however it runs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from ..models.model import Spec


@runtime_checkable
class Backend(Protocol):
    """Runs one model at one precision on one device.

    Frames go in and come out as float32 `[B, 3, H, W]` in [0, 1] on the CPU, H and W multiples of `spec.multiple`;
    the backend moves and casts as it likes. What `embed` and `relate` return is its own business.

    Attributes:
        name: `torch`, `openvino`, ...
        spec: the model's.
        device: where it runs, `cpu`, `cuda:0`, ...
        precision: `fp32`, `bf16`, `fp16` or `int8`, as it really runs.
    """

    name: str
    spec: Spec
    device: str
    precision: str

    def embed(self, frame: Tensor) -> Any:
        """`[B, 3, H, W]` -> what one frame says alone."""
        ...

    def relate(self, context: Sequence[Any]) -> Any:
        """Embeddings in `spec.context` order -> what they say together."""
        ...

    def render(self, scene: Any, t: Tensor) -> Tensor:
        """A scene and `t` `[B]` -> `[B, 3, H, W]` in [0, 1]."""
        ...


def at_once(backend: Backend) -> int:
    """How many gaps it is best given at once, by as many threads: 1 unless it says `at_once`."""
    return int(getattr(backend, "at_once", 1))


def any_size(backend: Backend) -> bool:
    """True if it takes frames of any size, not only of the one it was made for: False unless it says `any_size`."""
    return bool(getattr(backend, "any_size", False))


def searches(backend: Backend) -> bool:
    """True if what it shows hangs on how many threads OpenCV has: False unless it says `searches`."""
    return bool(getattr(backend, "searches", False))
