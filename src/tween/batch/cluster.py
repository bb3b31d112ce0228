"""Workers as actors of a Ray cluster: one a device, each with its model loaded once.

driver: a thread for each slot ==task==> actor: Worker
                               <=stream= its messages, a few at a time: an actor waits for a driver that is behind

Nothing of Ray's is opened to the network by this: a cluster of this machine alone listens on loopback, without
dashboard, and asks for a token; one that is there already stays as its owner made it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import secrets
import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import BadOption, imported
from .messages import Lost, Message, Setup, Task

BEHIND = 4  # messages that a driver may be behind one actor, before that waits
WAITING = 64  # messages of all of them
KNOCK_S = 5.0  # for a cluster to answer
CORES_A_WORKER = 4  # where there is no GPU
STORE_BYTES = 256 << 20  # for a cluster of this machine: results stay on its disk


class Actor:
    """One worker. What it says is streamed; an error is said, not raised.

    Args:
        setup: what it is made for.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    def ready(self) -> Message:
        """Load the model."""
        from .work import Worker, failure, use_threads

        try:
            use_threads(self._setup.threads)
            self._worker = Worker(self._setup)
            return self._worker.ready()
        except Exception as error:
            return failure(-1, error)

    def do(self, task: Task) -> Iterator[Message]:
        """Do a task on a thread of its own; hand on what it says."""
        said: queue.Queue[Message | None] = queue.Queue(BEHIND)

        def work() -> None:
            self._worker.do(task, said.put)
            said.put(None)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        while (message := said.get()) is not None:
            yield message
        thread.join()

    def close(self) -> None:
        """Leave nothing behind."""
        self._worker.close()


class RayPool:
    """See `pool.Pool`.

    Args:
        address: of a cluster that this machine belongs to; "auto" finds it, or begins one of this machine alone.
        setup: of all workers.
        workers: how many; None is one for each GPU of the cluster, or for every four cores.

    Raises:
        MissingPackage: Ray is not installed. BadOption: no cluster is there.
    """

    def __init__(self, address: str, setup: Setup, workers: int | None) -> None:
        self._ray = connected(address, workers)
        has = self._ray.cluster_resources()
        self.size, self._share = shares(has, setup.config.device, workers)
        cores = None if self._share["num_gpus"] or self.size == 1 else max(1, int(self._share["num_cpus"]))
        self._setup = replace(setup, threads=cores)
        self._inbox: queue.Queue[tuple[int, int, Message]] = queue.Queue(WAITING)
        self._tasks: dict[int, queue.Queue[Task | None]] = {}
        self._actors: dict[int, Any] = {}
        self._lives = dict.fromkeys(range(self.size), 0)
        self._is_over = False
        for slot in range(self.size):
            self.replace(slot)

    def give(self, slot: int, task: Task) -> None:
        self._tasks[slot].put(task)

    def next(self, timeout: float) -> tuple[int, Message] | None:
        try:
            slot, life, message = self._inbox.get(timeout=timeout)
        except queue.Empty:
            return None
        return (slot, message) if life == self._lives[slot] else None

    def replace(self, slot: int) -> None:
        self.dismiss(slot)
        kind = self._ray.remote(Actor).options(
            **self._share, max_restarts=0, scheduling_strategy="SPREAD", max_concurrency=1
        )
        self._actors[slot], self._tasks[slot] = kind.remote(self._setup), queue.Queue()
        of = slot, self._lives[slot], self._actors[slot], self._tasks[slot]
        threading.Thread(target=self._serve, args=of, daemon=True).start()

    def dismiss(self, slot: int) -> None:
        self._lives[slot] += 1
        if (actor := self._actors.pop(slot, None)) is not None:
            self._tasks[slot].put(None)
            self._ray.kill(actor)

    def stop(self) -> None:
        self._is_over = True
        for slot in range(self.size):
            self.dismiss(slot)
        self._ray.shutdown()

    def _serve(self, slot: int, life: int, actor: Any, tasks: queue.Queue[Task | None]) -> None:
        """One actor's life: hand tasks to it, and what it says to the driver."""
        try:
            self._say(slot, life, self._ray.get(actor.ready.remote()))
            while (task := tasks.get()) is not None:
                streaming = actor.do.options(num_returns="streaming", _generator_backpressure_num_objects=BEHIND)
                for message in streaming.remote(task):
                    self._say(slot, life, self._ray.get(message))
        except self._ray.exceptions.RayError as error:
            self._say(slot, life, Lost(" ".join(str(error).split())[:200]))
        except Exception as error:  # Ray's threads end in many ways while it shuts down
            if not self._is_over:
                self._say(slot, life, Lost(f"{type(error).__name__}: {error}"))

    def _say(self, slot: int, life: int, message: Message) -> None:
        while not self._is_over:
            with contextlib.suppress(queue.Full):
                self._inbox.put((slot, life, message), timeout=0.5)
                return


