"""tween's larger network: what is searched, mended twice."""

import numpy as np
import pytest
import torch
from test_tweennet import falling, moving

from tween.metrics.image import psnr
from tween.models import woven, zoo
from tween.models.tweennet import found_at
from tween.models.woven import EACH, SOURCES, Woven, prior

LARGE = 576, 736  # drawn in one pass


@pytest.fixture
def unruly():
    """A network that says much."""
    torch.manual_seed(3)
    model = Woven(widths=(32, 32, 32), depths=(1, 1, 1, 2)).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.02 * torch.randn_like(value))
    return model


@torch.inference_mode()
def test_untrained_it_shows_what_dis_shows():
    frames, when = moving((-1, 1, 5, 9)), torch.tensor([0.4])
    ours = zoo.create("tweennet-m").eval()(frames, when).frame
    theirs = zoo.create("dis").eval()(frames[:, 1:3], when).frame
    assert psnr(ours, theirs).item() > 45  # beliefs are enlarged as logarithms
    assert psnr(theirs, frames[:, 1]).item() < 40  # there was something to move


@torch.inference_mode()
def test_untrained_it_gives_equal_frames_back():
    frames = moving((3, 3, 3, 3))
    assert psnr(zoo.create("tweennet-m").eval()(frames, torch.tensor([0.3])).frame, frames[:, 1]).item() > 80


@pytest.mark.parametrize("t", [0.2, 0.5])
@pytest.mark.slow
def test_one_pass_and_torchs_steps_show_the_same(monkeypatch, unruly, t):
    pytest.importorskip("numba")
    frames = torch.cat((moving(falling((-1, 0, 1, 2)), LARGE), moving((4, 4, 1, 0), LARGE)))
    when = torch.tensor([t, t])
    with torch.inference_mode():
        passes = unruly(frames, when)
        monkeypatch.setattr(woven, "has_numba", lambda: False)
        steps = unruly(frames, when)
    assert (passes.frame - steps.frame).abs().max() < 1e-4
    assert torch.equal(passes.aux["flow"], steps.aux["flow"])
    assert psnr(passes.frame, zoo.create("dis")(frames[:, 1:3], when).frame).max().item() < 40  # it said much


@pytest.mark.parametrize("size", [(96, 160), LARGE])
@pytest.mark.slow
def test_what_learns_shows_the_same(unruly, size):
    frames, when = moving(falling((-1, 0, 1, 2)), size), torch.tensor([0.5])
    with torch.inference_mode():
        shown = unruly(frames, when)
    learnt = unruly(frames, when)
    assert (shown.frame - learnt.frame).abs().max() < 1e-4
    assert learnt.frame.requires_grad
    assert learnt.aux["merged_half"].shape == (1, 3, size[0] // 2, size[1] // 2)


@torch.inference_mode()
def test_a_flow_that_is_told_is_a_flow_that_is_taken():
    """Told to follow the other guess, a guess is the other; told to rest, it rests; told to move, it moves."""
    frames, when = moving((-1, 0, 6, 9)), torch.tensor([0.5])
    model = Woven()
    scene = model.relate([model.embed(frame) for frame in frames.unbind(1)])
    found = prior(found_at(scene, when), scene[0], when)
    told = torch.zeros(1, 2 * EACH, *found.motions.shape[-2:])
    plain = found.flows(told)
    told[:, 0] = 1  # ahead follows back
    told[:, EACH + 2] = 1  # back rests
    told[:, EACH + 5] = 2  # and moves by two pixels in frame 0
    ahead, back = found.flows(told).split(4, 1)
    assert torch.allclose(ahead, plain[:, 4:], atol=1e-5)
    assert torch.allclose(back[:, 0], torch.full_like(back[:, 0], 2.0), atol=1e-5)
    assert torch.allclose(back[:, 1:], torch.zeros_like(back[:, 1:]), atol=1e-5)
    assert found.believed.shape[1] == SOURCES
    assert torch.allclose(found.believed.exp().sum(1), torch.tensor(1.0), atol=2e-3)


@torch.inference_mode()
def test_what_it_goes_by_stays_small_whatever_a_guess_weighs(unruly):
    """Where all else fails, a guess that fits weighs 300,000 times as much; motions reach across the picture."""
    frames, when = moving(falling((-1, 0, 1, 2))), torch.tensor([0.5])
    scene = unruly.relate([unruly.embed(frame) for frame in frames.unbind(1)])
    one = found_at(scene, when)[0]
    far = one.outer._replace(motion=one.outer.motion + 4000)
    one = one._replace(of_outer=np.full_like(one.of_outer, 3e5), outer=far, before=one.before + 4000)
    assert unruly._at_first(prior([one], scene[0], when)).abs().max() < 10


@torch.inference_mode()
def test_a_batch_is_its_pictures_one_by_one(unruly):
    one, other = moving(falling((-1, 0, 1, 2))), moving((4, 4, 1, 0))
    both = unruly(torch.cat((one, other)), torch.tensor([0.5, 0.25])).frame
    alone = torch.cat([unruly(x, torch.tensor([t])).frame for x, t in ((one, 0.5), (other, 0.25))])
    assert (both - alone).abs().max() < 1e-4
