"""`tween weights import FILE [--as NAME]`: keep a published checkpoint under a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from .show import print_json, say


@dataclass(frozen=True)
class Import:
    """Keep a file of weights, so that its name can be used wherever a model is asked for.

    The network is told by the file's tensors; the file itself may go afterwards.
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE", help_behavior_hint="")]
    """A .pth, .pkl or .safetensors as its authors publish it, or one of tween's own."""
    name: Annotated[str | None, tyro.conf.arg(name="as", metavar="NAME", help_behavior_hint="[after the file]")] = None
    """network@tag, network, or only @tag."""
    json: bool = False
    """Print one JSON object last."""


def run(argv: Sequence[str]) -> int:
    """Parse, import, report. Returns the exit code."""
    args = tyro.extras.subcommand_cli_from_dict(
        {"import": Import}, args=list(argv), prog="tween weights", config=(tyro.conf.FlagCreatePairsOff,)
    )
    from ..models import zoo

    found = zoo.adopt(args.file, name=args.name)
    name = f"{found.entry.name}@{found.weights.tag}"
    say(f"{args.file} is {name} from now on (licence: {found.weights.licence})", hidden=args.json)
    if args.json:
        print_json({"name": name, "sha256": found.weights.sha256, "path": str(found.path)})
    return 0
