"""`tween evaluate`: models on a set, a table, and the published figures beside it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..backends import prepare
from ..data.sets import DataSet, open_set
from ..errors import BadOption, BadWeights, CannotWrite
from ..evaluate.engine import Prepared
from ..evaluate.protocols import Protocol, protocol_of, recipe_for
from ..evaluate.published import field
from ..evaluate.result import Result
from ..evaluate.score import Watch, prepared, score
from ..models import adapters, zoo
from ..models.model import Model
from ..pipeline.config import option
from . import scores
from .show import say


@dataclass(frozen=True)
class Evaluate:
    """How good models are on a set, by its published protocol: a table, JSON, a page to look at.

    `video` and `frames` take any footage: every second frame is hidden, asked for again and compared.
    """

    models: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL [MODEL ...]", help_behavior_hint="")
    ]
    """Names from `tween models`, or files of weights."""
    set: Annotated[str, option("NAME")]
    """vimeo90k, ucf101, snu-film-hard, middlebury, gopro, cityscapes, video, frames, ...: docs/evaluation.md."""
    root: Annotated[Path, option("DIR")]
    """The set's folder; of `video` also a file, or a folder with a MANIFEST.tsv."""
    lora: Annotated[tuple[str, ...], option("FILE[:WEIGHT] ...", "none")] = ()
    """Adapters, and how strongly: the models they were made for are scored with them, and below without."""
    gap: Annotated[int | None, option("K", "2")] = None
    """video, frames, list: of K frames one is shown, the others are asked for."""
    metrics: Annotated[str | None, option("A,B,...", "the protocol's")] = None
    """psnr, psnr_8bit, ssim_3d, ssim_2d, ms_ssim, ie, lpips_alex, tof, flicker, ..."""
    backend: Annotated[str, option("A,B,...", "auto", "--backends")] = "auto"
    """auto, torch, openvino; several are compared with torch in fp32."""
    device: Annotated[str, option("DEVICE", "auto")] = "auto"
    """cpu, cuda, cuda:1, mps."""
    precision: Annotated[str, option("A,B,...", "fp32", "--precisions")] = "fp32"
    """auto, fp32, bf16, fp16; several are compared with fp32."""
    scale: Annotated[float | None, option("S", "the protocol's, or 1")] = None
    """Estimate motion at this size, with networks that can."""
    limit: Annotated[int | None, option("N", "all")] = None
    """So many clips, spread evenly over the set."""
    frames_per_clip: Annotated[int | None, option("N", "all")] = None
    """Only the first frames of each clip."""
    every: Annotated[int, option("N", "1")] = 1
    """Only every N-th clip, from the first."""
    ahead: Annotated[int | None, option("N", "the protocol's, or 1")] = None
    """Predicting on video, frames, list: so many steps of the future."""
    report: Annotated[Path | None, option("FILE.html")] = None
    """Write a page with plots and the worst and best cases."""
    json: Annotated[Path | None, option("FILE")] = None
    """Write all that was found; - prints it."""
    quiet: bool = False
    """No bar and no table."""


def run(argv: Sequence[str]) -> int:
    """Parse, score, show. Returns the exit code."""
    args = tyro.cli(Evaluate, args=list(argv), prog="tween evaluate", config=(tyro.conf.FlagCreatePairsOff,))
    for path in (args.json, args.report):
        _check_writable(path)
    protocol, metrics = asked(args), tuple((args.metrics or "").split(",")) if args.metrics else ()
    runs = engines(args, protocol)
    data = opened(args, protocol)
    for engine in runs:
        prepared(engine, data, protocol, metrics=metrics, gap=args.gap, limit=args.limit)
    galleries = _galleries(len(runs)) if args.report else [None] * len(runs)
    results = []
    for engine, gallery in zip(runs, galleries, strict=True):
        with _bar(f"{engine.name} on {protocol.name}", hidden=args.quiet) as watch:
            options: dict[str, Any] = {"metrics": metrics, "gap": args.gap, "limit": args.limit}
            results.append(score(engine, data, protocol, observer=gallery, watch=watch, **options))
        results[-1].megabytes, results[-1].adapter_megabytes = engine.megabytes, engine.adapter_megabytes
    if not args.quiet and args.json != Path("-"):
        scores.show(results, protocol, is_comparison=_is_comparison(args))
    _tell_broken(results)
    if args.report:
        _report(results, galleries, args.report, ["tween", "evaluate", *argv], quiet=args.quiet)
    if args.json:
        _write(args.json, as_json(results, protocol))
    return 0


