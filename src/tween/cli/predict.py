"""`tween predict`: flags -> PredictConfig -> predict, with a bar and a score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from ..pipeline.config import PredictConfig
from ..pipeline.recipe import predict
from .show import finish, progress


@dataclass(frozen=True)
class Predict(PredictConfig):
    """Show frames before they come.

    Without --ahead the whole clip is rendered as a viewer without any delay would see it: each frame predicted from
    those before it, and scored against what really came. With --ahead N, the N frames after the last one.
    """

    quiet: bool = False
    """No bar and no words, but errors."""
    json: bool = False
    """Print one JSON object last."""


def run(argv: Sequence[str]) -> int:
    """Parse, predict, report. Returns the exit code."""
    args = tyro.cli(Predict, args=list(argv), prog="tween predict", config=(tyro.conf.FlagCreatePairsOff,))
    with progress(args.input.name, hidden=args.quiet or args.json) as watch:
        report = predict(args, watch)
    return finish(report, quiet=args.quiet, json=args.json)
