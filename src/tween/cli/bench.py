"""`tween bench`: how fast models run here, in turns, beside one another and beside others."""

from __future__ import annotations

import json as json_text
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..backends.machine import machine
from ..errors import BadOption, CannotExport, CannotWrite, Conflict, MissingPackage, NoWeights, TweenError
from ..evaluate import peers, speed, tradeoff
from ..evaluate.speed import Runner, SpeedRow
from ..evaluate.subjects import Subject, at_hand, subject
from ..models import weights, zoo
from ..models.exported import Exported
from ..pipeline.config import RenderConfig, option
from ..pipeline.recipe import Report, render
from ..video.doors import open_source
from .show import say

HD = (720, 1280)
CLIP_RUNS = 3  # whole renders of each, at most
SKIPPED = (BadOption, Conflict, MissingPackage, CannotExport)  # what one of several may be unable to do


@dataclass(frozen=True)
class Bench:
    """How fast models run on this machine: milliseconds of a gap, its parts, frames a second, memory, cost.

    All run in one process, in turns; medians and quartiles are told. Without MODEL: everything that runs here as it is.
    """

    models: Annotated[tuple[str, ...], tyro.conf.Positional, option("[MODEL ...]", "all that is at hand")] = ()
    """Names of `tween models`, files of weights, or `all`; a network without weights is timed with random ones."""
    size: Annotated[str | None, option("H,W", "720,1280, or the clip's")] = None
    """Of the frames."""
    lora: Annotated[tuple[str, ...], option("FILE[:WEIGHT] ...", "none")] = ()
    """Adapters that the models wear: merged into their weights, they cost no time."""
    backend: Annotated[tuple[str, ...], option("NAME ...", "auto")] = ("auto",)
    """One or several of those that --backend of `tween interpolate` takes."""
    precision: Annotated[tuple[str, ...], option("NAME ...", "auto")] = ("auto",)
    """One or several of auto, fp32, bf16, fp16."""
    device: Annotated[str, option("DEVICE", "auto")] = "auto"
    """cpu, cuda, cuda:1, mps."""
    against: Annotated[Literal["eager"] | None, option("eager", "nobody")] = None
    """Time each network as published code runs it too, fp32 eager torch, and tell ratios to that."""
    peers: bool = False
    """Time ffmpeg's minterpolate and rife-ncnn-vulkan too, where they are on PATH."""
    runs: Annotated[int, option("N", "7")] = 7
    """Laps of each."""
    threads: Annotated[int | None, option("N", "all")] = None
    """Of torch."""
    clip: Annotated[Path | None, option("VIDEO", "no whole render")] = None
    """Render this too, x2, from file to file, and tell frames a second of the whole."""
    json: Annotated[Path | None, option("FILE")] = None
    """Write the rows here, with the machine and the command."""
    quality: Annotated[tuple[Path, ...], option("FILE ...")] = ()
    """What `tween evaluate --json` wrote, for --plot."""
    plot: Annotated[Path | None, option("FILE.svg")] = None
    """Draw quality against speed."""
    markdown: bool = False
    """Print the table as Markdown."""
    quiet: bool = False
    """No bar and no words, but the table and errors."""


def run(argv: Sequence[str]) -> int:
    """Parse, time, print. Returns the exit code."""
    args = tyro.cli(Bench, args=list(argv), prog="tween bench", config=(tyro.conf.FlagCreatePairsOff,))
    if args.plot is not None and not args.quality:
        need = "quality comes from a file of `tween evaluate --json`"
        raise BadOption("--plot without --quality", need, "--quality FILE")
    if args.runs < 1:
        raise BadOption(f"--runs {args.runs}", "at least one is needed", "--runs 7")
    for path in (args.json, args.plot):
        if path is not None and not path.absolute().parent.is_dir():
            raise CannotWrite(f"{path} has no folder to lie in", "", f"mkdir -p {path.parent}")
    quality = {name: score for path in args.quality for name, score in tradeoff.quality_of(path).items()}
    size = _size(args)
    if args.threads:
        torch.set_num_threads(args.threads)
    subjects = [_named(name, args.lora) for name in dict.fromkeys(_names(args.models))]
    rows, notes = bench(args, subjects, size)
    _print(rows, size, args)
    for note in notes:
        say(f"note: {note}", hidden=args.quiet)
    if args.plot is not None:
        _write(args.plot, tradeoff.plot(rows, quality, size=size))
    if args.json is not None:
        told = {
            "machine": asdict(machine()),
            "system": platform.platform(),
            "date": f"{datetime.now(timezone.utc):%Y-%m-%d}",
            "command": ["tween", "bench", *argv],
            "size": list(size),
            "runs": args.runs,
            "rows": [row.as_json() for row in rows],
            "notes": notes,
        }
        _write(args.json, json_text.dumps(told, indent=1, ensure_ascii=False) + "\n")
    return 0


