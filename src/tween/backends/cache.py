"""Compiled models on disk, so that the second start is quick: the cache folder of the user, one file a graph.

A file is its payload's SHA-256 and the payload. It appears whole (written beside, then renamed), and a damaged one is
thrown away with a word. The cache can be deleted at any time; a folder that cannot be written costs time, not the run.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
from functools import cache
from pathlib import Path

import torch

from ..home import cache_folder
from ..models.model import Model

log = logging.getLogger(__name__)

DIGEST_BYTES = 32
LARGEST_BYTES = 2 << 30  # of all files together; beyond it those that were used longest ago go


def folder() -> Path:
    """The folder of compiled models."""
    return cache_folder("compiled")


def named(label: str) -> str:
    """A model's name as a part of a file's."""
    return re.sub(r"[^\w.@-]+", "_", label)


def fetch(key: str) -> bytes | None:
    """What was stored under `key`, or None if there is nothing, or nothing whole."""
    path = folder() / key
    try:
        content = path.read_bytes()
        os.utime(path)  # used now: the last to be pruned
    except OSError:
        return None
    digest, payload = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() == digest:
        return payload
    drop(key, "it is damaged")
    return None


def store(key: str, payload: bytes) -> None:
    """Keep `payload` under `key`, a file name; logs a warning where that is impossible."""
    path = folder() / key
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".part-") as beside:
            part = Path(beside) / key
            part.write_bytes(hashlib.sha256(payload).digest() + payload)
            os.replace(part, path)
        prune(path.parent)
    except OSError as error:
        log.warning("the compiled model could not be kept for the next start: %s", error)


def drop(key: str, why: str) -> None:
    """Throw an entry away, with a word; it is made again."""
    path = folder() / key
    log.warning("the compiled model %s is made again: %s", path, why)
    path.unlink(missing_ok=True)


def prune(path: Path, most_bytes: int = LARGEST_BYTES) -> None:
    """Remove the files of `path` that were used longest ago, until all of them are within `most_bytes`."""
    files = sorted((file.stat().st_mtime, file.stat().st_size, file) for file in path.iterdir() if file.is_file())
    surplus = sum(size for _, size, _ in files) - most_bytes
    for _, size, file in files:
        if surplus <= 0:
            return
        file.unlink(missing_ok=True)
        surplus -= size


def fingerprint(model: Model) -> str:
    """A digest of what a model computes: its modules, its plain attributes, its weights, and tween's code."""
    digest = hashlib.sha256(code().encode())
    digest.update(repr(model).encode())
    for name, module in model.named_modules():
        plain = [(key, repr(value)) for key, value in vars(module).items() if key[0] != "_" and _is_plain(value)]
        digest.update(f"{name} {sorted(plain)}".encode())
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _is_plain(value: object) -> bool:
    """True for a value whose repr says what it is, and nothing of where it lies in memory."""
    return " at 0x" not in repr(value) and not isinstance(value, torch.Tensor | torch.nn.Module)


@cache
def code() -> str:
    """A digest of every source file that decides what a graph computes."""
    digest = hashlib.sha256()
    root = Path(__file__).parent.parent
    for room in ("models", "ops", "backends"):
        for path in sorted((root / room).rglob("*.py")):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
