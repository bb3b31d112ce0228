"""Laws of time: what is asked for, how much of it, and that it is exact."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tween.errors import BadOption
from tween.timeline import Rate, Slow, Times, broadcast_rate, common_step, exact, positive, whole

FILM = Fraction(24000, 1001)
rates = st.one_of(
    st.sampled_from([Fraction(n) for n in (12, 24, 25, 30, 50, 60, 120, 144)] + [FILM, Fraction(60000, 1001)]),
    st.fractions(min_value=Fraction(1, 2), max_value=120, max_denominator=1001),
)
starts = st.fractions(min_value=-10, max_value=10_000, max_denominator=90_000)
steps = st.lists(
    st.fractions(min_value=Fraction(1, 1000), max_value=Fraction(1, 2), max_denominator=90_000), min_size=1, max_size=6
)


@st.composite
def videos(draw):
    """The frames' times, and the end, of a video of any frame rate, constant or not."""
    times = [draw(starts)]
    for step in draw(steps):
        times.append(times[-1] + step)
    return times[:-1], times[-1]


def steady(rate, count, start=Fraction(0)):
    """`count` frames at a constant rate, and when the last of them ends."""
    return [start + i / Fraction(rate) for i in range(count)], start + count / Fraction(rate)


def walk(timeline, frames, end):
    """Every instant, with the source time that it shows, in the order in which a renderer asks."""
    shown = []
    for a, b in pairwise(frames):
        shown += [(instant, a + instant.t * (b - a)) for instant in timeline.between(a, b)]
    return shown + [(instant, frames[-1]) for instant in timeline.after(frames[-1], end)]


def pts(shown):
    return [instant.pts for instant, _ in shown]


TIMELINES = st.one_of(
    st.integers(1, 9).map(Times),
    rates.map(Rate),
    st.integers(1, 9).map(Slow),
    st.builds(Slow, st.fractions(min_value=Fraction(1, 8), max_value=4, max_denominator=12), rate=rates),
)


class TestEveryTimeline:
    @given(TIMELINES, videos())
    def test_pts_grow_and_are_exact(self, timeline, video):
        shown = walk(timeline, *video)
        assert all(isinstance(number, Fraction) for instant, _ in shown for number in instant)
        assert all(a < b for a, b in pairwise(pts(shown)))
        assert all(0 <= instant.t < 1 for instant, _ in shown)

    @given(TIMELINES, videos())
    def test_the_first_frame_is_shown_first_and_as_it_is(self, timeline, video):
        instant, source = walk(timeline, *video)[0]
        assert instant == (video[0][0], 0)
        assert source == video[0][0]

    @given(TIMELINES, videos())
    @pytest.mark.slow
    def test_an_instant_shows_the_source_where_the_clock_says(self, timeline, video):
        """pts - start is the source's time since its start, stretched, until the last frame is held."""
        frames, end = video
        for instant, source in walk(timeline, frames, end):
            asked = frames[0] + (instant.pts - frames[0]) / timeline.stretch()
            assert source == min(asked, frames[-1])

    @given(TIMELINES, videos())
    def test_t_is_0_exactly_where_an_instant_is_a_frame(self, timeline, video):
        frames, end = video
        for a, b in pairwise(frames):
            for instant in timeline.between(a, b):
                assert (instant.t == 0) == (a + instant.t * (b - a) in frames)
        assert all(instant.t == 0 for instant in timeline.after(frames[-1], end))

    @given(TIMELINES, starts, st.fractions(-100, 100), st.fractions(-100, 100))
    def test_spans_add_up_and_can_be_undone(self, timeline, a, first, second):
        b, c = timeline.source_after(a, first), timeline.source_after(a, first + second)
        assert timeline.span(a, b) == first
        assert timeline.span(b, c) == second
        assert timeline.span(a, a + 1) == timeline.stretch()

    @given(TIMELINES, videos(), st.integers(1, 90_000))
    def test_every_pts_is_on_the_grid(self, timeline, video, ticks_a_second):
        base = Fraction(1, ticks_a_second)
        frames = [round(time / base) * base for time in video[0]]
        assume(all(a < b for a, b in pairwise(frames)))
        grid = timeline.grid(base)
        assert all((instant.pts / grid).denominator == 1 for instant, _ in walk(timeline, frames, frames[-1] + 1))

    @given(TIMELINES, videos())
    def test_a_tick_is_the_step_between_neighbours(self, timeline, video):
        shown = pts(walk(timeline, *video))
        if timeline.tick() is not None:
            assert {b - a for a, b in pairwise(shown)} <= {timeline.tick()}


