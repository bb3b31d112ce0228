"""What a run meets on its machine: its device, memory that runs out, somebody who wants it to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..errors import BadOption, TweenError
from .config import TrainConfig
from .ranks import Ranks


def device_of(wanted: str, ranks: Ranks) -> torch.device:
    """The device asked for; of several GPUs each process of a machine takes its own.

    Raises:
        BadOption: it does not exist here.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(f"cuda:{ranks.local}" if wanted == "cuda" else wanted)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BadOption(f"--device {wanted}", "this machine has no such device", "--device cpu") from error
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def out_of_memory(config: TrainConfig, error: BaseException) -> TweenError | None:
    """The words for memory that ran out, or None where it did not."""
    words = str(error).lower()
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in words:
        height, width = config.data.crop
        got = f"memory ran out with batches of {config.optim.batch} samples of {height}x{width}"
        more = config.optim.accumulate * 2
        fix = f"--optim.accumulate {more} (the same numbers), a smaller --optim.batch or --data.crop"
        return TweenError(got, "the last checkpoint is kept", fix)
    return None


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Says whether Ctrl-C or a polite kill came; the step that runs is finished first. A second one does not wait."""
    came: list[int] = []

    def note(number: int, _: Any) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
