"""Flows: published values; what learns and what does not; hidden pixels do not count."""

import pytest
import torch
from published_losses import ifrnet_pictures, other_inputs, rule, values

from tween.losses import flow
from tween.ops.resize import resize_flow


@pytest.fixture
def others(shared):
    folder = shared / "fixtures" / "others"
    return other_inputs(folder), values(folder, "losses")["values"]


@pytest.mark.needs_shared
def test_robust_weights_and_distances_of_ifrnet(shared):
    folder = shared / "fixtures" / "ifrnet"
    expected, pictures = values(folder, "unit_values"), ifrnet_pictures(folder)
    label = torch.from_numpy(rule(folder).flow_target(0.5))[None]
    weight = flow.robust_weight(0.8 * label, label)[:, :1]
    assert float(weight.mean()) == pytest.approx(
        expected["robust_weight_mean(pred=0.8*flow_t0, gt=flow_t0, beta=.3)"], rel=1e-5
    )
    assert float(weight.min()) == pytest.approx(expected["robust_weight_min"], rel=1e-5)
    assert float(weight.max()) == pytest.approx(expected["robust_weight_max"], rel=1e-5)
    ours = flow.adaptive_charbonnier(-0.2 * label[:, :2], weight)
    assert float(ours) == pytest.approx(expected["charbonnier_ada(0.8*flow_t0-flow_t0, w)"], rel=1e-5)
    for name in ("1.0", "0.5", "0.1", "0.01", "0.0"):
        ours = flow.adaptive_charbonnier(pictures["x"] - pictures["y"], torch.tensor(float(name)))
        assert float(ours) == pytest.approx(expected[f"charbonnier_ada(x-y, w={name})"], rel=1e-5)


@pytest.mark.needs_shared
def test_smoothness_and_occlusion_of_lift(others):
    seen, expected = others
    plain = flow.smoothness(seen["flow"])
    assert float(plain) == pytest.approx(expected["lift15_aniuula"]["flow_smooth"], rel=1e-5)
    at_edges = flow.smoothness(seen["flow"], seen["target"], edges=10)
    assert float(at_edges) == pytest.approx(expected["lift15_kubin"]["flow_smooth"], rel=1e-5)
    hidden = flow.occlusion(seen["logits"], *seen["warped"], seen["target"])
    assert float(hidden) == pytest.approx(expected["lift15_kubin"]["occlusion"], rel=1e-5)


@pytest.mark.needs_shared
def test_the_endpoint_error_of_rife(others):
    seen, expected = others
    first, second = seen["flow"].split(2, dim=1)
    assert float(flow.endpoint_error(first, second).mean()) == pytest.approx(
        expected["practical_rife"]["epe_mean"], rel=1e-5
    )


@pytest.mark.needs_shared
def test_the_temporal_term_of_deformvfi_given_a_flow(others):
    seen, expected = others
    prediction, along = seen["prediction"], torch.cat((seen["bigflow"], seen["bigflow"]), dim=1)
    ours = flow.temporal(prediction, seen["target"], 0.5 * prediction + 0.2, along, mode="nearest", padding="zeros")
    # "Nearest" of a place halfway between two pixels is a matter of the last bit: one pixel in thousands differs.
    assert float(ours) == pytest.approx(expected["ema_seed"]["temporal_with_given_flow"], rel=1e-4)


def random(*size, seed=0, dtype=torch.float32):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_a_pyramid_is_held_against_a_label_at_every_size():
    """A steady motion is nowhere off at any size; off by (3, 4) of the label's pixels is off by 5."""
    label = torch.tensor([8.0, -4.0, -8.0, 4.0]).view(1, 4, 1, 1).expand(1, 4, 16, 24)
    pyramid = [label, label[..., :8, :12] / 2, label[..., :4, :6] / 4]
    assert float(flow.pyramid_error(pyramid, label)) == pytest.approx(0, abs=1e-4)
    off = torch.tensor([3.0, 4.0, 3.0, 4.0]).view(1, 4, 1, 1)
    pyramid = [label + off, label[..., :8, :12] / 2 + off / 2]
    assert float(flow.pyramid_error(pyramid, label)) == pytest.approx(10)
    assert float(flow.pyramid_error(pyramid, label, power=0.5)) == pytest.approx(2 * 25.01**0.25)
    noisy = random(1, 4, 16, 24)
    assert float(flow.pyramid_error([noisy], label)) == pytest.approx(float(flow.endpoint_error(noisy, label).mean()))


