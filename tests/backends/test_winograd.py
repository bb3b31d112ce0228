"""Winograd's convolutions are torch's, as near as bf16 comes, at every size, and write just what they should."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tween.backends.machine import multiplies_in_vectors

pytest.importorskip("numba")
if not multiplies_in_vectors():
    pytest.skip("bf16 is not multiplied in AVX-512 here", allow_module_level=True)

from tween.backends import winograd

LEAST = 42  # dB; 47 of large pictures, where a plain convolution in bf16 has 52
SENTINEL = 0x7FC0  # a number that is none


def random(*size, seed=0):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def placed(picture, channels=None, first=0):
    """`[C, H, W]` as channels of a wider picture, from the `first` on."""
    count, height, width = picture.shape
    channels = channels or count
    numbers = winograd.picture(height, width, channels)
    view = numbers[: height * width * channels].reshape(height, width, channels)
    view[..., first : first + count] = winograd.bits(picture.permute(1, 2, 0).numpy())
    return winograd.Place(numbers, channels, first)


def read(place, size, count):
    numbers = place.numbers[: size[0] * size[1] * place.channels].reshape(*size, place.channels)
    kept = np.ascontiguousarray(numbers[..., place.first : place.first + count])
    return torch.from_numpy(kept).view(torch.bfloat16).float().permute(2, 0, 1)


def rounded(picture):
    return picture.bfloat16().float()


def near(ours, truth):
    return float(10 * torch.log10(truth.square().mean() / (ours - truth).square().mean()))


def convolution(inputs, outputs):
    made = nn.Conv2d(inputs, outputs, 3, 1, 1)
    with torch.no_grad():
        made.weight.copy_(random(outputs, inputs, 3, 3, seed=1) / (9 * inputs) ** 0.5)
        made.bias.copy_(random(outputs, seed=2) / 10)
    return made, random(outputs, seed=3).abs() / 3


def run(size, layer, source, target, side, added, parts=1):
    tiles = -(-size[0] // 2) * -(-size[1] // 2)
    for k in range(parts):
        room = winograd.room(layer)
        winograd.convolve(
            size, layer, source, target, side, added, room, (tiles * k // parts, tiles * (k + 1) // parts)
        )


@torch.no_grad()
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (5, 4), (12, 31), (33, 18)])
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 5), (24, 24), (37, 50), (76, 72), (145, 144), (9, 120)])
def test_it_is_torchs(size, inputs, outputs):
    made, slope = convolution(inputs, outputs)
    picture = rounded(random(inputs, *size, seed=4))
    target = placed(torch.zeros(outputs, *size))
    none = winograd.Place(target.numbers, 0, 0)
    run(size, winograd.layer(made, slope), placed(picture), target, none, none)
    assert near(read(target, size, outputs), F.prelu(made(picture[None]), slope)[0]) > LEAST


@torch.no_grad()
@pytest.mark.parametrize("size", [(7, 9), (16, 22)])
def test_some_channels_go_elsewhere_and_others_are_left_alone(size):
    """Main channels into the first of a wider picture, the last ones into another; a sum before the slope."""
    made, slope = convolution(24, 38)
    picture, more = rounded(random(24, *size, seed=4)), rounded(random(38, *size, seed=5))
    target, side = placed(torch.zeros(28, *size), 40, 4), placed(torch.zeros(10, *size))
    target.numbers[:] = SENTINEL
    layer = winograd.layer(made, slope, side=10)
    source = placed(picture, 31, 7)
    run(size, layer, source, target, side, winograd.Place(target.numbers, 0, 0))
    truth = F.prelu(made(picture[None]), slope)[0]
    shown = torch.cat((read(target, size, 28), read(side, size, 10)))
    assert near(shown, truth) > LEAST
    whole = target.numbers[: size[0] * size[1] * 40].reshape(-1, 40)
    assert (whole[:, :4] == SENTINEL).all()
    assert (whole[:, 32:] == SENTINEL).all()
    assert (target.numbers[size[0] * size[1] * 40 :] == SENTINEL).all()
    summed = placed(torch.zeros(38, *size))
    run(size, winograd.layer(made, slope), source, summed, winograd.Place(side.numbers, 0, 0), placed(more, 45, 2))
    assert near(read(summed, size, 38), F.prelu(made(picture[None]) + more, slope)[0]) > LEAST


@torch.no_grad()
def test_parts_are_the_whole():
    """However the tiles are shared out, to the bit."""
    size, (made, slope) = (21, 46), convolution(30, 70)
    source, found = placed(random(30, *size, seed=4)), []
    for parts in (1, 2, 5):
        target = placed(torch.zeros(70, *size))
        none = winograd.Place(target.numbers, 0, 0)
        run(size, winograd.layer(made, slope), source, target, none, none, parts)
        found.append(target.numbers)
    assert all(np.array_equal(found[0], other) for other in found[1:])


@torch.no_grad()
def test_no_slope_and_no_bias():
    made = nn.Conv2d(16, 16, 3, 1, 1, bias=False)
    picture = rounded(random(16, 10, 10))
    target = placed(torch.zeros(16, 10, 10))
    none = winograd.Place(target.numbers, 0, 0)
    run((10, 10), winograd.layer(made), placed(picture), target, none, none)
    assert near(read(target, (10, 10), 16), made(picture[None])[0]) > LEAST


@pytest.mark.parametrize("halves", range(1, 60))
def test_panels_hold_all_columns(halves):
    panels = winograd.panels_of(halves)
    assert sum(panels) == halves
    assert set(panels) <= set(range(1, 9))
