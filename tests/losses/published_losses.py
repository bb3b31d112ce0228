"""The pictures, flows and values of the reference runs, made again by their rules."""

import importlib.util
import json
from functools import cache

import numpy as np
import torch


@cache
def rule(folder):
    """The module of a folder of fixtures that makes pictures out of numbers."""
    spec = importlib.util.spec_from_file_location(f"{folder.name}_rule", folder / "fixture_rule.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def values(folder, stem):
    return json.loads((folder / f"{stem}.json").read_text())


def ifrnet_pictures(folder):
    """x, y, and z, which is y with noise, `[1, 3, 64, 96]`; X and Y, x and y at 192 x 256."""
    x, y = (torch.from_numpy(rule(folder).frame(tau))[None] for tau in (0, 0.5))
    noise = np.random.Generator(np.random.PCG64(5)).standard_normal((3, 64, 96)).astype(np.float32)
    large = {name: torch.from_numpy(rule(folder).frame(tau, 192, 256))[None] for name, tau in (("X", 0), ("Y", 0.5))}
    return {"x": x, "y": y, "z": (y + 0.02 * torch.from_numpy(noise)).clamp(0, 1), **large}


def other_inputs(folder):
    """Prediction, target, and the small flows, logits and warped pictures, as losses.json describes them."""
    frames = rule(folder).frames
    pair = torch.from_numpy(frames(2, 64, 96, vx=1, vy=-0.5))
    small = torch.from_numpy(frames(4, 16, 24, vx=3, vy=2, seed=11))
    flows = [(small[i : i + 1, :2] - 0.5) * 8 for i in (0, 1)]
    return {
        "prediction": pair[:1],
        "target": pair[1:],
        "flow": torch.cat(flows, dim=1),
        "logits": torch.cat([(small[i : i + 1, :1] - 0.5) * 6 for i in (2, 3)], dim=1),
        "warped": (small[0:1], small[1:2]),
        "bigflow": torch.nn.functional.interpolate(flows[0], size=(64, 96), mode="bilinear", align_corners=False),
    }
