"""VGG losses: the weights and layers of the projects, on random weights."""

import pytest
import torch
from torch.nn import functional as F

from tween.losses.perceptual import DEFORMVFI_LAYERS, DEFORMVFI_SIZE, IFRVP_LAYERS, vgg
from tween.ops.features import FILES, features, normalised


@pytest.fixture(scope="module")
def states():
    """Random weights of both, the spread of which keeps what they see alive."""
    generator = torch.Generator().manual_seed(0)

    def state(net):
        shapes = FILES[net].shapes()
        return {
            key: torch.randn(shape, generator=generator) * ((2 / (shape[1] * 9)) ** 0.5 if len(shape) == 4 else 0.1)
            for key, shape in shapes.items()
        }

    return {net: state(net) for net in ("vgg16", "vgg19")}


def pair(size=(1, 3, 32, 48)):
    generator = torch.Generator().manual_seed(3)
    return torch.rand(size, generator=generator), torch.rand(size, generator=generator)


def test_ifrvp_weighs_five_layers_of_vgg19(states):
    a, b = pair()
    seen = [features("vgg19", states["vgg19"], normalised(picture), IFRVP_LAYERS) for picture in (a, b)]
    published = {"relu1_1": 1 / 2.6, "relu2_1": 1 / 4.8, "relu3_1": 1 / 3.7, "relu4_1": 1 / 5.6, "relu5_1": 10 / 1.5}
    expected = sum(0.1 * w * float((seen[0][name] - seen[1][name]).abs().mean()) for name, w in published.items())
    ours = vgg(a, b, net="vgg19", state=states["vgg19"], layers=IFRVP_LAYERS)
    assert float(ours) == pytest.approx(expected, rel=1e-5)


def test_deformvfi_looks_at_one_layer_of_vgg16_on_a_square(states):
    a, b = pair()
    squares = [F.interpolate(picture, size=(224, 224), mode="bilinear", align_corners=False) for picture in (a, b)]
    seen = [features("vgg16", states["vgg16"], normalised(picture), ["relu2_2"])["relu2_2"] for picture in squares]
    ours = vgg(a, b, net="vgg16", state=states["vgg16"], layers=DEFORMVFI_LAYERS, size=DEFORMVFI_SIZE)
    assert float(ours) == pytest.approx(float((seen[0] - seen[1]).abs().mean()), rel=1e-5)


def test_the_prediction_learns_and_the_target_does_not(states):
    a, b = (picture.requires_grad_() for picture in pair())
    vgg(a, b, net="vgg16", state=states["vgg16"], layers={"relu1_2": 1.0, "relu3_3": 0.5}).backward()
    assert a.grad.abs().max() > 0
    assert b.grad is None