def bench(args: Bench, subjects: Sequence[Subject], size: tuple[int, int]) -> tuple[list[SpeedRow], list[str]]:
    """Rows of every model on every backend asked for, yardsticks before whom they measure; and what to know of them.

    Raises:
        TweenError: not one of them can run.
    """
    field, notes = _field(args, subjects, size)
    with _bar(len(field) * args.runs, hidden=args.quiet) as watch:
        laps = speed.race([entrant.runner for entrant in field], args.runs, watch=watch)
    rows = []
    for entrant, mine in zip(field, laps, strict=True):
        yardstick = next((k for k, other in enumerate(field) if other.is_yardstick and other.of is entrant.of), None)
        row = speed.row_of(entrant.runner, mine, laps[yardstick] if yardstick is not None and entrant.of else ())
        if yardstick is not None and entrant.of and entrant.runner.shown and not entrant.is_yardstick:
            wanted = field[yardstick].runner.shown
            assert wanted is not None
            row.db = speed.likeness(entrant.runner.shown(), wanted())
        rows.append(row)
    if args.clip is not None:
        _renders(args, field, rows, notes)
    return rows, notes


@dataclass(frozen=True)
class Entrant:
    """A runner, of which model (None: another program's), whether others are held against it, and how it was asked."""

    runner: Runner
    of: Subject | None
    is_yardstick: bool = False
    backend: str = "auto"
    precision: str = "auto"


def _field(args: Bench, subjects: Sequence[Subject], size: tuple[int, int]) -> tuple[list[Entrant], list[str]]:
    field: list[Entrant] = []
    notes: list[str] = []
    refusal: TweenError | None = None
    for one in subjects:
        mine: list[Entrant] = []
        for backend in _listed(args.backend):
            for precision in _listed(args.precision):
                say(f"{one.name}: making it ready on {backend}", hidden=args.quiet)
                try:
                    runner = speed.runner_of(one, size, backend, args.device, precision)
                except SKIPPED as error:
                    refusal = error
                    notes.append(f"{one.name}, {backend}, {precision} was left out: {error}")
                    continue
                if all((runner.backend, runner.precision) != (e.runner.backend, e.runner.precision) for e in mine):
                    mine.append(Entrant(runner, one, False, backend, precision))
        if mine and args.against and one.entry.trained:
            device = mine[0].runner.device
            field.append(Entrant(peers.eager(one, size, device), one, is_yardstick=True))
        field += mine
    if args.peers:
        others = peers.programs(size)
        field += [Entrant(runner, None) for runner in others]
        if not others:
            notes.append("neither ffmpeg nor rife-ncnn-vulkan is on PATH")
    if refusal is not None and not any(entrant.of for entrant in field):
        raise refusal
    if any(one.weights == "random" for one in subjects):
        notes.append("networks without weights here were timed with random ones: speed does not hang on them")
    return field, notes


def _listed(words: Sequence[str]) -> list[str]:
    """`a b` and `a,b` alike, each once."""
    return list(dict.fromkeys(part for word in words for part in word.split(",")))


