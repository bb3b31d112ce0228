"""`tween adapt FILM -o FILE`: a network tuned on the film itself, with a bar that tells the gain."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ..models.lora_config import LoraConfig
from ..pipeline.config import option
from ..train.adapt_config import AdaptConfig
from .main import INTERRUPTED
from .show import print_json, say

if TYPE_CHECKING:
    from ..train.adapt import Adapted
    from ..train.adapt import Progress as Standing

WORDS = {
    "looking": "looking for shots and motion",
    "choosing": "choosing the most telling windows",
    "learning": "learning",
    "examining": "examining on shots held back",
}


@dataclass(frozen=True)
class Adapt:
    """Tune a network on the film itself: every second frame is hidden and asked for again.

    A quarter of the shots is held back. The adapter is written only if it is better on them than the network as it is;
    if not, that is said and nothing is written. Use it with --lora FILE. A run that was stopped goes on by the same
    command.
    """

    input: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILM", help_behavior_hint="")]
    """A video file, a folder of pictures, or a folder of videos."""
    output: Annotated[Path | None, option("FILE.safetensors", "FILM.lora.safetensors", "-o")] = None
    """Where the adapter goes."""
    minutes: Annotated[float, option("M", "5")] = 5.0
    """The time it may take, about."""
    steps: Annotated[int | None, option("N", "no end but the time's")] = None
    """Learn no longer than this, too."""
    model: Annotated[str, option("NAME|FILE", "the best for this machine")] = "default"
    """The network, or its weights."""
    rank: Annotated[int, option("R", "8")] = 8
    """How much the adapter can say; 0: all of the network learns, and the file is a network."""
    method: Annotated[str, option("NAME", "lora")] = "lora"
    """lora, rslora, dora, loha, lokr."""
    lr: Annotated[float, option("RATE", "0.0003")] = 3e-4
    """Learning rate at its top."""
    batch: Annotated[int, option("N", "4")] = 4
    """Samples a step."""
    crop: Annotated[int, option("PIXELS", "256")] = 256
    """Sides of a sample, at most."""
    device: Annotated[str, option("DEVICE", "auto")] = "auto"
    """cpu, cuda, cuda:1, mps."""
    seed: int = 1
    """Of what is drawn."""
    overwrite: bool = False
    """Replace an output that is there."""
    quiet: bool = False
    """No bar and no words, but errors."""
    json: bool = False
    """Print one JSON object last."""


def run(argv: Sequence[str]) -> int:
    """Parse, adapt, report. Returns the exit code: 130 if somebody stopped it."""
    args = tyro.cli(Adapt, args=list(argv), prog="tween adapt", config=(tyro.conf.FlagCreatePairsOff,))
    from ..train.adapt import adapt

    hidden = args.quiet or args.json
    logging.basicConfig(level=logging.WARNING if hidden else logging.INFO, format="note: %(message)s")
    config = config_of(args)
    with bar(args.input.name, hidden=hidden) as watch:
        done = adapt(config, watch)
    say(summary(done, config), hidden=hidden)
    if args.json:
        print_json({**asdict(done), "output": str(done.output) if done.output else None})
    return INTERRUPTED if done.why == "interrupted" else 0


def config_of(args: Adapt) -> AdaptConfig:
    """What the flags ask for."""
    from ..errors import BadOption, near

    known = ("lora", "rslora", "dora", "loha", "lokr")
    if args.method not in known:
        need = f"one of {', '.join(known)} is needed"
        raise BadOption(f"--method {args.method}{near(args.method, known)}", need)
    return AdaptConfig(
        input=args.input,
        output=args.output or args.input.with_name(f"{args.input.stem}.lora.safetensors"),
        model=args.model,
        minutes=args.minutes,
        steps=args.steps,
        lora=LoraConfig(rank=args.rank, method=args.method),  # type: ignore[arg-type]
        lr=args.lr,
        batch=args.batch,
        crop=args.crop,
        device=args.device,
        seed=args.seed,
        overwrite=args.overwrite,
    )


@contextmanager
def bar(title: str, *, hidden: bool) -> Iterator[Callable[[Standing], None] | None]:
    """A bar for each stage in turn, on stderr; or None if it is hidden."""
    if hidden:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(title, total=1.0)

        def watch(now: Standing) -> None:
            words = f"{title}: {WORDS[now.stage]}"
            if now.stage == "learning":
                gain = "" if now.gain_db is None else f", {now.gain_db:+.2f} dB on shots held back"
                words += f", step {now.step}{gain}"
            shown.update(task, description=words, completed=now.share)

        yield watch


def summary(done: Adapted, config: AdaptConfig) -> str:
    """What came of it, in one line."""
    film, took = config.input.name, f"{done.steps} steps, {done.minutes:.1f} minutes"
    if done.why == "interrupted":
        return f"{film}: interrupted after {took}; the same command goes on"
    on = f"{done.examined} hidden frames of {done.held} of {done.shots} shots, which were held back"
    if done.output is None:
        change = f" ({done.gain_db:+.2f} dB on {on})" if done.examined else " on the shots held back"
        return f"{film}: no gain{change} in {took}; nothing was written"
    gain = f"{done.gain_db:+.2f} dB ({done.base_db:.2f} -> {done.adapted_db:.2f}) on {on}; {took}"
    use = f"--lora {done.output}" if config.lora.rank else f"--model {done.output}"
    model = "" if config.model == "default" or not config.lora.rank else f"--model {config.model} "
    return f"{done.output}: {gain}. tween interpolate {config.input} --rate 60 {model}{use}"