class TestTimes:
    @given(st.integers(1, 50), videos())
    def test_n_frames_become_n_minus_1_times_k_plus_1(self, k, video):
        frames, end = video
        shown = walk(Times(k), frames, end)
        assert len(shown) == (len(frames) - 1) * k + 1
        assert [instant.pts for instant, _ in shown if instant.t == 0] == frames

    @given(videos())
    def test_a_gap_is_divided_evenly_however_long(self, video):
        frames, end = video
        shown = pts(walk(Times(4), frames, end))
        for i, (a, b) in enumerate(pairwise(frames)):
            assert shown[4 * i : 4 * i + 5] == [a + (b - a) * k / 4 for k in range(5)]

    @pytest.mark.parametrize("given", [3, "3", " 3 ", "3.0", Fraction(3), 3.0])
    def test_takes_whole_numbers_however_written(self, given):
        assert Times(given).factor == 3


class TestRate:
    @given(rates, videos())
    def test_a_video_of_d_seconds_gets_ceil_d_times_rate_frames(self, rate, video):
        frames, end = video
        shown = pts(walk(Rate(rate), frames, end))
        assert len(shown) == math.ceil((end - frames[0]) * rate)
        assert shown == [frames[0] + k / rate for k in range(len(shown))]

    @pytest.mark.parametrize(
        ("source", "rate", "count", "shown"),
        [(FILM, 60, 240, 601), (25, 30, 250, 300), (30, 144, 300, 1440), (Fraction(30000, 1001), 24, 1001, 802)],
    )
    def test_counts_of_the_common_conversions(self, source, rate, count, shown):
        assert len(walk(Rate(rate), *steady(source, count))) == shown

    def test_from_film_to_60(self):
        frames, end = steady(FILM, 4)
        t = [instant.t for instant, _ in walk(Rate(60), frames, end)]
        assert t[:4] == [0, Fraction(400, 1001), Fraction(800, 1001), Fraction(199, 1001)]

    def test_from_25_to_30(self):
        t = [instant.t for instant, _ in walk(Rate(30), *steady(25, 6))]
        assert t == [0, Fraction(5, 6), Fraction(4, 6), Fraction(3, 6), Fraction(2, 6), Fraction(1, 6), 0, 0]

    def test_from_30_to_144(self):
        shown = walk(Rate(144), *steady(30, 11))
        originals = [source for instant, source in shown if instant.t == 0 and instant.pts == source]
        assert originals == [Fraction(k, 6) for k in (0, 1, 2)]  # both clocks meet six times a second

    @given(rates, st.integers(2, 40), starts, st.integers(1, 6))
    def test_a_multiple_of_the_source_hits_every_frame(self, rate, count, start, factor):
        frames, end = steady(rate, count, start)
        shown = walk(Rate(rate * factor), frames, end)
        assert [source for instant, source in shown[: (count - 1) * factor + 1] if instant.t == 0] == frames

    def test_a_lower_rate_thins_out(self):
        shown = walk(Rate(12), *steady(24, 9))
        assert [source for _, source in shown] == [Fraction(k, 12) for k in range(5)]

    def test_ten_hours_of_film_do_not_drift(self):
        """A million gaps on, the clock is asked near the end only: it counts from the first frame."""
        timeline, gap = Rate(60), 1 / FILM
        assert timeline.between(Fraction(0), gap)[0] == (0, 0)
        far = 863_136 * gap  # 36000.1306.. s
        instants = timeline.between(far, far + gap)
        assert [i.pts * 60 for i in instants] == [math.ceil(far * 60) + k for k in range(len(instants))]
        assert all(far + i.t * gap == i.pts for i in instants)

    @given(rates, videos())
    def test_a_gap_between_two_ticks_gets_nothing(self, rate, video):
        frames, end = video
        timeline = Rate(rate)
        for a, b in pairwise([*frames, end]):
            asked = timeline.between(a, b)
            assert abs(len(asked) - (b - a) * rate) < 1

    @given(rates, videos(), starts)
    def test_ticks_run_through_a_given_origin(self, rate, video, origin):
        frames, end = video
        for tick in pts(walk(Rate(rate, origin=origin), frames, end)):
            assert ((tick - origin) * rate).denominator == 1
            assert frames[0] <= tick < end

    @given(rates, starts, st.integers(1, 90_000))
    def test_the_grid_holds_a_given_origin(self, rate, origin, ticks_a_second):
        timeline = Rate(rate, origin=origin)
        grid = timeline.grid(Fraction(1, ticks_a_second))
        assert all((tick / grid).denominator == 1 for tick in pts(walk(timeline, *steady(24, 5))))


