"""Half precision where it does no harm: an ONNX graph with its convolutions in fp16, its flows and grids in fp32.

    convolution -> fp16 ─┐
    activation, sum, ... ┤ follow the convolution that feeds them
                         └─> fp32: what leads from the last convolution to a sampling grid or to the frame,
                                   the sampling itself, means, norms, attention's weights, every resize

In fp16 a place near the right border of a 1280 pixel wide frame could be told to half a pixel only. What is computed in
which precision is written into the graph, so that engines with strong types (TensorRT 10 and later) keep to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

HEAVY = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm"})
FOLLOWING = HEAVY | {  # what may compute in fp16 if what feeds it does
    *("PRelu", "LeakyRelu", "Relu", "Sigmoid", "Tanh", "Gelu", "Erf", "Add", "Sub", "Mul", "Div", "Concat", "Split"),
    *("Slice", "Reshape", "Transpose", "DepthToSpace", "SpaceToDepth", "MaxPool", "Squeeze", "Unsqueeze", "Pad"),
}


def to_half(model: Any) -> Any:
    """A copy of an ONNX model in mixed precision; its inputs and outputs stay float32.

    Args:
        model: ModelProto, float32.
    """
    import onnx

    mixed = onnx.ModelProto()
    mixed.CopyFrom(onnx.shape_inference.infer_shapes(model))
    _Mixer(mixed.graph).mix()
    del mixed.graph.value_info[:]  # what is float32 has changed; engines infer it again
    onnx.checker.check_model(mixed, full_check=True)
    return mixed


class _Mixer:
    """Rewrites one graph in place."""

    def __init__(self, graph: Any) -> None:
        from onnx import TensorProto, numpy_helper

        self.graph, self.kinds, self.arrays = graph, TensorProto, numpy_helper
        known = [*graph.input, *graph.value_info, *graph.output]
        self.floats = {info.name for info in known if info.type.tensor_type.elem_type == TensorProto.FLOAT}
        self.weights = {w.name: w for w in graph.initializer if w.data_type == TensorProto.FLOAT}
        self.halves: set[str] = set()  # values that are fp16 now
        self.nodes: list[Any] = []  # the new graph's
        self.casts: dict[tuple[str, int], str] = {}

    def mix(self) -> None:
        """Node after node, in the order in which they compute."""
        exact = exact_values(self.graph.node, [port.name for port in self.graph.output])
        for node in self.graph.node:
            in_half = node.op_type in FOLLOWING and not exact.intersection(node.output) and self._is_fed_in_half(node)
            for place, name in enumerate(node.input):
                if in_half and name in self.weights:
                    node.input[place] = self._half_weight(name)
                elif in_half and name in self.floats and name not in self.halves:
                    node.input[place] = self._cast(name, self.kinds.FLOAT16)
                elif not in_half and name in self.halves:
                    node.input[place] = self._cast(name, self.kinds.FLOAT)
            self.nodes.append(node)
            if in_half:
                self._give_half(node)
        nodes = [type(node).FromString(node.SerializeToString()) for node in self.nodes]
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        self._drop_unused_weights()

    def _is_fed_in_half(self, node: Any) -> bool:
        return node.op_type in HEAVY or any(name in self.halves for name in node.input)

    def _give_half(self, node: Any) -> None:
        """A node's outputs are fp16 from here on; the graph's own stay float32."""
        from onnx import helper

        ports = {port.name for port in self.graph.output}
        for place, name in enumerate(node.output):
            if name in ports:
                node.output[place] = f"{name}_in_half"
                cast = helper.make_node("Cast", [node.output[place]], [name], name=f"cast_{name}", to=self.kinds.FLOAT)
                self.nodes.append(cast)
            elif name in self.floats:
                self.halves.add(name)

    def _cast(self, name: str, kind: int) -> str:
        """The value in another precision, cast once for all who ask."""
        from onnx import helper

        if (name, kind) not in self.casts:
            cast = f"{name}_as_{'half' if kind == self.kinds.FLOAT16 else 'float'}"
            self.nodes.append(helper.make_node("Cast", [name], [cast], name=f"cast_{cast}", to=kind))
            self.casts[name, kind] = cast
        return self.casts[name, kind]

    def _half_weight(self, name: str) -> str:
        half = f"{name}_half"
        if (name, self.kinds.FLOAT16) not in self.casts:
            array = self.arrays.to_array(self.weights[name])
            limit = np.finfo(np.float16).max
            halved = np.clip(array, -limit, limit).astype(np.float16)
            self.graph.initializer.append(self.arrays.from_array(halved, half))
            self.casts[name, self.kinds.FLOAT16] = half
        return half

    def _drop_unused_weights(self) -> None:
        used = {name for node in self.graph.node for name in node.input}
        kept = [weight for weight in self.graph.initializer if weight.name in used]
        kept = [type(weight).FromString(weight.SerializeToString()) for weight in kept]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)


def exact_values(nodes: Iterable[Any], outputs: Iterable[str]) -> set[str]:
    """What is computed between the last convolution and each sampling grid, and the graph's outputs: values by name."""
    makers, todo = {}, list(outputs)
    for node in nodes:
        makers.update(dict.fromkeys(node.output, node))
        if node.op_type == "GridSample":
            todo.append(node.input[1])
    found: set[str] = set()
    while todo:
        name = todo.pop()
        node = makers.get(name)
        if node is None or node.op_type in HEAVY | {"GridSample"} or name in found:
            continue
        found.update(node.output)
        todo += list(node.input)
    return found
