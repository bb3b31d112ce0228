"""A model that `tween export` wrote: one graph, frames to frame, and the card that says what it is.

x0 .. xn, t  ->  frame        `t` where the model takes any; `--model m.onnx`, or m.xml, runs it as a network of the zoo
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import __version__
from ..errors import BadOption, BadWeights, MissingFile, imported
from .ir import IrSession, metadata
from .model import Model, Prediction, Spec, Tensors

ENGINES = {".onnx": "onnx", ".xml": "openvino"}  # a file's suffix -> the format, and the backend that runs it
PREFIX = "tween."  # of the card's keys in a file's metadata
PROVIDERS = {  # what --device calls a part of ONNX Runtime that computes
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
INSTALL = {
    "cuda": "pip uninstall onnxruntime, then pip install onnxruntime-gpu: never both",
    "directml": "pip uninstall onnxruntime, then pip install onnxruntime-directml: never both",
    "coreml": "onnxruntime for macOS",
}


@dataclass(frozen=True)
class Calibration:
    """How an int8 file came to its scales.

    Attributes:
        film: name of the video. windows: of it that were looked at.
        decibels: PSNR against torch in fp32 on `held` other windows.
        share: of its convolutions that is int8, `45 of 54`.
    """

    film: str
    windows: int
    held: int
    decibels: float
    share: str = ""


@dataclass(frozen=True)
class Card:
    """What an exported file says of itself, whatever its format.

    Attributes:
        model: the network, the zoo's name. family: the file in `models` that it lives in.
        context, multiple, any_time: as in `Spec`.
        size: (H, W) of the frames, pixels; None: any multiples of `multiple`.
        precision: `fp32`, or `fp16`, `int8`: convolutions in it; flows, grids and sampling in fp32.
        weights: as they were asked for, `ifrnet-s@vimeo90k` or a file's name, with the adapters merged into them.
        weights_sha256: of their file. licence: of the weights.
        tween: the version that wrote it.
        calibration: of an int8 file, what it was measured on.
    """

    model: str
    family: str
    context: tuple[int, ...]
    multiple: int = 1
    any_time: bool = True
    size: tuple[int, int] | None = None
    precision: str = "fp32"
    weights: str = ""
    weights_sha256: str = ""
    licence: str = ""
    tween: str = __version__
    calibration: Calibration | None = None

    @property
    def spec(self) -> Spec:
        """Of the graph."""
        return Spec(context=self.context, multiple=self.multiple, any_time=self.any_time)

    @property
    def inputs(self) -> list[str]:
        """Names of the graph's inputs, in order: the frames as `context` has them, and `t`."""
        return [f"x{k}" for k in range(len(self.context))] + ["t"] * self.any_time

    @property
    def instants(self) -> str:
        """The t that it knows, in words."""
        if self.any_time:
            return "1 and later" if self.spec.predicts else "0 to 1"
        return f"{moment(self.spec):g}"

    def as_text(self) -> dict[str, str]:
        """As a file's metadata."""
        facts = {
            "model": self.model,
            "family": self.family,
            "context": ",".join(map(str, self.context)),
            "multiple": str(self.multiple),
            "any_time": "yes" if self.any_time else "no",
            "instants": self.instants,
            "size": "any" if self.size is None else f"{self.size[0]},{self.size[1]}",
            "precision": self.precision,
            "weights": self.weights,
            "weights_sha256": self.weights_sha256,
            "licence": self.licence,
            "version": self.tween,
        }
        if self.calibration is not None:
            facts["calibration"] = self.calibration.film
            facts["calibration_windows"] = str(self.calibration.windows)
            facts["held_windows"] = str(self.calibration.held)
            facts["held_psnr_db"] = f"{self.calibration.decibels:.2f}"
            facts["int8_layers"] = self.calibration.share
        return {PREFIX + key: value for key, value in facts.items()}


def card_of(text: Mapping[str, str], what: str) -> Card:
    """A card from a file's metadata.

    Raises:
        BadWeights: there is none, or none that can be read.
    """
    said = {key.removeprefix(PREFIX): value for key, value in text.items() if key.startswith(PREFIX)}
    try:
        return Card(
            model=said["model"],
            family=said["family"],
            context=tuple(map(int, said["context"].split(","))),
            multiple=int(said["multiple"]),
            any_time=said["any_time"] == "yes",
            size=None if said["size"] == "any" else pair(said["size"]),
            precision=said["precision"],
            weights=said["weights"],
            weights_sha256=said["weights_sha256"],
            licence=said["licence"],
            tween=said["version"],
            calibration=calibration_of(said),
        )
    except (KeyError, ValueError) as error:
        why = "it does not say which frames it looks at" if not said else f"what it says of itself is damaged ({error})"
        fix = f"tween export MODEL -o {Path(what).name}"
        raise BadWeights(f"{what}: {why}", "a file that `tween export` wrote is needed", fix) from error


def calibration_of(said: Mapping[str, str]) -> Calibration | None:
    """Of a card's text without its prefix; None where nothing was calibrated."""
    if "calibration" not in said:
        return None
    windows, held = int(said["calibration_windows"]), int(said["held_windows"])
    return Calibration(said["calibration"], windows, held, float(said["held_psnr_db"]), said["int8_layers"])


def pair(text: str) -> tuple[int, int]:
    """ "720,1280" as (720, 1280)."""
    height, width = map(int, text.split(","))
    return height, width


def moment(spec: Spec) -> float:
    """The t of a model that knows only one."""
    return 1.0 if spec.predicts else 0.5


