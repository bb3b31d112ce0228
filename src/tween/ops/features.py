"""What the old picture classifiers see: VGG-16, VGG-19 and AlexNet up to their last feature, from a file the user has.

Simonyan & Zisserman, "Very Deep Convolutional Networks", 2015; Krizhevsky, "One weird trick for parallelizing
convolutional neural networks", 2014. Each is a list of layers, run over a state dict with the keys that everybody has:
`features.N.weight`, `features.N.bias`, N the layer's place in the list. tween ships and fetches none of the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import BadWeights, MissingFile, NoWeights

State = Mapping[str, Tensor]

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures, which all of them were trained on


class Conv(NamedTuple):
    """A convolution with bias; `before` and `after` are its channels."""

    before: int
    after: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1


class Relu(NamedTuple):
    """A ReLU whose output can be asked for by name."""

    name: str


class Pool(NamedTuple):
    """The largest value of each window."""

    kernel: int
    stride: int


Layer = Conv | Relu | Pool


def _vgg(blocks: Iterable[int]) -> tuple[Layer, ...]:
    """3x3 convolutions, `blocks` of them between the poolings; `relu3_1` is the first of the third block."""
    layers: list[Layer] = []
    before = 3
    for block, (count, width) in enumerate(zip(blocks, (64, 128, 256, 512, 512), strict=True), 1):
        for index in range(1, count + 1):
            layers += [Conv(before, width), Relu(f"relu{block}_{index}")]
            before = width
        layers.append(Pool(2, 2))
    return tuple(layers)


ALEXNET: Final[tuple[Layer, ...]] = (
    Conv(3, 64, 11, 4, 2), Relu("relu1"), Pool(3, 2),
    Conv(64, 192, 5, 1, 2), Relu("relu2"), Pool(3, 2),
    Conv(192, 384), Relu("relu3"),
    Conv(384, 256), Relu("relu4"),
    Conv(256, 256), Relu("relu5"),
)  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """A weights file that the user may have.

    Attributes:
        file: its usual name.
        variable: the environment variable that may hold its path.
        layers: of the stack whose weights it holds; none for LPIPS's heads.
        channels: of LPIPS's heads, one each.
        packaged: (package, path inside it) where an installed package carries it. The package is not imported.
    """

    file: str
    variable: str
    layers: tuple[Layer, ...] = ()
    channels: tuple[int, ...] = ()
    packaged: tuple[tuple[str, str], ...] = ()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Key -> shape of every tensor that is read."""
        found: dict[str, tuple[int, ...]] = {}
        for index, layer in enumerate(self.layers):
            if isinstance(layer, Conv):
                found[f"features.{index}.weight"] = (layer.after, layer.before, layer.kernel, layer.kernel)
                found[f"features.{index}.bias"] = (layer.after,)
        return found | {f"lin{index}.model.1.weight": (1, width, 1, 1) for index, width in enumerate(self.channels)}

    def names(self) -> list[str]:
        """The layers that can be asked for."""
        return [layer.name for layer in self.layers if isinstance(layer, Relu)]


def _heads(net: str, channels: tuple[int, ...]) -> Stored:
    """The linear heads of LPIPS v0.1, which the package of that name carries."""
    places = (("lpips", f"weights/v0.1/{net}.pth"),)
    return Stored(f"lpips-{net}.pth", f"TWEEN_LPIPS_{net.upper()}", channels=channels, packaged=places)


FILES: Final = {
    "vgg16": Stored("vgg16-397923af.pth", "TWEEN_VGG16", _vgg((2, 2, 3, 3, 3))),
    "vgg19": Stored("vgg19-dcbb9e9d.pth", "TWEEN_VGG19", _vgg((2, 2, 4, 4, 4))),
    "alexnet": Stored("alexnet-owt-7be5be79.pth", "TWEEN_ALEXNET", ALEXNET),
    "lpips_alex": _heads("alex", (64, 192, 384, 256, 256)),
    "lpips_vgg": _heads("vgg", (64, 128, 256, 512, 512)),
}  # fmt: skip


