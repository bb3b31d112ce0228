"""Every mistake a user can make, one small class each.

A message has three parts: what we got, what we need, what to type. The command line prints it as one line and
leaves with `exit_code`; a program catches `TweenError` or the one class it cares for.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib import import_module
from typing import Any


class TweenError(Exception):
    """A mistake that the user can mend.

    The words read "got; need; try: fix", so each part is a phrase without capital or full stop.

    Args:
        got: what we found.
        need: what we need instead.
        fix: what to type or do.
    """

    exit_code = 2

    def __init__(self, got: str, need: str = "", fix: str = "") -> None:
        self.got, self.need, self.fix = got, need, fix
        super().__init__("; ".join(part for part in (got, need, fix and f"try: {fix}") if part))


class MissingFile(TweenError):
    """The input is not there."""


class NotAVideo(TweenError):
    """The input is there, and is no video that can be read."""


class NoVideoStream(NotAVideo):
    """A media file without moving pictures: sound only, say."""


class EmptyVideo(NotAVideo):
    """No frame could be decoded."""


class TooShort(TweenError):
    """Fewer frames than the task needs."""


class TruncatedInput(TweenError):
    """The input broke off or is damaged. What could be read was rendered; the output is kept."""

    exit_code = 1


class OutputExists(TweenError):
    """The output is there already, and nobody said to replace it."""


class CannotWrite(TweenError):
    """The output's folder is missing or closed to us."""


class DiskFull(CannotWrite):
    """The disk ran full while writing; the unfinished output was removed."""


class BadOption(TweenError):
    """A value that an option cannot take."""


class Conflict(TweenError):
    """Options that are possible alone and impossible together."""


class Busy(Conflict):
    """Another run is writing the output at this moment."""


class UnknownModel(TweenError):
    """A model name that the zoo does not know."""


class NoWeights(TweenError):
    """A network without trained weights at hand. An untrained network is never run."""


class BadWeights(TweenError):
    """A weights file that cannot be read, or fits no network."""


class CannotExport(TweenError):
    """A model, or a form of it, that no exported file can hold."""


class UnknownTime(TweenError):
    """The model cannot render the instants asked of it."""


class MissingPackage(TweenError):
    """An optional package that the choice needs is not installed."""


class NoDevice(TweenError):
    """A camera, screen or window that is not there, or may not be used."""


class BrokenClock(TweenError):
    """Times that jump by hours, at a constant rate: frames without end."""


class UnsupportedStream(TweenError):
    """A stream or pixel format that the target cannot hold."""


class BrokenPicture(TweenError):
    """A picture of a set that is missing or cannot be decoded."""


class WrongLayout(TweenError):
    """A folder that does not hold the set it was said to hold."""


class TooMuch(TweenError):
    """More bytes, pixels, frames or jobs than the web page's server takes."""


class TooSlow(TweenError):
    """A body that does not arrive in time."""


class MissingTerm(TweenError):
    """A loss term that needs what the model or the sample does not give."""


def near(word: str, known: Iterable[str]) -> str:
    """The known words most like `word`, as ` (did you mean a, b?)`, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f" (did you mean {', '.join(close)}?)" if close else ""


def imported(module: str, called: str, need: str, fix: str) -> Any:
    """A module of a package that not everybody has.

    Raises:
        MissingPackage: `called`, as people know it, is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingPackage(f"{called} is not installed", need, fix) from error
