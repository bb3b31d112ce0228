"""IFRVP: IFRNet that looks back. The frames at -1 and 0 in, a frame at t >= 1 out.

Aikawa et al., "IFRVP", ICIP 2024: the very networks of `ifrnet.py`, trained with the triplet in another order. Flows
run from the target to the frame at -1 and to the frame at 0.

      -1        0        1        2        3
       x        x   ->   .        .        .
    one step     (`ifrvp`)        t = 1 only; what lies further is reached by feeding its own output back (recurrent)
    any time     (`ifrvp-any`)    t is an input: one set of weights for t = 1, 2, 3 and between
    independent  (`ifrvp-steps`)  one set of weights for each of t = 1, 2, 3, 4, 5
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from ..errors import UnknownTime
from .entry import Entry, StateDict, Weights
from .ifrnet import SIZES, IFRNet, Size
from .model import Model, Prediction, Spec, Tensors

PUBLISHED_PLANE = 0.5  # the published trainer shows every network this as t, whatever it is to predict
STEPS = 5  # how far the comparisons on Cityscapes look ahead


class IFRVP(IFRNet):
    """A predictor.

    Args:
        size: a row of `ifrnet.SIZES`.
        scale: as for `IFRNet`.
        any_time: True feeds t to the network; False feeds what the published weights were trained with, and the
            network knows only t = 1 (or, as one of `IndependentSteps`, its own step).
    """

    def __init__(self, size: Size, scale: float = 1.0, *, any_time: bool = False) -> None:
        super().__init__(size, scale)
        self.spec = Spec(context=(-1, 0), multiple=self.spec.multiple, any_time=any_time)

    def render(self, scene: Tensors, t: Tensor) -> Prediction:
        """What is seen at `t` `[B]`, t >= 1. `aux` is as `IFRNet.render` says; frame 0 of it is the one at -1."""
        return super().render(scene, t if self.spec.any_time else torch.full_like(t, PUBLISHED_PLANE))


class IndependentSteps(Model):
    """One predictor for each step ahead: the k-th was trained to show t = k and nothing else.

    Only the steps asked for are computed. An exported graph cannot choose, and computes all of them: export a member of
    `steps` where speed matters.

    Args:
        steps: one-step predictors, for t = 1, 2, ...
    """

    chooses = True

    def __init__(self, steps: Sequence[IFRVP]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.spec = Spec(context=(-1, 0), multiple=steps[0].spec.multiple, any_time=True)

    def render(self, scene: Tensors, t: Tensor) -> Prediction:
        """What is seen at `t` `[B]`, whole numbers from 1 to `len(steps)`.

        Raises:
            UnknownTime: any other t.
        """
        wanted = range(1, len(self.steps) + 1) if torch.compiler.is_compiling() else self._wanted(t)
        context = [(frame,) for frame in scene]
        shown: Prediction | None = None
        for step in wanted:
            net = cast(IFRVP, self.steps[step - 1])
            one = net.render(net.relate(context), t)
            shown = one if shown is None else choose(t >= step - 0.5, one, shown)
        assert shown is not None, "t is empty"
        return shown

    def _wanted(self, t: Tensor) -> list[int]:
        """The steps in t, ascending. Without memory (when the cost is counted) the first stands for any."""
        if t.is_meta:
            return [1]
        times = sorted(set(t.tolist()))
        known = range(1, len(self.steps) + 1)
        if strange := [time for time in times if time not in known]:
            raise UnknownTime(f"t = {strange[0]:g}", f"this model knows t = 1, 2, ... {len(self.steps)} only")
        return [int(time) for time in times]


def choose(here: Tensor, new: Prediction, old: Prediction) -> Prediction:
    """Of each picture of a batch, `new` where `here` `[B]` is true, else `old`."""

    def pick(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(here.view(-1, 1, 1, 1), a, b)

    aux = {key: pick(value, old.aux[key]) for key, value in new.aux.items()}
    return Prediction(pick(new.frame, old.frame), aux)


def without_loss_network(state: StateDict) -> dict[str, Tensor]:
    """Published files carry the VGG-19 that their training compared pictures with; it is not the predictor's."""
    return {key: value for key, value in state.items() if not key.startswith("vggloss.")}


def build(size: str, any_time: bool, scale: float) -> IFRVP:
    """An untrained predictor of a size of `ifrnet.SIZES`."""
    return IFRVP(SIZES[size], scale, any_time=any_time)


def build_steps(size: str, scale: float) -> IndependentSteps:
    """Untrained predictors of `STEPS` steps."""
    return IndependentSteps([build(size, False, scale) for _ in range(STEPS)])


def row(name: str, size: str, about: str, *, any_time: bool = False, weights: tuple[Weights, ...] = ()) -> Entry:
    return Entry(
        name,
        partial(build, size, any_time),
        about=about,
        paper=PAPER,
        code_licence="MIT",
        rename=without_loss_network,
        weights=weights,
        scalable=True,
    )


PAPER = "Aikawa et al., IFRVP, ICIP 2024, ieeexplore.ieee.org/document/10647865"
PUBLISHED = Weights("cityscapes", licence="MIT", origin="IFRNet_S_latest.pth of github.com/FykAikawa/IFRVP")

ROWS: tuple[Entry, ...] = (
    row("ifrvp", "s", "IFRNet-S predicts the next frame", weights=(PUBLISHED,)),
    row("ifrvp-t", "t", "IFRNet-T predicts the next frame"),
    row("ifrvp-fast", "elan", "IFRNet-ELAN predicts the next frame, the fastest"),
    row("ifrvp-any", "s", "IFRNet-S predicts any time ahead", any_time=True),
    row("ifrvp-fast-any", "elan", "IFRNet-ELAN predicts any time ahead, the fastest", any_time=True),
    Entry(
        "ifrvp-steps",
        partial(build_steps, "s"),
        about="five IFRNet-S, each predicting its own step ahead",
        paper=PAPER,
        code_licence="MIT",
        scalable=True,
    ),
)
