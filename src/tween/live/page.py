"""`--show web`: a page for a browser on this machine; MJPEG, by Python's own server.

It listens on 127.0.0.1 alone, and answers nobody who calls it by another name: a page elsewhere that made its own name
point here would otherwise look through the camera.
"""

from __future__ import annotations

import json
import threading
from functools import partial
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, cast

from ..errors import BadOption
from ..pipeline.live import Shown
from .session import Session
from .view import jpeg, side_by_side

HERE: Final = "127.0.0.1"
WAIT_S: Final = 0.1
STALL_S: Final = 20  # a browser that takes nothing for so long has gone
PART: Final = "tween-picture"
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>tween live: {title}</title>
<style>
  :root {{ color-scheme: light dark; font-family: system-ui, sans-serif; }}
  body {{ margin: 0 auto; max-width: 90rem; padding: 1rem; }}
  img {{ display: block; width: 100%; height: auto; background: #000; }}
  .names {{ display: flex; margin: .25rem 0; }} .names span {{ flex: 1; }}
</style></head>
<body><main>
<h1>{title}</h1>
<p class="names"><span>original</span><span>tween</span></p>
<img src="/live.mjpeg" alt="The original on the left, what tween shows on the right">
<p id="words" role="status" aria-live="off">starting</p>
</main><script src="/live.js"></script></body></html>
"""
SCRIPT: Final = """"use strict";
const words = document.getElementById("words");
async function tell() {
  try {
    const s = await (await fetch("/stats")).json();
    const late = s.latency_ms === null ? "" : s.latency_ms >= 0
      ? `latency ${Math.round(s.latency_ms)} ms, ` : `shown ${Math.round(-s.latency_ms)} ms ahead, `;
    words.textContent = `${s.fps_in.toFixed(1)} fps in, ${s.fps_out.toFixed(1)} fps out, ${late}` +
      `${s.dropped} dropped, ${s.model} at ${s.size[1]}x${s.size[0]}`;
    setTimeout(tell, 1000);
  } catch { words.textContent = "over"; }
}
tell();
"""


class Newest:
    """The newest picture, for as many browsers as look."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._shown: Shown | None = None
        self._number = 0
        self.is_over = False

    def put(self, shown: Shown) -> None:
        """Here is one more."""
        with self._change:
            self._shown, self._number = shown, self._number + 1
            self._change.notify_all()

    def end(self) -> None:
        """There are no more."""
        with self._change:
            self.is_over = True
            self._change.notify_all()

    def after(self, number: int) -> tuple[int, Shown | None]:
        """The newest picture once it is another than number; None if that is over."""
        with self._change:
            self._change.wait_for(lambda: self.is_over or self._number > number)
            return self._number, None if self._number == number else self._shown


def watch(session: Session, port: int) -> None:
    """Serve the session on 127.0.0.1 until it is over.

    Raises:
        BadOption: the port is taken, or is none.
    """
    newest = Newest()
    try:
        server = ThreadingHTTPServer((HERE, port), partial(Answer, session, newest))
    except (OSError, OverflowError) as error:
        raise BadOption(f"--port {port}", f"it cannot be used ({error})", f"--port {port + 1}") from error
    server.daemon_threads = True
    session.say(f"open http://{HERE}:{server.server_port}/ in a browser on this machine; Ctrl-C ends it")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        while not session.is_over:
            shown = session.next(WAIT_S)
            if shown is not None:
                newest.put(shown)
                session.run.showed(shown)
    finally:
        newest.end()
        server.shutdown()
        server.server_close()
        thread.join()


class Answer(BaseHTTPRequestHandler):
    """One request."""

    timeout = STALL_S
    server_version, sys_version = "tween", ""

    def __init__(self, session: Session, newest: Newest, *args: Any) -> None:
        self._session, self._newest = session, newest
        super().__init__(*args)

    def do_GET(self) -> None:
        """The page, its script, the figures, the pictures; nothing else."""
        if not self._is_called_rightly():
            self._send(421, "text/plain", b"this server is not called so\n")
        elif self.path == "/":
            self._send(200, "text/html; charset=utf-8", PAGE.format(title=escape(self._session.title)).encode())
        elif self.path == "/live.js":
            self._send(200, "text/javascript; charset=utf-8", SCRIPT.encode())
        elif self.path == "/stats":
            self._send(200, "application/json", json.dumps(self._session.run.stats().as_json()).encode())
        elif self.path == "/live.mjpeg":
            self._pictures()
        else:
            self._send(404, "text/plain", b"there is no such page\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of requests."""

    def _is_called_rightly(self) -> bool:
        """By the name that was printed, and from no other page."""
        port = cast(ThreadingHTTPServer, self.server).server_port
        names = {f"{HERE}:{port}", f"localhost:{port}"}
        site = self.headers.get("Sec-Fetch-Site", "none")
        return self.headers.get_all("Host", []) in [[name] for name in names] and site in ("none", "same-origin")

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _pictures(self) -> None:
        """Pictures one after the other, each when it is shown; a slow browser misses some."""
        self.send_response(200)
        for name, value in {**HEADERS, "Content-Type": f"multipart/x-mixed-replace; boundary={PART}"}.items():
            self.send_header(name, value)
        self.end_headers()
        number = 0
        try:
            while True:
                number, shown = self._newest.after(number)
                if shown is None:
                    return
                data = jpeg(side_by_side(shown, self._session.source.info))
                head = f"--{PART}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
        except OSError:  # the browser has gone
            return
