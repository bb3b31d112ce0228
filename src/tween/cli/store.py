"""`tween store SET --root DIR -o STORE`: a set made ready to train on, written once."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..errors import BadOption
from ..pipeline.config import option
from .show import counting, print_json, say


@dataclass(frozen=True)
class Store:
    """A set made ready to train on: small pictures and their optical flow, uncompressed. What is there stays.

    A training run reads it with --data.set store --data.root STORE, and decodes nothing.
    """

    set: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SET", help_behavior_hint="")]
    """Its layout: video (files, or a folder of them), frames, vimeo90k, gopro, ..."""
    root: Annotated[Path, option("DIR", "required")]
    """Where the footage is."""
    out: Annotated[Path, option("DIR", "required", "-o")]
    """Where the store goes."""
    side: Annotated[int, option("PIXELS", "288")] = 288
    """Of the shorter side of what is stored; smaller pictures stay as they are."""
    reach: Annotated[int, option("FRAMES", "2, which gaps of 2 and 3 ask for")] = 2
    """How far on either side of each frame flows go; 0: no flows."""
    split: Annotated[Literal["train", "val", "test"], option(hint="train")] = "train"
    """Which part of a set that has parts."""
    quiet: bool = False
    """No bar and no words, but errors."""
    json: bool = False
    """Print one JSON object last."""


def run(argv: Sequence[str]) -> int:
    """Parse, store, report. Returns the exit code."""
    args = tyro.cli(Store, args=list(argv), prog="tween store", config=(tyro.conf.FlagCreatePairsOff,))
    from ..data.sets import open_set
    from ..data.store import store

    if args.side < 16 or args.reach < 0:
        got = f"--side {args.side} --reach {args.reach}"
        raise BadOption(
            got, "a side of 16 pixels and more and a reach of 0 and more are needed", "--side 288 --reach 2"
        )
    quiet = args.quiet or args.json
    found = open_set(args.set, args.root, args.split)
    for note in found.notes:
        say(f"note: {note}", hidden=quiet)
    begun = time.perf_counter()
    try:
        with counting(args.set, hidden=quiet) as watch:
            made = store(found, args.out, side=args.side, reach=args.reach, watch=watch)
    except KeyboardInterrupt as stopped:
        raise KeyboardInterrupt(f"interrupted; the clips in {args.out} are whole; the same line goes on") from stopped
    words = (
        f"{made.written} clips, {made.frames} frames, {made.megabytes:.0f} MB in {time.perf_counter() - begun:.0f} s"
    )
    say(f"{args.out}: {words}; {made.kept} were there; {made.broken} could not be read", hidden=quiet)
    if args.json:
        print_json({"out": str(args.out), **dataclasses.asdict(made)})
    return 0
