"""A worker process (worker.py) as the server sees it: orders in, answers out, and an end at any time."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from ..errors import NotAVideo, TooMuch, TweenError

log = logging.getLogger("tween.web")
LONGEST_LINE: Final = 1 << 22
GRACE_S: Final = 5.0


class Fault(Exception):
    """The worker failed in a way that is no mistake of the user's; the details are in the log alone."""


class Told(TweenError):
    """A mistake that a worker found, in its words."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Child:
    """One worker process; started by `start`, ended by `end`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._is_ready = self._is_ending = False
        self._turn, self._starting = asyncio.Lock(), asyncio.Lock()

    @classmethod
    async def start(cls) -> Child:
        """A new process, which begins to import what it needs."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tween.web.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=LONGEST_LINE,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
        )
        return cls(process)

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.returncode is None

    async def ask(
        self,
        order: dict[str, Any],
        *,
        told: Callable[[dict[str, Any]], None] | None = None,
        within_s: float | None = None,
    ) -> dict[str, Any]:
        """One order, and its answer; `told` hears of every status before it.

        Raises:
            Told: a mistake of the user's. TooMuch: it took longer than `within_s`; the process is ended.
            NotAVideo: the process broke down on it. Fault: a fault of ours.
        """
        async with self._turn:
            try:
                return await asyncio.wait_for(self._ask(order, told), within_s)
            except asyncio.TimeoutError:
                await self.end()
                raise TooMuch(
                    f"this takes longer than {within_s:g} s", "a video that is opened at once is needed"
                ) from None
            except asyncio.CancelledError:
                self._process.kill()  # its answer would be taken for that to the next order
                raise

    async def send(self, message: dict[str, Any]) -> None:
        """More for the order that is being worked on; nothing where the process has ended."""
        assert self._process.stdin is not None
        with suppress(ConnectionError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            await self._process.stdin.drain()

    async def end(self) -> None:
        """End the process; safe to call twice."""
        self._is_ending = True
        if self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), GRACE_S)
            except asyncio.TimeoutError:
                self._process.kill()
                await self._process.wait()

    async def ready(self) -> None:
        """Wait until it has imported all it needs.

        Raises:
            NotAVideo: it broke down.
        """
        async with self._starting:
            if not self._is_ready:
                await self._answer(None)
                self._is_ready = True

    async def _ask(self, order: dict[str, Any], told: Callable[[dict[str, Any]], None] | None) -> dict[str, Any]:
        assert self._process.stdin is not None
        await self.ready()
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            await self._process.stdin.drain()
        except ConnectionError:
            raise self._broken() from None
        return await self._answer(told)

    async def _answer(self, told: Callable[[dict[str, Any]], None] | None) -> dict[str, Any]:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            message = json.loads(line)
            if "status" in message and told is not None:
                told(message["status"])
            if "done" in message:
                return dict(message["done"])
            if "error" in message:
                raise Told(**message["error"])
            if "fault" in message:
                log.error("a fault of ours:\n%s", message["fault"])
                raise Fault
        await self._process.wait()
        raise self._broken()

    def _broken(self) -> TweenError:
        if not self._is_ending:
            log.warning("a worker broke down: it ended with %s", self._process.returncode)
        return NotAVideo("the process that worked on this video broke down", "another video, or more memory, is needed")
