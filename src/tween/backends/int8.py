"""int8 for OpenVINO, by nncf: the convolutions, no more.

frames -> convolution -> ... -> convolution -> head -> flow -> grid -> sampling -> frame
          int8                  int8           f32     f32     f32     f32         f32

Heads are the last convolutions before a sampling grid or the frame; where that is not enough, those before them stay
f32, too. What a convolution takes is rounded to 256 steps of a scale that is measured on windows of a film; windows
that were held back say what it cost.
"""

from __future__ import annotations

import io
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from ..errors import CannotExport, imported
from ..models.exported import Calibration, Card
from ..models.ir import IrSession, core
from ..models.model import Model
from . import calibrate
from .calibrate import Window
from .formats import Likeness
from .graph import Whole, whole_to_onnx
from .openvino import HEAVY, has_bf16, save, with_exact_grids

LEAST_DB: Final = 40  # against torch in fp32: below it nothing is kept
ENOUGH_DB: Final = 46  # a network whose frames are 35 dB from the truth then loses 0.3 dB
DEPTHS: Final = (1, 2)  # of convolutions that stay f32, counted from the grids and the frame: tried in turn
HELD: Final = 8  # windows to judge by, at most
INSTALL: Final = 'pip install "tween[int8]"'
PASSED_ON: Final = {"Constant", "Convert", "FakeQuantize", "Multiply", "Reshape", "Subtract", "Transpose"}
ROUNDS, SECONDS = 15, 20.0  # of timing, at most

Inputs = dict[str, Tensor]


def runtime() -> Any:
    """nncf itself, kept from printing, and from telling its makers that it was used.

    Raises:
        MissingPackage: it is not installed.
    """
    os.environ["NNCF_CI"] = "1"  # read once, when it is imported: no telemetry
    with redirect_stdout(io.StringIO()):
        nncf = imported("nncf", "nncf", "--int8 needs it", INSTALL)
    logging.getLogger("nncf").setLevel(logging.ERROR)  # its own call lowers every handler too, whoever put it there
    return nncf


def export(model: Model, card: Card, film: Path, path: Path) -> tuple[Card, Likeness, dict[str, float]]:
    """Write a model as OpenVINO's files with its convolutions in int8, and hold it against torch.

    Args:
        model: in eval mode. card: what the file says of itself, but for the calibration; its size is one.
        film: what the network is measured on. path: of the .xml.

    Returns:
        The card as it stands in the file; the largest difference; milliseconds a frame here, by precision.

    Raises:
        CannotExport: it shows another picture than torch.
        TooShort, BadOption, ...: as `calibrate.windows`. MissingPackage: no nncf.
    """
    assert card.size is not None
    whole, size = Whole(model), card.size
    learnt, held = apart(calibrate.windows(film, model.spec, size))
    graph = core().read_model(whole_to_onnx(model, size))
    best: Trial | None = None
    for trial in trials(graph, whole, learnt, held):
        best = trial if best is None or trial.decibels > best.decibels else best
        if best.decibels >= ENOUGH_DB:
            break
    if best is None:
        raise CannotExport(f"{card.model} has no convolution that could be int8", "the same without --int8 is needed")
    if not best.decibels >= LEAST_DB:
        where = f"on {len(held)} windows of {film.name} at {size[1]}x{size[0]}"
        got = f"{card.model} in int8 is {best.decibels:.1f} dB from torch, {where}"
        need = f"{LEAST_DB} dB or more are needed, and nothing was written"
        raise CannotExport(got, need, "without --int8, or --calibrate with a film like those to be rendered")
    calibration = Calibration(film.name, len(learnt), len(held), round(best.decibels, 2), best.share)
    card = replace(card, calibration=calibration)
    save(best.graph, card, path)
    return card, Likeness(best.largest, (size,)), paces(graph, path, fed(whole, held[0]))


class Trial(NamedTuple):
    """A graph in int8, and what it costs.

    Attributes:
        share: of its convolutions that is int8, `45 of 54`.
        decibels, largest: as in `likeness`.
    """

    graph: Any
    share: str
    decibels: float
    largest: float


def trials(graph: Any, whole: Whole, learnt: Sequence[Window], held: Sequence[Window]) -> Iterator[Trial]:
    """A graph in int8 with more and more of it left in f32; none, where nothing would be int8."""
    layers = {name for name, node in heavy(graph).items() if is_weighted(node)}
    for depth in DEPTHS:
        exact = heads(graph, depth)
        if layers <= exact:
            return
        quantised = with_exact_grids(quantise(graph, exact, whole, learnt))
        yield Trial(quantised, f"{len(layers - exact)} of {len(layers)}", *likeness(whole, IrSession(quantised), held))


def fed(whole: Whole, window: Window) -> Inputs:
    """A window as a graph takes it, by name."""
    return dict(zip(whole.input_names, window.tensors(whole.model.spec), strict=True))


