"""Weights files: read without trusting them, fitted strictly, written with their name.

A pickle can run any program when it is opened, so `.pth`, `.pt`, `.pkl` files go through torch's `weights_only` reader,
which knows tensors and plain containers and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .. import __version__
from ..errors import BadWeights, CannotWrite, MissingFile
from .entry import StateDict
from .model import Model

SUFFIXES = (".safetensors", ".pth", ".pt", ".pkl", ".ckpt", ".bin")
WRAPPERS = ("state_dict", "model_state_dict", "model", "params_ema", "params", "network", "net", "weights")
PREFIXES = ("module.", "_orig_mod.")  # what DistributedDataParallel and torch.compile put before every key


class Stored(NamedTuple):
    """What a weights file holds.

    Attributes:
        state: key -> tensor on the CPU, `module.` prefixes gone.
        metadata: what the file says of itself; files of tween say `name`, the zoo's.
    """

    state: dict[str, Tensor]
    metadata: dict[str, str]


def read(path: str | Path) -> Stored:
    """The tensors of a file: safetensors, or a pickle that is a state dict or a dict that holds one.

    Raises:
        MissingFile: nothing there.
        BadWeights: it cannot be read, or holds anything but tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFile(f"no weights file {path}", "the path of a .safetensors, .pth or .pkl file is needed")
    content, metadata = read_safetensors(path) if path.suffix == ".safetensors" else (read_pickle(path), {})
    if isinstance(content, Mapping) and not metadata:
        metadata = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, str)}
    return Stored(without_prefixes(state_dict_in(content, path), path), metadata)


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise unreadable(path, str(error)) from error


def read_pickle(path: Path) -> Any:
    """What `torch.save` wrote, tensors and plain containers only."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        objects = re.findall(r"GLOBAL (\S+)", str(error))
        if not objects:
            raise unreadable(path, str(error)) from error
        raise BadWeights(
            f"{path} holds Python objects ({objects[0]}), not only tensors",
            "a plain state dict is needed: opening such a pickle could run any program",
            "where you trust it, save it anew: torch.save(model.state_dict(), 'plain.pth')",
        ) from error
    except Exception as error:  # torch raises what it likes on bytes that are no pickle, all of it means one thing
        raise unreadable(path, str(error)) from error


def unreadable(path: Path, why: str) -> BadWeights:
    first_line = why.strip().splitlines()[0][:120] if why.strip() else "it ends too early"
    return BadWeights(
        f"{path} ({path.stat().st_size} bytes) cannot be read as weights ({first_line})",
        "a .safetensors file or a state dict saved by torch is needed",
        "fetch the file again if it broke off",
    )


def state_dict_in(content: Any, path: Path) -> dict[str, Tensor]:
    """The state dict that `content` is, or that it holds under one of `WRAPPERS`."""
    candidates = [content]
    if isinstance(content, Mapping):
        candidates += [content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)]
    for candidate in candidates:
        if isinstance(candidate, Mapping) and candidate and all(isinstance(v, Tensor) for v in candidate.values()):
            return {str(key): value.detach() for key, value in candidate.items()}
    seen = f"a dict of {some(map(str, content))}" if isinstance(content, Mapping) else f"a {type(content).__name__}"
    raise BadWeights(
        f"{path} holds {seen}",
        "a state dict is needed: names of tensors and tensors, or such a dict under 'state_dict' or 'model'",
    )


def without_prefixes(state: StateDict, path: Path) -> dict[str, Tensor]:
    """The same tensors under keys free of `module.` and `_orig_mod.`."""
    plain: dict[str, Tensor] = {}
    for key, value in state.items():
        short = key
        while short.startswith(PREFIXES):
            short = short.partition(".")[2]
        if short in plain:
            raise BadWeights(f"{path} holds {short} twice, with and without a prefix", "one network a file is needed")
        plain[short] = value
    return plain


def write(state: StateDict, path: str | Path, *, name: str, **metadata: str) -> None:
    """Save as safetensors under the zoo's `name`, with what else is known of it. All or nothing.

    Raises:
        CannotWrite: the folder is missing or closed to us.
    """
    write_plain(state, Path(path), {"name": name, "tween": __version__, **metadata})


def write_plain(state: StateDict, path: Path, metadata: dict[str, str]) -> None:
    """Save tensors as safetensors with just this metadata. All or nothing.

    Raises:
        CannotWrite: the folder is missing or closed to us.
    """
    part = path.with_name(path.name + ".part")
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in state.items()}
    try:
        save_file(tensors, part, metadata=metadata)
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise CannotWrite(f"{path} cannot be written ({error})", "a folder that you may write to is needed") from error


def sha256(path: str | Path) -> str:
    """The hash of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_sha256(path: Path, wanted: str) -> None:
    """Nothing, if the file is the one meant or nobody knows its hash.

    Raises:
        BadWeights: it is another.
    """
    if wanted and (got := sha256(path)) != wanted:
        raise BadWeights(
            f"{path} has sha256 {got[:16]}...", f"{wanted[:16]}... is expected", "fetch it again: it broke or changed"
        )


def fit(model: Model, state: StateDict, *, what: str, name: str) -> None:
    """Load `state` into `model`, every tensor and no other.

    Args:
        model: of the zoo's `name`.
        state: under the model's own keys.
        what: the file's name, for the message.
        name: the network's name, for the message.

    Raises:
        BadWeights: with what is missing, left over, or of another shape.
    """
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    misfits = differences(own, shapes_of(state))
    if misfits:
        raise BadWeights(
            f"{what} does not fit {name}: {'; '.join(misfits)}", f"its {len(own)} tensors and no others are needed"
        )
    model.load_state_dict(state, strict=True)


def differences(own: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]) -> list[str]:
    """What keeps `given` from being `own`, in words, with a few examples each."""
    missing = [key for key in own if key not in given]
    unexpected = [key for key in given if key not in own]
    misshapen = [
        f"{key} is {'x'.join(map(str, given[key]))}, not {'x'.join(map(str, shape))}"
        for key, shape in own.items()
        if key in given and given[key] != shape
    ]
    kinds = ((missing, "missing"), (unexpected, "unexpected"), (misshapen, "of another shape"))
    return [f"{len(keys)} {kind} ({some(keys)})" for keys, kind in kinds if keys]


def shapes_of(state: StateDict) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items()}


def some(words: Iterable[str], most: int = 3) -> str:
    """The first few of many."""
    words = list(words)
    return ", ".join(words[:most]) + (", ..." if len(words) > most else "")
