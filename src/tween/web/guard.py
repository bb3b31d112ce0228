"""What stands before every request: who asks, from which page, under which name; and what every answer says.

Host      a name of this server: a foreign name that was made to point here (DNS rebinding) gets nothing
Origin    this server's own page: what another page in the same browser sends gets nothing
token     where others than this machine reach the server: a cookie, set once by the printed address
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

from .settings import Settings, is_loopback

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

METHODS: Final = {"GET", "HEAD", "POST", "DELETE"}
CHANGING: Final = {"POST", "DELETE"}
WILDCARDS: Final = {"0.0.0.0", "::", ""}
HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?")
LONGEST_TARGET: Final = 2048  # bytes of path and query
LARGEST_HEAD: Final = 16 << 10
MOST_HEADERS: Final = 100
POLICY: Final = (
    "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=()"),
)


class Refusal(NamedTuple):
    """Why a request gets nothing, for its sender."""

    status: int
    words: str


class Guard:
    """An application that lets through to another what may pass, and adds to its answers what browsers should know."""

    def __init__(self, app: App, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._names = names_of(settings.host)
        self.cookie = f"tween-{settings.port}"  # browsers keep one jar for all ports of a host

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        refusal = self._refusal(scope)
        if scope["type"] == "websocket":
            if refusal is not None:
                return await send({"type": "websocket.close", "code": 1008, "reason": ""})
            return await self._app(scope, receive, send)
        send = _with_headers(send)
        if refusal is not None:
            return await answer(send, refusal.status, refusal.words)
        if self._brings_token(scope):
            return await self._let_in(send)
        return await self._app(scope, receive, send)

    def _refusal(self, scope: Message) -> Refusal | None:
        is_socket = scope["type"] == "websocket"
        method = "GET" if is_socket else scope["method"]
        if method not in METHODS:
            return Refusal(405, "this method is not known here")
        if len(scope["raw_path"]) + len(scope["query_string"]) > LONGEST_TARGET:
            return Refusal(414, "this address is too long")
        if len(scope["headers"]) > MOST_HEADERS or sum(len(k) + len(v) for k, v in scope["headers"]) > LARGEST_HEAD:
            return Refusal(431, "the head of this request is too large")
        hosts, origins = _all(scope, b"host"), _all(scope, b"origin")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return Refusal(421, "this server is not called so; open the address that tween serve printed")
        if (origins or is_socket or method in CHANGING) and origins != [f"http://{hosts[0]}"]:
            return Refusal(403, "this was sent by another page")
        if not is_socket and _is_foreign(scope):
            return Refusal(403, "this was asked for by another page")
        if self._settings.token is not None and not (self._has_token(scope) or self._brings_token(scope)):
            return Refusal(403, "open the address that tween serve printed, with its token")
        return None

    def _is_ours(self, host: str) -> bool:
        found = HOST.fullmatch(host.lower())
        if found is None or int(found[2] or 80) != self._settings.port:
            return False
        return found[1] in self._names or (self._settings.host in WILDCARDS and _is_number(found[1]))

    def _has_token(self, scope: Message) -> bool:
        for text in _all(scope, b"cookie"):
            try:
                crumb = SimpleCookie(text).get(self.cookie)
            except CookieError:
                continue
            if crumb is not None and self._is_token(crumb.value):
                return True
        return False

    def _brings_token(self, scope: Message) -> bool:
        """The address that was printed: the token in it becomes a cookie."""
        if self._settings.token is None or scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
            return False
        given = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=8).get("token", [])
        return len(given) == 1 and self._is_token(given[0])

    def _is_token(self, word: str) -> bool:
        return hmac.compare_digest(word.encode(), (self._settings.token or "").encode())

    async def _let_in(self, send: Send) -> None:
        crumb = f"{self.cookie}={self._settings.token}; HttpOnly; SameSite=Strict; Path=/"
        headers = [(b"location", b"/"), (b"set-cookie", crumb.encode())]
        await answer(send, 303, "", headers, close=False)


def names_of(host: str) -> frozenset[str]:
    """What a server that listens at `host` may be called."""
    local = {"127.0.0.1", "localhost", "[::1]"}
    given = f"[{host}]" if ":" in host else host
    if is_loopback(host):
        return frozenset({*local, given})
    machine = socket.gethostname().lower()
    own = {given.lower(), machine, f"{machine}.local", socket.getfqdn().lower()}
    return frozenset({*own, *local} if host in WILDCARDS else own)


async def answer(
    send: Send, status: int, words: str, headers: list[tuple[bytes, bytes]] | None = None, *, close: bool = True
) -> None:
    """A short text; `close` ends the connection, so that a body nobody reads cannot go on."""
    body = words.encode()
    head = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    head += [(b"connection", b"close")] if close else []
    await send({"type": "http.response.start", "status": status, "headers": [*head, *(headers or [])]})
    await send({"type": "http.response.body", "body": body})


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = list(message.get("headers", []))
            if not any(name == b"cache-control" for name, _ in own):
                own.append((b"cache-control", b"no-store"))
            message["headers"] = [*own, *HEADERS]
        await send(message)

    return sending


def _all(scope: Message, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _is_foreign(scope: Message) -> bool:
    """What a browser says was asked for by another site's page; only to go to the page itself is allowed so."""
    site = _all(scope, b"sec-fetch-site")
    is_visit = scope["path"] == "/" and _all(scope, b"sec-fetch-mode") == ["navigate"]
    return bool({"cross-site", "same-site"} & set(site)) and not is_visit


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
