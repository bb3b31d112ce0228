"""Config -> source, model, backend, timeline, sink -> run.

The command line, the Python face and the web page all call this. Nothing heavy is imported until it runs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..curve import Curve, at_rate
from ..errors import CannotWrite, TooShort, TweenError, UnknownTime
from ..timeline import Rate, Slow, Timeline, Times, positive
from .config import PredictConfig, RenderConfig, output_of, seconds, timeline_of

if TYPE_CHECKING:
    from ..backends.backend import Backend
    from ..frame import Frame, VideoInfo
    from ..video.stream import Encoding, FrameSink, FrameSource
    from .confidence import Guard
    from .interpolator import Interpolator, Tally
    from .kit import Kit


NEARLY = Fraction(1, 400)  # of a rate: 60 for 59.94


@dataclass(frozen=True)
class Status:
    """Where a render stands, told after each frame.

    Attributes:
        frames: written so far; expected: frames that will be, or None where nobody knows.
        model, backend: what is at work.
        fetching: True while weights are downloaded, before the first frame; `frames` and `expected` count bytes then.
    """

    frames: int
    expected: int | None
    model: str
    backend: str
    fetching: bool = False


@dataclass
class Report:
    """What a render did.

    Attributes:
        seconds: wall time of the frame loop, model loading apart; model_share: the part of it spent in the model.
        resumed: of `frames_out`, those that an earlier run had finished.
        fps: output frames a second. peak_memory_mb: of the whole process, so far.
        psnr, ssim: of a prediction against what really came, dB and 0 to 1, means over the frames.
        damage: what was wrong with the input, if anything; the output holds what could be read.
    """

    output: str
    model: str
    backend: str = ""
    precision: str = ""
    frames_in: int = 0
    frames_out: int = 0
    rendered: int = 0
    cuts: int = 0
    repeats: int = 0
    doubted: int = 0
    resumed: int = 0
    seconds: float = 0.0
    fps: float = 0.0
    model_share: float = 0.0
    load_seconds: float = 0.0
    peak_memory_mb: float | None = None
    psnr: float | None = None
    ssim: float | None = None
    notes: list[str] = field(default_factory=list)
    damage: TweenError | None = None

    def as_json(self) -> dict[str, Any]:
        """A dict for `--json`: plain numbers and text."""
        fields = asdict(self)
        fields["damage"] = str(self.damage) if self.damage else None
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in fields.items()}

    def count(self, tallies: Iterable[Tally], seconds: float) -> None:
        """Take in what the passes did in `seconds` of wall time; the first one read, the last one wrote."""
        passes = list(tallies)
        self.frames_in, self.cuts = passes[0].frames_in, passes[0].cuts
        self.repeats, self.doubted = passes[0].repeats, sum(one.doubted for one in passes)
        made = passes[-1].frames_out
        self.frames_out = self.resumed + made
        self.rendered = sum(one.rendered for one in passes)
        self.seconds, self.fps = seconds, made / seconds
        self.model_share = sum(one.model_s for one in passes) / seconds
        self.peak_memory_mb = peak_memory_mb()


Watch = Callable[[Status], None]


def render(config: RenderConfig, watch: Watch | None = None, kit: Kit | None = None) -> Report:
    """Render a video as `config` says.

    Args:
        config: what is asked for.
        watch: told of every frame.
        kit: what earlier renders of this process loaded.

    Raises:
        TweenError: any mistake of the user's, before the output is touched where that can be known.
    """
    from ..video.doors import open_sink
    from . import offline
    from .confidence import Guard, write_report
    from .going import Going, facts, segment_frames, told
    from .lanes import in_lanes

    timeline = timeline_of(config)
    if config.report is not None and not config.report.parent.is_dir():
        raise CannotWrite(
            f"--report {config.report}", f"the folder {config.report.parent} is not there", "make it first"
        )
    report = Report(str(output_of(config)), config.model)
    with opened(config) as source:
        timeline, report.notes = bound(timeline, source.info)
        encoding = encoding_of(config, timeline, source.info)
        encoding = replace(encoding, segment=segment_frames(config))
        with told(Path(report.output)), open_sink(report.output, like=source, encoding=encoding) as sink:
            backend = seeing_through(_prepared(config, source.info, report, watch, kit), source, sink)
            guard = Guard(config.fallback)
            passes = interpolators(backend, timeline, source.info, config.cuts, config.repeats, guard)
            begun = time.perf_counter()
            expected = None if config.start or config.end else expected_frames(timeline, source.info)
            runs = f"{report.backend}, {report.precision}"
            going = Going(sink, passes, facts(config, model=report.model, runs=runs), anew=config.no_resume)
            report.resumed = going.frames
            with going.feed(source) as frames, in_lanes(passes[-1]):
                offline.run(frames, going.through, sink, watch=_counter(watch, expected, report))
            if report.resumed == 0 and passes[0].tally.frames_in < 2:
                got = f"{config.input} has {passes[0].tally.frames_in} frame"
                raise TooShort(got, "two are needed for something to lie between them")
        report.count((one.tally for one in passes), time.perf_counter() - begun)
        report.notes += [*source.notes, *sink.notes]
        report.damage = source.damage
    if config.report is not None:
        write_report(config.report, guard, output=report.output, resumed=report.resumed)
    return report


def predict(config: PredictConfig, watch: Watch | None = None) -> Report:
    """Render the future: the frames after the last, or the whole clip as it was foretold.

    Raises:
        TweenError: any mistake of the user's.
    """
    from ..video.cuts import CutDetector
    from ..video.doors import open_sink
    from . import offline
    from .predictor import Predictor, Score, after_last, zero_delay

    whole = config.whole or config.ahead is None
    ahead = 1 if config.ahead is None else config.ahead
    report = Report(str(output_of(config)), config.model)
    score = Score()
    with opened(config) as source:
        encoding = replace(encoding_of(config, Times(1), source.info), others=whole)
        with open_sink(report.output, like=source, encoding=encoding) as sink:
            backend = seeing_through(_prepared(config, source.info, report, watch), source, sink)
            predictor = Predictor(backend, None if config.cuts == "off" else CutDetector())

            def foretold(frames: Iterable[Frame]) -> Iterable[Frame]:
                if not whole:
                    return after_last(predictor, frames, ahead)
                return score.of(zero_delay(predictor, frames, ahead))

            begun = time.perf_counter()
            expected = None if config.start or config.end else source.info.length if whole else ahead
            offline.run(source, foretold, sink, watch=_counter(watch, expected, report))
        report.count([predictor.tally], time.perf_counter() - begun)
        report.psnr, report.ssim = score.psnr, score.ssim
        report.notes += [*source.notes, *sink.notes]
        report.damage = source.damage
    return report


@contextmanager
def opened(config: RenderConfig | PredictConfig) -> Iterator[FrameSource]:
    """The source that is asked for."""
    from ..video.doors import open_source

    rate = None if config.source_rate is None else positive(config.source_rate, "--source-rate")
    start, end = seconds(config.start, "--start"), seconds(config.end, "--end")
    with open_source(
        config.input, start=start, end=end, rate=rate, raw=config.raw, deinterlace=config.deinterlace
    ) as source:
        yield source


def encoding_of(config: RenderConfig | PredictConfig, timeline: Timeline, info: VideoInfo) -> Encoding:
    """How the output is written; `timeline` is bound."""
    from ..video.stream import Encoding

    return Encoding(
        codec=config.codec,
        crf=config.crf,
        preset=config.preset,
        rate=output_rate(timeline, info),
        time_base=timeline.grid(info.time_base),
        clock=timeline if isinstance(timeline, (Slow, Curve)) else None,
        sound=config.sound,
        overwrite=config.overwrite,
        pipe_format=config.pipe_format,
    )


def _prepared(
    config: RenderConfig | PredictConfig, info: VideoInfo, report: Report, watch: Watch | None, kit: Kit | None = None
) -> Backend:
    """The model that was asked for, on what runs it best; the report says which."""
    from .kit import Kit, model_name

    begun = time.perf_counter()
    report.model = model_name(config)

    def fetched(done: int, total: int | None) -> None:
        if watch is not None:
            watch(Status(done, total, report.model, "", fetching=True))

    backend = (kit or Kit()).backend(config, info.size, progress=fetched)
    report.backend, report.precision = f"{backend.name} on {backend.device}", backend.precision
    report.notes += [f"{report.model} wears {worn}" for worn in config.lora]
    report.load_seconds = time.perf_counter() - begun
    return backend


def seeing_through(backend: Backend, source: FrameSource, sink: FrameSink) -> Backend:
    """The backend for frames with transparency, where the source has some and the sink keeps it."""
    from ..backends.alpha import WithAlpha

    if not (source.info.has_alpha and sink.has_alpha):
        return backend
    source.alpha = True
    return WithAlpha(backend)


def _counter(watch: Watch | None, expected: int | None, report: Report) -> Callable[[Frame], None]:
    """A function that counts frames and tells the watcher."""
    frames = report.resumed

    def count(_: Frame) -> None:
        nonlocal frames
        frames += 1
        if watch is not None:
            watch(Status(frames, expected, report.model, report.backend))

    return count


def bound(timeline: Timeline, info: VideoInfo) -> tuple[Timeline, list[str]]:
    """The timeline, told what it needs to know of the video; and what the user should hear about it."""
    if isinstance(timeline, Curve):
        return at_rate(timeline, timeline.rate or info.rate, info.offset), []
    if isinstance(timeline, Slow) and timeline.factor.denominator != 1 and timeline.rate is None:
        return Slow(timeline.factor, rate=info.rate), []
    if not isinstance(timeline, Rate):
        return timeline, []
    ratio, source, wanted = timeline.rate / info.rate, float(info.rate), float(timeline.rate)
    if ratio < 1:
        return timeline, [f"the video has {source:.6g} frames a second: --rate {wanted:.6g} resamples it down to fewer"]
    if ratio.denominator != 1 and abs(ratio - round(ratio)) < round(ratio) * NEARLY:
        close = float(info.rate * round(ratio))
        return timeline, [
            f"the video has {source:.6g} frames a second: at {wanted:.6g} next to none of the output's fall on them; "
            f"--rate {close:.6g} keeps every original"
        ]
    return timeline, []


def interpolators(
    backend: Backend,
    timeline: Timeline,
    info: VideoInfo,
    at_cut: str,
    repeats: str = "keep",
    guard: Guard | None = None,
) -> list[Interpolator]:
    """The passes that reach the timeline: one, or for a midpoint model one for each halving of the gaps. The first
    looks for cuts and repeats, the others are told.

    Raises:
        UnknownTime: no number of halvings reaches it (the words say which factors would do), or the model predicts.
    """
    from ..video.cuts import CutDetector
    from .interpolator import Interpolator, Told, doublings
    from .repeats import RepeatDetector

    def chained(*wanted: Timeline) -> list[Interpolator]:
        first = Interpolator(
            backend,
            wanted[0],
            CutDetector(),
            at_cut=at_cut,  # type: ignore[arg-type]
            repeats=RepeatDetector() if repeats == "retime" else None,
            guard=guard,
        )
        passes = [first]
        for timeline in wanted[1:]:
            passes.append(Interpolator(backend, timeline, Told(passes[-1]), at_cut=at_cut, guard=guard))  # type: ignore[arg-type]
        return passes

    if backend.spec.predicts:
        raise UnknownTime(
            f"a model that looks at {backend.spec.context}", "it predicts: it knows nothing between two frames",
            "tween predict",
        )  # fmt: skip
    if backend.spec.any_time:
        return chained(timeline)
    if isinstance(timeline, Curve):
        raise UnknownTime(
            "instants of a speed curve", "this model knows only the middle of a gap",
            "a model that knows any time (see `tween models`)",
        )  # fmt: skip
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
        return chained(*[Times(2) for _ in range(times)] or [timeline])
    return chained(*[Times(2) for _ in range(times - 1)], timeline)


def output_rate(timeline: Timeline, info: VideoInfo) -> Fraction:
    """Frames a second that the output announces."""
    tick = timeline.tick()
    if tick is not None:
        return 1 / tick
    return info.rate * (timeline.factor if isinstance(timeline, Times) else 1)


def expected_frames(timeline: Timeline, info: VideoInfo) -> int | None:
    """How many frames will come out, if the container knows how many go in."""
    tick = timeline.tick()
    if tick is not None:
        if info.duration is None:
            return None
        return -int(-timeline.span(info.offset, info.offset + info.duration) / tick // 1)
    if info.length is None:
        return None
    factor = timeline.factor if isinstance(timeline, Times) else int(timeline.stretch())
    return max(0, (info.length - 1) * factor + 1)


def peak_memory_mb() -> float | None:
    """The most memory that this process has held, MB; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
