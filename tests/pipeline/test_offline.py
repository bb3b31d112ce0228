"""Three threads, two queues: order kept, memory bounded, errors travel, everybody is joined."""

import threading
import time
from fractions import Fraction

import pytest
import torch

from tween.frame import Frame
from tween.pipeline import offline


def numbered(n):
    for k in range(n):
        yield Frame(torch.full((3, 2, 2), k % 256, dtype=torch.uint8), Fraction(k))


class Collected:
    """A sink that keeps what it is given."""

    def __init__(self, fail_at=None, slow=0.0):
        self.frames, self.fail_at, self.slow = [], fail_at, slow

    def write(self, frame):
        if len(self.frames) == self.fail_at:
            raise OSError("the disk is gone")
        time.sleep(self.slow)
        self.frames.append(frame)


def threads():
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("tween-")}


def test_every_frame_arrives_in_order():
    sink, watched = Collected(), []
    offline.run(numbered(50), lambda frames: frames, sink, watch=watched.append)
    assert [frame.pts for frame in sink.frames] == list(range(50)) == [frame.pts for frame in watched]
    assert not threads()


def test_a_slow_sink_stops_the_reader():
    drawn = []

    def source():
        for frame in numbered(200):
            drawn.append(frame.pts)
            yield frame

    ahead = []
    sink = Collected(slow=0.002)
    offline.run(source(), lambda frames: frames, sink, watch=lambda _: ahead.append(len(drawn) - len(sink.frames)))
    assert max(ahead) <= 2 * offline.DEPTH + 4
    assert len(sink.frames) == 200


def test_large_pictures_wait_in_smaller_numbers(monkeypatch):
    monkeypatch.setattr(offline, "HEAVY", 30)  # bytes: a picture of 2x2 has 12
    drawn, ahead, sink = [], [], Collected(slow=0.002)

    def source():
        for frame in numbered(60):
            drawn.append(frame.pts)
            yield frame

    offline.run(source(), lambda frames: frames, sink, watch=lambda _: ahead.append(len(drawn) - len(sink.frames)))
    assert max(ahead) <= 2 * 3 + 4
    assert [frame.pts for frame in sink.frames] == list(range(60))


def test_an_error_of_the_source_is_raised_here_after_what_came_before():
    def source():
        yield from numbered(3)
        raise ValueError("broken input")

    sink = Collected()
    with pytest.raises(ValueError, match="broken input"):
        offline.run(source(), lambda frames: frames, sink)
    assert not threads()


def test_an_error_of_the_sink_is_raised_here_and_stops_the_reader():
    drawn = []

    def source():
        for frame in numbered(100_000):
            drawn.append(frame)
            yield frame

    with pytest.raises(OSError, match="the disk is gone"):
        offline.run(source(), lambda frames: frames, Collected(fail_at=2))
    assert len(drawn) < 100
    assert not threads()


def test_an_error_of_the_sink_on_the_last_frame_is_not_lost():
    with pytest.raises(OSError, match="the disk is gone"):
        offline.run(numbered(3), lambda frames: frames, Collected(fail_at=2, slow=0.05))


def test_an_error_between_them_stops_both():
    def render(frames):
        for k, frame in enumerate(frames):
            if k == 5:
                raise RuntimeError("in the model")
            yield frame

    with pytest.raises(RuntimeError, match="in the model"):
        offline.run(numbered(100_000), render, Collected())
    assert not threads()


def test_the_reader_works_while_the_caller_computes():
    """The pair of threads overlaps: a frame is drawn before the one before it has been worked on."""
    drawn = []

    def source():
        for frame in numbered(offline.DEPTH):
            drawn.append(frame.pts)
            yield frame

    def render(frames):
        for frame in frames:
            deadline = time.monotonic() + 5
            while len(drawn) < offline.DEPTH and time.monotonic() < deadline:
                time.sleep(0.001)
            assert len(drawn) == offline.DEPTH
            yield frame

    offline.run(source(), render, Collected())
