"""Pixels, edges, frequencies, colours: the published values, and slopes that lead down."""

import math

import numpy as np
import pytest
import torch
from published_losses import ifrnet_pictures, other_inputs, values

from tween.errors import BadOption
from tween.losses import terms
from tween.metrics.image import psnr


@pytest.mark.needs_shared
@pytest.mark.parametrize(
    ("key", "term", "a", "b"),
    [
        ("charbonnier_l1(x-y)", terms.charbonnier, "x", "y"),
        ("charbonnier_l1(z-y)", terms.charbonnier, "z", "y"),
        ("laploss5(x,y)", terms.laplacian, "x", "y"),
        ("laploss5(z,y)", terms.laplacian, "z", "y"),
        ("focal_frequency(x,y)", terms.focal_frequency, "x", "y"),
        ("l1(x,y)", terms.l1, "x", "y"),
        ("l1_fft(x,y) mean over real&imag of unnormalised fft2", terms.frequency, "x", "y"),
    ],
)
def test_ifrnet_and_ifrvp_values(shared, key, term, a, b):
    folder = shared / "fixtures" / "ifrnet"
    pictures = ifrnet_pictures(folder)
    assert float(term(pictures[a], pictures[b])) == pytest.approx(values(folder, "unit_values")[key], rel=1e-5)


@pytest.mark.needs_shared
@pytest.mark.parametrize(
    ("group", "key", "term", "settings"),
    [
        ("lift15_kubin", "l1", terms.l1, {}),
        ("lift15_kubin", "lap", terms.laplacian, {"blur": "gaussian"}),
        ("lift15_kubin", "char", terms.charbonnier, {"eps": 1e-3}),
        ("emavfi_cvpr", "lap5", terms.laplacian, {"blur": "binomial"}),
        ("ema_seed", "l2", terms.mse, {}),
        ("ema_seed", "gradient_sobel", terms.gradient, {}),
        ("ema_seed", "color_hist_256", terms.colour, {"levels": 256}),
        ("light", "charbonnier_eps1e-3", terms.charbonnier, {}),
    ],
)
def test_values_of_the_other_projects(shared, group, key, term, settings):
    folder = shared / "fixtures" / "others"
    seen = other_inputs(folder)
    expected = values(folder, "losses")["values"][group][key]
    assert float(term(seen["prediction"], seen["target"], **settings)) == pytest.approx(expected, rel=1e-5)


