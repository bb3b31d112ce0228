"""A server from its settings: a socket, uvicorn on it, and the words that tell where the page is."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ..errors import BadOption, Conflict, MissingPackage
from ..video.draft import is_locked_now
from .settings import Settings

MOST_CONNECTIONS: Final = 128
LARGEST_MESSAGE: Final = 4 << 20  # bytes of a WebSocket message: a picture of the camera


def serve(settings: Settings, say: Callable[[str], None]) -> None:
    """Serve the page until it is interrupted.

    Raises:
        MissingPackage: the web packages are not installed.
        BadOption: the address cannot be listened at. Conflict: another server keeps its jobs in the same folder.
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn
        import websockets  # noqa: F401
    except ImportError as error:
        raise MissingPackage(
            f"tween serve without {error.name}", "it needs fastapi, uvicorn and websockets", 'pip install "tween[web]"'
        ) from error
    from .guard import LARGEST_HEAD
    from .patience import patient
    from .server import application

    listening = _listening(settings)
    settings = replace(settings, port=listening.getsockname()[1])
    settings = replace(settings, folder=settings.folder / str(settings.port))
    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    logging.getLogger("uvicorn.error").addFilter(_is_worth_telling)
    with (settings.folder / "lock").open("a+b") as lock:
        if not is_locked_now(lock):
            raise Conflict(f"another tween serve runs on port {settings.port}", "one of its own", "--port 7861")
        config = uvicorn.Config(
            application(settings),
            http=patient(settings.silence_s),
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            limit_concurrency=MOST_CONNECTIONS,
            h11_max_incomplete_event_size=LARGEST_HEAD,
            ws_max_size=LARGEST_MESSAGE,
            ws_per_message_deflate=False,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=2,
        )
        say(f"tween serves its page at {address(settings)} (Ctrl-C ends it)")
        uvicorn.Server(config).run(sockets=[listening])


def address(settings: Settings) -> str:
    """What to open in a browser; with the token, where there is one."""
    host = settings.host
    if host in ("0.0.0.0", "::", ""):
        host = socket.gethostname()
    host = f"[{host}]" if ":" in host else host
    token = f"/?token={settings.token}" if settings.token else ""
    return f"http://{host}:{settings.port}{token}"


def _is_worth_telling(record: logging.LogRecord) -> bool:
    """False for what a second Ctrl-C leaves behind: it ends everything where it stands, as it should."""
    words = record.getMessage() + (repr(record.exc_info[1]) if record.exc_info else "")
    return "CancelledError" not in words and "KeyboardInterrupt" not in words


def _listening(settings: Settings) -> socket.socket:
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(MOST_CONNECTIONS)  # who comes before all is ready waits a moment
        return listening
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise BadOption(
            f"--host {settings.host} --port {settings.port} ({why})",
            "an address of this machine and a free port are needed",
            f"--port {settings.port + 1}",
        ) from error
