"""The processes of one run: alone, or as many as `torchrun` started. The same lines for both."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from ..errors import BadOption


@dataclass(frozen=True)
class Ranks:
    """This process among its peers.

    Attributes:
        rank: its number, 0 writes files and speaks. world: how many there are. local: its number on its own machine.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """True for the one that writes files and speaks."""
        return self.rank == 0

    def lanes(self, batch: int) -> range:
        """This rank's part of a batch.

        Raises:
            BadOption: it cannot be shared out evenly.
        """
        if batch % self.world:
            fix = f"--optim.batch {batch + -batch % self.world}"
            raise BadOption(f"a batch of {batch} over {self.world} processes", "equal parts are needed", fix)
        share = batch // self.world
        return range(self.rank * share, (self.rank + 1) * share)

    def mean_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace every gradient by its mean over all ranks, in one message; one that a rank lacks counts as 0."""
        if self.world == 1:
            return
        learning = list(parameters)
        for parameter in learning:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in learning if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.world
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def mean(self, values: dict[str, float], device: torch.device) -> dict[str, float]:
        """The mean of every value over all ranks."""
        if self.world == 1:
            return values
        summed = torch.tensor(list(values.values()), dtype=torch.float64, device=device)
        distributed.all_reduce(summed)
        return dict(zip(values, (summed / self.world).tolist(), strict=True))

    def agree(self, value: float, device: torch.device) -> float:
        """Rank 0's value, on every rank."""
        if self.world == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=device)
        distributed.broadcast(told, 0)
        return float(told)


def join() -> Ranks:
    """Meet the other processes, if `torchrun` started any."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Ranks()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Ranks(int(os.environ["RANK"]), world, local)


def leave(ranks: Ranks) -> None:
    """Part from the other processes."""
    if ranks.world > 1 and distributed.is_initialized():
        distributed.destroy_process_group()
