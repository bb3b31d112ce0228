"""What is timed: models by name, with random weights where there are no others, and frames to show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import NoWeights
from ..models import zoo
from ..models.adapters import called, dress
from ..models.entry import Entry
from ..models.model import Model

SEED: Final = 0


@dataclass(frozen=True)
class Subject:
    """A model to be timed.

    Attributes:
        name: as it was asked for. model: in eval mode. entry: its row of the zoo.
        weights: the tag of its weights, "random" where it has none here, "" where it needs none.
    """

    name: str
    model: Model
    entry: Entry
    weights: str


def subject(name: str, lora: Sequence[str] = ()) -> Subject:
    """A model by its name or file; a bare name without weights at hand gets random ones.

    Args:
        lora: adapters that it wears, as `FILE` or `FILE:WEIGHT`; random weights wear none.

    Raises:
        UnknownModel, NoWeights, MissingFile, BadWeights: as `zoo.load`.
    """
    worn = called(lora)
    if zoo.is_path(name):
        path = Path(name)
        model, row = zoo.load_row(path)
        dress(model, row.name, lora)
        return Subject(f"{path.name}{worn}", model, row, path.name)
    row = zoo.entry(zoo.DEFAULT if name == "default" else name.partition("@")[0])
    try:
        found = zoo.find(name)
    except NoWeights:
        if "@" in name or lora:
            raise
        return Subject(row.name, enliven(zoo.create(row.name)), row, "random")
    model = zoo.load(name, lora=lora)
    return Subject(f"{row.name if name == 'default' else name}{worn}", model, found.entry, found.weights.tag)


def at_hand() -> list[str]:
    """Every name that runs here as it is: classic methods, and networks with weights."""
    names = []
    for name in zoo.entries():
        try:
            found = zoo.find(name)
        except NoWeights:
            continue
        if found.path is not None or not found.entry.trained:
            names.append(name)
    return names


def enliven(model: Model, seed: int = SEED) -> Model:
    """Random weights that move pixels: what feeds a flow is drawn so that flows are some pixels long."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in model.modules():
            if isinstance(module, torch.nn.ConvTranspose2d):
                torch.nn.init.normal_(module.weight, std=2 / (4 * module.in_channels) ** 0.5)
    return model.eval()


def pictures(size: tuple[int, int], count: int) -> list[Tensor]:
    """`count` frames `[1, 3, H, W]` in [0, 1] of a smooth texture that moves by (5, 3) pixels a frame."""
    height, width = size
    random = torch.Generator().manual_seed(SEED)
    noise = torch.rand(1, 3, (height + 3 * count) // 16 + 2, (width + 5 * count) // 16 + 2, generator=random)
    world = F.interpolate(noise, scale_factor=16, mode="bicubic").clamp(0, 1)
    return [world[..., 3 * k : 3 * k + height, 5 * k : 5 * k + width].contiguous() for k in range(count)]
