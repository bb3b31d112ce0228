"""Augmentation: the same for every frame of a sample, flow that follows, nothing from beyond the picture."""

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
import torch
from smooth import misses, moving, sample
from torch.nn import functional as F

from tween.data.augment import DEFORMVFI, IFRNET, LIFT, Augment, augmented
from tween.data.sample import Sample, Whole
from tween.errors import BadOption

OFF = Augment()
OPERATIONS = {
    "crop": OFF,
    "double": Augment(double=1),
    "shrink": Augment(resize=(0.72, 0.72)),
    "enlarge": Augment(resize=(1.37, 1.37)),
    "channels": Augment(channels=1),
    "flip_vertical": Augment(flip_vertical=1),
    "flip_horizontal": Augment(flip_horizontal=1),
    "transpose": Augment(transpose=1),
    "quarter_turns": Augment(quarter_turns=1),
    "rotate": Augment(rotate=1),
    "rotate_shrunk": Augment(rotate=1, resize=(0.8, 0.8)),
    "reverse": Augment(reverse=1),
    "jitter": Augment(jitter=1),
    "grayscale": Augment(grayscale=1),
}
ANYTHING = Augment(
    double=0.2, resize=(0.7, 1.4), channels=0.5, flip_vertical=0.5, flip_horizontal=0.5, transpose=0.5,
    quarter_turns=0.5, rotate=0.5, reverse=0.5, jitter=0.5, grayscale=0.2,
)  # fmt: skip


@pytest.fixture(scope="module")
def smooth() -> Sample:
    return sample(moving(2.5, size=(96, 128)), t=0.25)


def constant(value: int = 255, size: tuple[int, int] = (60, 80)) -> Sample:
    picture = torch.full((3, *size), value, dtype=torch.uint8)
    return Sample(torch.stack([picture, picture]), picture, 0.5, torch.zeros(4, *size), "constant")


def noise(size: tuple[int, int] = (48, 64), frames: int = 2, seed: int = 0) -> Sample:
    made = torch.Generator().manual_seed(seed)
    pictures = torch.randint(0, 256, (frames + 1, 3, *size), dtype=torch.uint8, generator=made)
    return Sample(pictures[:-1], pictures[-1], 0.25, torch.randn(4, *size, generator=made), "noise")


def holds(found: Sample, least: float) -> None:
    """The flow label brings both frames to the target."""
    assert found.flow is not None
    for frame, flow in zip(found.frames, found.flow.split(2), strict=True):
        assert misses(frame, found.target, flow) > least


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("seed", range(3))
def test_flow_follows_each_operation(smooth, name, seed):
    found = augmented(smooth, OPERATIONS[name], (64, 72), np.random.default_rng(seed))
    assert found.frames.shape == (2, 3, 64, 72)
    assert found.flow.shape == (4, 64, 72)
    holds(found, 36)


@pytest.mark.parametrize("seed", range(200))
@pytest.mark.slow
def test_flow_follows_any_combination(smooth, seed):
    rng = np.random.default_rng(seed)
    crop = (int(rng.integers(40, 70)), int(rng.integers(40, 70)))
    holds(augmented(smooth, ANYTHING, crop, rng), 34)


@pytest.mark.parametrize("augment", [Augment(), IFRNET, Augment(resize=(0.6, 0.9), rotate=1.0)])
def test_a_flow_at_half_size_follows_as_one_at_full_size_does(smooth, augment):
    """It is in the frames' pixels all the same."""
    half = F.interpolate(smooth.flow[None], scale_factor=0.5, mode="area")[0].half()
    coarse = Whole(list(smooth.frames), smooth.target, smooth.t, half)
    for seed in range(6):
        fine, found = (augmented(one, augment, (40, 56), np.random.default_rng(seed)) for one in (smooth, coarse))
        assert torch.equal(found.frames, fine.frames)
        assert torch.equal(found.target, fine.target)
        assert found.flow.dtype == torch.float32
        inner = (found.flow - fine.flow)[:, 2:-2, 2:-2]
        assert float(inner.abs().max()) < 0.05


