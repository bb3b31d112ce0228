"""Adapters that learn: put into a network through peft, so that its own weights rest.

Which layers get one (`targets`), a rule that is the same for every network:
    convolutions and linear layers                                   yes
    those in groups (depthwise ones), or dilated                     no: peft's low-rank layers know neither
    transposed convolutions                                          no: peft has none; the layers around them learn
    layers whose weights a network reads itself, norms, slopes       no: they are no plain convolution or linear layer
    under dora, a layer with a row of zeros                          no: nothing has no direction
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import BadOption, imported, near
from .deltas import delta
from .entry import StateDict
from .lora_config import LoraConfig, checked
from .model import Model

SLOT = "default"  # peft's name of the one adapter that a network learns
PARTS = re.compile(rf"(?P<layer>.+?)\.(?P<part>(?:lora|hada|lokr)_\w+)\.{SLOT}(?P<rest>\.weight)?")
BASE = ".base_layer."  # peft's name of what it has wrapped


def targets(model: nn.Module, config: LoraConfig) -> list[str]:
    """The layers that would get an adapter, in the network's order; the network is left as it is.

    Raises:
        BadOption: none, or a part that the network has not.
    """
    able = [name for name, layer in model.named_modules() if is_able(layer, config.method)]
    for part in config.targets:
        if not any(_is_part(name, part) for name in able):
            tops = list(dict.fromkeys(name.split(".")[0] for name in able))
            need = f"layers that can have one are in {', '.join(tops) or 'no part of this network'}"
            raise BadOption(f"--lora.targets {part}{near(part, tops)} names no layer for an adapter", need)
    found = [name for name in able if not config.targets or any(_is_part(name, part) for part in config.targets)]
    if not found:
        got = "this network has no layer that an adapter could change"
        raise BadOption(got, "convolutions or linear layers are needed", "--model tweennet, ifrnet-s or rife-4.25")
    return found


def is_able(layer: nn.Module, method: str) -> bool:
    """Whether a layer can have an adapter: see the head of this file."""
    if not isinstance(layer, (nn.Conv2d, nn.Linear)) or type(layer) not in (nn.Conv2d, nn.Linear):
        return False
    if isinstance(layer, nn.Conv2d) and (layer.groups > 1 or layer.dilation != (1, 1) or layer.padding_mode != "zeros"):
        return False
    return method != "dora" or layer.weight.is_meta or bool(layer.weight.detach().flatten(1).abs().sum(1).all())


def add(model: Model, config: LoraConfig) -> list[str]:
    """Put a fresh adapter into a network, in place: it changes nothing yet, and nothing else learns any more.

    Returns:
        The layers that have one.

    Raises:
        BadOption: no layer is meant, a value that cannot be, or the network has an adapter already.
        MissingPackage: peft is not installed.
    """
    checked(config)
    if learned(model):
        raise BadOption("this network has an adapter already", "one at a time can learn", "merge the first one")
    names = targets(model, config)
    peft = _peft()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's, about models of transformers
        peft.inject_adapter_in_model(_asked(peft, config, names), model, adapter_name=SLOT)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(PARTS.fullmatch(name) is not None)
    return names


def learned(model: nn.Module) -> dict[str, Tensor]:
    """What an adapter in a network has learnt, under the keys of its file; not copied."""
    return {key: parameter.detach() for key, parameter in parameters(model).items()}


def parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of the adapter in a network, under the keys of its file."""
    found = ((PARTS.fullmatch(name), parameter) for name, parameter in model.named_parameters())
    return {f"{m['layer']}.{m['part']}{m['rest'] or ''}": parameter for m, parameter in found if m}


def restore(model: nn.Module, state: StateDict) -> None:
    """Give the adapter in a network what another one like it has learnt; keys and shapes are those of `learned`."""
    own = parameters(model)
    assert own.keys() == state.keys(), "an adapter of the same layers and method"
    with torch.no_grad():
        for key, value in state.items():
            own[key].copy_(value)


def base_state(model: nn.Module) -> dict[str, Tensor]:
    """The network's own weights under its own keys, whether or not it has an adapter; not copied."""
    state = model.state_dict()
    return {key.replace(BASE, "."): value for key, value in state.items() if not PARTS.fullmatch(key)}


def changes(base: StateDict, learnt: StateDict, config: LoraConfig) -> dict[str, Tensor]:
    """What an adapter adds to a network's weights: key -> float64 of the weight's shape.

    Args:
        base: the network's weights. learnt: the adapter's tensors, under the keys of its file.

    Raises:
        BadWeights: they do not belong together.
    """
    layers: dict[str, dict[str, Tensor]] = {}
    for key, value in learnt.items():
        layer, part = split(key)
        layers.setdefault(layer, {})[part] = value.cpu()  # not every device knows float64
    none = torch.empty(0)
    return {f"{k}.weight": delta(k, base.get(f"{k}.weight", none).cpu(), parts, config) for k, parts in layers.items()}


def merged(base: StateDict, added: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A plain state dict: `base` with `added` (float64) upon it, each of its own kind, rounded once."""
    told = dict(base)
    for key, value in added.items():
        told[key] = (base[key].cpu().double() + value).to(base[key])
    return told


def split(key: str) -> tuple[str, str]:
    """A key of an adapter's file as layer and part: `enc1.conv.0`, `lora_A.weight`."""
    found = re.fullmatch(r"(.+?)\.((?:lora|hada|lokr)_.+)", key)
    return (found[1], found[2]) if found else (key, "")


def _is_part(name: str, part: str) -> bool:
    return name == part or name.startswith(part.rstrip(".") + ".")


def _peft() -> Any:
    need = "that package makes adapters learn (to use one it is not needed)"
    return imported("peft", "peft", need, 'pip install "tween[lora]"')


def _asked(peft: Any, config: LoraConfig, names: list[str]) -> Any:
    """The config in peft's words; an expression that means these layers and no others of like names."""
    alpha = config.rank if config.alpha is None else config.alpha
    words: dict[str, Any] = {"r": config.rank, "target_modules": "|".join(map(re.escape, names))}
    if config.method in ("loha", "lokr"):
        kind = peft.LoHaConfig if config.method == "loha" else peft.LoKrConfig
        return kind(**words, alpha=alpha, rank_dropout=config.dropout)
    return peft.LoraConfig(
        **words,
        lora_alpha=alpha,
        lora_dropout=config.dropout,
        use_rslora=config.method == "rslora",
        use_dora=config.method == "dora",
    )
