"""The formats that a model can leave in, and what is told of a file that was written.

Each format is written and run by its own file of this room; `FORMATS` says which.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Final, Literal, NamedTuple

from ..models.exported import Card

HD: Final = (720, 1280)


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        module: of this room; has `export(model, size, card, path)` and `run_file(path, inputs)`.
        suffix: of the file; besides: of files that belong to it and lie beside it.
        packages: that writing it needs beyond tween's own. install: what to type for them.
        sizes: `both`; `any`: one file is for every size; `one`: a file is for one size.
        precisions: that it can be written in.
        spread: `t` and the places of the pixels are inputs of the frames' size.
        run: what to type to run it, with {file}, {model} and {command}.
    """

    module: str
    suffix: str
    besides: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    install: str = 'pip install "tween[export]"'
    sizes: Literal["both", "any", "one"] = "both"
    precisions: tuple[str, ...] = ("fp32",)
    spread: bool = False
    run: str = ""


FORMATS: Final = {
    "onnx": Format(
        "onnx",
        ".onnx",
        precisions=("fp32", "fp16"),
        run="tween {command} --model {file}",
    ),
    "openvino": Format(
        "openvino",
        ".xml",
        besides=(".bin",),
        packages=("openvino",),
        install="pip install openvino",
        precisions=("fp32", "int8"),
        run="tween {command} --model {file}",
    ),
    "ncnn": Format(
        "ncnn",
        ".param",
        besides=(".bin", ".json"),
        packages=("ncnn", "pnnx"),
        sizes="any",
        spread=True,
        run="tween {command} --model {model} --backend ncnn",
    ),
    "tensorrt": Format(
        "tensorrt",
        ".engine",
        besides=(".json",),
        packages=("tensorrt",),
        install="pip install tensorrt, on a machine with an NVIDIA GPU",
        sizes="one",
        precisions=("fp32", "fp16"),
        run="trtexec --loadEngine={file}",
    ),
}
SUFFIXES: Final = {row.suffix: name for name, row in FORMATS.items()}

ONE_SIZE: Final = {  # families whose graph is laid out for the size that it was traced at
    "emavfi": "its attention is cut into windows that are laid out for one size",
}


@dataclass(frozen=True)
class Order:
    """What was asked for.

    Attributes:
        model: a name of the zoo, or a file of weights. output: the file.
        format: of `FORMATS`; None: what the file's suffix says.
        size: (H, W) of the frames; None: any size where that can be, else 720x1280.
        any_size: a file for one size only is no answer.
        precision: `fp32`, `fp16`, `int8`. lora: adapters to merge. scale: motion is estimated at this size.
        calibrate: for int8, the video that the network is measured on.
    """

    model: str
    output: Path
    format: str | None = None
    size: tuple[int, int] | None = None
    any_size: bool = False
    precision: str = "fp32"
    lora: tuple[str, ...] = ()
    scale: float = 1.0
    calibrate: Path | None = None


class Likeness(NamedTuple):
    """How near a file is to torch: the largest difference, of 1, at some sizes (H, W)."""

    largest: float
    sizes: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        path: of the file. format: its name. card: what it says of itself.
        megabytes: of it and what lies beside it. run: what to type to run it.
        likeness: how near it is to torch; None where it cannot be run here.
        note: why it is for one size only, where nobody asked for that.
        milliseconds: of an int8 file, what a frame takes here in each precision.
    """

    path: Path
    format: str
    card: Card
    megabytes: float
    run: str
    likeness: Likeness | None
    note: str = ""
    milliseconds: dict[str, float] = field(default_factory=dict)


class Port(NamedTuple):
    """An input of a file, or its output: its shape, and what it is, in words."""

    name: str
    shape: str
    what: str


def ports(written: Written) -> tuple[list[Port], Port]:
    """What a file takes, and what it gives."""
    card, spread = written.card, FORMATS[written.format].spread
    sides = [str(side) for side in card.size or ()] or [times(card.multiple, letter) for letter in "hw"]
    batch, area = "" if spread else "1, ", ", ".join(sides)
    picture = f"[{batch}3, {area}]"
    taken = [Port(f"x{k}", picture, f"RGB in [0, 1], the frame at {at}") for k, at in enumerate(card.context)]
    if spread:
        taken.append(Port("grid", f"[2, {area}]", "each pixel's centre (x, y), the picture's edges at -1 and 1"))
        taken.append(Port("step", "[2, 1, 1]", f"2 / ({sides[1]}), 2 / ({sides[0]})"))
    if card.any_time:
        where = f"{card.instants}, in gaps" + (", at every pixel" if spread else "")
        taken.append(Port("t", f"[1, {area}]" if spread else "[1]", where))
    at = "t" if card.any_time else f"t = {card.instants}"
    return taken, Port("frame", picture, f"RGB in [0, 1], the frame at {at}")


def times(multiple: int, letter: str) -> str:
    """Any multiple, as a side's length: `32*h`."""
    return letter if multiple == 1 else f"{multiple}*{letter}"


def fitting(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """(H, W), no smaller, of multiples."""
    high, wide = (-(-side // multiple) * multiple for side in size)
    return high, wide


def line(form: Format, order: Order, card: Card) -> str:
    """What to type to run a file."""
    command = "predict in.mp4" if card.spec.predicts else "interpolate in.mp4 --times 2"
    model = " ".join([quote(order.model), *(f"--lora {quote(adapter)}" for adapter in order.lora)])
    return form.run.format(file=quote(str(order.output)), model=model, command=command)
