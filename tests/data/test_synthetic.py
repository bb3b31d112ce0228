"""Drawn scenes: flow is exact at any time, what hides what is known, the same seed draws the same."""

import pickle

import cv2
import numpy as np
import pytest
import torch
from smooth import misses, moving, planes, surface

from tween.data import scenery, textures
from tween.data.layers import Layer, Motion, Swing
from tween.data.scenery import Light, opaque
from tween.data.synthetic import Scene, SyntheticClip, SyntheticSet, grid, scene_of

SMALL = (72, 96)


def clips(count: int, size: tuple[int, int] = SMALL, **more) -> list[SyntheticClip]:
    return list(SyntheticSet(size=size, count=count, seed=4, **more))


def box_over_a_wall(shift: float, light: Light = Light()) -> Scene:  # noqa: B008
    """A red box of 20 x 20 pixels that goes right by `shift` pixels a frame, over a blue wall that rests."""
    wall = opaque(np.full((200, 200, 3), (0, 0, 200), np.uint8))
    box = np.zeros((44, 44, 4), np.uint8)
    box[..., 0] = 200
    box[2:-2, 2:-2, 3] = 255
    box[..., 3] = cv2.GaussianBlur(box[..., 3], (0, 0), 0.7)  # as every shape's edge is
    layers = [Layer(wall, Motion(), endless=True), Layer(box, Motion(x=Swing(30, shift, 1e-6), y=Swing(32)))]
    return Scene(layers, light, (64, 96))


@pytest.mark.parametrize(("target", "other"), [(0, 2), (1.5, -0.25), (4, 0.3), (2, 2)])
@pytest.mark.parametrize("speed", [0.3, 3.0, 9.0])
def test_a_frame_warped_by_exact_flow_is_the_other_frame(target, other, speed):
    scene = moving(speed)
    flow = planes(scene.flow(target, other))
    assert misses(planes(scene.frame(other)), planes(scene.frame(target)), flow) > 40


