"""ONNX: writes a model as one graph for other programs, and runs models by ONNX Runtime.

verb -> torch.export -> ONNX -> ONNX Runtime, and the ONNX kept on disk: the second start skips the export.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..models.exported import Card, Session, providers
from ..models.model import Model, Tensors
from . import cache as disk
from .compiled import Compiled
from .graph import Piece, to_onnx, whole_to_onnx
from .half import to_half


class OnnxBackend(Compiled):
    """ONNX Runtime, in fp32. Any thread may call; no result is overwritten by a later call.

    Args:
        model: any that torch can export. It must not change afterwards.
        size: (H, W) of the tensors, multiples of `spec.multiple`.
        device: `cpu`; `cuda`, `cuda:1`, `directml`, `coreml` where the ONNX Runtime that is installed has them.
        label: the model's name, for the names of cached files.

    Raises:
        MissingPackage: no ONNX Runtime.
        BadOption: a device that it has not.
    """

    name = "onnx"

    def __init__(self, model: Model, size: tuple[int, int], *, device: str = "cpu", label: str = "") -> None:
        providers(device)
        self.device = device
        super().__init__(model, size, label=label)

    def _made(self, piece: Piece, inputs: Sequence[Tensor]) -> Graph:
        names = piece.input_names(len(inputs))
        shapes = [(tuple(x.shape), str(x.dtype)) for x in inputs]
        facts = (self._print, piece.name, shapes, torch.__version__)
        key = self._key(piece, hashlib.sha256(repr(facts).encode()).hexdigest(), "onnx")
        stored = disk.fetch(key)
        if stored is None:
            stored = to_onnx(piece, inputs)
            disk.store(key, stored)
        return Graph(Session(stored, self.device), names)


class Graph:
    """One verb, its inputs in a row."""

    def __init__(self, session: Session, names: Sequence[str]) -> None:
        self._session, self._names = session, names

    def __call__(self, tensors: Sequence[Tensor]) -> Tensors:
        return self._session(dict(zip(self._names, tensors, strict=True)))


def export(model: Model, size: tuple[int, int] | None, card: Card, path: Path) -> None:
    """Write a model as one ONNX graph, its weights and its card inside, and have ONNX's own checker look at it."""
    import onnx

    proto: Any = onnx.load_model_from_string(whole_to_onnx(model, size))
    if card.precision == "fp16":
        proto = to_half(proto)
    proto.producer_name, proto.producer_version = "tween", card.tween
    proto.graph.name = card.model
    onnx.helper.set_model_props(proto, card.as_text())
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString())


def run_file(path: Path, inputs: Mapping[str, Tensor]) -> Tensor:
    """What an exported file shows."""
    return Session(path)(inputs)[0]