def test_coarse_flows_learn_and_the_finest_does_not():
    label = random(1, 4, 16, 24)
    finest = (label + 0.5).requires_grad_()
    coarse = [random(1, 4, 8, 12, seed=1).requires_grad_(), random(1, 4, 4, 6, seed=2).requires_grad_()]
    flow.flow_distillation(finest, coarse, label).backward()
    assert finest.grad is None
    assert all(one.grad.abs().max() > 0 for one in coarse)


def test_a_label_counts_less_where_the_finest_flow_disagrees():
    label, coarse = torch.zeros(1, 4, 8, 8), [torch.full((1, 4, 4, 4), 3.0, requires_grad=True)]

    def pull(finest):
        return float(torch.autograd.grad(flow.flow_distillation(finest, coarse, label), coarse)[0].abs().sum())

    assert pull(label + 10) < 0.2 * pull(label)


def test_enlarged_flows_are_in_the_pixels_of_the_larger_grid():
    small = random(1, 4, 8, 12)
    torch.testing.assert_close(flow.enlarged(small, random(1, 4, 32, 48)), resize_flow(small, 4))
    uneven = flow.enlarged(torch.ones(1, 2, 8, 8), random(1, 2, 16, 32))
    assert (uneven[:, 0] == 4).all()
    assert (uneven[:, 1] == 2).all()


def test_slopes_are_right():
    label = random(1, 4, 6, 6, dtype=torch.float64)
    start = random(1, 4, 6, 6, seed=1, dtype=torch.float64).requires_grad_()
    weight = flow.robust_weight(start, label)
    assert torch.autograd.gradcheck(lambda f: flow.endpoint_error(f, label).mean(), start)
    assert torch.autograd.gradcheck(lambda f: flow.smoothness(f, label[:, :3], edges=2), start)
    assert torch.autograd.gradcheck(lambda f: flow.adaptive_charbonnier(f - label, weight[:, :1]), start)
    logits = random(1, 2, 6, 6, seed=2, dtype=torch.float64).requires_grad_()
    pictures = [random(1, 3, 6, 6, seed=s, dtype=torch.float64) for s in (3, 4, 5)]
    assert torch.autograd.gradcheck(lambda v: flow.occlusion(v, *pictures), logits)


def test_equal_flows_have_a_slope():
    same = random(1, 4, 6, 6).requires_grad_()
    flow.endpoint_error(same, same.detach()).mean().backward()
    assert same.grad.isfinite().all()


def moved(by, size=(24, 32)):
    """A texture that has moved `by` pixels to the right, `[1, 3, H, W]`."""
    y, x = torch.meshgrid(torch.arange(float(size[0])), torch.arange(float(size[1])), indexing="ij")
    return (0.5 + 0.4 * torch.sin((x - by) / 3) * torch.cos(y / 4)).expand(1, 3, *size)


def test_what_follows_the_motion_costs_little_and_what_flickers_costs():
    first, target, second = moved(-2), moved(0), moved(2)
    along = torch.zeros(1, 4, 24, 32)
    along[:, 0], along[:, 2] = -2, 2
    steady = float(flow.temporal(target, first, second, along, target=target))
    assert steady < 0.01
    assert float(flow.temporal(target + 0.1, first, second, along, target=target)) > steady + 0.15
    assert float(flow.temporal(target, first, second, torch.zeros_like(along))) > 20 * steady


def test_what_is_hidden_in_a_neighbour_does_not_count():
    target = moved(0)
    first, along = target.clone(), torch.zeros(1, 4, 24, 32)
    first[..., :16] = 1 - first[..., :16]  # something else stood there
    blind = float(flow.temporal(target, first, target, along))
    seen = float(flow.temporal(target, first, target, along, target=target))
    assert seen < 0.05 * blind


def test_no_gradient_reaches_the_flow_that_is_followed():
    along = torch.zeros(1, 4, 24, 32, requires_grad=True)
    prediction = moved(0).clone().requires_grad_()
    flow.temporal(prediction, moved(-1), moved(1), along, target=moved(0)).backward()
    assert along.grad is None
    assert prediction.grad.abs().max() > 0
