"""`tween live`: flags -> source, LiveRun, and who looks at it."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..errors import BadOption, Conflict
from ..live import page, script
from ..live.session import Session
from ..live.view import words
from ..pipeline.config import Engine, option, seconds
from ..pipeline.live_start import LiveConfig, live_run
from ..timeline import broadcast_rate, positive, whole
from ..video.devices import is_device, open_device
from ..video.doors import open_source
from ..video.looping import Looping
from ..video.pipes import PIPE
from ..video.pipesink import PipeSink
from ..video.stream import Encoding, FrameSink, FrameSource
from .show import print_json, say

INTERRUPTED = 130


@dataclass(frozen=True)
class Live:
    """Show a video, a camera or a screen smoother while it plays: the original on the left, the frames in between on
    the right. What cannot be there in time is dropped, so that nothing falls behind.

    Keys in the window: space holds, . steps, s wipes between before and after, f shows the motion, p saves the picture,
    q or Esc quits.
    """

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE", help_behavior_hint="")]
    """A video file, camera:0, screen:0, or - for y4m on standard input."""
    show: Annotated[Literal["window", "web", "none"], option(hint="window")] = "window"
    """A window, a page for a browser on this machine, or nothing but a line a second."""
    predict: bool = False
    """Show the next frame before it comes, without any delay, instead of the frames in between, a frame late."""
    rate: Annotated[str | None, option("R", "twice the source's; with --predict, the source's")] = None
    """Pictures a second."""
    times: Annotated[int | None, option("N")] = None
    """Pictures for each source frame, instead of --rate."""
    model: Annotated[str, option("NAME|FILE", "dis-fast; with --predict, dis-ahead")] = "default"
    """A name from `tween models`, or a file of weights."""
    backend: Annotated[Engine, option(hint="auto")] = "auto"
    """What runs the model."""
    device: Annotated[str, option("DEVICE", "auto")] = "auto"
    """cpu, cuda, cuda:1, mps."""
    precision: Annotated[Literal["auto", "fp32", "bf16", "fp16"], option(hint="auto")] = "auto"
    """Of the convolutions; flows stay in fp32."""
    scale: Annotated[str, option("S", "1")] = "1"
    """Work on pictures of this size: 0.5 is a quarter of the pixels."""
    hold_rate: bool = False
    """Hold the rate: step the size down, then take a cheaper model, and go back up where there is time."""
    cuts: Annotated[Literal["hold", "off"], option(hint="hold")] = "hold"
    """At a scene cut: hold the nearer frame, or do not look for cuts."""
    loop: bool = False
    """Begin a file again at its end."""
    no_sound: bool = False
    """Do not play a file's sound."""
    start: Annotated[str | None, option("TIME")] = None
    """Begin a file here: seconds or h:m:s."""
    size: Annotated[str | None, option("WxH", "the camera's own")] = None
    """Ask the camera for pictures of this size."""
    source_rate: Annotated[str | None, option("R", "the source's own")] = None
    """Frames a second to ask the camera or the screen for; of a folder of pictures."""
    seconds: Annotated[str | None, option("TIME", "until it ends, or is closed")] = None
    """End by itself after so long."""
    pipe: bool = False
    """Send what is shown as y4m to standard output, for mpv, OBS or ffmpeg."""
    port: Annotated[int, option("PORT", "7861")] = 7861
    """Of --show web."""
    quiet: bool = False
    """No words, but errors."""
    json: bool = False
    """Print one JSON object last."""


