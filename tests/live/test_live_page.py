"""`--show web`: the page, the pictures, and who gets nothing."""

import http.client
import io
import json
import re
import socket
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from clips import Clip
from PIL import Image

from tween.errors import BadOption
from tween.live import page
from tween.live.session import Session
from tween.pipeline.live_start import LiveConfig, live_run
from tween.video.doors import open_source
from tween.video.looping import Looping


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A live page at work."""
    clip = Clip(frames=30, size=(48, 64), rate=Fraction(30)).make(tmp_path_factory.mktemp("page") / "a <b>.mp4")
    said: list[str] = []
    spoken = threading.Event()
    source = Looping(lambda: open_source(clip))
    run = live_run(LiveConfig(model="blend"), source_rate=source.info.rate)
    session = Session(Path(clip).name, source, run, say=lambda words: (said.append(words), spoken.set()))

    def serve():
        with source, session:
            page.watch(session, 0)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert spoken.wait(60)
    found = re.fullmatch(r"open http://127\.0\.0\.1:(\d+)/ in a browser on this machine; Ctrl-C ends it", said[0])
    yield int(found[1])
    run.is_over = True
    thread.join(60)
    assert not thread.is_alive()


def ask(port: int, path: str, headers: dict[str, str] | None = None, method: str = "GET"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, headers=headers or {})
    answer = connection.getresponse()
    return answer, connection


def test_the_page_names_its_source_and_loads_nothing_from_elsewhere(port):
    answer, _ = ask(port, "/")
    words = answer.read().decode()
    assert answer.status == 200
    assert "<h1>a &lt;b&gt;.mp4</h1>" in words
    assert not re.search(r"https?://", words)
    assert 'alt="The original on the left, what tween shows on the right"' in words
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Python" not in (answer.headers["Server"] or "")


def test_the_pictures_are_the_original_beside_what_is_shown(port):
    answer, connection = ask(port, "/live.mjpeg")
    assert answer.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=tween-picture"
    for _ in range(5):
        assert answer.readline().strip() == b"--tween-picture"
        assert answer.readline().strip() == b"Content-Type: image/jpeg"
        length = int(answer.readline().split(b":")[1])
        answer.readline()
        with Image.open(io.BytesIO(answer.read(length))) as picture:
            assert picture.size == (128, 48)
            left, right = picture.crop((0, 0, 64, 48)), picture.crop((64, 0, 128, 48))
            assert max(high - low for low, high in left.getextrema()) > 100
            assert max(high - low for low, high in right.getextrema()) > 100
        answer.readline()
    connection.close()


def test_several_browsers_may_look(port):
    opened = [ask(port, "/live.mjpeg") for _ in range(3)]
    assert all(answer.readline().strip() == b"--tween-picture" for answer, _ in opened)
    for _, connection in opened:
        connection.close()


def test_the_figures(port):
    ask(port, "/live.mjpeg")[0].readline()
    answer, _ = ask(port, "/stats")
    stats = json.loads(answer.read())
    assert stats["model"] == "blend"
    assert stats["size"] == [48, 64]
    assert stats["shown"] > 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:{port}"}, 421),
        ({"Host": "127.0.0.1"}, 421),
        ({"Host": "127.0.0.1:{port}", "Sec-Fetch-Site": "cross-site"}, 421),
        ({"Host": "127.0.0.1:{port}", "Sec-Fetch-Site": "same-site"}, 421),
        ({"Host": "localhost:{port}", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "127.0.0.1:{port}", "Sec-Fetch-Site": "none"}, 200),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/", "/stats", "/live.mjpeg"])
def test_only_who_calls_it_by_its_name_is_answered(port, headers, status, path):
    answer, connection = ask(port, path, {name: value.format(port=port) for name, value in headers.items()})
    assert answer.status == status
    assert status == 200 or answer.read() == b"this server is not called so\n"
    connection.close()


@pytest.mark.parametrize("path", ["/../etc/passwd", "/%2e%2e/etc/passwd", "/page.py", "/stats/", "/live.mjpeg?x=1"])
def test_there_is_nothing_else(port, path):
    answer, _ = ask(port, path)
    assert answer.status == 404
    assert answer.read() == b"there is no such page\n"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(port, method):
    answer, _ = ask(port, "/", method=method)
    assert answer.status == 501
    assert b"Traceback" not in answer.read()


def test_two_names_are_none(port):
    with socket.create_connection(("127.0.0.1", port), 60) as line:
        line.sendall(
            f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode()
        )
        assert b" 421 " in line.recv(100)


def test_it_listens_on_this_machine_alone(port):
    for address in {row[4][0] for row in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}:
        if not address.startswith("127."):
            with pytest.raises(ConnectionRefusedError), socket.create_connection((address, port), 2):
                pass


def test_a_port_that_is_taken_is_said(port):
    with pytest.raises(BadOption, match=rf"--port {port}; it cannot be used \(.+\); try: --port {port + 1}"):
        page.watch(None, port)
