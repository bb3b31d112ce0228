"""LPIPS is its definition: held against plain layers and numpy, on random weights."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tween.ops.features import FILES
from tween.ops.lpips import HEADS, STACK, lpips


def random_state(name, seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = FILES[name].shapes()
    if name.startswith("lpips"):
        return {key: torch.rand(shape, generator=generator) for key, shape in shapes.items()}  # heads are not negative
    spread = {key: (2 / np.prod(shape[1:])) ** 0.5 if len(shape) == 4 else 0.05 for key, shape in shapes.items()}
    return {key: torch.randn(shape, generator=generator) * spread[key] for key, shape in shapes.items()}


@pytest.fixture(scope="module", params=["alex", "vgg"])
def weights(request):
    net = request.param
    return {"net": net, "state": random_state(STACK[net], 1), "heads": random_state(HEADS[net], 2)}


def pictures(size=(2, 3, 64, 72)):
    generator = torch.Generator().manual_seed(4)
    return torch.rand(size, generator=generator), torch.rand(size, generator=generator)


def by_hand(a, b, net, state, heads):
    """The five slices of the classifier one after another; the rest in numpy."""
    convs = {
        "alex": [[(0, 4, 2)], [(3, 1, 2)], [(6, 1, 1)], [(8, 1, 1)], [(10, 1, 1)]],
        "vgg": [[(i, 1, 1) for i in s] for s in ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))],
    }[net]
    pooled = {"alex": {1: 3, 2: 3}, "vgg": {1: 2, 2: 2, 3: 2, 4: 2}}[net]

    def seen(picture):
        shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
        scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
        x, found = ((2 * picture - 1) - shift) / scale, []
        for index, layers in enumerate(convs):
            if index in pooled:
                x = F.max_pool2d(x, pooled[index], 2)
            for at, stride, padding in layers:
                x = F.conv2d(x, state[f"features.{at}.weight"], state[f"features.{at}.bias"], stride, padding).relu()
            found.append(x.double().numpy())
        return found

    total = np.zeros(len(a))
    for index, (x, y) in enumerate(zip(seen(a), seen(b), strict=True)):
        x, y = (v / (np.sqrt((v**2).sum(axis=1, keepdims=True)) + 1e-10) for v in (x, y))
        head = heads[f"lin{index}.model.1.weight"].numpy().reshape(1, -1, 1, 1)
        total += (head * (x - y) ** 2).sum(axis=1).mean(axis=(1, 2))
    return total


def test_it_equals_its_definition(weights):
    a, b = pictures()
    assert lpips(a, b, **weights).tolist() == pytest.approx(by_hand(a, b, **weights), rel=1e-4)


def test_equal_pictures_are_equal_and_order_does_not_matter(weights):
    a, b = pictures()
    assert lpips(a, a, **weights).tolist() == [0, 0]
    torch.testing.assert_close(lpips(a, b, **weights), lpips(b, a, **weights))


def test_it_has_a_slope_where_the_classifier_sees_nothing(weights):
    blind = {key: value if "weight" in key else torch.full_like(value, -50) for key, value in weights["state"].items()}
    a, b = pictures(size=(1, 3, 64, 64))
    a.requires_grad_()
    lpips(a, b, net=weights["net"], state=blind, heads=weights["heads"]).sum().backward()
    assert a.grad.isfinite().all()
