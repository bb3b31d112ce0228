"""Workers without processes: what they do is real, only the way there is short. Tasks end in any order."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import replace

from tween.batch.config import BatchConfig
from tween.batch.driver import Driver
from tween.batch.films import Ledger, films
from tween.batch.messages import Lost, Setup
from tween.batch.run import _storage
from tween.batch.work import Worker


class Killed(BaseException):
    """A worker is gone in the middle of a task."""


class InlinePool:
    """See `tween.batch.pool.Pool`.

    Args:
        setup: of all workers.
        size: how many.
        seed: in which order they get along.
        kill: asked (slot, number of messages said) before each message of a task; True kills the worker there.
        sees: False hides the outputs' folder from the workers, who then send their results back.
    """

    def __init__(self, setup, size, *, seed=0, kill=None, sees=True, sabotage=None):
        self.size, self._kill, self._random = size, kill, random.Random(seed)
        self._setup = setup if sees else replace(setup, token="another")
        self._said, self._tasks, self._count = deque(), {}, 0
        self.given, self._sabotage = [], sabotage
        self._workers = {}
        for slot in range(size):
            self.replace(slot)

    def give(self, slot, task):
        self.given.append((slot, task))
        self._tasks[slot] = task

    def next(self, timeout):  # noqa: ARG002
        if not self._said and self._tasks:
            slot = self._random.choice(sorted(self._tasks))
            self._do(slot, self._tasks.pop(slot))
        return self._said.popleft() if self._said else None

    def replace(self, slot):
        self._workers[slot] = Worker(self._setup)
        self._said.append((slot, self._workers[slot].ready()))

    def dismiss(self, slot):
        self._said = deque(row for row in self._said if row[0] != slot)

    def stop(self):
        for worker in self._workers.values():
            worker.close()

    def _do(self, slot, task):
        def tell(message):
            self._count += 1
            if self._kill is not None and self._kill(slot, self._count):
                raise Killed
            self._said.append((slot, message))

        if self._sabotage is not None:
            self._sabotage(slot, task)
        try:
            self._workers[slot].do(task, tell)
        except Killed:
            self._said.append((slot, Lost("killed")))


def run_inline(config: BatchConfig, *, workers=3, watch=None, length=2, keep=None, **options):
    """A whole batch in this process. `keep` gets the driver and the pool."""
    configs = films(config)
    folder = config.output.absolute()
    with _storage(folder) as storage:
        setup = Setup(configs[0], storage, (storage / "token").read_text())
        pool = InlinePool(setup, workers, **options)
        driver = Driver(configs, pool, Ledger(folder), length=length, watch=watch)
        if keep is not None:
            keep.extend([driver, pool])
        return driver.run()
