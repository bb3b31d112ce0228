"""WS /live: a browser's camera through a worker process, one at a time; of pictures that it cannot take, the newest.

in    binary: 8 bytes, when it was taken (milliseconds, little-endian double), then a JPEG
out   binary: the same of a picture that is due; text: {"stats": {...}}, {"ready": true}, {"error": "..."}
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import math
import struct
from typing import Any, Final

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from ..errors import TooMuch, TweenError
from .child import Child, Fault
from .desk import OURS

LARGEST_PICTURE: Final = 1 << 20  # bytes of a JPEG
HEAD: Final = struct.Struct("<d")
LATEST_MS: Final = 2**40
CLOSING_S: Final = 2.0  # a page that is loaded anew asks before its old session has ended
# what the page tells of how it goes (pipeline/live_stats.py)
STATS: Final = ("fps_in", "fps_out", "frames_in", "latency_ms", "dropped", "skipped", "model", "size", "steps")


def add_camera(app: FastAPI, silence_s: float) -> None:
    """Add the route to an application; `silence_s` without a picture end it."""
    at_work = asyncio.Lock()

    @app.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        try:
            await asyncio.wait_for(at_work.acquire(), CLOSING_S)
        except asyncio.TimeoutError:
            await _leave(socket, str(TooMuch("another page shows its camera", "one at a time", "close it")))
            return
        try:
            await _session(socket, silence_s)
        finally:
            at_work.release()


async def _session(socket: WebSocket, silence_s: float) -> None:
    asked = socket.query_params
    order = {
        "do": "live",
        "model": asked.get("model", "default"),
        "predict": asked.get("mode") == "ahead",
        "rate": int(asked["rate"]) if asked.get("rate", "").isascii() and asked.get("rate", "").isdigit() else 30,
    }
    child, slot = await Child.start(), _Slot()
    tasks = [
        asyncio.create_task(_take(socket, child, silence_s)),
        asyncio.create_task(_give(socket, slot)),
        asyncio.create_task(_work(child, order, slot)),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        words = next((task.result() for task in done if task.exception() is None), "")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await child.end()
    await _leave(socket, words)


class _Slot:
    """The newest picture and the newest words, until they are sent: what nobody took in time gives way."""

    def __init__(self) -> None:
        self._newest: dict[str, dict[str, Any]] = {}
        self._there = asyncio.Event()

    def put(self, status: dict[str, Any]) -> None:
        self._newest["picture" if "picture" in status else "words"] = status
        self._there.set()

    async def get(self) -> list[dict[str, Any]]:
        await self._there.wait()
        self._there.clear()
        found, self._newest = list(self._newest.values()), {}
        return found


async def _take(socket: WebSocket, child: Child, silence_s: float) -> str:
    """Pictures from the browser to the worker. Returns why it ended."""
    await child.ready()
    await socket.send_json({"ready": True})
    while True:
        try:
            message = await asyncio.wait_for(socket.receive(), silence_s)
        except asyncio.TimeoutError:
            return f"no picture came for {silence_s:g} s"
        if message["type"] == "websocket.disconnect":
            return ""
        data = message.get("bytes") or b""
        if not HEAD.size < len(data) <= LARGEST_PICTURE:
            return "what came is no picture of a camera"
        (ms,) = HEAD.unpack_from(data)
        if not (math.isfinite(ms) and 0 <= ms < LATEST_MS):
            return "what came is no picture of a camera"
        await child.send({"picture": base64.b64encode(data[HEAD.size :]).decode(), "ms": ms})


async def _give(socket: WebSocket, slot: _Slot) -> str:
    """Pictures and words from the worker to the browser."""
    while True:
        for status in await slot.get():
            if "picture" in status:
                await socket.send_bytes(HEAD.pack(status["ms"]) + base64.b64decode(status["picture"]))
            else:
                await socket.send_json({"stats": {name: status["stats"][name] for name in STATS}})


async def _work(child: Child, order: dict[str, Any], slot: _Slot) -> str:
    """The worker's whole run. Returns why it ended."""
    try:
        await child.ask(order, told=slot.put)
    except Fault:
        return OURS
    except TweenError as error:
        return str(error)
    return ""


async def _leave(socket: WebSocket, words: str) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        if words:
            await socket.send_json({"error": words})
        await socket.close(1000)
