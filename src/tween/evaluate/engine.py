"""What runs a model for an evaluation: any backend, or a model as it stands in the middle of its training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from ..backends import prepare
from ..backends.backend import Backend, any_size
from ..models.model import Model, Prediction, Spec, Tensors
from ..ops.canvas import Canvas
from .protocols import Recipe


class Engine(Protocol):
    """Gives backends of one model; frames of another size may need another.

    Attributes:
        name: of the model, for tables. family: the file in `models` that it is of, or "". spec: the model's.
    """

    name: str

    @property
    def family(self) -> str: ...

    @property
    def spec(self) -> Spec: ...

    def backend_for(self, size: tuple[int, int]) -> Backend:
        """The backend for tensors of `size` (H, W), multiples of `spec.multiple`."""
        ...


@dataclass
class Prepared:
    """A model of the zoo, with backends as `prepare` makes them: one a size, kept.

    Attributes:
        model: in eval mode, with its weights. name: for tables and cached files.
        backend, device, precision: as for `prepare`.
        adapter_megabytes: of the adapters that are merged into it.
    """

    model: Model
    name: str
    backend: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    adapter_megabytes: float = 0.0
    _kept: dict[tuple[int, int], Backend] = field(default_factory=dict, repr=False)

    @property
    def spec(self) -> Spec:
        return self.model.spec

    @property
    def family(self) -> str:
        return prepare.family(self.model)

    @property
    def megabytes(self) -> float:
        """Of the network's weights."""
        return sum(value.numel() * value.element_size() for value in self.model.state_dict().values()) / 1e6

    def backend_for(self, size: tuple[int, int]) -> Backend:
        for kept in self._kept.values():
            if any_size(kept):
                return kept
        if size not in self._kept:
            self._kept[size] = prepare.prepare(
                self.model,
                size,
                backend=self.backend,
                device=self.device,
                precision=self.precision,
                label=self.name.rpartition("/")[2],
            )
        return self._kept[size]


@dataclass
class Ready:
    """One backend for every size."""

    backend: Backend
    name: str
    family: str = ""

    @property
    def spec(self) -> Spec:
        return self.backend.spec

    def backend_for(self, size: tuple[int, int]) -> Backend:  # noqa: ARG002
        return self.backend


class Live:
    """A model as it stands, where it stands: nothing is copied, and no gradient is kept.

    What it computes is not marked as inference: a grid that it remembers may serve its training later on.
    """

    name, precision = "torch", "fp32"

    def __init__(self, model: Model) -> None:
        self.spec = model.spec
        self._model = model
        tensor = next(model.parameters(), None)
        self._device = torch.device("cpu") if tensor is None else tensor.device
        self.device = str(self._device)

    @torch.no_grad()
    def embed(self, frame: Tensor) -> Tensors:
        return self._model.embed(frame.to(self._device))

    @torch.no_grad()
    def relate(self, context: Sequence[Tensors]) -> Tensors:
        return self._model.relate(context)

    def render(self, scene: Tensors, t: Tensor) -> Tensor:
        return self.look(scene, t).frame.to("cpu", torch.float32).contiguous()

    @torch.no_grad()
    def look(self, scene: Tensors, t: Tensor) -> Prediction:
        return self._model.render(scene, t.to(self._device))


def engine_of(model: Engine | Model | Backend, name: str = "") -> Engine:
    """Whatever can be scored, as an Engine."""
    if isinstance(model, Model):
        return Ready(Live(model), name or type(model).__name__.lower(), prepare.family(model))
    if isinstance(model, Backend):
        return Ready(model, name or model.name)
    return model


@contextmanager
def at_rest(model: Any) -> Iterator[None]:
    """A model in training, in eval mode for a while; every part of it is left in the mode it was in."""
    parts = list(model.modules()) if isinstance(model, Model) else []
    modes = [part.training for part in parts]
    try:
        if parts:
            model.eval()
        yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode


class Corner(Canvas):
    """A canvas of zeros of a fixed size, with the picture in its upper left corner.

    Args:
        frame_size: (H, W) of the frames. at_least: (H, W) of the canvas, where the frames are no larger.
        multiple: the canvas' height and width are multiples of this, whatever was asked.
    """

    def __init__(self, frame_size: tuple[int, int], at_least: tuple[int, int], multiple: int = 1) -> None:
        super().__init__(frame_size)
        height, width = (max(a, b) + -max(a, b) % multiple for a, b in zip(frame_size, at_least, strict=True))
        self.size = (height, width)
        self.padding = (0, width - frame_size[1], 0, height - frame_size[0])

    def pad(self, picture: Tensor) -> Tensor:
        """`[B, C, H, W]` of the frame's size -> of the canvas' size."""
        return F.pad(picture, self.padding)


def canvas_for(recipe: Recipe, size: tuple[int, int], multiple: int) -> Canvas:
    """Where frames of `size` (H, W) stand for a model."""
    return Corner(size, recipe.zero_pad, multiple) if recipe.zero_pad else Canvas(size, multiple)
