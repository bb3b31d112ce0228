"""The rules by which the reference runs of RIFE, EMA-VFI and their like were filled: weights, frames, arrays."""

import importlib.util
import json

import numpy as np
import torch


def rule(folder):
    """The module that makes weights and frames out of names and numbers."""
    spec = importlib.util.spec_from_file_location("fixture_rule", folder / "fixture_rule.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shapes(folder, stem):
    """Key -> shape, as the authors' network has them."""
    keys = json.loads((folder / f"{stem}.keys.json").read_text())["keys"]
    return {key: tuple(row["shape"]) for key, row in keys.items()}


def weights(folder, stem):
    """Key -> tensor, as in the reference run."""
    return {key: torch.from_numpy(a) for key, a in rule(folder).load_state(folder / f"{stem}.keys.json").items()}


def frames(folder, count, height, width, **motion):
    """`[1, N, 3, H, W]` in [0, 1]."""
    return torch.from_numpy(rule(folder).frames(count, height, width, **motion))[None]


def arrays(folder, stem):
    """Name -> tensor, what the reference gave."""
    with np.load(folder / f"{stem}.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def furthest(a, b):
    """The largest difference between two tensors of one shape."""
    assert a.shape == b.shape
    return (a - b).abs().max().item()
