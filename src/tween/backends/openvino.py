"""Runs a model as OpenVINO compiles it for this CPU: each verb a graph of its own, for one size.

verb -> torch.export -> ONNX -> OpenVINO -> compiled, and kept on disk: the second start skips all that.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from torch import Tensor

from ..errors import BadOption
from ..models.exported import PREFIX, Card
from ..models.ir import SECTION, SETTINGS, IrSession, core
from ..models.model import Model, Tensors
from . import cache as disk
from .compiled import Compiled
from .graph import Piece, to_onnx, whole_to_onnx

HINTS = {"fp32": "f32", "bf16": "bf16"}
HEAVY = {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul"}


class OpenVinoBackend(Compiled):
    """OpenVINO on the CPU.

    Nothing is copied on the way in or out, and no result is overwritten by a later call. Any thread may call; calls
    beyond `at_once` take turns.

    Args:
        model: any that torch can export. It must not change afterwards.
        size: (H, W) of the tensors, multiples of `spec.multiple`.
        precision: `fp32`, or `bf16`: convolutions and what lies between them in bf16; the arithmetic that leads from
            a convolution to a sampling grid, and the last steps to the frame, in f32.
        label: the model's name, for the names of cached files.
        at_once: calls of a verb that may run side by side: more shown in a time, each later, and as many times the
            memory. OpenVINO takes fewer where it thinks so.

    Attributes:
        at_once: as it came to be.

    Raises:
        MissingPackage: no OpenVINO.
        BadOption: a precision other than these.
    """

    name = "openvino"

    def __init__(
        self, model: Model, size: tuple[int, int], *, precision: str = "fp32", label: str = "", at_once: int = 1
    ) -> None:
        if precision not in HINTS:
            raise BadOption(f"--precision {precision} with OpenVINO", "it runs fp32 or bf16 here", "--precision fp32")
        core()
        self.precision, self.at_once = precision, at_once
        super().__init__(model, size, label=label)

    def _made(self, piece: Piece, inputs: Sequence[Tensor]) -> Graph:
        names, config = piece.input_names(len(inputs)), settings(self.precision, self.at_once)
        shapes = [(tuple(x.shape), str(x.dtype)) for x in inputs]
        facts = (self._print, piece.name, shapes, sorted(config.items()), runtime(), torch.__version__)
        key = self._key(piece, hashlib.sha256(repr(facts).encode()).hexdigest(), "blob")
        stored = disk.fetch(key)
        if stored is not None:
            try:
                return self._counted(Graph(core().import_model(io.BytesIO(stored), "CPU", config), names))
            except RuntimeError as error:
                disk.drop(key, f"OpenVINO cannot read it ({error})")
        graph = ready(to_onnx(piece, [x.float() for x in inputs]), self.precision)
        graph = reading(graph, inputs[0].dtype, writes=not piece.ends_exact)
        compiled = core().compile_model(graph, "CPU", config)
        disk.store(key, compiled.export_model().getvalue())
        return self._counted(Graph(compiled, names))

    def _counted(self, graph: Graph) -> Graph:
        self.at_once = min(self.at_once, graph.at_once)
        return graph


class Graph:
    """One compiled graph.

    Attributes:
        shapes: of its outputs.
        at_once: calls that run side by side; others wait.
    """

    def __init__(self, compiled: Any, names: Sequence[str]) -> None:
        self.at_once = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.at_once):
            self._requests.put(compiled.create_infer_request())
        used = {name: i for i, port in enumerate(compiled.inputs) for name in port.get_names()}
        self._inputs = [used.get(name) for name in names]  # None: an input that the verb does not look at
        self.shapes = [tuple(port.shape) for port in compiled.outputs]
        self._types = [torch_type(port.element_type) for port in compiled.outputs]

    def __call__(self, tensors: Sequence[Tensor]) -> Tensors:
        """Inputs and outputs of the graph; the outputs are new, and the caller's."""
        outputs = tuple(torch.empty(shape, dtype=dtype) for shape, dtype in zip(self.shapes, self._types, strict=True))
        self.into(tensors, outputs)
        return outputs

    def into(self, tensors: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        """The same, written into tensors of the caller's: contiguous, of the outputs' shapes and types."""
        given = [tensor.detach().contiguous() for tensor in tensors]  # OpenVINO borrows memory: hold it
        request = self._requests.get()
        try:
            for place, tensor in zip(self._inputs, given, strict=True):
                if place is not None:
                    request.set_input_tensor(place, borrowed(tensor))
            for place, tensor in enumerate(outputs):
                request.set_output_tensor(place, borrowed(tensor))
            request.infer()
        finally:
            self._requests.put(request)


def has_bf16() -> bool:
    """True if OpenVINO runs bf16 in hardware on this CPU; elsewhere it can only imitate it, slowly."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@cache
def runtime() -> tuple[str, ...]:
    """What a compiled blob depends on beside the model."""
    import openvino as ov

    able = sorted(core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    return ov.get_version(), core().get_property("CPU", "FULL_DEVICE_NAME"), *able


def settings(precision: str, at_once: int = 1) -> dict[str, Any]:
    """How a graph is compiled; for more than one call at once OpenVINO chooses how many, up to that."""
    found = {**SETTINGS, "INFERENCE_PRECISION_HINT": HINTS[precision]}
    if at_once > 1:
        del found["NUM_STREAMS"]
        found |= {"PERFORMANCE_HINT": "THROUGHPUT", "PERFORMANCE_HINT_NUM_REQUESTS": at_once}
    return found


def torch_type(element_type: Any) -> torch.dtype:
    """OpenVINO's name of a number -> torch's."""
    if element_type.get_type_name() == "bf16":  # numpy has none
        return torch.bfloat16
    return torch.from_numpy(np.empty(0, element_type.to_dtype())).dtype


def borrowed(tensor: Tensor) -> Any:
    """A contiguous tensor as OpenVINO's, in the same memory: who lends it holds it."""
    import openvino as ov

    if tensor.dtype == torch.bfloat16:
        return ov.Tensor(tensor.view(torch.uint16).numpy(), ov.Shape(list(tensor.shape)), ov.Type.bf16)
    return ov.Tensor(tensor.numpy(), True)


def reading(model: Any, number: torch.dtype, *, writes: bool = True) -> Any:
    """The same model, or one that reads and, maybe, writes bf16 where these are the numbers."""
    if number != torch.bfloat16:
        return model
    import openvino as ov

    doors = ov.preprocess.PrePostProcessor(model)
    for place in range(len(model.inputs)):
        doors.input(place).tensor().set_element_type(ov.Type.bf16)
    for place in range(len(model.outputs) if writes else 0):
        doors.output(place).tensor().set_element_type(ov.Type.bf16)
    return doors.build()


def ready(onnx: bytes, precision: str) -> Any:
    """An ONNX model as OpenVINO's, with what must stay exact marked."""
    model = core().read_model(onnx)
    return model if precision == "fp32" else with_exact_grids(model)


def with_exact_grids(model: Any) -> Any:
    """Mark all that lies between a convolution and a sampling grid to be computed in f32 under a bf16 hint.

    In bf16 a place near the right border of a 1280 pixel wide frame could be told to 4 pixels only. OpenVINO keeps an
    operation's precision where its runtime info says `DisablePrecisionConversion`; Python can set that only in the
    model's XML.
    """
    import openvino as ov

    exact = {node.get_friendly_name() for node in grid_arithmetic(model)}
    with tempfile.TemporaryDirectory() as folder:
        xml, weights = Path(folder) / "model.xml", Path(folder) / "model.bin"
        ov.serialize(model, xml, weights)
        tree = ElementTree.parse(xml)
        for layer in tree.iterfind("./layers/layer"):
            if layer.get("name") in exact:
                info = layer.find("rt_info")
                info = ElementTree.SubElement(layer, "rt_info") if info is None else info
                mark = {"name": "DisablePrecisionConversion", "version": "0", "value": "dynamic:f16,bf16"}
                ElementTree.SubElement(info, "attribute", mark)
        text = ElementTree.tostring(tree.getroot())
        return core().read_model(text, ov.Tensor(np.fromfile(weights, np.uint8)))


def export(model: Model, size: tuple[int, int] | None, card: Card, path: Path) -> None:
    """Write a model as OpenVINO's own format: `path`, .xml, and its weights beside it, .bin.

    What leads to a sampling grid is marked to be computed in f32, so that a program that compiles it with a bf16 hint
    keeps its flows.
    """
    save(with_exact_grids(core().read_model(whole_to_onnx(model, size))), card, path)


def save(graph: Any, card: Card, path: Path) -> None:
    """Write a graph with the card that says what it is."""
    import openvino as ov

    for key, value in card.as_text().items():
        graph.set_rt_info(value, [SECTION, key.removeprefix(PREFIX)])
    ov.save_model(graph, path, compress_to_fp16=False)


def run_file(path: Path, inputs: Mapping[str, Tensor]) -> Tensor:
    """What an exported file shows, in f32."""
    return IrSession(path)(inputs)[0]


def grid_arithmetic(model: Any) -> list[Any]:
    """The nodes from the last convolution to each sampling grid, and the sampling itself."""
    samplers = [node for node in model.get_ops() if node.get_type_name() == "GridSample"]
    found: dict[str, Any] = {node.get_friendly_name(): node for node in samplers}
    todo = [node.input_value(1).get_node() for node in samplers]
    while todo:
        node = todo.pop()
        if node.get_type_name() in HEAVY | {"GridSample"} or node.get_friendly_name() in found:
            continue
        found[node.get_friendly_name()] = node
        todo += [value.get_node() for value in node.input_values()]
    return list(found.values())
