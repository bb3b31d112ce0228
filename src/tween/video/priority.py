"""Threads keep the priority that they had: SVT-AV1, run by root (as in most containers), takes the highest there is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TASKS = Path("/proc/self/task")


@contextmanager
def kept_priority() -> Iterator[None]:
    """What is opened inside leaves the calling thread, and gets threads of its own, as ordinary as it was.

    SVT-AV1 makes its caller and its own threads real-time ones, of the highest priority (SCHED_FIFO, 99), if it may.
    Whatever the caller starts from then on is so too: other programs then wait until it sleeps, and threads of its own
    that wait for one another by looking again and again may do so for ever.
    """
    if not hasattr(os, "sched_getscheduler") or not TASKS.is_dir():  # it does so on Linux alone
        yield
        return
    own, before = _priority(), _threads()
    try:
        yield
    finally:
        if _priority() != own:
            for thread in (0, *(_threads() - before)):
                with suppress(ProcessLookupError):  # it has ended
                    os.sched_setscheduler(thread, own[0], os.sched_param(own[1]))


def _priority() -> tuple[int, int]:
    """The calling thread's policy and its priority there."""
    return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority


def _threads() -> set[int]:
    return {int(task.name) for task in TASKS.iterdir()}
