"""A real server in a process of its own; and raw requests, which no client library tidies up before they are sent."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOKEN = "the-token-of-these-tests"
LONGEST_S = 120
LEAKS = (b"Traceback", b"uvicorn", b"starlette", b"fastapi", b"python", b"site-packages", b"root:", b"X-Evil",
         tempfile.gettempdir().encode() + b"/")  # fmt: skip


class House:
    """A running server.

    Attributes:
        port, folder: where it listens; where its jobs are. token: what it wants to be shown, or "".
    """

    def __init__(self, folder: Path, **settings):
        self.token = settings.get("token") or ""
        self._log = (folder.parent / f"{folder.name}.log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, __file__, json.dumps({"port": 0, "folder": str(folder), **settings})],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdout is not None
        self.told = self.process.stdout.readline()
        self.port = int(re.search(r":(\d+)", self.told)[1])
        self.folder = folder / str(self.port)
        self.origin = f"http://127.0.0.1:{self.port}"

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(20)

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def raw(self, data: bytes, timeout: float = 10) -> bytes:
        """What comes back for these bytes, until the server closes or falls silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as wire:
            with contextlib.suppress(ConnectionError):  # it refused before it had read all
                wire.sendall(data)
            return received(wire)

    def ask(
        self, method: str, path: str, *headers: str, body: bytes = b"", cookie: bool = True, origin: str | None = None
    ):
        """A request as a browser on the page sends it: (status, head, body)."""
        own = [f"Host: 127.0.0.1:{self.port}", f"Origin: {origin or self.origin}", "Connection: close"]
        own += [f"Cookie: tween-{self.port}={self.token}"] if self.token and cookie else []
        own += [f"Content-Length: {len(body)}"] if method == "POST" else []
        return split(self.raw(head(method, path, *own, *headers) + body, LONGEST_S))

    def json(self, method: str, path: str, given=None):
        text = b"" if given is None else json.dumps(given).encode()
        status, _, body = self.ask(method, path, "Content-Type: application/json", body=text)
        return status, json.loads(body)

    def upload(self, video: bytes, name: str = "clip.mp4"):
        status, _, body = self.ask("POST", f"/jobs?name={name}", "Content-Type: video/mp4", body=video)
        return status, json.loads(body)

    def rendered(self, identity: str, options: dict) -> dict:
        """Render, and wait for the end of it."""
        status, job = self.json("POST", f"/jobs/{identity}/render", options)
        assert status == 200, job
        return self.wait(identity, "done", "failed")

    def wait(self, identity: str, *states: str) -> dict:
        until = time.monotonic() + LONGEST_S
        while time.monotonic() < until:
            job = self.json("GET", f"/jobs/{identity}")[1]
            if job["state"] in states:
                return job
            time.sleep(0.2)
        raise AssertionError(f"{job} is not one of {states}; {self.log()}")

    def socket(self, *headers: str, path: str = "/watch", host: str = "", origin: str | None = "", cookie: bool = True):
        """The start of a WebSocket: (the open connection, what it answered)."""
        key = base64.b64encode(b"sixteen bytes ok").decode()
        own = [f"Host: {host or f'127.0.0.1:{self.port}'}", "Connection: Upgrade", "Upgrade: websocket"]
        own += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        own += [] if origin is None else [f"Origin: {origin or self.origin}"]
        own += [f"Cookie: tween-{self.port}={self.token}"] if self.token and cookie else []
        wire = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        wire.sendall(head("GET", path, *own, *headers))
        return wire, wire.recv(1 << 16)


def head(method: str, path: str, *headers: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", *headers, "", ""]).encode("latin-1")


def received(wire: socket.socket) -> bytes:
    parts = []
    try:
        while part := wire.recv(1 << 16):
            parts.append(part)
    except (TimeoutError, ConnectionError):
        pass
    return b"".join(parts)


def split(reply: bytes):
    top, _, body = reply.partition(b"\r\n\r\n")
    return status_of(reply), top.decode("latin-1").lower(), body


def status_of(reply: bytes) -> int:
    """0 where the connection was closed without a word."""
    return int(reply.split(b" ", 2)[1]) if reply.startswith(b"HTTP/") else 0


def prints(house):
    folder = house.folder / house.job
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*"))}


def refused(reply: bytes, *statuses: int) -> bytes:
    """One of these answers, which tells nothing of the machine."""
    assert status_of(reply) in statuses, reply[:400]
    assert not [leak for leak in LEAKS if leak.lower() in reply.lower()], reply[:400]
    assert b"\r\nserver:" not in reply.lower()
    return reply


def get(house, path, *headers):
    return house.raw(head("GET", path, f"Host: 127.0.0.1:{house.port}", "Connection: close", *headers))


def post(house, path, *headers, body=b"", length=None):
    own = [f"Host: 127.0.0.1:{house.port}", f"Origin: {house.origin}", "Connection: close"]
    own += [f"Content-Length: {len(body) if length is None else length}"]
    return house.raw(head("POST", path, *own, *headers) + body)


def dripping(house, begin):
    wire = socket.create_connection(("127.0.0.1", house.port), timeout=5)
    wire.sendall(begin)
    return wire


def drip(wire, drop):
    """Send drops until the server has had enough."""
    wire.settimeout(0.2)
    until = time.monotonic() + 40
    while time.monotonic() < until:
        try:
            wire.sendall(drop)
            if not wire.recv(1 << 16):
                return
        except TimeoutError:
            continue
        except ConnectionError:
            return


if __name__ == "__main__":
    from tween.web.serve import serve
    from tween.web.settings import Settings

    given = json.loads(sys.argv[1])
    given["folder"] = Path(given["folder"])
    serve(Settings(**given), lambda words: print(words, flush=True))
