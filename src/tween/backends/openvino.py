"""Runs a model as OpenVINO compiles it for this CPU: each verb a graph of its own, for one size.

verb -> torch.export -> ONNX -> OpenVINO -> compiled, and kept on disk: the second start skips all that.
"""

from __future__ import annotations

import copy
import hashlib
import io
import re
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from torch import Tensor

from ..errors import BadOption, MissingPackage
from ..models.model import Model, Tensors
from . import cache as disk
from .graph import Verb, VerbName, passes_through, to_onnx

HINTS = {"fp32": "f32", "bf16": "bf16"}
HEAVY = {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul"}


class OpenVinoBackend:
    """OpenVINO on the CPU. Verbs that only hand tensors on are not compiled.

    Shapes are fixed: a graph is made for each batch size when it is first met, that of one frame at once. Nothing is
    copied on the way in or out, and no result is overwritten by a later call. Any thread may call; calls take turns.

    Args:
        model: any that torch can export. It must not change afterwards.
        size: (H, W) of the tensors, multiples of `spec.multiple`.
        precision: `fp32`, or `bf16`: convolutions and what lies between them in bf16; the arithmetic that leads from
            a convolution to a sampling grid, and the last steps to the frame, in f32.
        label: the model's name, for the names of cached files.

    Raises:
        MissingPackage: no OpenVINO.
        BadOption: a precision other than these.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, model: Model, size: tuple[int, int], *, precision: str = "fp32", label: str = "") -> None:
        if precision not in HINTS:
            raise BadOption(f"--precision {precision} with OpenVINO", "it runs fp32 or bf16 here", "--precision fp32")
        core()
        self.spec, self.precision = model.spec, precision
        self._model = copy.deepcopy(model).eval() if model.training else model
        self._size, self._label = size, re.sub(r"[^\w.@-]+", "_", label or type(model).__name__.lower())
        self._print = disk.fingerprint(self._model)
        self._graphs: dict[tuple[VerbName, int, int], Graph] = {}
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
        tensors = [*self._model.search(scene, t), t.float()]
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
        self._graph("render", [*self._model.search(scene, when), when])

    def _graph(self, verb: VerbName, inputs: Sequence[Tensor], parts: Sequence[int] = ()) -> Graph:
        key = verb, len(inputs), inputs[0].shape[0]
        if key not in self._graphs:
            self._graphs[key] = self._made(Verb(self._model, verb, parts), inputs)
        return self._graphs[key]

    def _made(self, verb: Verb, inputs: Sequence[Tensor]) -> Graph:
        names, config = verb.input_names(len(inputs)), settings(self.precision)
        shapes = [(tuple(x.shape), str(x.dtype)) for x in inputs]
        facts = (self._print, verb.name, shapes, sorted(config.items()), runtime(), torch.__version__)
        digest = hashlib.sha256(repr(facts).encode()).hexdigest()[:24]
        height, width = self._size
        key = f"{self._label}-{verb.name}-{height}x{width}-{self.precision}-{digest}.blob"
        stored = disk.fetch(key)
        if stored is not None:
            try:
                return Graph(core().import_model(io.BytesIO(stored), "CPU", config), names)
            except RuntimeError as error:
                disk.drop(key, f"OpenVINO cannot read it ({error})")
        compiled = core().compile_model(ready(to_onnx(verb, inputs), self.precision), "CPU", config)
        disk.store(key, compiled.export_model().getvalue())
        return Graph(compiled, names)


class Graph:
    """One compiled verb."""

    def __init__(self, compiled: Any, names: Sequence[str]) -> None:
        self._request, self._turn = compiled.create_infer_request(), Lock()
        used = {name: i for i, port in enumerate(compiled.inputs) for name in port.get_names()}
        self._inputs = [used.get(name) for name in names]  # None: an input that the verb does not look at
        self._outputs = [(tuple(port.shape), torch_type(port.element_type)) for port in compiled.outputs]

    def __call__(self, tensors: Sequence[Tensor]) -> Tensors:
        """Inputs and outputs of the verb; the outputs are new, and the caller's."""
        import openvino as ov

        given = [tensor.detach().contiguous() for tensor in tensors]  # OpenVINO borrows memory: hold it
        outputs = tuple(torch.empty(shape, dtype=dtype) for shape, dtype in self._outputs)
        with self._turn:
            for place, tensor in zip(self._inputs, given, strict=True):
                if place is not None:
                    self._request.set_input_tensor(place, ov.Tensor(tensor.numpy(), True))
            for place, tensor in enumerate(outputs):
                self._request.set_output_tensor(place, ov.Tensor(tensor.numpy(), True))
            self._request.infer()
        return outputs


@cache
def core() -> Any:
    """OpenVINO itself.

    Raises:
        MissingPackage: it is not installed.
    """
    try:
        import openvino as ov
    except ImportError as error:
        need = "--backend openvino needs it"
        raise MissingPackage("OpenVINO is not installed", need, "pip install openvino") from error
    return ov.Core()


def has_bf16() -> bool:
    """True if OpenVINO runs bf16 in hardware on this CPU; elsewhere it can only imitate it, slowly."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@cache
def runtime() -> tuple[str, ...]:
    """What a compiled blob depends on beside the model."""
    import openvino as ov

    able = sorted(core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    return ov.get_version(), core().get_property("CPU", "FULL_DEVICE_NAME"), *able


def settings(precision: str) -> dict[str, Any]:
    """One frame at a time over all cores, not pinned to them: the codecs run beside it."""
    return {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }


def torch_type(element_type: Any) -> torch.dtype:
    """OpenVINO's name of a number -> torch's."""
    return torch.from_numpy(np.empty(0, element_type.to_dtype())).dtype


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
