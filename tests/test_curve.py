"""Speed ramps: exact where they can be, monotone always, and told in words where a file makes no sense."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tween.curve import NEAR, Curve, at_rate
from tween.errors import BadOption, MissingFile

F = Fraction
speeds = st.fractions(min_value=F(1, 16), max_value=8, max_denominator=16)
steps = st.fractions(min_value=F(1, 10), max_value=3, max_denominator=30)


@st.composite
def curves(draw):
    """A curve by speeds or by output times, at some rate."""
    times = [F(0)]
    for _ in range(draw(st.integers(1, 4))):
        times.append(times[-1] + draw(steps))
    if draw(st.booleans()):
        made = Curve.of_speeds([(time, draw(speeds)) for time in times])
    else:
        out, rows = F(0), []
        for time in times:
            rows.append((time, out))
            out += draw(steps)
        made = Curve.of_times(rows)
    return at_rate(made, draw(st.sampled_from([24, 30, F(60000, 1001)])), F(0))


def walk(curve, frames, end):
    """(pts, source time shown) of every instant, in the order in which a renderer asks."""
    shown = [(i.pts, a + i.t * (b - a)) for a, b in pairwise(frames) for i in curve.between(a, b)]
    return shown + [(i.pts, frames[-1]) for i in curve.after(frames[-1], end)]


def steady(rate, count, start=0):
    return [F(start) + k / F(rate) for k in range(count)], start + count / F(rate)


@given(curves(), st.integers(2, 40))
def test_ticks_are_constant_and_the_source_never_runs_back(curve, count):
    shown = walk(curve, *steady(24, count))
    assert [pts for pts, _ in shown] == [k / curve.rate for k in range(len(shown))]
    assert all(a <= b for (_, a), (_, b) in pairwise(shown))
    assert shown[0] == (0, 0)


@given(curves(), st.integers(3, 40))
@pytest.mark.slow
def test_the_way_back_is_the_way_there(curve, count):
    frames, end = steady(24, count)
    for pts, source in walk(curve, frames, end):
        if source < frames[-1]:
            assert abs(curve.span(F(0), source) - pts) < NEAR / F(1, 20)


@given(curves(), st.integers(2, 30))
def test_a_video_lasts_as_long_as_the_curve_makes_it(curve, count):
    frames, end = steady(24, count)
    assert abs(len(walk(curve, frames, end)) / curve.rate - curve.span(F(0), end)) <= 1 / curve.rate + NEAR


@given(curves(), st.fractions(-3, 9), st.fractions(-9, 9))
def test_a_span_can_be_undone(curve, a, seconds):
    assert abs(curve.span(a, curve.source_after(a, seconds)) - seconds) < F(1, 10**7)


@given(curves())
@pytest.mark.slow
def test_asking_from_the_middle_gives_the_same_instants(curve):
    frames, _ = steady(24, 30)
    whole = [curve.between(a, b) for a, b in pairwise(frames)]
    again = Curve(curve.pieces, curve.rate, origin=frames[0])
    assert [again.between(a, b) for a, b in list(pairwise(frames))[17:]] == whole[17:]


def test_constant_speed_is_slow_motion_to_the_fraction():
    curve = at_rate(Curve.of_speeds([(F(0), F(1, 4))]), 24, F(0))
    shown = walk(curve, *steady(24, 5))
    assert shown[:17] == [(F(k, 24), F(k, 96)) for k in range(17)]
    assert curve.span(F(1), F(2)) == 4


def test_a_ramp_accelerates_evenly_over_the_output():
    """From 1 to 1/4 within 2.5 s of film: 4 s of output at a mean speed of 5/8; half way there the speed is 5/8."""
    curve = at_rate(Curve.of_speeds([(F(0), F(1)), (F(5, 2), F(1, 4))]), 1000, F(0))
    assert curve.span(F(0), F(5, 2)) == 4
    shown = dict(walk(curve, *steady(1000, 2600)))
    for out in (F(1, 2), F(1), F(2), F(7, 2)):
        assert abs(shown[out] - (out - F(3, 32) * out**2)) <= NEAR
    assert abs((shown[F(2001, 1000)] - shown[F(1999, 1000)]) * 500 - F(5, 8)) < F(1, 100)


def test_two_rows_at_one_time_are_a_jump_and_originals_stay_originals():
    curve = at_rate(Curve.of_speeds([(F(1), F(1)), (F(1), F(1, 2)), (F(2), F(1, 2)), (F(2), F(1))]), 24, F(0))
    shown = walk(curve, *steady(24, 73))
    assert shown[:24] == [(F(k, 24), F(k, 24)) for k in range(24)]
    assert shown[24:72] == [(F(k, 24), 1 + F(k - 24, 48)) for k in range(24, 72)]
    assert shown[72:97] == [(F(k, 24), F(k, 24) - 1) for k in range(72, 97)]


def test_output_times_are_met_exactly_and_joined_without_a_jump():
    rows = [(F(0), F(0)), (F(1), F(1)), (F(2), F(5)), (F(3), F(6))]
    curve = at_rate(Curve.of_times(rows), 100, F(0))
    for source, out in rows:
        assert abs(curve.span(F(0), source) - out) <= F(1, 10**8)
    assert all(a.then == b.speed for a, b in pairwise(curve.pieces))


def test_time_counts_from_the_file_s_beginning():
    curve = at_rate(Curve.of_speeds([(F(0), F(1)), (F(1), F(1)), (F(1), F(1, 2))]), 24, F(100))
    shown = walk(curve, *steady(24, 49, start=100))
    assert shown[0] == (100, 100)
    assert (F(102), F(203, 2)) in shown
    windowed = at_rate(Curve.of_speeds([(F(0), F(1)), (F(1), F(1)), (F(1), F(1, 2))]), 24, F(100))
    assert walk(windowed, *steady(24, 25, start=101))[2] == (F(101) + F(2, 24), F(101) + F(1, 24))


FILES = {
    "a.txt": "# a ramp\n0 1\n\n2.5 0.25  # slow here\n4 1\n",
    "b.csv": "source,speed\n0,100%\n0:02.5,1/4\n4,1x\n",
    "c.yaml": "- {source: 0, speed: 1}\n- {speed: 0.25, source: 2.5}\n- {source: 4, speed: 1}\n",
    "d.json": "[[0, 1], [2.5, 0.25], [4, 1]]",
    "e.tsv": "time\tspeed\n0\t1\n2.5\t.25\n4\t1",
}


@pytest.mark.parametrize("name", FILES)
def test_every_way_of_writing_says_the_same(tmp_path, name):
    (tmp_path / name).write_text(FILES[name])
    rows = [(F(0), F(1)), (F(5, 2), F(1, 4)), (F(4), F(1))]
    assert Curve.read(tmp_path / name).pieces == Curve.of_speeds(rows).pieces


@pytest.mark.parametrize("name", ["a.csv", "a.yaml"])
def test_a_file_of_output_times(tmp_path, name):
    text = (
        "source output\n0 0\n1 1\n2 1:05\n" if name == "a.csv" else "- {source: 0, output: 0}\n- {source: 2, output: 8}"
    )
    (tmp_path / name).write_text(text)
    rows = [(F(0), F(0)), (F(1), F(1)), (F(2), F(65))] if name == "a.csv" else [(F(0), F(0)), (F(2), F(8))]
    assert Curve.read(tmp_path / name).pieces == Curve.of_times(rows).pieces


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.txt", "", r"a curve without keyframes; at least one is needed; try: lines such as `0 1`"),
        ("a.txt", "0 1\n1 fast\n", r"--curve a\.txt, line 2: fast; a source time and a speed are needed"),
        ("a.txt", "0 1 2\n", r"--curve a\.txt, line 1: 0 1 2; two columns are needed"),
        ("a.txt", "0 1\n2 0\n", r"a speed of 0 at 2 s; one from 1/1000 to 1000 is needed"),
        ("a.txt", "0 -1\n", r"a speed of -1 at 0 s"),
        ("a.txt", "3 1\n2 1\n", r"a keyframe at 2 s after one at 3 s; times must grow"),
        ("a.txt", "source depth\n0 1\n", r"line 1: source depth; `source speed` or `source output`"),
        ("a.txt", "source output\n0 0\n", r"a curve of 1 output times; at least two keyframes are needed"),
        ("a.txt", "source output\n0 0\n1 2\n2 2\n", r"keyframes 1 2 and 2 2; source and output times must both grow"),
        ("a.yaml", "a: [", r"--curve a\.yaml is no YAML"),
        ("a.yaml", "source: 1", r"--curve a\.yaml is no list"),
        ("a.yaml", "- 3\n", r"keyframe 1: 3; two columns"),
        ("a.txt", b"\xff\xfe\x00\x80", r"--curve a\.txt cannot be read"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_place(tmp_path, name, text, words):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadOption, match=words):
        Curve.read(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(MissingFile, match=r"--curve .*ramp\.txt is not there; a file of keyframes is needed"):
        Curve.read(tmp_path / "ramp.txt")


def test_a_curve_needs_a_rate():
    with pytest.raises(BadOption, match=r"a curve without a frame rate.*rate=30"):
        Curve.of_speeds([(F(0), F(1))]).between(F(0), F(1))
