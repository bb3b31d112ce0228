"""LPIPS: how different pictures look. The weights are the user's files, looked for where `ops.features` says."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ..errors import BadOption
from ..ops import lpips as definition
from ..ops.features import find, load

SMALLEST = {"alex": 31, "vgg": 16}  # pixels of a side below which the last feature is empty


def lpips(
    a: Tensor, b: Tensor, *, net: definition.Net = "alex", stack: Path | None = None, heads: Path | None = None
) -> Tensor:
    """LPIPS v0.1, lower is better.

    Args:
        a, b: `[B, 3, H, W]` in [0, 1] (the definition's [-1, 1] is made here).
        net: "alex", which benchmarks print, or "vgg", which trainers learn from.
        stack: weights of AlexNet or VGG-16; None looks in the usual places.
        heads: the linear heads; None looks in the usual places.

    Returns:
        `[B]`.

    Raises:
        NoWeights, MissingFile, BadWeights: as `ops.features.load`.
        BadOption: pictures too small for the stack.
    """
    if min(a.shape[-2:]) < SMALLEST[net]:
        got = f"LPIPS ({net}) of a picture of {a.shape[-1]}x{a.shape[-2]}"
        raise BadOption(got, f"both sides must be {SMALLEST[net]} pixels or more")
    classifier, linear = (
        _stored(*what, a.device) for what in ((definition.STACK[net], stack), (definition.HEADS[net], heads))
    )
    with torch.autocast(a.device.type, enabled=False):
        return definition.lpips(a.float(), b.float(), net=net, state=classifier, heads=linear)


def lpips_alex(a: Tensor, b: Tensor) -> Tensor:
    """`lpips` with AlexNet, files from the usual places."""
    return lpips(a, b, net="alex")


def lpips_vgg(a: Tensor, b: Tensor) -> Tensor:
    """`lpips` with VGG-16, files from the usual places."""
    return lpips(a, b, net="vgg")


def _stored(name: str, path: Path | None, device: torch.device) -> dict[str, Tensor]:
    """A file's tensors on a device, read once. Not found is not remembered: the user may put it there."""
    return _loaded(name, find(name, path), device)


@lru_cache(maxsize=8)
def _loaded(name: str, path: Path, device: torch.device) -> dict[str, Tensor]:
    return {key: value.to(device) for key, value in load(name, path).items()}
