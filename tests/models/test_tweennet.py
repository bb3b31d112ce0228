"""tween's own network: `dis`, bent as far as it believes."""

import copy
import gc
import pickle

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tween.metrics.image import psnr
from tween.models import bend, dis, tweennet, zoo
from tween.models.sought import sought
from tween.models.tweennet import CLUES, TweenNet


def moving(steps, size=(96, 160)):
    """A random texture, smooth over eight pixels, moved by `steps` pixels to the right, `[1, N, 3, H, W]`."""
    height, width = size
    torch.manual_seed(5)
    coarse = torch.rand(1, 3, height // 8, (width + 64) // 8)
    wide = F.interpolate(coarse, size=(height, width + 64), mode="bicubic", align_corners=False).clamp(0, 1)
    x = torch.arange(width) + 32
    grid = [(x - step + 0.5) * 2 / (width + 64) - 1 for step in steps]
    rows = (torch.arange(height) + 0.5) * 2 / height - 1
    places = [torch.stack((line.expand(height, -1), rows[:, None].expand(-1, width)), -1)[None] for line in grid]
    return torch.stack([F.grid_sample(wide, place, mode="bicubic", align_corners=False) for place in places], 1)


def falling(times):
    """Where a thing is that starts at rest at -1 and gains 3 pixels a gap in each gap."""
    return [1.5 * (time + 1) ** 2 for time in times]


@pytest.fixture
def models():
    """The network as it begins, and `dis`."""
    return zoo.create("tweennet").eval(), zoo.create("dis").eval()


@pytest.mark.parametrize("t", [0.25, 0.5, 0.8])
@torch.inference_mode()
def test_a_fall_is_shown_where_it_is(models, t):
    """Along a straight line it would be 0.375 pixels off at t = 1/2."""
    frames, truth = moving(falling((-1, 0, 1, 2))), moving(falling((t,)))[:, 0]
    ours = models[0](frames, torch.tensor([t]))
    theirs = models[1](frames[:, 1:3], torch.tensor([t]))
    inner = (..., slice(16, -16), slice(32, -32))
    assert psnr(ours.frame[inner], truth[inner]).item() > psnr(theirs.frame[inner], truth[inner]).item() + 2
    flow = ours.aux["flow"][0, 0][16:-16, 32:-32].median()
    assert flow.item() == pytest.approx(falling((0,))[0] - falling((t,))[0], abs=0.25)


@torch.inference_mode()
def test_at_a_clips_ends_it_shows_what_dis_shows(models):
    frames, when = moving((2, 2, 5, 5)), torch.tensor([0.4])
    ours, theirs = models[0](frames, when).frame, models[1](frames[:, 1:3], when).frame
    assert torch.equal(ours, theirs)
    assert psnr(theirs, frames[:, 1]).item() < 40  # there was something to move


@torch.inference_mode()
def test_one_side_tells_too(models):
    when = torch.tensor([0.5])
    truth, frames = moving(falling((0.5,)))[:, 0], moving(falling((-1, 0, 1, 1)))
    ours, theirs = models[0](frames, when).frame, models[1](frames[:, 1:3], when).frame
    assert psnr(ours, truth).item() > psnr(theirs, truth).item() + 0.5


@torch.inference_mode()
def test_it_is_one_way_in_both_directions_of_time(models):
    frames, when = moving(falling((-1, 0, 1, 2))), torch.tensor([0.3])
    ahead, back = models[0](frames, when).frame, models[0](frames.flip(1), 1 - when).frame
    assert psnr(ahead, back).item() > 45


@torch.inference_mode()
def test_what_it_shows_was_in_a_frame():
    """Whatever a network says, it moves and mixes: no brightness is invented."""
    torch.manual_seed(3)
    model = TweenNet().eval()
    for value in model.parameters():
        value.add_(0.3 * torch.randn_like(value))
    frames = 0.25 + 0.5 * moving((0, 3, 5, 12))
    shown = model(frames, torch.tensor([0.5])).frame
    assert frames.min() - 0.05 <= shown.min()  # the bicubic look may pass by that much
    assert shown.max() <= frames.max() + 0.05


@torch.inference_mode()
def test_frames_too_small_to_be_halved(models):
    frames, when = moving((0, 0, 1, 1), size=(16, 48)), torch.tensor([0.5])
    assert psnr(models[0](frames, when).frame, models[1](frames[:, 1:3], when).frame).item() > 35


@torch.inference_mode()
def test_a_batch_is_its_pictures_one_by_one(models):
    one, other = moving(falling((-1, 0, 1, 2))), moving((4, 4, 1, 0))
    both = models[0](torch.cat((one, other)), torch.tensor([0.5, 0.25])).frame
    alone = torch.cat([models[0](x, torch.tensor([t])).frame for x, t in ((one, 0.5), (other, 0.25))])
    assert (both - alone).abs().max() < 1e-5


LARGE = 576, 736  # looked up in one pass


@pytest.mark.parametrize("size", [(96, 160), LARGE])
@pytest.mark.parametrize("t", [0.2, 0.5])
@pytest.mark.slow
def test_passes_and_steps_and_what_learns_show_the_same(monkeypatch, size, t):
    """Compiled passes, torch's steps, and those that gradients come through."""
    pytest.importorskip("numba")
    torch.manual_seed(3)
    model, when = TweenNet().eval(), torch.tensor([t, t, t])
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.05 * torch.randn_like(value))
    pairs = falling((-1, 0, 1, 2)), (4, 4, 1, 0), (0, 0, 3, 3)  # both sides, one, none
    frames = torch.cat([moving(steps, size) for steps in pairs])
    seen = []
    model.gates.register_forward_hook(lambda _, given, __: seen.append(given[0].detach()))
    with torch.inference_mode():
        passes = model(frames, when)
        monkeypatch.setattr(tweennet, "has_numba", lambda: False)
        monkeypatch.setattr(dis, "has_numba", lambda: False)
        steps = model(frames, when).frame
    with torch.enable_grad():
        learnt = model(frames, when)
    assert len(seen) == 3
    assert (seen[0] - seen[1]).abs().max() < 2e-4
    assert (seen[0] - seen[2]).abs().max() < 2e-4
    assert psnr(passes.frame, steps).min().item() > 70  # OpenCV looks up in steps of 1/32 pixel
    assert psnr(passes.frame, learnt.frame).min().item() > 70
    assert learnt.frame.requires_grad
    assert set(passes.aux) == set(learnt.aux) == {"flow", "mask", "bent"}
    for name, value in passes.aux.items():
        assert torch.equal(value, learnt.aux[name].detach())
    straight = psnr(passes.frame, zoo.load("dis")(frames[:, 1:3], when).frame)
    assert straight[:2].max().item() < 50  # it bent
    assert straight[2].item() > 50  # beside others it is not skipped, but nothing is told of it


