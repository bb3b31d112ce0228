"""Names that stand for many pictures: `frames/%05d.png` and `frames/*.png`."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import BadOption, MissingFile

NUMBER = re.compile(r"%0?(\d*)d")
WILD = "*?["
FIRST = 1  # the number of the first picture that is written, as ffmpeg counts


def is_pattern(path: Path) -> bool:
    """Whether a path names many pictures. A file that is really called so is a file."""
    return bool(NUMBER.search(path.name) or any(letter in path.name for letter in WILD)) and not path.exists()


def matching(pattern: Path) -> tuple[list[Path], list[str]]:
    """The files that a pattern names, in no order, and what should be said about them.

    Raises:
        MissingFile: the folder is not there.
    """
    if not pattern.parent.is_dir():
        raise MissingFile(f"the folder {pattern.parent} is not there", "an existing one is needed")
    if NUMBER.search(pattern.name) is None:
        return list(pattern.parent.glob(pattern.name)), []
    numbers = {file: number_in(pattern.name, file.name) for file in pattern.parent.iterdir()}
    found = {number: file for file, number in numbers.items() if number is not None}
    first, last = min(found, default=0), max(found, default=-1)
    missing = last - first + 1 - len(found)
    words = f"{missing} numbers between {first} and {last} are missing: what is there is played without gaps"
    return list(found.values()), [words] if missing else []


def number_in(pattern: str, name: str) -> int | None:
    """The number in a file's name, or None if the pattern does not name it: %05d is five digits and more, %d any."""
    before, digits, after = _parts(pattern)
    found = re.fullmatch(rf"{re.escape(before)}(\d+){re.escape(after)}", name)
    return int(found[1]) if found and len(found[1]) >= digits else None


def numbered(pattern: str, place: int) -> str:
    """The name of a picture that is written: the first is number 1."""
    before, digits, after = _parts(pattern)
    return f"{before}{place + FIRST:0{digits}d}{after}"


def check_writable(pattern: Path) -> None:
    """BadOption unless pictures can be written by these names."""
    if NUMBER.search(pattern.name) is None or pattern.suffix.lower() != ".png":
        raise BadOption(
            f"-o {pattern}",
            "pictures are written as PNGs with a number in their names",
            f"-o {pattern.with_name('%06d.png')}",
        )


def _parts(pattern: str) -> tuple[str, int, str]:
    found = NUMBER.search(pattern)
    assert found is not None
    return pattern[: found.start()], int(found[1] or 1), pattern[found.end() :]