def test_nothing_but_the_crop_happens_by_default():
    given = noise()
    rows = given.target.unfold(1, 20, 1).unfold(2, 24, 1)
    found = augmented(given, OFF, (20, 24), np.random.default_rng(0))
    places = (rows == found.target[:, None, None]).all(-1).all(-1).all(0).nonzero()
    assert len(places) == 1
    top, left = places[0].tolist()
    here = (..., slice(top, top + 20), slice(left, left + 24))
    assert torch.equal(found.frames, given.frames[here])
    assert torch.equal(found.flow, given.flow[here])
    assert found.t == given.t
    whole = augmented(given, OFF, (48, 64), np.random.default_rng(0))
    assert torch.equal(whole.frames, given.frames)


def test_crops_fall_everywhere():
    size = (12, 14)
    picture = torch.arange(12 * 14, dtype=torch.uint8).view(1, *size).expand(3, *size)
    given = Sample(torch.stack([picture, picture]), picture, 0.5)
    rng = np.random.default_rng(0)
    corners = {int(augmented(given, OFF, (10, 10), rng).target[0, 0, 0]) for _ in range(200)}
    assert corners == {14 * y + x for y in range(3) for x in range(5)}


@pytest.mark.parametrize(
    ("augment", "same"),
    [
        (Augment(channels=1), lambda a: a.flip(-3)),
        (Augment(flip_vertical=1), lambda a: a.flip(-2)),
        (Augment(flip_horizontal=1), lambda a: a.flip(-1)),
        (Augment(transpose=1), lambda a: a.transpose(-1, -2)),
    ],
)
def test_exchanges_of_pixels_are_exact(augment, same):
    given = noise((40, 40))
    found = augmented(given, augment, (40, 40), np.random.default_rng(0))
    assert torch.equal(found.frames, same(given.frames))
    assert torch.equal(found.target, same(given.target))


def test_quarter_turns_are_all_three():
    given, rng = noise((40, 40)), np.random.default_rng(0)
    turned = [torch.rot90(given.target, k, (1, 2)) for k in range(4)]
    found = [augmented(given, Augment(quarter_turns=1), (40, 40), rng).target for _ in range(60)]
    which = [next(k for k in range(4) if torch.equal(one, turned[k])) for one in found]
    assert set(which) == {1, 2, 3}
    assert min(which.count(k) for k in (1, 2, 3)) > 8


def test_signs_of_flow_are_those_of_the_paper():
    """IFRNet: a vertical flip negates y, a horizontal one x, a transpose swaps them, time reversal swaps the pairs."""
    flow = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(4, 1, 1).expand(4, 30, 30)
    given = noise((30, 30))._replace(flow=flow)
    signs = {
        "flip_vertical": [1, -2, 3, -4],
        "flip_horizontal": [-1, 2, -3, 4],
        "transpose": [2, 1, 4, 3],
        "reverse": [3, 4, 1, 2],
    }
    for name, expected in signs.items():
        found = augmented(given, OPERATIONS[name], (30, 30), np.random.default_rng(0))
        assert found.flow[:, 5, 5].tolist() == expected


def test_doubling_is_the_papers():
    given = noise((24, 30))
    found = augmented(given, Augment(double=1), (20, 22), np.random.default_rng(0))
    pictures = [np.ascontiguousarray(a.permute(1, 2, 0).numpy()) for a in (given.target, given.flow)]
    picture, flow = (torch.from_numpy(cv2.resize(a, (60, 48), interpolation=cv2.INTER_LINEAR)) for a in pictures)
    rows = picture.permute(2, 0, 1).float().unfold(1, 20, 1).unfold(2, 22, 1)
    worst = (rows - found.target[:, None, None]).abs().amax((0, 3, 4))
    top, left = divmod(int(worst.argmin()), worst.shape[1])
    assert worst.min() <= 1  # of 255: the whole picture enlarged, then cropped
    label = 2 * flow[top : top + 20, left : left + 22].permute(2, 0, 1)
    assert torch.allclose(found.flow, label, atol=1e-4)


