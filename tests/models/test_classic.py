"""The classic methods: what they must show of a scene whose motion is known."""

import math

import numpy as np
import pytest
import torch

from tween.models import zoo
from tween.ops.canvas import to_float, to_integer

NAMES = ["nearest", "blend", "dis"]


@pytest.fixture(params=NAMES)
def model(request):
    return zoo.load(request.param)


def texture(height, width, shift=(0.0, 0.0), seed=0):
    """A smooth random picture `[1, 3, H, W]`, moved by `shift` (x, y) pixels, exactly."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    picture = np.zeros((3, height, width))
    for _ in range(40):
        angle, phase = rng.uniform(0, 2 * math.pi, 2)
        radius = math.exp(rng.uniform(math.log(0.015), math.log(0.4)))  # waves of every size, as in nature
        along = math.cos(angle) * (x - shift[0]) + math.sin(angle) * (y - shift[1])
        picture += rng.uniform(0, 1, (3, 1, 1)) * np.sin(radius * along + phase)
    return torch.from_numpy(0.5 + 0.06 * picture).float().clamp(0, 1)[None]


def seen(model, a, b, t=0.5):
    with torch.inference_mode():
        return model(torch.stack((a, b), 1), torch.full((len(a),), t))


def psnr(a, b):
    return float(-10 * torch.log10(((a - b) ** 2).mean().clamp_min(1e-12)))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_equal_frames_give_that_frame_back(model, t, dtype):
    kept = to_integer(texture(90, 124), dtype)
    picture = to_float(kept)
    assert torch.equal(to_integer(seen(model, picture, picture, t).frame, dtype), kept)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (2, 2), (15, 40), (16, 16), (17, 33), (31, 32), (47, 200), (64, 65)])
def test_every_size_is_rendered(model, size):
    a, b = texture(*size), texture(*size, seed=1)
    for t in (0.0, 0.3, 0.5, 1.0):
        out = seen(model, a, b, t)
        assert out.frame.shape == a.shape
        assert bool(torch.isfinite(out.frame).all())
        assert out.frame.min() >= 0
        assert out.frame.max() <= 1 + 1e-6


def test_the_ends_are_the_frames(model):
    a, b = texture(96, 128), texture(96, 128, (5, 2))
    assert psnr(seen(model, a, b, 0.0).frame, a) > 90
    assert psnr(seen(model, a, b, 1.0).frame, b) > 90


def test_the_ends_are_approached():
    model, a, b = zoo.load("dis"), texture(96, 128), texture(96, 128, (6, 0))
    from_first = [psnr(seen(model, a, b, t).frame, a) for t in (0.3, 0.1, 0.01)]
    assert from_first == sorted(from_first)
    assert from_first[-1] > 45


def test_a_batch_is_its_pictures(model):
    a = torch.cat([texture(70, 90), texture(70, 90, seed=3)])
    b = torch.cat([texture(70, 90, (4, 0)), texture(70, 90, (0, -3), seed=3)])
    t = torch.tensor([0.25, 0.6])
    whole = model(torch.stack((a, b), 1), t)
    for i in range(2):
        alone = model(torch.stack((a[i : i + 1], b[i : i + 1]), 1), t[i : i + 1])
        assert torch.equal(alone.frame[0], whole.frame[i])
        for name, value in whole.aux.items():
            assert torch.equal(alone.aux[name][0], value[i])


def test_nearest_shows_the_nearer_frame():
    model, a, b = zoo.load("nearest"), texture(20, 20), texture(20, 20, seed=1)
    for t, shown in ((0.0, a), (0.49, a), (0.5, a), (0.51, b), (1.0, b)):
        assert torch.equal(seen(model, a, b, t).frame, shown)


def test_blend_is_the_weighted_mean():
    model, a, b = zoo.load("blend"), texture(20, 20), texture(20, 20, seed=1)
    assert torch.allclose(seen(model, a, b, 0.25).frame, 0.75 * a + 0.25 * b, atol=1e-6)


@pytest.mark.parametrize("t", [0.2, 0.5, 0.75])
@pytest.mark.parametrize("shift", [(6.0, 0.0), (-4.0, 9.0), (25.0, -11.0)])
def test_dis_follows_a_motion_to_any_time(shift, t):
    """Away from the border, where what comes into view cannot be known."""
    a, b = texture(180, 260), texture(180, 260, shift)
    truth = texture(180, 260, (shift[0] * t, shift[1] * t))
    inner = (..., slice(30, -30), slice(30, -30))
    ours = psnr(seen(zoo.load("dis"), a, b, t).frame[inner], truth[inner])
    blend = psnr(seen(zoo.load("blend"), a, b, t).frame[inner], truth[inner])
    assert ours > 33
    assert ours > blend + 10


def test_dis_tells_its_flow():
    a, b = texture(180, 260), texture(180, 260, (8, -4))
    flow = seen(zoo.load("dis"), a, b, 0.25).aux["flow"]
    assert flow.shape == (1, 4, 180, 260)
    told = flow[..., 40:-40, 40:-40].median(-1).values.median(-1).values[0]
    assert torch.allclose(told, torch.tensor([-2.0, 1.0, 6.0, -3.0]), atol=0.3)


@pytest.mark.parametrize("t", [0.3, 0.5])
def test_dis_runs_backwards_as_it_runs_forwards(t):
    model, a, b = zoo.load("dis"), texture(90, 130), texture(90, 130, (7, 3))
    there, back = seen(model, a, b, t), seen(model, b, a, 1 - t)
    assert psnr(there.frame, back.frame) > 90
    assert torch.allclose(there.aux["flow"], back.aux["flow"][:, [2, 3, 0, 1]], atol=1e-3)


def test_dis_gives_the_same_twice():
    model, a, b = zoo.load("dis"), texture(200, 300), texture(200, 300, (9, 4))
    assert torch.equal(seen(model, a, b).frame, seen(model, a, b).frame)


def test_dis_finds_a_small_thing_in_a_small_picture():
    """Eight pixels that go six: at half the picture's size they would be too few (38 dB)."""

    def thing(moved):
        picture, cover = texture(120, 160, seed=1), texture(120, 160, seed=2)
        picture[..., 40:48, 60 + moved : 68 + moved] = 1 - cover[..., 40:48, 60:68]
        return picture

    shown = seen(zoo.load("dis"), thing(0), thing(6)).frame
    assert psnr(shown[..., 30:60, 50:90], thing(3)[..., 30:60, 50:90]) > 45


