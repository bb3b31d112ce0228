"""A server's keeping: jobs outlive it, expire, and take no more room than they may; the door is shut to others."""

from __future__ import annotations

import os
import signal
import socket
import time
from fractions import Fraction

import pytest
from clips import Clip
from serving import House

from tween.cli.main import main

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return (
        Clip(frames=150, size=(180, 320), rate=Fraction(30)).make(tmp_path_factory.mktemp("v") / "v.mp4").read_bytes()
    )


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split()[2] == "Z"
    except FileNotFoundError:
        return True


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(one) for one in file.read().split()]


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="processes are counted by /proc")
def test_a_killed_server_takes_its_workers_along_and_keeps_its_jobs(tmp_path, video):
    port = free_port()
    first = House(tmp_path / "jobs", port=port)
    job = first.upload(video, "v.mp4")[1]["id"]
    assert first.json("POST", f"/jobs/{job}/render", {"times": 4})[0] == 200
    until = time.monotonic() + 60
    while first.json("GET", f"/jobs/{job}")[1]["status"].get("frames", 0) < 200 and time.monotonic() < until:
        time.sleep(0.1)
    workers = children(first.process.pid)
    assert workers
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait(10)
    until = time.monotonic() + 10
    while not all(map(is_gone, workers)) and time.monotonic() < until:
        time.sleep(0.1)
    assert all(map(is_gone, workers))
    second = House(tmp_path / "jobs", port=port)
    try:
        told = second.json("GET", f"/jobs/{job}")[1]
        assert (told["state"], told["name"], told["options"]) == ("stopped", "v.mp4", {"times": 4})
        done = second.rendered(job, {"times": 4})
        assert done["state"] == "done"
        assert done["result"]["resumed"] >= 120
        assert done["result"]["frames_out"] == 597
    finally:
        second.end()
    assert second.process.returncode in (0, -signal.SIGTERM)


def test_two_servers_do_not_share_a_folder(tmp_path):
    first = House(tmp_path / "jobs")
    second = House(tmp_path / "jobs")
    try:
        assert first.folder != second.folder
        assert second.ask("GET", "/about")[0] == 200
    finally:
        first.end()
        second.end()


def test_jobs_expire_and_rendering_ones_do_not(tmp_path, video):
    house = House(tmp_path / "jobs", keep_s=2.0)
    try:
        old = house.upload(video, "old.mp4")[1]["id"]
        new = house.upload(video, "new.mp4")[1]["id"]
        assert house.json("POST", f"/jobs/{new}/render", {"times": 8})[0] == 200
        time.sleep(5)
        assert house.json("GET", f"/jobs/{old}")[0] == 404
        assert not (house.folder / old).exists()
        assert (house.folder / new).exists()
    finally:
        house.end()


def test_a_render_that_outgrows_the_quota_is_ended_and_told(tmp_path, video):
    house = House(tmp_path / "jobs", quota=len(video) + 400_000)
    try:
        job = house.upload(video, "v.mp4")[1]["id"]
        told = house.rendered(job, {"times": 16, "model": "blend", "crf": 1})
        assert told["state"] == "failed"
        assert "all jobs together have" in told["error"]
        assert "are kept here; try: remove some of them, or tween serve --quota" in told["error"]
        assert house.json("POST", f"/jobs/{job}/plan", {"times": 2})[0] == 200
    finally:
        house.end()


def test_the_oldest_job_gives_way_where_there_are_too_many(tmp_path, video):
    house = House(tmp_path / "jobs", most_jobs=2)
    try:
        ids = [house.upload(video, f"{k}.mp4")[1]["id"] for k in range(3)]
        assert [house.json("GET", f"/jobs/{one}")[0] for one in ids] == [404, 200, 200]
    finally:
        house.end()


def test_a_file_that_kills_its_worker_harms_nobody(tmp_path, video):
    house = House(tmp_path / "jobs")
    try:
        job = house.upload(video, "v.mp4")[1]["id"]
        for worker in children(house.process.pid):
            os.kill(worker, signal.SIGSEGV)
        time.sleep(0.5)
        status, told = house.json("POST", f"/jobs/{job}/plan", {"times": 2})
        if status != 200:
            assert told["error"].startswith("the process that worked on this video broke down")
            assert house.json("POST", f"/jobs/{job}/plan", {"times": 2})[0] == 200
        assert house.rendered(job, {"times": 2})["state"] == "done"
    finally:
        house.end()


def test_a_port_that_is_taken_is_told(capsys):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        port = one.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 2
    words = capsys.readouterr().err
    assert f"--host 127.0.0.1 --port {port} (Address already in use)" in words
    assert f"a free port are needed; try: --port {port + 1}" in words
