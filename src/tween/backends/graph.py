"""A verb of a model as a graph of plain tensors: what every exported format starts from.

embed   x0              -> y0 .. yn
relate  x0 .. xn        -> y0 .. yn     the embeddings of the context, one after the other
render  x0 .. xn, t     -> frame
whole   x0 .. xn, t     -> frame        all three in a row, from the frames: what `tween export` writes
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.export import Dim

from ..models.exported import moment
from ..models.model import Model, Tensors

VerbName = Literal["embed", "relate", "render"]
OPSET = 20  # the first with GridSample as torch means it
LONGEST_SIDE = 16384  # pixels, of a graph for any size
LEAST_SIDE = 64  # pixels, of frames to trace with: coarse grids keep more than one cell


class Piece(nn.Module):
    """Part of a model as a graph.

    Args:
        name: for cached files and messages.

    Attributes:
        ends_exact: True if what it gives is float32 though it reads bf16: it says flows.
    """

    ends_exact = False

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.training = False

    def input_names(self, count: int) -> list[str]:
        """Names of `count` inputs, in order."""
        return [f"x{i}" for i in range(count)]


class Verb(Piece):
    """One verb of a model on a flat row of tensors.

    Args:
        model: in eval mode.
        name: the verb.
        parts: for `relate`, how many tensors the embedding of each frame of the context has.
    """

    def __init__(self, model: Model, name: VerbName, parts: Sequence[int] = ()) -> None:
        super().__init__(name)
        self.model, self.parts = model, tuple(parts)

    def forward(self, *tensors: Tensor) -> Tensors:
        if self.name == "embed":
            return tuple(self.model.embed(tensors[0]))
        if self.name == "relate":
            return tuple(self.model.relate(grouped(tensors, self.parts)))
        *scene, t = tensors
        return (self.model.render(tuple(scene), t).frame,)

    def input_names(self, count: int) -> list[str]:
        """Names of `count` inputs, in order."""
        last = ["t"] if self.name == "render" else []
        return super().input_names(count - len(last)) + last


class Whole(nn.Module):
    """A model from frames to frame, as one graph.

    Args:
        model: in eval mode, not one that searches outside torch.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model
        self.training = False

    def forward(self, *tensors: Tensor) -> Tensor:
        """The frames `[1, 3, H, W]` in `spec.context` order and, where the model takes any, `t` `[1]`."""
        spec = self.model.spec
        t = tensors[-1] if spec.any_time else tensors[0].new_full((1,), moment(spec))
        return self.shown(tensors[: len(spec.context)], t)

    def shown(self, frames: Sequence[Tensor], t: Tensor) -> Tensor:
        """The frame at `t`: the three verbs in a row."""
        return self.model.render(self.model.relate([self.model.embed(frame) for frame in frames]), t).frame

    def inputs(self, size: tuple[int, int]) -> tuple[Tensor, ...]:
        """Tensors to trace it with, of frames of `size` (H, W)."""
        spec = self.model.spec
        frames = [torch.zeros(1, 3, *size) for _ in spec.context]
        return (*frames, *[torch.full((1,), moment(spec))] * spec.any_time)

    @property
    def input_names(self) -> list[str]:
        """`x0` to `xn`, and `t`."""
        return [f"x{i}" for i in range(len(self.model.spec.context))] + ["t"] * self.model.spec.any_time


def grouped(tensors: Sequence[Tensor], parts: Sequence[int]) -> list[Tensors]:
    """A flat row -> tuples of so many each."""
    tensors = iter(tensors)  # type: ignore[assignment]
    return [tuple(next(tensors) for _ in range(count)) for count in parts]  # type: ignore[call-overload]


def passes_through(model: Model, name: VerbName) -> bool:
    """True if a verb only hands tensors on, so that there is nothing to compile."""
    return getattr(type(model), name) is getattr(Model, name)


def to_onnx(piece: Piece, inputs: Sequence[Tensor]) -> bytes:
    """An ONNX model of `piece` for inputs of exactly these shapes, its weights inside. Prints nothing."""
    apart = tuple(torch.zeros_like(x) for x in inputs)  # one tensor given twice would be exported as one input
    return _exported(piece, apart, input_names=piece.input_names(len(inputs)))


def whole_to_onnx(model: Model, size: tuple[int, int] | None) -> bytes:
    """An ONNX model from frames to frame, its weights inside. Prints nothing.

    Args:
        model: in eval mode.
        size: (H, W) of the frames; None lets both be any multiples of `spec.multiple`.
    """
    graph, multiple = Whole(model), model.spec.multiple
    inputs = graph.inputs(size or small_size(multiple))
    shapes: Any = None
    if size is None:
        high, wide = (multiple * Dim(name, min=2, max=LONGEST_SIDE // multiple) for name in ("h", "w"))
        shapes = {"tensors": tuple({2: high, 3: wide} if x.dim() == 4 else {} for x in inputs)}
    return _exported(graph, inputs, input_names=graph.input_names, output_names=["frame"], dynamic_shapes=shapes)


def _exported(graph: nn.Module, inputs: tuple[Tensor, ...], **options: Any) -> bytes:
    with torch.inference_mode(), _silence():
        program = torch.onnx.export(graph, inputs, dynamo=True, opset_version=OPSET, verbose=False, **options)
    assert program is not None
    return bytes(program.model_proto.SerializeToString())


def small_size(multiple: int) -> tuple[int, int]:
    """A small (H, W) that a model takes, its sides unequal."""
    times = max(2, -(-LEAST_SIDE // multiple))
    return times * multiple, (times + 1) * multiple


@contextmanager
def _silence() -> Iterator[None]:
    """The exporter warns of packages that nobody here needs, and of its own next version."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