def pair(size=(2, 3, 33, 40), dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(size, generator=generator, dtype=dtype)
    return a, torch.rand(size, generator=generator, dtype=dtype)


EVERY = [
    terms.charbonnier, terms.l1, terms.mse, terms.gradient, terms.frequency, terms.focal_frequency, terms.colour,
    terms.laplacian,
]  # fmt: skip


@pytest.mark.parametrize("term", EVERY)
def test_equal_pictures_cost_nothing_and_others_can_be_learnt(term):
    a, b = pair(size=(2, 3, 41, 48))
    assert float(term(a, a)) == pytest.approx(1e-3 if term is terms.charbonnier else 0, abs=1e-6)
    learning = a.clone().requires_grad_()
    before = term(learning, b)
    (slope,) = torch.autograd.grad(before, learning)
    assert slope.isfinite().all()
    assert float(term(a - 0.001 * slope / slope.abs().max(), b)) < before.item()


@pytest.mark.parametrize(
    "term",
    [
        terms.charbonnier,
        terms.mse,
        terms.log_mse,
        terms.gradient,
        terms.frequency,
        lambda p, g: terms.laplacian(p, g, levels=2),
        lambda p, g: terms.laplacian(p, g, levels=1, blur="gaussian"),
        lambda p, g: terms.colour(p, g, levels=6),
    ],
)
def test_slopes_are_right(term):
    a, b = pair(size=(1, 2, 7, 6), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda p: term(p, b), a.requires_grad_(), eps=1e-7, atol=1e-4)


def test_the_logarithm_of_the_squares_is_psnr_turned_round():
    torch.manual_seed(2)
    target = torch.rand(3, 3, 24, 20)
    noisy = target + torch.tensor([0.3, 0.05, 0.02]).view(3, 1, 1, 1) * torch.randn_like(target)
    expected = -psnr(noisy, target).mean() * math.log(10) / 10
    assert terms.log_mse(noisy, target, eps=0).item() == pytest.approx(float(expected), rel=1e-5)
    assert terms.log_mse(target, target).item() == pytest.approx(math.log(1e-5))


def test_the_laplacian_is_blind_to_an_equal_change():
    a, _ = pair(size=(1, 3, 64, 64))
    assert float(terms.laplacian(a, a + 0.1)) < 1e-5


def test_a_laplacian_of_odd_sides_is_that_of_the_definition():
    """One level by numpy: what is left of a picture once half of its lines are gone and blurred back."""
    a, b = (picture.numpy()[0, 0].astype(np.float64) for picture in pair(size=(1, 1, 9, 11)))
    taps = np.array([1, 4, 6, 4, 1]) / 16

    def blurred(picture):
        padded = np.pad(picture, 2, mode="reflect")
        rows = sum(tap * padded[:, i : i + picture.shape[1]] for i, tap in enumerate(taps))
        return sum(tap * rows[i : i + picture.shape[0]] for i, tap in enumerate(taps))

    def band(picture):
        spread = np.zeros_like(picture)
        spread[::2, ::2] = blurred(picture)[::2, ::2]
        return picture - 4 * blurred(spread)

    expected = np.abs(band(a) - band(b)).mean()
    ours = terms.laplacian(*(torch.from_numpy(picture)[None, None] for picture in (a, b)), levels=1)
    assert float(ours) == pytest.approx(expected, rel=1e-9)


def test_a_picture_too_small_for_the_pyramid_is_told():
    a, b = pair(size=(1, 3, 32, 48))
    with pytest.raises(BadOption, match="5 levels on 48x32; both sides must be larger than 32 pixels; try: fewer"):
        terms.laplacian(a, b)
    assert float(terms.laplacian(a, b, levels=4)) > 0


def hard_histogram_distance(a, b):
    counts = [
        [np.bincount((255 * colour).round().astype(int).ravel(), minlength=256) / colour.size for colour in picture]
        for picture in (a, b)
    ]
    return np.abs(np.array(counts[0]) - np.array(counts[1])).sum()


def test_soft_colours_are_the_hard_ones_of_8_bit_pictures_and_near_them_else():
    smooth = torch.linspace(0, 1, 96 * 64).view(1, 1, 64, 96)
    a = torch.cat((smooth**2, smooth, smooth**0.5), dim=1)
    b = (a * 0.8 + 0.1).clamp(0, 1)
    rounded = [(255 * picture).round() / 255 for picture in (a, b)]
    hard = hard_histogram_distance(*(picture[0].numpy() for picture in rounded))
    assert float(terms.colour(*rounded, levels=256)) == pytest.approx(hard, rel=1e-4)
    assert float(terms.colour(a, b, levels=256)) == pytest.approx(hard, rel=0.05)


def test_a_wrong_contrast_is_learnt_from_colours_alone():
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    picture = (0.5 + 0.2 * torch.sin(x / 9) * torch.cos(y / 7) + 0.2 * torch.sin(x * y / 300)).expand(1, 3, 64, 64)
    gain, offset = torch.ones(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.Adam([gain, offset], lr=2e-3)
    for _ in range(150):
        optimiser.zero_grad()
        terms.colour(gain * picture + offset, 0.9 * picture + 0.05).backward()
        optimiser.step()
    assert gain.item() == pytest.approx(0.9, abs=0.01)
    assert offset.item() == pytest.approx(0.05, abs=0.01)


def test_a_histogram_counts_every_pixel_once():
    a, _ = pair(size=(2, 3, 17, 19))
    counted = terms.histogram(2 * a - 0.5, levels=16)  # also what lies outside
    torch.testing.assert_close(counted.sum(dim=2), torch.ones(2, 3))
    assert (counted >= 0).all()


def test_focal_frequency_is_the_definition_in_numpy():
    a, b = pair(size=(2, 3, 12, 10))
    apart = np.fft.fft2((a - b).double().numpy(), norm="ortho")
    squared = np.abs(apart) ** 2
    weight = np.abs(apart) / np.abs(apart).max(axis=(2, 3), keepdims=True)
    assert float(terms.focal_frequency(a, b)) == pytest.approx((weight * squared).mean(), rel=1e-5)