def run(argv: Sequence[str]) -> int:
    """Parse, show, report. Returns the exit code."""
    args = tyro.cli(Live, args=list(argv), prog="tween live", config=(tyro.conf.FlagCreatePairsOff,))
    if args.rate is not None and args.times is not None:
        raise Conflict(
            f"--rate {args.rate} and --times {args.times} together", "each says which frames to make: give one"
        )

    def told(text: str) -> None:
        say(text, hidden=args.quiet)

    with ExitStack() as stack:
        source = stack.enter_context(_opened(args))
        live = live_run(config_of(args, source.info.rate), source_rate=source.info.rate, say=told)
        pipe = stack.enter_context(_piped(args, source, live.rate))
        session = Session(
            Path(args.source).name or args.source,
            source,
            live,
            pipe=pipe,
            seconds=seconds(args.seconds, "--seconds"),
            say=told,
        )
        code = _shown(args, session)
    for note in source.notes:
        told(f"note: {note}")
    stats = live.stats()
    told(f"{args.source}: {stats.shown} pictures in {stats.seconds:.1f} s: {words(stats)}")
    if source.damage is not None:
        say(f"tween: warning: {source.damage}")
        code = code or source.damage.exit_code
    if args.json:
        print_json(stats.as_json() | ({"output": "-"} if args.pipe else {}))
    return code


def config_of(args: Live, source_rate: Fraction) -> LiveConfig:
    """What the flags ask of the run, for a source of this rate."""
    rate = None if args.rate is None else broadcast_rate(positive(args.rate, "--rate"))
    if args.times is not None:
        rate = source_rate * whole(args.times, "--times", least=1, most=16)
    return LiveConfig(
        model=args.model,
        predict=args.predict,
        rate=rate,
        scale=positive(args.scale, "--scale"),
        hold_rate=args.hold_rate,
        cuts=args.cuts,
        backend=args.backend,
        device=args.device,
        precision=args.precision,
    )


def _opened(args: Live) -> FrameSource:
    rate = None if args.source_rate is None else positive(args.source_rate, "--source-rate")
    if is_device(args.source):
        for flag, given in (("--loop", args.loop), ("--start", args.start)):
            if given:
                raise Conflict(f"{flag} with {args.source}", "only a file has a beginning and an end")
        return open_device(args.source, rate=rate, size=_size(args.size))
    if args.size is not None:
        raise Conflict(f"--size with {args.source}", "only a camera can be asked for one", "--scale 0.5")
    if args.loop and args.source == str(PIPE):
        raise Conflict("--loop with standard input", "what came through a pipe does not come again")
    start = seconds(args.start, "--start")

    def again() -> FrameSource:
        return open_source(args.source, start=start, rate=rate)

    return Looping(again) if args.loop else again()


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text)
    if found is None or 0 in (int(found[1]), int(found[2])):
        raise BadOption(f"--size {text}", "WIDTHxHEIGHT is needed", "--size 1280x720")
    return int(found[2]), int(found[1])


@contextmanager
def _piped(args: Live, source: FrameSource, rate: Fraction) -> Iterator[FrameSink | None]:
    """Standard output as a sink, if it is asked for."""
    if not args.pipe:
        yield None
        return
    sink = PipeSink(Path(PIPE), like=source, encoding=Encoding(rate=rate))
    with sink:
        yield sink


def _shown(args: Live, session: Session) -> int:
    """Show it until it is over. Returns the exit code: 130 if it was interrupted."""
    try:
        with session, _ended_by_ctrl_c(session) as was_asked:
            if args.show == "window":
                from ..live import window

                window.watch(session, with_sound=not args.no_sound)
            elif args.show == "web":
                page.watch(session, args.port)
            else:
                script.watch(session, None if args.quiet else session.say)
    except KeyboardInterrupt:
        return INTERRUPTED
    return INTERRUPTED if was_asked() else 0


@contextmanager
def _ended_by_ctrl_c(session: Session) -> Iterator[Callable[[], bool]]:
    """Ctrl-C ends the session at its next look; a second one does not wait. Thrown out of the middle of a wait, the
    first one could leave a lock behind that the threads then wait for. Yields whether it was pressed."""
    came: list[int] = []

    def note(number: int, _: object) -> None:
        came.append(number)
        session.end()
        if len(came) > 1 or session.pipe is not None:  # a pipe that nobody reads would hold it up
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGINT, before)
