"""Which frames of a clip are shown to a model, and which are asked for.

clip          0   1   2   3   4   5   6   7   8        every gap of two frames, a context of four
first gap     x       .       x       x                the outermost frame stands for what lies before the clip,
second gap    x       x   .   x       x                where the protocol says so
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from ..errors import BadOption, TooShort, UnknownTime
from ..models.model import Spec
from .protocols import Protocol

_NEXT: Final = "vimeo90k-next, cityscapes, kitti, video or frames"


class Gap(NamedTuple):
    """One gap of a clip, and what is asked of it.

    Attributes:
        context: places in the clip, in the order of the spec.
        here: place of frame 0; neighbours: the two places that `Case.inputs` shows.
        targets: (place, t) in the order of t.
    """

    context: tuple[int, ...]
    here: int
    neighbours: tuple[int, int]
    targets: tuple[tuple[int, Fraction], ...]


def gap_of(protocol: Protocol, spec: Spec, asked: int | None = None) -> int:
    """Source frames of a gap: the protocol's, else those asked for, else 2 (a predictor is shown every frame: 1).

    Raises:
        BadOption: the set has a gap of its own, or none of this size can be asked.
    """
    if protocol.gap is not None:
        if asked not in (None, protocol.gap):
            fix = "leave --gap out, or take --set video or frames"
            raise BadOption(f"--gap {asked} with --set {protocol.name}", f"its gap is {protocol.gap}", fix)
        return protocol.gap
    least = 1 if spec.predicts else 2
    if asked is not None and asked < least:
        raise BadOption(f"--gap {asked}", f"{least} source frames or more are needed", f"--gap {least}")
    return asked or least


def suits(protocol: Protocol, spec: Spec, name: str) -> None:
    """Refuse a model that cannot do what the set asks for.

    Raises:
        BadOption: a predictor on a set for interpolation, or the other way round.
    """
    if spec.predicts and not protocol.ahead and protocol.gap is not None:
        raise BadOption(f"{name} predicts; --set {protocol.name} asks for frames in between", "", f"--set {_NEXT}")
    if protocol.ahead and not spec.predicts:
        what = f"{name} interpolates; --set {protocol.name} asks for frames to come"
        raise BadOption(what, "a model whose context ends at 0 is needed", "ifrvp, dis-ahead or repeat")


def gaps(protocol: Protocol, spec: Spec, length: int, *, gap: int, clip: str = "a clip") -> Iterator[Gap]:
    """Every gap that is asked of a clip of `length` frames.

    A clip that is too short for a single gap (without its longer context) gives none.

    Raises:
        TooShort: the context reaches past the clip, the protocol's ends are not clamped, and the model is not one that
            is shown the gap's own frames there.
        UnknownTime: the model knows only the middle, or the next step, and more is asked for.
    """
    length = min(length, protocol.frames or length)
    ahead = (protocol.ahead or 1) if spec.predicts else 0
    reach, start = gap * (ahead or 1), gap if ahead else 0
    begins = range(start, length - reach, gap) if protocol.first is None else (protocol.first,)
    instants = _instants(protocol, spec, gap, ahead)
    for here in begins:
        if not 0 <= here - start <= here + reach < length:
            continue
        context = tuple(_place(protocol, here, gap, c) for c in spec.context)
        fits = min(context) >= 0 and max(context) < length
        if protocol.ends == "refuse" and not fits and not spec.even:
            raise _too_short(protocol, spec, length, clip)
        around = (here - gap, here) if ahead else (here, here + gap)
        ends = around if spec.even else (0, length - 1)  # a frame out of step says nothing of a path
        inside = tuple(place if 0 <= place < length else ends[place > 0] for place in context)
        yield Gap(inside, here, around, tuple((here + after, t) for after, t in instants))


def _instants(protocol: Protocol, spec: Spec, gap: int, ahead: int) -> list[tuple[int, Fraction]]:
    """(places after frame 0, t) that are asked for, ascending in t."""
    if ahead:  # a model of one step reaches the others by being shown its own
        return [(gap * step, Fraction(step)) for step in range(1, ahead + 1)]
    wanted = protocol.targets or tuple(range(1, gap))
    if not spec.any_time and any(2 * after != gap for after in wanted):
        need = "this model knows only the middle, t = 1/2"
        raise UnknownTime(
            f"{len(wanted)} frames inside a gap of {gap}", need, "--set video --gap 2, or a model of any time"
        )
    return [(after, Fraction(after, gap)) for after in wanted]


def _place(protocol: Protocol, here: int, gap: int, c: int) -> int:
    if protocol.spacing == "frames":
        return here + c if c <= 0 else here + gap + c - 1
    return here + gap * c


def _too_short(protocol: Protocol, spec: Spec, length: int, clip: str) -> TooShort:
    got = f"{clip} of --set {protocol.name} has {length} frames"
    need = f"a context of {len(spec.context)} frames, {spec.context[0]} to {spec.context[-1]} gaps, does not fit"
    fits = len(spec.context) <= 4 and spec.context[0] >= -1
    return TooShort(
        got, need, "--set vimeo90k-septuplet, or --set video" if fits else "--set video, or --set lift-ucf101"
    )
