"""Backward warping: the references' numbers, whole pixels exactly, and no other answer from more cores."""

import importlib.util

import numpy as np
import pytest
import torch

from tween.ops.warp import Places, backward_warp, given


@pytest.fixture(scope="module")
def case(shared):
    """The reference's picture and what became of it."""
    folder = shared / "fixtures" / "others"
    found = importlib.util.spec_from_file_location("fixture_rule", folder / "fixture_rule.py")
    rule = importlib.util.module_from_spec(found)
    found.loader.exec_module(rule)
    arrays = {key: torch.from_numpy(value) for key, value in np.load(folder / "warp_check.npz").items()}
    return torch.from_numpy(rule.frames(2, 64, 96, vx=1, vy=-0.5)[1:2]), arrays


def constant_flow(x, y, size, batch=1):
    return torch.tensor([float(x), float(y)]).view(1, 2, 1, 1).expand(batch, 2, *size).contiguous()


def test_equals_the_reference_with_a_repeated_border(case):
    image, arrays = case
    assert (backward_warp(image, arrays["flow"]) - arrays["backward_warp_border_bilinear"]).abs().max() <= 1e-5


def test_equals_the_reference_nearest_and_black_outside(case):
    image, arrays = case
    got = backward_warp(image, arrays["flow"], padding="zeros", mode="nearest")
    differs = (got - arrays["ema_seed_loss_warp_nearest_zeros"]).abs().amax(1) > 1e-6
    assert differs.float().mean() <= 1e-3  # a place halfway between two pixels may round either way


@pytest.mark.parametrize(("x", "y"), [(3, 0), (0, 2), (-4, 5), (0, 0)])
def test_whole_pixels_are_a_shift(x, y):
    torch.manual_seed(0)
    image = torch.rand(2, 3, 30, 41)
    moved = backward_warp(image, constant_flow(x, y, (30, 41), 2))
    rows, columns = (torch.arange(30) + y).clamp(0, 29), (torch.arange(41) + x).clamp(0, 40)
    assert (moved - image[:, :, rows][:, :, :, columns]).abs().max() <= 1e-5
    black = backward_warp(image, constant_flow(x, y, (30, 41), 2), padding="zeros")
    inside = ((torch.arange(30) + y == rows)[:, None] & (torch.arange(41) + x == columns)).float()
    assert (black - moved * inside).abs().max() <= 1e-5


def test_no_flow_changes_nothing_that_8_bits_could_hold():
    """The grid's float32 places are off by up to 1e-4 pixels at 1280, so noise moves by 1e-4 and 8 bits by nothing."""
    torch.manual_seed(0)
    levels = torch.randint(0, 256, (1, 3, 96, 1280))
    still = backward_warp(levels / 255, torch.zeros(1, 2, 96, 1280))
    assert torch.equal((still * 255).round().long(), levels)


def test_mirrored_in_is_mirrored_out():
    torch.manual_seed(0)
    image, flow = torch.rand(1, 3, 12, 31), torch.randn(1, 2, 12, 31) * 3
    mirrored = backward_warp(image.flip(-1), flow.flip(-1) * torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1))
    assert torch.allclose(mirrored.flip(-1), backward_warp(image, flow), atol=2e-6)


class Warp(torch.nn.Module):
    def forward(self, image, flow):
        return backward_warp(image, flow)


def test_an_exported_warp_takes_every_size():
    image, flow = torch.rand(1, 2, 16, 24), torch.randn(1, 2, 16, 24)
    sides = {2: torch.export.Dim("height", min=2, max=512), 3: torch.export.Dim("width", min=2, max=512)}
    exported = torch.export.export(Warp(), (image, flow), dynamic_shapes=(sides, sides)).module()
    other = torch.rand(1, 2, 30, 18), torch.randn(1, 2, 30, 18)
    assert torch.allclose(exported(*other), backward_warp(*other), atol=1e-6)


def test_half_a_pixel_is_the_mean_of_two():
    image = torch.rand(1, 1, 8, 9)
    moved = backward_warp(image, constant_flow(0.5, 0, (8, 9)))
    assert torch.allclose(moved[..., :-1], (image[..., :-1] + image[..., 1:]) / 2, atol=1e-5)


@pytest.mark.parametrize("size", [(48, 33), (47, 32), (1, 8), (1, 1)])
def test_strips_change_no_bit(size):
    torch.manual_seed(0)
    image, flow = torch.randn(1, 5, *size), torch.randn(1, 2, *size) * 4
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        whole = backward_warp(image, flow)
        torch.set_num_threads(4)
        with torch.inference_mode():
            assert torch.equal(backward_warp(image, flow), whole)
            assert torch.equal(backward_warp(image.to(memory_format=torch.channels_last), flow), whole)
    finally:
        torch.set_num_threads(threads)


def test_a_picture_of_another_size_is_sampled_on_the_flows_grid():
    image, flow = torch.rand(1, 2, 9, 17), torch.zeros(1, 2, 5, 9)
    assert torch.allclose(backward_warp(image, flow), image[..., ::2, ::2], atol=1e-5)


def test_gradients_reach_the_picture_and_the_flow():
    image = torch.rand(1, 2, 5, 6, requires_grad=True)
    flow = (torch.rand(1, 2, 5, 6) * 0.8 + 0.1).requires_grad_()
    backward_warp(image, flow).square().sum().backward()
    assert image.grad.abs().sum() > 0
    assert flow.grad.abs().sum() > 0


def test_half_precision_pictures_keep_a_whole_grid():
    image = torch.linspace(0, 1, 2048).view(1, 1, 1, 2048).expand(1, 1, 4, 2048).to(torch.bfloat16)
    moved = backward_warp(image, constant_flow(5, 0, (4, 2048)).to(torch.bfloat16))
    assert moved.dtype == torch.bfloat16
    assert torch.equal(moved[..., :-5], image[..., 5:])


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("padding", ["border", "zeros"])
@pytest.mark.parametrize("factor", [1, 2, 4, 16])
def test_places_that_are_given_are_those_that_are_counted(factor, padding, mode):
    """Full-size places serve every coarser grid."""
    size = (64, 96)
    made = torch.Generator().manual_seed(0)
    small = (size[0] // factor, size[1] // factor)
    image = torch.rand(1, 3, *small, generator=made)
    flow = 6 * torch.randn(1, 2, *small, generator=made)
    y, x = ((2 * torch.arange(side, dtype=torch.float32) + 1) / side - 1 for side in size)
    grid = torch.stack((x.expand(size), y[:, None].expand(size)))[None]
    places = Places(grid, torch.tensor([2 / size[1], 2 / size[0]]).view(1, 2, 1, 1))
    with given(places):
        got = backward_warp(image, flow, padding=padding, mode=mode)
    wanted = backward_warp(image, flow, padding=padding, mode=mode)
    torch.testing.assert_close(got, wanted, atol=2e-5, rtol=0)
