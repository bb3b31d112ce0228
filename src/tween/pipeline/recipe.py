"""RenderConfig -> source, model, backend, timeline, sink -> run.

The command line, the Python face and the web page all call this. Nothing heavy is imported until `render` runs: the
command line builds a RenderConfig first.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ..errors import BadOption, Conflict, TooShort, TweenError, UnknownTime
from ..timeline import Rate, Slow, Timeline, Times, broadcast_rate, exact, positive

if TYPE_CHECKING:
    from ..backends.backend import Backend
    from ..frame import Frame, VideoInfo
    from .interpolator import Tally


def option(metavar: str | None = None, hint: str = "", *aliases: str) -> Any:
    """How an option reads in `--help`: its value's name, its default in words, its short forms."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"[{hint}]" if hint else "", aliases=aliases or None)


@dataclass(frozen=True)
class RenderConfig:
    """Everything that decides what a render makes. Exactly one of `rate`, `times` and `slow` is set."""

    input: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN", help_behavior_hint="")]
    """A video file, or a folder of pictures."""
    output: Annotated[Path | None, option("OUT", "beside IN, named after what was done", "-o")] = None
    """Where to write; a path without a suffix is a folder of pictures."""
    rate: Annotated[str | None, option("R")] = None
    """Frames a second of the output, constant: 60, 59.94, 24000/1001."""
    times: Annotated[int | None, option("N")] = None
    """This many frames for each one; a variable frame rate stays variable."""
    slow: Annotated[str | None, option("F")] = None
    """Slow motion by this factor: 4, 2.5. Sound is left out."""
    model: Annotated[str, option("NAME|FILE", "the best for this machine")] = "default"
    """A name from `tween models`, or a file of weights."""
    backend: Annotated[Literal["auto", "torch", "openvino"], option(hint="auto: what measured fastest")] = "auto"
    """What runs the model; `tween doctor` says what auto takes, and why."""
    device: Annotated[str, option("DEVICE", "auto")] = "auto"
    """cpu, cuda, cuda:1, mps."""
    precision: Annotated[Literal["auto", "fp32", "bf16", "fp16"], option(hint="auto")] = "auto"
    """Of the convolutions; flows stay in fp32."""
    scale: Annotated[float, option("S", "1")] = 1.0
    """Estimate motion at this size: 0.5 for 4K and large motion, with networks that can."""
    cuts: Annotated[Literal["hold", "blend", "off"], option(hint="hold")] = "hold"
    """At a scene cut: hold the nearer frame, cross-fade, or do not look for cuts."""
    codec: Annotated[Literal["auto", "h264", "hevc", "av1", "ffv1", "prores"], option(hint="auto: h264")] = "auto"
    """Of the output. The pixel format follows the source's depth."""
    crf: Annotated[int | None, option("Q", "16, or its like")] = None
    """Quality: lower is better and larger."""
    preset: Annotated[str | None, option("WORD", "fast, or its like")] = None
    """The encoder's own word for its speed."""
    start: Annotated[str | None, option("TIME")] = None
    """Begin here: seconds or h:m:s."""
    end: Annotated[str | None, option("TIME")] = None
    """Stop here: seconds or h:m:s."""
    overwrite: bool = False
    """Replace an output that is there."""


@dataclass(frozen=True)
class Status:
    """Where a render stands, told after each frame.

    Attributes:
        frames: written so far; expected: frames that will be, or None where nobody knows.
        model, backend: what is at work.
    """

    frames: int
    expected: int | None
    model: str
    backend: str


@dataclass
class Report:
    """What a render did.

    Attributes:
        seconds: wall time of the frame loop, model loading apart; model_share: the part of it spent in the model.
        fps: output frames a second. peak_memory_mb: of the whole process, so far.
        damage: what was wrong with the input, if anything; the output holds what could be read.
    """

    output: str
    model: str
    backend: str
    precision: str
    frames_in: int
    frames_out: int
    rendered: int
    cuts: int
    seconds: float
    fps: float
    model_share: float
    load_seconds: float
    peak_memory_mb: float | None
    notes: list[str]
    damage: TweenError | None = None

    def as_json(self) -> dict[str, Any]:
        """A dict for `--json`: plain numbers and text."""
        fields = asdict(self)
        fields["damage"] = str(self.damage) if self.damage else None
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in fields.items()}


