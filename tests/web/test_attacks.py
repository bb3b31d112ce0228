"""Whoever reaches the port can send anything: nothing is served that must not be, nothing is lost, the server lives.

Requests that are forged, malformed, or never end. What is in their bodies: test_attacks_bodies.py.
"""

from __future__ import annotations

import struct
import time

import pytest
from serving import TOKEN, drip, dripping, get, head, post, received, refused, split, status_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd", "/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2f..%2fetc%2fpasswd",
        "/%252e%252e%252f%252e%252e%252fetc/passwd", "/..\\..\\..\\etc\\passwd", "/%5c..%5c..%5cetc%5cpasswd",
        "/style.css/../../guard.py", "/style.css%00.js", "//etc/passwd", "/page/index.html", "/%c0%ae%c0%ae/etc/passwd",
        "/jobs", "/jobs/", "/jobs/../lock", "/lock", "/docs", "/openapi.json", "/redoc", "/.git/config",
        "http://127.0.0.1/etc/passwd", "file:///etc/passwd", "*", "/jobs/JOB/job.json", "/jobs/JOB/tween-upload.mp4",
        "/jobs/JOB/before/../job.json", "/jobs/JOB/%2e%2e%2fJOB%2fjob.json", "/jobs/JOB%00/result", "/jobs/JOB/",
        "/jobs/%2e%2e/result", "/jobs/JOB/after/", "/jobs/JOB%2fresult%2f..%2f..%2flock",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_page_and_the_jobs(house, path):
    reply = refused(get(house, path.replace("JOB", house.job)), 400, 404, 405, 421)
    assert b"private.mp4" not in reply


HOSTS = ["evil.example", "evil.example:PORT", "127.0.0.1.evil.example:PORT", "127.0.0.1:1", "127.0.0.1",
         "localhost:PORT@evil.example", "2130706433:PORT", "0:PORT", "[::]:PORT", "localhost.:PORT", ""]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_a_foreign_host_gets_nothing(house, host):
    for path in ("/", f"/jobs/{house.job}/result", "/about"):
        refused(
            house.raw(head("GET", path, f"Host: {host.replace('PORT', str(house.port))}", "Connection: close")),
            400,
            421,
        )


def test_two_hosts_and_no_host_get_nothing(house):
    own = f"Host: 127.0.0.1:{house.port}"
    refused(house.raw(head("GET", "/", own, "Host: evil.example", "Connection: close")), 400, 421)
    refused(house.raw(head("GET", "/", "Connection: close")), 400, 421)
    refused(house.raw(b"GET /about HTTP/1.0\r\n\r\n"), 400, 421)


ORIGINS = ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:PORT", "http://localhost:PORT",
           "http://127.0.0.1:PORT.evil.example", "http://127.0.0.1:PORT/", "file://", ""]  # fmt: skip


@pytest.mark.parametrize("origin", ORIGINS)
def test_another_page_can_ask_for_nothing(house, clip, origin):
    origin = f"Origin: {origin.replace('PORT', str(house.port))}"
    own = (f"Host: 127.0.0.1:{house.port}", origin, "Connection: close")
    refused(house.raw(head("GET", "/about", *own)), 403)
    refused(house.raw(head("POST", "/jobs?name=x.mp4", *own, f"Content-Length: {len(clip)}") + clip), 403)
    refused(house.raw(head("DELETE", f"/jobs/{house.job}", *own)), 403)


def test_what_changes_something_says_where_it_comes_from(house):
    own = (f"Host: 127.0.0.1:{house.port}", "Connection: close")
    refused(house.raw(head("DELETE", f"/jobs/{house.job}", *own)), 403)
    refused(house.raw(head("POST", f"/jobs/{house.job}/stop", *own, "Content-Length: 0")), 403)
    two = (f"Origin: {house.origin}", "Origin: http://evil.example")
    refused(house.raw(head("DELETE", f"/jobs/{house.job}", *own, *two)), 403)


