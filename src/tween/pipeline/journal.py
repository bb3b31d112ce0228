"""What of a render is finished, written down beside it, so that a killed run goes on where it stopped.

    film.mp4.part/journal     line 1         what is being made of what: input, options, version
                              every other    a segment that is whole on the disk, and how to go on after it
    film.mp4.part/*.piece     the same of a segment that was finished before those that come before it

How to go on: the pipeline is started again a few source frames before the first frame that is missing, in the state it
was in there, and what it makes before that frame is dropped. Those source frames are compared with what they were; if
they differ (some files cannot be entered in the middle), the source is read from its beginning instead.
"""

from __future__ import annotations

import json
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ..errors import Conflict
from ..frame import Frame
from ..video.patterns import is_pattern, matching
from ..video.segments import Segment, is_whole, on_disk
from ..video.stream import FrameSource, Resumable

SEGMENT_FRAMES = 120  # of the output: what a kill costs at most; each begins with a keyframe
DIGEST_BYTES = 1 << 16  # of a file's head and of its tail
SAMPLED_ROWS = 32  # of a picture


class AtTime(Protocol):
    """A frame, or one to come."""

    @property
    def pts(self) -> Fraction: ...


Timed = TypeVar("Timed", bound=AtTime)


@dataclass(frozen=True)
class Place:
    """One source frame that the pipeline can be started at.

    Attributes:
        pts: seconds. print: of its pixels.
        frames, cuts: source frames and cuts before it.
        state, repeats: the cut detector's and the repeat detector's, before they judge what follows.
    """

    pts: Fraction
    print: int
    frames: int
    cuts: int
    state: list[float]
    repeats: list[float]


@dataclass(frozen=True)
class Mark:
    """How to go on at one output frame.

    Attributes:
        pts: of that frame, seconds.
        opening: pts of the source's first two frames, from which timelines count.
        places: source frames in order; the pipeline starts at the first of them.
    """

    pts: Fraction
    opening: tuple[Fraction, ...]
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Piece:
    """A finished segment that waits for those before it.

    Attributes:
        number: its place among the film's segments.
        begin: how the pipeline stood before it; None for the film's first.
        end: how it stood after it, with places counted from where this part of the film was entered; None if the film
            ends with it.
    """

    number: int
    segment: Segment
    begin: Mark | None
    end: Mark | None

    def follows(self, end: Mark) -> bool:
        """Whether it is what a render of the whole makes after `end`: the pipeline was entered elsewhere, saw the same
        pictures since, and has come to stand as it did."""
        return self.begin is not None and _standing(self.begin) == _standing(end)

    def counted(self, before: Mark) -> Piece:
        """The same, source frames and cuts counted from the film's beginning; `before` is how it stood before it."""
        if self.begin is None or self.end is None:
            return self
        here, there = self.begin.places[-1], before.places[-1]
        frames, cuts = there.frames - here.frames, there.cuts - here.cuts
        places = tuple(replace(p, frames=p.frames + frames, cuts=p.cuts + cuts) for p in self.end.places)
        return replace(self, begin=before, end=replace(self.end, places=places))


