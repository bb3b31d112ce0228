"""One film of a batch, as its driver sees it: opened, split, taken in piece by piece, joined."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from ..errors import CannotWrite, TweenError
from ..pipeline import journal
from ..pipeline.config import RenderConfig, timeline_of
from ..pipeline.going import facts
from ..pipeline.journal import Journal
from ..pipeline.kit import model_name
from ..pipeline.part import Part
from ..pipeline.recipe import bound, encoding_of, expected_frames, opened
from ..timeline import Timeline
from ..video.doors import open_sink
from ..video.files import FileSource
from ..video.filesink import FileSink
from ..video.segments import on_disk
from ..video.shown import shown
from ..video.stream import FrameSource
from .messages import Made, Ready
from .segments import Chain, instants, passes_on_paper, seams

State = Literal["waiting", "rendering", "joining", "done", "failed", "skipped"]
PARTS_A_WORKER = 6  # of a film that all workers share: fewer leave some of them idle at its end
SHORTEST, LONGEST = 1, 8  # segments in a part
MOST_WRONG = 3  # guesses about seams that did not hold: then it is rendered from front to back


@dataclass(frozen=True)
class Result:
    """What became of a film.

    Attributes:
        input, output: paths. state: in a word.
        frames: of the output; resumed: of them, those an earlier run had finished.
        seconds: of workers' time.
        reason: why it failed; damage: what was wrong with the input of a film that is done.
        notes: what a user should hear.
    """

    input: str
    output: str
    state: State
    frames: int = 0
    resumed: int = 0
    seconds: float = 0.0
    reason: str = ""
    damage: str = ""
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and text."""
        return {**self.__dict__, "seconds": round(self.seconds, 3), "notes": list(self.notes)}


