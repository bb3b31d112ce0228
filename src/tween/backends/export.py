"""A model as a file for other programs: what can be exported, and the file, whole and like torch, or not at all."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import torch

from ..errors import BadOption, CannotExport, CannotWrite, Conflict, MissingPackage, near
from ..models import adapters, weights, zoo
from ..models.entry import Entry
from ..models.exported import Card, Exported
from ..models.model import Model
from . import calibrate, int8
from .formats import FORMATS, HD, ONE_SIZE, SUFFIXES, Format, Likeness, Order, Written, fitting, line
from .graph import Whole, small_size
from .prepare import family

LEAST_DB: Final = {"fp32": 60, "fp16": 40}  # of a file against torch: below it something went wrong, and it is not kept


def export(order: Order, begun: Callable[[], None] | None = None) -> Written:
    """Write a model to a file, and hold the file against torch where it can be run here.

    Args:
        order: what was asked for.
        begun: called once all is found to be possible, for the work may take minutes.

    Raises:
        BadOption: no such format, or a suffix, size or precision that it does not have.
        Conflict: a size, and any size. MissingPackage: the format needs it.
        TooShort: the video for int8. MissingFile, NotAVideo, EmptyVideo: it is none.
        CannotExport: the model has no network, searches outside torch, or holds what the format does not.
        CannotWrite: the folder is missing or closed to us.
        UnknownModel, NoWeights, BadWeights, MissingFile: as `zoo.load`.
    """
    name = format_of(order)
    form = FORMATS[name]
    check_precision(order, form, name)
    if order.size is not None and order.any_size:
        raise Conflict("--size and --dynamic together", "a file is for one size, or for any: give one of them")
    check_folder(order.output)
    check_packages(form, name)
    model, row = loaded(order)
    size, note = size_of(order, name, model, row)
    card = card_of(order, model, row, size)
    module = importlib.import_module(f".{form.module}", __package__)
    likeness: Likeness | None
    milliseconds: dict[str, float] = {}
    if begun is not None:
        begun()
    with draft_of(order.output) as draft:
        if order.calibrate is not None:
            card, likeness, milliseconds = int8.export(model, card, order.calibrate, draft)
        else:
            module.export(model, size, card, draft)
            likeness = held_against(module, model, draft, size, order.precision)
        megabytes = moved(draft, order.output, form)
    return Written(order.output, name, card, megabytes, line(form, order, card), likeness, note, milliseconds)


def format_of(order: Order) -> str:
    """The format that is asked for, by name or by the file's suffix."""
    suffix = order.output.suffix.lower()
    if order.format is None:
        if suffix not in SUFFIXES:
            known = ", ".join(SUFFIXES)
            raise BadOption(f"-o {order.output} without --format", f"a name that ends in one of {known} is needed")
        return SUFFIXES[suffix]
    if order.format not in FORMATS:
        got = f"--format {order.format}{near(order.format, FORMATS)}"
        raise BadOption(got, f"one of {', '.join(FORMATS)} is needed", "--format onnx")
    wanted = FORMATS[order.format].suffix
    if suffix != wanted:
        got = f"-o {order.output} for {order.format}"
        raise BadOption(got, f"a name that ends in {wanted} is needed", f"-o {order.output.with_suffix(wanted)}")
    return order.format


def check_precision(order: Order, form: Format, name: str) -> None:
    """Raises BadOption for a precision that a format does not have; Conflict, MissingPackage as `check_int8`."""
    is_int8 = order.precision == "int8"
    if order.precision not in form.precisions:
        need = f"{name} files are {' or '.join(form.precisions)}"
        got, fix = f"--precision {order.precision} for {name}", f"--precision {form.precisions[0]}"
        if is_int8:
            able = ", ".join(other for other, row in FORMATS.items() if "int8" in row.precisions)
            got, fix = f"--int8 for {name}", f"--format {able} -o {order.output.with_suffix(FORMATS[able].suffix)}"
        raise BadOption(got, need, fix)
    if is_int8:
        check_int8(order)
    elif order.calibrate is not None:
        fix = f"--int8 --calibrate {order.calibrate}"
        raise Conflict("--calibrate without --int8", "only int8 is measured on a video", fix)