def asked(args: Evaluate) -> Protocol:
    """The protocol by name, with what the user narrowed."""
    protocol = protocol_of(args.set)
    for name, value in (("--every", args.every), ("--frames-per-clip", args.frames_per_clip), ("--limit", args.limit)):
        if value is not None and value < 1:
            raise BadOption(f"{name} {value}", "at least 1 is needed", f"{name} 1")
    if args.ahead is not None:
        if protocol.gap is not None or args.ahead < 1:
            need = "it is for video, frames and list, and at least 1" if not protocol.ahead else "the set has its own"
            raise BadOption(f"--ahead {args.ahead} with --set {protocol.name}", need, "leave --ahead out")
        protocol = replace(protocol, ahead=args.ahead)
    if args.frames_per_clip is not None:
        protocol = replace(protocol, frames=args.frames_per_clip)
    is_changed = args.frames_per_clip is not None or args.scale is not None or args.every > 1
    return replace(protocol, checked="") if is_changed else protocol


def opened(args: Evaluate, protocol: Protocol) -> DataSet:
    """The set, or every n-th clip of it."""
    data = open_set(protocol.set, args.root, protocol.split)
    return replace(data, clips=data.clips[:: args.every]) if args.every > 1 else data


def engines(args: Evaluate, protocol: Protocol) -> list[Prepared]:
    """Each model with each backend and precision; where several are compared, torch in fp32 comes first."""
    if not args.models:
        raise BadOption(
            "no model", "names of `tween models`, or files of weights, are needed", "tween evaluate dis ..."
        )
    ways = [(backend, precision) for backend in args.backend.split(",") for precision in args.precision.split(",")]
    if _is_comparison(args):
        ways = [("torch", "fp32"), *(way for way in ways if way != ("torch", "fp32"))]
    found: list[Prepared] = []
    refused: list[BadWeights] = []
    for name in args.models:
        name = zoo.DEFAULT if name == "default" else name
        model = zoo.load(name)
        scale = args.scale or recipe_for(protocol, prepare.family(model)).scale
        worn = _dressed(name, scale, args.lora, refused) if args.lora else None
        model = model if scale == 1 else zoo.load(name, scale=scale)
        label = name if scale == 1 else f"{name}, scale {scale:g}"
        size = sum(adapters.read(one.path).megabytes for one in adapters.mix_of(args.lora)) if worn else 0.0
        subjects = [(worn, f"{label}{adapters.called(args.lora)}", size)] if worn else []
        for subject, called, megabytes in [*subjects, (model, label, 0.0)]:
            for backend, precision in ways:
                prepare.choose(subject, backend=backend, device=args.device, precision=precision)
                found.append(Prepared(subject, called, backend, args.device, precision, megabytes))
    if len(refused) == len(args.models):
        raise refused[0]
    return found


def _dressed(name: str, scale: float, lora: Sequence[str], refused: list[BadWeights]) -> Model | None:
    """The model with the adapters, or None where they were made for another one of the field."""
    try:
        return zoo.load(name, scale=scale, lora=lora)
    except BadWeights as error:
        refused.append(error)
        return None


def as_json(results: Sequence[Result], protocol: Protocol) -> dict[str, Any]:
    """All that was found; the means of the first model stand at the top, too."""
    return {
        "set": protocol.name,
        "about": protocol.about,
        "checked": protocol.checked,
        **results[0].means(),
        "results": [result.as_json() for result in results],
        "published": [
            {"model": row.model, "step": row.step, **row.scores, "source": row.source} for row in field(protocol.name)
        ],
    }


def _is_comparison(args: Evaluate) -> bool:
    return "," in args.backend or "," in args.precision


def _galleries(count: int) -> list[Any]:
    from ..evaluate.gallery import Gallery

    return [Gallery() for _ in range(count)]


def _report(
    results: list[Result], galleries: Sequence[Any], path: Path, command: Sequence[str], *, quiet: bool
) -> None:
    from ..evaluate.report import write_report

    write_report(results, galleries, path, command=command)
    say(f"{path}: {path.stat().st_size / 1e6:.1f} MB", hidden=quiet)


def _tell_broken(results: Sequence[Result]) -> None:
    broken = dict.fromkeys(pair for result in results for pair in result.broken)
    for name, why in broken:
        say(f"left out: {name}: {why}")
    if broken:
        say(f"{len(broken)} broken, left out of the means")


def _check_writable(path: Path | None) -> None:
    if path is not None and path != Path("-") and not path.absolute().parent.is_dir():
        raise CannotWrite(f"there is no folder {path.parent}", "one is needed to write to", f"mkdir -p {path.parent}")


def _write(path: Path, told: dict[str, Any]) -> None:
    words = json.dumps(told, ensure_ascii=False)
    if path == Path("-"):
        print(words)
        return
    draft = path.with_name(f"{path.name}.part")
    draft.write_text(words + "\n", encoding="utf-8")
    os.replace(draft, path)


@contextmanager
def _bar(title: str, *, hidden: bool) -> Iterator[Watch | None]:
    if hidden or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(title, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
