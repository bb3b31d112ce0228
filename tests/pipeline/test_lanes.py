"""Gaps side by side: the same frames, in order, no further ahead than they need, and errors where they happen."""

import threading
from concurrent.futures import Future
from fractions import Fraction
from itertools import islice

import cv2
import numpy as np
import pytest
import torch
from clips import Clip
from scenes import moving
from torch import nn

from tween.backends import wrappers
from tween.backends.backend import Backend, at_once
from tween.backends.prepare import prepare
from tween.backends.torch import TorchBackend
from tween.backends.wrappers import Tiled, most_at_once
from tween.errors import UnknownTime
from tween.frame import Frame
from tween.models import bend, zoo
from tween.models.model import Model, Prediction, Spec
from tween.pipeline import journal
from tween.pipeline.confidence import Guard
from tween.pipeline.config import RenderConfig
from tween.pipeline.interpolator import Interpolator
from tween.pipeline.journal import Trail
from tween.pipeline.lanes import TOGETHER, Coming, Lanes, Once, in_lanes, settled
from tween.pipeline.recipe import render
from tween.timeline import Rate, Times
from tween.video.cuts import CutDetector
from tween.video.doors import open_source

SIZE = (96, 128)


@pytest.fixture(autouse=True)
def few_threads():
    """What lanes of one thread are compared with."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


@pytest.fixture
def three_lanes():
    lanes = Lanes(3, 1)
    yield lanes
    lanes.close()


def video():
    """Two shots, the first with a frame that is shown twice."""
    first, second = moving(6, size=SIZE, seed=1), moving(5, size=SIZE, seed=2, start=Fraction(6, 25))
    first[3] = Frame(first[2].data, first[3].pts)
    return [*first, *second]


def interpolator(name, timeline, **options):
    most = most_at_once(name, SIZE, torch.get_num_threads())
    backend = prepare(zoo.load(name), SIZE, backend="torch", device="cpu", precision="fp32", at_once=most)
    return Interpolator(backend, timeline, CutDetector(), guard=Guard("blend"), **options)


@pytest.mark.parametrize("timeline", [Times(2), Times(TOGETHER + 3), Rate(60)], ids=["x2", "many", "rate"])
@pytest.mark.parametrize("name", ["dis", "dis-fast", "tweennet"])
@pytest.mark.slow
def test_lanes_do_not_show(name, timeline, three_lanes):
    alone, laned = interpolator(name, timeline), interpolator(name, timeline, lanes=three_lanes)
    one, other = list(alone(iter(video()))), list(laned(iter(video())))
    assert [(f.pts, f.duration) for f in one] == [(f.pts, f.duration) for f in other]
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.data, b.data), a.pts
    assert alone.tally.rendered == laned.tally.rendered > 0
    assert (alone.tally.cuts, alone.tally.frames_in) == (laned.tally.cuts, laned.tally.frames_in) == (1, 11)
    assert laned.tally.model_s > 0


class Slow(TorchBackend):
    """Counts gaps at work, and waits in each for company."""

    def __init__(self, model, parties):
        super().__init__(model)
        self.barrier = threading.Barrier(parties, timeout=20)
        self.embedded = []

    def embed(self, frame):
        self.embedded.append(threading.current_thread().name)
        return super().embed(frame)

    def render(self, scene, t):
        self.barrier.wait()
        return super().render(scene, t)


def test_gaps_are_really_made_side_by_side(three_lanes):
    backend = Slow(zoo.load("blend"), 3)  # with fewer at once the barrier breaks
    frames = moving(7, size=SIZE)
    shown = list(Interpolator(backend, Times(2), lanes=three_lanes)(iter(frames)))
    assert len(shown) == 13
    assert len(backend.embedded) == 7
    assert all(name.startswith("tween-lane") for name in backend.embedded)


def test_a_render_can_be_gone_on_with_at_the_same_places(three_lanes):
    """What the trail knows while a frame passes does not depend on lanes."""

    def marks(lanes):
        trail = Trail(4)
        one = interpolator("dis", Times(3), lanes=lanes, trail=trail)
        return [trail.mark(frame.pts) for frame in one.begun(iter(video()))]

    assert marks(three_lanes) == marks(None)


def test_no_more_is_begun_than_lanes_need():
    lanes, drawn = Lanes(2, 1), []
    batches = [Future() for _ in range(40)]

    def begun():
        for k, batch in enumerate(batches):
            drawn.append(k)
            yield Coming(Fraction(k), batch, 0)

    frames = settled(begun(), lanes)
    for k, batch in enumerate(batches):
        batch.set_result([Frame(torch.zeros(3, 2, 2, dtype=torch.uint8), Fraction(0))])
        assert next(frames).pts == k
        assert len(drawn) <= k + 4
    lanes.close()


def test_originals_do_not_pile_up_behind_what_is_not_made():
    lanes, batch, drawn = Lanes(2, 1), Future(), []

    def begun():
        yield Coming(Fraction(0), batch, 0)
        for k in range(1, 500):
            drawn.append(k)
            yield Frame(torch.zeros(3, 2, 2, dtype=torch.uint8), Fraction(k))

    timer = threading.Timer(0.3, batch.set_result, [[Frame(torch.zeros(3, 2, 2, dtype=torch.uint8), Fraction(0))]])
    timer.start()
    assert next(settled(begun(), lanes)).pts == 0
    assert len(drawn) <= 4 * TOGETHER
    lanes.close()


class Breaks(TorchBackend):
    """Fails at the third gap."""

    gaps = 0

    def relate(self, context):
        self.gaps += 1
        if self.gaps == 3:
            raise RuntimeError("the third gap")
        return super().relate(context)


def test_an_error_is_raised_where_it_happens(three_lanes):
    one = Interpolator(Breaks(zoo.load("blend")), Times(2), lanes=three_lanes)
    shown = []
    with pytest.raises(RuntimeError, match="the third gap"):
        shown.extend(one(iter(moving(9, size=SIZE))))
    # which of three lanes comes third is theirs to say; nothing is left out before it
    assert [f.pts for f in shown] == [Fraction(k, 50) for k in range(len(shown))]


def test_an_instant_that_nobody_knows_is_told_before_anything_is_begun(three_lanes):
    backend = prepare(zoo.create("lightvfi-16"), (32, 32), backend="torch", device="cpu", precision="fp32")
    with pytest.raises(UnknownTime):
        list(Interpolator(backend, Times(3), lanes=three_lanes)(iter(moving(4, size=(32, 32)))))


def test_a_render_that_is_given_up_ends(three_lanes):
    frames = interpolator("dis", Times(4), lanes=three_lanes)(iter(video()))
    assert len(list(islice(frames, 5))) == 5
    frames.close()
    three_lanes.close()  # returns


def test_threads_are_shared_for_as_long():
    torch.set_num_threads(6)
    cv2.setNumThreads(5)
    one = interpolator("tweennet", Times(2))
    with in_lanes(one):
        assert (one.lanes.count, one.lanes.threads) == (6, 1)
        assert cv2.getNumThreads() == 1
        (told,) = one.lanes.begin([Fraction(0)], lambda: [torch.get_num_threads()])
        assert told.batch.result() == [1]
    assert one.lanes is None
    assert (torch.get_num_threads(), cv2.getNumThreads()) == (6, 5)
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [6]


def test_renders_beside_each_other_leave_the_threads_as_they_were():
    torch.set_num_threads(4)
    cv2.setNumThreads(3)
    one, other = interpolator("dis", Times(2)), interpolator("tweennet", Times(2))
    first, second = in_lanes(one), in_lanes(other)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert cv2.getNumThreads() == 1  # the other is at work
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    second.__exit__(None, None, None)
    assert (cv2.getNumThreads(), torch.get_num_threads(), later) == (3, 4, [4])


def test_free_memory_does_not_show(monkeypatch):
    """What DIS finds hangs on OpenCV's threads, so those hang on nothing that changes between two runs."""
    torch.set_num_threads(4)
    cv2.setNumThreads(4)
    seen = {}
    for free in (10**6, 10**12):
        monkeypatch.setattr(wrappers, "free_memory", lambda _, free=free: free)
        one = interpolator("dis", Times(2))
        with in_lanes(one):
            seen[free] = one.lanes is not None, cv2.getNumThreads()
    assert seen == {10**6: (False, 1), 10**12: (True, 1)}


