"""Workers as processes of this machine.

driver ==pipe==> process: Worker, its tasks on the main thread
       <=pipe===          a thread reads the pipe; when the driver is gone, however it went, the process ends
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from .messages import Lost, Message, Setup, Task

WAITING = 64  # messages that a driver may be behind
END_S = 5.0  # a process is given to end


class LocalPool:
    """See `pool.Pool`.

    Args:
        setups: one for each worker.
    """

    def __init__(self, setups: Sequence[Setup]) -> None:
        self.size, self._setups = len(setups), setups
        self._inbox: queue.Queue[tuple[int, int, Message]] = queue.Queue(WAITING)
        self._workers: dict[int, tuple[BaseProcess, Connection]] = {}
        self._lives = dict.fromkeys(range(self.size), 0)
        self._is_over = False
        for slot in range(self.size):
            self.replace(slot)

    def give(self, slot: int, task: Task) -> None:
        with contextlib.suppress(OSError):  # it died: the thread that listens to it says so
            self._workers[slot][1].send(task)

    def next(self, timeout: float) -> tuple[int, Message] | None:
        try:
            slot, life, message = self._inbox.get(timeout=timeout)
        except queue.Empty:
            return None
        return (slot, message) if life == self._lives[slot] else None

    def replace(self, slot: int) -> None:
        self.dismiss(slot)
        ours, theirs = multiprocessing.Pipe()
        spawn = multiprocessing.get_context("spawn")
        process = spawn.Process(
            target=serve, args=(theirs, self._setups[slot]), name=f"tween-worker-{slot}", daemon=True
        )
        process.start()
        theirs.close()  # so that the pipe ends when the process does
        self._workers[slot] = process, ours
        threading.Thread(target=self._listen, args=(slot, self._lives[slot], ours, process), daemon=True).start()

    def dismiss(self, slot: int) -> None:
        self._lives[slot] += 1
        if (worker := self._workers.pop(slot, None)) is None:
            return
        process, pipe = worker
        process.terminate()
        process.join(END_S)
        if process.is_alive():
            process.kill()
        pipe.close()

    def stop(self) -> None:
        self._is_over = True
        for slot in range(self.size):
            self.dismiss(slot)

    def _listen(self, slot: int, life: int, pipe: Connection, process: BaseProcess) -> None:
        while not self._is_over:
            try:
                message: Message = pipe.recv()
            except (EOFError, OSError):
                process.join(END_S)
                message = Lost(f"its process ended ({_ending(process.exitcode)})")
            while not self._is_over:
                with contextlib.suppress(queue.Full):
                    self._inbox.put((slot, life, message), timeout=0.5)
                    break
            if isinstance(message, Lost):
                return


def serve(pipe: Connection, setup: Setup) -> None:
    """A worker's process, from beginning to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, who then ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if setup.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(setup.threads)
    tasks: queue.Queue[Task] = queue.Queue()

    def listen() -> None:
        try:
            while True:
                tasks.put(pipe.recv())
        except (EOFError, OSError):
            os._exit(1)  # nobody is left to work for

    threading.Thread(target=listen, daemon=True).start()
    lock = threading.Lock()

    def tell(message: Message) -> None:
        with lock:
            pipe.send(message)

    from .work import Worker, failure, use_threads

    try:
        use_threads(setup.threads)
        worker = Worker(setup)
        tell(worker.ready())
    except Exception as error:
        tell(failure(-1, error))
        return
    while True:
        worker.do(tasks.get(), tell)


def _ending(code: int | None) -> str:
    if code is None:
        return "nobody knows how"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
