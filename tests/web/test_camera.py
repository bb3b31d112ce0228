"""The browser's camera: pictures go out and come back; what is none ends its own session alone."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import time

import numpy as np
import pytest
from browsing import LOOK_MS, browser, visit
from PIL import Image
from serving import House, refused
from websockets.sync.client import connect

from tween.web.camera import STATS

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    one = House(tmp_path_factory.mktemp("camera") / "jobs", silence_s=3.0)
    yield one
    one.end()
    assert "a fault of ours" not in one.log()
    assert "Exception in ASGI" not in one.log()


def camera(house, **asked):
    query = "&".join(f"{name}={value}" for name, value in asked.items())
    return connect(f"ws://127.0.0.1:{house.port}/live?{query}", origin=house.origin)


def taken(k, size=(48, 64)):
    """A picture of a camera that moves to the right, taken at k / 20 s."""
    y, x = np.mgrid[: size[0], : size[1]]
    grey = (128 + 100 * np.sin((x + 2 * k) / 6) * np.cos(y / 9)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.stack([grey] * 3, -1)).save(file, "JPEG")
    return struct.pack("<d", 1000 + 50.0 * k) + file.getvalue()


def answers(socket, wanted=100, timeout=10):
    """What comes, words and pictures apart, until the end or so many pictures."""
    words, pictures = [], []
    try:
        while len(pictures) < wanted:
            message = socket.recv(timeout=timeout)
            (pictures.append if isinstance(message, bytes) else lambda text: words.append(json.loads(text)))(message)
    except Exception:
        pass
    return words, pictures


@pytest.mark.parametrize("mode", ["between", "ahead"])
def test_pictures_go_in_and_pictures_of_their_times_come_out(house, mode):
    times, words, k, until = [], [], 0, time.monotonic() + 60
    with camera(house, mode=mode, rate=20) as socket:
        assert json.loads(socket.recv(timeout=120)) == {"ready": True}
        while time.monotonic() < until and not (len(times) > 3 and words and is_enough(times, mode)):
            socket.send(taken(k))
            k += 1
            with contextlib.suppress(TimeoutError):
                while True:
                    message = socket.recv(timeout=0.05)
                    if isinstance(message, bytes):
                        times.append(struct.unpack_from("<d", message)[0])
                        picture = message[8:]
                    else:
                        words.append(json.loads(message))
    assert len(times) > 3
    assert times == sorted(times)
    assert 1000 <= times[0] <= times[-1] <= 1000 + 50 * (k + 1)
    assert is_enough(times, mode), "no picture lies between two that were taken"
    with Image.open(io.BytesIO(picture)) as shown:
        assert shown.format == "JPEG"
    assert words[-1]["stats"]["frames_in"] > 3
    assert set(words[-1]["stats"]) == set(STATS)


def is_enough(times, mode):
    return mode == "ahead" or any(time % 50 for time in times)


def bomb():
    """The head of a JPEG that says it is 65500x65500."""
    return (
        b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", 65500, 65500) + b"\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"
    )


BAD = {
    "no picture": struct.pack("<d", 1) + b"hello",
    "a png": struct.pack("<d", 1) + b"\x89PNG\r\n\x1a\n" + bytes(100),
    "a huge one": struct.pack("<d", 1) + bomb(),
    "half of one": taken(0)[:200],
    "too short": b"abc",
    "too long": bytes(1 << 21),
    "at no time": struct.pack("<d", float("nan")) + taken(0)[8:],
    "at the end of time": struct.pack("<d", 1e300) + taken(0)[8:],
    "before time": struct.pack("<d", -5.0) + taken(0)[8:],
    "a text": "picture",
}


@pytest.mark.parametrize("sent", BAD.values(), ids=BAD)
def test_what_is_no_picture_ends_its_session(house, sent):
    with camera(house) as socket:
        assert json.loads(socket.recv(timeout=120)) == {"ready": True}
        socket.send(sent)
        words, pictures = answers(socket)
        assert not pictures
        assert "no picture of a camera" in words[-1]["error"]
    assert house.ask("GET", "/about")[0] == 200


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("quokka", "no model is called quokka"),
        ("../../evil.pth", "a name of `tween models` is needed"),
        ("evil.pth", "no model is called evil.pth"),
        ("ifrnet-b", "ifrnet-b has no trained weights here"),
        ("rife-4.6@practical", "the weights of rife-4.6@practical are not on this machine"),
    ],
)
def test_a_model_that_cannot_be_is_told(house, model, words):
    with camera(house, model=model) as socket:
        told, _ = answers(socket, timeout=120)
        assert words in told[-1]["error"]


def test_one_camera_at_a_time_and_silence_ends_it(house):
    with camera(house) as first:
        assert json.loads(first.recv(timeout=120)) == {"ready": True}
        with camera(house) as second:
            words, _ = answers(second)
            assert words[-1]["error"] == "another page shows its camera; one at a time; try: close it"
        words, _ = answers(first)
        assert words[-1]["error"] == "no picture came for 3 s"


@pytest.mark.parametrize("forged", [{"origin": "http://evil.example"}, {"origin": None}, {"host": "evil.example"}])
def test_a_camera_of_another_page_is_not_shown(house, forged):
    wire, reply = house.socket(path="/live", **forged)
    with wire:
        refused(reply, 403)


def test_the_page_shows_its_camera_and_lets_it_go(house):
    with browser() as opened, visit(opened, house) as page:
        from playwright.sync_api import expect

        page.click("#camera-go")
        expect(page.locator("#camera-words")).to_contain_text("frames a second", timeout=LOOK_MS)
        expect(page.locator("#camera-go")).to_have_text("Stop")
        page.wait_for_timeout(1500)
        view = "document.getElementById('camera-out').getContext('2d').getImageData(5, 5, 400, 300).data"
        assert page.evaluate(f"{view}.some(value => value > 40 && value < 255)"), "nothing was drawn"
        page.click("#camera-go")
        expect(page.locator("#camera-view")).to_be_hidden()
        assert page.evaluate("document.getElementById('camera-in').srcObject") is None
        expect(page.locator("#camera-error")).to_be_hidden()
