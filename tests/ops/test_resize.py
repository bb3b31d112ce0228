"""Resizing: half-pixel centres, and flows whose pixels grow with the grid."""

import numpy as np
import pytest
import torch

from tween.ops.resize import neighbours, resize, resize_flow


def test_factor_1_is_the_same_tensor():
    image = torch.rand(1, 2, 5, 7)
    assert resize(image, 1) is image
    assert resize_flow(image, 1) is image


@pytest.mark.parametrize(("factor", "size"), [(2, (10, 14)), (0.5, (2, 3)), (4.0, (20, 28))])
def test_size_is_multiplied(factor, size):
    assert resize(torch.rand(2, 3, 5, 7), factor).shape == (2, 3, *size)


def test_half_is_the_mean_of_four():
    image = torch.rand(1, 2, 6, 8)
    assert torch.allclose(resize(image, 0.5), torch.nn.functional.avg_pool2d(image, 2), atol=1e-6)


def test_twice_puts_a_quarter_of_the_neighbour_in():
    row = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    assert torch.equal(resize(row, 2)[0, 0, 0], torch.tensor([0, 0.25, 0.75, 1]))


@pytest.mark.parametrize("factor", [2, 0.5, 4])
def test_a_flow_means_the_same_motion_after_resizing(factor):
    flow = torch.tensor([3.0, -5.0]).view(1, 2, 1, 1).expand(1, 2, 8, 8)
    bigger = resize_flow(flow, factor)
    assert torch.equal(bigger, (flow * factor)[..., :1, :1].expand_as(bigger))


@pytest.mark.parametrize("factor", [1, 2, 4, 16])
def test_neighbours_are_those_of_a_resize(factor):
    small = torch.rand(7)
    large = resize(small.view(1, 1, 1, 7).expand(1, 1, 7, 7), factor)[0, 0, 0].numpy()
    left, right, share = neighbours(np.arange(7 * factor), factor, 7)
    row = small.numpy()
    assert np.allclose(row[left] + (row[right] - row[left]) * share, large, atol=1e-6)
