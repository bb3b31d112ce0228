"""The table of names: create a network, load it with its weights, tell which network a file is of.

A name is `network` or `network@tag`: `ifrnet-s@vimeo90k` is one file of weights, `ifrnet-s` the best one at hand.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch

from ..errors import BadOption, BadWeights, NoWeights, UnknownModel, near
from . import (
    adapters,
    ahead,
    classic,
    deformvfi,
    emavfi,
    exported,
    foreseen,
    ifrnet,
    ifrvp,
    lift,
    lightvfi,
    rife,
    shelf,
    swift,
    tweennet,
    weights,
    woven,
)
from .entry import Entry, StateDict, Weights
from .model import Model, Spec

log = logging.getLogger("tween")

DEFAULT = "tweennet"  # what `default` stands for
DEFAULT_PREDICTOR = "tweennet-ahead"  # the same, where the future is asked for
UNKNOWN_LICENCE = "not known: ask whoever made the file"


def families() -> list[tuple[Entry, ...]]:
    """The rows of every family, in the order in which they are shown. Families share no key of a weights file."""
    return [
        classic.ROWS + swift.ROWS + ahead.ROWS,
        tweennet.ROWS + foreseen.ROWS + woven.ROWS,
        ifrnet.ROWS + ifrvp.ROWS,
        rife.ROWS,
        emavfi.ROWS,
        lightvfi.ROWS,
        deformvfi.ROWS,
        lift.ROWS,
    ]


class Found(NamedTuple):
    """Weights that a name stands for.

    Attributes:
        entry: the network.
        weights: the row; its tag is empty for a classic method, which has none.
        path: the file, or None where it has to be fetched first or there is nothing to load.
    """

    entry: Entry
    weights: Weights
    path: Path | None


@cache
def entries() -> dict[str, Entry]:
    """Every network by name."""
    return {entry.name: entry for family in families() for entry in family}


def entry(name: str) -> Entry:
    """One network's row.

    Raises:
        UnknownModel: with the names most like it.
    """
    if name not in entries():
        raise UnknownModel(
            f"no model is called {name}{near(name, entries())}",
            "a name of `tween models`, or the path of a weights file, is needed",
        )
    return entries()[name]


def create(name: str, *, scale: float = 1.0) -> Model:
    """An untrained network, in training mode.

    Args:
        name: the zoo's, without a tag.
        scale: motion is estimated on frames resized by this, where the family can.

    Raises:
        UnknownModel: no such name.
        BadOption: a scale that the network cannot work at.
    """
    row = entry(name)
    if scale != 1 and not row.scalable:
        able = ", ".join(other.name for other in entries().values() if other.scalable)
        raise BadOption(
            f"--scale {scale} for {name}", "it works at the frame's own size only", f"models that can: {able}"
        )
    return row.build(scale)


def load(
    name_or_path: str | Path,
    *,
    name: str | None = None,
    scale: float = 1.0,
    lora: Sequence[str | Path] = (),
    progress: shelf.Progress | None = None,
) -> Model:
    """A network with its weights, ready to run (`eval()`).

    Args:
        name_or_path: `network`, `network@tag`, or the path of a weights file.
        name: whose weights the file holds, where its keys cannot tell: those of IFRNet-S and IFRVP are the same.
        scale: as in `create`.
        lora: adapters that it wears, as `FILE` or `FILE:WEIGHT`: merged into its weights.
        progress: told of every piece of a file that has to be fetched, (bytes so far, bytes in all or None).

    Raises:
        UnknownModel: no such name or tag.
        NoWeights: there are none at hand, and none can be fetched.
        MissingFile, BadWeights: the file is not there, cannot be read, or fits nothing.
        BadOption: a scale that the network cannot work at, or an adapter for what has no weights.
    """
    model, row = load_row(name_or_path, name=name, scale=scale, progress=progress)
    adapters.dress(model, row.name, lora)
    return model


def load_row(
    name_or_path: str | Path,
    *,
    name: str | None = None,
    scale: float = 1.0,
    progress: shelf.Progress | None = None,
) -> tuple[Model, Entry]:
    """The network, and its row; see `load`."""
    if is_path(name_or_path):
        return opened(Path(name_or_path), name=name, scale=scale)
    found = find(str(name_or_path))
    if not found.entry.trained:
        return create(found.entry.name, scale=scale).eval(), found.entry
    path = found.path or shelf.fetch(found.entry.name, found.weights, progress=progress)
    if path.parent.name == "assets":
        weights.check_sha256(path, found.weights.sha256)
    return opened(path, name=found.entry.name, scale=scale)


def load_file(path: Path, *, name: str | None = None, scale: float = 1.0) -> Model:
    """A network with the weights of a file; see `load`."""
    return opened(path, name=name, scale=scale)[0]


def opened(path: Path, *, name: str | None = None, scale: float = 1.0) -> tuple[Model, Entry]:
    """A network with the weights of a file, and its row; see `load`."""
    if path.suffix.lower() in exported.ENGINES:
        return as_exported(path, scale=scale)
    stored = weights.read(path)
    if adapters.KEY in stored.metadata:
        label = adapters.card_of(stored.metadata[adapters.KEY], path).label
        raise BadWeights(f"{path} is an adapter", "it changes a network and is none", f"--model {label} --lora {path}")
    row = entry(name) if name else said_or_seen(stored, path)
    model = create(row.name, scale=scale)
    weights.fit(model, renamed(row, stored.state, path), what=str(path), name=row.name)
    return model.eval(), row


def as_exported(path: Path, *, scale: float = 1.0) -> tuple[Model, Entry]:
    """The model in a file that `tween export` wrote, and the row of its network."""
    model = exported.read(path)
    if scale != 1:
        need = "the size at which it estimates motion was fixed when it was exported"
        raise BadOption(f"--scale {scale} for {path}", need, f"tween export {model.card.model} --scale {scale}")
    return model.eval(), entry(model.card.model)


def is_path(name_or_path: str | Path) -> bool:
    """True for what is meant as a file: a Path, or text with a separator or the suffix of a file that can be opened."""
    text = str(name_or_path)
    suffixes = (*weights.SUFFIXES, *exported.ENGINES)
    return isinstance(name_or_path, Path) or "/" in text or "\\" in text or text.endswith(suffixes)


def find(name: str) -> Found:
    """The weights that `network` or `network@tag` stands for: of several the first that is at hand.

    Only a tag fetches: a bare name never goes to the network.

    Raises:
        UnknownModel: no such name or tag.
        NoWeights: nothing at hand, and nothing asked for that can be fetched.
    """
    network, _, tag = name.partition("@")
    row = entry(DEFAULT if network == "default" else network)
    if not row.trained:
        if tag:
            raise UnknownModel(f"{row.name} has no weights, and so none called {tag}", "it runs as it is", row.name)
        return Found(row, Weights(""), None)
    known = [Found(row, w, shelf.at_hand(row.name, w)) for w in row.weights] + mine(row)
    if tag and not any(found.weights.tag == tag for found in known):
        tags = [f"{row.name}@{found.weights.tag}" for found in known]
        raise UnknownModel(f"no weights are called {name}{near(name, tags)}", f"known: {', '.join(tags) or 'none'}")
    ready = [found for found in known if found.path and found.weights.tag == (tag or found.weights.tag)]
    ready += [found for found in known if found.weights.url and found.weights.tag == tag]
    if not ready:
        raise none_at_hand(name, known)
    return ready[0]


def mine(row: Entry) -> list[Found]:
    """The weights of a network that the user imported."""
    return [
        Found(row, Weights(card.tag, sha256=card.sha256, licence=card.licence, origin=card.origin), card.path)
        for card in shelf.imported()
        if card.name == row.name
    ]


def none_at_hand(name: str, known: list[Found]) -> NoWeights:
    """What to type for weights of `network` or `network@tag`."""
    fetchable = [f"{found.entry.name}@{found.weights.tag}" for found in known if found.weights.url]
    origins = "; ".join(found.weights.origin for found in known if found.weights.origin)
    by_hand = f"tween weights import FILE --as {name}" + ("" if "@" in name else "@mine")
    return NoWeights(
        f"{name} has no trained weights here, and an untrained network is never run",
        f"published: {origins}" if origins else "its authors published none",
        f"type {fetchable[0]} to fetch them" if fetchable and "@" not in name else f"with a file at hand: {by_hand}",
    )


def adopt(path: str | Path, *, name: str | None = None) -> Found:
    """Keep a weights file under a name: `tween weights import`.

    Args:
        path: of the file, which may go afterwards.
        name: `network@tag`, `network`, or only `@tag`. Without a network it is told by the keys; without a tag it is
            called after the file.

    Raises:
        UnknownModel: no such network.
        MissingFile, BadWeights: the file is not there, cannot be read, or fits nothing.
        BadOption: a tag that tween's own rows have, or that no file can be called.
    """
    path = Path(path)
    network, _, tag = (name or "").partition("@")
    stored = weights.read(path)
    row = entry(network) if network else said_or_seen(stored, path)
    tag = tag or re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-.").lower() or "mine"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", tag):
        raise BadOption(f"--as {name}", "a tag of letters, digits, '.', '_' and '-' is needed", f"--as {row.name}@mine")
    digest = weights.sha256(path)
    known = next((w for w in row.weights if w.sha256 == digest or w.tag == tag), Weights(tag))
    card = shelf.Imported(row.name, tag, digest, known.origin or str(path), known.licence or UNKNOWN_LICENCE)
    model = create(row.name)
    weights.fit(model, renamed(row, stored.state, path), what=str(path), name=row.name)
    shelf.open_folder()
    weights.write(model.state_dict(), card.path, name=row.name, origin=card.origin, licence=card.licence)
    shelf.remember(card)
    return Found(row, Weights(tag, sha256=digest, licence=card.licence, origin=card.origin), card.path)


def renamed(row: Entry, state: StateDict, path: Path) -> dict[str, torch.Tensor]:
    """A file's tensors under our keys; says how many were not the network's and stayed behind."""
    kept = row.rename(state)
    if len(kept) < len(state):
        log.warning(
            "%s: %d tensors of %d are not %s's and were left out", path, len(state) - len(kept), len(state), row.name
        )
    return kept


def said_or_seen(stored: weights.Stored, path: Path) -> Entry:
    """The network that a file names, else the one that its tensors fit."""
    said = stored.metadata.get("name", "")
    return entries()[said] if said in entries() else identify(stored.state, what=str(path))


def identify(state: StateDict, *, what: str = "this file") -> Entry:
    """The network whose tensors these are, by keys and shapes.

    Several may fit. Those of one family that do are one network (many versions of RIFE differ in their weights alone),
    except that IFRNet and IFRVP differ in use: the one that the file is named after is taken, else the interpolator.

    Args:
        state: published keys or ours, without `module.` prefixes.
        what: the file's name, for the message.

    Raises:
        BadWeights: none fits, with the near misses told.
    """
    for family in families():
        if fitting := [row for row in family if row.trained and not misfits(row, state)]:
            named = [row for row in fitting if row.name in Path(what).name.lower()]
            between = [row for row in fitting if not signature(row.name).spec.predicts]
            return max(named, key=lambda row: len(row.name)) if named else (between or fitting)[0]
    raise BadWeights(
        f"{what} ({len(state)} tensors) fits no network of the zoo{near_misses(state)}",
        "a file of one of `tween models` is needed",
    )


class Signature(NamedTuple):
    """What is known of a network without its weights."""

    shapes: dict[str, tuple[int, ...]]
    spec: Spec


def networks() -> list[str]:
    """The rows that can learn, each network once: of rows that differ in their weights alone, the first."""
    seen, names = set(), []
    for name, row in entries().items():
        known = tuple(sorted(signature(name).shapes.items())), signature(name).spec
        if row.trained and known not in seen:
            seen.add(known)
            names.append(name)
    return names


@cache
def signature(name: str) -> Signature:
    """Keys and shapes of a network, built without memory."""
    with torch.device("meta"):
        model = entry(name).build(1.0)
    return Signature(weights.shapes_of(model.state_dict()), model.spec)


def misfits(row: Entry, state: StateDict) -> list[str]:
    return weights.differences(signature(row.name).shapes, weights.shapes_of(row.rename(state)))


def near_misses(state: StateDict) -> str:
    """The three networks that fit best, as `; 12 of 104 tensors fit ifrnet-s`, or nothing."""
    scores: dict[frozenset[tuple[str, tuple[int, ...]]], tuple[float, str]] = {}
    for row in entries().values():
        if row.trained:
            own, given = signature(row.name).shapes, weights.shapes_of(row.rename(state))
            fitting = sum(given.get(key) == shape for key, shape in own.items())
            words = f"; {fitting} of {len(own)} tensors fit {row.name}"
            scores.setdefault(frozenset(own.items()), (fitting / max(len(own), len(given)), words))
    best = sorted((score for score in scores.values() if score[0]), key=lambda score: -score[0])
    return "".join(words for _, words in best[:3])
