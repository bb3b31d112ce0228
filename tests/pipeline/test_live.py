"""Live: the newest wins, deadlines hold, nothing queues, the delay is as small as it can be."""

import itertools
import re
import time
from fractions import Fraction

import pytest
import torch
from live_world import World, moving

from tween.errors import BadOption, Conflict, UnknownTime
from tween.frame import Frame
from tween.models.model import Spec
from tween.pipeline.ladder import Ladder, Rung, Window, rungs
from tween.pipeline.live_start import LiveConfig, live_run
from tween.pipeline.pace import Pace

GAP = Fraction(1, 30)
MS = Fraction(1, 1000)
PREDICTS = Spec(context=(-1, 0))


def test_a_fast_model_shows_every_picture_in_order_and_originals_untouched():
    world = World()
    world.live(3)
    stats = world.run.stats()
    pts = [shown.frame.pts for _, shown in world.shown]
    assert pts == [Fraction(k, 60) for k in range(len(pts))]
    assert len(pts) > 160
    assert stats.dropped == stats.skipped == stats.late == 0
    for _, shown in world.shown:
        k, is_between = divmod(shown.frame.pts * 60, 2)
        assert shown.made == bool(is_between)
        if not shown.made:
            assert torch.equal(shown.frame.data, moving(int(k)))
        assert torch.equal(shown.original.data, moving(int(k)))
    assert 59 < stats.fps_out < 61
    assert 29 < stats.fps_in < 31


