"""The process in which videos are opened and rendered, so that a server outlives what a video does to it.

    server --> {"do": "render", ...}            one JSON object a line, on standard input
    server <-- {"status": {...}} ... {"done": {...}} | {"error": {...}} | {"fault": "..."}     on standard output

It ends when its input does, and so with its server. It renders one thing and is then thrown away.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from ..errors import TweenError

if TYPE_CHECKING:
    from ..pipeline.config import RenderConfig

BETWEEN_S: Final = 0.1  # seconds between two words on how far a render is
EXPENDABLE: Final = 500  # where memory runs out, Linux ends this process before others
MEMORY_SHARE: Final = 0.8  # of the machine's memory
NICE: Final = 5


class Line:
    """What joins this process to the server.

    Attributes:
        waiting: what the server sent and nobody took yet.
    """

    def __init__(self) -> None:
        self._answers = _own_output()
        self.waiting: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, name="tween-orders", daemon=True).start()

    def tell(self, message: dict[str, Any]) -> None:
        """One message to the server."""
        self._answers.write(json.dumps(message, default=str) + "\n")
        self._answers.flush()

    def _read(self) -> None:
        """The end of the input ends the process, whatever it is doing."""
        for text in sys.stdin:
            self.waiting.put(json.loads(text))
        os._exit(0)


def main() -> None:
    """Take orders until there are no more."""
    line = Line()
    _step_back()
    _import_all()
    line.tell({"done": {}})
    while True:
        line.tell(_answer(line.waiting.get(), line))


def _answer(order: dict[str, Any], line: Line) -> dict[str, Any]:
    folder, name = Path(order.get("folder", ".")), order.get("name", "")
    try:
        return {"done": ORDERS[order.pop("do")](order, line)}
    except TweenError as error:
        return {"error": {"kind": type(error).__name__, "message": said(str(error), folder, name, order)}}
    except Exception:
        return {"fault": traceback.format_exc()}


def said(words: str, folder: Path, name: str, order: dict[str, Any]) -> str:
    """The words of the command line, about the file as its sender calls it, and without a path."""
    from ..evaluate.report import discreet
    from .asked import RESULT, UPLOAD, called, upload_in

    words = words.replace(f"{folder}{os.sep}", "")
    if RESULT in words:
        output = Path(called(name, order["options"]))
        words = words.replace(RESULT + output.suffix, output.name).replace(RESULT, output.stem)
    words = words.replace(upload_in(folder, name).name, name).replace(UPLOAD, name)
    return discreet(words)


def _look(order: dict[str, Any], line: Line) -> dict[str, Any]:  # noqa: ARG001
    from .asked import upload_in
    from .look import look

    path = upload_in(Path(order["folder"]), order["name"])
    return look(path, most_pixels=order["most_pixels"], most_frames=order["most_frames"])


def _plan(order: dict[str, Any], line: Line) -> dict[str, Any]:  # noqa: ARG001
    from .plan import plan

    return plan(Path(order["folder"]), order["name"], order["options"], most_frames=order["most_frames"])


def _measure(order: dict[str, Any], line: Line) -> dict[str, Any]:  # noqa: ARG001
    from .plan import measure

    return measure(Path(order["folder"]), order["name"], order["options"])


def _models(order: dict[str, Any], line: Line) -> dict[str, Any]:  # noqa: ARG001
    from .shelf import models

    return models()


def _render(order: dict[str, Any], line: Line) -> dict[str, Any]:
    from ..pipeline.recipe import render
    from .asked import config_for

    watch = _Watch(line)
    folder, name = Path(order["folder"]), order["name"]
    config = config_for(folder, name, order["options"])
    report = render(config, watch.told)
    assert config.output is not None
    line.tell({"status": {"phase": "preview"}})
    facts = report.as_json()
    facts["damage"] = facts["damage"] and said(facts["damage"], folder, name, order)
    facts["notes"] = [said(note, folder, name, order) for note in facts["notes"]]
    facts["output"] = config.output.name
    facts["bytes"] = config.output.stat().st_size
    return {**facts, **_previews(config, folder, order["stretch"])}


def _previews(config: RenderConfig, folder: Path, stretch: float) -> dict[str, Any]:
    """What the page compares, the files themselves where a browser plays them, else copies; and when, in what it
    compares with, the result begins (seconds)."""
    from av.error import FFmpegError

    from ..pipeline.config import seconds
    from .preview import LONGEST_S, make_preview, plays

    assert config.output is not None
    start = seconds(config.start, "--start") or Fraction(0)
    shown: dict[str, Any] = {"before_from": float(start)}
    for role, path, begin, lasts in (("before", config.input, start, 1.0), ("after", config.output, None, stretch)):
        try:
            is_whole = plays(path)
            shown[role] = path.name if is_whole else f"{role}.mp4"
            if not is_whole:
                make_preview(path, folder / shown[role], start=begin, lasts=LONGEST_S * Fraction(lasts))
                shown["before_from"] *= role != "before"
        except (TweenError, FFmpegError, OSError):  # the result is whole all the same: only the comparison is missing
            shown[role] = None
    return shown


class _Watch:
    """Tells how far a render is, now and then."""

    def __init__(self, line: Line) -> None:
        self._line, self._last, self._begun, self._first = line, 0.0, 0.0, 0

    def told(self, status: Any) -> None:
        """After each frame."""
        now = time.monotonic()
        if not status.fetching and not self._begun:
            self._begun, self._first = now, status.frames
        if now - self._last < BETWEEN_S and status.frames != status.expected:
            return
        self._last = now
        done, took = status.frames - self._first, now - self._begun
        fps = done / took if done and took > 0 and not status.fetching else None
        left = (status.expected - status.frames) / fps if fps and status.expected else None
        self._line.tell({"status": {
            "phase": "fetching" if status.fetching else "rendering", "frames": status.frames,
            "expected": status.expected, "model": status.model, "backend": status.backend, "fps": fps, "left_s": left,
        }})  # fmt: skip


def _live(order: dict[str, Any], line: Line) -> dict[str, Any]:
    from .live import live

    return live(order, line.waiting, line.tell)


ORDERS: Final[dict[str, Callable[[dict[str, Any], Line], dict[str, Any]]]] = {
    "look": _look, "plan": _plan, "measure": _measure, "models": _models, "render": _render,
    "live": _live,
}  # fmt: skip


def _own_output() -> IO[str]:
    """Standard output for answers alone: what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _step_back() -> None:
    """Behind the server in everything: time, memory, and what the system ends first."""
    if hasattr(os, "nice"):
        os.nice(NICE)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(EXPENDABLE))
    with suppress(ImportError, OSError, ValueError):
        import resource

        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        resource.setrlimit(resource.RLIMIT_DATA, (int(total * MEMORY_SHARE), resource.RLIM_INFINITY))


def _import_all() -> None:
    """What every order needs, before the first one comes."""
    from ..backends import torch as _  # noqa: F401
    from ..evaluate import report  # noqa: F401
    from ..pipeline import going, offline, recipe  # noqa: F401
    from . import asked, look, plan  # noqa: F401


if __name__ == "__main__":
    main()