def connected(address: str, workers: int | None) -> Any:
    """Ray, connected to a cluster; raises as `RayPool` does."""
    if address.startswith("ray://"):
        head = address.removeprefix("ray://").partition(":")[0]
        raise BadOption(
            f"--ray {address}", "the address of a cluster that this machine belongs to is needed",
            f"ray start --address {head}:6379, then --ray auto",
        )  # fmt: skip
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # workers without a GPU share see what is there
    there = found() if address == "auto" else address
    if there is None:
        return _of_this_machine(workers)
    try:
        _knock(there)
        if _has_token():  # a cluster asks for it if it was begun with one; else it does no harm
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        ray = _of_loopback() if _is_of_loopback(there) else _imported()
        ray.init(address=there, logging_level=logging.ERROR, log_to_driver=False)
    except (OSError, ValueError, RuntimeError) as error:
        why = " ".join(str(error.__cause__ or error).split())[:200]
        raise BadOption(
            f"--ray {address}: no cluster answers at {there} ({why})",
            "a running one, of the same Ray and Python, and its token are needed",
            "ray start --head on one machine, or no --ray for this machine alone",
        ) from error
    return ray


def found() -> str | None:
    """The address of the cluster that this machine belongs to; None where nobody typed `ray start`, nor set
    RAY_ADDRESS."""
    if (said := os.environ.get("RAY_ADDRESS")) is not None:
        return said
    try:
        return Path(tempfile.gettempdir(), "ray", "ray_current_cluster").read_text().strip() or None
    except OSError:
        return None


def _has_token() -> bool:
    """Whether this user has a cluster's token, in one of the places where Ray looks."""
    said = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    return bool(said) or Path.home().joinpath(".ray", "auth_token").exists()


def _knock(address: str) -> None:
    """OSError at once where nobody listens: Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise ValueError("an address is a host and a port, 10.0.0.1:6379")
    socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()


def _is_of_loopback(address: str) -> bool:
    """Whether a cluster listens on loopback alone; Ray takes 127.0.0.1 for this machine's address in its network."""
    host, _, port = address.rpartition(":")
    if host.strip("[]") not in ("127.0.0.1", "localhost", "::1"):
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:  # nothing is sent: it only takes a route
        try:
            asking.connect(("192.0.2.1", 9))
            _knock(f"{asking.getsockname()[0]}:{port}")
        except OSError:
            return True
    return False


def _of_this_machine(workers: int | None) -> Any:
    """A cluster that nobody else can reach: on loopback, with a token of its own, without dashboard."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # one a process: Ray reads it once
    ray = _of_loopback()
    ray.init(
        address="local", include_dashboard=False, num_cpus=max(os.cpu_count() or 1, workers or 1),
        object_store_memory=STORE_BYTES, logging_level=logging.ERROR, log_to_driver=False,
    )  # fmt: skip
    return ray


def _of_loopback() -> Any:
    """Ray, told that no other machine takes part: it then binds to loopback."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # its own word for that
    ray = _imported()
    if ray._private.ray_constants.ENABLE_RAY_CLUSTER:  # it was imported before: too late for the variable
        ray._private.ray_constants.ENABLE_RAY_CLUSTER = False
    return ray


def _imported() -> Any:
    return imported("ray", "Ray", "--ray needs it", 'pip install "tween[ray]"')


def shares(has: dict[str, float], device: str, workers: int | None) -> tuple[int, dict[str, float]]:
    """How many workers, and what each takes of the cluster.

    Args:
        has: what the cluster has, `{"CPU": 64.0, "GPU": 8.0}`.
        device: as asked for. workers: as asked for.
    """
    cores, gpus = has.get("CPU", 1.0), has.get("GPU", 0.0) if device != "cpu" else 0.0
    if gpus:
        count = workers or int(gpus)
        return count, {"num_gpus": min(1.0, gpus / count), "num_cpus": min(1.0, cores / count)}
    count = workers or max(1, int(cores) // CORES_A_WORKER)
    share = cores / count
    return count, {"num_gpus": 0.0, "num_cpus": float(int(share)) if share >= 1 else share}
