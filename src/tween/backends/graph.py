"""A verb of a model as a graph of plain tensors: what every exported format starts from.

embed   x0              -> y0 .. yn
relate  x0 .. xn        -> y0 .. yn     the embeddings of the context, one after the other
render  x0 .. xn, t     -> frame        of a model that searches: what it sought, the rest of `render`
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from ..models.model import Model, Tensors

VerbName = Literal["embed", "relate", "render"]
OPSET = 20  # the first with GridSample as torch means it


class Verb(nn.Module):
    """One verb of a model on a flat row of tensors.

    Args:
        model: in eval mode.
        name: the verb.
        parts: for `relate`, how many tensors the embedding of each frame of the context has.
    """

    def __init__(self, model: Model, name: VerbName, parts: Sequence[int] = ()) -> None:
        super().__init__()
        self.model, self.name, self.parts = model, name, tuple(parts)
        self.training = False

    def forward(self, *tensors: Tensor) -> Tensors:
        if self.name == "embed":
            return tuple(self.model.embed(tensors[0]))
        if self.name == "relate":
            return tuple(self.model.relate(grouped(tensors, self.parts)))
        *scene, t = tensors
        return (self.model.draw(tuple(scene), t).frame,)

    def input_names(self, count: int) -> list[str]:
        """Names of `count` inputs, in order."""
        last = ["t"] if self.name == "render" else []
        return [f"x{i}" for i in range(count - len(last))] + last


def grouped(tensors: Sequence[Tensor], parts: Sequence[int]) -> list[Tensors]:
    """A flat row -> tuples of so many each."""
    tensors = iter(tensors)  # type: ignore[assignment]
    return [tuple(next(tensors) for _ in range(count)) for count in parts]  # type: ignore[call-overload]


def passes_through(model: Model, name: VerbName) -> bool:
    """True if a verb only hands tensors on, or searches outside torch, so that there is nothing to compile."""
    return model.searches or getattr(type(model), name) is getattr(Model, name)


def to_onnx(verb: Verb, inputs: Sequence[Tensor]) -> bytes:
    """An ONNX model of `verb` for inputs of exactly these shapes, its weights inside. Prints nothing."""
    apart = tuple(torch.zeros_like(x) for x in inputs)  # one tensor given twice would be exported as one input
    with torch.inference_mode(), _silence():
        program = torch.onnx.export(
            verb,
            apart,
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            input_names=verb.input_names(len(inputs)),
        )
    assert program is not None
    return bytes(program.model_proto.SerializeToString())


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
