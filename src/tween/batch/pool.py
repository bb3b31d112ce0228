"""What a driver needs of its workers, wherever they are."""

from __future__ import annotations

from typing import Protocol

from .messages import Message, Task


class Pool(Protocol):
    """Workers by slot, 0 to `size` - 1. Each says `Ready`, or `Failed` with task -1, before it gets a task.

    Attributes:
        size: how many.
    """

    size: int

    def give(self, slot: int, task: Task) -> None:
        """A task for an idle worker."""
        ...

    def next(self, timeout: float) -> tuple[int, Message] | None:
        """What some worker says next; None if all are silent for `timeout` seconds."""
        ...

    def replace(self, slot: int) -> None:
        """A new worker in the place of one that died."""
        ...

    def dismiss(self, slot: int) -> None:
        """A worker that is not needed any more."""
        ...

    def stop(self) -> None:
        """End all of them, whatever they do."""
        ...
