"""Recipes: YAML to a TrainConfig and back, every key known, every value of its kind. Free of torch."""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from ..errors import BadOption, MissingFile, near
from .config import TrainConfig

RESUMABLE = frozenset({"steps", "minutes", "save_every", "device", "data.workers", "data.root", "val.root"})


def read(path: Path, given: TrainConfig | None = None) -> TrainConfig:
    """A recipe; what it does not say is as in `given`.

    Raises:
        MissingFile: no such file. BadOption: not YAML, an unknown key (with near misses), or a value of another kind.
    """
    if not path.is_file():
        raise MissingFile(f"no recipe {path}", "the path of a YAML file is needed", "recipes/quick.yaml")
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise BadOption(f"{path} is not YAML", str(error).replace("\n", " ")) from error
    return filled(TrainConfig, content or {}, where=path.name, given=given)


def filled(kind: Any, content: Any, *, where: str, given: Any = None) -> Any:
    """A dataclass from a mapping, every key known and every value of its kind; what it does not say is as in `given`.

    Raises:
        BadOption: see `read`.
    """
    if not isinstance(content, dict):
        raise BadOption(f"{where} is {content!r}", "keys and values are needed")
    hints = typing.get_type_hints(kind)
    for key in content:
        if key not in hints:
            raise BadOption(f"{where} says {key!r}{near(str(key), hints)}", f"known: {', '.join(hints)}")
    said = {
        key: value_of(hints[key], value, f"{where}: {key}", getattr(given, key, None)) for key, value in content.items()
    }
    return dataclasses.replace(given, **said) if given else kind(**said)


def value_of(kind: Any, value: Any, where: str, given: Any = None) -> Any:
    """A value as the kind that a field says.

    Raises:
        BadOption: it is of another kind.
    """
    if kind is Any:
        return value
    if typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    options = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
    if value is None and type(None) in options:
        return None
    kind = next(option for option in options if option is not type(None))
    if dataclasses.is_dataclass(kind):
        return filled(kind, value, where=where, given=given)
    made = plain(kind, value, where)
    if made is None:
        raise BadOption(f"{where} is {value!r}", f"{in_words(kind)} is needed")
    return made


def plain(kind: Any, value: Any, where: str) -> Any:
    """A number, text, path, choice, tuple or dict; None where the value is none of that kind."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return value if value in inner else None
    if origin is tuple:
        listed = value if isinstance(value, (list, tuple)) else [value]
        kinds = [inner[0]] * len(listed) if inner[-1] is Ellipsis else inner
        if len(kinds) != len(listed):
            return None
        pairs = enumerate(zip(kinds, listed, strict=True), 1)
        return tuple(value_of(k, v, f"{where}, number {i}") for i, (k, v) in pairs)
    if origin is dict:
        return (
            {str(k): value_of(inner[1], v, f"{where}: {k}") for k, v in value.items()}
            if isinstance(value, dict)
            else None
        )
    if kind is float and isinstance(value, str):  # YAML reads 1e-4 as text
        try:
            return float(value)
        except ValueError:
            return None
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    return value if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)) else None


def in_words(kind: Any) -> str:
    """A kind for the user's eyes."""
    if typing.get_origin(kind) is Literal:
        return " or ".join(str(choice) for choice in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return f"a list of {' and '.join(in_words(k) for k in typing.get_args(kind) if k is not Ellipsis)}"
    names = {float: "a number", int: "a whole number", bool: "true or false", str: "text", Path: "a path"}
    return names.get(kind, "keys and values")


def as_plain(value: Any) -> Any:
    """A config as what YAML can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: as_plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """What changed, as `optim.lr: 0.0001 -> 0.0002`, in two plain configs; not what a resumed run may change."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = dict.fromkeys([*old, *new])
        return [
            line
            for key in keys
            for line in differences(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
        ]
    return [] if old == new or where in RESUMABLE else [f"{where}: {old} -> {new}"]