def test_a_free_turn_shows_nothing_from_beyond_the_picture():
    for seed in range(40):
        for scale in (0.7, 1.0, 1.5):
            given = constant(255, (60, 80))
            found = augmented(given, Augment(rotate=1, resize=(scale, scale)), (56, 50), np.random.default_rng(seed))
            assert found.target.min() == 255


def test_a_free_turn_keeps_within_its_angle():
    given = noise((80, 80))._replace(flow=torch.tensor([1.0, 0, 1, 0]).view(4, 1, 1).expand(4, 80, 80))
    for seed in range(30):
        found = augmented(given, Augment(rotate=1, largest_angle=10), (40, 40), np.random.default_rng(seed))
        x, y = found.flow[:2, 20, 20].tolist()
        assert abs(np.degrees(np.arctan2(y, x))) < 10.1
        assert np.hypot(x, y) == pytest.approx(1, abs=0.02)


def test_a_crop_as_large_as_the_picture_can_be_transposed():
    found = augmented(noise((40, 56)), Augment(transpose=1), (40, 56), np.random.default_rng(0))
    assert found.target.shape == (3, 40, 56)


def test_every_frame_gets_the_same_draw():
    picture = noise().target
    given = Sample(torch.stack([picture] * 4), picture, 0.5)
    every = replace(ANYTHING, degraded="all", compression=1)
    for seed in range(20):
        found = augmented(given, every, (40, 40), np.random.default_rng(seed), (-1, 0, 1, 2))
        assert all(torch.equal(frame, found.target) for frame in found.frames)


def test_the_same_generator_gives_the_same_sample():
    everything = replace(ANYTHING, noise=0.5, compression=0.5)
    one, same, other = (augmented(noise(), everything, (40, 40), np.random.default_rng(n)) for n in (3, 3, 4))
    assert torch.equal(one.frames, same.frames)
    assert torch.equal(one.flow, same.flow)
    assert not torch.equal(one.frames, other.frames)


def test_the_given_sample_is_left_as_it_is():
    given = noise()
    before = [given.frames.clone(), given.target.clone(), given.flow.clone()]
    found = augmented(given, replace(OFF, jitter=1, noise=1), (48, 64), np.random.default_rng(0))
    found.frames.zero_()
    found.flow.zero_()
    assert all(torch.equal(a, b) for a, b in zip(before, (given.frames, given.target, given.flow), strict=True))


def test_time_runs_backwards():
    given = noise(frames=4)
    found = augmented(given, Augment(reverse=1), (48, 64), np.random.default_rng(0), (-1, 0, 1, 2))
    assert torch.equal(found.frames, given.frames.flip(0))
    assert torch.equal(found.target, given.target)
    assert found.t == 0.75
    assert torch.equal(found.flow, given.flow[[2, 3, 0, 1]])


def test_a_predictors_time_is_not_reversed():
    with pytest.raises(BadOption) as error:
        augmented(noise(), Augment(reverse=0.01), (20, 20), np.random.default_rng(0), (-1, 0))
    assert str(error.value) == (
        "time reversal of frames at -1, 0; a context that is the same backwards is needed; "
        "try: --data.augment.reverse 0"
    )
    assert augmented(noise(), OFF, (20, 20), np.random.default_rng(0), (-1, 0)).t == 0.25


def test_a_crop_that_does_not_fit_is_refused_with_one_that_does():
    with pytest.raises(BadOption) as error:
        augmented(noise((48, 64)), OFF, (64, 60), np.random.default_rng(0))
    assert str(error.value) == "noise is 48 x 64; a crop of 64 x 60 does not fit in it; try: --data.crop 48 60"


def test_grayscale_has_no_colour():
    found = augmented(noise(), Augment(grayscale=1), (40, 40), np.random.default_rng(0))
    assert int((found.frames.int().amax(1) - found.frames.int().amin(1)).max()) == 0
    luma = augmented(noise(), OFF, (40, 40), np.random.default_rng(0)).target.double()
    luma = (luma * torch.tensor([0.299, 0.587, 0.114]).double().view(3, 1, 1)).sum(0)
    assert float((found.target[0] - luma).abs().max()) <= 0.6


