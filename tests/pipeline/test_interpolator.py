"""Laws of the generator: counts, times, originals untouched, cuts, contexts, and how often each verb runs."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from scenes import moving

from tween.backends.prepare import prepare
from tween.errors import BrokenClock, UnknownTime
from tween.models.model import Model, Prediction, Spec
from tween.pipeline.interpolator import Interpolator, doublings
from tween.timeline import Rate, Slow, Times


class Mean(Model):
    """A linear model over any context, which remembers what it was asked: t and the frames it saw."""

    def __init__(self, context=(0, 1), *, any_time=True, multiple=1, kept_behind=None):
        super().__init__()
        self.spec = Spec(context, multiple=multiple, any_time=any_time, kept_behind=kept_behind)
        self.calls: Counter[str] = Counter()
        self.seen: list[list[float]] = []
        self.sizes: set[tuple[int, int]] = set()
        self.widths: list[list[int]] = []

    def __deepcopy__(self, memo):
        return self  # a backend may run a copy; the test reads what was asked of it

    def embed(self, frame):
        self.calls["embed"] += 1
        self.sizes.add(tuple(frame.shape[-2:]))
        return frame, frame * 2

    def relate(self, context):
        self.calls["relate"] += 1
        self.seen.append([round(float(e[0].mean()) * 255, 2) for e in context])
        self.widths.append([len(e) for e in context])
        here = self.spec.context.index(0)
        return context[here][0], context[min(here + 1, len(context) - 1)][0]

    def render(self, scene, t):
        self.calls["render"] += 1
        return Prediction(scene[0].lerp(scene[1], t.view(-1, 1, 1, 1)), {})


class Scripted:
    """Cuts where the test says: after these frame numbers."""

    def __init__(self, after=()):
        self.after, self.asked = set(after), 0

    def between(self, before, after):  # noqa: ARG002
        self.asked += 1
        return self.asked - 1 in self.after


def greys(n, *, rate=Fraction(25), size=(6, 8)):
    """Frames whose value is ten times their number."""
    return [Frame_(torch.full((3, *size), 10 * k, dtype=torch.uint8), k / rate) for k in range(n)]


def Frame_(data, pts):  # noqa: N802
    from tween.frame import Frame

    return Frame(data, pts)


def through(model, timeline, frames, **options):
    backend = prepare(model, frames[0].size, backend="torch", device="cpu", precision="fp32")
    interpolator = Interpolator(backend, timeline, options.pop("cuts", None), **options)
    return list(interpolator(iter(frames))), interpolator


@pytest.mark.parametrize("factor", [1, 2, 3, 8])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_times_gives_its_count_on_the_exact_grid(factor, n):
    frames = moving(n)
    out, _ = through(Mean(), Times(factor), frames)
    assert len(out) == (n - 1) * factor + 1
    assert [f.pts for f in out] == [Fraction(k, 25 * factor) for k in range(len(out))]


@pytest.mark.parametrize(("source", "wanted"), [(Fraction(24000, 1001), 60), (25, 30), (30, 144), (60, 24)])
def test_a_rate_lasts_as_long_as_the_video(source, wanted):
    frames = moving(12, rate=Fraction(source))
    out, _ = through(Mean(), Rate(wanted), frames)
    duration = 12 / Fraction(source)
    assert len(out) == -(-duration * wanted // 1)
    assert [f.pts for f in out] == [Fraction(k, wanted) for k in range(len(out))]
    assert out[-1].duration == Fraction(1, wanted)


@pytest.mark.parametrize("timeline", [Times(4), Rate(100), Rate(50)])
def test_a_source_instant_is_the_source_frame(timeline):
    frames = [replace(f, native=object()) for f in moving(5)]
    out, interpolator = through(Mean(), timeline, frames)
    by_pts = {f.pts: f for f in out}
    for frame in frames:
        assert by_pts[frame.pts].native is frame.native
        assert by_pts[frame.pts].data is frame.data
    last = sum(f.pts > frames[-1].pts for f in out)  # the last frame is held while it lasts
    assert interpolator.tally.rendered == len(out) - len(frames) - last


def test_values_between_follow_t():
    out, _ = through(Mean(), Times(5), greys(3))
    assert [int(f.data[0, 0, 0]) for f in out] == list(range(0, 21, 2))


def test_slow_stretches_time_and_the_last_frame():
    out, _ = through(Mean(), Slow(4), greys(3))
    assert [f.pts for f in out] == [Fraction(k, 25) for k in range(9)]
    assert out[-1].duration == Fraction(4, 25)


def test_a_variable_clock_stays_variable():
    times = [Fraction(0), Fraction(1, 30), Fraction(1, 10), Fraction(1, 2)]
    frames = [replace(f, pts=t) for f, t in zip(greys(4), times, strict=True)]
    out, _ = through(Mean(), Times(2), frames)
    assert [f.pts for f in out] == [
        Fraction(0), Fraction(1, 60), Fraction(1, 30), Fraction(1, 15), Fraction(1, 10), Fraction(3, 10), Fraction(1, 2)
    ]  # fmt: skip
    assert out[-1].duration == Fraction(2, 5)


CONTEXTS = [(0, 1), (-1, 0, 1, 2), (-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7)]


@pytest.mark.parametrize("context", CONTEXTS)
def test_embed_once_a_frame_relate_once_a_gap_render_once_an_instant(context):
    model = Mean(context)
    out, _ = through(model, Times(3), moving(9))
    assert model.calls == {"embed": 9, "relate": 8, "render": 16}
    assert len(out) == 25


@pytest.mark.parametrize("context", CONTEXTS)
def test_the_context_is_the_neighbours_in_order_clamped_at_the_ends(context):
    model = Mean(context)
    through(model, Times(2), greys(9))
    expected = [[10.0 * min(max(gap + k, 0), 8) for k in context] for gap in range(8)]
    assert model.seen == expected


def test_no_context_looks_across_a_cut():
    model = Mean((-1, 0, 1, 2))
    out, interpolator = through(model, Times(2), greys(6), cuts=Scripted(after={2}))
    assert model.seen == [[0, 0, 10, 20], [0, 10, 20, 20], [30, 30, 40, 50], [30, 40, 50, 50]]
    assert [int(f.data[0, 0, 0]) for f in out] == [0, 5, 10, 15, 20, 30, 30, 35, 40, 45, 50]
    assert interpolator.tally.cuts == 1


def test_a_cut_holds_the_nearer_frame():
    out, _ = through(Mean(), Times(4), greys(2), cuts=Scripted(after={0}))
    assert [int(f.data[0, 0, 0]) for f in out] == [0, 0, 10, 10, 10]


def test_a_cut_may_blend_or_be_ignored():
    blended, _ = through(Mean(), Times(2), greys(2), cuts=Scripted(after={0}), at_cut="blend")
    assert [int(f.data[0, 0, 0]) for f in blended] == [0, 5, 10]
    cuts = Scripted(after={0})
    through(Mean(), Times(2), greys(2), cuts=cuts, at_cut="off")
    assert cuts.asked == 0


def test_equal_frames_cost_nothing():
    model = Mean()
    frames = [Frame_(torch.full((3, 4, 4), 7, dtype=torch.uint8), Fraction(k)) for k in range(4)]
    out, _ = through(model, Times(2), frames)
    assert not model.calls
    assert all(bool((f.data == 7).all()) for f in out)
    assert len(out) == 7


def test_frames_outside_the_instants_are_never_embedded():
    model = Mean()
    through(model, Rate(Fraction(25, 4)), moving(9))  # every fourth frame: all are source frames
    assert not model.calls


def test_a_long_context_drops_what_lies_behind():
    model = Mean((-3, -2, -1, 0, 1, 2), kept_behind=1)
    through(model, Times(2), greys(9))
    assert model.widths[5] == [1, 1, 1, 2, 2, 2]


def test_the_canvas_pads_and_crops():
    model = Mean(multiple=16)
    frames = moving(2, size=(37, 51))
    out, _ = through(model, Times(2), frames)
    assert model.sizes == {(48, 64)}
    assert out[1].size == (37, 51)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_depth_is_kept(dtype):
    frames = [Frame_(f.data.to(dtype), f.pts) for f in moving(2)]
    out, _ = through(Mean(), Times(2), frames)
    assert {f.data.dtype for f in out} == {dtype}


def test_a_midpoint_model_says_what_it_cannot():
    with pytest.raises(UnknownTime, match="knows only the middle"):
        through(Mean(any_time=False), Times(3), greys(2))


@pytest.mark.parametrize(
    ("timeline", "rate", "passes"),
    [(Times(2), 30, 1), (Times(8), 30, 3), (Times(3), 30, None), (Times(1), 30, 0), (Rate(60), 30, 1),
     (Rate(60), 15, 2), (Rate(60), 24, None), (Rate(60), Fraction(60000, 1001), None),
     (Slow(4, rate=30), 30, 2), (Slow(4), 30, None)],
)  # fmt: skip
def test_how_often_the_gaps_are_halved(timeline, rate, passes):
    assert doublings(timeline, 1 / Fraction(rate)) == passes


def test_an_empty_source_gives_nothing():
    backend = prepare(Mean(), (4, 4), backend="torch", device="cpu", precision="fp32")
    assert list(Interpolator(backend, Times(2))(iter([]))) == []


def test_a_timeline_serves_a_second_video():
    timeline = Rate(50)
    through(Mean(), timeline, moving(3, start=Fraction(1, 3)))
    out, _ = through(Mean(), timeline, moving(3))
    assert [f.pts for f in out] == [Fraction(k, 50) for k in range(6)]


def test_a_clock_that_jumps_by_years_is_told_and_not_filled():
    far = [replace(frame, pts=frame.pts + (k == 2) * 10**8) for k, frame in enumerate(greys(3))]
    for timeline in (Rate(60), Slow(2, rate=60)):
        with pytest.raises(BrokenClock, match=r"one frame for \d.* s, from 0.*would be repeated .*--times 2"):
            through(Mean(), timeline, far)
    shown, _ = through(Mean(), Times(2), far)
    assert len(shown) == 5
    endless = [*greys(2)[:1], replace(greys(2)[1], duration=Fraction(10**7))]
    with pytest.raises(BrokenClock):
        through(Mean(), Rate(60), endless)
