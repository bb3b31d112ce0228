"""A part of a film, rendered as it would be in the whole.

source   . . . w w w w w w [ t t t t | t t ...  ] t . . .
               ^ entered here          ^ the first frame that is made
               detectors settle        the trail: what the pipeline knows of the past

A part is entered a few frames early, with detectors that remember nothing. What they remember of so many frames ago
decides nothing any more, as a rule; whether it did is seen by comparing how the pipeline stood at the seam with how it
stood there at the end of the part before (see `journal.Piece.follows`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from ..errors import TweenError
from ..frame import Frame
from ..video.files import FileSource
from ..video.partsink import PartSink
from ..video.segments import Segment
from ..video.stream import FrameSource
from . import offline
from .confidence import Guard
from .config import RenderConfig, output_of, timeline_of
from .going import restore, trail_for
from .interpolator import Interpolator
from .journal import Mark, Piece, Trail, go_on
from .kit import Kit
from .lanes import Coming, in_lanes, settled
from .recipe import bound, encoding_of, interpolators, opened, seeing_through


@dataclass(frozen=True)
class Part:
    """Some segments of a film.

    Attributes:
        config: of the whole film.
        number: of the first segment, in the film.
        segments: how many; None goes on to the film's end.
        frames: of the output, in each segment.
        first: pts of the film's first output frame, seconds.
        since: how the pipeline stands before it; None begins with the film.
        is_guess: `since` names only when and where to enter the source, as the file's packets tell; nobody has stood
            there yet.
        settled: with a guess, source pts from which on earlier passes render; None from where it is entered.
    """

    config: RenderConfig
    number: int
    segments: int | None
    frames: int
    first: Fraction
    since: Mark | None = None
    is_guess: bool = False
    settled: Fraction | None = None


@dataclass
class PartReport:
    """What rendering a part took.

    Attributes:
        frames_in, frames_out, rendered: frames read (those before the part apart), written, and made by the model.
        seconds: of wall time; model_s: of them, in the model; enter_s: before its first frame was there.
        notes, damage: of the source, as in `recipe.Report`.
    """

    frames_in: int = 0
    frames_out: int = 0
    rendered: int = 0
    seconds: float = 0.0
    model_s: float = 0.0
    enter_s: float = 0.0
    notes: list[str] = field(default_factory=list)
    damage: TweenError | None = None


def render_part(
    part: Part,
    kit: Kit,
    folder: Path,
    *,
    made: Callable[[Piece, Path], None],
    watch: Callable[[], None],
) -> PartReport:
    """Render a part into files of packets.

    Args:
        part: of a video file, into a video file (see `FileSink.is_split`).
        kit: what this process renders with.
        folder: where the packets lie until they are taken.
        made: called with each segment that is finished, and the file of its packets.
        watch: called after each frame.

    Raises:
        TweenError: as `recipe.render` does.
    """
    begun, report = time.perf_counter(), PartReport()
    with opened(part.config) as source:
        timeline, _ = bound(timeline_of(part.config), source.info)
        encoding = replace(encoding_of(part.config, timeline, source.info), others=False, segment=part.frames)
        marks = _Marks(part)

        def finished(segment: Segment) -> None:
            path = folder / segment.name
            os.replace(sink.draft.work / segment.name, path)
            made(marks.piece(segment), path)

        sink = PartSink(
            folder / output_of(part.config).name, like=source, encoding=encoding, number=part.number,
            segments=part.segments, first=part.first, finished=finished,
        )  # fmt: skip
        with sink:
            backend = seeing_through(kit.backend(part.config, source.info.size), source, sink)
            guard = Guard(part.config.fallback)
            passes = interpolators(backend, timeline, source.info, part.config.cuts, part.config.repeats, guard)
            marks.trail = trail_for(passes)

            def seen(_: Frame) -> None:
                report.enter_s = report.enter_s or time.perf_counter() - begun
                watch()

            def render(frames: Iterable[Frame]) -> Iterator[Frame]:
                return settled(marks.watched(through(frames, part, passes)), passes[-1].lanes)

            with entered(source, part, passes, marks.trail) as frames, in_lanes(passes[-1]):
                offline.run(frames, render, sink, watch=seen)
        report.notes, report.damage = list(source.notes), source.damage
    report.frames_in, report.frames_out = passes[0].tally.frames_in, passes[-1].tally.frames_out
    report.rendered = sum(one.tally.rendered for one in passes)
    report.seconds, report.model_s = time.perf_counter() - begun, sum(one.tally.model_s for one in passes)
    return report


@contextmanager
def entered(source: FrameSource, part: Part, passes: Sequence[Interpolator], trail: Trail) -> Iterator[Iterable[Frame]]:
    """The source's frames from where the part needs them, the passes in the state that they are to have there."""
    if part.since is None:
        yield source
        return
    if part.is_guess:
        assert isinstance(source, FileSource)
        place = part.since.places[0]
        feed: FrameSource = source.again(place.pts)
    else:
        feed, found = go_on(source, part.since)
        if found is None:  # it cannot be entered there: read it from its beginning
            yield source
            return
        place = found
    restore(passes, trail, place, part.since.opening)
    with feed:
        yield feed
        source.notes += [note for note in feed.notes if note not in source.notes]
        source.damage = source.damage or feed.damage


def through(frames: Iterable[Frame], part: Part, passes: Sequence[Interpolator]) -> Iterator[Frame | Coming]:
    """The part's frames, and the one after them, as they are begun."""
    since = None if part.since is None else part.since.pts
    for one in passes[:-1]:
        frames = one(frames, since=part.settled)
    for k, frame in enumerate(passes[-1].begun(frames, since=since)):
        yield frame
        if part.segments is not None and k == part.segments * part.frames:
            return


class _Marks:
    """How the pipeline stood at the seams of a part."""

    def __init__(self, part: Part) -> None:
        self._part, self._marks = part, dict[int, Mark]()
        self.trail = Trail(0)

    def watched(self, frames: Iterable[Frame | Coming]) -> Iterator[Frame | Coming]:
        """Frames as they are begun."""
        for k, frame in enumerate(frames):
            if k % self._part.frames == 0:
                self._marks[self._part.number + k // self._part.frames] = self.trail.mark(frame.pts)
            yield frame

    def piece(self, segment: Segment) -> Piece:
        """A finished segment with the seams on both sides of it."""
        number = int(Path(segment.name).stem)
        begin = self._marks.get(number) if number else None
        return Piece(number, segment, begin, self._marks.get(number + 1))
