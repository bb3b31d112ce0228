"""What a run leaves behind, so that it can go on after a power cut: the weights, and the state of everything else.

  run/recipe.yaml         what was asked for        run/last.safetensors   the newest weights    both open with
  run/state.pt            where it stands           run/best.safetensors   the best weights      `--model FILE`
  run/log.jsonl           one line a step or score  run/events...          for TensorBoard

Every file appears whole or not at all.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from ..errors import BadWeights, CannotWrite, Conflict, DiskFull
from .config import TrainConfig
from .recipe import as_plain, differences, filled

STATE, LAST, BEST, RECIPE, LOG = "state.pt", "last.safetensors", "best.safetensors", "recipe.yaml", "log.jsonl"


def written(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` fill a file that takes the place of `path` only once it is whole and on the disk.

    Raises:
        DiskFull, CannotWrite: and what was at `path` is as it was.
    """
    part = path.with_name(path.name + ".part")
    try:
        write(part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError, CannotWrite) as error:
        part.unlink(missing_ok=True)
        raise failure(path, error) from error


def failure(path: Path, error: BaseException) -> CannotWrite:
    """The words for a write that went wrong; torch wraps a full disk in a RuntimeError."""
    cause: BaseException | None = error
    while cause is not None:
        if (isinstance(cause, OSError) and cause.errno == errno.ENOSPC) or "No space left" in str(cause):
            need = "the checkpoint before it is intact"
            return DiskFull(f"the disk is full while writing {path}", need, "make room, then the same command again")
        cause = cause.__cause__
    return CannotWrite(f"{path} cannot be written ({error})", "a folder that you may write to is needed", "--run DIR")


def open_run(folder: Path, config: TrainConfig) -> bool:
    """Make the run's folder, or find it as it was left. True if there is a run to go on with.

    Raises:
        Conflict: it holds a run of another recipe, with the difference. CannotWrite: closed to us.
    """
    recipe = folder / RECIPE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if recipe.is_file():
            then = filled(
                TrainConfig, yaml.safe_load(recipe.read_text()), where=recipe.name
            )  # perhaps an older tween's
            changed = differences(as_plain(then), as_plain(config))
            if changed:
                got = f"{folder} holds a run of another recipe ({'; '.join(changed[:6])})"
                raise Conflict(got, "a run goes on with its own recipe", "the same options, or another --run DIR")
    except OSError as error:
        raise failure(folder, error) from error
    text = yaml.safe_dump(as_plain(config), sort_keys=False, allow_unicode=True)
    written(recipe, lambda part: part.write_text(text))
    return (folder / STATE).is_file()


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Where a run stands: tensors and plain values."""
    written(folder / STATE, lambda part: torch.save(state, part))


def load_state(folder: Path) -> dict[str, Any]:
    """What `save_state` wrote.

    Raises:
        BadWeights: the file is damaged.
    """
    try:
        state: dict[str, Any] = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what it likes on damaged bytes, all of it means one thing
        got = f"{folder / STATE} cannot be read ({type(error).__name__})"
        fix = f"remove it and begin from the weights: --start {folder / LAST}"
        raise BadWeights(got, "a state that a run saved is needed", fix) from error
    return state


class Log:
    """The run's numbers, a JSON object a line; what lies beyond the step that a run goes on from is cut off."""

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / LOG
        kept = [line for line in lines(self.path) if line["step"] <= step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        written(self.path, lambda part: part.write_text(text))
        self._file = self.path.open("a")

    def add(self, step: int, **values: float) -> None:
        """One line; it is with the system before this returns."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def lines(path: Path) -> list[dict[str, float]]:
    """The lines of a log; a last one that a power cut left unfinished is dropped."""
    found = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return found
