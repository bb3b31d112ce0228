"""`tween interpolate`: flags -> RenderConfig -> render, with a bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from ..pipeline.config import RenderConfig
from ..pipeline.recipe import render
from .show import finish, progress


@dataclass(frozen=True)
class Interpolate(RenderConfig):
    """Make a video smoother or slower. Sound, subtitles, chapters and tags come along.

    Exactly one of --rate, --times, --slow and --curve says which frames are wanted; --rate may stand beside one of the
    last two.
    """

    quiet: bool = False
    """No bar and no words, but errors."""
    json: bool = False
    """Print one JSON object last."""


def run(argv: Sequence[str]) -> int:
    """Parse, render, report. Returns the exit code."""
    args = tyro.cli(Interpolate, args=list(argv), prog="tween interpolate", config=(tyro.conf.FlagCreatePairsOff,))
    with progress(args.input.name, hidden=args.quiet or args.json) as watch:
        report = render(args, watch)
    return finish(report, quiet=args.quiet, json=args.json)
