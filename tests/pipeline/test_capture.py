"""Frames into a live run: at the source's own pace by its pts, or as they come."""

import threading
import time
from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch

from tween.frame import Frame, VideoInfo
from tween.pipeline.capture import Capture
from tween.pipeline.live_start import LiveConfig, live_run

RATE = Fraction(50)


class Told:
    """What a run is told."""

    def __init__(self) -> None:
        self.pushed: list[tuple[Frame, Fraction | None]] = []
        self.ended, self.error = threading.Event(), None
        self.is_paused = False

    def push(self, frame, captured_at=None):
        self.pushed.append((frame, captured_at))

    def finish(self):
        self.ended.set()

    def fail(self, error):
        self.error = error
        self.ended.set()


def source(count=10, *, error=None, **more):
    def frames():
        for k in range(count):
            yield Frame(torch.zeros(3, 4, 4, dtype=torch.uint8), 3 + k / RATE, 1 / RATE)
        if error is not None:
            raise error

    made = SimpleNamespace(info=VideoInfo((4, 4), RATE), **more)
    return type("Source", (), {**vars(made), "__iter__": lambda _: frames()})()


def fed(given, **options) -> Told:
    told = Told()
    with Capture(given, told, **options):
        assert told.ended.wait(30)
    return told


def test_a_file_plays_by_its_pts():
    begun = time.monotonic()
    told = fed(source(10))
    assert time.monotonic() - begun >= 9 / RATE
    offsets = {captured - frame.pts for frame, captured in told.pushed}
    assert len(told.pushed) == 10
    assert len(offsets) == 1  # exactly the source's own times: nothing is added up
    assert told.error is None


def test_a_device_is_read_as_it_comes():
    told = fed(source(10, is_live=True))
    assert [captured for _, captured in told.pushed] == [None] * 10


def test_a_source_that_cannot_keep_its_pace_plays_slower_and_says_so_once():
    moments = iter([Fraction(k * 3) for k in range(1000)])  # three seconds pass at every look
    said = []
    told = fed(source(5), clock=lambda: next(moments), say=said.append)
    assert said == ["the source cannot be read as fast as it plays: it plays slower"]
    captured = [captured for _, captured in told.pushed]
    assert captured == sorted(captured)
    assert len(captured) == 5


def test_a_source_that_is_always_a_little_late_is_waited_for():
    frames = 120
    told, said = Told(), []
    late = Fraction(3, 10)
    capture = Capture(source(frames), told, clock=lambda: Fraction(0), say=said.append)
    lags = []
    for k in range(frames):  # each frame is there 0.3 s after its time, but for the first
        moment = k / RATE + (late if k else 0)
        capture._clock = lambda moment=moment: moment
        frame = Frame(torch.zeros(3, 4, 4, dtype=torch.uint8), k / RATE)
        lags.append(-capture._left(frame))
    assert lags[10] == late
    assert lags[-1] == 0
    assert len(said) == 1


def test_a_hiccup_moves_nothing():
    capture = Capture(source(3), Told(), clock=lambda: Fraction(0))
    for k in range(200):
        moment = k / RATE + (Fraction(1, 2) if 50 <= k < 80 else 0)
        capture._clock = lambda moment=moment: moment
        capture._left(Frame(torch.zeros(3, 4, 4, dtype=torch.uint8), k / RATE))
    assert capture.begun == 0


def test_an_error_of_the_source_reaches_the_run():
    told = fed(source(2, error=OSError("the disk is gone")))
    assert str(told.error) == "the disk is gone"


def test_leaving_ends_it_at_once():
    told = Told()
    begun = time.monotonic()
    with Capture(source(100_000), told):
        time.sleep(0.1)
    assert time.monotonic() - begun < 20
    assert len(told.pushed) < 1000


def test_a_whole_clip_is_seen_to_its_end():
    with live_run(LiveConfig(model="blend"), source_rate=RATE) as run, Capture(source(20), run) as capture:
        seen, end = [], time.monotonic() + 30
        while not run.is_over:
            shown = run.take(0.1)
            seen += [shown.frame.pts] if shown is not None else []
            assert time.monotonic() < end
        assert capture.begun is not None
    assert seen[-1] >= 3 + 19 / RATE
    assert seen == sorted(set(seen))


def test_a_pause_stops_the_clip_and_steps_go_through_it():
    with live_run(LiveConfig(model="blend"), source_rate=RATE) as run, Capture(source(500), run) as capture:
        while run.take(0.1) is None:
            pass
        run.pause(True)
        seen = []
        for _ in range(5):
            run.step()
            shown = None
            while shown is None:
                shown = run.take(0.1)
            seen.append(shown.frame.pts)
        assert capture.begun is None
        assert run.take(0.3) is None
        run.pause(False)
        shown = None
        while shown is None:
            shown = run.take(0.1)
    assert seen == sorted(set(seen))
    assert seen[-1] < shown.frame.pts < seen[-1] + 1  # it went on from there


@pytest.mark.parametrize("is_live", [True, False])
def test_a_source_is_told_to_give_up(is_live):
    given_up = threading.Event()
    given = source(3, **({"is_live": True} if is_live else {}), give_up=lambda *_: given_up.set())
    with Capture(given, Told()):
        pass
    assert given_up.is_set()
