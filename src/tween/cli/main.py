"""`tween COMMAND ...`: a table of commands, and what becomes of errors.

Only the command that was asked for is imported, so that `tween --help` answers at once and imports no torch.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from ..errors import TweenError, near

OURS, INTERRUPTED = 1, 130


@dataclass(frozen=True)
class Command:
    """Where a command lives (a module with `run(argv) -> exit code`, of this folder or, with a dot, of another room)
    and what it is for; whether it renders, with decoder and encoder beside the model."""

    module: str
    about: str
    renders: bool = False


COMMANDS: Final = {
    "interpolate": Command(
        "interpolate", "make a video smoother or slower: --rate 60, --times 2, --slow 4", renders=True
    ),
    "train": Command("train", "train a network on footage as a recipe says; goes on where it was stopped"),
    "lora": Command("lora", "train a small adapter of a network: lora RECIPE; lora merge FILE, lora list"),
    "batch": Command(
        "batch", "render many films, or one long one, over all workers of a machine or a cluster", renders=True
    ),
    "live": Command(
        "live", "a video, a camera or a screen, smoother while it plays: in a window, a page, a pipe", renders=True
    ),
    "adapt": Command("adapt", "tune a network on the film itself; kept only if it helps, with its gain in dB"),
    "predict": Command(
        "predict", "show frames before they come: after the last one, or all along a clip", renders=True
    ),
    "serve": Command(".web.command", "a web page to render in: drop a video, watch, compare, download", renders=True),
    "extract": Command("extract", "videos to folders of frames, split at scene cuts"),
    "evaluate": Command("evaluate", "how good models are on a set, by its published protocol: a table, a page"),
    "flow": Command("flow", "flow labels for a set, written once, for training"),
    "store": Command("store", "a set made ready to train on: small, uncompressed, with flows"),
    "bench": Command("bench", "how fast models run on this machine, beside one another and beside others"),
    "export": Command("export", "a model as one file for other programs: ONNX, OpenVINO, ncnn"),
    "models": Command("models", "the networks: what each can do, its cost, its weights"),
    "weights": Command("weights", "keep a file of weights under a name: weights import FILE"),
    "doctor": Command("doctor", "what is installed, and what `auto` would run on this machine"),
    "demo": Command("demo", "make a small clip, interpolate it, and show the result as a picture", renders=True),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0 done, 1 a fault of ours, 2 the user's to mend, 130 interrupted."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        return _done(args)
    except TweenError as error:
        return _tell(error, error.exit_code, args)
    except KeyboardInterrupt as stopped:
        print(f"tween: {stopped.args[0] if stopped.args else 'interrupted; nothing was left behind'}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of our output has gone: so do we
        return OURS
    except Exception as error:
        log = _log(args)
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        return _tell(TweenError(f"a fault of ours: {what}", f"the details are in {log}"), OURS, args)


def _done(args: Sequence[str]) -> int:
    """The command done, or help told; all that is printed is out, so that a reader who has gone is noticed."""
    if not args or args[0] in {"-h", "--help", "help"}:
        print(usage())
        code = 0
    elif args[0] in {"-V", "--version"}:
        from .. import __version__

        print(f"tween {__version__}")
        code = 0
    else:
        code = _command(args[0])(args[1:])
    sys.stdout.flush()
    return code


def usage() -> str:
    """What `tween --help` prints."""
    from .. import __version__

    rows = [f"  {name:<12} {command.about}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            f"tween {__version__}: the frames in between, at exact times",
            "",
            "usage: tween COMMAND [options]      tween COMMAND --help tells a command's options",
            "",
            *rows,
            "",
            "  tween interpolate in.mp4 --rate 60",
        ]
    )


def _command(name: str):  # type: ignore[no-untyped-def]  # a module's `run`
    if name not in COMMANDS:
        raise TweenError(f"there is no command {name!r}{near(name, COMMANDS)}", "", "tween --help")
    command = COMMANDS[name]
    if command.renders:  # torch's threads would wait by looking again and again, on cores that decoder and encoder want
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is imported
    return importlib.import_module(f".{command.module}", __package__).run


def _tell(error: TweenError, code: int, args: Sequence[str]) -> int:
    if "--json" in args:
        words = json.dumps({"error": type(error).__name__, "message": str(error), "exit": code})
        print(words, file=sys.stderr if _pipes_video(args) else sys.stdout)
    print(f"tween: {error}", file=sys.stderr)
    return code


def _pipes_video(args: Sequence[str]) -> bool:
    """Whether standard output is for video alone."""
    return "--pipe" in args or any(pair in {("-o", "-"), ("--output", "-")} for pair in pairwise(args))


def _log(args: Sequence[str]) -> str:
    with tempfile.NamedTemporaryFile("w", prefix="tween-", suffix=".log", delete=False) as log:
        log.write(f"tween {' '.join(args)}\n\n{traceback.format_exc()}")
    return log.name


if __name__ == "__main__":
    sys.exit(main())
