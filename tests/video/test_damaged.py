"""Damaged files: each ends soon, in words or in a correct file; none hangs, crashes, swells, or leaves ruins."""

import json
import queue
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import damage
import pytest
from clips import Clip

import tween
from tween.errors import BrokenClock, UnsupportedStream
from tween.video.doors import open_source

ALL, QUICK = 200, 42
MET = (323,)  # seeds beyond that once found a fault
LONGEST_S, MOST_MB = 60, 4096


class Worker:
    """A process that renders one file after the other, so that a crash is seen and torch is loaded once."""

    def __init__(self):
        here = Path(__file__).parent
        self.process = subprocess.Popen(
            [sys.executable, str(here / "damage.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.answers = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            self.answers.put(json.loads(line))
        self.answers.put(None)

    def render(self, job):
        """What became of a job, or words about the death that it was."""
        arguments = ["interpolate", str(job.input), "-o", str(job.output), *job.arguments]
        self.process.stdin.write(json.dumps(arguments) + "\n")
        self.process.stdin.flush()
        try:
            told = self.answers.get(timeout=LONGEST_S + 20)  # the first job loads torch
        except queue.Empty:
            self.close()
            return "it hangs"
        if told is None:
            return f"the interpreter died ({self.process.wait()})"
        return told

    def close(self):
        self.process.kill()
        self.process.wait()


def verdict(job, told, folder):
    """What is wrong with the end of a job, or nothing."""
    if isinstance(told, str):
        return told
    left = sorted(path.name for path in folder.iterdir() if path != job.input)
    if told["code"] not in (0, 1, 2) or "fault of ours" in told["words"]:
        return f"exit code {told['code']}: {told['words']}"
    if told["seconds"] > LONGEST_S:
        return f"{told['seconds']:.0f} s"
    if told["peak_mb"] > MOST_MB:
        return f"{told['peak_mb']:.0f} MB"
    if "frames" not in told:
        if told["code"] == 0 or "tween: " not in told["words"] or "; " not in told["words"]:
            return f"no words that help: {told}"
        return f"{left} left behind after an error" if left else ""
    if left != [job.output.name]:
        return f"{left} left behind"
    if "broken" in told:
        return f"a broken output ({told['broken']})"
    exact = job.output.suffix not in (".gif", ".y4m")  # those have clocks of their own, and say so
    return f"{told['shown']} frames shown, {told['frames']} told" if exact and told["shown"] != told["frames"] else ""


def failures(seeds, folder):
    wrong, worker, ends = [], Worker(), {0: 0, 1: 0, 2: 0}
    try:
        for seed in seeds:
            place = folder / f"{seed:03d}"
            place.mkdir()
            job = damage.job(seed, place)
            told = worker.render(job)
            fault = verdict(job, told, place)
            if fault:
                wrong.append(
                    f"seed {seed} ({job.kind}, {job.input.name} -> {job.output.name} {job.arguments}): {fault}"
                )
            if isinstance(told, str):
                worker.close()
                worker = Worker()
            else:
                ends[told["code"]] = ends.get(told["code"], 0) + 1
    finally:
        worker.close()
    return wrong, ends


@pytest.mark.long
def test_some_damaged_files(tmp_path):
    wrong, ends = failures([*range(QUICK), *MET], tmp_path)
    assert not wrong, "\n".join(wrong)
    assert all(ends[code] > 0 for code in (0, 1, 2)), "every way to end was seen"


@pytest.mark.long
@pytest.mark.timeout(600)
def test_two_hundred_damaged_files(tmp_path):
    wrong, ends = failures(range(QUICK, ALL), tmp_path)
    assert not wrong, "\n".join(wrong)
    assert sum(ends.values()) == ALL - QUICK


def test_a_seed_makes_the_same_file_again(tmp_path):
    for seed in (0, 5, 9):
        for name in ("a", "b"):
            (tmp_path / f"{name}{seed}").mkdir()
        first, second = (damage.job(seed, tmp_path / f"{name}{seed}") for name in ("a", "b"))
        assert first.arguments == second.arguments
        if first.input.is_file():
            assert len(first.input.read_bytes()) == len(second.input.read_bytes())


@pytest.mark.slow
def test_a_size_that_cannot_be_is_not_believed(tmp_path):
    """A few bytes changed, and FFV1 decodes pictures of 256 million pixels: 20 GB for what is 100 KB."""
    path = Clip(frames=2, size=(256, 256), codec="ffv1").make(tmp_path / "in.mkv")
    data = path.read_bytes()
    for element in (b"\xb0\x82", b"\xba\x82"):  # Matroska's PixelWidth and PixelHeight, of two bytes
        assert data.count(element + b"\x01\x00") == 1
        data = data.replace(element + b"\x01\x00", element + b"\x3e\x80")
    path.write_bytes(data)
    with pytest.raises(UnsupportedStream, match=r"in\.mkv says that its pictures are 16000x16000; 132 million pixels"):
        open_source(path)


@pytest.mark.parametrize("name", ["out.mp4", "out"])
@pytest.mark.slow
def test_a_mistake_that_would_come_again_leaves_nothing_to_go_on_from(tmp_path, name):
    """The first eight seconds are finished when the clock jumps by a year."""
    ticks = [0, 200, 201, 10**9]
    path = Clip(ticks=ticks, grid=Fraction(1, 25), size=(16, 16), options={"bf": "0"}).make(tmp_path / "in.mkv")
    with pytest.raises(BrokenClock, match="would be repeated"):
        tween.interpolate(path, tmp_path / name, rate=60, model="blend", cuts="off")
    assert [left.name for left in tmp_path.iterdir()] == ["in.mkv"]
