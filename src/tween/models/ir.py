"""OpenVINO's own files, .xml and the .bin beside it, as `tween export` wrote them: what one says of itself, and a
session that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from ..errors import BadWeights, Conflict, MissingFile, imported

SECTION: Final = "tween"  # of a file's runtime information
SETTINGS: Final = {  # one frame at a time over all cores, not pinned to them: the codecs run beside it
    "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": 1,
    "ENABLE_CPU_PINNING": False,
}


@cache
def core() -> Any:
    """OpenVINO itself.

    Raises:
        MissingPackage: it is not installed.
    """
    need = "what runs .xml files and --backend openvino is needed"
    return imported("openvino", "OpenVINO", need, "pip install openvino").Core()


def metadata(path: Path) -> dict[str, str]:
    """What a file says of itself; nothing where `tween export` did not write it.

    Raises:
        MissingFile: the file with the weights is gone. BadWeights: it is no model of OpenVINO.
    """
    if not path.with_suffix(".bin").is_file():
        got = f"no file {path.with_suffix('.bin')}, which holds the weights of {path.name}"
        raise MissingFile(got, "both files that `tween export` wrote are needed, side by side")
    try:
        model = core().read_model(path)
    except RuntimeError as error:
        got = f"{path} ({path.stat().st_size} bytes) cannot be read as OpenVINO's"
        raise BadWeights(got, "a file that `tween export` wrote is needed") from error
    if not model.has_rt_info([SECTION]):
        return {}
    return {key: str(model.get_rt_info([SECTION, key]).value) for key in model.get_rt_info([SECTION]).value}


class IrSession:
    """A graph of OpenVINO's, compiled for this CPU. Any thread may call; results are the caller's.

    Args:
        graph: the path of an .xml, or a model that OpenVINO has read.
        device: `cpu`. hint: what its floats are computed in, `f32` or `bf16`.

    Raises:
        Conflict: a device other than the CPU.
        MissingPackage: no OpenVINO. BadWeights: it cannot run the graph.
    """

    def __init__(self, graph: Any, device: str = "cpu", *, hint: str = "f32") -> None:
        name = graph if isinstance(graph, Path) else "this model's graph"
        if device != "cpu":
            raise Conflict(f"--device {device} for {name}", "OpenVINO runs on the CPU here", "--device cpu")
        try:
            self._compiled = core().compile_model(graph, "CPU", {**SETTINGS, "INFERENCE_PRECISION_HINT": hint})
        except RuntimeError as error:
            got = f"OpenVINO cannot run {name} ({str(error).strip().splitlines()[-1][:200]})"
            raise BadWeights(got, "a newer openvino, or the same model exported once more, is needed") from error
        self._inputs = [port.get_any_name() for port in self._compiled.inputs]

    def __call__(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Inputs by name -> the outputs, in order; float32."""
        given = {name: tensors[name].detach().cpu().contiguous().numpy() for name in self._inputs}
        request = self._compiled.create_infer_request()  # one a call, so that threads do not meet
        request.infer(given)
        ports = range(len(self._compiled.outputs))
        return tuple(torch.from_numpy(np.array(request.get_output_tensor(port).data)) for port in ports)