def test_jitter_changes_each_as_it_says():
    given, rng = noise(), np.random.default_rng(0)
    none = Augment(jitter=1, brightness=0, contrast=0, saturation=0, hue=0)
    assert torch.equal(augmented(given, none, (48, 64), rng).target, given.target)
    gray = constant(100)
    values = [int(augmented(gray, replace(none, brightness=0.3), (20, 20), rng).target[0, 0, 0]) for _ in range(100)]
    assert 70 <= min(values) < 80
    assert 120 < max(values) <= 130
    for change in ({"contrast": 0.5}, {"saturation": 0.5}, {"hue": 0.3}):  # of gray, these change nothing
        assert abs(int(augmented(gray, replace(none, **change), (20, 20), rng).target.max()) - 100) <= 1
    half = given._replace(frames=given.frames // 4 + 96, target=given.target // 4 + 96)
    luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    for change in ({"saturation": 0.5}, {"hue": 0.3}):  # luma stays
        found = augmented(half, replace(none, **change), (48, 64), rng).target
        assert not torch.equal(found, half.target)
        assert float(((found.float() - half.target.float()) * luma).sum(0).abs().max()) < 1.5
    spread = [
        float(augmented(half, replace(none, contrast=0.5), (48, 64), rng).target.float().std()) for _ in range(30)
    ]
    assert min(spread) < 0.8 * float(half.target.float().std()) < 1.2 * float(half.target.float().std()) < max(spread)


@pytest.mark.parametrize("change", [{"noise": 1.0}, {"compression": 1.0}])
def test_degrading_the_inputs_leaves_the_target(change):
    given = noise()
    found = augmented(given, Augment(**change), (48, 64), np.random.default_rng(0))
    assert torch.equal(found.target, given.target)
    assert not torch.equal(found.frames, given.frames)
    both = augmented(given, Augment(**change, degraded="all"), (48, 64), np.random.default_rng(0))
    assert not torch.equal(both.target, given.target)


def test_noise_has_the_deviation_asked_for():
    found = augmented(constant(128), Augment(noise=1, noise_levels=(5, 5)), (60, 80), np.random.default_rng(0))
    error = found.frames.double() - 128
    assert float(error.std()) == pytest.approx(5, abs=0.15)
    assert abs(float(error.mean())) < 0.15
    assert not torch.equal(found.frames[0], found.frames[1])


def test_compression_is_worse_at_a_lower_quality(smooth):
    def error(quality: int) -> float:
        augment = Augment(compression=1, quality=(quality, quality))
        found = augmented(smooth, augment, (96, 128), np.random.default_rng(0))
        return float((found.frames.float() - smooth.frames.float()).square().mean())

    assert 0 < error(95) < error(50) < error(10)


def test_what_is_published_is_reachable():
    assert (IFRNET.double, IFRNET.channels, IFRNET.flip_vertical) == (0.1, 0.5, 0.3)
    assert (IFRNET.flip_horizontal, IFRNET.transpose, IFRNET.reverse) == (0.5, 0.05, 0.5)
    assert (DEFORMVFI.largest_angle, DEFORMVFI.grayscale, DEFORMVFI.hue) == (180, 0.2, 0.1)
    assert LIFT.quarter_turns == 0.75
    assert {field.name for field in fields(Augment) if getattr(IFRNET, field.name) != getattr(OFF, field.name)} == {
        "double", "channels", "flip_vertical", "flip_horizontal", "transpose", "reverse",
    }  # fmt: skip


def test_probabilities_are_kept():
    given, rng = noise((30, 30)), np.random.default_rng(0)
    flipped = [
        not torch.equal(augmented(given, Augment(flip_horizontal=0.3), (30, 30), rng).target, given.target)
        for _ in range(400)
    ]
    assert np.mean(flipped) == pytest.approx(0.3, abs=0.08)
