"""`tween extract`: videos to folders of frames, one a shot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ..pipeline.config import option
from .show import print_json, say

if TYPE_CHECKING:
    from ..pipeline.extract import Extracted


@dataclass(frozen=True)
class Extract:
    """Videos to folders of frames: one folder a shot, `OUT/video/shot-0000/frame_000000.png`.

    Shots are split at scene cuts. Pictures that repeat the one before, and shots that are too short, are left out and
    counted.
    """

    videos: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="VIDEO...", help_behavior_hint="")]
    """Video files, or folders of pictures."""
    output: Annotated[Path, option("DIR", "required", "-o")]
    """Where the folders go; made if it is not there."""
    least: Annotated[int, option("N", "3")] = 3
    """A shot of fewer frames is left out."""
    quiet: bool = False
    """No words, but errors."""
    json: bool = False
    """Print one JSON object last."""


def run(argv: Sequence[str]) -> int:
    """Parse, extract each video, report. Returns the exit code."""
    args = tyro.cli(Extract, args=list(argv), prog="tween extract", config=(tyro.conf.FlagCreatePairsOff,))
    from ..pipeline.extract import extract

    quiet = args.quiet or args.json
    results: list[Extracted] = []
    for video in args.videos:
        results.append(extract(video, args.output, least=args.least))
        say(_summary(results[-1]), hidden=quiet)
    damaged = [result for result in results if result.damage is not None]
    for result in damaged:
        say(f"tween: warning: {result.damage}")
    if args.json:
        print_json({"videos": [result.as_json() for result in results]})
    return 1 if damaged else 0


def _summary(result: Extracted) -> str:
    left_out = f"; left out: {result.repeats} repeats, {result.short} frames of too short shots"
    return f"{result.folder}: {result.frames} frames in {result.shots} shots{left_out}"
