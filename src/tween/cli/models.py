"""`tween models`: every network, what it can do and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import tyro
from rich.console import Console
from rich.table import Table

from ..models import zoo
from ..models.cost import FIGURES
from ..models.entry import Entry
from ..models.model import Spec
from .show import print_json

WIDTH = 160  # of the table: a narrower terminal wraps whole lines rather than words


@dataclass(frozen=True)
class Models:
    """Every network: when the frames it looks at are, its cost, what it can do, its weights."""

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]", help_behavior_hint="")] = None
    """Only this one, with all that is known of it."""
    json: bool = False
    """Print one JSON object."""


def run(argv: Sequence[str]) -> int:
    """Parse, look up, print. Returns the exit code."""
    args = tyro.cli(Models, args=list(argv), prog="tween models", config=(tyro.conf.FlagCreatePairsOff,))
    rows = [zoo.entry(args.name)] if args.name else list(zoo.entries().values())
    facts = [_facts(row) for row in rows]
    if args.json:
        print_json({"default": zoo.DEFAULT, "models": facts})
    elif args.name:
        for key, value in facts[0].items():
            print(f"{key:<12} {_text(value)}")
    else:
        Console(width=WIDTH).print(_table(facts))
        print(f"default is {zoo.DEFAULT}; GMACs are for one frame at 1280x720; `tween models NAME` tells more of one")
    return 0


def _facts(row: Entry) -> dict[str, Any]:
    parameters, gmacs = FIGURES[row.name] if row.trained else (0, 0.0)
    with torch.device("meta"):  # built for its facts, not for its memory
        spec = row.build(1.0).spec
    return {
        "name": row.name,
        "context": _context(spec),
        "can": _can(spec),
        "parameters": parameters,
        "gmacs_720p": gmacs,
        "multiple": spec.multiple,
        "weights": _weights(row),
        "about": row.about,
        "paper": row.paper,
        "code_licence": row.code_licence,
    }


def _context(spec: Spec) -> str:
    times = spec.context
    return ", ".join(map(str, times)) if len(times) <= 4 else f"{times[0]} ... {times[-1]} ({len(times)})"


def _can(spec: Spec) -> str:
    if spec.predicts:
        return "predict any step" if spec.any_time else "predict the next"
    return "any time" if spec.any_time else "midpoint"


def _weights(row: Entry) -> list[str]:
    """Known weights as `tag (licence; here)`."""
    found = [(w, zoo.shelf.at_hand(row.name, w) is not None) for w in row.weights]
    found += [(mine.weights, True) for mine in zoo.mine(row)]
    return [f"{w.tag} ({w.licence or 'licence not stated'}{'; here' if here else ''})" for w, here in found]


def _table(facts: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("name", "context", "can", "parameters", "GMACs", "multiple of", "weights"):
        table.add_column(
            title, justify="right" if title in {"parameters", "GMACs", "multiple of"} else "left", no_wrap=True
        )
    for row in facts:
        weights = ", ".join(row["weights"]) if row["parameters"] else "needs none"
        numbers = (f"{row['parameters']:,}", f"{row['gmacs_720p']:g}", str(row["multiple"]))
        table.add_row(row["name"], row["context"], row["can"], *numbers, weights)
    return table


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