def test_clues_are_numbers_whatever_a_guess_weighs():
    """Where all else fails, a guess that fits weighs 300,000 times as much; motions reach across the picture."""
    pytest.importorskip("numba")
    model, frames = TweenNet().eval(), moving(falling((-1, 0, 1, 2)))
    with torch.inference_mode():
        scene = model.relate([model.embed(frame) for frame in frames.unbind(1)])
    views = [dis.View(scene[k].permute(0, 2, 3, 1).numpy()[0], scene[k + 2].numpy()[0]) for k in (0, 4)]
    halves = scene[3].numpy()[0], scene[7].numpy()[0]
    one = sought(*views, halves, scene[8].numpy()[0], scene[9].numpy()[0], 0.5)
    far = one.outer._replace(motion=one.outer.motion + 4000)
    one = one._replace(of_outer=np.full_like(one.of_outer, 3e5), outer=far, before=one.before + 4000)
    (cells, turn), (other, _) = tweennet.passes(one), tweennet.steps(one)
    assert np.isfinite(cells).all()
    assert np.abs(cells - other).max() < 1e-2
    assert np.isfinite(turn(np.full((5, *cells.shape[1:]), 50, np.float32))).all()


def test_motion_as_it_was_and_will_be_is_a_third_guess():
    """Where the search between the two frames fails, and those before and after do not."""
    frames = moving([3.0 * time for time in (-1, 0, 1, 2)])
    model, when = zoo.create("tweennet").eval(), torch.tensor([0.5])
    truth = moving((1.5,))[:, 0]
    with torch.inference_mode():
        seen = [model.embed(frame) for frame in frames.unbind(1)]
        *kept, motion, bends = model.relate(seen)
        lost = torch.zeros_like(motion)  # nothing seems to move
        scene = *kept, lost, torch.cat((bends[..., :2] - motion, bends[..., 2:]), -1)
        ours = model.render(scene, when).frame
        theirs = zoo.load("dis").render((*seen[1][:3], *seen[2][1:3], lost), when).frame
    inner = (..., slice(16, -16), slice(32, -32))
    assert psnr(ours[inner], truth[inner]).item() > psnr(theirs[inner], truth[inner]).item() + 1


