"""ncnn, for phones and Vulkan: writes a model as .param and .bin through pnnx, and runs it.

model -> torch.jit.trace -> pnnx -> ncnn

ncnn neither counts pixels nor spreads a number over them at a size that it does not know. So the graph takes them as
inputs, and is for any size:

x0 .. xn  [3, H, W]   the frames, RGB in [0, 1]
grid      [2, H, W]   each pixel's centre (x, y), the picture's edges at -1 and 1
step      [2, 1, 1]   one pixel in these units: 2 / W, 2 / H
t         [1, H, W]   the instant, at every pixel; where the model takes any
frame     [3, H, W]   what is shown
"""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import CannotExport, imported
from ..models.exported import Card, moment
from ..models.model import Model, Tensors
from ..ops.resize import resize
from ..ops.warp import Places, given
from . import cache as disk
from .graph import Whole, small_size

INSTALL = 'pip install "tween[export]"'
OUTSIDE = {  # networks that ncnn cannot hold, and why
    "EmaVfi": "its frames lie in one batch, between whose halves attention looks, and ncnn has no batches",
    "Lift": "its frames lie in one batch, along which attention looks, and ncnn has no batches",
    "DeformVFI": "pnnx knows no deformable convolution but torchvision's",
    "IndependentSteps": "it is a network for each step, and a graph cannot choose among them",
}


class Placed(Whole):
    """A model from frames to frame with its pixels' places given."""

    def forward(self, *tensors: Tensor) -> Tensor:
        spec = self.model.spec
        frames, (grid, step, *t) = tensors[: len(spec.context)], tensors[len(spec.context) :]
        plane = Plane(t[0]) if t else Plane(grid[:, :1] * 0 + moment(spec))
        with given(Places(grid, step)):
            return self.shown(frames, plane)  # type: ignore[arg-type]


class Plane:
    """`t` at every pixel, `[1, 1, H, W]`, in the place of `t` `[1]`: what spreads it over pixels finds it spread."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def to(self, *_: Any) -> Plane:
        return self

    def view(self, *_: int) -> Plane:
        return self

    def expand(self, *sides: int) -> Tensor:
        """At the size that is asked for, which is the full one or a part of it."""
        return resize(self.tensor, int(sides[-1]) / int(self.tensor.shape[-1]))

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Plane:
        """Another t in its place, the same everywhere: `torch.full_like(t, 0.5)`."""
        assert function is torch.full_like, f"a plane of t knows no {function}"
        return cls(args[0].tensor * 0 + args[1])


def input_names(model: Model) -> list[str]:
    """In order."""
    return [*(f"x{k}" for k in range(len(model.spec.context))), "grid", "step", *["t"] * model.spec.any_time]


def placed(frames: Sequence[Tensor], t: float | None) -> dict[str, Tensor]:
    """What a graph is fed: frames `[1, 3, H, W]`, and all that follows from their size."""
    high, wide = frames[0].shape[-2:]
    places = places_of(high, wide)
    fed = {f"x{k}": frame for k, frame in enumerate(frames)} | places._asdict()
    return fed if t is None else fed | {"t": torch.full((1, 1, high, wide), t)}


@lru_cache(maxsize=4)
def places_of(high: int, wide: int) -> Places:
    """Where the pixels of a frame of a size are."""
    x, y = ((2 * torch.arange(side, dtype=torch.float32) + 1) / side - 1 for side in (wide, high))
    grid = torch.stack((x.expand(high, wide), y[:, None].expand(high, wide)))[None]
    return Places(grid, torch.tensor([2 / wide, 2 / high]).view(1, 2, 1, 1))


def check(model: Model) -> None:
    """Raises CannotExport for a network that ncnn cannot hold."""
    why = OUTSIDE.get(type(model).__name__, "")
    if getattr(model, "scale", 1) != 1:
        why = "motion estimated at another size ties it to the frames' size"
    if why:
        raise CannotExport(f"this model as ncnn: {why}", "another engine is needed", "onnx in its place")


def translate(model: Model) -> tuple[str, bytes]:
    """A model as ncnn's .param and .bin.

    Raises:
        CannotExport: it holds what ncnn has not. MissingPackage: no pnnx.
    """
    check(model)
    program = translator()
    small = small_size(model.spec.multiple)
    spec, whole = model.spec, Placed(model)
    examples = []
    for size in (small, (small[1], small[0] + spec.multiple)):
        frames = [torch.zeros(1, 3, *size) for _ in spec.context]
        examples.append(list(placed(frames, moment(spec) if spec.any_time else None).values()))
    with tempfile.TemporaryDirectory() as folder:
        traced = Path(folder) / "m.pt"
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sizes become constants of resizing: that is meant
            torch.jit.trace(whole, examples[0], check_trace=False).save(str(traced))
        shapes = [",".join(f"[{','.join(map(str, x.shape))}]f32" for x in one) for one in examples]
        command = [program, traced.name, f"inputshape={shapes[0]}", f"inputshape2={shapes[1]}", "fp16=0"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        param, weights = Path(folder) / "m.ncnn.param", Path(folder) / "m.ncnn.bin"
        if not param.is_file():
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise CannotExport(f"pnnx could not translate the model for ncnn ({''.join(last)})", "", "--format onnx")
        return named(param.read_text(), input_names(model)), weights.read_bytes()


def translator() -> str:
    """The path of pnnx.

    Raises:
        MissingPackage: it is not installed.
    """
    return str(imported("pnnx", "pnnx", "it translates models for ncnn", INSTALL).EXEC_PATH)


def named(param: str, names: Sequence[str]) -> str:
    """A .param whose inputs and output have our names, for pnnx calls them in0, in1, out0."""
    ours = {f"in{k}": name for k, name in enumerate(names)} | {"out0": "frame"}
    head, counts, *lines = param.splitlines()
    return (
        "\n".join([head, counts, *(" ".join(ours.get(word, word) for word in line.split()) for line in lines)]) + "\n"
    )


class Net:
    """A graph in ncnn, in fp32 on the CPU: its own reduced precisions would be for flows and grids too.

    Raises:
        MissingPackage: no ncnn. CannotExport: ncnn does not know a layer.
    """

    def __init__(self, param: str, weights: bytes) -> None:
        ncnn = runtime()
        self._ncnn, self._net = ncnn, ncnn.Net()
        for option in ("bf16_storage", "fp16_packed", "fp16_storage", "fp16_arithmetic", "vulkan_compute"):
            setattr(self._net.opt, f"use_{option}", False)
        self._net.opt.num_threads = torch.get_num_threads()
        self._weights = weights  # borrowed
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder) / "m.param", Path(folder) / "m.bin"
            files[0].write_text(param)
            files[1].write_bytes(weights)
            if self._net.load_param(str(files[0])) or self._net.load_model(str(files[1])):
                raise CannotExport("ncnn cannot read what pnnx made of the model", "", "--format onnx")

    def __call__(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Inputs `[1, C, H, W]` by name -> the frame `[1, 3, H, W]`."""
        extractor = self._net.create_extractor()
        for name, tensor in inputs.items():
            array = np.ascontiguousarray(tensor[0].detach().numpy())
            extractor.input(name, self._ncnn.Mat(array).clone())  # a Mat around an array does not own its memory
        status, frame = extractor.extract("frame")
        if status:
            raise RuntimeError(f"ncnn stopped with status {status}")
        return torch.from_numpy(np.array(frame))[None]


