"""Metrics equal the published code's values, and scikit-image where both define the same thing."""

import importlib.util
import json
import math
import sys

import numpy as np
import pytest
import torch

from tween.errors import BadOption
from tween.metrics import image


@pytest.fixture(scope="module")
def fixture(shared):
    sys.path.insert(0, str(shared / "fixtures" / "ifrnet"))
    import fixture_rule

    values = json.loads((shared / "fixtures" / "ifrnet" / "unit_values.json").read_text())
    x, y = (torch.from_numpy(fixture_rule.frame(tau))[None] for tau in (0, 0.5))
    noise = np.random.Generator(np.random.PCG64(5)).standard_normal((3, 64, 96)).astype(np.float32)
    z = (y + 0.02 * torch.from_numpy(noise)).clamp(0, 1)
    yield values, {"x": x, "y": y, "z": z}
    sys.path.pop(0)


CASES = [
    ("psnr({})", image.psnr, 1e-3),
    ("ssim3d({}) = calculate_ssim", image.ssim_3d, 2e-5),
    ("ssim2d({}) = ssim", image.ssim_2d, 2e-5),
    ("ie({})", image.interpolation_error, 1e-3),
]


@pytest.mark.needs_shared
@pytest.mark.parametrize("pair", ["x,y", "z,y"])
@pytest.mark.parametrize(("key", "metric", "tolerance"), CASES, ids=lambda c: getattr(c, "__name__", None))
def test_values_are_the_published_ones(fixture, key, metric, tolerance, pair):
    values, pictures = fixture
    key = key.format(pair)
    expected = values.get(key, values.get(key.split(" =")[0]))
    a, b = (pictures[name] for name in pair.split(","))
    assert float(metric(a, b)) == pytest.approx(expected, abs=tolerance)


def pair(seed=0, size=(2, 3, 40, 50)):
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(size, generator=generator)
    return a, (a + 0.1 * torch.randn(size, generator=generator)).clamp(0, 1)


def test_psnr_equals_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    a, b = pair()
    expected = [metrics.peak_signal_noise_ratio(x.numpy(), y.numpy(), data_range=1) for x, y in zip(a, b, strict=True)]
    assert image.psnr(a, b).tolist() == pytest.approx(expected, abs=1e-4)


def test_ssim_2d_inside_the_border_equals_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    a, b = (x[0].movedim(0, -1).numpy() for x in pair(size=(1, 3, 64, 64)))
    options = {"data_range": 1, "channel_axis": -1, "gaussian_weights": True, "use_sample_covariance": False}
    _, theirs = metrics.structural_similarity(a, b, full=True, **options)
    x, y = (torch.from_numpy(v).movedim(-1, 0)[None] for v in (a, b))
    ours = image._ssim_map(x, y, dims=2)[0].movedim(0, -1).numpy()
    assert np.abs(ours - theirs)[5:-5, 5:-5].max() < 1e-4


@pytest.mark.parametrize("metric", [image.ssim_2d, image.ssim_3d])
def test_equal_pictures_are_perfect_and_batches_are_pictures(metric):
    a, b = pair()
    assert metric(a, a).tolist() == pytest.approx([1, 1])
    assert metric(a, b).tolist() == pytest.approx([float(metric(x[None], y[None])) for x, y in zip(a, b, strict=True)])


def test_rounding_is_what_a_file_does():
    a = torch.full((1, 3, 8, 8), 0.4)
    assert math.isinf(float(image.psnr_8bit(a, a + 0.001)))
    assert float(image.psnr_8bit(a, a + 1 / 255)) == pytest.approx(20 * math.log10(255), abs=1e-3)


@pytest.mark.parametrize("metric", [image.ssim_3d, image.ssim_2d, image.ssim_zero_padded, image.ssim_valid])
def test_ssim_is_one_number_however_it_is_computed(metric):
    """OpenCV blurs plain pictures; torch blurs where a gradient is wanted, and halves of tensors."""
    a, b = pair()
    learning = a.clone().requires_grad_()
    with_gradient = metric(learning, b)
    with_gradient.sum().backward()
    torch.testing.assert_close(with_gradient.detach(), metric(a, b), atol=1e-6, rtol=0)
    assert learning.grad.abs().max() > 0


