"""Laws of what a network is shown: the rule for places, and that a sample depends on seed, round and lane alone."""

from fractions import Fraction
from itertools import islice

import pytest
import torch

from tween.data.augment import Augment
from tween.data.clips import PictureClip
from tween.data.loader import Places, Plan, Source, batches, order, shared_out
from tween.data.sample import windows
from tween.data.synthetic import SyntheticSet
from tween.errors import BadOption, TooShort
from tween.models import zoo
from tween.models.model import Spec

PAIR = Spec(context=(0, 1))


class Counting:
    """A clip whose frames say their own place; remembers what was read of it."""

    def __init__(self, name, length, size=(40, 48)):
        self.name, self.group, self.length, self._size, self.reads = name, "g", length, size, []

    def size(self):
        return self._size

    def read(self, places):
        self.reads.append(list(places))
        return [torch.full((3, *self._size), place, dtype=torch.uint8) for place in places]

    def flow(self, *_):
        return None


def plan(clips, spec=PAIR, gaps=(2,), **options):
    options = {"crop": (16, 16), "batch": 4, "seed": 3} | options
    return Plan(spec, (Source(tuple(clips), gaps),), **options)


def drawn(plan, count, step=0, lanes=None, workers=0):
    return list(islice(batches(plan, step, lanes=lanes or range(plan.batch), workers=workers), count))


def same(a, b):
    return all(
        x[4] == y[4] and torch.equal(x[0], y[0]) and torch.equal(x[1], y[1]) and torch.equal(x[2], y[2])
        for x, y in zip(a, b, strict=True)
    )


# The rule.


def test_a_midpoint_model_learns_the_real_middle():
    """Light_VFI: inputs 0, 2, 4, 6, target 3."""
    (window,) = windows(zoo.signature("lightvfi").spec, 2)
    assert window.context == (0, 2, 4, 6)
    assert window.target == 3
    assert window.t == Fraction(1, 2)
    assert window.labelled == (2, 4)


def test_lift_learns_the_real_middle_of_its_long_context():
    (window,) = windows(zoo.signature("lift-64").spec, 2)
    assert len(window.context) == 64
    assert (window.context[0], window.context[31], window.target, window.context[32]) == (0, 62, 63, 64)
    assert window.length == 127


def test_any_time_is_every_frame_of_the_gap():
    assert [(w.target, w.t) for w in windows(PAIR, 8)] == [(j, Fraction(j, 8)) for j in range(1, 8)]
    assert [w.target for w in windows(PAIR, 8, targets=(1, 4))] == [1, 4]


def test_a_predictor_is_shown_the_past_and_asked_for_what_came():
    one = Spec(context=(-1, 0), any_time=False)
    assert [(w.context, w.target, w.t, w.labelled) for w in windows(one, 1)] == [((0, 1), 2, 1, (0, 1))]
    any_time = Spec(context=(-1, 0))
    assert [(w.target, w.t) for w in windows(any_time, 2, ahead=3)] == [(4, 1), (6, 2), (8, 3)]


FOUR = Spec(context=(-1, 0, 1, 2))


def contexts(spec=FOUR, gaps=(2,), **augment):
    """Places of the contexts of many samples, less that of frame 0; the gap is 2 frames."""
    asked = plan([Counting("a", 40)], spec, gaps, draws=8, span=20, augment=Augment(**augment))
    frames = [batch[0][:, :, 0, 0, 0] for batch in drawn(asked, 16)]
    zero = spec.context.index(0)
    return [tuple(int(place - row[zero]) for place in row) for batch in frames for row in batch.tolist()]


def test_frames_beyond_the_gap_may_be_missing():
    assert set(contexts()) == {(-2, 0, 2, 4)}
    assert set(contexts(ends=1.0)) == {(0, 0, 2, 2)}
    some = contexts(ends=0.3)
    assert set(some) == {(-2, 0, 2, 4), (0, 0, 2, 4), (-2, 0, 2, 2), (0, 0, 2, 2)}
    assert 0.2 < sum(row[0] == 0 for row in some) / len(some) < 0.4
    assert set(contexts(Spec(context=(-1, 0)), gaps=(1,), ends=1.0)) == {(0, 0)}


