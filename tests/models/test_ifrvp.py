"""IFRVP predicts: the published network in its ordering, and the three ways of looking further ahead."""

import json

import pytest
import torch
from published_ifrnet import arrays, furthest, picture, rule, weights

from tween.errors import UnknownTime
from tween.models import ifrvp, zoo

PREDICTION = 1e-5


@pytest.fixture(scope="module")
def folder(shared):
    return shared / "fixtures" / "ifrnet"


@pytest.fixture
def frames():
    torch.manual_seed(0)
    return torch.rand(1, 2, 3, 32, 48)


def small_steps(count):
    """Independent predictors whose outputs differ."""
    torch.manual_seed(1)
    return ifrvp.IndependentSteps([ifrvp.build("elan", False, 1.0) for _ in range(count)]).eval()


@torch.inference_mode()
def shown(model, frames, *t):
    return model(frames.expand(len(t), -1, -1, -1, -1), torch.tensor(t, dtype=torch.float32)).frame


def test_the_published_predictor_is_ours(folder):
    model = ifrvp.build("s", False, 1.0).eval()
    model.load_state_dict(weights(folder, "IFRNet_S"), strict=True)
    pair = [picture(rule(folder).frame_u8(tau)) for tau in (0, 0.5)]
    frame = shown(model, torch.stack(pair, 1), 1.0)
    assert furthest(frame, arrays(folder, "IFRVP_IFRNet_S_prediction")["pred"]) <= PREDICTION


def test_a_one_step_predictor_knows_the_next_frame_only(frames):
    model = zoo.create("ifrvp-fast").eval()
    assert (model.spec.context, model.spec.any_time, model.spec.predicts) == ((-1, 0), False, True)
    assert torch.equal(shown(model, frames, 1.0), shown(model, frames, 3.0))


def test_an_any_time_predictor_is_told_t(frames):
    model = zoo.create("ifrvp-fast-any").eval()
    assert model.spec.any_time
    assert furthest(shown(model, frames, 1.0), shown(model, frames, 3.0)) > 1e-5


def test_any_time_is_the_same_network_with_t_itself_as_the_plane(frames):
    one, any_time = ifrvp.build("t", False, 1.0).eval(), ifrvp.build("t", True, 1.0).eval()
    any_time.load_state_dict(one.state_dict())
    assert torch.equal(shown(one, frames, 1.0), shown(any_time, frames, 0.5))


def test_each_step_has_a_network_of_its_own(frames):
    model = small_steps(3)
    for step in (1, 2, 3):
        assert torch.equal(shown(model, frames, float(step)), shown(model.steps[step - 1], frames, 1.0))


def test_a_batch_may_ask_for_different_steps(frames):
    model = small_steps(3)
    batch = shown(model, frames, 3.0, 1.0, 2.0)
    for picture_, step in zip(batch, (3, 1, 2), strict=True):
        assert furthest(picture_[None], shown(model, frames, float(step))) < 1e-5


def test_only_the_steps_asked_for_are_computed(frames):
    model, ran = small_steps(3), []
    for number, net in enumerate(model.steps, 1):
        net.encoder.register_forward_hook(lambda *_, number=number: ran.append(number))
    shown(model, frames, 2.0)
    assert ran == [2]


@pytest.mark.slow
def test_an_exported_graph_chooses_as_we_do(frames):
    model = small_steps(2)
    graph = torch.export.export(model, (frames, torch.tensor([2.0])), strict=False).module()
    for step in (1.0, 2.0):
        assert furthest(graph(frames, torch.tensor([step])).frame, shown(model, frames, step)) < 1e-5


@pytest.mark.parametrize("t", [0.0, 1.5, 4.0, float("nan")])
def test_a_step_that_nobody_learnt_is_refused(frames, t):
    with pytest.raises(UnknownTime, match=r"t = .*this model knows t = 1, 2, \.\.\. 3 only"):
        shown(small_steps(3), frames, t)


def test_the_loss_network_in_published_files_is_dropped(folder):
    extra = json.loads((folder / "keys" / "IFRVP_extra_vggloss_keys.json").read_text())
    assert len(extra) == 34
    state = {**weights(folder, "IFRNet_S"), **{key: torch.zeros(1) for key in extra}}
    assert ifrvp.without_loss_network(state).keys() == weights(folder, "IFRNet_S").keys()
    assert zoo.identify(state).name == "ifrvp"


@pytest.mark.parametrize("name", ["ifrvp", "ifrvp-t", "ifrvp-fast", "ifrvp-any", "ifrvp-steps"])
def test_every_row_builds_at_a_scale(name):
    assert zoo.create(name, scale=0.5).spec.multiple == (32 if name in ("ifrvp", "ifrvp-any", "ifrvp-steps") else 16)