def test_another_site_cannot_embed_what_is_here(house):
    for site in ("cross-site", "same-site"):
        refused(get(house, f"/jobs/{house.job}/result", f"Sec-Fetch-Site: {site}", "Sec-Fetch-Mode: no-cors"), 403)
    assert status_of(get(house, "/", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate")) == 200


@pytest.mark.parametrize(
    "forged",
    [
        {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": None}, {"host": "evil.example"},
        {"path": "/watch/../about"}, {"path": "/jobs"}, {"path": "/%2e%2e/watch"},
    ],
)  # fmt: skip
def test_a_socket_of_another_page_is_not_opened(house, forged):
    wire, reply = house.socket(**forged)
    with wire:
        refused(reply, 400, 403, 404)
        assert b"private.mp4" not in reply


FRAMES = {
    "without a mask": b"\x81\x05hello",
    "of no known kind": b"\x83\x85\0\0\0\0hello",
    "with reserved bits": b"\xf1\x85\0\0\0\0hello",
    "that is no text": b"\x81\x82\0\0\0\0\xff\xfe",
    "larger than all memory": b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",
    "larger than the limit": b"\x82\xff" + struct.pack(">Q", 5 << 20) + b"\0\0\0\0",
    "a long ping": b"\x89\xfe\x01\0\0\0\0\0" + b"x" * 256,
    "that goes on without a begin": b"\x80\x85\0\0\0\0hello",
    "that says something": b"\x81\x85\0\0\0\0hello",
    "http instead": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_a_bad_frame_ends_its_socket_alone(house, frame):
    wire, reply = house.socket()
    other, _ = house.socket()
    with wire, other:
        assert status_of(reply) == 101
        wire.sendall(frame)
        assert b"\x88" in received(wire), "it is still open"
        other.settimeout(0.5)
        other.sendall(b"\x89\x80\0\0\0\0")
        seen = other.recv(1 << 16)
        assert b"\x8a\x00" in seen or b"\x8a\x00" in other.recv(1 << 16), "the other socket has lost its server"


def test_without_the_token_nothing_is_served(guarded):
    own = (f"Host: 127.0.0.1:{guarded.port}", "Connection: close")
    cookie = f"Cookie: tween-{guarded.port}="
    for given in ((), (f"{cookie}",), (f"{cookie}wrong",), (f"{cookie}{TOKEN}x",), (f"{cookie}{TOKEN[:-1]}",),
                  (f"Cookie: tween={TOKEN}",), (f"Authorization: Bearer {TOKEN}",),
                  (f"{cookie}\xff\xfe",)):  # fmt: skip
        for path in ("/", "/about", "/style.css", "/watch"):
            refused(guarded.raw(head("GET", path, *own, *given)), 403)
    for path in (
        f"/about?token={TOKEN}",
        f"/jobs/x?token={TOKEN}",
        "/?token=",
        "/?token=wrong",
        f"/?token={TOKEN}&token=x",
    ):
        refused(guarded.raw(head("GET", path, *own)), 403)
    post = head("POST", f"/?token={TOKEN}", *own, f"Origin: {guarded.origin}", "Content-Length: 0")
    refused(guarded.raw(post), 403)
    wire, reply = guarded.socket(cookie=False)
    with wire:
        refused(reply, 403)


def test_the_printed_address_becomes_a_cookie_and_is_gone(guarded):
    assert f"/?token={TOKEN}" in guarded.told
    reply = guarded.raw(head("GET", f"/?token={TOKEN}", f"Host: 127.0.0.1:{guarded.port}", "Connection: close"))
    status, top, _ = split(reply)
    assert status == 303
    assert "location: /\r\n" in top + "\r\n"
    assert f"set-cookie: tween-{guarded.port}={TOKEN}; httponly; samesite=strict; path=/" in top
    assert guarded.ask("GET", "/about")[0] == 200
    assert guarded.ask("GET", "/about", cookie=False)[0] == 403
    wire, reply = guarded.socket()
    with wire:
        assert status_of(reply) == 101


def test_a_foreign_name_gets_nothing_even_with_the_token(guarded):
    own = ("Host: evil.example", f"Cookie: tween-{guarded.port}={TOKEN}", "Connection: close")
    refused(guarded.raw(head("GET", "/about", *own)), 421)


@pytest.mark.parametrize(
    "begin",
    [b"", b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nX-Slow: "],
    ids=["nothing", "a letter", "a line", "half a header"],
)
def test_a_head_that_does_not_come_is_not_waited_for(house, begin):
    begun = time.monotonic()
    house.raw(begin.replace(b"PORT", str(house.port).encode()), timeout=40)
    assert time.monotonic() - begun < 20  # it waits for two seconds; a busy machine is late


def test_a_head_that_drips_is_not_waited_for(house):
    wire, begun = dripping(house, b"GET /about HTTP/1.1\r\n"), time.monotonic()
    drip(wire, b"X-A: b\r\n")
    assert time.monotonic() - begun < 20  # it waits for two seconds; a busy machine is late


def test_a_second_head_that_drips_is_not_waited_for(house):
    wire = dripping(house, head("GET", "/about", f"Host: 127.0.0.1:{house.port}"))
    assert status_of(wire.recv(1 << 16)) == 200
    begun = time.monotonic()
    drip(wire, b"GET /")
    assert time.monotonic() - begun < 20  # it waits for two seconds; a busy machine is late


@pytest.mark.parametrize("path", ["/jobs?name=x.mp4", "/jobs/JOB/plan"])
def test_a_body_that_stands_still_is_given_up(house, path):
    kind = "Content-Type: application/json" if "plan" in path else "Content-Type: video/mp4"
    reply = post(house, path.replace("JOB", house.job), kind, body=b"abc", length=100_000)
    assert b"the upload stood still for 1 s; a connection that keeps going is needed" in refused(reply, 408)


def test_a_body_that_drips_is_given_up(house):
    own = (f"Host: 127.0.0.1:{house.port}", f"Origin: {house.origin}", "Content-Length: 100000")
    wire, begun = dripping(house, head("POST", "/jobs?name=x.mp4", *own)), time.monotonic()
    drip(wire, b"x")
    assert time.monotonic() - begun < 20  # it waits for two seconds; a busy machine is late


def test_many_that_dawdle_do_not_keep_others_out(house):
    wires = [dripping(house, b"GET / HTTP/1.1\r\nX: ") for _ in range(60)]
    assert house.ask("GET", "/about")[0] == 200
    for wire in wires:
        wire.close()


GUESSED = [
    "0" * 32,
    "f" * 32,
    "g" * 32,
    "0" * 31,
    "0" * 33,
    "JOB0",
    "1",
    "*",
    "%2e",
    "null",
    "JOB%0a",
    "JOB%20",
    "UPPER",
]


@pytest.mark.parametrize("guess", GUESSED)
def test_a_guessed_job_is_not_there(house, guess):
    guess = guess.replace("JOB", house.job).replace("UPPER", house.job.upper())
    for path in (f"/jobs/{guess}", f"/jobs/{guess}/result", f"/jobs/{guess}/before"):
        refused(get(house, path), 404)
    for path in (f"/jobs/{guess}/stop", f"/jobs/{guess}/render"):
        refused(post(house, path, "Content-Type: application/json", body=b"{}"), 404)


INJECTED = [
    "GET /about HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nX: a\n b\r\n\r\n",
    "GET /about HTTP/1.1\r\nHost : 127.0.0.1:PORT\r\n\r\n",
    "GET /about HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nX\0Y: a\r\n\r\n",
    "GET /about HTTP/1.1\r\n Host: 127.0.0.1:PORT\r\n\r\n",
    "GET /a\rbout HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n",
    "GET /about\x7f HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n",
    "GET /%0d%0aX-Evil:1 HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n",
    "GET /?token=%0d%0aX-Evil:1 HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n",
    "GET /about HTTP/9.9\r\nHost: 127.0.0.1:PORT\r\n\r\n",
    "GARBAGE\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]


@pytest.mark.parametrize("text", INJECTED)
def test_a_request_that_is_none_injects_nothing(house, text):
    reply = house.raw(text.replace("PORT", str(house.port)).encode("latin-1"), timeout=4)
    assert b"\r\nx-evil" not in reply.lower()
    refused(reply, 0, 200, 400, 404, 405, 421)


METHODS = ["TRACE", "CONNECT", "PUT", "PATCH", "OPTIONS", "PROPFIND", "delete", "GETX", "A" * 200]


@pytest.mark.parametrize("method", METHODS)
def test_other_methods_do_nothing(house, method):
    own = (f"Host: 127.0.0.1:{house.port}", f"Origin: {house.origin}", "Connection: close", "Content-Length: 0")
    for path in (f"/jobs/{house.job}", "/", "/jobs?name=x"):
        refused(house.raw(head(method, path, *own)), 400, 405)
    trick = ("X-HTTP-Method-Override: DELETE", "X-Method-Override: DELETE")
    assert status_of(get(house, f"/jobs/{house.job}?_method=DELETE", *trick)) == 200


def test_a_form_of_another_page_cannot_start_a_render(house):
    own = (f"Host: 127.0.0.1:{house.port}", f"Origin: {house.origin}", "Content-Type: text/plain", "Connection: close")
    body = b'{"times": 2}'
    refused(house.raw(head("POST", f"/jobs/{house.job}/render", *own, f"Content-Length: {len(body)}") + body), 422)


HUGE = {
    "a header": "X: " + "a" * 100_000,
    "many headers": "\r\n".join(f"X-{k}: {k}" for k in range(4000)),
    "a cookie": "Cookie: " + "a=b; " * 20_000,
    "a name": "a" * 70_000 + ": 1",
}


@pytest.mark.parametrize("header", HUGE.values(), ids=HUGE)
def test_a_huge_head_is_refused(house, header):
    refused(get(house, "/about", header), 0, 400, 431)


@pytest.mark.parametrize("path", ["/" + "a" * 10_000, "/?" + "a=b&" * 1000, "/jobs/" + "%2e" * 2000])
def test_a_long_address_is_refused(house, path):
    refused(get(house, path), 400, 404, 414)
