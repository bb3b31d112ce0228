"""Which frames a model is shown around a gap."""

from fractions import Fraction

import pytest
import torch

from tween.backends.torch import TorchBackend
from tween.frame import Frame
from tween.models import zoo
from tween.models.model import Model, Prediction, Spec
from tween.pipeline.context import places
from tween.pipeline.gaps import Gaps
from tween.pipeline.interpolator import Interpolator
from tween.timeline import Times

FOUR = Spec(context=(-1, 0, 1, 2))
EVEN = Spec(context=(-1, 0, 1, 2), even=True)


def at(*milliseconds):
    return [Fraction(one, 1000) for one in milliseconds]


@pytest.mark.parametrize("spec", [FOUR, EVEN])
def test_a_shot_has_ends(spec):
    times = at(0, 40, 80, 120, 160, 200)
    assert places(spec, 2, [0] * 6, times) == [1, 2, 3, 4]
    assert places(spec, 0, [0] * 6, times) == [0, 0, 1, 2]
    assert places(spec, 4, [0] * 6, times) == [3, 4, 5, 5]
    assert places(spec, 2, [0, 0, 1, 1, 2, 2], times) == [2, 2, 3, 3]
    assert places(spec, 1, [0, 0, 1, 1, 1, 1], times) == [0, 1, 1, 1]  # at a cut, where nothing is rendered


def test_a_frame_out_of_step_is_not_shown_to_who_wants_even_ones():
    times = at(0, 33, 67, 167, 200, 233)  # two frames were lost
    assert places(FOUR, 1, [0] * 6, times) == [0, 1, 2, 3]
    assert places(EVEN, 1, [0] * 6, times) == [0, 1, 2, 2]
    assert places(EVEN, 2, [0] * 6, times) == [2, 2, 3, 3]
    assert places(EVEN, 3, [0] * 6, times) == [3, 3, 4, 5]


def test_a_container_rounds_times():
    times = at(0, 42, 83, 125, 167)  # 24 frames a second, in milliseconds
    assert places(EVEN, 1, [0] * 5, times) == [0, 1, 2, 3]


def test_what_lies_beyond_a_frame_out_of_step_is_not_shown_either():
    six = Spec(context=(-2, -1, 0, 1, 2, 3), even=True)
    times = at(0, 40, 90, 130, 170, 300)
    assert places(six, 2, [0] * 6, times) == [2, 2, 2, 3, 4, 3]


def test_a_network_that_bends_motion_wants_even_frames():
    assert zoo.create("tweennet").spec.even
    assert not zoo.create("lightvfi").spec.even


class Notes(list):
    """A list that stays one when a backend copies its model."""

    def __deepcopy__(self, memo):
        return self


class Showing(Model):
    """Tells which frames it was shown."""

    spec = EVEN

    def __init__(self):
        super().__init__()
        self.shown = Notes()

    def relate(self, context):
        self.shown.append([round(frame.mean().item() * 255) for (frame,) in context])
        return super().relate(context)

    def render(self, scene, t):  # noqa: ARG002
        return Prediction(scene[0], {})


def frames(times):
    return [Frame(torch.full((3, 16, 16), 10 * n, dtype=torch.uint8), time) for n, time in enumerate(times)]


def test_offline_and_live_ask_alike():
    times, model, live = at(0, 40, 80, 160, 200), Showing(), Showing()
    list(Interpolator(TorchBackend(model), Times(2))(frames(times)))
    gaps = Gaps(TorchBackend(live), (16, 16), None)
    found = [gap for frame in frames(times) if (gap := gaps.take(frame))]
    for gap in [*found, *gaps.rest()]:
        gap.picture(gap.a.original.pts + Fraction(1, 100), Fraction(1, 2))
    assert model.shown == live.shown
    assert model.shown == [[0, 0, 10, 20], [0, 10, 20, 20], [20, 20, 30, 30], [30, 30, 40, 40]]