def _renders(args: Bench, field: Sequence[Entrant], rows: Sequence[SpeedRow], notes: list[str]) -> None:
    """Whole renders of the clip, in turns, into the rows."""
    able = [k for k, entrant in enumerate(field) if entrant.of is not None and not entrant.is_yardstick]
    predictors = [field[k].runner.name for k in able if _model(field[k]).spec.predicts]
    if predictors:
        notes.append(f"{', '.join(dict.fromkeys(predictors))} predict: --clip renders what interpolates")
        able = [k for k in able if not _model(field[k]).spec.predicts]
    with tempfile.TemporaryDirectory(prefix="tween-bench-") as folder:
        told: dict[int, list[Report]] = {k: [] for k in able}
        for turn in range(min(CLIP_RUNS, args.runs)):
            for k in able:
                say(f"{field[k].runner.name}: rendering {args.clip}, {turn + 1}", hidden=args.quiet)
                told[k].append(_render(args, field[k], Path(folder)))
    for k, reports in told.items():
        middle = sorted(reports, key=lambda report: report.fps)[len(reports) // 2]
        rows[k].clip_fps = middle.fps
        rows[k].clip_share = middle.rendered / middle.seconds / rows[k].fps


def _model(entrant: Entrant) -> Any:
    assert entrant.of is not None
    return entrant.of.model


def _render(args: Bench, entrant: Entrant, folder: Path) -> Report:
    assert entrant.of is not None
    assert args.clip is not None
    name = entrant.of.name
    if entrant.of.weights == "random" or args.lora or name.endswith(weights.SUFFIXES):  # a render takes files and names
        path = folder / f"{entrant.of.entry.name}-{id(entrant.of)}.safetensors"
        if not path.exists():
            weights.write(entrant.of.model.state_dict(), path, name=entrant.of.entry.name)
        name = str(path)
    if isinstance(entrant.of.model, Exported):
        name = str(entrant.of.model.path)
    return render(
        RenderConfig(
            input=args.clip,
            output=folder / "out.mp4",
            times=2,
            model=name,
            backend=entrant.backend,  # type: ignore[arg-type]
            precision=entrant.precision,  # type: ignore[arg-type]
            device=args.device,
            overwrite=True,
        )
    )


def _names(asked: Sequence[str]) -> list[str]:
    if "all" in asked:
        return [*zoo.entries()]
    return list(asked) or at_hand()


def _named(name: str, lora: tuple[str, ...]) -> Subject:
    try:
        return subject(name, lora)
    except NoWeights as error:
        fix = f"{name.partition('@')[0]}, timed with random weights"
        raise NoWeights(error.got, error.need, fix) from error


def _size(args: Bench) -> tuple[int, int]:
    if args.size is None:
        if args.clip is None:
            return HD
        with open_source(args.clip) as source:
            return source.info.size
    sides = args.size.replace("x", ",").split(",")
    if len(sides) != 2 or not all(side.strip().isdecimal() and int(side) > 0 for side in sides):
        raise BadOption(f"--size {args.size}", "height and width in pixels are needed", "--size 720,1280")
    return int(sides[0]), int(sides[1])


@contextmanager
def _bar(laps: int, *, hidden: bool) -> Iterator[Callable[[int], None] | None]:
    if hidden:
        yield None
        return
    columns = (TextColumn("laps"), BarColumn(), MofNCompleteColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("laps", total=laps)
        yield lambda done: shown.update(task, completed=done)


def _print(rows: Sequence[SpeedRow], size: tuple[int, int], args: Bench) -> None:
    found = machine()
    words = f"{found.cpu}, {found.cores} threads{''.join(f', {name}' for name in found.cuda)}"
    print(f"{size[1]}x{size[0]}, x2, medians of {args.runs} laps in turns (quartiles), ms a gap; {words}\n")
    if args.markdown:
        print(speed.markdown(rows))
        return
    table = Table(box=None, pad_edge=False)
    for k, title in enumerate(speed.HEAD):
        table.add_column(title, justify="left" if k < 3 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*speed.cells(row))
    Console(width=160).print(table)


def _write(path: Path, text: str) -> None:
    """A file, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise CannotWrite(f"{path} cannot be written ({error.strerror})", "", "another place for it") from error
