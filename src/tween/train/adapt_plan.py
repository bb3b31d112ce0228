"""What an adaptation decided before it began to learn, kept so that it can go on."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import checkpoint
from .windows import Window

log = logging.getLogger("tween")
PLAN = "plan.json"


@dataclass
class Plan:
    """What an adaptation decided before it began to learn; it goes on by the same plan.

    Attributes:
        facts: of film, network and options. stretches: of the film, that were looked at.
        telling, judge, exam: windows. every: steps between validations. seconds: spent on all this.
    """

    facts: dict[str, str]
    stretches: list[int] = field(default_factory=list)
    telling: list[Window] = field(default_factory=list)
    judge: list[Window] = field(default_factory=list)
    exam: list[Window] = field(default_factory=list)
    every: int = 1
    seconds: float = 0.0


def film_print(film: Path) -> str:
    """What tells a film from a changed one: names, sizes and times of change."""
    files = sorted(file for file in film.rglob("*") if file.is_file()) if film.is_dir() else [film]
    told = [f"{file.name} {(stat := file.stat()).st_size} {stat.st_mtime_ns}" for file in files if file.exists()]
    return hashlib.sha256("\n".join([str(film.resolve()), *told]).encode()).hexdigest()


def read_plan(folder: Path, facts: dict[str, str]) -> Plan | None:
    """The plan of an earlier run for the same film, network and options; what is left of another one is removed."""
    try:
        plan = _plan(json.loads((folder / PLAN).read_text()))
    except (OSError, ValueError, TypeError, KeyError):
        plan = None
    if plan is not None and plan.facts == facts:
        return plan
    if plan is not None:
        changed = [name for name in facts if facts[name] != plan.facts.get(name)]
        log.info("what an earlier run left is of another %s: it begins anew", " and ".join(changed) or "tween")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    return None


def write_plan(folder: Path, plan: Plan) -> None:
    """Keep a plan."""
    checkpoint.written(folder / PLAN, lambda part: part.write_text(json.dumps(asdict(plan))))


def _plan(told: dict[str, Any]) -> Plan:
    for name in ("telling", "judge", "exam"):
        told[name] = [Window(run, start, tuple(region)) for run, start, region in told[name]]
    return Plan(**told)
