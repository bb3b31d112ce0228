"""BatchConfig -> films, workers, driver -> run."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..pipeline import journal
from ..pipeline.config import timeline_of
from ..video.draft import is_locked_now
from .config import BatchConfig
from .driver import Driver, Totals, Watch
from .films import Ledger, films
from .local import LocalPool
from .messages import Setup
from .pool import Pool

CORES_A_WORKER = 4  # where there is no GPU: more workers of fewer cores wait for memory


def batch(config: BatchConfig, watch: Watch | None = None) -> Totals:
    """Render all films of a batch.

    Args:
        config: what is asked for.
        watch: see `Driver`.

    Raises:
        TweenError: a mistake that concerns the whole batch. Those of single films are in what comes back.
    """
    configs = films(config)
    timeline_of(configs[0])
    length = None if config.segment is None else -(-config.segment // journal.SEGMENT_FRAMES)
    folder = config.output.absolute()
    with _storage(folder) as storage:
        setup = Setup(configs[0], storage, (storage / "token").read_text())
        pool = _pool(config, setup)
        return Driver(configs, pool, Ledger(folder), length=length, watch=watch).run()


def _pool(config: BatchConfig, setup: Setup) -> Pool:
    if config.ray is not None:
        from .cluster import RayPool

        return RayPool(config.ray, setup, config.workers)
    return LocalPool(setups(setup, config.workers))


def setups(setup: Setup, workers: int | None) -> list[Setup]:
    """One setup for each worker of this machine: GPUs and cores shared out among them."""
    from ..backends import machine

    cuda = len(machine.cuda_devices()) if setup.config.device == "auto" else 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = workers or cuda or max(1, cores // CORES_A_WORKER)
    if count == 1:
        return [setup]
    threads = max(1, cores // count)
    return [replace(setup, device=f"cuda:{k % cuda}" if cuda else "auto", threads=threads) for k in range(count)]


@contextmanager
def _storage(folder: Path) -> Iterator[Path]:
    """A folder for this batch's unfinished pieces, beside the outputs; those of batches that died are removed."""
    for left in folder.glob(".tween-batch-*"):
        if left.is_dir() and (left / "lock").exists():
            with (left / "lock").open("ab") as lock:
                if is_locked_now(lock):
                    shutil.rmtree(left, ignore_errors=True)
    token = secrets.token_hex(8)
    storage = folder / f".tween-batch-{token}"
    storage.mkdir()
    with (storage / "lock").open("wb") as lock:
        is_locked_now(lock)
        (storage / "token").write_text(token)
        try:
            yield storage
        finally:
            shutil.rmtree(storage, ignore_errors=True)
