"""A film looked through: its shots, what moves in them, and which of them are held back to judge by.

film   |- stretch -|- stretch -|- stretch -|        looked at in an order that is spread over the film whenever it stops
shots  |--1--|-----2-----|--3--|----4----|          cuts end them, and stretches that nobody looked at
runs     ===   ==== =====   ===     ====            what can be learnt from: no stills, no repeats, nothing wild
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.clips import Clip, PictureClip, VideoClip
from ..data.gaps import Gaps, measured
from ..data.index import index_of
from ..data.mine import FOR_TRAINING, cut_up, part
from ..data.sets import open_set
from ..errors import BadOption, MissingFile, TooShort

STRETCH = 150  # gaps that are looked at together
LEAST_STRETCHES = 4  # looked at however little time there is
HELD = 0.25  # of the frames, about, in the shots that are held back
Look = Callable[[float], None]  # told how far it is, 0 to 1


@dataclass(frozen=True)
class Run:
    """Frames of one shot that can be learnt from, one after the other.

    Attributes:
        clip: they themselves. shot: its number. motion: mean pixels a gap, [frames - 1].
    """

    clip: Clip
    shot: int
    motion: NDArray[np.float64]


def look_through(film: Path, *, least: int, seconds: float, stretches: list[int] | None, told: Look) -> list[Run]:
    """The runs of a film, in its order.

    Args:
        film: a video file, or a folder. least: frames of the shortest run that is of use.
        seconds: how long this may take. stretches: those to look at, by number; filled if it is empty.
        told: how far it is.

    Raises:
        MissingFile, WrongLayout, BadOption: no film that can be learnt from. TooShort: no run is long enough.
    """
    clips = clips_of(film)
    pieces = [piece for clip in clips for piece in _stretches(clip)]
    order = list(stretches) if stretches else _spread(len(pieces))
    seen: dict[int, Gaps] = {}
    begun = time.perf_counter()
    for done, number in enumerate(order):
        if not stretches and done >= LEAST_STRETCHES and time.perf_counter() - begun > seconds:
            break
        seen[number] = measured(pieces[number])
        told((done + 1) / len(order))
    if stretches is not None and not stretches:
        stretches += list(seen)
    runs = list(_runs(pieces, seen, least))
    if not runs:
        total = sum(clip.length for clip in clips)
        got = f"{film}: {total} frames, of which no {least} in a row move, without a cut, a repeat or a wild jump"
        raise TooShort(got, "moving pictures are needed to learn from", "a film with more motion")
    return runs


def clips_of(film: Path) -> list[Clip]:
    """The film as clips, as they lie.

    Raises:
        MissingFile: nothing there. WrongLayout: no video. BadOption: interlaced video.
    """
    if not film.exists():
        raise MissingFile(f"no file or folder {film}", "the path of a video is needed")
    is_pictures = film.is_dir() and not (film / "MANIFEST.tsv").is_file() and _has_pictures(film)
    clips = list(open_set("frames" if is_pictures else "video", film, "train", mine=False).clips)
    combed = [c.path for c in clips if isinstance(c, VideoClip) and index_of(c.path).is_interlaced]
    if combed:
        raise BadOption(f"{combed[0]} is interlaced", "whole pictures are needed to learn from", "deinterlace it first")
    return clips


def _has_pictures(folder: Path) -> bool:
    from ..video.images import SUFFIXES

    return any(file.suffix.lower() in SUFFIXES for file in folder.iterdir())


def _stretches(clip: Clip) -> Iterator[Clip]:
    """Parts of a clip that share their outermost frames, so that no gap is left out."""
    for first in range(0, max(1, clip.length - 1), STRETCH):
        last = min(first + STRETCH, clip.length - 1)
        if isinstance(clip, VideoClip):
            yield replace(
                clip, name=f"{clip.name}/{first}", start=clip.start + first * clip.step, length=last - first + 1
            )
        else:
            assert isinstance(clip, PictureClip)
            yield replace(clip, name=f"{clip.name}/{first}", paths=clip.paths[first : last + 1])


def _spread(count: int) -> list[int]:
    """0 to count - 1 so that the first few are spread over all of them: by their bits in reverse."""
    bits = max(1, (count - 1).bit_length())
    return sorted(range(count), key=lambda k: int(f"{k:0{bits}b}"[::-1], 2))


def _runs(pieces: list[Clip], seen: dict[int, Gaps], least: int) -> Iterator[Run]:
    limits = replace(FOR_TRAINING, least=max(least, FOR_TRAINING.least))
    shot = 0
    for number, piece in enumerate(pieces):
        if number not in seen:
            shot += 1
            continue
        if number and not _goes_on(pieces[number - 1], piece):
            shot += 1
        gaps = seen[number]
        shots = shot + np.concatenate([[0], np.cumsum(gaps.cut)])
        for run in cut_up(gaps, limits)[1]:
            motion = np.array([gaps.motion[a : a + run.step].sum() for a in run[:-1]])
            yield Run(part(piece, run), int(shots[run[0]]), motion)
        shot = int(shots[-1])


def _goes_on(before: Clip, after: Clip) -> bool:
    """Whether one stretch begins with the frame that the other ends on."""
    return before.group == after.group and before.name.rpartition("/")[0] == after.name.rpartition("/")[0]


def held_back(runs: list[Run], least: int) -> tuple[list[Run], list[Run]]:
    """Runs to learn from, and runs of other shots to judge by; where shots are too few or too uneven for that, the end
    of the longest one judges, too.

    Raises:
        TooShort: there is too little to do both.
    """
    frames: dict[int, int] = {}
    for run in runs:
        frames[run.shot] = frames.get(run.shot, 0) + run.clip.length
    total = sum(frames.values())
    held_shots = _chosen(frames, total)
    held = [run for run in runs if run.shot in held_shots]
    learn = [run for run in runs if run.shot not in held_shots]
    lacking = round(HELD * total) - sum(frames[shot] for shot in held_shots)
    if lacking > HELD / 2 * total:
        longest = max((shot for shot in frames if shot not in held_shots), key=lambda shot: frames[shot])
        sooner, later = _by_time([run for run in learn if run.shot == longest], lacking, least)
        learn = [run for run in learn if run.shot != longest] + sooner
        held += later
    if not learn or not held:
        got = f"{total} frames that can be learnt from"
        raise TooShort(got, f"{2 * least} or more are needed, to learn from and to judge by", "a longer film")
    return learn, held


def _chosen(frames: dict[int, int], total: int) -> list[int]:
    """Shots to hold back, spread over the film: about the share of frames that is wanted; never all."""
    shots = list(frames)
    held: list[int] = []
    for shot in (shots[k] for k in [*_spread(len(shots))[1:], 0]):
        of_all = sum(frames[s] for s in held)
        if of_all < HELD * total and len(held) < len(shots) - 1 and of_all + frames[shot] <= 1.4 * HELD * total:
            held.append(shot)
    return held or ([min(shots, key=lambda shot: frames[shot])] if len(shots) > 1 else [])


def _by_time(runs: list[Run], wanted: int, least: int) -> tuple[list[Run], list[Run]]:
    """One shot's runs, all but its last `wanted` frames and those; parts that are too short for use are left whole."""
    sooner: list[Run] = []
    later: list[Run] = []
    behind = sum(run.clip.length for run in runs)
    for run in runs:
        behind -= run.clip.length
        at = run.clip.length - min(max(0, wanted - behind), run.clip.length)
        at = run.clip.length if run.clip.length - at < least else 0 if at < least else at
        for places, where in ((range(at), sooner), (range(at, run.clip.length), later)):
            if places:
                where.append(Run(part(run.clip, places), run.shot, run.motion[places.start : places.stop - 1]))
    return sooner, later
