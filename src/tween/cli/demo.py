"""`tween demo`: the whole way once, on a clip of our own making."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..pipeline.config import option
from .show import print_json, say


@dataclass(frozen=True)
class DemoOptions:
    """Make a small clip with sound, interpolate it, and draw a contact sheet of what came out."""

    output: Annotated[Path, option("DIR", "tween-demo", "-o")] = Path("tween-demo")
    """Where the clip, the smooth clip and the sheet go."""
    model: Annotated[str, option("NAME|FILE", "the best for this machine")] = "default"
    """A name from `tween models`, or a file of weights."""
    json: bool = False
    """Print one JSON object last."""


def run(argv: Sequence[str]) -> int:
    """Parse, make, report. Returns the exit code."""
    args = tyro.cli(DemoOptions, args=list(argv), prog="tween demo", config=(tyro.conf.FlagCreatePairsOff,))
    from ..pipeline.demo import demo

    made = demo(args.output, model=args.model)
    words = (
        f"{made.clip} -> {made.smooth}: {made.report.frames_in} -> {made.report.frames_out} frames, "
        f"{made.report.fps:.1f} fps with {made.report.model}\n"
        f"against the scene itself: {made.psnr:.2f} dB (a plain blend: {made.psnr_blend:.2f} dB)\n"
        f"look at {made.sheet}"
    )
    say(words, hidden=args.json)
    if args.json:
        files = {"clip": str(made.clip), "smooth": str(made.smooth), "sheet": str(made.sheet)}
        print_json({**files, "psnr": made.psnr, "psnr_blend": made.psnr_blend, "render": made.report.as_json()})
    return 0
