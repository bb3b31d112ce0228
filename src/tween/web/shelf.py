"""The models as the page shows them: what each can do, its cost, whether it is here, and what is published of it,
unless weights of ours would run, which those figures are not of."""

from __future__ import annotations

from typing import Any, Final

from ..evaluate.published import FIELD
from ..models import zoo
from ..models.cost import FIGURES
from ..models.entry import OURS, Entry

SETS: Final = {"vimeo90k": "Vimeo-90K", "ucf101": "UCF101", "snu-film-hard": "SNU-FILM hard"}


def models() -> dict[str, Any]:
    """Every network that interpolates; those that can be run here come first."""
    rows = [_facts(row) for row in zoo.entries().values() if not zoo.signature(row.name).spec.predicts]
    return {"default": zoo.DEFAULT, "models": sorted(rows, key=lambda row: not row["here"])}


def _facts(row: Entry) -> dict[str, Any]:
    parameters, gmacs = FIGURES.get(row.name, (0, 0.0))
    tags = _tags(row)
    published = {} if tags[:1] == [OURS] else {title: _psnr(row.name, name) for name, title in SETS.items()}
    return {
        "name": row.name,
        "about": row.about.replace("`", ""),
        "any_time": zoo.signature(row.name).spec.any_time,
        "parameters": parameters,
        "gmacs": gmacs,
        "here": not row.trained or bool(tags),
        "tags": tags,
        "scores": {title: found for title, found in published.items() if found is not None},
    }


def _tags(row: Entry) -> list[str]:
    """The weights that are on this machine."""
    shipped = [one.tag for one in row.weights if zoo.shelf.at_hand(row.name, one) is not None]
    return shipped + [mine.weights.tag for mine in zoo.mine(row)]


def _psnr(model: str, protocol: str) -> float | None:
    return next((one.scores.get("psnr") for one in FIELD if (one.name, one.protocol) == (model, protocol)), None)