def test_who_is_given_several_at_once(monkeypatch):
    def given(name, asked=4):
        return at_once(prepare(zoo.create(name), SIZE, backend="torch", device="cpu", at_once=asked))

    assert given("tweennet") == given("dis") == 4
    assert given("ifrnet-t") == given("blend") == 1  # a network's own threads do better
    assert most_at_once("dis", SIZE, 1) == 1
    assert most_at_once("dis", SIZE, 64) == wrappers.MOST_AT_ONCE
    monkeypatch.setattr(wrappers, "free_memory", lambda _: 10**10)
    assert 1 < most_at_once("tweennet", (2160, 3840), 8) < 8  # each holds a frame's worth
    assert most_at_once("lift", (2160, 3840), 8) == 1


def test_tiles_take_several_only_while_one_is_the_whole():
    def made(_):
        return TorchBackend(zoo.load("dis"), at_once=2)

    whole = Tiled(made, SIZE, SIZE)
    assert isinstance(whole, Backend)
    assert (at_once(whole), whole.searches) == (2, True)
    parted = Tiled(made, (192, 256), SIZE)
    assert (at_once(parted), parted.searches) == (1, True)


class Small(Model):
    """A convolution over both frames."""

    def __init__(self):
        super().__init__()
        self.spec = Spec((0, 1), multiple=4)
        self.mix = nn.Conv2d(6, 3, 3, 1, 1)

    def render(self, scene, t):
        shown = self.mix(torch.cat(scene, 1)).sigmoid()
        return Prediction(scene[0].lerp(shown, t.view(-1, 1, 1, 1)), {})


