"""`tween flow SET --root DIR`: flow labels for a set, written once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..pipeline.config import option
from .show import counting, print_json, say


@dataclass(frozen=True)
class Flow:
    """Flow labels for a set: where every pixel of a frame is in its two neighbours. Written once; what is there stays.

    A training run that needs labels finds them beside the set, and makes its own on the spot where there are none.
    """

    set: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SET", help_behavior_hint="")]
    """Its layout: video (files, or a folder of them), frames, vimeo90k, gopro, ..."""
    root: Annotated[Path, option("DIR", "required")]
    """Where the footage is."""
    model: Annotated[str, option("NAME|FILE", "dis, searched from the frame itself")] = "dis"
    """dis, or a network that gives a flow."""
    out: Annotated[Path | None, option("DIR", "DIR.flow, beside the footage", "-o")] = None
    """Where the labels go."""
    gap: Annotated[int | None, option("K", "the set's own, or 2")] = None
    """Source frames between the two neighbours."""
    split: Annotated[Literal["train", "val", "test"], option(hint="train")] = "train"
    """Which part of a set that has parts."""
    predict: bool = False
    """Label the frame after its two neighbours, not the one between them."""
    device: Annotated[str, option("DEVICE", "cpu")] = "cpu"
    """What a network runs on: cpu, cuda, cuda:1, mps."""
    quiet: bool = False
    """No bar and no words, but errors."""
    json: bool = False
    """Print one JSON object last."""


def run(argv: Sequence[str]) -> int:
    """Parse, label, report. Returns the exit code."""
    args = tyro.cli(Flow, args=list(argv), prog="tween flow", config=(tyro.conf.FlagCreatePairsOff,))
    from ..data.labels import Labels, beside
    from ..data.sets import open_set
    from ..train.teacher import write_labels

    quiet = args.quiet or args.json
    found = open_set(args.set, args.root, args.split)
    for note in found.notes:
        say(f"note: {note}", hidden=quiet)
    labels = Labels(args.out) if args.out else beside(args.root)
    try:
        with counting(args.set, hidden=quiet) as watch:
            made = write_labels(
                found, labels, model=args.model, gap=args.gap, predict=args.predict, device=args.device, watch=watch
            )
    except KeyboardInterrupt as stopped:
        raise KeyboardInterrupt(
            f"interrupted; the labels in {labels.root} are whole; the same line goes on"
        ) from stopped
    words = f"{made.written} labels in {made.seconds:.1f} s, {made.megabytes:.1f} MB; {made.kept} were there"
    say(f"{labels.root}: {words}; {made.broken} windows could not be read", hidden=quiet)
    if args.json:
        print_json({"out": str(labels.root), **dataclasses.asdict(made)})
    return 0