def apart(windows: Sequence[Window]) -> tuple[list[Window], list[Window]]:
    """Windows to measure on, and those held back to judge by: one in five, spread over the film, `HELD` at most."""
    count = min(HELD, max(1, len(windows) // 5))
    held = {(2 * k + 1) * len(windows) // (2 * count) for k in range(count)}
    return [w for k, w in enumerate(windows) if k not in held], [w for k, w in enumerate(windows) if k in held]


def quantise(graph: Any, exact: Iterable[str], whole: Whole, windows: Sequence[Window]) -> Any:
    """A copy of an OpenVINO model with its convolutions in int8; those named `exact`, and all that is none, in f32.

    Scales hold all that was seen: what stands out of a feature map is often what a head looks for. Weights take half of
    int8's range: with all of it, chips without VNNI add up to more than 16 bits hold, in silence.
    """
    nncf = runtime()
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    kinds = {node.get_type_name() for node in graph.get_ops()} - HEAVY
    products = {name for name, node in heavy(graph).items() if not is_weighted(node)}
    samples = nncf.Dataset(windows, lambda one: {name: tensor.numpy() for name, tensor in fed(whole, one).items()})
    with redirect_stdout(io.StringIO()):
        return nncf.quantize(
            graph.clone(),
            samples,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(windows),
            ignored_scope=nncf.IgnoredScope(names=sorted(products.union(exact)), types=sorted(kinds), validate=False),
            advanced_parameters=AdvancedQuantizationParameters(
                overflow_fix=OverflowFix.ENABLE,
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
            ),
        )


def heavy(graph: Any) -> dict[str, Any]:
    """Convolutions and matrix products, by name."""
    return {node.get_friendly_name(): node for node in graph.get_ops() if node.get_type_name() in HEAVY}


def heads(graph: Any, depth: int = 1) -> set[str]:
    """Names of the last convolutions before a sampling grid or the frame: what flows, masks and colours are made by.

    Args:
        depth: 2 takes those before them, too.
    """
    below = [result.input_value(0).get_node() for result in graph.get_results()]
    below += [node.input_value(1).get_node() for node in graph.get_ops() if node.get_type_name() == "GridSample"]
    found: set[str] = set()
    for _ in range(depth):
        last = reached(below)
        found |= last.keys()
        below = [value.get_node() for node in last.values() for value in node.input_values()]
    return found


def reached(todo: list[Any]) -> dict[str, Any]:
    """The first convolutions on every way up from some nodes, themselves included, by name."""
    found, seen = {}, set()
    while todo:
        node = todo.pop()
        name = node.get_friendly_name()
        if name in seen:
            continue
        seen.add(name)
        if node.get_type_name() in HEAVY:
            found[name] = node
        elif node.get_type_name() != "ShapeOf":  # a shape says nothing of what is in it
            todo += [value.get_node() for value in node.input_values()]
    return found


def is_weighted(node: Any) -> bool:
    """Whether the second factor is a network's own: false for an attention's products."""
    todo = [node.input_value(1).get_node()]
    while todo:
        one = todo.pop()
        if one.get_type_name() not in PASSED_ON:
            return False
        todo += [value.get_node() for value in one.input_values()]
    return True


def likeness(whole: Whole, session: IrSession, windows: Sequence[Window]) -> tuple[float, float]:
    """PSNR of a session against torch in fp32, over all windows as one picture; and the largest difference, of 1."""
    squares, largest = [], 0.0
    for window in windows:
        inputs = fed(whole, window)
        with torch.inference_mode():
            wanted = whole(*inputs.values())
        got = session(inputs)[0]
        squares.append(float((got - wanted).double().square().mean()))
        largest = max(largest, float((got - wanted).abs().max()))
    error = torch.tensor(squares, dtype=torch.float64).mean()
    return float(-10 * torch.log10(error.clamp(min=1e-12))), largest


def paces(graph: Any, path: Path, inputs: Inputs) -> dict[str, float]:
    """Milliseconds a frame on this machine, by precision: medians, measured in turn, so that all meet the same load.

    Args:
        graph: in f32. path: of the int8 file. inputs: what is rendered.
    """
    sessions = {"fp32": IrSession(graph)}
    if has_bf16():
        sessions["bf16"] = IrSession(with_exact_grids(graph), hint="bf16")
    sessions["int8"] = IrSession(path)
    taken: dict[str, list[float]] = {name: [] for name in sessions}
    for session in sessions.values():
        session(inputs)  # the first is slower
    begun = time.perf_counter()
    while len(taken["int8"]) < ROUNDS and (len(taken["int8"]) < 3 or time.perf_counter() - begun < SECONDS):
        for name, session in sessions.items():
            start = time.perf_counter()
            session(inputs)
            taken[name].append(1e3 * (time.perf_counter() - start))
    return {name: median(each) for name, each in taken.items()}