@pytest.mark.slow
def test_openvino_makes_several_at_once():
    pytest.importorskip("openvino")
    torch.manual_seed(0)
    model, frames, how = Small().eval(), moving(6, size=SIZE), {"backend": "openvino", "precision": "fp32"}
    alone, both = prepare(model, SIZE, **how), prepare(model, SIZE, **how, at_once=2)
    assert at_once(alone) == 1
    if at_once(both) == 1:
        pytest.skip("OpenVINO thinks that this machine has one thread")
    one, laned = Interpolator(alone, Times(3)), Interpolator(both, Times(3))
    plain = list(one(iter(frames)))
    with in_lanes(laned):
        assert laned.lanes.count == 2
        shown = list(laned(iter(frames)))
    for a, b in zip(plain, shown, strict=True):
        assert (a.data.int() - b.data.int()).abs().max() <= 1  # a rounding on either side of a half
    assert at_once(prepare(model, SIZE, **how, at_once=2)) == 2  # from the cache
    assert at_once(prepare(model, (640, 960), **how, at_once=2)) == 1  # which keeps all threads busy alone


@pytest.mark.slow
def test_a_whole_render_in_lanes_is_the_one_without(tmp_path, monkeypatch):
    """From file to file, stopped on the way; on one thread there are no lanes."""
    monkeypatch.setattr(journal, "SEGMENT_FRAMES", 20)
    clip = Clip(frames=30, size=(96, 128)).make(tmp_path / "clip.mp4")

    def pictures(name, threads, stop=None):
        torch.set_num_threads(threads)
        config = RenderConfig(clip, tmp_path / name, times=3, codec="ffv1")
        if stop is not None:
            with pytest.raises(Stopped):
                render(config, stop)
        report = render(config)
        with open_source(tmp_path / name) as source:
            return report, [frame.data.clone() for frame in source]

    def stop(status):
        if status.frames == 70:
            raise Stopped

    (_, alone), (report, laned) = pictures("alone.mkv", 1), pictures("laned.mkv", 3, stop)
    assert len(alone) == len(laned) == 88
    assert all(torch.equal(a, b) for a, b in zip(alone, laned, strict=True))
    assert report.resumed > 0
    assert torch.get_num_threads() == 3


class Stopped(Exception):
    """As far as a render can be stopped without a process of its own."""


def test_tiles_shrink_once_for_all_who_ran_out():
    sizes, inside = [], threading.Barrier(3, timeout=20)

    class Short(TorchBackend):
        def embed(self, frame):
            if max(frame.shape[-2:]) > 128:
                inside.wait()
                raise MemoryError
            return super().embed(frame)

    def make(size):
        sizes.append(size)
        return Short(zoo.load("blend"))

    backend = Tiled(make, (128, 256), (128, 256))
    picture = torch.rand(1, 3, 128, 256)
    threads = [threading.Thread(target=backend.embed, args=(picture,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [(128, 256), (128, 128)]


def test_what_is_computed_once_is_waited_for():
    made, gate = [], threading.Event()

    def make():
        gate.wait(20)
        made.append(1)
        return 7

    once, got = Once(make), []
    threads = [threading.Thread(target=lambda: got.append(once())) for _ in range(4)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert got == [7] * 4
    assert made == [1]


def test_a_search_is_made_once_whoever_asks(monkeypatch):
    made, gate = [], threading.Event()

    def dense_search(a, b, **_):
        gate.wait(20)
        made.append((a, b))
        if len(made) == 2:
            raise RuntimeError("the second")
        return np.zeros((*a.shape, 2), np.float32)

    monkeypatch.setattr(bend, "dense_search", dense_search)
    search, lumas, got = bend.Searches(), [torch.rand(1, 32, 48) for _ in range(2)], []
    threads = [threading.Thread(target=lambda: got.append(search(*lumas))) for _ in range(4)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len({id(one) for one in got}) == 1
    with pytest.raises(RuntimeError, match="the second"):
        search(*lumas[::-1])
    assert search(*lumas[::-1]).shape == (1, 32, 48, 2)  # what failed is tried again
