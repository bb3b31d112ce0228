"""What a batch shows while it runs: a table, lines of words, or lines of JSON."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .driver import Driver, Totals, Watch
from .film import Film
from .messages import Hand

SHOWN = 8  # films in the table: those that are being rendered
REFRESH_S = 0.5
RECENT_S = 20.0  # of a worker's work, over which its speed is told
WORDS = {"done": "done", "failed": "failed", "skipped": "finished before"}


@contextmanager
def table(*, hidden: bool = False) -> Iterator[Watch | None]:
    """A live table on stderr, or lines where that is no terminal; the block gets the function to tell."""
    if hidden:
        yield None
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines
        return
    with Live(Text("starting workers"), console=console, refresh_per_second=4, transient=True) as live:
        last = 0.0

        def watch(driver: Driver, film: Film | None) -> None:
            nonlocal last
            if film is not None and film.state != "skipped":
                live.console.print(settled(film), highlight=False, soft_wrap=True)
            if film is not None or time.monotonic() - last > REFRESH_S:
                last = time.monotonic()
                live.update(Group(_films(driver), _workers(driver), Text(summary(driver))))

        yield watch


def json_lines(driver: Driver, film: Film | None) -> None:
    """A line on stdout for each film that is settled."""
    del driver
    if film is not None:
        print(json.dumps({"film": film.result().as_json()}, ensure_ascii=False), flush=True)


def settled(film: Film) -> str:
    """One line for a film of which nothing more will become."""
    if film.reason is not None:
        return f"{film.name}: failed: {film.reason}"
    return f"{film.name}: {WORDS.get(film.state, film.state)}, {film.frames} frames"


def closing(totals: Totals) -> list[str]:
    """What is said last: what was done, and every failure with its reason."""
    states = Counter(film.state for film in totals.films)
    words = [f"{states[state]} {WORDS[state]}" for state in ("done", "skipped", "failed") if states[state]]
    frames = sum(film.frames - film.resumed for film in totals.films if film.state != "skipped")
    fps = frames / totals.seconds if totals.seconds else 0.0
    lines = [
        f"{len(totals.films)} films: {', '.join(words)}; {frames} frames in {totals.seconds:.1f} s ({fps:.1f} fps)"
    ]
    for note, count in Counter(note for film in totals.films for note in film.notes).items():
        lines.append(f"note: {note}" + (f" ({count} films)" if count > 1 else ""))
    lines += [f"note: {note}" for note in totals.notes]
    lines += [f"damaged: {film.input}: {film.damage}" for film in totals.films if film.damage]
    lines += [f"failed: {film.input}: {film.reason}" for film in totals.films if film.state == "failed"]
    return lines


def as_json(totals: Totals) -> dict[str, object]:
    """The last line of `--json`."""
    states = Counter(film.state for film in totals.films)
    return {
        "films": len(totals.films),
        "done": states["done"],
        "skipped": states["skipped"],
        "failed": [{"input": film.input, "reason": film.reason} for film in totals.films if film.state == "failed"],
        "damaged": [{"input": film.input, "damage": film.damage} for film in totals.films if film.damage],
        "frames": sum(film.frames - film.resumed for film in totals.films if film.state != "skipped"),
        "seconds": round(totals.seconds, 3),
        "starting_seconds": round(totals.starting_s, 3),
        "busy_seconds": round(totals.busy_s, 3),
        "workers": [hand.as_json() for hand in totals.workers],
        "notes": totals.notes,
        "exit": totals.exit_code,
    }


def summary(driver: Driver) -> str:
    """How many films are settled, the speed of all workers, and when it will be over, as far as is known."""
    over = sum(film.is_settled for film in driver.films)
    fps = sum(speed(hand) for hand in driver.hands)
    left = seconds_left(driver, fps)
    words = "" if left is None else f", about {_clock(left)} left"
    return f"{over} of {len(driver.films)} films, {fps:.1f} fps{words}"


def seconds_left(driver: Driver, fps: float) -> float | None:
    """By the frames of films that are known, and the mean of those for the others; None without speed."""
    known = [film.expected for film in driver.films if film.expected is not None]
    if not known or not fps:
        return None
    mean = sum(known) / len(known)
    frames = sum(max(0, (film.expected or mean) - film.shown) for film in driver.films if not film.is_settled)
    return frames / fps


def speed(hand: Hand) -> float:
    """Frames a second of a worker, over its last work."""
    now = time.monotonic()
    hand.recent.append((now, hand.frames))
    hand.recent = [row for row in hand.recent if now - row[0] < RECENT_S]
    (then, before), (_, frames) = hand.recent[0], hand.recent[-1]
    return (frames - before) / (now - then) if now > then else 0.0


def _films(driver: Driver) -> Table:
    shown = Table("film", "frames", "of", "state", box=None, header_style="dim")
    active = [film for film in driver.films if film.state in ("rendering", "joining")]
    for film in active[:SHOWN]:
        shown.add_row(film.name, str(film.shown), str(film.expected or "?"), film.state)
    if len(active) > SHOWN:
        shown.add_row(f"and {len(active) - SHOWN} more", "", "", "")
    return shown


def _workers(driver: Driver) -> Table:
    shown = Table("worker", "where", "film", "fps", box=None, header_style="dim")
    for hand in driver.hands:
        where = "" if hand.ready is None else f"{hand.ready.host} {hand.ready.device}"
        doing = "starting" if hand.ready is None else "idle"
        doing = hand.left_out or (doing if hand.task is None else driver.films[hand.task.film].name)
        shown.add_row(str(hand.slot), where, doing, f"{speed(hand):.1f}")
    return shown


def _lines(driver: Driver, film: Film | None) -> None:
    if film is not None:
        over = sum(one.is_settled for one in driver.films)
        print(f"[{over}/{len(driver.films)}] {settled(film)}", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