class Trail:
    """Where a render came along: the last source frames, as places to start again.

    Args:
        length: places to remember.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._places: deque[Place] = deque(maxlen=length)
        self._opening: tuple[Fraction, ...] = ()

    def add(self, frame: Frame, *, frames: int, cuts: int, state: list[float], repeats: list[float]) -> None:
        """The pipeline took in a frame. Arguments as in `Place`."""
        if len(self._opening) < 2:
            self._opening = (*self._opening, frame.pts)
        self._places.append(Place(frame.pts, fingerprint(frame), frames, cuts, state, repeats))

    def follow(self, opening: Sequence[Fraction]) -> None:
        """The pipeline starts again within a video that begins so (see `Mark`)."""
        self._opening = tuple(opening)

    def mark(self, pts: Fraction) -> Mark:
        """How to go on at the output frame at `pts`, which is about to be handed on."""
        return Mark(pts, self._opening, tuple(self._places))


class Journal:
    """The journal of one output.

    Args:
        sink: just opened; it is told to go on after what is finished.
        facts: what the output depends on, by the names that a user knows.
        anew: forget what is finished.

    Attributes:
        done: finished segments, in order.
        last: how to go on after them; None where nothing is finished, or everything.
        is_complete: every frame is finished, and only the joining is missing.
        pieces: finished segments beyond `done`, by number, with a gap before them.

    Raises:
        Conflict: something is finished, and was made from another input or with other options.
    """

    def __init__(self, sink: Resumable, facts: dict[str, str], *, anew: bool = False) -> None:
        self.done: list[Segment] = []
        self.last: Mark | None = None
        self.is_complete = False
        self.pieces: dict[int, Piece] = {}
        self._sink, self._path, self._facts = sink, sink.draft.work / "journal", facts
        self._marks: dict[int, Mark] = {}
        self._whole = 0  # bytes of the file that are lines to keep
        if not anew:
            self._read()
        if not self.done and not self.pieces:
            sink.draft.clear(everything=True)
        sink.resume(self.done, self._finished)

    @property
    def folder(self) -> Path:
        """Where what is finished is kept."""
        return self._path.parent

    @property
    def frames(self) -> int:
        """How many are finished."""
        return sum(segment.frames for segment in self.done)

    def watched(self, frames: Iterable[Timed], trail: Trail, every: int) -> Iterator[Timed]:
        """Output frames as they are begun; how to go on is noted wherever a segment of `every` frames may begin."""
        begin = self.frames
        for k, frame in enumerate(frames, begin):
            if k % every == 0 and k > begin:
                self._marks[k] = trail.mark(frame.pts)
            yield frame

    def keep(self, piece: Piece) -> None:
        """Note a piece whose packets are in place."""
        if not self._whole:
            self._write([])
        line = {"segment": asdict(piece.segment), "begin": _as_json(piece.begin), "mark": _as_json(piece.end)}
        with (self.folder / f"{piece.number:08d}.piece").open("wb") as file:
            file.write(json.dumps(line, default=str).encode() + b"\n")
            on_disk(file)
        self.pieces[piece.number] = piece
        self._sink.draft.keeps = True

    def take(self, piece: Piece) -> None:
        """A piece comes next: it is waited for no longer."""
        self._append(piece.segment, piece.end)
        self.last, self.is_complete = piece.end, piece.end is None
        self.drop(piece.number)

    def drop(self, number: int) -> None:
        """Forget a piece."""
        self.pieces.pop(number, None)
        (self.folder / f"{number:08d}.piece").unlink(missing_ok=True)

    def hand_over(self) -> None:
        """Tell the sink what is finished by now."""
        self._sink.resume(self.done, self._finished)

    def _finished(self, segment: Segment) -> None:
        self._append(segment, self._marks.pop(self.frames + segment.frames, None))

    def _append(self, segment: Segment, mark: Mark | None) -> None:
        self.done.append(segment)
        self._write([{"segment": asdict(segment), "mark": _as_json(mark)}])
        self._sink.draft.keeps = True

    def _write(self, entries: list[dict[str, Any]]) -> None:
        lines: list[dict[str, Any]] = [] if self._whole else [{"facts": self._facts}]
        lines += entries
        text = b"".join(json.dumps(line, default=str).encode() + b"\n" for line in lines)
        with self._path.open("r+b" if self._whole else "wb") as file:
            file.seek(self._whole)
            file.truncate()
            file.write(text)
            on_disk(file)
        self._whole += len(text)

    def _read(self) -> None:
        try:
            lines = self._path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return
        head = _parsed(lines[0]) if lines else None
        if head is None or "facts" not in head:
            return
        found: list[tuple[Segment, Mark | None]] = []
        whole = len(lines[0])
        for line in lines[1:]:
            entry = _parsed(line)
            if entry is None or not self._is_there(segment := _segment(entry["segment"])):
                break
            found.append((segment, _mark(entry["mark"])))
            whole += len(line)
        pieces = self._waiting()
        if not found and not pieces:
            return
        self._compare(head["facts"], sum(s.frames for s in [*(s for s, _ in found), *(p.segment for p in pieces)]))
        self.done, self._whole = [segment for segment, _ in found], whole
        self.last = found[-1][1] if found else None
        self.is_complete = bool(found) and self.last is None
        self.pieces = {piece.number: piece for piece in pieces if piece.number >= len(found)}

    def _waiting(self) -> list[Piece]:
        pieces = []
        for path in sorted(self.folder.glob("*.piece")):
            entry = _parsed(path.read_bytes())
            if entry is not None and self._is_there(segment := _segment(entry["segment"])):
                pieces.append(Piece(int(path.stem), segment, _mark(entry["begin"]), _mark(entry["mark"])))
        return pieces

    def _is_there(self, segment: Segment) -> bool:
        draft = self._sink.draft
        if segment.crc:
            return is_whole(draft.work / segment.name, segment)
        first = int(Path(segment.name).stem.removeprefix("frame_"))
        files = [draft.part / f"frame_{k:06d}.png" for k in range(first, first + segment.frames)]
        return all(file.is_file() for file in files) and sum(f.stat().st_size for f in files) == segment.bytes

    def _compare(self, then: dict[str, str], frames: int) -> None:
        changed = [name for name in {**then, **self._facts} if then.get(name) != self._facts.get(name)]
        if not changed:
            return
        words = ", ".join(_difference(name, then.get(name), self._facts.get(name)) for name in changed)
        path = self._sink.draft.path
        raise Conflict(
            f"{frames} frames of {path.name} are finished, of another render: {words}",
            f"the same input and options go on with it (it is kept in {self._sink.draft.work.name})",
            "--no-resume to start anew",
        )


def go_on(source: FrameSource, mark: Mark) -> tuple[FrameSource, Place | None]:
    """Where to read on, and at which place; None reads `source` itself, from its beginning."""
    again = getattr(source, "again", None)
    if again is None or len(mark.places) == 0:
        return source, None
    expected = {place.pts: place.print for place in mark.places}
    first, last = mark.places[0], mark.places[-1]
    with again(first.pts) as trial:
        frames = iter(trial)
        for frame in frames:
            if frame.pts in expected and expected.pop(frame.pts) != fingerprint(frame):
                return source, None
            if not expected or frame.pts >= last.pts:
                break
    return (source, None) if expected else (again(first.pts), first)


def fingerprint(frame: Frame) -> int:
    """A number that tells a frame's picture from others: of some of its rows."""
    step = max(1, frame.size[0] // SAMPLED_ROWS)
    return zlib.crc32(frame.data[:, ::step].contiguous().numpy().tobytes())


def identity(path: Path) -> str:
    """What tells a file, or a folder of files, from a changed one: size, time of change, and how it begins and ends."""
    digest = sha256()
    files = sorted(path.iterdir()) if path.is_dir() else sorted(matching(path)[0]) if is_pattern(path) else [path]
    total = 0
    for file in files:
        stat = file.stat()
        digest.update(f"{file.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        total += stat.st_size
    if path.is_file():
        with path.open("rb") as opened:
            digest.update(opened.read(DIGEST_BYTES))
            opened.seek(max(0, total - DIGEST_BYTES))
            digest.update(opened.read(DIGEST_BYTES))
    return f"{total} bytes, {digest.hexdigest()[:16]}"


def _difference(name: str, then: str | None, now: str | None) -> str:
    if name == "the input":
        return "the input has changed"
    return f"{name} was {then}, is {now}"


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line of the journal; None for one that was not written to its end."""
    try:
        found = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _segment(entry: dict[str, Any]) -> Segment:
    return Segment(**{**entry, "begin": Fraction(entry["begin"]), "size": tuple(entry["size"])})


def _as_json(mark: Mark | None) -> dict[str, Any] | None:
    return None if mark is None else asdict(mark)


def _standing(mark: Mark) -> tuple[Any, ...]:
    """All of a mark that decides what comes after it."""
    return mark.pts, mark.opening, [(p.pts, p.print, p.state, p.repeats) for p in mark.places]


def _mark(entry: dict[str, Any] | None) -> Mark | None:
    if entry is None:
        return None
    places = tuple(Place(**{**place, "pts": Fraction(place["pts"])}) for place in entry["places"])
    return Mark(Fraction(entry["pts"]), tuple(Fraction(pts) for pts in entry["opening"]), places)
