"""What a batch is asked for. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ..errors import BadOption, Conflict
from ..pipeline.config import Between, RenderConfig, Running, Wanted, option
from ..timeline import whole


@dataclass(frozen=True)
class _Where:
    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IN...", help_behavior_hint="")]
    """Video files, and folders of them (with all that lies in them)."""
    output: Annotated[Path, option("DIR", "required", "-o")]
    """A folder for the results; it is made if it is not there."""


@dataclass(frozen=True)
class BatchConfig(Between, Running, Wanted, _Where):
    """Everything that decides what a batch makes, and where."""

    workers: Annotated[int | None, option("N", "one a GPU, else one for four cores")] = None
    """Processes that render side by side."""
    ray: Annotated[str | None, option("ADDRESS|auto", "no Ray: processes of this machine")] = None
    """Workers on a Ray cluster: host:6379; auto is the one that this machine belongs to, or a new one of this
    machine alone."""
    segment: Annotated[int | None, option("FRAMES", "by length of film and number of workers")] = None
    """Frames of the output that a worker makes of a film at a time."""
    order: Annotated[Literal["given", "small", "large"], option(hint="given")] = "given"
    """Which films come first: as they were given, the smallest files, or the largest."""

    def for_film(self, path: Path, output: Path) -> RenderConfig:
        """What is asked for of one film."""
        shared: dict[str, Any] = {
            one.name: getattr(self, one.name) for kind in (Between, Running, Wanted) for one in fields(kind)
        }
        shared["model"] = _found(self.model)
        shared["lora"] = tuple(_found(one) for one in self.lora)
        shared["curve"] = None if self.curve is None else self.curve.absolute()
        return RenderConfig(input=path, output=output, **shared)

    def check(self) -> None:
        """What can be known before anything begins.

        Raises:
            BadOption, Conflict: as they say.
        """
        if not self.inputs:
            raise BadOption(
                "no film was named", "video files or folders of them are needed", "tween batch films/ -o DIR"
            )
        if Path("-") in self.inputs or self.raw is not None:
            raise Conflict(
                "standard input in a batch", "it is one film: files are needed", "tween interpolate - -o OUT"
            )
        if self.workers is not None:
            whole(self.workers, "--workers", least=1)
        if self.segment is not None:
            whole(self.segment, "--segment", least=1, most=1_000_000)


def _found(said: str) -> str:
    """FILE or FILE:WEIGHT from the root on: workers stand elsewhere. Anything else as it is."""
    path, _, weight = said.rpartition(":")
    if Path(said).is_file():
        return str(Path(said).absolute())
    return f"{Path(path).absolute()}:{weight}" if path and Path(path).is_file() else said
