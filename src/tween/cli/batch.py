"""`tween batch`: flags -> BatchConfig -> batch, with a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from ..batch.config import BatchConfig
from .show import print_json, say


@dataclass(frozen=True)
class Batch(BatchConfig):
    """Render many films, or one long one, over all workers of this machine or of a Ray cluster.

    Each result is the file that `tween interpolate` makes. What was stopped or killed goes on with the same command; a
    film that cannot be rendered does not stop the others. Exactly one of --rate, --times, --slow and --curve says
    which frames are wanted.
    """

    quiet: bool = False
    """No table and no words, but failures."""
    json: bool = False
    """Print a line of JSON for each film, and one for the batch last."""


def run(argv: Sequence[str]) -> int:
    """Parse, render, report. Returns the exit code: 1 if a film failed or was damaged."""
    args = tyro.cli(Batch, args=list(argv), prog="tween batch", config=(tyro.conf.FlagCreatePairsOff,))
    from ..batch.run import batch
    from ..batch.views import as_json, closing, json_lines, table

    try:
        with table(hidden=args.quiet or args.json) as watch:
            totals = batch(args, json_lines if args.json else watch)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; what is finished is kept: the same command goes on from there") from None
    for line in closing(totals):
        say(line, hidden=args.quiet and not line.startswith(("failed", "damaged")))
    if args.json:
        print_json(as_json(totals))
    return totals.exit_code
