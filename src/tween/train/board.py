"""A run's curves and pictures, for TensorBoard where it is installed."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor


class Board:
    """Writes event files into the run's folder; does nothing where the package `tensorboard` is missing.

    Attributes:
        writes: True if the package is there.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self._writer = None
        else:
            self._writer = SummaryWriter(str(folder), flush_secs=30)
        self.writes = self._writer is not None

    def step(self, step: int, terms: dict[str, float], rate: float, every: int = 10) -> None:
        """The terms of the loss and the learning rate, every few steps."""
        if self._writer is None or step % every:
            return
        for name, value in terms.items():
            self._writer.add_scalar(f"loss/{name}", value, step)
        self._writer.add_scalar("rate", rate, step)

    def validation(self, step: int, scores: dict[str, float], pictures: dict[str, Tensor]) -> None:
        """A validation's scores, and pictures `[3, H, W]` in [0, 1] or uint8 by name."""
        if self._writer is None:
            return
        for name, value in scores.items():
            self._writer.add_scalar(f"validation/{name}", value, step)
        for name, picture in pictures.items():
            self._writer.add_image(name, picture, step)
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
