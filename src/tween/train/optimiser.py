"""The network's parameters on their way: who learns, how fast, and the moving average."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from ..errors import BadOption, near
from ..models.model import Model
from .config import OptimConfig

OPTIMISERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "radam": torch.optim.RAdam}


def optimiser_of(model: nn.Module, optim: OptimConfig, resting: frozenset[str] = frozenset()) -> torch.optim.Optimizer:
    """The optimiser, its parameters grouped by rate and by whether they decay; those that are `resting` stay out.

    Every group says `scale`, its rate as a part of the whole run's.

    Raises:
        BadOption: a scale for a part that the network has not.
    """
    check_parts(model, optim.scales, "--optim.scales")
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if name in resting:
            continue
        scale = next((s for part, s in optim.scales.items() if is_part(name, part)), 1.0)
        decay = optim.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
    rows = [{"params": p, "scale": scale, "weight_decay": decay} for (scale, decay), p in groups.items()]
    made: torch.optim.Optimizer = OPTIMISERS[optim.name](rows, lr=optim.lr, betas=optim.betas)
    return made


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its part of `rate`."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["scale"]


def freeze(model: nn.Module, parts: tuple[str, ...], resting: frozenset[str] = frozenset()) -> None:
    """Let all learn but `parts`, beginnings of parameter names, and what is `resting` for ever.

    Raises:
        BadOption: a part that the network has not, or nothing is left to learn.
    """
    check_parts(model, parts, "frozen")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in resting and not any(is_part(name, part) for part in parts))
        if not parameter.requires_grad:
            parameter.grad = None
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise BadOption(f"frozen: {', '.join(parts)}", "something must be left to learn")


def check_parts(model: nn.Module, parts: Iterable[str], option: str) -> None:
    names = [name for name, _ in model.named_parameters()]
    tops = dict.fromkeys(name.split(".")[0] for name in names)
    for part in parts:
        if not any(is_part(name, part) for name in names):
            raise BadOption(f"{option} {part}{near(part, tops)}", f"the network's parts are {', '.join(tops)}")


def is_part(name: str, part: str) -> bool:
    """True if a parameter's name begins with the words of `part`."""
    return name == part or name.startswith(part.rstrip(".") + ".")


def set_finest(model: Model, finest: int) -> None:
    """Let levels finer than `finest` rest.

    Raises:
        BadOption: the network has no such level.
    """
    if model.finest is None and finest != 1:
        raise BadOption(f"finest: {finest}", "this network has no levels", "a network of IFRNet's family, or no finest")
    if model.finest is not None and not 1 <= finest <= model.levels:
        raise BadOption(f"finest: {finest}", f"this network has levels 1 (the finest) to {model.levels}", "finest: 2")
    if model.finest is not None:
        model.finest = finest


def set_dropout(model: nn.Module, chance: float) -> None:
    """Give every dropout layer this chance.

    Raises:
        BadOption: the network has none.
    """
    layers = [m for m in model.modules() if isinstance(m, (nn.Dropout, nn.Dropout2d))]
    if not layers:
        raise BadOption(f"--optim.dropout {chance}", "this network has no dropout layer")
    for layer in layers:
        layer.p = chance


class Average:
    """The moving average of a network's weights: decay x average + (1 - decay) x weights, each step.

    The decay rises from 0 so that the first steps count less: min(decay, (1 + n) / (10 + n)).

    Args:
        read: gives the weights as they are. decay: 0 to 1; 0 keeps none, and `state` is the network's own.
    """

    def __init__(self, read: Callable[[], dict[str, Tensor]], decay: float) -> None:
        self.read, self.decay, self.seen = read, decay, 0
        self._state = {key: value.detach().clone() for key, value in read().items()} if decay else None

    @torch.no_grad()
    def see(self) -> None:
        """Take in the weights after a step."""
        self.seen += 1
        if self._state is None:
            return
        decay = min(self.decay, (1 + self.seen) / (10 + self.seen))
        for key, value in self.read().items():
            if value.is_floating_point():
                self._state[key].lerp_(value, 1 - decay)
            else:
                self._state[key].copy_(value)

    def state(self) -> dict[str, Tensor]:
        """The averaged weights under the network's keys."""
        return self.read() if self._state is None else self._state

    def load(self, state: Mapping[str, Tensor], seen: int) -> None:
        """Go on from a saved average."""
        self.seen = seen
        if self._state is not None:
            for key, value in state.items():
                self._state[key].copy_(value)
