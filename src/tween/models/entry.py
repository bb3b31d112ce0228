"""A row of the zoo: a name, how to build the network behind it, and what is known of its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from .model import Model

StateDict = Mapping[str, Tensor]
OURS = "tween"  # the tag of weights that we trained


def unchanged(state: StateDict) -> dict[str, Tensor]:
    """The rename of a file whose keys are already ours."""
    return dict(state)


@dataclass(frozen=True)
class Weights:
    """One known weights file of a network.

    Attributes:
        tag: what follows the `@`: "tween" is ours, "vimeo90k" a published file.
        file: name under `models/assets`, or "" where it does not ship.
        url: where it can be fetched, or "" where the authors publish it only by hand.
        sha256: of the file, or "" where it is not known.
        licence: of the weights, as their authors state it.
        origin: who made them, from what.
    """

    tag: str
    file: str = ""
    url: str = ""
    sha256: str = ""
    licence: str = ""
    origin: str = ""


@dataclass(frozen=True)
class Entry:
    """One network of the zoo.

    Attributes:
        name: `family[-size]`.
        build: (scale) -> an untrained model. `scale` is 1 unless the family can estimate motion at another size.
        about: the idea in one line.
        paper: where it is described.
        code_licence: licence of the code that the authors published.
        rename: keys of a published state dict -> keys of ours (also drops what is not the network's).
        weights: known files, the best first.
        trained: False for classic methods, which have nothing to load.
        scalable: True if `build` takes a scale other than 1.
    """

    name: str
    build: Callable[[float], Model]
    about: str
    paper: str = ""
    code_licence: str = ""
    rename: Callable[[StateDict], dict[str, Tensor]] = unchanged
    weights: tuple[Weights, ...] = field(default=())
    trained: bool = True
    scalable: bool = False


def ours(name: str, sha256: str) -> Weights:
    """Weights of a network that tween's own recipe of its name made: they ship with the package, beside a card."""
    origin = (
        f"tween, by recipes/{name}.yaml, from Big Buck Bunny, Tears of Steel (CC BY 3.0, (c) Blender Foundation) and "
        f"other open footage: models/assets/{name}.md"
    )
    return Weights(OURS, file=f"{name}.safetensors", sha256=sha256, licence="MIT", origin=origin)