@pytest.mark.parametrize(("size", "small"), [((576, 720), True), ((577, 720), False), ((31, 40), True)])
def test_dis_searches_large_pictures_at_half_their_size(size, small):
    luma = zoo.load("dis").embed(torch.zeros(1, 3, *size))[2]
    assert luma.shape == (1, *(size if small else [(side + 1) // 2 for side in size]))


def test_dis_leaves_what_is_still_where_it_is():
    """A caption over a moving background stays sharp."""
    a, b = texture(180, 260), texture(180, 260, (12, 0))
    letters = 70 + np.flatnonzero(np.random.default_rng(5).random(120) < 0.4)
    for picture in (a, b):
        picture[..., 140:170, 60:200] = 1.0
        picture[..., 148:162, letters] = 0.0
    caption = (..., slice(146, 164), slice(66, 194))
    assert psnr(seen(zoo.load("dis"), a, b).frame[caption], a[caption]) > 30


def test_dis_neither_casts_nor_changes_its_frames():
    a, b = texture(60, 80), texture(60, 80, (3, 0))
    before = a.clone(), b.clone()
    out = seen(zoo.load("dis"), a, b)
    assert out.frame.dtype == torch.float32
    assert torch.equal(a, before[0])
    assert torch.equal(b, before[1])


@pytest.mark.parametrize("t", [0.3, 0.5])
def test_dis_takes_what_one_frame_lacks_from_the_other(t):
    """A pan: the strips at both sides are seen in one frame only, and are neither smeared nor ghosts."""
    a, b = texture(180, 260), texture(180, 260, (16, 0))
    truth = texture(180, 260, (16 * t, 0))
    for strip in ((..., slice(20, -20), slice(0, 6)), (..., slice(20, -20), slice(-6, None))):
        assert psnr(seen(zoo.load("dis"), a, b, t).frame[strip], truth[strip]) > 32