def test_whole_scenes_warp_onto_themselves_where_nothing_is_hidden():
    found = []
    for clip in clips(12):
        scene = scene_of(clip)
        first, last = scene.instant(0.0), scene.instant(1.5)
        x, y = grid(SMALL, np.float32)
        flow = scene.flow(0.0, 1.5)
        warped = cv2.remap(last, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        free = cv2.erode(scene.visible(0.0, 1.5).astype(np.uint8), np.ones((3, 3))) > 0
        same = cv2.absdiff(warped, first).max(-1)
        assert np.percentile(same[free], 50) <= 4
        found.append(10 * np.log10(255**2 / max(np.square(same[free].astype(float)).mean(), 1e-3)))
    assert np.median(found) > 33


@pytest.mark.parametrize("clip", clips(4), ids=lambda clip: clip.name)
def test_nothing_moves_in_no_time(clip):
    assert clip.flow_between(3, 3).abs().max() == 0
    assert clip.flow_between(2.25, 2.25).abs().max() == 0
    height, width = clip.size()
    assert clip.visible(3, 3).float().mean() > 1 - 40 / (height * width)  # a pixel may be shared evenly by two layers


def test_there_and_back_again_is_where_it_was():
    for clip in clips(6):
        for layer in scene_of(clip).layers:
            x, y = grid((9, 11), np.float64)
            there = layer.carried(x * 8, y * 8, 0.7, 3.1)
            back = layer.carried(*there, 3.1, 0.7)
            assert np.allclose(np.broadcast_arrays(*back), np.broadcast_arrays(x * 8, y * 8), atol=1e-6)


def test_flow_out_and_flow_back_cancel_where_the_same_is_seen():
    scene = moving(4.0)
    out, back = scene.flow(0, 2), scene.flow(2, 0)
    x, y = grid(scene.size, np.float32)
    met = cv2.remap(back, x + out[..., 0], y + out[..., 1], cv2.INTER_LINEAR, borderValue=(np.nan, np.nan))
    known = ~np.isnan(met).any(-1)
    assert known.mean() > 0.5
    assert np.abs(out + met)[known].max() < 0.02


def test_flow_by_way_of_a_third_time_is_the_same():
    layer = moving().layers[0]
    x, y = grid((9, 11), np.float64)
    straight = layer.carried(x * 9, y * 9, 0.0, 2.0)
    around = layer.carried(*layer.carried(x * 9, y * 9, 0.0, 0.37), 0.37, 2.0)
    assert np.allclose(straight, around, atol=1e-8)


def test_a_box_hides_what_it_comes_to_stand_before_and_nothing_else():
    scene = box_over_a_wall(5.0)
    assert np.allclose(scene.flow(0, 2)[scene.owner(0) == 1], (10, 0), atol=1e-4)
    assert np.all(scene.flow(0, 2)[scene.owner(0) == 0] == 0)
    hidden = ~scene.visible(0, 2)
    assert np.array_equal(hidden, (scene.owner(0) == 0) & (scene.owner(2) == 1))
    assert 180 < hidden.sum() < 220  # 10 columns of 20 pixels
    assert scene.visible(0, 0).all()


def test_what_leaves_the_picture_is_not_visible():
    scene = box_over_a_wall(40.0)
    assert not scene.visible(0, 2)[scene.owner(0) == 1].any()


def test_edges_are_soft_and_move_by_parts_of_a_pixel():
    scene = box_over_a_wall(0.25)
    sums = [scene.instant(float(t))[32, 40:, 0].astype(float).sum() for t in range(5)]
    steps = np.diff(sums)
    assert np.allclose(steps, 0.25 * 200, atol=12)


def test_blur_is_the_light_around_the_instant_and_flow_that_of_its_middle():
    sharp, blurred = box_over_a_wall(6.0), box_over_a_wall(6.0, Light(shutter=0.5, samples=7))
    a, b = (scene.frame(1.0)[32, :, 0].astype(float) for scene in (sharp, blurred))
    columns = np.arange(96)
    assert abs((a * columns).sum() / a.sum() - (b * columns).sum() / b.sum()) < 0.1
    assert ((b > 10) & (b < 190)).sum() > ((a > 10) & (a < 190)).sum() + 2
    assert np.array_equal(sharp.flow(1, 2), blurred.flow(1, 2))
    assert np.mean(blurred.light.instants(3.25)) == pytest.approx(3.25)


def test_light_drifts_for_all_pixels_alike_and_noise_is_another_in_every_frame():
    gray = np.full((40, 50, 3), 100, np.uint8)
    light = Light(gains=(Swing(0.0, 0.1, 0.05), Swing(), Swing()))
    assert light.taken(gray, 0.0).tolist() == gray.tolist()
    later = light.taken(gray, 2.0)
    assert np.ptp(later[..., 0]) == 0
    assert later[0, 0, 0] > 115
    assert later[0, 0, 1] == 100
    noisy = Light(noise=3.0, seed=1)
    one, same, other = noisy.taken(gray, 1.0), noisy.taken(gray, 1.0), noisy.taken(gray, 1.5)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert one.std() == pytest.approx(3, abs=0.15)
    assert one.mean() == pytest.approx(100, abs=0.15)


def test_the_same_seed_draws_the_same_and_another_something_else():
    clip = SyntheticClip(7, SMALL)
    again, other = pickle.loads(pickle.dumps(clip)), SyntheticClip(8, SMALL)
    assert torch.equal(clip.frame(2.5), again.frame(2.5))
    assert torch.equal(clip.flow(4, 2, 6), again.flow(4, 2, 6))
    assert not torch.equal(clip.frame(2.5), other.frame(2.5))


def test_a_clip_reads_as_every_clip_does():
    clip = SyntheticClip(3, SMALL, length=5)
    frames = clip.read([4, 0, 2])
    assert [frame.shape for frame in frames] == [(3, *SMALL)] * 3
    assert frames[0].dtype == torch.uint8
    assert torch.equal(frames[2], clip.frame(2))
    flow = clip.flow(2, 0, 4)
    assert flow.shape == (4, *SMALL)
    assert flow.dtype == torch.float32
    assert torch.equal(flow[2:], clip.flow_between(2, 4))
    assert (clip.name, clip.group, clip.length, clip.size()) == ("synthetic/000003", "synthetic", 5, SMALL)
    with pytest.raises(IndexError, match=r"frames 0\.\.4"):
        clip.read([5])


def test_a_set_is_its_clips():
    drawn = SyntheticSet(size=SMALL, count=3, length=7, seed=2)
    assert [clip.name for clip in drawn] == [f"synthetic/{2_000_000 + n}" for n in range(3)]
    assert len(drawn) == len(drawn.clips) == 3
    assert (drawn.gap, drawn.targets, drawn.clips[0].length) == (None, None, 7)
    with pytest.raises(IndexError):
        drawn[3]


@pytest.mark.slow
def test_the_kinds_of_scenes_come_as_often_as_said():
    rng = np.random.default_rng(0)
    made = [scenery.made(rng, (40, 48)) for _ in range(150)]
    still = [layers[0].rests(0.0, 3.0) for layers, _ in made]
    assert 0.15 < np.mean(still) < 0.4  # 30 %, less those whose still background bends
    assert 0.15 < np.mean([light.shutter > 0 for _, light in made]) < 0.36
    assert 0.38 < np.mean([light.noise > 0 for _, light in made]) < 0.62
    assert min(len(layers) for layers, _ in made) >= 3


def test_speeds_have_a_heavy_tail_and_an_end():
    found = []
    for clip in clips(40, (64, 64)):
        flow = scene_of(clip).flow(0, 2)
        found.append(np.sqrt(np.square(flow).sum(-1))[::4, ::4].ravel() * 4)  # as in a picture of 256
    speeds = np.concatenate(found)
    assert 0.5 < np.median(speeds) < 4
    assert np.percentile(speeds, 99) > 8 * np.median(speeds)
    assert speeds.max() < 120


class Still:
    """A clip of one bright green picture."""

    name, group, length = "green", "green", 1

    def size(self):
        return (50, 60)

    def read(self, places):
        return [torch.tensor([0, 250, 0], dtype=torch.uint8).view(3, 1, 1).expand(3, 50, 60) for _ in places]

    def flow(self, *_):
        return None


def test_surfaces_are_cut_from_pictures_that_are_given():
    green = 0
    for clip in clips(8, pictures=(Still(),)):
        red, is_green, blue = scene_of(clip).instant(0.0).transpose(2, 0, 1).astype(int)
        green += int(((is_green > 200) & (red + blue < 80)).mean() > 0.05)
    assert green >= 3


@pytest.mark.parametrize("kind", textures.SHAPES)
def test_every_shape_has_an_inside_an_outside_and_soft_edges(kind):
    rng = np.random.default_rng(0)
    masks = [textures.shape(rng, (60, 90), kind) for _ in range(6)]
    assert all(mask.max() > 150 for mask in masks)
    assert all(mask[0].max() < 60 for mask in masks)
    assert np.mean([(mask < 50).mean() for mask in masks]) > 0.1
    assert np.mean([((mask > 20) & (mask < 235)).mean() for mask in masks]) > 0.005


def test_every_grain_has_detail():
    for number in range(7):
        grain = textures.grain(number)
        assert grain.shape == (textures.GRAIN, textures.GRAIN)
        assert grain.std() > 25
    assert np.array_equal(textures.grain(3), textures.grain.__wrapped__(3))


@pytest.mark.parametrize("size", [(33, 47), (128, 40), (16, 16)])
def test_any_size_can_be_drawn(size):
    clip = SyntheticClip(5, size)
    assert clip.read([0])[0].shape == (3, *size)
    assert clip.flow(1, 0, 2).isfinite().all()
    assert surface(50).shape == (50, 50, 4)