class NcnnBackend:
    """Runs a model whole, for each instant anew: ncnn has the frames and gives the frame. One graph for every size.

    Args:
        model: of a family that ncnn can hold. It must not change afterwards.
        label: the model's name, for the names of cached files.

    Raises:
        MissingPackage: no ncnn, or no pnnx to translate the model with.
        CannotExport: the model holds what ncnn has not.
    """

    name, device, precision = "ncnn", "cpu", "fp32"

    def __init__(self, model: Model, *, label: str = "") -> None:
        runtime()
        self.spec = model.spec
        self._model = copy.deepcopy(model).eval() if model.training else model
        self._net = Net(*self._translated(disk.named(label or type(model).__name__.lower())))

    def _translated(self, label: str) -> tuple[str, bytes]:
        digest = hashlib.sha256(f"{disk.fingerprint(self._model)} {torch.__version__}".encode()).hexdigest()[:24]
        keys = [f"{label}-whole-{digest}.{ending}" for ending in ("param", "bin")]
        param, weights = (disk.fetch(key) for key in keys)
        if param is None or weights is None:
            text, weights = translate(self._model)
            param = text.encode()
            for key, payload in zip(keys, (param, weights), strict=True):
                disk.store(key, payload)
        return param.decode(), weights

    def embed(self, frame: Tensor) -> Tensors:
        """`[B, 3, H, W]` in [0, 1]: the frame."""
        return (frame,)

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """The frames of the context."""
        return tuple(frame for (frame,) in context)

    def render(self, scene: Tensors, t: Tensor) -> Tensor:
        """Frames and `t` `[B]` -> `[B, 3, H, W]` in [0, 1]."""
        rows = range(t.shape[0])
        times = t.tolist() if self.spec.any_time else [None] * len(rows)
        return torch.cat([self._net(placed([x[row : row + 1] for x in scene], times[row])) for row in rows])


def runtime() -> Any:
    """ncnn itself.

    Raises:
        MissingPackage: it is not installed.
    """
    return imported("ncnn", "ncnn", "--backend ncnn needs it", INSTALL)


def export(model: Model, size: tuple[int, int] | None, card: Card, path: Path) -> None:  # noqa: ARG001
    """Write a model as `path`, .param, with .bin and its card, .json, beside it; one file is for every size."""
    param, weights = translate(model)
    path.write_text(param)
    path.with_suffix(".bin").write_bytes(weights)
    path.with_suffix(".json").write_text(json.dumps(card.as_text(), indent=2) + "\n")


def run_file(path: Path, inputs: Mapping[str, Tensor]) -> Tensor:
    """What an exported file shows; of `t` `[1]` the plane is made here."""
    frames = [tensor for name, tensor in inputs.items() if name != "t"]
    net = Net(path.read_text(), path.with_suffix(".bin").read_bytes())
    return net(placed(frames, float(inputs["t"]) if "t" in inputs else None))