def test_frames_beyond_the_gap_may_come_from_another_distance():
    some = contexts(skips=1.0)
    assert {row[1:3] for row in some} == {(0, 2)}
    assert all(row[0] < 0 and row[3] > 2 for row in some)
    assert len({row[0] for row in some}) > 5
    assert len({row[3] for row in some}) > 5


def test_a_longer_context_moves_as_one():
    six = Spec(context=(-2, -1, 0, 1, 2, 3))
    assert all(row[0] <= row[1] < row[2] < row[3] < row[4] <= row[5] for row in contexts(six, skips=1.0))
    assert set(contexts(six, ends=1.0)) == {(0, 0, 0, 2, 2, 2)}


def test_what_may_be_missing_is_nothing_to_a_pair():
    assert set(contexts(PAIR, ends=0.5, skips=0.5)) == {(0, 2)}


def test_an_odd_gap_has_no_middle():
    with pytest.raises(BadOption, match="a gap of 3 source frames; it learns the middle of a gap: an even number"):
        windows(Spec(context=(0, 1), any_time=False), 3)


# The draws.


def test_pictures_are_those_of_the_rule():
    (frames, target, t, flow, names), *_ = drawn(plan([Counting("a", 9)], gaps=(4,)), 1)
    assert frames.shape == (4, 2, 3, 16, 16)
    assert flow is None
    for i in range(4):
        first, second = int(frames[i, 0, 0, 0, 0]), int(frames[i, 1, 0, 0, 0])
        assert second - first == 4
        assert float(t[i]) == (int(target[i, 0, 0, 0]) - first) / 4
        assert f"frames {first}..{second}" in names[i]


@pytest.mark.parametrize(("draws", "span"), [(1, 0), (3, 5)])
@pytest.mark.slow
def test_a_sample_depends_on_its_step_alone(draws, span):
    """From any step on the batches are those of an uninterrupted run; ranks share them out; workers change nothing."""
    clips = [Counting(name, 12) for name in "abcde"]
    moved = Augment(flip_horizontal=0.5, reverse=0.5, jitter=0.5)
    asked = plan(clips, gaps=(2, 4), draws=draws, span=span, augment=moved)
    whole = drawn(asked, 11)
    for step in (1, 4, 7):
        assert same(drawn(asked, 4, step), whole[step : step + 4])
    left, right = drawn(asked, 5, lanes=range(2)), drawn(asked, 5, lanes=range(2, 4))
    for batch, a, b in zip(whole, left, right, strict=False):
        assert torch.equal(batch[0], torch.cat((a[0], b[0])))
        assert batch[4] == a[4] + b[4]
    assert same(drawn(asked, 4, 2, workers=2), whole[2:6])
    assert not same(drawn(plan(clips, gaps=(2, 4), seed=4), 2), whole[:2])


def test_every_place_comes_once_before_any_comes_twice():
    source = Source((Counting("a", 7), Counting("b", 5)), (2,))
    places = Places(source, plan([]))
    assert len(places.starts) == 5 + 3
    first = [places.chosen(visit, 0) for visit in range(8)]
    again = [places.chosen(visit, 0) for visit in range(8, 16)]
    assert len({(clip.name, start) for clip, start in first}) == 8
    assert {(clip.name, start) for clip, start in again} == {(clip.name, start) for clip, start in first}
    assert list(order(50, 0, 0)) != list(order(50, 0, 1))


def test_a_visit_reads_its_frames_once():
    clip = Counting("a", 30)
    drawn(plan([clip], batch=1, draws=6, span=6), 6)
    assert len(clip.reads) == 1
    assert clip.reads[0] == sorted(set(clip.reads[0]))


