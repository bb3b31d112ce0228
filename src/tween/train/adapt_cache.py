"""Adapters that were made on the way to a render, kept in the user's cache beside what was found of them.

<cache>/adapters/KEY.safetensors    the adapter, where something was gained
<cache>/adapters/KEY.json           the verdict and its figures, also where nothing was

The key is of the film, the network's weights and the options. The folder can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

from ..errors import CannotWrite
from ..home import cache_folder
from . import checkpoint
from .adapt import Adaptation, Adapted, Watch, adapt
from .adapt_config import AdaptConfig, checked


def folder() -> Path:
    """Where they are; it need not be there yet."""
    return cache_folder("adapters")


def adapted(config: AdaptConfig, watch: Watch | None = None) -> Adapted:
    """As `adapt`, but into the cache; what is there already is taken from it at once.

    Args:
        config: its `output` is not looked at.

    Raises:
        As `adapt`.
    """
    home = folder()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fix = "set TWEEN_HOME to another folder"
        raise CannotWrite(f"{home} cannot be made ({error.strerror})", "a folder for adapters", fix) from error
    config = replace(config, output=home / f"{key_of(config, home)}.safetensors", overwrite=True)
    card = config.output.with_suffix(".json")
    if (known := _known(card, config.output)) is not None:
        return known
    told = adapt(config, watch)
    if told.why != "interrupted":
        content = json.dumps({**asdict(told), "output": None, "film": str(config.input)}, indent=1)
        checkpoint.written(card, lambda part: part.write_text(content))
    return told


def key_of(config: AdaptConfig, home: Path) -> str:
    """A name for what an adaptation would give."""
    checked(replace(config, output=home / "key.safetensors"))
    facts = Adaptation(config, home, lambda _: None).facts()
    told = json.dumps({**facts, "minutes": config.minutes, "steps": config.steps}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _known(card: Path, output: Path) -> Adapted | None:
    """What an earlier run found; None if there was none, or its file has gone."""
    try:
        told = json.loads(card.read_text())
        told.pop("film")
        found = Adapted(**told)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if found.why != "gained":
        return found
    return replace(found, output=output) if output.is_file() else None