def test_each_search_is_made_once(monkeypatch):
    """A clip of n frames is searched 2 (n - 1) times, though a gap looks at four frames."""
    made = []
    monkeypatch.setattr(
        bend, "dense_search", lambda *pair, **_: made.append(pair) or np.zeros((*pair[0].shape, 2), np.float32)
    )
    model, frames = TweenNet().eval(), moving((0, 1, 3, 6, 10, 15))
    with torch.inference_mode():
        seen = [model.embed(frame) for frame in frames.unbind(1)]
        for here in range(5):
            model.relate([seen[min(max(here + k, 0), 5)] for k in (-1, 0, 1, 2)])
    assert len(made) == 2 * 5


def test_searches_go_with_their_frames_and_do_not_travel():
    search = bend.Searches()
    lumas = [torch.rand(1, 32, 48) for _ in range(3)]
    kept = search(*lumas[:2])
    assert search(*lumas[:2]) is kept
    lumas[0] = torch.rand(1, 32, 48)
    gc.collect()
    search(*lumas[1:])
    assert len(search._found) == 1
    for other in (copy.deepcopy(search), pickle.loads(pickle.dumps(search))):
        assert not other._found


def test_what_it_goes_by_turns_with_the_picture(models):
    """No clue knows left from right: mirrored frames are told the same, mirrored."""
    told = []
    models[0].gates.register_forward_hook(lambda _, seen, __: told.append(seen[0]))
    frames = moving(falling((-1, 0, 1, 2)), size=(128, 160))
    with torch.inference_mode():
        for seen in (frames, frames.flip(-1), frames.transpose(-1, -2).contiguous()):
            models[0](seen, torch.tensor([0.5]))
    plain, mirrored, turned = told
    assert plain.shape == (1, CLUES, 16, 20)
    assert (mirrored.flip(-1) - plain).abs().mean() < 0.03
    assert (turned.transpose(-1, -2) - plain).abs().mean() < 0.03
    assert plain.abs().mean() > 0.1


@torch.inference_mode()
def test_as_it_ships_it_bends_what_falls_and_nothing_else(models):
    shipped, when = zoo.load("tweennet"), torch.tensor([0.5])
    scores = []
    for path in (falling, lambda times: [3.0 * time for time in times]):
        frames, truth = moving(path((-1, 0, 1, 2))), moving(path((0.5,)))[:, 0]
        ours, theirs = shipped(frames, when).frame, models[1](frames[:, 1:3], when).frame
        scores.append((psnr(ours, truth).item(), psnr(theirs, truth).item()))
    (fall, fall_of_dis), (steady, steady_of_dis) = scores
    assert fall > fall_of_dis + 1
    assert steady > steady_of_dis - 1


def test_what_it_is_trained_on_is_searched_as_a_part_of_a_larger_picture():
    frame = torch.rand(1, 3, 64, 96)
    model = zoo.create("tweennet")
    assert model.train().embed(frame)[2].shape == (1, 32, 48)
    assert model.eval().embed(frame)[2].shape == (1, 64, 96)
