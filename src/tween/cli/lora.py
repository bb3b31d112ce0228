"""`tween lora RECIPE`: train an adapter. `tween lora merge` and `tween lora list`: what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from ..errors import BadOption, BadWeights, MissingFile, OutputExists
from ..models import adapters, weights, zoo
from ..models.adapters import Adapter, Card
from ..models.lora_config import LoraConfig
from ..pipeline.config import option
from ..train.config import TrainConfig
from .show import print_json, say

RANK = 8  # of a recipe that does not say


@dataclass(frozen=True)
class Merge:
    """Put adapters into the network that they were made for: a plain checkpoint, which needs no --lora."""

    files: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="FILE[:WEIGHT] [FILE[:WEIGHT] ...]", help_behavior_hint=""),
    ]
    """Adapters, and how strongly each."""
    output: Annotated[Path, option("OUT.safetensors", "required", "-o")]
    """Where to write."""
    model: Annotated[str | None, option("NAME|FILE", "what the first file says")] = None
    """The network, or its weights."""
    overwrite: bool = False
    """Replace an output that is there."""
    json: bool = False
    """Print one JSON object last."""


@dataclass(frozen=True)
class List:
    """What adapters there are: of which network, how made, how large, what they gain."""

    paths: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[FILE|DIR ...]", help_behavior_hint="")
    ] = (Path(),)
    """Files, or folders to look in."""
    json: bool = False
    """Print one JSON object."""


def run(argv: Sequence[str]) -> int:
    """Parse, and train, merge or list. Returns the exit code."""
    words = list(argv)
    if words and words[0] == "merge":
        return merge(tyro.cli(Merge, args=words[1:], prog="tween lora merge", config=(tyro.conf.FlagCreatePairsOff,)))
    if words and words[0] == "list":
        return show(tyro.cli(List, args=words[1:], prog="tween lora list", config=(tyro.conf.FlagCreatePairsOff,)))
    from .train import run_as

    return run_as("lora", words, TrainConfig(lora=LoraConfig(rank=RANK)))


def merge(args: Merge) -> int:
    """A plain checkpoint of a network that wears a mix."""
    mix = adapters.mix_of(args.files)
    if not mix:
        raise BadOption("no adapter to merge", "one file or more is needed", "tween lora merge a.safetensors -o OUT")
    if args.output.exists() and not args.overwrite:
        raise OutputExists(f"{args.output} is there already", "it would be replaced", "--overwrite, or another -o")
    if args.output.suffix != ".safetensors":
        raise BadOption(f"-o {args.output}", "a name that ends in .safetensors is needed")
    first = adapters.read(mix[0].path)
    model, row = zoo.load_row(args.model or label_of(first))
    adapters.dress(model, row.name, args.files)
    said = adapters.called(args.files).removeprefix(" + ")
    weights.write(model.state_dict(), args.output, name=row.name, merged=said)
    size = args.output.stat().st_size / 1e6
    say(f"{args.output}: {row.name} with {said}, {size:.1f} MB. Use it with --model {args.output}", hidden=args.json)
    if args.json:
        print_json({"output": str(args.output), "name": row.name, "merged": said, "megabytes": size})
    return 0


def label_of(adapter: Adapter) -> str:
    """The weights that an adapter says it was made for."""
    if adapter.card is None:
        got = f"{adapter.path} is of Light_VFI's own format, which does not name its base"
        raise BadOption(got, "the network's weights are needed", "--model light_vfi_base.pth")
    return adapter.card.label or adapter.card.base


def show(args: List) -> int:
    """A table of adapters."""
    found = [adapter for path in args.paths or (Path(),) for adapter in adapters_in(path)]
    if args.json:
        print_json({"adapters": [as_json(adapter) for adapter in found]})
        return 0
    if not found:
        say(f"no adapter in {', '.join(map(str, args.paths))}")
        return 0
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for k, title in enumerate(("file", "made for", "method", "rank", "alpha", "MB", "gain, dB", "tween")):
        table.add_column(title, justify="right" if k in (3, 4, 5, 6) else "left", no_wrap=k > 0, overflow="fold")
    for adapter in found:
        table.add_row(str(adapter.path), *cells(adapter))
    Console(width=1000).print(table)  # a path is never cut: terminals wrap by themselves
    return 0


def adapters_in(path: Path) -> list[Adapter]:
    """The adapter that a file is, or those in a folder.

    Raises:
        MissingFile, BadWeights: there is nothing, or a file that is no adapter.
    """
    if not path.exists():
        raise MissingFile(f"no file or folder {path}", "an adapter, or a folder of some, is needed")
    if path.is_file():
        return [adapters.read(path)]
    found = []
    for file in sorted(path.glob("*.safetensors")):
        try:
            found.append(adapters.read(file))
        except BadWeights:
            continue  # a network's
    return found


def cells(adapter: Adapter) -> list[str]:
    """A row of the table, after the file."""
    size = f"{adapter.megabytes:.2f}"
    if adapter.card is None:
        return ["lightvfi, not said which", "Light_VFI's own", "-", f"{adapters.FOREIGN_ALPHA:g}", size, "-", "-"]
    card: Card = adapter.card
    config = card.config
    alpha = config.rank if config.alpha is None else config.alpha
    made_for = f"{Path(card.label).name or card.base} ({card.base_sha256[:8]})"
    gain = card.facts.get("gain_db", "-")
    return [made_for, config.method, str(config.rank), f"{alpha:g}", size, gain, card.tween]


def as_json(adapter: Adapter) -> dict[str, object]:
    """All that a file says."""
    from dataclasses import asdict

    told = asdict(adapter.card) if adapter.card else {"base": "lightvfi", "format": "light_vfi"}
    return {"file": str(adapter.path), "megabytes": round(adapter.megabytes, 4), **told}
