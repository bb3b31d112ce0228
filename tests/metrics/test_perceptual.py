"""LPIPS as a metric: the definition, on files where a user would put them."""

import pytest
import torch

from tween.errors import BadOption, NoWeights
from tween.metrics import perceptual
from tween.ops import lpips as definition
from tween.ops.features import FILES, load


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Random weights of AlexNet and of its heads, as files."""
    folder, generator = tmp_path_factory.mktemp("weights"), torch.Generator().manual_seed(0)
    for name in ("alexnet", "lpips_alex"):
        state = {key: 0.05 * torch.rand(shape, generator=generator) for key, shape in FILES[name].shapes().items()}
        torch.save(state, folder / FILES[name].file)
    return folder


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path):
    for stored in FILES.values():
        monkeypatch.delenv(stored.variable, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))


def pair(size=(2, 3, 64, 70)):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(size, generator=generator), torch.rand(size, generator=generator)


def test_it_is_the_definition_with_files_given_or_found(files, monkeypatch):
    a, b = pair()
    stack, heads = (files / FILES[name].file for name in ("alexnet", "lpips_alex"))
    states = {"state": load("alexnet", stack), "heads": load("lpips_alex", heads)}
    expected = definition.lpips(a, b, net="alex", **states).tolist()
    assert min(expected) > 0
    assert perceptual.lpips(a, b, stack=stack, heads=heads).tolist() == expected
    monkeypatch.setenv("TWEEN_ALEXNET", str(stack))
    monkeypatch.setenv("TWEEN_LPIPS_ALEX", str(heads))
    assert perceptual.lpips_alex(a, b).tolist() == expected
    half = [picture.to(torch.bfloat16) for picture in (a, b)]
    assert perceptual.lpips_alex(*half).tolist() == pytest.approx(expected, rel=0.05)


def test_a_file_put_there_later_is_found(files, monkeypatch):
    a, b = pair()
    with pytest.raises(NoWeights, match="no alexnet weights here"):
        perceptual.lpips_alex(a, b)
    monkeypatch.setenv("TWEEN_ALEXNET", str(files / FILES["alexnet"].file))
    with pytest.raises(NoWeights, match="no lpips_alex weights here"):
        perceptual.lpips_alex(a, b)
    with pytest.raises(NoWeights, match="no vgg16 weights here"):
        perceptual.lpips_vgg(a, b)


@pytest.mark.parametrize(("net", "side"), perceptual.SMALLEST.items())
def test_the_smallest_picture_is_told(net, side):
    """The bound is true: a picture of that side has a last feature, one pixel less has none."""
    state = {key: torch.zeros(shape) for key, shape in FILES[definition.STACK[net]].shapes().items()}
    heads = {key: torch.zeros(shape) for key, shape in FILES[definition.HEADS[net]].shapes().items()}
    just = torch.rand(1, 3, side, side)
    assert definition.lpips(just, just, net=net, state=state, heads=heads).tolist() == [0]
    with pytest.raises(BadOption, match=f"of a picture of {side - 1}x{side}; both sides must be {side} pixels or more"):
        perceptual.lpips(just[..., :-1], just[..., :-1], net=net)
    with pytest.raises(RuntimeError):
        definition.lpips(just[..., :-1], just[..., :-1], net=net, state=state, heads=heads)