@pytest.mark.parametrize("cost", [0, 5, 12, 20, 28], ids="{} ms".format)
@pytest.mark.slow
def test_interpolation_shows_everything_within_two_source_frames(cost):
    world = World(cost=lambda _: cost * MS)
    world.live(3)
    latencies = [moment - (world.begun + shown.frame.pts) for moment, shown in world.shown]
    assert max(latencies[20:]) < 2 * GAP
    assert min(latencies) >= GAP - MS  # the frame after it has to be seen first
    stats = world.run.stats()
    assert stats.dropped <= 1
    assert stats.skipped == 0
    assert stats.latency_ms == pytest.approx(float(sorted(latencies)[len(latencies) // 2]) * 1000, abs=2)


def test_the_delay_is_only_what_the_work_needs():
    light, heavy = World(), World(cost=lambda _: 25 * MS)
    light.live(2)
    heavy.live(2)
    assert light.run.stats().latency_ms < 37 < heavy.run.stats().latency_ms


@pytest.mark.slow
def test_the_delay_falls_again_when_the_work_gets_lighter():
    world = World(cost=lambda _: (28 if world.time < 1002 else 1) * MS)
    world.live(2)
    before = world.run.pace.delay
    world.live(4)
    assert world.run.pace.delay < before - 5 * MS


def test_a_slow_model_drops_and_never_queues():
    world = World(cost=lambda _: 55 * MS)
    world.live(4)
    stats = world.run.stats()
    assert stats.dropped > 20
    assert 0 <= stats.wanted - stats.shown - stats.dropped <= 4  # what is on its way
    pts = [shown.frame.pts for _, shown in world.shown]
    assert pts == sorted(set(pts))
    latencies = [moment - (world.begun + shown.frame.pts) for moment, shown in world.shown]
    assert max(latencies[20:]) < 2 * GAP + 55 * MS  # it does not fall behind: two frames, and what it just worked on


@pytest.mark.parametrize("cost", [60, 150, 400], ids="{} ms".format)
@pytest.mark.slow
def test_however_slow_the_model_what_is_shown_is_new(cost):
    world = World(cost=lambda _: cost * MS)
    world.live(8)
    latencies = [moment - (world.begun + shown.frame.pts) for moment, shown in world.shown[10:]]
    assert max(latencies) < 2 * GAP + cost * MS
    assert sorted(latencies)[len(latencies) // 2] < 2 * GAP + 20 * MS
    assert len(latencies) > 10


def test_the_newest_frame_wins():
    world = World()
    for k in range(4):
        world.run.push(Frame(moving(k), k * GAP))
    assert world.run.work()
    assert world.run.stats().skipped == 3
    assert world.run.stats().frames_in == 4
    assert world.run._stage.gaps.newest.frame.pts == 3 * GAP
    assert not world.run.work()  # nothing waited behind it


def test_late_work_is_not_begun():
    world = World()
    for k in range(2):
        world.run.push(Frame(moving(k), k * GAP), world.time + k * GAP)
        world.run.work()
    world.time += 1
    while world.run.work():
        pass
    assert world.backends[0].rendered == 0
    assert world.run.stats().dropped == 1  # the picture in between; the frame itself costs nothing


def test_of_several_that_are_due_the_newest_is_shown():
    world = World()
    for k in range(3):
        world.run.push(Frame(moving(k), k * GAP), world.time + k * GAP)
        while world.run.work():
            pass
    world.time += 2 * GAP + world.run.pace.delay
    assert world.run.take().frame.pts == Fraction(3, 60)
    assert world.run.stats().shown == 1
    assert world.run.stats().dropped == 3
    assert world.run.take() is None


@pytest.mark.parametrize("cost", [0, 10, 20], ids="{} ms".format)
@pytest.mark.slow
def test_prediction_adds_no_delay(cost):
    world = World(cost=lambda _: cost * MS, spec=PREDICTS)
    world.live(3)
    early = [(world.begun + shown.frame.pts) - moment for moment, shown in world.shown[10:]]
    assert min(early) > 0  # each was seen before its own frame came
    assert world.run.stats().latency_ms < 0
    assert world.run.stats().dropped <= 1
    for _, shown in world.shown[10:]:
        assert shown.frame.pts == shown.original.pts + GAP
        assert shown.made


def test_prediction_at_twice_the_rate_looks_half_a_frame_and_a_frame_ahead():
    world = World(spec=PREDICTS, rate=Fraction(60))
    world.live(2)
    ahead = {shown.frame.pts - shown.original.pts for _, shown in world.shown[10:]}
    assert ahead == {GAP / 2, GAP}
    assert [b.frame.pts - a.frame.pts for (_, a), (_, b) in zip(world.shown, world.shown[1:], strict=False)][5:] == [
        Fraction(1, 60)
    ] * (len(world.shown) - 6)


def test_a_cut_is_held():
    def picture(k):
        return torch.full((3, 36, 64), 20 if k < 30 else 230, dtype=torch.uint8) + (moving(k, (36, 64)) % 9)

    world = World(picture=picture)
    world.live(2)
    assert world.run.stats().cuts == 1
    means = [float(shown.frame.data.float().mean()) for _, shown in world.shown]
    assert not any(60 < mean < 190 for mean in means)


def test_frames_that_are_equal_cost_nothing():
    world = World(picture=lambda _: moving(0))
    world.live(1)
    assert world.backends[0].rendered == 0
    assert world.run.stats().fps_out > 50


def test_a_pause_holds_steps_and_goes_on():
    world = World()
    world.live(1)
    world.run.pause(True)
    count = len(world.shown)
    world.live(1)
    assert len(world.shown) == count
    seen = []
    for _ in range(4):
        world.run.step()
        world.live(0.2)
        seen.append(world.shown[-1][1].frame.pts)
        assert len(world.shown) == count + len(seen)  # one each
    assert seen == sorted(set(seen))
    world.run.pause(False)
    world.live(2.5)
    late = [moment - (world.begun + shown.frame.pts) for moment, shown in world.shown[-30:]]
    assert max(late) < 2 * GAP
    assert world.run.stats().fps_out > 50


def test_what_was_begun_before_a_pause_is_not_shown_after_it():
    world = World(cost=lambda _: 20 * MS)
    world.live(0.5)
    pausing = world.run.pause

    def cost(_):  # while a picture is made, somebody holds and goes on
        pausing(True)
        world.time += 3
        world.begun += 3
        pausing(False)
        world.cost = lambda _: 20 * MS
        return 5 * MS

    world.cost = cost
    world.live(1)
    latencies = [moment - (world.begun + shown.frame.pts) for moment, shown in world.shown[-20:]]
    assert world.cost is not cost
    assert max(latencies) < 2 * GAP
    stats = world.run.stats()
    assert stats.wanted - stats.shown - stats.dropped <= 4
    assert stats.latency_p95_ms < 70


def test_after_a_long_silence_it_begins_anew():
    world = World()
    for k, pts in enumerate([Fraction(0), GAP, Fraction(60)]):
        world.run.push(Frame(moving(k), pts))
        while world.run.work():
            pass
    assert world.run.stats().wanted == 2  # and not 3600 pictures of a minute in which nobody saw anything
    world.run.push(Frame(moving(3), 60 + GAP))
    world.run.work()
    assert world.run.stats().wanted == 4


def test_the_end_is_shown():
    world = World()
    world.live(0.5)
    last, world.begun = world.frames - 1, Fraction(10**6)  # no more frames
    world.run.finish()
    for _ in range(300):
        world.run.work()
        world.pass_by(MS)
    assert world.run.is_over
    assert world.shown[-1][1].frame.pts >= last * GAP
    assert torch.equal(world.shown[-1][1].frame.data, moving(last))


def test_frames_of_another_size_begin_anew():
    world = World(picture=lambda k: moving(k, (16, 24) if k < 20 else (24, 16)))
    world.live(1.5)
    sizes = [shown.frame.size for _, shown in world.shown]
    assert sizes[0] == (16, 24)
    assert sizes[-1] == (24, 16)
    assert len(world.backends) == 2
    assert world.run.stats().size == (24, 16)


# ---- holding the rate


def large(k):
    return moving(k, (32, 48))


LADDER = (Rung("test", Fraction(1)), Rung("test", Fraction(1, 2)), Rung("cheap", Fraction(1)))


def settled(world: World, seconds: float) -> None:
    """Live on; another backend is built on a thread of its own, in real time."""
    until = world.time + Fraction(seconds)
    while world.time < until:
        world.live(0.25)
        building = world.run._stage.building
        while building is not None and not building.done():
            time.sleep(0.001)


@pytest.mark.slow
def test_the_rate_is_held_by_a_smaller_size_and_it_says_so():
    # 64 ms at the whole size, 16 ms at half of it: 48 % of the time, so that four times as much would not fit
    world = World(cost=lambda pixels: pixels * MS / 24, picture=large, rungs=LADDER, hold_rate=True)
    settled(world, 6)
    assert world.said == ["the rate is not held: now test at 24x16"]
    before = world.run.stats()
    settled(world, 3)
    stats = world.run.stats()
    assert stats.dropped - before.dropped <= 2
    assert stats.fps_out > 58
    assert stats.size == (16, 24)
    assert stats.steps == tuple(world.said)
    assert world.shown[-1][1].frame.size == (16, 24)
    assert world.shown[-1][1].original.size == (32, 48)


def test_without_hold_rate_nothing_steps():
    world = World(cost=lambda _: 60 * MS, rungs=LADDER[:1])
    settled(world, 5)
    assert world.said == []
    assert world.run.stats().size == (16, 24)


@pytest.mark.slow
def test_it_steps_up_again_only_after_a_while_and_where_there_is_room():
    burden = [Fraction(1, 24)]
    world = World(cost=lambda pixels: pixels * MS * burden[0], picture=large, rungs=LADDER, hold_rate=True)
    settled(world, 5)
    down_at = world.time
    burden[0] = Fraction(1, 400)  # light: up again, but not at once
    settled(world, 1)
    assert len(world.said) == 1
    settled(world, 8)
    assert world.said[1] == "time to spare: now test at 48x32"
    assert world.time - down_at > 5
    # 51 ms at the whole size: too much. 13 ms at half of it leave no room for four times as much
    burden[0] = Fraction(1, 30)
    settled(world, 12)
    assert world.said[2:] == ["the rate is not held: now test at 24x16"]


SIZES = (Rung("test", Fraction(1)), Rung("test", Fraction(3, 4)))


def test_a_ladder_waits_twice_as_long_after_each_mistake():
    ladder, ups = Ladder(SIZES), []
    for second in range(300):
        place = ladder.place
        ladder.judge(Window(60, 30 if place == 0 else 0, 0.3))
        if ladder.place < place:
            ups.append(second)
    waits = [b - a for a, b in itertools.pairwise(ups)]
    assert all(b > 1.5 * a for a, b in itertools.pairwise(waits))
    assert len(ups) <= 7


def test_a_ladder_does_not_step_up_where_the_larger_size_would_not_fit():
    ladder = Ladder(SIZES)
    for _ in range(3):
        ladder.judge(Window(60, 30, 0.9))
    for _ in range(60):
        assert ladder.judge(Window(60, 0, 0.6)) == 1


def test_ladders_go_from_sizes_to_cheaper_models():
    def told(*args, **more):
        return [f"{rung.model} {rung.scale}" for rung in rungs(*args, **more)]

    assert told("dis", Fraction(1), predicts=False) == [
        "dis 1", "dis 3/4", "dis 1/2", "dis-fast 1", "dis-fast 1/2", "blend 1", "blend 1/2"
    ]  # fmt: skip
    assert told("dis-fast", Fraction(1), predicts=False)[3:] == ["blend 1", "blend 1/2"]
    assert told("ifrnet-s", Fraction(1, 2), predicts=False)[:4] == [
        "ifrnet-s 1/2", "ifrnet-s 3/8", "ifrnet-s 1/4", "dis 1/2"
    ]  # fmt: skip
    assert told("dis-ahead", Fraction(1), predicts=True)[-2:] == ["repeat 1", "repeat 1/2"]
    assert told("blend", Fraction(1), predicts=False) == ["blend 1", "blend 3/4", "blend 1/2"]


# ---- time


@pytest.mark.slow
def test_time_does_not_drift():
    pace = Pace(Fraction(1, 60), GAP, ahead=1)
    rate = Fraction(30000, 1001)
    for k in range(20_000):  # eleven minutes
        pace.came(k / rate, 5 + k / rate)
    assert pace.at(20_000 / rate) == 5 + 20_000 / rate
    assert pace.delay == 1 / rate


def test_one_slow_picture_delays_no_other():
    pace = Pace(Fraction(1, 60), GAP, ahead=1)
    pace.came(Fraction(0), Fraction(100))
    for k in range(60):
        pace.done(k * GAP, 100 + k * GAP + GAP + (Fraction(1, 5) if k == 30 else 0))
    assert pace.lead < 5 * MS


def test_a_frame_that_is_held_up_on_its_way_moves_nothing():
    pace = Pace(Fraction(1, 60), GAP, ahead=1)
    for k in range(30):
        pace.came(k * GAP, 100 + k * GAP + (k % 3) * 9 * MS)
    assert pace.at(Fraction(7)) == 107


# ---- with real models


def real(config, seconds=0.4, size=(32, 48)):
    """Frames through a run with its own threads; waits for a picture that a model made."""
    with live_run(config, source_rate=Fraction(30)) as run:
        begun, made = time.monotonic(), None
        for k in range(2000):
            run.push(Frame(moving(k, size), Fraction(k, 30)))
            shown = run.take(0.03)
            made = shown if shown is not None and shown.made else made
            if made is not None and time.monotonic() - begun > seconds:
                break
        return made, run.stats()


@pytest.mark.parametrize("config", [LiveConfig(), LiveConfig(predict=True), LiveConfig(model="blend")], ids=str)
def test_it_runs_with_its_own_threads(config):
    made, stats = real(config)
    assert made is not None
    expected = {True: "dis-ahead", False: "dis-fast"}[config.predict]
    assert stats.model == (expected if config.model == "default" else config.model)
    assert stats.shown > 0


def test_a_flow_is_told_where_the_model_has_one():
    with live_run(LiveConfig(), source_rate=Fraction(30)) as run:
        run.look = True
        for k in range(2000):
            run.push(Frame(moving(k, (48, 64)), Fraction(k, 30)))
            shown = run.take(0.03)
            if shown is not None and shown.made:
                break
        assert shown.flow.shape == (2, 48, 64)


def test_an_error_of_the_work_is_raised_where_pictures_are_taken():
    world = World()
    world.run._stage._build = None

    def taken():
        with world.run as run:
            run.push(Frame(moving(0), Fraction(0)))
            for _ in range(100):
                time.sleep(0.01)
                run.take()

    with pytest.raises(TypeError):
        taken()


@pytest.mark.parametrize(
    ("config", "kind", "words"),
    [
        (LiveConfig(model="dis-ahead"), UnknownTime, "dis-ahead predicts; it knows nothing between two frames"),
        (LiveConfig(model="dis", predict=True), UnknownTime, "to predict, a context must end at 0, the newest frame"),
        (LiveConfig(scale=Fraction(2)), BadOption, "--scale 2; more than 0 and at most 1 is needed; try: --scale 0.5"),
    ],
    ids=["a predictor", "no predictor", "a scale above 1"],
)  # fmt: skip
def test_what_cannot_be_is_said_before_it_begins(config, kind, words):
    with pytest.raises(kind, match=re.escape(words)):
        live_run(config, source_rate=Fraction(30))


def test_a_model_that_knows_only_the_middle_says_which_rate_it_can():
    from tween.models.classic import Blend
    from tween.pipeline.live_start import check

    model = Blend()
    model.spec = Spec(context=(0, 1), any_time=False)
    check(model, "halver", rate=Fraction(60), source_rate=Fraction(30), predict=False)
    with pytest.raises(Conflict, match="halver knows only the middle of a gap; try: --rate 60"):
        check(model, "halver", rate=Fraction(90), source_rate=Fraction(30), predict=False)
