"""What a command shows: a bar on stderr, words, JSON on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..pipeline.recipe import Status


@contextmanager
def bar(title: str, *, hidden: bool = False) -> Iterator[Callable[[Status], None] | None]:
    """A progress bar; the block gets the function to tell each Status to, or None if it is hidden."""
    if hidden:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[fps]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(f"{title}: opening", total=None, fps="")

        def watch(status: Status) -> None:
            speed = progress.tasks[task].speed
            progress.update(
                task,
                description=f"{title} ({status.model}, {status.backend})",
                completed=status.frames,
                total=status.expected,
                fps=f"{speed:.1f} fps" if speed else "",
            )

        yield watch
        done = progress.tasks[task].completed
        progress.update(task, total=done)


def say(words: str, *, hidden: bool = False) -> None:
    """One line for the user, on stderr."""
    if not hidden:
        print(words, file=sys.stderr)


def print_json(result: dict[str, Any]) -> None:
    """The machine-readable result, on stdout, last."""
    print(json.dumps(result, ensure_ascii=False))
