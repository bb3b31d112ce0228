"""The models as the page shows them: what each can do, its cost, what is published of it, whether it is here."""

from __future__ import annotations

from typing import Any, Final

from ..evaluate.published import FIELD
from ..models import zoo
from ..models.cost import FIGURES
from ..models.entry import Entry

SETS: Final = {"vimeo90k": "Vimeo-90K", "ucf101": "UCF101", "snu-film-hard": "SNU-FILM hard"}


def models() -> dict[str, Any]:
    """Every network that interpolates; those that can be run here come first."""
    rows = [_facts(row) for row in zoo.entries().values() if not zoo.signature(row.name).spec.predicts]
    return {"default": zoo.DEFAULT, "models": sorted(rows, key=lambda row: not row["here"])}


def _facts(row: Entry) -> dict[str, Any]:
    parameters, gmacs = FIGURES.get(row.name, (0, 0.0))
    return {
        "name": row.name,
        "about": row.about.replace("`", ""),
        "any_time": zoo.signature(row.name).spec.any_time,
        "parameters": parameters,
        "gmacs": gmacs,
        "here": not row.trained or bool(_tags(row)),
        "tags": _tags(row),
        "scores": {title: found for name, title in SETS.items() if (found := _psnr(row.name, name)) is not None},
    }


def _tags(row: Entry) -> list[str]:
    """The weights that are on this machine."""
    shipped = [one.tag for one in row.weights if zoo.shelf.at_hand(row.name, one) is not None]
    return shipped + [mine.weights.tag for mine in zoo.mine(row)]


def _psnr(model: str, protocol: str) -> float | None:
    return next((one.scores.get("psnr") for one in FIELD if (one.name, one.protocol) == (model, protocol)), None)
