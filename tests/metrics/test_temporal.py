"""Steadiness: the truth's own motion and light are free, trembling and flicker are not."""

import builtins

import pytest
import torch

from tween.errors import BadOption, MissingPackage, TooShort
from tween.metrics import temporal
from tween.metrics.temporal import flicker, tof


def clip(moves, light=(), size=(64, 96)):
    """A texture at each of the places `moves` (pixels to the right), lit by `light`, `[N, 3, H, W]`."""
    y, x = torch.meshgrid(torch.arange(float(size[0])), torch.arange(float(size[1])), indexing="ij")
    pictures = []
    for index, by in enumerate(moves):
        at = x - by
        value = 0.5 + 0.2 * torch.sin(at / 3.1) * torch.cos(y / 4.3) + 0.15 * torch.sin((at + 2 * y) / 7.7)
        pictures.append((value + (light[index] if light else 0)).expand(3, *size))
    return torch.stack(pictures)


TRUTH = clip([0, 2, 4, 6])


def test_the_truth_moves_as_the_truth():
    assert tof(TRUTH, TRUTH).tolist() == [0, 0, 0]
    assert float(flicker(TRUTH, TRUTH).max()) < 2


def test_tof_is_the_difference_of_two_motions():
    """Half the speed, then twice it: off by one pixel, then by two."""
    values = tof(clip([0, 1, 5, 7]), TRUTH).tolist()
    assert values == pytest.approx([1, 2, 0], abs=0.25)


def test_flicker_is_the_light_that_changes_in_grey_levels():
    flickering = clip([0, 2, 4, 6], light=(0, 0.04, 0, 0.04))
    assert flicker(flickering, TRUTH).tolist() == pytest.approx([0.04 * 255] * 3, rel=0.1)


def test_what_trembles_flickers_and_what_follows_the_truth_does_not():
    trembling, smooth = clip([0, 3, 3, 6]), clip([0.4, 2.4, 4.4, 6.4])
    assert float(flicker(smooth, TRUTH).mean()) < 1.5 < float(flicker(trembling, TRUTH).mean())


def test_hidden_pixels_do_not_flicker(monkeypatch):
    """A square hides the texture that it leaves: only its uncovered trail has nothing to be compared with."""
    pictures = clip([0, 0])
    for picture, left in zip(pictures, (20, 32), strict=True):
        picture[:, 16:48, left : left + 24] = 0.9 - 0.4 * clip([0], size=(32, 24))[0]
    seen = float(flicker(pictures, pictures))
    monkeypatch.setattr(temporal, "_visible", lambda flow, _: torch.ones_like(flow[:, :1]))
    assert seen < 0.3 * float(flicker(pictures, pictures))


def test_clips_that_cannot_be_compared_are_told():
    with pytest.raises(TooShort, match="a clip of 1 pictures; steadiness needs two or more"):
        tof(TRUTH[:1], TRUTH[:1])
    with pytest.raises(BadOption, match=r"\[3, 3, 64, 96\] against \[4, 3, 64, 96\]; a picture for every picture"):
        flicker(TRUTH[:3], TRUTH)
    with pytest.raises(BadOption, match="motion of pictures of 96x15; both sides must be 16 pixels or more"):
        tof(TRUTH[..., :15, :], TRUTH[..., :15, :])
    smallest = TRUTH[..., :16, :16]
    assert tof(smallest, smallest).isfinite().all()


def test_without_opencv_its_package_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "cv2":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingPackage, match="try: pip install opencv-python-headless"):
        tof(TRUTH, TRUTH)
