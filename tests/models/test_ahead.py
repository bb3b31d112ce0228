"""Prediction without a network: what moves evenly is where it will be, what rests stays."""

import torch
from torch.nn import functional as F

from tween.models import zoo


def sliding(step, n, size=(96, 128)):
    """`[1, n, 3, H, W]`: a smooth random wall that slides `step` pixels a frame."""
    generator = torch.Generator().manual_seed(2)
    wall = F.interpolate(torch.rand(1, 3, 20, 60, generator=generator), size=(size[0], 480), mode="bicubic").clamp(0, 1)
    return torch.stack([wall[..., k * step : k * step + size[1]] for k in range(n)], 1)


def inner_error(a, b):
    return float((a - b)[..., 16:-16, 32:-32].abs().mean())


def test_even_motion_goes_on():
    frames = sliding(4, 5)
    model = zoo.load("dis-ahead")
    for t in (1, 2, 3):
        shown = model(frames[:, :2], torch.tensor([float(t)])).frame
        assert inner_error(shown, frames[:, 1 + t]) < 0.01
        assert inner_error(frames[:, 1], frames[:, 1 + t]) > 0.02  # what repeating would show


def test_what_rests_stays():
    still = sliding(0, 2)
    for name in ("repeat", "dis-ahead"):
        shown = zoo.load(name)(still, torch.ones(1)).frame
        assert inner_error(shown, still[:, 1]) < 1e-3


def test_repeat_is_the_newest_frame():
    frames = sliding(4, 2)
    assert torch.equal(zoo.load("repeat")(frames, torch.tensor([3.0])).frame, frames[:, 1])


def test_the_default_predictor_is_at_hand():
    assert zoo.entry(zoo.DEFAULT_PREDICTOR).weights[0].file
    assert zoo.load(zoo.DEFAULT_PREDICTOR).spec.predicts