def test_shares_are_kept_evenly():
    kinds = [shared_out(visit, (0.25, 0.75)) for visit in range(100)]
    for start in range(0, 100, 4):
        assert sum(kind == 0 for kind, _ in kinds[start : start + 4]) == 1
    for kind in (0, 1):
        assert [turn for k, turn in kinds if k == kind] == list(range(25 if kind == 0 else 75))
    three = [shared_out(visit, (1, 1, 2))[0] for visit in range(400)]
    assert [three.count(kind) for kind in range(3)] == [100, 100, 200]


def test_drawn_scenes_bring_their_flow():
    scenes = SyntheticSet((64, 64), 20, 3, seed=1)
    asked = Plan(PAIR, (Source(scenes.clips, (2,)),), (32, 32), batch=2, label=True)
    (_, _, _, flow, _), *_ = drawn(asked, 1)
    assert flow.shape == (2, 4, 32, 32)


def test_a_label_is_found_where_there_is_none():
    (_, _, _, flow, _), *_ = drawn(plan([Counting("a", 9)], label=True, crop=(32, 32)), 1)
    assert flow.shape == (4, 4, 32, 32)
    assert float(flow.abs().max()) < 0.5  # nothing moves in it


# What can go wrong.


def test_a_set_too_short_is_refused_by_name():
    spec = zoo.signature("lightvfi").spec
    with pytest.raises(TooShort, match="has 5 frames; a context of 4 frames at a gap of 2 needs 7") as told:
        drawn(plan([Counting("a", 5)], spec), 1)
    assert told.value.fix == "--data.set vimeo90k-septuplet"


def test_a_broken_picture_gives_its_turn_to_another(tmp_path, caplog):
    good = Counting("good", 9)
    broken = PictureClip("bad", "g", tuple(str(tmp_path / f"{i}.png") for i in range(9)))
    (batch,) = drawn(plan([good, broken], batch=12), 1)
    assert len(batch[4]) == 12
    assert all(name.startswith("good") for name in batch[4])
    assert "0.png" in caplog.text or ".png" in caplog.text


# What moves.


class Moving(Counting):
    """A clip whose left half stands still and whose right half moves so many pixels."""

    def __init__(self, pixels, size=(40, 96)):
        super().__init__("m", 9, size)
        self.pixels = pixels

    def flow(self, *_):
        flow = torch.zeros(4, *self._size)
        flow[..., self._size[1] // 2 :] = self.pixels
        return flow


def moved(samples):
    return [float(flow.abs().mean()) for batch in samples for flow in batch[3]]


def test_samples_that_move_too_little_are_rarer_and_those_that_move_too_much_are_none():
    asked = {"label": True, "motion": (0.5, 6.0)}
    none = moved(drawn(plan([Moving(4.0)], still=0.0, **asked), 40))
    assert min(none) >= 0.5
    all_of_them, some = (moved(drawn(plan([Moving(4.0)], batch=16, **asked, still=share), 25)) for share in (1.0, 0.3))
    rest, kept = (sum(pixels < 0.5 for pixels in found) / len(found) for found in (all_of_them, some))
    assert 0.3 < rest < 0.7
    assert kept == pytest.approx(0.3 * rest / (0.3 * rest + 1 - rest), abs=0.08)
    calm = moved(drawn(plan([Moving(4.0), Moving(9.0)], still=1.0, **asked), 40))
    assert max(calm) <= 6.0


def test_a_set_that_moves_in_no_way_that_is_asked_for_is_told():
    with pytest.raises(TooShort, match=r"no sample.*as --data\.motion says"):
        drawn(plan([Moving(0.0)], label=True, motion=(0.5, 6.0), still=0.0), 1)


def test_motion_is_asked_of_flow_that_is_found_on_the_spot_too():
    clips = SyntheticSet((64, 80), length=4, count=3, seed=5).clips
    found = drawn(plan(clips, crop=(32, 32), label=True, motion=(0.2, 20.0), still=0.0), 6)
    assert min(moved(found)) >= 0.2
