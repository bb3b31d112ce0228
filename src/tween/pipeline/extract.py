"""A video to folders of frames, one a shot: footage to train on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadOption, OutputExists, TweenError
from ..frame import Frame
from ..video.cuts import CutDetector, same_picture
from ..video.doors import open_sink, open_source
from ..video.stream import FrameSource
from . import offline


@dataclass
class Extracted:
    """What became of one video.

    Attributes:
        folder: holds one folder a shot.
        frames, shots: kept. repeats: frames left out because they repeat the one before. short: frames left out
            because their shot has too few.
        damage: what was wrong with the video, if anything.
    """

    folder: Path
    frames: int = 0
    shots: int = 0
    repeats: int = 0
    short: int = 0
    damage: TweenError | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and text."""
        damage = str(self.damage) if self.damage else None
        return {**self.__dict__, "folder": str(self.folder), "damage": damage}


def extract(video: str | Path, folder: str | Path, *, least: int = 3) -> Extracted:
    """Write the frames of `video` to `folder/<its name>/shot-0000/frame_000000.png`, and so on.

    Args:
        video: a file or a folder of pictures.
        folder: made if it is not there.
        least: a shot of fewer frames is left out.

    Raises:
        OutputExists: the video's folder is there already. Whatever `open_source` and `open_sink` raise.
    """
    if least < 1:
        raise BadOption(f"--least {least}", "a shot has at least 1 frame", "--least 3")
    done = Extracted(Path(folder) / Path(video).stem)
    if done.folder.exists():
        raise OutputExists(
            f"{done.folder} is there already", "frames are never mixed", "remove it, or choose another -o"
        )
    with open_source(video) as source, offline.reading(source) as frames:
        for number, shot in enumerate(_long_enough(_shots(frames, done), least, done)):
            _write(shot, done.folder / f"shot-{number:04d}", source, done)
        done.damage = source.damage
    return done


def _write(shot: Iterator[Frame], folder: Path, source: FrameSource, done: Extracted) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        write = stack.enter_context(offline.writing(stack.enter_context(open_sink(folder, like=source))))
        for frame in shot:
            write(frame)
            done.frames += 1
    done.shots += 1


def _shots(frames: Iterator[Frame], done: Extracted) -> Iterator[Iterator[Frame]]:
    """The frames as shots, each to be drawn before the next; repeats are left out and counted."""
    detector = CutDetector()
    ahead = next(frames, None)

    def shot() -> Iterator[Frame]:
        nonlocal ahead
        cut = False
        while ahead is not None and not cut:
            before, ahead = ahead, None
            yield before
            while (after := next(frames, None)) is not None:
                cut = detector.between(before, after)
                if not same_picture(before, after):
                    ahead = after
                    break
                done.repeats += 1

    while ahead is not None:
        yield shot()


def _long_enough(shots: Iterator[Iterator[Frame]], least: int, done: Extracted) -> Iterator[Iterator[Frame]]:
    """The shots of at least `least` frames; no more than `least` are held at a time."""
    for shot in shots:
        head = [frame for _, frame in zip(range(least), shot, strict=False)]
        if len(head) < least:
            done.short += len(head)
            continue
        yield _chained(head, shot)


def _chained(head: list[Frame], rest: Iterator[Frame]) -> Iterator[Frame]:
    yield from head
    yield from rest
