"""Real workers, killed for real: processes of this machine, and a Ray cluster of it."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clips import Clip

from tween import errors
from tween.batch import cluster
from tween.batch.cluster import connected, shares
from tween.batch.config import BatchConfig
from tween.batch.run import batch
from tween.pipeline import journal
from tween.pipeline.config import RenderConfig
from tween.pipeline.recipe import render

SEGMENT = 8
PROCESSES = pytest.param({}, id="processes")
WORKERS = [PROCESSES, pytest.param({"ray": "auto"}, id="ray", marks=pytest.mark.slow)]
RAY_TAKES_LONG = [PROCESSES, pytest.param({"ray": "auto"}, id="ray", marks=pytest.mark.long)]


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(journal, "SEGMENT_FRAMES", SEGMENT)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def films(tmp_path):
    """Two films to be split, a small one, and what is no film; and what the good ones become."""
    folder = tmp_path / "films"
    folder.mkdir()
    clips = [
        Clip(frames=60, sound=["aac"]).make(folder / "a.mp4"),
        Clip(frames=40, size=(48, 64)).make(folder / "b.mkv"),
        Clip(frames=4).make(folder / "c.mp4"),
    ]
    (folder / "bad.mp4").write_bytes(b"no film" * 500)
    (tmp_path / "straight").mkdir()
    for clip in clips:
        render(RenderConfig(clip, tmp_path / "straight" / clip.name, times=2, model="blend"))
    return folder


def asked(films, **options):
    return BatchConfig(
        inputs=(films,), output=films.parent / "out", times=2, model="blend", workers=2, segment=2 * SEGMENT, **options
    )


def assert_finished(films):
    """Every good film is there, and the same; of the others nothing is."""
    out, straight = films.parent / "out", films.parent / "straight"
    names = sorted(path.name for path in out.iterdir() if not path.name.startswith(".tween-batch.jsonl"))
    assert names == ["a.mp4", "b.mkv", "c.mp4"]
    for name in ("a.mp4", "c.mp4"):
        assert (out / name).read_bytes() == (straight / name).read_bytes()
    assert (out / "b.mkv").stat().st_size == (straight / "b.mkv").stat().st_size


def struck(strike):
    """A watcher that does something to the first worker, once, while it renders."""
    done = []

    def watch(driver, _):
        hand = driver.hands[0]
        if not done and hand.ready is not None and hand.task is not None:
            done.append(hand.ready.pid)
            strike(hand.ready.pid)

    return watch, done


@pytest.mark.parametrize("on", WORKERS)
@pytest.mark.slow
def test_a_killed_worker_and_a_corrupt_film(films, on):
    watch, killed = struck(lambda pid: os.kill(pid, signal.SIGKILL))
    totals = batch(asked(films, **on), watch)
    assert killed
    assert any("worker 0 died while it rendered" in note for note in totals.notes)
    assert totals.exit_code == 1
    assert [film.reason for film in totals.films if film.state == "failed"] == [
        film.reason for film in totals.films if film.input.endswith("bad.mp4")
    ]
    assert_finished(films)


@pytest.mark.slow
@pytest.mark.parametrize("on", RAY_TAKES_LONG)
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="a process' limits are set from outside on Linux only")
def test_a_disk_that_is_full_on_one_worker(films, on):
    """No file of that process may grow: to it the disk is full."""
    watch, limited = struck(lambda pid: resource.prlimit(pid, resource.RLIMIT_FSIZE, (64, 64)))
    totals = batch(asked(films, **on), watch)
    assert limited
    assert totals.exit_code == 1
    assert_finished(films)


SCRIPT = """
import os, signal, sys
from tween.batch.film import Film
from tween.pipeline import journal
journal.SEGMENT_FRAMES = {segment}
from tween.cli.main import main

take = Film.take

def killed(film, made, **how):
    take(film, made, **how)
    if film.name == "a.mp4" and film.frames:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    if sys.argv.pop(1) == "killed":
        Film.take = killed
    sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("on", RAY_TAKES_LONG)
