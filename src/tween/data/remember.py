"""What took long to find out about files, kept in the user's cache folder as small JSON files.

An entry counts while the file's size and time of change are the same. The folder can be deleted at any time; where it
cannot be written, things are found out again the next time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import BrokenPicture
from ..home import cache_folder
from .index import index_of

log = logging.getLogger(__name__)


def folder() -> Path:
    """The folder of what was found out about footage."""
    return cache_folder("footage")


def recall(key: str) -> dict[str, Any]:
    """What was kept under `key`, or nothing."""
    try:
        kept = json.loads(_file(key).read_text())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def keep(key: str, content: dict[str, Any]) -> None:
    """Keep `content` under `key`; logs where that is impossible."""
    path = _file(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False) as file:
            json.dump(content, file)
        os.replace(file.name, path)
    except OSError as error:
        log.warning("what was found out about the footage could not be kept for the next start: %s", error)


def stamp(path: Path) -> str:
    """By which a changed file is known: its size and time of change."""
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def lengths(root: Path, paths: Iterable[Path]) -> tuple[dict[Path, int], list[str]]:
    """How many frames each video file has, and what is wrong with those that cannot be read, in words."""
    key = f"lengths {root.resolve()}"
    kept = recall(key)
    counted: dict[Path, int] = {}
    broken: list[str] = []
    fresh = 0
    for path in paths:
        name = path.relative_to(root).as_posix()
        mark = stamp(path)
        entry = kept.get(name)
        if not (isinstance(entry, list) and len(entry) == 2 and entry[0] == mark):
            fresh += 1
            if fresh % 1000 == 0:
                log.info("counted the frames of %d videos of %s", fresh, root)
            entry = kept[name] = [mark, _length(str(path))]
        if isinstance(entry[1], int):
            counted[path] = entry[1]
        else:
            broken.append(str(entry[1]))
    if fresh:
        keep(key, kept)
    return counted, broken


def _length(path: str) -> int | str:
    try:
        return index_of(path).length
    except BrokenPicture as error:
        return error.got


def _file(key: str) -> Path:
    return folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
