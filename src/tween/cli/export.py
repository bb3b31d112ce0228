"""`tween export MODEL -o FILE`: a model as one file for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..backends.export import export
from ..backends.formats import FORMATS, Order, Port, Written, ports
from ..errors import BadOption, Conflict
from ..models.exported import Calibration
from ..pipeline.config import option
from .show import print_json, say

FEW = 4  # frames of a context that are told one by one


@dataclass(frozen=True)
class Export:
    """A model as one file: frames in, the frame between them (or after them) out, in any program.

    The file is held against torch before it takes its place; `docs/export.md` tells how to feed it.
    """

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL", help_behavior_hint="")]
    """A name of `tween models`, or a file of weights."""
    output: Annotated[Path, option("FILE", "required", "-o")]
    """Where to write."""
    format: Annotated[str | None, option("NAME", "what FILE ends in")] = None
    """onnx (.onnx), openvino (.xml, .bin), ncnn (.param, .bin, .json), tensorrt (.engine)."""
    size: Annotated[str | None, option("H,W", "any, where that can be; else 720,1280")] = None
    """Of the frames: a file for one size may be faster."""
    dynamic: bool = False
    """Any size, or nothing."""
    precision: Annotated[str, option("fp32|fp16", "fp32")] = "fp32"
    """fp16: convolutions in half precision, flows, grids and sampling in fp32. ONNX and TensorRT."""
    int8: bool = False
    """Convolutions in 8 bits, flows, grids and sampling in fp32. OpenVINO; needs --calibrate."""
    calibrate: Annotated[Path | None, option("VIDEO", "needed with --int8")] = None
    """What the network is measured on: a film like those to be rendered, of some seconds."""
    lora: Annotated[tuple[str, ...], option("FILE[:WEIGHT] ...", "none")] = ()
    """Adapters, merged into the weights."""
    scale: Annotated[float, option("S", "1")] = 1.0
    """Estimate motion at this size, with networks that can."""
    json: bool = False
    """Print one JSON object last."""


def run(argv: Sequence[str]) -> int:
    """Parse, export, tell. Returns the exit code."""
    args = tyro.cli(Export, args=list(argv), prog="tween export", config=(tyro.conf.FlagCreatePairsOff,))
    if args.int8 and args.precision not in ("fp32", "int8"):
        raise Conflict(f"--int8 and --precision {args.precision} together", "give one of them")
    order = Order(
        model=args.model,
        output=args.output,
        format=args.format,
        size=size_of(args.size),
        any_size=args.dynamic,
        precision="int8" if args.int8 else args.precision,
        calibrate=args.calibrate,
        lora=args.lora,
        scale=args.scale,
    )
    note = f"{args.output}: tracing, writing and checking, which takes up to a few minutes"
    written = export(order, begun=lambda: say(note, hidden=args.json))
    for line in told(written):
        say(line, hidden=args.json)
    if args.json:
        print_json(as_json(written))
    return 0


def size_of(text: str | None) -> tuple[int, int] | None:
    """ "720,1280" or "720x1280" as (H, W).

    Raises:
        BadOption: it is neither.
    """
    if text is None:
        return None
    sides = text.replace("x", ",").split(",")
    if len(sides) != 2 or not all(side.strip().isdecimal() and int(side) > 0 for side in sides):
        raise BadOption(f"--size {text}", "height and width in pixels are needed", "--size 720,1280")
    return int(sides[0]), int(sides[1])


def told(written: Written) -> list[str]:
    """What was written, line by line."""
    card, name = written.card, written.format
    called = f"{card.model} ({card.weights})" if card.weights != card.model else card.model
    facts = f"{called}, {name}, {card.precision}, {written.megabytes:.1f} MB; licence: {card.licence}"
    taken, given = ports(written)
    if (frames := len(card.context)) > FEW:
        what = f"RGB in [0, 1], the frames at {card.context[0]} to {card.context[-1]}"
        taken[:frames] = [Port(f"x0 ... x{frames - 1}", taken[0].shape, what)]
    lines = [f"{written.path}: {facts}", *(f"  in   {words(port)}" for port in taken), f"  out  {words(given)}"]
    if written.note:
        lines.append(f"  for this size only: {written.note}")
    if card.calibration is not None:
        lines += measured(written, card.calibration)
    elif written.likeness is None:
        lines.append(f"  not held against torch: what runs it is not installed: {FORMATS[name].install}")
    else:
        sizes = " and ".join(f"{wide}x{high}" for high, wide in written.likeness.sizes)
        lines.append(f"  held against torch at {sizes}: {written.likeness.largest:.1g} apart at most")
    return [*lines, f"run it: {written.run}", "in your own program: docs/export.md"]


def measured(written: Written, calibration: Calibration) -> list[str]:
    """What int8 was measured on, what it costs, and what it gains on this machine."""
    assert written.card.size is not None
    high, wide = written.card.size
    taken = written.milliseconds
    others = [name for name in taken if name != "int8"]
    best = min(others, key=lambda name: taken[name])
    ratio = taken[best] / taken["int8"]
    gain = f"{ratio:.2f} times as fast as {best}" if ratio > 1 else f"slower than {best}, which is better here"
    times = ", ".join(f"{name} {each:.1f} ms" for name, each in taken.items())
    return [
        f"  {calibration.share} convolutions in int8, by {calibration.windows} windows of {calibration.film};"
        f" on {calibration.held} others {calibration.decibels:.1f} dB from torch in fp32",
        f"  a frame of {wide}x{high} on this machine: {times}: int8 is {gain}",
    ]


def words(port: Port) -> str:
    """`x0     [1, 3, 16*h, 16*w] float32, RGB in [0, 1], the frame at 0`."""
    return f"{port.name:<6} {port.shape} float32, {port.what}"


def as_json(written: Written) -> dict[str, Any]:
    """All that is known of it."""
    likeness = written.likeness
    return {
        "output": str(written.path),
        "format": written.format,
        **asdict(written.card),
        "inputs": [port.name for port in ports(written)[0]],
        "instants": written.card.instants,
        "megabytes": written.megabytes,
        "difference": None if likeness is None else likeness.largest,
        "checked": [] if likeness is None else [list(size) for size in likeness.sizes],
        "milliseconds": written.milliseconds,
        "note": written.note,
        "run": written.run,
    }
