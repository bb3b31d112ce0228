"""`dis-fast`: what moves is where it should be, what rests stays, and it is not much worse than `dis`."""

import torch
from torch.nn import functional as F

from tween.models import zoo


def scene(step, n=3, size=(144, 192)):
    """`[1, n, 3, H, W]`: a smooth random wall that slides by `step` pixels a frame, behind a bar that rests."""
    generator = torch.Generator().manual_seed(3)
    wall = F.interpolate(torch.rand(1, 3, 30, 80, generator=generator), size=(size[0], 640), mode="bicubic").clamp(0, 1)
    frames = torch.stack([wall[..., k * step : k * step + size[1]] for k in range(n)], 1)
    frames[..., 100:116, :] = torch.linspace(0, 1, size[1])
    return frames


def error(a, b):
    return float((a - b)[..., 8:92, 16:-16].abs().mean())


def test_what_moves_is_half_way():
    frames = scene(5)
    ends, middle = frames[:, ::2], frames[:, 1]
    shown = {name: zoo.load(name)(ends, torch.tensor([0.5])).frame for name in ("blend", "dis", "dis-fast")}
    assert error(shown["dis-fast"], middle) < 0.25 * error(shown["blend"], middle)
    assert error(shown["dis-fast"], middle) < 2 * error(shown["dis"], middle) + 0.002


def test_any_time():
    frames = scene(3, n=5)
    for k in (1, 2, 3):
        shown = zoo.load("dis-fast")(frames[:, ::4], torch.tensor([k / 4])).frame
        assert error(shown, frames[:, k]) < 0.02


def test_what_rests_stays_over_a_moving_picture():
    frames = scene(5)
    shown = zoo.load("dis-fast")(frames[:, ::2], torch.tensor([0.5])).frame
    assert float((shown - frames[:, 1])[..., 104:112, :].abs().mean()) < 0.01


def test_equal_frames_are_given_back():
    still = scene(0)[:, :2]
    assert torch.allclose(zoo.load("dis-fast")(still, torch.tensor([0.3])).frame, still[:, 0], atol=1e-3)


def test_it_tells_its_motion():
    frames = scene(5)
    flow = zoo.load("dis-fast")(frames[:, ::2], torch.tensor([0.5])).aux["flow"]
    assert flow.shape == (1, 4, 144, 192)
    moved = (flow[:, 2:] - flow[:, :2])[0, 0, 16:84, 32:-32]  # the wall slides to the left by ten pixels a gap
    assert abs(float(moved.median()) + 10) < 1


def test_pictures_too_small_for_a_search_are_blended():
    frames = torch.rand(1, 2, 3, 10, 12, generator=torch.Generator().manual_seed(0))
    shown = zoo.load("dis-fast")(frames, torch.tensor([0.5])).frame
    assert torch.allclose(shown, frames.mean(1), atol=1e-3)