Watch = Callable[[Status], None]


def render(config: RenderConfig, watch: Watch | None = None) -> Report:
    """Render a video as `config` says.

    Raises:
        TweenError: any mistake of the user's, before the output is touched where that can be known.
    """
    from ..backends import prepare
    from ..models import zoo
    from ..video.stream import Encoding, open_sink, open_source
    from . import offline

    began = time.perf_counter()
    timeline = timeline_of(config)
    output = output_of(config)
    with open_source(config.input, start=seconds(config.start, "--start"), end=seconds(config.end, "--end")) as source:
        timeline, notes = bound(timeline, source.info)
        encoding = Encoding(
            codec=config.codec,
            crf=config.crf,
            preset=config.preset,
            rate=output_rate(timeline, source.info),
            time_base=timeline.grid(source.info.time_base),
            stretch=timeline.stretch(),
            overwrite=config.overwrite,
        )
        with open_sink(output, like=source, encoding=encoding) as sink:
            name = zoo.DEFAULT if config.model == "default" else config.model
            model = zoo.load(name, scale=config.scale)
            backend = prepare.prepare(
                model, source.info.size, backend=config.backend, device=config.device, precision=config.precision
            )
            passes = interpolators(backend, timeline, source.info, config.cuts)
            loaded = time.perf_counter()

            def through(frames: Iterable[Frame]) -> Iterable[Frame]:
                for one in passes:
                    frames = one(frames)
                return frames

            progress = _Progress(watch, expected_frames(timeline, source.info), name, backend.name)
            offline.run(source, through, sink, watch=progress)
            _refuse_too_little(config.input, passes[0].tally)
        ended = time.perf_counter()
    tally, wall = passes[-1].tally, ended - loaded
    return Report(
        output=str(output),
        model=name,
        backend=f"{backend.name} on {backend.device}",
        precision=backend.precision,
        frames_in=passes[0].tally.frames_in,
        frames_out=tally.frames_out,
        rendered=sum(one.tally.rendered for one in passes),
        cuts=passes[0].tally.cuts,
        seconds=wall,
        fps=tally.frames_out / wall,
        model_share=sum(one.tally.model_s for one in passes) / wall,
        load_seconds=loaded - began,
        peak_memory_mb=peak_memory_mb(),
        notes=[*notes, *sink.notes],
        damage=source.damage,
    )


def timeline_of(config: RenderConfig) -> Timeline:
    """The one timeline that is asked for.

    Raises:
        BadOption: none is. Conflict: more than one is.
    """
    asked = {"--times": config.times, "--rate": config.rate, "--slow": config.slow}
    asked = {option: value for option, value in asked.items() if value is not None}
    if not asked:
        raise BadOption("nothing was asked for", "say which frames you want", "--rate 60, --times 2 or --slow 4")
    if len(asked) > 1:
        words = " and ".join(f"{option} {value}" for option, value in asked.items())
        raise Conflict(f"{words} together", "each says which frames to make: give one of them")
    if config.times is not None:
        return Times(config.times)
    if config.rate is not None:
        return Rate(broadcast_rate(positive(config.rate, "--rate")))
    assert config.slow is not None
    return Slow(positive(config.slow, "--slow"))


def bound(timeline: Timeline, info: VideoInfo) -> tuple[Timeline, list[str]]:
    """The timeline, told what it needs to know of the video; and what the user should hear about it."""
    if isinstance(timeline, Slow) and timeline.factor.denominator != 1:
        return Slow(timeline.factor, rate=info.rate), []
    if isinstance(timeline, Rate) and timeline.rate < info.rate:
        return timeline, [
            f"the video has {float(info.rate):.6g} frames a second: --rate {float(timeline.rate):.6g} "
            "resamples it down to fewer"
        ]
    return timeline, []


