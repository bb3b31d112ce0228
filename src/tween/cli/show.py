"""What a command shows: a bar on stderr, words, JSON on stdout."""

from __future__ import annotations

import json as json_text
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..pipeline.recipe import Report, Status


@contextmanager
def progress(title: str, *, hidden: bool = False) -> Iterator[Callable[[Status], None] | None]:
    """A progress bar; the block gets the function to tell each Status to, or None if it is hidden."""
    if hidden:
        yield None
        return
    title = "standard input" if title == "-" else title
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[fps]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    opening = console.status(f"{title}: opening")  # gone without a trace if nothing comes of it
    shown = Progress(*columns, console=console)
    task = shown.add_task(title, total=None, fps="")

    def watch(status: Status) -> None:
        if not shown.live.is_started:
            opening.stop()
            shown.start()
        if status.fetching:
            megabytes = None if status.expected is None else status.expected / 1e6
            shown.update(
                task, description=f"fetching {status.model}", completed=status.frames / 1e6, total=megabytes, fps="MB"
            )
            return
        if status.frames == 1:
            shown.reset(task)
        speed = shown.tasks[task].speed
        shown.update(
            task,
            description=f"{title} ({status.model}, {status.backend})",
            completed=status.frames,
            total=status.expected,
            fps=f"{speed:.1f} fps" if speed else "",
        )

    opening.start()
    try:
        yield watch
        shown.update(task, total=shown.tasks[task].completed)
    finally:
        opening.stop()
        if shown.live.is_started:
            shown.stop()


@contextmanager
def counting(title: str, *, hidden: bool) -> Iterator[Callable[[int, int, str], None] | None]:
    """A bar that is told how much is done, of how much, and what is at hand; None if it is hidden."""
    if hidden:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=Console(stderr=True)) as shown:
        task = shown.add_task(title, total=None)

        def watch(done: int, total: int, clip: str) -> None:
            shown.update(task, description=f"{title} {clip}", completed=done, total=total)

        yield watch


def say(words: str, *, hidden: bool = False) -> None:
    """One line for the user, on stderr."""
    if not hidden:
        print(words, file=sys.stderr)


def print_json(result: dict[str, Any]) -> None:
    """The machine-readable result, on stdout, last; on stderr where stdout was the video."""
    print(json_text.dumps(result, ensure_ascii=False), file=sys.stderr if result.get("output") == "-" else sys.stdout)


def finish(report: Report, *, quiet: bool, json: bool) -> int:
    """Tell the user what a render did. Returns the exit code: 1 if the input was damaged."""
    for note in report.notes:
        say(f"note: {note}", hidden=quiet)
    say(_summary(report), hidden=quiet or json)
    if report.damage is not None:
        say(f"tween: warning: {report.damage}")
    if json:
        print_json(report.as_json())
    return report.damage.exit_code if report.damage is not None else 0


def _summary(report: Report) -> str:
    parts = [f"{report.fps:.1f} fps", f"{report.model} by {report.backend}, {report.precision}"]
    if report.cuts:
        parts.append(f"{report.cuts} cuts")
    if report.psnr is not None:
        parts.append(f"PSNR {report.psnr:.2f} dB, SSIM (3-D) {report.ssim:.4f} against what came")
    if report.peak_memory_mb is not None:
        parts.append(f"peak memory {report.peak_memory_mb:.0f} MB")
    frames = f"{report.frames_in} -> {report.frames_out} frames in {report.seconds:.1f} s"
    where = "standard output" if report.output == "-" else report.output
    return f"{where}: {frames} ({'; '.join(parts)})"
