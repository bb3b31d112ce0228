"""`tween interpolate`: flags -> RenderConfig -> render, with a bar."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from ..pipeline.recipe import RenderConfig, Report, render
from .show import bar, print_json, say


@dataclass(frozen=True)
class Interpolate(RenderConfig):
    """Make a video smoother or slower. Sound, subtitles, chapters and tags come along.

    Exactly one of --rate, --times and --slow says which frames are wanted.
    """

    quiet: bool = False
    """No bar and no words, but errors."""
    json: bool = False
    """Print one JSON object last."""


def run(argv: Sequence[str]) -> int:
    """Parse, render, report. Returns the exit code."""
    args = tyro.cli(Interpolate, args=list(argv), prog="tween interpolate", config=(tyro.conf.FlagCreatePairsOff,))
    quiet = args.quiet or args.json
    with bar(args.input.name, hidden=quiet) as watch:
        report = render(args, watch)
    for note in report.notes:
        say(f"note: {note}", hidden=args.quiet)
    say(_summary(report), hidden=quiet)
    if report.damage is not None:
        print(f"tween: warning: {report.damage}", file=sys.stderr)
    if args.json:
        print_json(report.as_json())
    return report.damage.exit_code if report.damage is not None else 0


def _summary(report: Report) -> str:
    memory = f", peak memory {report.peak_memory_mb:.0f} MB" if report.peak_memory_mb is not None else ""
    cuts = f", {report.cuts} cuts" if report.cuts else ""
    return (
        f"{report.output}: {report.frames_in} -> {report.frames_out} frames in {report.seconds:.1f} s "
        f"({report.fps:.1f} fps, {report.model} by {report.backend}, {report.precision}{cuts}{memory})"
    )