class Film:
    """One film.

    Args:
        number: its place in the batch.
        config: what is asked for.

    Attributes:
        state: where it stands.
        is_whole: one worker renders it as `tween interpolate` does.
        expected: frames that will be, or None; frames: done so far; underway: of those that are being made, by task.
        length: segments in a part.
        is_guessing: parts are entered where the packets say; False once that was wrong too often.
    """

    def __init__(self, number: int, config: RenderConfig) -> None:
        assert config.output is not None
        self.number, self.config, self.output = number, config, config.output
        self.state: State = "waiting"
        self.is_whole = False
        self.expected: int | None = None
        self.frames = self.resumed = 0
        self.underway: dict[int, int] = {}
        self.seconds = 0.0
        self.reason: TweenError | None = None
        self.damage: TweenError | None = None
        self.notes: list[str] = []
        self.length, self.is_guessing = SHORTEST, True
        self._workers = 1
        self._stack = ExitStack()
        self._journal: Journal | None = None
        self._chain: Chain | None = None
        self._sink: FileSink | None = None
        self._first = Fraction(0)

    @property
    def name(self) -> str:
        """For the eye."""
        return self.config.input.name

    @property
    def shown(self) -> int:
        """Frames so far, for the eye: those of segments that are not finished count too."""
        return self.frames + sum(self.underway.values())

    @property
    def is_settled(self) -> bool:
        """Nothing more will become of it."""
        return self.state in ("done", "failed", "skipped")

    @property
    def is_complete(self) -> bool:
        """Every segment is there."""
        return self._chain is not None and self._chain.is_complete

    def open(self, ready: Ready, *, workers: int, length: int | None, is_shared: bool) -> None:
        """Look at the film, and split it where that is worth it.

        Args:
            ready: what any worker said of itself.
            workers: how many there are. length: segments in a part, where the user said.
            is_shared: all of them see the outputs' folder.

        Raises:
            TweenError: as `recipe.render` does, before it begins.
        """
        self.state = "rendering"
        self.output.parent.mkdir(parents=True, exist_ok=True)
        source = self._stack.enter_context(opened(self.config))
        timeline, notes = bound(timeline_of(self.config), source.info)
        self.expected = expected_frames(timeline, source.info)
        self._workers = 1 if length else workers
        segments = -(-(self.expected or 0) // journal.SEGMENT_FRAMES)
        self.length = length or length_for(segments, workers)
        is_small = self.expected is not None and segments <= self.length
        if is_shared and (is_small or not isinstance(source, FileSource)):
            self._alone()
            return
        self._open_sink(source, timeline, ready, is_shared)
        self.notes += [] if self.is_whole else notes

    def _alone(self) -> None:
        self.is_whole = True
        self._stack.close()

    def _open_sink(self, source: FrameSource, timeline: Timeline, ready: Ready, is_shared: bool) -> None:
        encoding = replace(encoding_of(self.config, timeline, source.info), segment=journal.SEGMENT_FRAMES)
        sink = open_sink(self.output, like=source, encoding=encoding)
        if not (isinstance(sink, FileSink) and sink.is_split and isinstance(source, FileSource)):
            unused = KeyboardInterrupt()  # what any sink takes as: nothing comes of it, keep what is finished
            sink.__exit__(type(unused), unused, None)
            if not is_shared:
                raise CannotWrite(
                    f"{self.output.name} cannot be made in pieces that are sent back, and some worker does not see "
                    f"{self.output.parent}", "storage that every worker sees is needed",
                    "a video file to a video file, or a shared folder",
                )  # fmt: skip
            self._alone()
            return
        self._sink = sink
        passes = passes_on_paper(ready.spec, timeline, source.info, self.config)
        said = facts(self.config, model=model_name(self.config), runs=ready.runs)
        self._journal = Journal(sink, said, anew=self.config.no_resume)
        pictures = shown(source) or []
        if pictures:
            self._first = pictures[0].pts
        if self.expected is None:
            self.expected = sum(1 for _ in instants([p.pts for p in pictures], [one.timeline for one in passes]))
        found = self._journal
        self._chain = Chain(
            self.config, seams(pictures, passes, journal.SEGMENT_FRAMES) if pictures else [], journal.SEGMENT_FRAMES,
            done=len(found.done), tail=found.last, pieces=found.pieces,
        )  # fmt: skip
        self._chain.advance(found.take, found.drop)
        self.frames = self.resumed = found.frames + sum(piece.segment.frames for piece in found.pieces.values())

    @property
    def first(self) -> Fraction:
        """When its first output frame is shown."""
        done = [] if self._journal is None else self._journal.done
        return done[0].begin if done else self._first

    @property
    def wrong(self) -> int:
        """Guesses about a seam that did not hold."""
        return 0 if self._chain is None else self._chain.wrong

    @property
    def past(self) -> int:
        """The number after the last segment's, as far as is known."""
        assert self._chain is not None
        return self._chain.last + 1

    def parts(self, taken: set[int]) -> list[Part]:
        """What has to be rendered still and is not among the segments `taken`."""
        assert self._chain is not None
        if self.is_guessing and self._chain.wrong >= MOST_WRONG:
            self.is_guessing = False
        if self.is_guessing:
            return self._chain.parts(self.length, taken, self.first, self._workers)
        if taken or self._chain.is_complete:
            return []
        return [self._chain.alone(self.first)]

    def distrust(self) -> None:
        """A guess led nowhere: no more of them."""
        assert self._chain is not None
        self._chain.wrong = max(self._chain.wrong, MOST_WRONG)

    def take(self, made: Made, *, is_guess: bool) -> None:
        """A finished segment: put it in its place.

        Raises:
            TweenError: it cannot be kept.
        """
        assert self._chain is not None
        assert self._journal is not None
        assert self._sink is not None
        piece, chain = made.piece, self._chain
        if (is_guess and not self.is_guessing) or piece.number < chain.done or piece.number in chain.pieces:
            return
        try:
            _put(made.packets, self._journal.folder / piece.segment.name)
            if piece.number != chain.done:
                self._journal.keep(piece)
            chain.add(piece, self._journal.take, self._journal.drop)
        except OSError as error:
            raise self._sink.draft.failure(error) from error
        self.frames = self._journal.frames + sum(one.segment.frames for one in chain.pieces.values())

    def join(self) -> None:
        """Put all segments into one file, in its place.

        Raises:
            TweenError: there is no room, say; what is finished is kept.
        """
        assert self._journal is not None
        assert self._sink is not None
        sink, self._sink = self._sink, None
        self._journal.hand_over()
        with self._stack, sink:
            pass
        self.notes += sink.notes

    def fail(self, error: TweenError) -> None:
        """Let go of it; what is finished stays for the next time."""
        self.state, self.reason = "failed", error
        self.close(error)

    def close(self, error: BaseException | None = None) -> None:
        """Let go of all files. Safe to call twice."""
        sink, self._sink = self._sink, None
        with self._stack:
            if sink is not None:
                stopped = error or KeyboardInterrupt()
                sink.__exit__(type(stopped), stopped, None)

    def result(self) -> Result:
        """What became of it."""
        return Result(
            str(self.config.input), str(self.output), self.state, self.frames, self.resumed, self.seconds,
            "" if self.reason is None else str(self.reason), "" if self.damage is None else str(self.damage),
            tuple(dict.fromkeys(self.notes)),
        )  # fmt: skip


def _put(packets: Path | bytes, path: Path) -> None:
    if isinstance(packets, Path):
        os.replace(packets, path)
        return
    with path.open("wb") as file:
        file.write(packets)
        on_disk(file)


def length_for(segments: int, workers: int) -> int:
    """Segments in a part: as many as leave each worker several parts of the film."""
    return LONGEST if workers == 1 else min(LONGEST, max(SHORTEST, segments // (workers * PARTS_A_WORKER)))


def spans(part: Part, past: int) -> set[int]:
    """The segments that a part is to make; one that goes on to the film's end makes those before `past`."""
    end = past if part.segments is None else part.number + part.segments
    return set(range(part.number, max(end, part.number + 1)))