def test_a_killed_driver_goes_on_and_its_workers_end(films, tmp_path, on):
    """It is killed as soon as its journal has something of a film: packets alone are made again, nobody knows them."""
    script = tmp_path / "batch.py"
    script.write_text(SCRIPT.format(segment=SEGMENT))
    out = films.parent / "out"
    words = ["batch", str(films), "-o", str(out), "--times", "2", "--model", "blend",
             "--workers", "2", "--segment", "8", "--json", *(["--ray", "auto"] if on else [])]  # fmt: skip

    def run(how):  # comes back when all that write to its output have ended: its workers too
        return subprocess.run([sys.executable, script, how, *words], capture_output=True, text=True, timeout=200)

    assert run("killed").returncode == -signal.SIGKILL
    assert not (out / "a.mp4").exists()
    again = run("to its end")
    assert again.returncode == 1, again.stderr
    assert_finished(films)
    assert "failed: " in again.stderr
    told = [json.loads(line) for line in again.stdout.splitlines()]
    assert [failed["input"] for failed in told[-1]["failed"]] == [str(films / "bad.mp4")]
    assert next(one["film"] for one in told[:-1] if one["film"]["input"].endswith("a.mp4"))["resumed"] > 0


def listening():
    """(address, port) of every TCP socket on which this process or one below it waits for others."""
    children = {os.getpid()}
    for _ in range(8):
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(status.read_text().rpartition(")")[2].split()[1]) in children:
                    children.add(int(status.parent.name))
    mine = set()
    for child in children:
        with contextlib.suppress(OSError):
            mine |= {os.readlink(link) for link in Path(f"/proc/{child}/fd").iterdir()}
    rows = [line.split() for f in ("tcp", "tcp6") for line in Path("/proc/net", f).read_text().splitlines()[1:]]
    return [tuple(row[1].split(":")) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in mine]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="looks at Linux' list of sockets")
def test_a_cluster_of_this_machine_listens_on_loopback_alone():
    before = set(listening())  # servers of other tests that this process still keeps
    ray = connected("auto", 2)
    try:
        time.sleep(2)
        addresses = {address for address, _ in set(listening()) - before}
    finally:
        ray.shutdown()
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert addresses
    assert addresses <= loopback


def test_no_cluster_is_told():
    with pytest.raises(errors.BadOption) as told:
        connected("ray://10.0.0.1:10001", None)
    assert "the address of a cluster that this machine belongs to is needed" in str(told.value)
    assert "try: ray start --address 10.0.0.1:6379, then --ray auto" in str(told.value)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nobody"])
def test_an_address_where_nobody_is(address):
    with pytest.raises(errors.BadOption) as told:
        connected(address, None)
    assert f"--ray {address}: no cluster answers at {address}" in str(told.value)
    assert "ray start --head on one machine" in str(told.value)


def test_ray_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(cluster, "found", lambda: None)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"):
        monkeypatch.setenv(name, "0")  # what is set on the way goes again
    with pytest.raises(errors.MissingPackage) as told:
        connected("auto", None)
    assert 'try: pip install "tween[ray]"' in str(told.value)


@pytest.mark.parametrize(
    ("has", "device", "workers", "count", "gpus", "cores"),
    [
        ({"CPU": 64.0, "GPU": 8.0}, "auto", None, 8, 1.0, 1.0),
        ({"CPU": 64.0, "GPU": 8.0}, "auto", 16, 16, 0.5, 1.0),
        ({"CPU": 64.0, "GPU": 8.0}, "cpu", None, 16, 0.0, 4.0),
        ({"CPU": 2.0}, "auto", None, 1, 0.0, 2.0),
        ({"CPU": 2.0}, "auto", 4, 4, 0.0, 0.5),
        ({"CPU": 8.0}, "auto", 3, 3, 0.0, 2.0),
    ],
)
def test_shares_of_a_cluster(has, device, workers, count, gpus, cores):
    assert shares(has, device, workers) == (count, {"num_gpus": gpus, "num_cpus": cores})
