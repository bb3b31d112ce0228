"""tween's own network: it begins at `dis`, and shows nothing that was in neither frame."""

import pytest
import torch
from torch.nn import functional as F

from tween.metrics.image import psnr
from tween.models import zoo


def moving(size=(96, 160), steps=(0, 3), channels=3):
    """A random texture, smooth over four pixels, moved by `steps` pixels to the right, `[1, N, 3, H, W]`."""
    height, width = size
    torch.manual_seed(5)
    coarse = torch.rand(1, channels, height // 4, (width + 32) // 4)
    wide = F.interpolate(coarse, size=(height, width + 32), mode="bicubic", align_corners=False).clamp(0, 1)
    return torch.stack([wide[..., 16 - step : 16 - step + width] for step in steps], 1)


@pytest.mark.parametrize("t", [0.25, 0.5, 0.8])
def test_untrained_it_shows_what_dis_shows(t):
    frames, when = moving(), torch.tensor([t])
    with torch.inference_mode():
        ours, theirs = (zoo.create(name).eval()(frames, when).frame for name in ("tweennet", "dis"))
    assert psnr(ours, theirs).item() > 48
    assert psnr(theirs, frames[:, 0]).item() < 40  # there was something to move


def test_motion_is_told_as_it_is():
    """A texture that moves by 4 pixels: from the midpoint 2 back to frame 0, 2 on to frame 1."""
    with torch.inference_mode():
        _, aux = zoo.create("tweennet").eval()(moving(steps=(0, 4)), torch.tensor([0.5]))
    inner = aux["flow"][0, :, 24:-24, 24:-24].flatten(1).median(1).values
    assert torch.allclose(inner, torch.tensor([-2.0, 0.0, 2.0, 0.0]), atol=0.2)
    assert torch.allclose(aux["mask"].mean(), torch.tensor(0.5), atol=0.05)


def test_what_it_shows_lies_between_what_it_saw():
    """The weights of the six pictures sum to 1: a random network invents no brightness."""
    torch.manual_seed(3)
    model = zoo.create("tweennet").eval()
    frames = 0.25 + 0.5 * moving()
    with torch.inference_mode():
        for value in model.parameters():
            value.add_(0.2 * torch.randn_like(value))
        shown = model(frames, torch.tensor([0.5])).frame
    assert frames.min() - 0.05 <= shown.min()  # the bicubic look may pass by that much
    assert shown.max() <= frames.max() + 0.05


def test_frames_too_small_to_be_halved():
    frames = moving(size=(16, 48), steps=(0, 1))
    with torch.inference_mode():
        ours, theirs = (zoo.create(name).eval()(frames, torch.tensor([0.5])).frame for name in ("tweennet", "dis"))
    assert psnr(ours, theirs).item() > 35