def output_of(config: RenderConfig) -> Path:
    """Where to write: as asked, or beside the input under a name that says what was done."""
    if config.output is not None:
        return config.output
    what = f"x{config.times}" if config.times else f"{config.rate}fps" if config.rate else f"slow{config.slow}"
    what = what.replace("/", "-").replace(":", "-")
    suffix = config.input.suffix.lower()
    kept = suffix if suffix in {".mp4", ".mov", ".mkv"} else "" if config.input.is_dir() else ".mp4"
    if config.codec == "ffv1" and kept == ".mp4":
        kept = ".mkv"
    elif config.codec == "prores" and kept == ".mp4":
        kept = ".mov"
    return config.input.with_name(f"{config.input.stem}-{what}{kept}")


def interpolators(backend: Backend, timeline: Timeline, info: VideoInfo, at_cut: str) -> list[Any]:
    """The passes that reach the timeline: one, or for a midpoint model one for each halving of the gaps.

    Raises:
        UnknownTime: no number of halvings reaches it; the words say which factors would do.
    """
    from .cuts import CutDetector
    from .interpolator import Interpolator, doublings

    def one(wanted: Timeline) -> Interpolator:
        return Interpolator(backend, wanted, CutDetector(), at_cut=at_cut)  # type: ignore[arg-type]

    if backend.spec.any_time:
        return [one(timeline)]
    if isinstance(timeline, Slow) and timeline.tick() is None:
        timeline = Slow(timeline.factor, rate=info.rate)  # a clock to halve on
    times = doublings(timeline, 1 / info.rate)
    if times is None:
        rates = ", ".join(f"{float(info.rate * 2**k):.6g}" for k in (1, 2, 3))
        raise UnknownTime(
            f"instants between {float(info.rate):.6g} fps frames that no halving reaches",
            "this model knows only the middle of a gap",
            f"--times 2, 4 or 8, --rate {rates}, or a model that knows any time (see `tween models`)",
        )
    if isinstance(timeline, Times):
        return [one(Times(2)) for _ in range(times)] or [one(timeline)]
    return [one(Times(2)) for _ in range(times - 1)] + [one(timeline)]


def output_rate(timeline: Timeline, info: VideoInfo) -> Fraction | None:
    """Frames a second that the output announces."""
    tick = timeline.tick()
    if tick is not None:
        return 1 / tick
    factor = timeline.factor if isinstance(timeline, Times) else 1
    return info.rate * factor


def expected_frames(timeline: Timeline, info: VideoInfo) -> int | None:
    """How many frames will come out, if the container knows how many go in."""
    tick = timeline.tick()
    if tick is not None:
        if info.duration is None:
            return None
        return -int(-info.duration * timeline.stretch() / tick // 1)
    if info.length is None:
        return None
    factor = timeline.factor if isinstance(timeline, Times) else int(timeline.stretch())
    return max(0, (info.length - 1) * factor + 1)


def seconds(text: str | None, option: str) -> Fraction | None:
    """ "12.5", "1:02" or "1:02:03.4" as seconds.

    Raises:
        BadOption: it is none of these.
    """
    if text is None:
        return None
    total = Fraction(0)
    for part in text.split(":"):
        value = exact(part)
        if value is None or value < 0:
            raise BadOption(f"{option} {text}", "a time in seconds or h:m:s is needed", f"{option} 1:02:03.5")
        total = total * 60 + value
    return total


def peak_memory_mb() -> float | None:
    """The most memory that this process has held, MB; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _refuse_too_little(path: Path, tally: Tally) -> None:
    if tally.frames_in < 2:
        raise TooShort(f"{path} has {tally.frames_in} frame", "two are needed for something to lie between them")


class _Progress:
    """Counts written frames and tells the watcher."""

    def __init__(self, watch: Watch | None, expected: int | None, model: str, backend: str) -> None:
        self.watch, self.expected, self.model, self.backend, self.frames = watch, expected, model, backend, 0

    def __call__(self, _: Frame) -> None:
        self.frames += 1
        if self.watch is not None:
            self.watch(Status(self.frames, self.expected, self.model, self.backend))
