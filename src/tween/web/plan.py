"""What will come out of a render, and how long it will take here: counted, and measured on the video itself."""

from __future__ import annotations

import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

from ..backends.backend import Backend
from ..errors import TooMuch
from ..frame import VideoInfo
from ..models import zoo
from ..pipeline.config import RenderConfig, seconds, timeline_of
from ..pipeline.recipe import bound, expected_frames, interpolators, output_rate, render
from ..timeline import Rate, Slow, Timeline, Times
from ..video.doors import open_source
from .asked import at_hand, called, config_for
from .look import said_rate

TRIAL_GAPS: Final = 4  # gaps of the source that are rendered to measure the speed


def plan(folder: Path, name: str, options: dict[str, Any], *, most_frames: int) -> dict[str, Any]:
    """What will come out, as the page tells it.

    Raises:
        TweenError: whatever the render itself would say before its first frame. TooMuch: too many frames.
    """
    config = config_for(folder, name, options)
    model = zoo.DEFAULT if config.model == "default" else config.model
    at_hand(model)
    with open_source(config.input) as source:
        info = source.info
    timeline, notes = bound(timeline_of(config), info)
    spec = zoo.signature(zoo.find(model).entry.name).spec
    interpolators(
        cast(Backend, SimpleNamespace(spec=spec)), timeline, info, config.cuts
    )  # refuses what it cannot reach
    info = _window(info, config)
    frames = expected_frames(timeline, info)
    if frames is not None and frames > most_frames:
        raise TooMuch(f"{frames:,} frames would come out", f"{most_frames:,} at most are made here", "a lower rate")
    rate = output_rate(timeline, info)
    return {
        "name": called(name, options),
        "model": model,
        "width": info.size[1],
        "height": info.size[0],
        "rate": said_rate(rate),
        "frames": frames,
        "is_exact": config.start is None and config.end is None,
        "rendered": None if frames is None else round(frames * share_rendered(timeline, info)),
        "seconds": None if frames is None else round(float(frames / rate), 2),
        "stretch": float(timeline.stretch()),
        "notes": notes,
    }


def _window(info: VideoInfo, config: RenderConfig) -> VideoInfo:
    """The part of a video that is asked for: its frames are counted by the mean rate."""
    if config.start is None and config.end is None:
        return info
    start = seconds(config.start, "--start") or Fraction(0)
    end = seconds(config.end, "--end")
    if info.duration is not None:
        end = info.duration if end is None else min(end, info.duration)
    if end is None:
        return replace(info, length=None, duration=None)
    lasts = max(Fraction(0), end - start)
    return replace(info, length=round(lasts * info.rate), duration=lasts)


def share_rendered(timeline: Timeline, info: VideoInfo) -> float:
    """The part of the output's frames that a model has to make; the others are originals."""
    each = Fraction(0)  # output frames for one source frame, where the originals fall on its ticks
    if isinstance(timeline, Times):
        each = Fraction(timeline.factor)
    elif isinstance(timeline, Rate):
        each = timeline.rate / info.rate
    elif isinstance(timeline, Slow):
        each = timeline.factor * (timeline.rate / info.rate if timeline.rate else 1)
    return float(1 - 1 / each) if each >= 1 and each.denominator == 1 else 1.0


def measure(folder: Path, name: str, options: dict[str, Any]) -> dict[str, float]:
    """Seconds a frame, of the model and of all else, by the very render, over the video's first gaps.

    Returns:
        model: seconds for a frame that is made. other: seconds for any frame that comes out.

    Raises:
        TweenError: whatever the render says.
    """
    config = config_for(folder, name, options)
    with open_source(config.input) as source:
        end = Fraction(2 * TRIAL_GAPS + 1, 2) / source.info.rate
    scratch = folder / "trial"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    assert config.output is not None
    small = replace(config, output=scratch / config.output.name, start=None, end=f"{float(end):.6f}")
    try:
        report = render(small)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    model = report.model_share * report.seconds
    return {
        "model": model / max(1, report.rendered),
        "other": max(0.0, report.seconds - model) / max(1, report.frames_out),
    }
