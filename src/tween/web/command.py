"""`tween serve`: the web page, on this machine's own address unless told otherwise."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..errors import BadOption
from ..home import cache_folder
from ..pipeline.config import option
from .serve import serve
from .settings import Settings, bytes_of, token_for


@dataclass(frozen=True)
class Serve:
    """A web page to render in: drop a video, see what will come out, render, compare, download. Only this machine
    reaches it; with another --host a token is needed, which is printed as part of the address."""

    host: Annotated[str, option("HOST", "127.0.0.1")] = "127.0.0.1"
    """Where to listen: an address of this machine; 0.0.0.0 for all of them."""
    port: Annotated[int, option("PORT", "7860")] = 7860
    """0 takes a free one."""
    max_upload: Annotated[str, option("BYTES", "2GB")] = "2GB"
    """A video has to be smaller."""
    quota: Annotated[str, option("BYTES", "20GB")] = "20GB"
    """Room for all videos and results together."""
    keep: Annotated[float, option("HOURS", "24")] = 24.0
    """How long a job is kept after it was last looked at."""
    folder: Annotated[Path | None, option("DIR", "where caches are kept")] = None
    """Where jobs are kept."""


def run(argv: Sequence[str]) -> int:
    """Parse, serve until Ctrl-C. Returns the exit code."""
    args = tyro.cli(Serve, args=list(argv), prog="tween serve", config=(tyro.conf.FlagCreatePairsOff,))
    if not 0 <= args.port < 1 << 16:
        raise BadOption(f"--port {args.port}", "a number from 0 to 65535 is needed", "--port 7860")
    if not 0 < args.keep <= 24 * 365:
        raise BadOption(f"--keep {args.keep:g}", "hours are needed, a year at most", "--keep 24")
    settings = Settings(
        host=args.host,
        port=args.port,
        folder=args.folder or cache_folder("serve"),
        token=token_for(args.host),
        max_upload=bytes_of(args.max_upload, "--max-upload"),
        quota=bytes_of(args.quota, "--quota"),
        keep_s=args.keep * 3600,
    )
    with suppress(KeyboardInterrupt):
        serve(settings, lambda words: print(words, file=sys.stderr, flush=True))
    return 0
