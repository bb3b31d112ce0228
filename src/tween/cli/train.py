"""`tween train RECIPE`: a recipe and flags -> TrainConfig -> a run, with a bar."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from ..errors import BadOption
from ..train.config import TrainConfig
from ..train.recipe import read
from .main import INTERRUPTED
from .show import print_json, say

if TYPE_CHECKING:
    from ..train.trainer import Outcome


@dataclass(frozen=True)
class Train(TrainConfig):
    """Train a network on footage as a recipe says; any of its fields can be given as a flag.

    The run's folder holds best.safetensors and last.safetensors, which --model opens. The same command goes on with a
    run that was stopped or killed. Many GPUs: torchrun --nproc-per-node 4 -m -- tween train RECIPE --run DIR
    """

    run: Path | None = None
    """The run's folder; not given: runs/ and the recipe's name."""
    quiet: bool = False
    """No bar and no words, but errors."""
    json: bool = False
    """Print one JSON object last."""


def run(argv: Sequence[str]) -> int:
    """Parse, train, report. Returns the exit code: 130 if somebody stopped it."""
    return run_as("train", argv, TrainConfig())


def run_as(command: str, argv: Sequence[str], given: TrainConfig) -> int:
    """`run` for a command of this name; `given` is what a recipe and flags are laid upon."""
    words = list(argv)
    asks = not words or words[0] in ("-h", "--help")
    if not asks and words[0].startswith("-"):
        fix = f"tween {command} recipes/{'quick' if command == 'train' else 'lora-anime'}.yaml ..."
        raise BadOption(f"tween {command} {words[0]}", "the recipe comes first", fix)
    recipe = None if asks else Path(words[0])
    defaults = given if recipe is None else read(recipe, given)
    args = tyro.cli(
        Train,
        default=Train(**{f.name: getattr(defaults, f.name) for f in dataclasses.fields(TrainConfig)}),
        args=["--help"] if asks else words[1:],
        prog=f"tween {command} RECIPE",
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    config = TrainConfig(**{f.name: getattr(args, f.name) for f in dataclasses.fields(TrainConfig)})
    if given.lora.rank and not config.lora.rank:
        raise BadOption("tween lora with --lora.rank 0", "an adapter has a rank", f"--lora.rank {given.lora.rank}")
    folder = args.run or Path("runs") / (recipe.stem if recipe else "run")
    logging.basicConfig(level=logging.WARNING if args.quiet else logging.INFO, format="note: %(message)s")
    outcome = trained(config, folder, hidden=args.quiet or args.json)
    if args.json:
        print_json(dataclasses.asdict(outcome) | {"folder": str(outcome.folder)})
    return INTERRUPTED if outcome.why == "interrupted" else 0


def trained(config: TrainConfig, folder: Path, *, hidden: bool) -> Outcome:
    """The run, with a bar on stderr."""
    import os

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from ..train.trainer import Standing, train

    hidden = hidden or os.environ.get("RANK", "0") != "0"
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), disable=hidden) as shown:
        task = shown.add_task(f"{config.model}: opening", total=1.0)

        def watch(now: Standing) -> None:
            of = f" of {now.steps}" if now.steps else ""
            best = "" if now.best is None else f" (best {now.best:.2f})"
            score = "" if now.score is None else f", PSNR {now.score:.2f} dB{best}"
            words = f"{config.model} step {now.step}{of}, loss {now.loss:.4f}{score}"
            shown.update(task, description=f"{words}, {now.samples_per_second:.1f} samples/s", completed=now.progress)

        outcome = train(config, folder, watch)
    say(summary(outcome, config), hidden=hidden)
    return outcome


def summary(outcome: Outcome, config: TrainConfig) -> str:
    """How a run ended, in one line."""
    score = "" if outcome.best is None else f", best PSNR {outcome.best:.2f} dB"
    on = "; the same command goes on" if outcome.why == "interrupted" else ""
    done = f"{outcome.step} steps in {outcome.seconds / 60:.1f} minutes{score}, {outcome.share:.0%} of it computing{on}"
    best = outcome.folder / "best.safetensors"
    use = f"--model {config.start or config.model} --lora {best}" if config.lora.rank else f"--model {best}"
    return f"{outcome.folder}: {done}. tween interpolate IN --rate 60 {use}"