def check_int8(order: Order) -> None:
    """Raises what speaks against int8 before anything is traced.

    Raises:
        BadOption: no video to measure on. Conflict: any size. MissingPackage: no nncf.
        MissingFile, NotAVideo, EmptyVideo: as `open_source`.
    """
    if order.calibrate is None:
        need = "a video to measure the network on is needed"
        raise BadOption("--int8 without --calibrate", need, "--int8 --calibrate film.mp4")
    if order.any_size:
        need = "an int8 file is for one size, that at which it was measured"
        raise Conflict("--int8 and --dynamic together", need, "--size 720,1280")
    int8.runtime()
    calibrate.size_of(order.calibrate, 1)


def check_folder(path: Path) -> None:
    """Raises CannotWrite where there is no folder for a file, or none that we may write to."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise CannotWrite(f"{path} has no folder to lie in", "", f"mkdir -p {path.parent}")
    if not os.access(folder, os.W_OK):
        raise CannotWrite(f"{folder} is closed to us", "a folder that you may write to is needed", "another -o")


def check_packages(form: Format, name: str) -> None:
    """Raises MissingPackage where the format needs what is not installed."""
    gone = [package for package in form.packages if find_spec(package) is None]
    if gone:
        raise MissingPackage(f"{', '.join(gone)} not installed", f"--format {name} needs it", form.install)


def loaded(order: Order) -> tuple[Model, Entry]:
    """The network, its adapters merged.

    Raises:
        CannotExport: there is none, or none that fits into a graph; and as `zoo.load`.
    """
    if not zoo.is_path(order.model):
        network = order.model.partition("@")[0]
        refuse(zoo.entry(zoo.DEFAULT if network == "default" else network))
    model, row = zoo.load_row(order.model, scale=order.scale)
    refuse(row, model)
    adapters.dress(model, row.name, order.lora)
    return model, row


def refuse(row: Entry, model: Model | None = None) -> None:
    """Raises CannotExport for a row that no graph can hold."""
    able = "one of `tween models` that is a network, ifrnet-s or rife-4.25 say, is needed"
    if isinstance(model, Exported):
        need = f"export {model.card.weights or row.name} once more, in the form you need"
        raise CannotExport(f"{model.path} is exported already", need)
    if not row.trained:
        raise CannotExport(f"{row.name} has no network that could be exported", able)
    if model is None:
        with torch.device("meta"):
            model = row.build(1.0)
    if model.searches:
        why = "it searches motion with OpenCV, outside the network, and no graph can hold that search"
        raise CannotExport(f"{row.name} cannot be exported: {why}", able)


def size_of(order: Order, name: str, model: Model, row: Entry) -> tuple[tuple[int, int] | None, str]:
    """(H, W) that the file is for, None for any; and why only one, where nobody asked for that."""
    multiple, sizes = model.spec.multiple, FORMATS[name].sizes
    if order.calibrate is not None and order.size is None:
        return calibrate.size_of(order.calibrate, multiple), "it is that of the video that it was measured on"
    if order.size is not None:
        if sizes == "any":
            raise BadOption(f"--size for {name}", "its files are for every size", "the same without --size")
        fit = fitting(order.size, multiple)
        if fit != order.size:
            got = f"--size {order.size[0]},{order.size[1]} for {row.name}"
            raise BadOption(got, f"it takes multiples of {multiple}", f"--size {fit[0]},{fit[1]}")
        return order.size, ""
    why = f"{name} files are for one size" if sizes == "one" else ONE_SIZE.get(family(model), "")
    if not why:
        return None, ""
    if order.any_size:
        raise CannotExport(f"{row.name} for any size, as {name}: {why}", "a size is needed", "--size 720,1280")
    return fitting(HD, multiple), why


def card_of(order: Order, model: Model, row: Entry, size: tuple[int, int] | None) -> Card:
    """What the file says of itself."""
    if zoo.is_path(order.model):
        path: Path | None = Path(order.model)
        stored = weights.read(order.model).metadata
        digest = weights.sha256(order.model)
        known = next((w.licence for w in row.weights if w.sha256 == digest), "")
        licence = stored.get("licence", "") or known or zoo.UNKNOWN_LICENCE
    else:
        found = zoo.find(order.model)
        path, licence = found.path, found.weights.licence or zoo.UNKNOWN_LICENCE
    return Card(
        model=row.name,
        family=family(model),
        context=model.spec.context,
        multiple=model.spec.multiple,
        any_time=model.spec.any_time,
        size=size,
        precision=order.precision,
        weights=(Path(order.model).name if zoo.is_path(order.model) else order.model) + adapters.called(order.lora),
        weights_sha256=weights.sha256(path) if path else "",
        licence=licence,
    )


@contextmanager
def draft_of(output: Path) -> Iterator[Path]:
    """A place for a file while it is not finished: in a folder beside the output, on its disk, gone at the end.

    Raises:
        CannotWrite: it cannot be made, or the disk ran full.
    """
    try:
        with tempfile.TemporaryDirectory(
            dir=output.absolute().parent, prefix=f".{output.name}.", suffix=".part"
        ) as folder:
            yield Path(folder) / output.name
    except OSError as error:
        need = "a place that you may write to is needed"
        raise CannotWrite(f"{output} cannot be written ({error.strerror or error})", need, "another -o") from error


def held_against(
    module: Any, model: Model, path: Path, size: tuple[int, int] | None, precision: str
) -> Likeness | None:
    """How near the file is to torch, on a texture that moves; None where it cannot be run here.

    Raises:
        CannotExport: it shows another picture.
    """
    small = small_size(model.spec.multiple)
    sizes = (size,) if size else (small, (small[1], small[1] + model.spec.multiple))
    largest, graph = 0.0, Whole(model)
    for one in sizes:
        inputs = dict(zip(graph.input_names, shown_to(graph, one), strict=True))
        try:
            got = module.run_file(path, inputs)
        except MissingPackage:
            return None
        with torch.inference_mode():
            wanted = graph(*inputs.values())
        largest = max(largest, float((got - wanted).abs().max()))
        error = float((got - wanted).square().mean())
        if not error <= 10 ** (-LEAST_DB[precision] / 10):
            what = f"the exported graph shows another picture than torch at {one[1]}x{one[0]} ({error**0.5:.2g} off)"
            raise CannotExport(what, "nothing was written", "another --format, or --size")
    return Likeness(largest, sizes)


def shown_to(graph: Whole, size: tuple[int, int]) -> list[torch.Tensor]:
    """Frames of a smooth texture that moves by (2, 1) pixels a frame, and `t`."""
    high, wide = size
    made = torch.Generator().manual_seed(0)
    blank = graph.inputs(size)
    count = len(graph.model.spec.context)
    noise = torch.rand(1, 3, (high + count) // 8 + 2, (wide + 2 * count) // 8 + 2, generator=made)
    world = torch.nn.functional.interpolate(noise, scale_factor=8, mode="bicubic").clamp(0, 1)
    frames = [world[..., k : k + high, 2 * k : 2 * k + wide].contiguous() for k in range(count)]
    return [*frames, *blank[count:]]


def moved(draft: Path, output: Path, form: Format) -> float:
    """Put a finished file, and those that belong to it, in their places; megabytes of all."""
    pairs = [(draft.with_suffix(s), output.with_suffix(s)) for s in (*form.besides, output.suffix)]
    size = sum(new.stat().st_size for new, _ in pairs) / 1e6
    for new, place in pairs:
        os.replace(new, place)
    return size
