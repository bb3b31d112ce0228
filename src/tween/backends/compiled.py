"""The three verbs as graphs of a fixed size: what every engine that compiles has in common."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..models.model import Model, Tensors
from . import cache as disk
from .graph import Piece, Verb, VerbName, passes_through

Run = Callable[[Sequence[Tensor]], Tensors]


class Compiled:
    """Runs verbs as graphs. Verbs that only hand tensors on are not compiled.

    Shapes are fixed: a graph is made for each batch size when it is first met, that of one frame at once.

    Args:
        model: any that torch can export. It must not change afterwards.
        size: (H, W) of the tensors, multiples of `spec.multiple`.
        label: the model's name, for the names of cached files.
    """

    name: str
    device = "cpu"
    precision = "fp32"

    def __init__(self, model: Model, size: tuple[int, int], *, label: str = "") -> None:
        self.spec = model.spec
        self._model = copy.deepcopy(model).eval() if model.training else model
        self._size, self._label = size, disk.named(label or type(model).__name__.lower())
        self._print = disk.fingerprint(self._model)
        self._graphs: dict[tuple[VerbName, int, int], Run] = {}
        self._warm_up()

    def embed(self, frame: Tensor) -> Tensors:
        """`[B, 3, *size]` in [0, 1] -> what one frame says alone."""
        if passes_through(self._model, "embed"):
            return self._model.embed(frame)
        return self._graph("embed", [frame])([frame])

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """Embeddings in `spec.context` order -> what they say together."""
        context = self._within_reach(context)
        if passes_through(self._model, "relate"):
            return self._model.relate(context)
        tensors = [tensor for embedding in context for tensor in embedding]
        return self._graph("relate", tensors, [len(embedding) for embedding in context])(tensors)

    def render(self, scene: Tensors, t: Tensor) -> Tensor:
        """A scene and `t` `[B]` -> `[B, 3, *size]` in [0, 1]."""
        tensors = [*scene, t.float()]
        return self._graph("render", tensors)(tensors)[0]

    def _within_reach(self, context: Sequence[Tensors]) -> list[Tensors]:
        """Frames behind 0 are cut to what is kept of them, so that the graph's inputs are the same in every gap."""
        kept = self.spec.kept_behind
        return [
            tuple(embedding)[:kept] if kept is not None and place < 0 else tuple(embedding)
            for place, embedding in zip(self.spec.context, context, strict=True)
        ]

    def _warm_up(self) -> None:
        """Compile for one frame at a time: what cannot be compiled fails here, before a video is opened to write."""
        blank = torch.zeros(1, 3, *self._size)
        scene = self.relate([self.embed(blank)] * len(self.spec.context))
        when = torch.zeros(1)
        self._graph("render", [*scene, when])

    def _graph(self, verb: VerbName, inputs: Sequence[Tensor], parts: Sequence[int] = ()) -> Run:
        key = verb, len(inputs), inputs[0].shape[0]
        if key not in self._graphs:
            self._graphs[key] = self._made(Verb(self._model, verb, parts), inputs)
        return self._graphs[key]

    def _made(self, piece: Piece, inputs: Sequence[Tensor]) -> Run:
        """What runs a piece on inputs of these shapes; from the cache, where it was made before."""
        raise NotImplementedError

    def _key(self, piece: Piece, digest: str, ending: str) -> str:
        """A piece's name in the cache."""
        height, width = self._size
        return f"{self._label}-{piece.name}-{height}x{width}-{self.precision}-{digest[:24]}.{ending}"
