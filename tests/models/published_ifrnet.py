"""The published networks' outputs for weights and frames that a rule of numpy makes again."""

import importlib.util
import json
from functools import cache
from pathlib import Path

import numpy as np
import torch

NAMES = {
    "ifrnet-s": "IFRNet_S",
    "ifrnet-b": "IFRNet",
    "ifrnet-l": "IFRNet_L",
    "ifrnet-t": "IFRNet_T",
    "ifrnet-elan": "IFRNet_ELAN",
}


@cache
def rule(folder: Path):
    """The fixture rule, a module."""
    spec = importlib.util.spec_from_file_location("ifrnet_fixture_rule", folder / "fixture_rule.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def weights(folder: Path, published: str) -> dict[str, torch.Tensor]:
    """The state dict of a published network under its own keys, by the rule."""
    shapes = json.loads((folder / f"{published}_keys_shapes.json").read_text())
    return {key: torch.from_numpy(rule(folder).weight_value(key, shape)) for key, shape in shapes.items()}


def arrays(folder: Path, name: str) -> dict[str, torch.Tensor]:
    """A fixture file as tensors."""
    with np.load(folder / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def picture(data) -> torch.Tensor:
    """uint8 `[3, H, W]` -> float32 `[1, 3, H, W]` by division, as the originals do."""
    return torch.as_tensor(data)[None].float() / 255


def furthest(got: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference between two tensors of one shape."""
    assert got.shape == wanted.shape, f"{tuple(got.shape)}, not {tuple(wanted.shape)}"
    return (got - wanted).abs().max().item()