class Exported(Model):
    """A network in a file of `tween export`, run on the CPU by ONNX Runtime or OpenVINO.

    It has no parameters: it neither learns nor wears an adapter.

    Attributes:
        path: of the file. card: what it says of itself.
        engine: the backend that runs it, `onnx` or `openvino`.
    """

    searches = True  # it computes outside torch

    def __init__(self, path: Path, card: Card) -> None:
        super().__init__()
        self.path, self.card, self.spec = path, card, card.spec
        self.engine = ENGINES[path.suffix.lower()]

    def __deepcopy__(self, memo: object) -> Exported:
        return Exported(self.path, self.card)  # a file's session cannot be copied, and need not be

    def render(self, scene: Tensors, t: Tensor) -> Prediction:
        """Frames `[B, 3, H, W]` and `t` `[B]` -> the frame at `t`."""
        return Prediction(self.run(self._session, scene, t), {})

    def run(self, session: Session | IrSession, scene: Tensors, t: Tensor) -> Tensor:
        """The same on a session of its file; a graph takes one picture at a time."""
        shown = []
        for row in range(t.shape[0]):
            given = [*(frame[row : row + 1] for frame in scene), t[row : row + 1].float()]
            shown.append(session(dict(zip(self.card.inputs, given, strict=False)))[0])
        return torch.cat(shown)

    def session(self, device: str = "cpu") -> Session | IrSession:
        """What runs its file.

        Raises:
            BadOption, Conflict: a device that it cannot run on. MissingPackage, BadWeights: as the sessions say.
        """
        return Session(self.path, device) if self.engine == "onnx" else IrSession(self.path, device)

    @cached_property
    def _session(self) -> Session | IrSession:
        return self.session()


def read(path: Path) -> Exported:
    """The model in a file.

    Raises:
        MissingFile: nothing there.
        BadWeights: it is no model of its format, or does not say what tween has to know.
    """
    if not path.is_file():
        raise MissingFile(f"no file {path}", "the path of a file that `tween export` wrote is needed")
    if ENGINES[path.suffix.lower()] == "openvino":
        return Exported(path, card_of({PREFIX + key: value for key, value in metadata(path).items()}, str(path)))
    return Exported(path, card_of(onnx_metadata(path), str(path)))


def onnx_metadata(path: Path) -> dict[str, str]:
    """What an ONNX file says of itself.

    Raises:
        BadWeights: it is no ONNX model.
    """
    import onnx

    try:
        proto = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf raises what it likes on bytes that are none, all of it means one thing
        got = f"{path} ({path.stat().st_size} bytes) cannot be read as ONNX"
        raise BadWeights(got, "a file that `tween export` wrote is needed") from error
    return {entry.key: entry.value for entry in proto.metadata_props}


class Session:
    """A graph in ONNX Runtime. Any thread may call; results are the caller's.

    Args:
        graph: an ONNX model, or the path of one.
        device: `cpu`, `cuda`, `cuda:1`, `directml`, `coreml`.

    Raises:
        MissingPackage: no ONNX Runtime.
        BadOption: a device that this ONNX Runtime cannot use.
        BadWeights: it cannot run the graph.
    """

    def __init__(self, graph: bytes | Path, device: str = "cpu") -> None:
        ort = runtime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors: it warns of every node that it moves
        what = str(graph) if isinstance(graph, Path) else graph
        try:
            self._session = ort.InferenceSession(what, options, providers=providers(device))
        except Exception as error:  # its exceptions share no class but this
            name = graph if isinstance(graph, Path) else "this model's graph"
            got = f"ONNX Runtime {ort.__version__} cannot run {name} ({str(error).splitlines()[0][:200]})"
            raise BadWeights(got, "a newer onnxruntime, or another backend, is needed") from error
        self._inputs = [port.name for port in self._session.get_inputs()]

    def __call__(self, tensors: Mapping[str, Tensor]) -> Tensors:
        """Inputs by name -> the outputs, in order; float32."""
        given = {name: tensors[name].detach().cpu().contiguous().numpy() for name in self._inputs}
        return tuple(torch.from_numpy(np.ascontiguousarray(out)) for out in self._session.run(None, given))


def runtime() -> Any:
    """ONNX Runtime itself.

    Raises:
        MissingPackage: it is not installed.
    """
    need = "what runs .onnx files and --backend onnx is needed"
    return imported("onnxruntime", "ONNX Runtime", need, 'pip install "tween[export]"')


def providers(device: str) -> Sequence[Any]:
    """What ONNX Runtime is told to compute with.

    Raises:
        BadOption: no such device, or not with the ONNX Runtime that is installed.
    """
    kind, _, index = device.partition(":")
    if kind not in PROVIDERS or (index and not (index.isdecimal() and kind in ("cuda", "directml"))):
        raise BadOption(f"--device {device}", f"ONNX Runtime knows {', '.join(PROVIDERS)}", "--device cpu")
    able = runtime().get_available_providers()
    if PROVIDERS[kind] not in able:
        got = f"--device {device} with ONNX Runtime, which has {', '.join(able)} here"
        raise BadOption(got, f"{PROVIDERS[kind]} is needed", INSTALL.get(kind, "--device cpu"))
    if kind == "cpu":
        return [PROVIDERS["cpu"]]
    options = {"device_id": int(index)} if index else {}
    if kind == "cuda":
        options["use_tf32"] = 0  # ten bits of a flow's mantissa are not enough
    return [(PROVIDERS[kind], options), PROVIDERS["cpu"]]
