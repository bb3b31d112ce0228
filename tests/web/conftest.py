"""Servers for every test of the web page."""

from __future__ import annotations

import json

import pytest
from clips import Clip
from serving import TOKEN, House, prints

CLIP = Clip(frames=8, size=(64, 96))
LIMITS = {
    "silence_s": 1.0, "max_upload": 2_000_000, "quota": 6_000_000, "most_frames": 200, "most_pixels": 1000 * 1000,
    "look_s": 30.0,
}  # fmt: skip


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    return CLIP.make(tmp_path_factory.mktemp("clip") / "clip.mp4").read_bytes()


@pytest.fixture(scope="session")
def running(tmp_path_factory, clip):
    """A server with somebody's finished job in it."""
    house = House(tmp_path_factory.mktemp("house") / "jobs", **LIMITS)
    status, job = house.upload(clip, "private.mp4")
    assert status == 200, (job, house.log())
    house.job = job["id"]
    assert house.rendered(house.job, {"times": 2, "model": "nearest"})["state"] == "done"
    house.files = prints(house)
    yield house
    house.end()
    assert "a fault of ours" not in house.log()
    assert "Exception in ASGI" not in house.log()


@pytest.fixture(scope="session")
def guarded(tmp_path_factory):
    """A server that others than this machine reach."""
    house = House(tmp_path_factory.mktemp("guarded") / "jobs", host="0.0.0.0", token=TOKEN, **LIMITS)
    yield house
    house.end()


@pytest.fixture
def house(running):
    """The server; afterwards: it answers, and the job is as it was, alone."""
    yield running
    status, _, body = running.ask("GET", "/about")
    assert status == 200
    assert json.loads(body)["max_upload"] == LIMITS["max_upload"]
    assert prints(running) == running.files
    others = [path for path in running.folder.iterdir() if path.name not in (running.job, "lock")]
    assert not others, "something was left behind"
    assert list(running.folder.parent.iterdir()) == [running.folder]
