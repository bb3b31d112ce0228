"""`tween interpolate`: flags -> RenderConfig -> render, with a bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from ..errors import Conflict, OutputExists
from ..pipeline.config import RenderConfig, option, output_of, timeline_of
from ..pipeline.recipe import render
from .main import INTERRUPTED
from .show import finish, progress, say


@dataclass(frozen=True)
class Interpolate(RenderConfig):
    """Make a video smoother or slower. Sound, subtitles, chapters and tags come along.

    Exactly one of --rate, --times, --slow and --curve says which frames are wanted; --rate may stand beside one of the
    last two.
    """

    adapt: bool = False
    """Tune the model on this film first (see `tween adapt`); what was learnt is kept, and used if it helps."""
    adapt_minutes: Annotated[float, option("M", "5")] = 5.0
    """The time that --adapt may take, about."""
    quiet: bool = False
    """No bar and no words, but errors."""
    json: bool = False
    """Print one JSON object last."""


def run(argv: Sequence[str]) -> int:
    """Parse, render, report. Returns the exit code."""
    args = tyro.cli(Interpolate, args=list(argv), prog="tween interpolate", config=(tyro.conf.FlagCreatePairsOff,))
    worn = tuned(args) if args.adapt else args
    if worn is None:
        return INTERRUPTED
    with progress(worn.input.name, hidden=worn.quiet or worn.json) as watch:
        report = render(worn, watch)
    return finish(report, quiet=worn.quiet, json=worn.json)


def tuned(args: Interpolate) -> Interpolate | None:
    """The same with an adapter made for this film, if that helps; None where somebody stopped it.

    Raises:
        Conflict: of options. TweenError: as `train.adapt.adapt`.
    """
    if args.lora:
        raise Conflict("--adapt with --lora", "an adapter is tuned for the bare model", "one of the two")
    if str(args.input) == "-":
        raise Conflict("--adapt of standard input", "the film is seen more than once", "a file")
    timeline_of(args)  # mistakes are told before minutes go by
    if (output := output_of(args)).exists() and not args.overwrite and not Path(f"{output}.part").exists():
        raise OutputExists(f"{output} is there already", "it would be replaced", "--overwrite, or another -o")
    from ..train.adapt_cache import adapted
    from ..train.adapt_config import AdaptConfig
    from .adapt import bar

    hidden = args.quiet or args.json
    config = AdaptConfig(args.input, args.input, args.model, args.adapt_minutes, device=args.device)
    with bar(args.input.name, hidden=hidden) as watch:
        done = adapted(config, watch)
    if done.why == "interrupted":
        say(f"{args.input.name}: interrupted while it was learning; the same command goes on", hidden=args.quiet)
        return None
    if done.output is None:
        say(f"{args.input.name}: adapting to it gains nothing; the model is used as it is", hidden=hidden)
        return args
    say(f"{args.input.name}: the model was adapted to it, {done.gain_db:+.2f} dB on shots held back", hidden=hidden)
    return replace(args, lora=(str(done.output),))
