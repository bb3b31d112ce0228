"""Which films a batch is of, where each goes, and which were finished by an earlier one."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import CannotWrite, Conflict, EmptyVideo, MissingFile
from ..pipeline.config import RenderConfig, suffix_for
from ..pipeline.going import facts
from ..pipeline.kit import model_name
from ..video.images import SUFFIXES as PICTURES
from ..video.patterns import is_pattern
from .config import BatchConfig

VIDEOS = {
    ".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".m4v", ".wmv", ".flv", ".ogv",
    ".3gp", ".mxf", ".vob", ".y4m", ".gif", ".apng",
}  # fmt: skip
LEDGER = ".tween-batch.jsonl"  # in the output's folder: a line for each film that is begun or finished there
ANYWHERE = {"tween's version", "what runs it"}  # facts that do not make a finished film unfinished


def films(config: BatchConfig) -> list[RenderConfig]:
    """One config for each film, in the order in which they are begun.

    Raises:
        MissingFile, EmptyVideo: an input is not there, or holds no film. Conflict: two films would have one output, or
            one would be written over its input. CannotWrite: there can be no such folder.
    """
    config.check()
    folder = config.output.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWrite(f"-o {config.output}: {error.strerror}", "a folder that can be made is needed") from error
    found: dict[Path, RenderConfig] = {}
    for given in config.inputs:
        for path, name in _in(given.absolute(), folder):
            output = folder / name.with_name(name.stem + suffix_for(path, config.codec) if name.suffix else name.name)
            if output in found and found[output].input != path:
                raise Conflict(
                    f"{found[output].input} and {path} would both become {output}", "each needs a name of its own",
                    "a batch for each of their folders",
                )  # fmt: skip
            if output == path:
                raise Conflict(f"{path} would be written over itself", "another folder is needed", "-o another one")
            found[output] = config.for_film(path, output)
    sizes = {"given": 0, "small": 1, "large": -1}[config.order]
    return sorted(found.values(), key=lambda film: sizes * _bytes(film.input))


def _in(given: Path, output: Path) -> Iterator[tuple[Path, Path]]:
    """(film, its name within the output's folder) for one of the inputs."""
    if is_pattern(given):
        yield given, Path(given.parent.name)
        return
    if not given.exists():
        raise MissingFile(f"{given} is not there", "video files or folders of them are needed")
    if given.is_file():
        yield given, Path(given.name)
        return
    inside = sorted(_files(given, output))
    videos = [path for path in inside if path.suffix.lower() in VIDEOS]
    if not videos and not any(path.suffix.lower() in PICTURES for path in inside):
        raise EmptyVideo(f"{given} holds no video", "a folder with video files in it is needed")
    if not videos:
        yield given, Path(given.name)
    for path in videos:
        yield path, path.relative_to(given)


def _files(folder: Path, output: Path) -> Iterator[Path]:
    for here, inner, names in os.walk(folder):
        inner[:] = [one for one in inner if not one.startswith(".") and not one.endswith(".part")]
        inner[:] = [one for one in inner if Path(here, one) != output]
        yield from (Path(here, name) for name in names if not name.startswith("."))


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


class Ledger:
    """What is finished in a folder, and of what it was made; and what was begun, by a batch that may have been killed
    after an output took its place and before it was noted.

    Args:
        folder: of the outputs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / LEDGER
        self._lines: dict[str, dict[str, object]] = {}
        if self._path.is_file():
            for line in self._path.read_text("utf-8").splitlines():
                try:
                    entry = json.loads(line)
                    self._lines[entry["output"]] = entry
                except (ValueError, TypeError, KeyError):
                    continue  # a line that was not written to its end

    def has(self, config: RenderConfig) -> bool:
        """Whether the output is there, as a batch left it, made of this input with these options."""
        assert config.output is not None
        line = self._lines.get(self._name(config))
        if line is None or not config.output.exists() or line.get("of") != _of(config):
            return False
        stat = config.output.stat()
        if isinstance(begun := line.get("begun_ns"), int):
            return stat.st_mtime_ns >= begun
        return (line.get("bytes"), line.get("mtime_ns")) == (stat.st_size, stat.st_mtime_ns)

    def begin(self, config: RenderConfig) -> None:
        """A film is begun."""
        self._add({"output": self._name(config), "begun_ns": time.time_ns(), "of": _of(config)})

    def add(self, config: RenderConfig) -> None:
        """A film is finished."""
        assert config.output is not None
        stat = config.output.stat()
        entry = {"output": self._name(config), "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        self._add({**entry, "of": _of(config)})

    def _add(self, entry: dict[str, object]) -> None:
        self._lines[str(entry["output"])] = entry
        is_torn = self._path.is_file() and not self._path.read_bytes().endswith(b"\n")
        with self._path.open("a", encoding="utf-8") as file:
            file.write(("\n" if is_torn else "") + json.dumps(entry) + "\n")

    def _name(self, config: RenderConfig) -> str:
        assert config.output is not None
        return str(config.output.relative_to(self._folder))


def _of(config: RenderConfig) -> dict[str, str]:
    found = facts(config, model=model_name(config), runs="")
    return {name: words for name, words in found.items() if name not in ANYWHERE}
