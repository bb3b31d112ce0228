"""Connections that dawdle are closed: a request's head has to arrive within a time, as its body has (body.py)."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def patient(silence_s: float) -> type[H11Protocol]:
    """uvicorn's HTTP connection, which waits at most `silence_s` seconds for a whole head."""

    class Patient(H11Protocol):
        _waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wait()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._is_idle():
                self._wait()
            else:
                self._stop()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._wait()

        def handle_websocket_upgrade(self, event: h11.Request) -> None:
            self._stop()
            super().handle_websocket_upgrade(event)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def _is_idle(self) -> bool:
            cycle: Any = self.cycle
            return self.transport.get_protocol() is self and (cycle is None or cycle.response_complete)

        def _wait(self) -> None:
            if self._waiting is None and not self.transport.is_closing():
                self._waiting = self.loop.call_later(silence_s, self.transport.close)

        def _stop(self) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None

    return Patient