class TestSlow:
    @given(st.integers(1, 12), videos())
    def test_a_whole_factor_keeps_every_frame(self, factor, video):
        frames, end = video
        shown = walk(Slow(factor), frames, end)
        assert len(shown) == (len(frames) - 1) * factor + 1
        assert [source for instant, source in shown if instant.t == 0] == frames
        assert shown[-1][0].pts - frames[0] == factor * (frames[-1] - frames[0])

    def test_two_and_a_half_at_the_sources_rate(self):
        shown = walk(Slow("2.5", rate=24), *steady(24, 3))
        assert [source * 24 for _, source in shown] == [Fraction(2 * k, 5) for k in range(6)] + [2, 2]
        assert pts(shown) == [Fraction(k, 24) for k in range(8)]  # 3 frames last 7.5 ticks

    @given(st.fractions(min_value=Fraction(1, 8), max_value=4, max_denominator=12), rates, videos())
    def test_a_rate_gets_ceil_of_the_stretched_time(self, factor, rate, video):
        frames, end = video
        shown = walk(Slow(factor, rate=rate), frames, end)
        assert len(shown) == math.ceil((end - frames[0]) * factor * rate)

    def test_a_half_doubles_the_speed(self):
        shown = walk(Slow("1/2", rate=24), *steady(24, 9))
        assert [source * 24 for _, source in shown] == [0, 2, 4, 6, 8]

    def test_a_given_origin_stays_where_it_is(self):
        shown = walk(Slow(2, origin=Fraction(0)), *steady(1, 3, start=Fraction(1)))
        assert pts(shown) == [2, 3, 4, 5, 6]

    def test_a_broken_factor_without_a_rate_says_what_it_needs(self):
        with pytest.raises(
            BadOption, match=r"--slow 5/2 without a frame rate; .*not whole.*; try: Slow\(factor, rate=30\)"
        ):
            Slow("2.5").between(Fraction(0), Fraction(1))


class TestNumbers:
    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("60", 60),
            ("59.94", Fraction(5994, 100)),
            ("24000/1001", FILM),
            ("24000:1001", FILM),
            (" 30 ", 30),
            (".5", Fraction(1, 2)),
            ("5.", 5),
            ("1e2", 100),
            (0.1, Fraction(1, 10)),
            (1e-05, Fraction(1, 100_000)),
            (Fraction(5, 2), Fraction(5, 2)),
            ("-3", -3),
        ],
    )
    def test_text_means_its_decimal_value(self, text, number):
        assert exact(text) == number

    @pytest.mark.parametrize(
        "text", ["", "fast", "nan", "inf", "1/0", "3/", "/3", "1/2/3", "1 2", "0x10", "1_000", None, True, "9" * 5000]
    )
    def test_what_is_no_number_is_none(self, text):
        assert exact(text) is None

    @given(st.fractions())
    def test_any_fraction_survives_its_text(self, number):
        assume(len(str(number)) < 60)
        assert exact(str(number)) == number

    @pytest.mark.parametrize("value", [0, -1, "fast", "nan", "1e6", "1/0", None])
    @pytest.mark.parametrize(("make", "option"), [(Rate, "--rate"), (Slow, "--slow")])
    def test_a_rate_or_factor_that_cannot_be_is_told(self, make, option, value):
        with pytest.raises(BadOption) as told:
            make(value)
        assert str(told.value) == f"{option} {value}; a number above 0 is needed, such as {EXAMPLES[option]}"

    @pytest.mark.parametrize("value", [0, -2, 2.5, "two", "5/2", None, 10_001, "1e900"])
    def test_times_that_cannot_be_are_told(self, value):
        with pytest.raises(BadOption) as told:
            Times(value)
        assert str(told.value) == f"--times {value}; a whole number from 1 to 10000 is needed; try: --times 2"

    def test_whole_and_positive_return_what_they_checked(self):
        assert whole("4", "--times", least=1) == 4
        assert positive("0.5", "--slow") == Fraction(1, 2)

    @pytest.mark.parametrize(
        ("text", "rate"),
        [
            ("23.976", FILM),
            ("23.98", FILM),
            ("29.97", Fraction(30000, 1001)),
            ("59.94", Fraction(60000, 1001)),
            ("119.88", Fraction(120000, 1001)),
            ("24", Fraction(24)),
            ("60", Fraction(60)),
            ("59.9", Fraction(599, 10)),
            ("25", Fraction(25)),
        ],
    )
    def test_rounded_broadcast_rates_mean_the_exact_ones(self, text, rate):
        assert broadcast_rate(exact(text)) == rate

    @given(*[st.fractions(min_value=Fraction(1, 1000), max_value=1000)] * 2)
    def test_the_common_step_divides_both_and_none_larger_does(self, a, b):
        step = common_step(a, b)
        assert (a / step).denominator == (b / step).denominator == 1
        assert math.gcd(int(a / step), int(b / step)) == 1


EXAMPLES = {"--rate": "60, 23.976 or 24000/1001", "--slow": "4, 2.5 or 5/2"}
