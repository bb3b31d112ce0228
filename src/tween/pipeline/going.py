"""A render that goes on where an earlier one was stopped, and that can be stopped itself.

source from the place where it left off --> passes, in the state they were in --> only the frames that are missing
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..frame import Frame
from ..video.cuts import CutDetector
from ..video.stream import FrameSink, FrameSource, Resumable
from . import journal
from .config import RenderConfig
from .interpolator import Interpolator
from .journal import Journal, Place, Trail, go_on, identity
from .kit import worn
from .lanes import settled
from .repeats import RepeatDetector

PIPE = Path("-")
NOT_OF_THE_FRAMES = {"input", "output", "overwrite", "no_resume", "report", "quiet", "json", "codec_threads"}
WARM_UP = 2  # source frames more than the contexts reach, for what stands between reading and rendering


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with words for the user."""


class Going:
    """What stands between a source, the passes over it and a sink, so that finished frames are not made again.

    Args:
        sink: just opened.
        passes: just made.
        facts: what the frames depend on (see `facts`).
        anew: forget what an earlier run finished.

    Attributes:
        frames: how many were finished when this began.

    Raises:
        Conflict: an earlier run's frames are there, of another input or other options.
    """

    def __init__(self, sink: FrameSink, passes: Sequence[Interpolator], facts: dict[str, str], *, anew: bool) -> None:
        self._passes = passes
        self._trail = trail_for(passes)
        self._journal = Journal(sink, facts, anew=anew) if isinstance(sink, Resumable) else None
        self.frames = 0 if self._journal is None else self._journal.frames
        self._since: Fraction | None = None

    @contextmanager
    def feed(self, source: FrameSource) -> Iterator[Iterable[Frame]]:
        """The source's frames from where they are needed."""
        if self._journal is not None and self._journal.is_complete:
            yield ()
            return
        mark = None if self._journal is None else self._journal.last
        if mark is None:
            yield source
            return
        self._since = mark.pts
        feed, place = go_on(source, mark)
        if place is None:
            yield source
            return
        restore(self._passes, self._trail, place, mark.opening)
        with feed:
            yield feed
            source.notes += [note for note in feed.notes if note not in source.notes]
            source.damage = source.damage or feed.damage

    def through(self, frames: Iterable[Frame]) -> Iterable[Frame]:
        """All passes; the frames that are missing."""
        if self._journal is not None and self._journal.is_complete:
            return ()
        for one in self._passes[:-1]:
            frames = one(frames)
        begun = self._passes[-1].begun(frames, since=self._since)
        if self._journal is not None:
            begun = self._journal.watched(begun, self._trail, journal.SEGMENT_FRAMES)
        return settled(begun, self._passes[-1].lanes)


@contextmanager
def told(output: Path) -> Iterator[None]:
    """Ctrl-C, told with how to go on.

    Raises:
        Interrupted: after a Ctrl-C, if something finished is kept.
    """
    folder = output.with_name(output.name + ".part")
    try:
        yield
    except KeyboardInterrupt:
        if (folder / "journal").exists():
            raise Interrupted(
                f"interrupted; what is finished is kept in {folder}: the same command goes on from there"
            ) from None
        raise


def restore(passes: Sequence[Interpolator], trail: Trail, place: Place, opening: Sequence[Fraction]) -> None:
    """Put passes into the state they were in at a place; `opening` as in `Mark`."""
    first = passes[0]
    first.tally.frames_in, first.tally.cuts = place.frames, place.cuts
    if isinstance(first.cuts, CutDetector):
        first.cuts.state = place.state
    if isinstance(first.repeats, RepeatDetector):
        first.repeats.state = place.repeats
    trail.follow(opening)
    for one in passes:
        if len(opening) == 2:
            one.timeline.between(*opening)  # timelines count from the first frame that they are asked about


def trail_for(passes: Sequence[Interpolator]) -> Trail:
    """A trail long enough for the passes to start again on; it becomes the first one's."""
    passes[0].trail = trail = Trail(sum(reach(one) for one in passes) + WARM_UP)
    return trail


def reach(one: Interpolator) -> int:
    """Frames that a pass looks at around a gap."""
    context = one.backend.spec.context
    return max(0, -context[0]) + max(1, context[-1]) + 1


def segment_frames(config: RenderConfig) -> int:
    """Frames that are finished together; 0 where nothing could be gone on with."""
    return 0 if PIPE in (config.input, config.output) else journal.SEGMENT_FRAMES


def facts(config: RenderConfig, *, model: str, runs: str) -> dict[str, str]:
    """All that the frames of a render depend on, by the names that a user knows.

    Args:
        config: what is asked for.
        model: the one that "default" stands for. runs: backend, device and precision, in words.
    """
    from .. import __version__

    found = {"tween's version": __version__}
    if config.input != PIPE:
        found["the input"] = identity(config.input)
    for one in fields(RenderConfig):
        if one.name not in NOT_OF_THE_FRAMES:
            found[f"--{one.name.replace('_', '-')}"] = _said(getattr(config, one.name))
    found["--model"] = f"{model}{_said_of_file(Path(model))}"
    found["--lora"] = ", ".join(worn(config.lora)) or "none"
    found["what runs it"] = re.sub(r":\d+", "", runs)  # of several like devices it does not matter which
    return found


def _said(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(map(_said, value))
    return f"{value}{_said_of_file(value)}" if isinstance(value, Path) else str(value)


def _said_of_file(path: Path) -> str:
    return f" ({identity(path)})" if path.is_file() else ""