def normalised(picture: Tensor) -> Tensor:
    """`[B, 3, H, W]` in [0, 1] -> the same by ImageNet's mean and spread, as the stacks were trained."""
    mean, std = (picture.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (picture - mean) / std


def features(net: str, state: State, picture: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
    """What a stack sees.

    Args:
        net: "vgg16", "vgg19" or "alexnet".
        state: its weights, on the picture's device and of its dtype.
        picture: `[B, 3, H, W]`, normalised.
        names: of the layers wanted, `relu1_2` or, of AlexNet, `relu2`.

    Returns:
        Name -> `[B, C, h, w]`. Nothing after the last layer wanted is computed.
    """
    wanted = set(names)
    found: dict[str, Tensor] = {}
    x = picture
    for index, layer in enumerate(FILES[net].layers):
        if isinstance(layer, Conv):
            weight, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
            x = F.conv2d(x, weight, bias, stride=layer.stride, padding=layer.padding)
        elif isinstance(layer, Pool):
            x = F.max_pool2d(x, layer.kernel, layer.stride)
        else:
            x = F.relu(x)
            if layer.name in wanted:
                found[layer.name] = x
                if len(found) == len(wanted):
                    return found
    raise ValueError(f"{net} has no layer {sorted(wanted - set(found))}")  # who takes names from a user asks first


def places(name: str) -> list[Path]:
    """Where a file is looked for if nobody says, in this order: its variable, torch hub's cache, installed packages."""
    stored = FILES[name]
    said = os.environ.get(stored.variable)
    if said:
        return [Path(said)]
    found = [Path(torch.hub.get_dir()) / "checkpoints" / stored.file]
    for package, inside in stored.packaged:
        spec = find_spec(package)
        found += [Path(folder) / inside for folder in (spec.submodule_search_locations or ()) if spec] if spec else []
    return found


def find(name: str, path: str | Path | None = None) -> Path:
    """The file of a name of `FILES`.

    Args:
        name: "vgg16", "vgg19", "alexnet", "lpips_alex" or "lpips_vgg".
        path: where the user says that it is.

    Raises:
        MissingFile: it is not where it was said to be.
        NoWeights: nobody said, and it is in none of the usual places.
    """
    stored = FILES[name]
    said = path or os.environ.get(stored.variable)
    if said and not Path(said).is_file():
        whose = "" if path else f" (from {stored.variable})"
        raise MissingFile(f"no {name} file {said}{whose}", f"the path of {stored.file} is needed")
    candidates = [Path(path)] if path else places(name)
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    looked = " or ".join(str(candidate) for candidate in candidates)
    known_as = "".join(f" ({inside} of the project {package})" for package, inside in stored.packaged)
    raise NoWeights(
        f"no {name} weights here (looked for {looked})",
        f"the file {stored.file}{known_as} is needed, and tween ships none",
        f"export {stored.variable}=/path/to/{stored.file}",
    )


def load(name: str, path: str | Path | None = None) -> dict[str, Tensor]:
    """The tensors of a file of `FILES`, float32, on the CPU; what else it holds (a classifier, say) is left out.

    Raises:
        MissingFile, NoWeights: as `find`.
        BadWeights: it cannot be read, or is another network's.
    """
    file = find(name, path)
    state = _read(file)
    wanted = FILES[name].shapes()
    for key, shape in wanted.items():
        have = state.get(key)
        if not isinstance(have, Tensor) or tuple(have.shape) != shape:
            got = f"has {key} as {list(have.shape)}" if isinstance(have, Tensor) else f"has no {key}"
            raise BadWeights(f"{file} {got}", f"the state dict {FILES[name].file} is needed for {name}")
    return {key: state[key].float() for key in wanted}


def _read(file: Path) -> Mapping[str, Tensor]:
    """What a `.pth` or `.safetensors` file holds; a pickle as tensors and plain containers only."""
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise what they like on bytes that are no weights
        why = (str(error).strip().splitlines() or ["it ends too early"])[0][:120]
        raise BadWeights(
            f"{file} cannot be read as weights ({why})", "a state dict saved by torch is needed"
        ) from error
    if not isinstance(content, Mapping):
        raise BadWeights(f"{file} holds a {type(content).__name__}", "a state dict saved by torch is needed")
    return content
