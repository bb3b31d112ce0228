"""TensorRT: engines of a model's ONNX graphs, for one GPU and one size.

Written after the documentation of TensorRT 10 and 11, and never run: no machine that has it was at hand.

verb -> torch.export -> ONNX -> (fp16 where it does no harm) -> TensorRT -> engine, kept on disk
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import BadOption, CannotExport, imported
from ..models.exported import Card
from ..models.model import Model, Tensors
from . import cache as disk
from .compiled import Compiled
from .graph import Piece, to_onnx, whole_to_onnx
from .half import to_half

INSTALL = "pip install tensorrt"
PRECISIONS = ("fp32", "fp16")


class TensorRtBackend(Compiled):
    """TensorRT on a CUDA device. What verbs say stays on the GPU; only frames travel.

    Args:
        model: any that torch can export. It must not change afterwards.
        size: (H, W) of the tensors, multiples of `spec.multiple`.
        device: `cuda:0`, ...
        precision: `fp32`, or `fp16`: convolutions in fp16, flows, grids and sampling in fp32.
        label: the model's name, for the names of cached files.

    Raises:
        MissingPackage: no TensorRT. BadOption: a precision other than these.
        CannotExport: TensorRT cannot read the graph.
    """

    name = "tensorrt"

    def __init__(
        self, model: Model, size: tuple[int, int], *, device: str = "cuda:0", precision: str = "fp32", label: str = ""
    ) -> None:
        if precision not in PRECISIONS:
            raise BadOption(f"--precision {precision} with TensorRT", "it runs fp32 or fp16", "--precision fp16")
        runtime()
        self.device, self.precision = device, precision
        super().__init__(model, size, label=label)

    def embed(self, frame: Tensor) -> Tensors:
        """`[B, 3, *size]` in [0, 1] -> what one frame says alone, on the GPU."""
        return super().embed(frame.to(self.device, non_blocking=True))

    def render(self, scene: Tensors, t: Tensor) -> Tensor:
        """A scene and `t` `[B]` -> `[B, 3, *size]` in [0, 1], on the CPU."""
        return super().render(scene, t.to(self.device)).cpu()

    def _made(self, piece: Piece, inputs: Sequence[Tensor]) -> Engine:
        shapes = [(tuple(x.shape), str(x.dtype)) for x in inputs]
        gpu = torch.cuda.get_device_name(self.device)
        facts = (self._print, piece.name, shapes, self.precision, gpu, runtime().__version__, torch.__version__)
        key = self._key(piece, hashlib.sha256(repr(facts).encode()).hexdigest(), "engine")
        plan = disk.fetch(key)
        if plan is None:
            plan = built(to_onnx(piece, [x.cpu() for x in inputs]), self.precision)
            disk.store(key, plan)
        return Engine(plan, piece.input_names(len(inputs)), self.device)


class Engine:
    """One engine, on the stream that torch computes on."""

    def __init__(self, plan: bytes, names: Sequence[str], device: str) -> None:
        trt = runtime()
        self._device, self._names = torch.device(device), names
        with torch.cuda.device(self._device):
            self._engine = trt.Runtime(logger()).deserialize_cuda_engine(plan)
            if self._engine is None:
                raise CannotExport("TensorRT cannot read the engine", "it is of this GPU and this version only", "")
            self._context = self._engine.create_execution_context()
        ports = [self._engine.get_tensor_name(k) for k in range(self._engine.num_io_tensors)]
        is_input = {name: self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in ports}
        self._inputs = {name for name in ports if is_input[name]}
        self._outputs = {
            name: tuple(self._engine.get_tensor_shape(name)) for name in ports if not is_input[name]
        }  # all float32: the graphs keep fp16 inside

    def __call__(self, tensors: Sequence[Tensor]) -> Tensors:
        """Inputs and outputs of the verb, on the GPU; the outputs are new, and the caller's."""
        given = {
            name: tensor.detach().to(self._device, torch.float32).contiguous()
            for name, tensor in zip(self._names, tensors, strict=True)
            if name in self._inputs
        }
        made = {name: torch.empty(shape, device=self._device) for name, shape in self._outputs.items()}
        for name, tensor in {**given, **made}.items():
            self._context.set_tensor_address(name, tensor.data_ptr())
        stream = torch.cuda.current_stream(self._device)
        if not self._context.execute_async_v3(stream.cuda_stream):
            raise RuntimeError("TensorRT did not run the engine")
        return tuple(made.values())  # torch frees memory in the stream's order: `given` may go


def built(onnx: bytes, precision: str) -> bytes:
    """An engine of a float32 ONNX graph for the GPU that is current.

    Precisions are the graph's own (`STRONGLY_TYPED`, which from TensorRT 11 on is the only way there is).

    Raises:
        CannotExport: TensorRT does not read the graph, or finds no way to compute it.
    """
    from onnx import load_model_from_string

    trt = runtime()
    if precision == "fp16":
        onnx = to_half(load_model_from_string(onnx)).SerializeToString()
    builder = trt.Builder(logger())
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger())
    if not parser.parse(onnx):
        why = "; ".join(str(parser.get_error(k)) for k in range(parser.num_errors))
        raise CannotExport(f"TensorRT {trt.__version__} cannot read the graph ({why[:300]})", "", "--backend torch")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # ten bits of a flow's mantissa are not enough
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise CannotExport(f"TensorRT {trt.__version__} built no engine", "its log says why", "--backend torch")
    return bytes(plan)


@cache
def logger() -> Any:
    """Where TensorRT writes what goes wrong."""
    trt = runtime()
    return trt.Logger(trt.Logger.ERROR)


def runtime() -> Any:
    """TensorRT itself.

    Raises:
        MissingPackage: it is not installed.
    """
    return imported("tensorrt", "TensorRT", "an NVIDIA GPU and TensorRT are needed", INSTALL)


def export(model: Model, size: tuple[int, int] | None, card: Card, path: Path) -> None:
    """Write an engine for the first GPU of this machine, and its card, .json, beside it; it runs on its like and with
    this TensorRT only."""
    assert size is not None
    path.with_suffix(".json").write_text(json.dumps(card.as_text(), indent=2) + "\n")
    path.write_bytes(built(whole_to_onnx(model, size), card.precision))


def run_file(path: Path, inputs: dict[str, Tensor]) -> Tensor:
    """What an exported file shows."""
    return Engine(path.read_bytes(), list(inputs), "cuda:0")([*inputs.values()])[0].cpu()