@pytest.mark.parametrize("size", [(2, 3, 40, 30), (1, 1, 5, 7), (1, 3, 1, 1), (1, 4, 16, 11)])
@pytest.mark.parametrize("metric", [image.ssim_2d, image.ssim_3d])
def test_ssim_in_one_pass_is_ssim_in_many(metric, size, monkeypatch):
    """Also of pictures that are smaller than the window, and of flat ones, whose variance is next to nothing."""
    flat = torch.full(size, 0.7)
    for a, b in (pair(size=size), (flat, flat + 0.001)):
        at_once = metric(a, b)
        with monkeypatch.context() as without:
            without.setattr(image, "has_numba", lambda: False)
            torch.testing.assert_close(at_once.double(), metric(a.double(), b.double()), atol=1e-7, rtol=0)


@pytest.mark.needs_shared
@pytest.mark.parametrize(
    ("key", "metric"),
    [
        ("ms_ssim(X,Y) on 192x256 frames tau 0 / 0.5 (pytorch-msssim style, data_range 1)", image.ms_ssim),
        ("ssim_valid(X,Y) same 192x256 (pytorch-msssim style)", image.ssim_valid),
    ],
    ids=["ms_ssim", "ssim_valid"],
)
def test_what_papers_on_prediction_print(fixture, key, metric):
    from fixture_rule import frame  # the fixture has put its folder on the path

    x, y = (torch.from_numpy(frame(tau, 192, 256))[None] for tau in (0, 0.5))
    assert float(metric(x, y)) == pytest.approx(fixture[0][key], abs=2e-5)


@pytest.mark.needs_shared
def test_what_lift_prints(shared):
    folder = shared / "fixtures" / "others"
    spec = importlib.util.spec_from_file_location("others_rule", folder / "fixture_rule.py")
    rule = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule)
    a, b = (torch.from_numpy(rule.frames(2, 64, 96, vx=1, vy=-0.5)[i : i + 1]) for i in (0, 1))
    expected = json.loads((folder / "losses.json").read_text())["values"]["metrics"]
    assert float(image.ssim_zero_padded(a, b)) == pytest.approx(expected["ssim_lift_zero_pad_gauss11"], abs=2e-5)
    assert float(image.ssim_3d(a, b)) == pytest.approx(expected["ssim_matlab_emavfi"], abs=2e-5)
    assert float(image.psnr(a, b)) == pytest.approx(expected["psnr"], abs=1e-3)


def test_ssim_valid_equals_scikit_image_away_from_the_border():
    metrics = pytest.importorskip("skimage.metrics")
    a, b = (x[0].movedim(0, -1).numpy() for x in pair(size=(1, 3, 48, 64)))
    options = {"data_range": 1, "channel_axis": -1, "gaussian_weights": True, "use_sample_covariance": False}
    expected = metrics.structural_similarity(a, b, **options)  # its mean leaves out the same border
    ours = image.ssim_valid(*(torch.from_numpy(v).movedim(-1, 0)[None] for v in (a, b)))
    assert float(ours) == pytest.approx(expected, abs=1e-4)


def test_small_pictures_are_told():
    a, b = pair(size=(1, 3, 160, 161))
    with pytest.raises(
        BadOption, match="ms_ssim of a picture of 161x160; both sides must be 161 pixels or more; try: ssim"
    ):
        image.ms_ssim(a, b)
    a, b = pair(size=(1, 3, 161, 163))
    assert 0 < float(image.ms_ssim(a, b)) < 1
    assert float(image.ms_ssim(a, a)) == pytest.approx(1)
    with pytest.raises(BadOption, match="ssim_valid of a picture of 20x10"):
        image.ssim_valid(*pair(size=(1, 3, 10, 20)))


@pytest.mark.parametrize("metric", [image.ssim_3d, image.ssim_2d, image.ssim_zero_padded, image.ssim_valid])
@pytest.mark.parametrize("height", [11, 12, 22, 33, 34, 40, 57])
def test_ssim_in_bands_is_ssim_of_the_whole(metric, height, monkeypatch):
    monkeypatch.setattr(image, "has_numba", lambda: False)
    a, b = pair(size=(2, 3, height, 30))
    whole = metric(a, b)
    monkeypatch.setattr(image, "_BAND", 30 * 12)
    torch.testing.assert_close(metric(a, b), whole, atol=1e-6, rtol=0)
