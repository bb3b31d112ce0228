"""What an adapter is: documented fields that a recipe, flags and an adapter's file share. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import BadOption

Method = Literal["lora", "rslora", "dora", "loha", "lokr"]


@dataclass(frozen=True)
class LoraConfig:
    """An adapter: a small change of a network's convolutions and linear layers that is learnt while they rest."""

    rank: int = 0
    """How much it can say: 4 to 16 do; 0: no adapter, the network itself learns."""
    alpha: float | None = None
    """How loud it says it: the change is multiplied by alpha / rank; not given: the rank."""
    method: Method = "lora"
    """lora; rslora, the same for large ranks; dora, which learns lengths apart; loha, lokr: other products."""
    dropout: float = 0.0
    """Share of what goes through the adapter that is left out of a step; loha, lokr: of its rows."""
    targets: tuple[str, ...] = ()
    """Parts of the network (beginnings of layers' names) that get one; not given: all."""

    @property
    def strength(self) -> float:
        """What the change is multiplied by."""
        alpha = self.rank if self.alpha is None else self.alpha
        return alpha / self.rank**0.5 if self.method == "rslora" else alpha / self.rank


def checked(config: LoraConfig) -> LoraConfig:
    """The same, if it can be made.

    Raises:
        BadOption: in the flags' own names.
    """
    if config.rank < 1:
        raise BadOption(f"--lora.rank {config.rank}", "at least 1 is needed", "--lora.rank 8")
    if config.alpha is not None and not 0 < config.alpha < float("inf"):
        raise BadOption(f"--lora.alpha {config.alpha:g}", "a number above 0 is needed", f"--lora.alpha {config.rank}")
    if not 0 <= config.dropout < 1:
        raise BadOption(f"--lora.dropout {config.dropout:g}", "a share from 0 to below 1 is needed")
    return config
