"""Wall time of work that several threads share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class Stopwatch:
    """Wall time during which at least one thread was inside.

    Attributes:
        seconds: so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock, self._inside, self._begun = Lock(), 0, 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """The calling thread is inside."""
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._begun = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self.seconds += time.perf_counter() - self._begun
