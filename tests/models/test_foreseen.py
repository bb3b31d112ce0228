"""tween's own predictor: the newest frame, carried on as far as motion is believed to go on as it was."""

import numpy as np
import pytest
import torch
from test_tweennet import falling, moving

from tween.metrics.image import psnr
from tween.models import bend, zoo
from tween.models.foreseen import AT_FIRST, PARTS, SEEN, Field, Foreseen

INNER = (..., slice(16, -16), slice(32, -32))


@pytest.fixture
def model():
    """As it begins."""
    return zoo.create("tweennet-ahead").eval()


def foretold(model, steps, t):
    """dB of what is foretold at `t`, where a thing was at -2, -1 and 0, and then is."""
    *shown, truth = moving(steps).unbind(1)
    with torch.inference_mode():
        seen = model(torch.stack(shown, 1), torch.tensor([float(t)])).frame
    return psnr(seen[INNER], truth[INNER]).item()


def told_to(model, *gates):
    """The same, whatever it sees."""
    with torch.no_grad():
        model.foresight.tell.bias.copy_(torch.tensor(gates))
    return model


@pytest.mark.parametrize("t", [1, 2])
def test_even_motion_goes_on(model, t):
    steps = [3.0 * time for time in (-2, -1, 0, t)]
    assert foretold(model, steps, t) > 36
    assert foretold(zoo.load("repeat"), steps[1:], t) < 25


@pytest.mark.parametrize("t", [1, 2])
def test_a_fall_goes_on_falling_where_bends_are_believed(model, t):
    steps = falling((-1, 0, 1, 1 + t))  # an acceleration of 3 pixels, in every gap
    straight = foretold(told_to(model, 0.0, 0.0, 0.0, 0.0, 0.0, -9.0, -2.0), steps, t)
    bent = foretold(told_to(model, 1.0, 0.0, 1.0, 0.0, 0.0, -9.0, -2.0), steps, t)
    around = foretold(told_to(model, 0.0, 1.0, 0.0, 1.0, 0.0, -9.0, -2.0), steps, t)
    assert bent > straight + 3
    assert around > straight + 3


def test_a_clip_that_begins_tells_of_no_bend(model):
    frames = moving((0, 0, 4))
    with torch.inference_mode():
        _, planes = model.relate([model.embed(frame) for frame in frames.unbind(1)])
        field = Field(*planes.split(PARTS, 1))
    assert not field.turn.any()
    assert not field.belief.any()
    assert field.back[:, 0].median().item() == pytest.approx(4, abs=0.2)
    assert field.onward[:, 0].median().item() == pytest.approx(4, abs=0.2)
    assert torch.equal(field.earlier, field.back)


def test_what_rests_stays(model):
    still = moving((2, 2, 2))
    with torch.inference_mode():
        assert (model(still, torch.ones(1)).frame - still[:, 2]).abs().max() < 1e-3


def test_two_pictures_at_once_are_those_one_by_one(model):
    frames = torch.cat((moving((0, 3, 5)), moving((4, 4, 1)), moving((0, 0, 0))))
    when = torch.tensor([1.0, 2.0, 0.5])
    with torch.inference_mode():
        together = model(frames, when).frame
        alone = [model(frames[n : n + 1], when[n : n + 1]).frame for n in range(3)]
    assert (together - torch.cat(alone)).abs().max() < 1e-5


def test_each_search_is_made_once(monkeypatch):
    """A clip of n frames is searched 2 (n - 1) times, though a gap asks for three."""
    made = []
    monkeypatch.setattr(
        bend, "dense_search", lambda *pair, **_: made.append(pair) or np.zeros((*pair[0].shape, 2), np.float32)
    )
    model = Foreseen().eval()
    with torch.inference_mode():
        seen = [model.embed(frame) for frame in moving((0, 1, 3, 6, 10, 15)).unbind(1)]
        for here in range(2, 6):
            model.relate(seen[here - 2 : here + 1])
    assert len(made) == 2 * 4 + 1  # that from the second frame back to the first is only half asked for


def test_what_it_goes_by_turns_with_the_picture(model):
    told = []
    model.foresight.register_forward_hook(lambda _, seen, __: told.append(seen[0]))
    frames = moving(falling((-1, 0, 1)), size=(128, 160))
    with torch.inference_mode():
        for seen in (frames, frames.flip(-1), frames.transpose(-1, -2).contiguous()):
            model(seen, torch.ones(1))
    plain, mirrored, turned = told
    assert plain.shape == (1, SEEN, 16, 20)
    assert (mirrored.flip(-1) - plain).abs().mean() < 0.03
    assert (turned.transpose(-1, -2) - plain).abs().mean() < 0.03
    assert plain.abs().mean() > 0.1


def test_all_it_tells_can_be_learnt():
    model = zoo.create("tweennet-ahead").train()
    shown = model(moving(falling((-1, 0, 1))), torch.ones(1)).frame
    shown.square().mean().backward()
    assert len(model.foresight.tell.bias.grad) == len(AT_FIRST)
    assert all(value.abs() > 1e-8 for value in model.foresight.tell.bias.grad)


def test_as_it_ships_it_follows_what_moves_evenly_and_what_slows_down():
    shipped, straight = zoo.load("tweennet-ahead"), zoo.load("dis-ahead")
    slowing = (0.0, 4.0, 6.0, 7.0)
    assert foretold(shipped, slowing, 1) > foretold(Pairs(straight), slowing, 1) + 3
    assert foretold(shipped, [3.0 * time for time in (-2, -1, 0, 1)], 1) > 40


class Pairs:
    """A predictor from two frames, asked as one from three."""

    def __init__(self, model):
        self.model = model

    def __call__(self, frames, t):
        return self.model(frames[:, 1:], t)
