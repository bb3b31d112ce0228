"""What an adapter adds to a layer's weights: the arithmetic of each method, without peft.

method   parts of a layer, as its file holds them                       change of the weight W, [O, I, h, w] or [O, I]
lora     lora_A [r, I, h, w], lora_B [O, r, 1, 1]                       s B A             (rslora: another s)
dora     the same, lora_magnitude_vector m [1, O, 1, 1] or [O]          m (W + s B A) / |W + s B A| - W, row by row
loha     hada_w1_a, hada_w1_b, hada_w2_a, hada_w2_b                     s (w1_a w1_b) * (w2_a w2_b)
lokr     lokr_w1 [a, c], lokr_w2 [b, d, h, w] or lokr_w2_a lokr_w2_b    s w1 (x) w2

Hu et al. 2021 (LoRA), Kalajdzievski 2023 (rsLoRA), Liu et al. 2024 (DoRA), Hyeon-Woo et al. 2021 (LoHa), Yeh et al.
2023 (LoKr), with peft's layout of the factors. All in float64: a merge rounds once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..errors import BadWeights
from .lora_config import LoraConfig

Parts = Mapping[str, Tensor]  # of one layer, by the ends of their keys, float64


def delta(layer: str, weight: Tensor, parts: Parts, config: LoraConfig) -> Tensor:
    """What an adapter adds to one layer's weight.

    Args:
        layer: its name, for the message. weight: the base's, `[O, I, h, w]` or `[O, I]`. parts: the adapter's.

    Returns:
        float64, of the weight's shape.

    Raises:
        BadWeights: the parts are not those of the method, or do not fit the weight.
    """
    exact = {name: part.double() for name, part in parts.items()}
    try:
        return ARITHMETIC[config.method](weight.double(), exact, config.strength).reshape(weight.shape)
    except (KeyError, RuntimeError) as error:
        shapes = ", ".join(f"{name} {list(part.shape)}" for name, part in parts.items())
        got = f"the adapter's {layer} holds {shapes or 'nothing'}; the base's weight is {list(weight.shape)}"
        raise BadWeights(got, f"what {config.method} of rank {config.rank} makes of that layer is needed") from error


def _low_rank(weight: Tensor, parts: Parts, strength: float) -> Tensor:
    down, up = parts["lora_A.weight"], parts["lora_B.weight"]
    product = up.flatten(1) @ down.flatten(1)
    return strength * product.reshape(weight.shape)


def _directed(weight: Tensor, parts: Parts, strength: float) -> Tensor:
    """DoRA: each row's length is learnt by itself."""
    turned = (weight + _low_rank(weight, parts, strength)).flatten(1)
    lengths = parts["lora_magnitude_vector.weight"].reshape(-1, 1)
    return (lengths / turned.norm(dim=1, keepdim=True) * turned).reshape(weight.shape) - weight


def _hadamard(weight: Tensor, parts: Parts, strength: float) -> Tensor:
    first = parts["hada_w1_a"] @ parts["hada_w1_b"]
    second = parts["hada_w2_a"] @ parts["hada_w2_b"]
    return strength * (first * second).reshape(weight.shape)


def _kronecker(weight: Tensor, parts: Parts, strength: float) -> Tensor:
    small = parts["lokr_w1"]
    large = parts["lokr_w2"] if "lokr_w2" in parts else parts["lokr_w2_a"] @ parts["lokr_w2_b"]
    if weight.ndim == 4:
        large = large.reshape(large.shape[0], -1, *weight.shape[2:])
        small = small[:, :, None, None]
    return strength * torch.kron(small, large)


ARITHMETIC: dict[str, Callable[[Tensor, Parts, float], Tensor]] = {
    "lora": _low_rank,
    "rslora": _low_rank,
    "dora": _directed,
    "loha": _hadamard,
    "lokr": _kronecker,
}
