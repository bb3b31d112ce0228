"""Bodies of requests: read in blocks, counted, and given up where they come too slowly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from fastapi import Request

from ..errors import BadOption, TooMuch, TooSlow
from .settings import said_bytes

BLOCK: Final = 1 << 16  # bytes that have to arrive within the time of silence
LARGEST_JSON: Final = 1 << 14


def declared(request: Request) -> int | None:
    """Bytes that a body says it has; None where it does not say.

    Raises:
        BadOption: what it says is no number.
    """
    text = request.headers.get("content-length")
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal():
        raise BadOption("a Content-Length that is no number", "the number of bytes is needed")
    return int(text)


async def blocks(request: Request, *, silence_s: float) -> AsyncIterator[bytes]:
    """The body, in pieces of `BLOCK` bytes or more; the last may be shorter.

    Raises:
        TooSlow: a piece took longer than `silence_s` seconds. ClientDisconnect: the sender went away.
    """
    stream = request.stream()
    while True:
        try:
            block = await asyncio.wait_for(_block(stream), silence_s)
        except asyncio.TimeoutError:
            raise TooSlow(
                f"the upload stood still for {silence_s:g} s", "a connection that keeps going is needed", "again"
            ) from None
        if block:
            yield block
        if len(block) < BLOCK:
            return


async def _block(stream: AsyncIterator[bytes]) -> bytes:
    parts, size = [], 0
    async for part in stream:
        parts.append(part)
        size += len(part)
        if size >= BLOCK:
            break
    return b"".join(parts)


async def object_in(request: Request, *, silence_s: float) -> dict[str, Any]:
    """A body of JSON as a dict.

    Raises:
        BadOption: it is not. TooMuch: it is too large. TooSlow: as in `blocks`.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise BadOption("a body that is not application/json", "JSON is needed")
    text = b""
    async for block in blocks(request, silence_s=silence_s):
        text += block
        if len(text) > LARGEST_JSON:
            raise TooMuch("a body of JSON that goes on and on", f"{said_bytes(LARGEST_JSON)} at most are taken")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadOption("a body that is no JSON object", "an object is needed")
    return found
