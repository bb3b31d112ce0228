"""The classifiers' features: those of the layers as everybody writes them down, from a file found where it was put."""

import sys

import pytest
import torch
from torch import nn

from tween.errors import BadWeights, MissingFile, NoWeights
from tween.ops.features import FILES, features, find, load, normalised

VGG = {
    "vgg16": [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"],
    "vgg19": [64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512, 512, 512, 512, "M"],
}


def module(net):
    """The same network in torch's own layers, random, with the usual keys."""
    torch.manual_seed(0)
    layers = []
    if net == "alexnet":
        layers = [
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, kernel_size=3, padding=1), nn.ReLU(),
        ]  # fmt: skip
    else:
        before = 3
        for row in VGG[net]:
            layers += [nn.MaxPool2d(2)] if row == "M" else [nn.Conv2d(before, row, 3, padding=1), nn.ReLU()]
            before = before if row == "M" else row
    return nn.ModuleDict({"features": nn.Sequential(*layers)})


@pytest.mark.parametrize("net", ["vgg16", "vgg19", "alexnet"])
def test_every_layer_is_that_of_the_plain_network(net):
    known = module(net)
    state = known.state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == FILES[net].shapes()
    x = torch.rand(2, 3, 64, 80, generator=torch.Generator().manual_seed(1))
    names = FILES[net].names()
    with torch.no_grad():
        ours = features(net, state, x, names)
        expected = []
        for layer in known["features"]:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                expected.append(x)
    assert list(ours) == names
    for name, wanted in zip(names, expected, strict=True):
        torch.testing.assert_close(ours[name], wanted)


@pytest.mark.parametrize(("net", "count"), [("vgg16", 14_714_688), ("vgg19", 20_024_384), ("alexnet", 2_469_696)])
def test_they_have_as_many_values_as_the_published_files(net, count):
    assert sum(torch.Size(shape).numel() for shape in FILES[net].shapes().values()) == count


def test_names_of_vgg_count_blocks_and_layers():
    assert FILES["vgg19"].names()[:5] == ["relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1"]
    assert FILES["vgg16"].names()[-1] == "relu5_3"
    assert FILES["vgg19"].names()[-1] == "relu5_4"


def test_nothing_beyond_the_last_layer_wanted_is_read():
    state = {
        key: value
        for key, value in module("vgg16").state_dict().items()
        if key.startswith(("features.0", "features.2."))
    }
    assert list(features("vgg16", state, torch.rand(1, 3, 16, 16), ["relu1_2"])) == ["relu1_2"]


def test_pictures_are_centred_as_imagenet_was():
    grey = normalised(torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 2, 2))
    assert grey.abs().max() < 1e-6
    white = normalised(torch.ones(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(white, torch.tensor([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]))


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No variable set, an empty cache; the cache's folder."""
    for stored in FILES.values():
        monkeypatch.delenv(stored.variable, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def test_a_file_is_found_by_path_then_variable_then_cache(nowhere, monkeypatch, tmp_path):
    places = {name: tmp_path / f"{name}.pth" for name in ("path", "variable")}
    places["cache"] = nowhere / "vgg19-dcbb9e9d.pth"
    nowhere.mkdir(parents=True)
    for place in places.values():
        place.touch()
    assert find("vgg19") == places["cache"]
    monkeypatch.setenv("TWEEN_VGG19", str(places["variable"]))
    assert find("vgg19") == places["variable"]
    assert find("vgg19", places["path"]) == places["path"]


@pytest.mark.usefixtures("nowhere")
def test_heads_of_lpips_are_found_in_the_package_without_importing_it(monkeypatch, tmp_path):
    heads = tmp_path / "lpips" / "weights" / "v0.1" / "alex.pth"
    heads.parent.mkdir(parents=True)
    heads.touch()
    (tmp_path / "lpips" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find("lpips_alex") == heads
    assert "lpips" not in sys.modules


def test_where_a_missing_file_belongs_is_told(nowhere):
    with pytest.raises(NoWeights) as told:
        find("vgg16")
    words = str(told.value)
    assert f"no vgg16 weights here (looked for {nowhere / 'vgg16-397923af.pth'})" in words
    assert "the file vgg16-397923af.pth is needed, and tween ships none" in words
    assert "try: export TWEEN_VGG16=/path/to/vgg16-397923af.pth" in words
    with pytest.raises(NoWeights, match=r"lpips-vgg.pth \(weights/v0.1/vgg.pth of the project lpips\) is needed"):
        find("lpips_vgg")


def test_a_file_that_is_not_where_it_was_said_to_be_is_no_reason_to_look_elsewhere(nowhere, monkeypatch, tmp_path):
    nowhere.mkdir(parents=True)
    (nowhere / "vgg16-397923af.pth").touch()
    with pytest.raises(MissingFile, match=r"no vgg16 file .*gone\.pth; the path of vgg16-397923af.pth is needed"):
        find("vgg16", tmp_path / "gone.pth")
    monkeypatch.setenv("TWEEN_VGG16", str(tmp_path / "gone.pth"))
    with pytest.raises(MissingFile, match=r"gone.pth \(from TWEEN_VGG16\)"):
        find("vgg16")


def test_the_classifier_of_a_whole_file_stays_behind(tmp_path):
    state = {key: value.half() for key, value in module("alexnet").state_dict().items()}
    torch.save({**state, "classifier.1.weight": torch.zeros(9, 9)}, tmp_path / "whole.pth")
    loaded = load("alexnet", tmp_path / "whole.pth")
    assert set(loaded) == set(FILES["alexnet"].shapes())
    assert {value.dtype for value in loaded.values()} == {torch.float32}


def test_another_networks_file_is_refused(tmp_path):
    torch.save(module("alexnet").state_dict(), tmp_path / "alexnet.pth")
    with pytest.raises(
        BadWeights, match=r"alexnet.pth has features.0.weight as \[64, 3, 11, 11\]; .* is needed for vgg16"
    ):
        load("vgg16", tmp_path / "alexnet.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(BadWeights, match=r"has no lin0.model.1.weight"):
        load("lpips_alex", tmp_path / "other.pth")


class Harmful:
    """An object of ours in a pickle: what could run any program."""


def test_nothing_but_tensors_is_opened(tmp_path):
    (tmp_path / "noise.pth").write_bytes(b"no weights at all")
    torch.save(Harmful(), tmp_path / "object.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("noise.pth", "object.pth"):
        with pytest.raises(BadWeights, match=f"{name} cannot be read as weights"):
            load("vgg16", tmp_path / name)
    with pytest.raises(BadWeights, match=r"list.pth holds a list; a state dict saved by torch is needed"):
        load("vgg16", tmp_path / "list.pth")
