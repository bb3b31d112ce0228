"""The census: published values, blind to light, sharp for structure."""

import numpy as np
import pytest
import torch
from published_losses import ifrnet_pictures, other_inputs, values

from tween.losses.census import census, geometry


@pytest.mark.needs_shared
@pytest.mark.parametrize(
    ("key", "term"), [("ternary7({})", census), ("geometry3({})", geometry)], ids=["census", "geometry"]
)
def test_ifrnet_values(shared, key, term):
    folder = shared / "fixtures" / "ifrnet"
    pictures, expected = ifrnet_pictures(folder), values(folder, "unit_values")
    for names in ("x,y", "y,x", "z,y"):
        if key.format(names) in expected:
            a, b = (pictures[name] for name in names.split(","))
            assert float(term(a, b)) == pytest.approx(expected[key.format(names)], rel=1e-5)


@pytest.mark.needs_shared
def test_the_one_of_rife_and_ema_vfi(shared):
    folder = shared / "fixtures" / "others"
    seen, expected = other_inputs(folder), values(folder, "losses")["values"]
    ours = float(census(seen["prediction"], seen["target"], luma=True, border=1))
    assert ours == pytest.approx(expected["practical_rife"]["ternary_mean"], rel=1e-5)
    assert ours == pytest.approx(expected["emavfi_cvpr"]["ternary_mean"], rel=1e-5)


def pair(size=(2, 3, 17, 20), dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(size, generator=generator, dtype=dtype) for _ in range(2))


def test_it_is_the_definition_in_numpy():
    a, b = (picture.double().numpy() for picture in pair(size=(1, 3, 11, 13)))

    def transform(picture):
        gray = np.pad(picture[0].mean(axis=0), 3)
        around = np.stack([gray[i : i + 11, j : j + 13] for i in range(7) for j in range(7)])
        apart = around - picture[0].mean(axis=0)
        return apart / np.sqrt(0.81 + apart**2)

    squared = (transform(a) - transform(b)) ** 2
    distance = (squared / (0.1 + squared)).mean(axis=0)
    expected = distance[3:-3, 3:-3].sum() / distance.size
    assert float(census(*(torch.from_numpy(picture) for picture in (a, b)))) == pytest.approx(expected, rel=1e-9)


def test_more_light_costs_nothing_and_another_structure_does():
    a, b = pair()
    assert float(census(0.5 * a, 0.5 * a + 0.3)) < 1e-9
    assert float(census(a, b)) > 0.1


@pytest.mark.parametrize("term", [census, geometry])
@pytest.mark.slow
def test_slopes_are_right_on_both_sides(term):
    a, b = (picture.requires_grad_() for picture in pair(size=(1, 3, 8, 8), dtype=torch.float64))
    assert torch.autograd.gradcheck(term, (a, b))
    slopes = torch.autograd.grad(term(a, b), (a, b))
    assert all(slope.abs().max() > 0 for slope in slopes)
