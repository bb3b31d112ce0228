"""What a page may ask for -> RenderConfig. Only these options, only values that name nothing on the disk."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ..errors import BadOption, NoWeights, UnknownModel, near
from ..pipeline.config import RenderConfig, output_of, timeline_of

TEXTS: Final = {"rate", "slow", "model", "start", "end"}
NUMBERS: Final = {"times": (1, 64), "crf": (0, 63)}
CHOICES: Final = {
    "codec": ("auto", "h264", "hevc", "av1", "vp9", "ffv1", "prores"),
    "cuts": ("hold", "blend", "off"),
    "sound": ("auto", "keep", "stretch", "drop"),
    "repeats": ("keep", "retime"),
}
OPTIONS: Final = (*TEXTS, *NUMBERS, *CHOICES)
LONGEST: Final = 40  # characters of a value
MODEL: Final = re.compile(r"[a-z0-9][a-z0-9.-]*(@[A-Za-z0-9][A-Za-z0-9._-]*)?")
SUFFIXES: Final = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv",
    ".3gp", ".mxf", ".gif", ".apng", ".png", ".webp", ".y4m",
)  # fmt: skip
# what browsers may be able to play as it is, and the type that they are told
MIMES: Final = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm"}
UPLOAD: Final = "tween-upload"
RESULT: Final = "tween-result"


def upload_in(folder: Path, name: str) -> Path:
    """Where a video called `name` by its sender is kept: of the name only a known suffix stays."""
    suffix = Path(name).suffix.lower()
    return folder / (UPLOAD + (suffix if suffix in SUFFIXES else ""))


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were asked for, each of its type; empty ones are left out.

    Raises:
        BadOption: an option or value that there is not.
    """
    found = {name: value for name, value in options.items() if value not in (None, "")}
    for name, value in found.items():
        if name not in OPTIONS:
            raise BadOption(
                f"an option {name[:LONGEST]!r}{near(name[:LONGEST], OPTIONS)}", "one of the page's is needed"
            )
        if name in NUMBERS:
            low, high = NUMBERS[name]
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise BadOption(f"--{name} {_short(value)}", f"a whole number from {low} to {high} is needed")
        elif not isinstance(value, str) or len(value) > LONGEST or not value.isprintable():
            raise BadOption(f"--{name} {_short(value)}", f"a text of {LONGEST} letters at most is needed")
        elif name in CHOICES and value not in CHOICES[name]:
            raise BadOption(f"--{name} {value}", f"one of {', '.join(CHOICES[name])} is needed")
    if not MODEL.fullmatch(found.get("model", "default")):
        raise UnknownModel(f"no model is called {found['model']}", "a name of `tween models` is needed")
    timeline_of(RenderConfig(Path("video"), **found))
    return found


def config_for(folder: Path, name: str, options: Mapping[str, Any]) -> RenderConfig:
    """The render of a job: the very one that the command line makes with the same options.

    Args:
        folder: of the job. name: of the video, as its sender calls it. options: from `checked`.
    """
    config = RenderConfig(upload_in(folder, name), **options)
    return replace(config, output=folder / (RESULT + output_of(config).suffix))


def called(name: str, options: Mapping[str, Any]) -> str:
    """What the command line would call the output: `clip-60fps.mp4`."""
    return output_of(RenderConfig(Path(name), **options)).name


def at_hand(model: str) -> None:
    """Raises what the command line does for a name that there is not, and NoWeights for one that has to be fetched:
    a page makes nobody's machine fetch anything."""
    from ..models import zoo

    found = zoo.find(model)
    if found.entry.trained and found.path is None:
        raise NoWeights(
            f"the weights of {model} are not on this machine",
            "the page fetches none, the command line does",
            f"tween interpolate VIDEO --times 2 --model {model}",
        )


def _short(value: object) -> str:
    return str(value)[:LONGEST]
