"""What a worker does: one model, loaded once; tasks, one after the other. How messages travel is not its business."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from .. import __version__
from ..errors import Busy, CannotWrite, MissingFile, TweenError
from ..pipeline.config import RenderConfig
from ..pipeline.journal import Piece
from ..pipeline.kit import Kit, model_name
from ..pipeline.part import Part, PartReport, render_part
from ..pipeline.recipe import Report, Status, render
from .messages import Failed, Finished, Frames, Kind, Made, Message, Ready, Setup, Task

TELL_S = 0.5  # seconds between two words about frames
PATIENCE_S = 30.0  # for another run to let go of an output: one that was killed is gone soon

Tell = Callable[[Message], None]


class Worker:
    """One process' side of a batch.

    Args:
        setup: what it is made for.

    Raises:
        TweenError: the model cannot be loaded or run here.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup, self._kit = setup, Kit()
        self._folder = _scratch(setup)

    def ready(self) -> Ready:
        """Load the model; what this worker is."""
        from ..backends import prepare

        config = self._own(self._setup.config)
        name = model_name(config)
        model = self._kit.model(name, config.scale, lora=config.lora)
        choice = prepare.choose(model, backend=config.backend, device=config.device, precision=config.precision)
        runs = f"{choice.backend} on {choice.device}, {choice.precision}"
        sees = self._folder.is_relative_to(self._setup.storage)
        return Ready(socket.gethostname(), os.getpid(), choice.device, runs, name, model.spec, sees, __version__)

    def do(self, task: Task, tell: Tell) -> None:
        """Do a task, telling of it. Nothing is raised: what goes wrong is told too."""
        try:
            if task.part is None:
                report: Report | PartReport = self._whole(task, tell)
            else:
                report = self._part(task, replace(task.part, config=self._own(task.part.config)), tell)
            tell(Finished(task.id, report))
        except Exception as error:
            tell(failure(task.id, error))

    def close(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _own(self, config: RenderConfig) -> RenderConfig:
        """The config, on the device that is this worker's."""
        return replace(config, device=self._setup.device) if config.device == "auto" else config

    def _whole(self, task: Task, tell: Tell) -> Report:
        counter = _Counter(task.id, tell)

        def watch(status: Status) -> None:
            if not status.fetching:
                counter.one()

        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                report = render(self._own(task.config), watch, self._kit)
                break
            except Busy:
                if time.monotonic() > until:
                    raise
                time.sleep(PATIENCE_S / 60)
        counter.flush()
        return report

    def _part(self, task: Task, part: Part, tell: Tell) -> PartReport:
        counter = _Counter(task.id, tell)
        sees = self._folder.is_relative_to(self._setup.storage)
        folder = self._folder / f"{task.id}"
        folder.mkdir()

        def made(piece: Piece, path: Path) -> None:
            counter.flush()
            tell(Made(task.id, piece, path if sees else path.read_bytes()))
            if not sees:
                path.unlink()

        try:
            report = render_part(part, self._kit, folder, made=made, watch=counter.one)
        finally:
            shutil.rmtree(folder / f"{task.config.output.name}.part", ignore_errors=True)  # type: ignore[union-attr]
        counter.flush()
        return report


class _Counter:
    """Frames, told now and then."""

    def __init__(self, task: int, tell: Tell) -> None:
        self._task, self._tell = task, tell
        self._count, self._told = 0, time.monotonic()

    def one(self) -> None:
        self._count += 1
        if time.monotonic() - self._told > TELL_S:
            self.flush()

    def flush(self) -> None:
        count, self._count, self._told = self._count, 0, time.monotonic()
        if count:
            self._tell(Frames(self._task, count))


def failure(task: int, error: Exception) -> Failed:
    """Whose fault it is, and the words for it. An error keeps its class where a user could mend it."""
    kind: Kind = "input"
    if isinstance(error, (CannotWrite, MissingFile, Busy, OSError, MemoryError)):
        kind = "machine"
    elif not isinstance(error, TweenError):
        kind = "fault"
    if isinstance(error, TweenError):
        return Failed(task, kind, error)
    words = f"{type(error).__name__}: {error}".splitlines()[0]
    return Failed(task, kind, TweenError(words), "".join(traceback.format_exception(error)))


def _scratch(setup: Setup) -> Path:
    """A folder of this worker's own, beside the outputs where it can be."""
    with_token = setup.storage / "token"
    try:
        shared = with_token.read_text() == setup.token
        return Path(tempfile.mkdtemp(prefix="worker-", dir=setup.storage if shared else None))
    except OSError:
        return Path(tempfile.mkdtemp(prefix="tween-worker-"))


def use_threads(count: int | None) -> None:
    """Compute on so many threads; None leaves it as it is."""
    if count is None:
        return
    import cv2
    import torch

    torch.set_num_threads(count)
    cv2.setNumThreads(count)
