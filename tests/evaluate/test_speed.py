"""Speed: laps in turns, exact counts, ratios. A clock of our own tells the time, so that nothing here is timed."""

import json
import re
from xml.etree import ElementTree

import pytest
import torch

from tween.backends.torch import TorchBackend
from tween.errors import BadOption, MissingFile, NoWeights, UnknownModel
from tween.evaluate import memory, peers, speed, tradeoff
from tween.evaluate.speed import Clock, Lap, Runner, Verbs
from tween.evaluate.subjects import at_hand, enliven, pictures, subject
from tween.models import weights, zoo
from tween.models.cost import FIGURES
from tween.models.model import Model, Prediction, Spec


class Hands:
    """The hands of a clock that only moves when work is done."""

    def __init__(self):
        self.wall = self.cpu = 0.0
        self.clock = Clock(lambda: self.wall, lambda: self.cpu)

    def spend(self, wall, cpu=None):
        self.wall += wall
        self.cpu += wall if cpu is None else cpu


class Slow(Model):
    """A model whose verbs take 1, 10 and 100 ms of a clock of ours, and are counted."""

    def __init__(self, hands, any_time=True):
        super().__init__()
        self.spec = Spec(context=(-1, 0, 1, 2), any_time=any_time)
        self.hands, self.calls = hands, []

    def embed(self, frame):
        self.calls.append("embed")
        self.hands.spend(0.001, 0.002)
        return (frame,)

    def relate(self, context):
        self.calls.append("relate")
        self.hands.spend(0.010, 0.020)
        return super().relate(context)

    def render(self, scene, t):  # noqa: ARG002
        self.calls.append("render")
        self.hands.spend(0.100, 0.200)
        return Prediction(scene[1], {})


def backend(hands, any_time=True):
    ready = TorchBackend(Slow(hands, any_time))
    ready._model.hands = hands  # the backend runs a copy
    return ready


def steady(name, ms, **facts):
    """A runner whose laps take the given milliseconds, in turn."""
    left = list(ms)
    return Runner(name, "torch", "fp32", "cpu", lambda _: Lap(left.pop(0) / 1000, 0.5), **facts)


def test_a_lap_is_one_gap_of_a_video():
    hands = Hands()
    verbs = Verbs(ready := backend(hands), pictures((32, 48), 4))
    assert ready._model.calls == ["embed"] * 3
    lap = verbs.lap(hands.clock)
    assert ready._model.calls[3:] == ["embed", "relate", "render"]
    assert lap.wall == pytest.approx(0.111)
    assert lap.cpu == pytest.approx(0.222)
    assert lap.parts == pytest.approx({"embed": 0.001, "relate": 0.01, "render": 0.1})


@pytest.mark.parametrize(("any_time", "ms_x8"), [(True, 1 + 10 + 7 * 100), (False, 7 * 111)])
def test_x8_embeds_and_relates_once(any_time, ms_x8):
    hands = Hands()
    verbs = Verbs(backend(hands, any_time), pictures((32, 48), 4))
    runner = Runner("slow", "torch", "fp32", "cpu", verbs.lap, is_midpoint=not any_time)
    row = speed.row_of(runner, speed.race([runner], 3, clock=hands.clock)[0])
    assert (row.ms, row.embed_ms, row.relate_ms, row.render_ms) == pytest.approx((111, 1, 10, 100))
    assert row.ms_x8 == pytest.approx(ms_x8)
    assert row.fps == pytest.approx(1000 / 111)
    assert row.fps_x8 == pytest.approx(7000 / ms_x8)
    assert row.cpu_ms == pytest.approx(222)


def test_runners_take_turns():
    order = []

    def runner(name):
        def lap(_):
            order.append(name)
            return Lap(1.0, 1.0)

        return Runner(name, "torch", "fp32", "cpu", lap)

    told = []
    laps = speed.race([runner(name) for name in "abc"], 3, watch=told.append)
    assert "".join(order) == "abcbcacab"
    assert [len(mine) for mine in laps] == [3, 3, 3]
    assert told == list(range(1, 10))


def test_no_race_without_laps():
    with pytest.raises(BadOption, match=r"--runs 0; at least one is needed; try: --runs 7"):
        speed.race([steady("a", [1])], 0)


def test_medians_quartiles_and_ratios():
    runner, yard = steady("ours", [10, 11, 12, 13, 500]), steady("eager", [30, 36, 36, 36, 40])
    mine, theirs = speed.race([runner, yard], 5)
    row = speed.row_of(runner, mine, theirs)
    assert (row.ms, row.ms_low, row.ms_high) == pytest.approx((12, 11, 13))
    assert row.ratio == pytest.approx(3)
    assert row.cpu_ratio == pytest.approx(1)
    assert speed.row_of(yard, theirs, theirs).ratio == 1
    assert speed.row_of(runner, mine).ratio is None
    assert row.render_ms is row.fps_x8 is None


@pytest.mark.parametrize(
    ("values", "wanted"), [([5.0], (5, 5)), ([1.0, 9.0, 2.0], (1, 9)), ([1.0, 2.0, 3.0, 4.0, 5.0], (2, 4))]
)
def test_quartiles(values, wanted):
    assert speed.quartiles(values) == wanted


def test_a_row_is_whole():
    one = subject("blend")
    runner = speed.runner_of(one, (36, 50), "auto", "cpu", "auto")
    row = speed.row_of(runner, speed.race([runner], 2)[0]).as_json()
    assert {
        "model",
        "backend",
        "precision",
        "ms",
        "fps",
        "ratio",
        "peak_memory_mb",
        "parameters",
        "gmacs",
    } <= row.keys()
    assert (row["model"], row["backend"], row["weights"], row["parameters"], row["gmacs"]) == (
        "blend",
        "torch",
        "",
        0,
        0,
    )
    assert row["runs"] == 2
    json.dumps(row)


def test_a_network_without_weights_is_timed_with_random_ones_and_says_so():
    one = subject("ifrnet-elan")
    assert one.weights == "random"
    runner = speed.runner_of(one, (32, 48), "torch", "cpu", "fp32")
    assert runner.cost.parameters == 243_535
    _, gmacs_720p = FIGURES["ifrnet-elan"]
    assert runner.cost.macs == pytest.approx(gmacs_720p * 1e9 * 32 * 48 / (720 * 1280), rel=0.01)
    row = speed.row_of(runner, speed.race([runner], 1)[0])
    assert speed.cells(row)[0] == "ifrnet-elan (random weights)"
    assert row.gmacs == pytest.approx(runner.cost.macs / 1e9)


def test_random_weights_are_the_same_each_time_and_leave_the_dice_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = enliven(zoo.create("ifrnet-elan"), seed=1)
    torch.manual_seed(3)
    second = enliven(zoo.create("ifrnet-elan"), seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    torch.manual_seed(3)
    subject("blend")
    assert torch.equal(torch.rand(1), expected)


def test_names_that_are_not_there():
    with pytest.raises(UnknownModel):
        subject("ifrnet-z")
    with pytest.raises((NoWeights, UnknownModel)):
        subject("ifrnet-s@nothing")


def test_a_file_of_weights_is_timed_as_it_is(tmp_path):
    model = zoo.create("ifrnet-elan")
    path = tmp_path / "mine.safetensors"
    weights.write(model.state_dict(), path, name="ifrnet-elan")
    one = subject(str(path))
    assert (one.name, one.entry.name, one.weights) == ("mine.safetensors", "ifrnet-elan", "mine.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), one.model.parameters(), strict=True))


def test_what_is_at_hand_runs():
    assert {"blend", "nearest", "dis"} <= set(at_hand())
    for name in at_hand():
        assert subject(name).weights != "random"


@pytest.mark.parametrize("name", ["ifrnet-elan", "rife-4.6", "lightvfi-16"])
@pytest.mark.slow
def test_eager_shows_what_the_backend_shows(name):
    """The yardstick is the same network: its own way, the same picture."""
    one = subject(name)
    yard, ours = peers.eager(one, (64, 96)), speed.runner_of(one, (64, 96), "torch", "cpu", "fp32")
    assert speed.likeness(yard.shown(), ours.shown()) > 80
    assert yard.lap(speed.REAL).parts == {}


def test_the_plain_warp_equals_ours_and_stays_for_a_block():
    from tween.models import ifrnet
    from tween.ops.warp import backward_warp

    image, flow = torch.rand(2, 3, 20, 30), 4 * torch.randn(2, 2, 20, 30)
    for padding in ("border", "zeros"):
        plain, ours = (warp(image, flow, padding=padding) for warp in (peers.plain_warp, backward_warp))
        assert torch.allclose(plain, ours, atol=1e-4)
    with peers.published_warp():
        assert ifrnet.backward_warp is peers.plain_warp
    assert ifrnet.backward_warp is backward_warp


def test_a_program_is_timed_without_its_start(monkeypatch):
    hands = Hands()
    runner = peers._program("x", "x", (16, 16), lambda frames: hands.spend(5 + 0.2 * (len(frames) - 2)))
    assert runner.lap(hands.clock).wall == pytest.approx(0.2)
    monkeypatch.setenv("PATH", "")
    assert peers.programs((16, 16)) == []


def test_pictures_move_by_five_and_three():
    first, second = pictures((40, 60), 2)
    assert first.shape == (1, 3, 40, 60)
    assert torch.equal(first[..., 3:, 5:], second[..., :-3, :-5])
    assert 0 <= float(first.min()) < float(first.max()) <= 1


def test_memory_is_what_a_block_adds():
    with memory.growth() as grown:
        held = torch.ones(16_000_000)
        del held
    if grown.mb is None:
        pytest.skip("this system does not tell")
    assert 50 < grown.mb < 120


def test_likeness():
    black = torch.zeros(1, 3, 4, 4)
    assert speed.likeness(black, black) == 200
    assert speed.likeness(black, black + 0.1) == pytest.approx(20, abs=1e-4)


def test_markdown_has_a_cell_for_every_head():
    runner = steady("a", [1.0, 1.0])
    lines = speed.markdown([speed.row_of(runner, speed.race([runner], 2)[0])]).splitlines()
    assert len({line.count("|") for line in lines}) == 1


# --- quality against speed


def rows(*names):
    found = []
    for k, name in enumerate(names):
        runner = steady(name, [10.0 * (k + 1)])
        found.append(speed.row_of(runner, speed.race([runner], 1)[0]))
    return found


@pytest.mark.parametrize(
    "content",
    [
        {"model": "dis", "psnr": 35.0},
        [{"model": "dis", "means": {"psnr": 35.0}}],
        {"results": [{"model": "runs/dis", "psnr": 35.0}, {"model": "x", "psnr": None}]},
    ],
)
def test_quality_in_any_of_its_forms(tmp_path, content):
    path = tmp_path / "q.json"
    path.write_text(json.dumps(content))
    assert tradeoff.quality_of(path) == {"dis": 35.0}


def test_quality_that_cannot_be_read(tmp_path):
    path = tmp_path / "q.json"
    with pytest.raises(MissingFile, match=r"q\.json is not there; a file of `tween evaluate --json` is needed"):
        tradeoff.quality_of(path)
    path.write_text("{")
    with pytest.raises(BadOption, match=r"q\.json is no JSON"):
        tradeoff.quality_of(path)
    path.write_text("{}")
    with pytest.raises(BadOption, match=r"holds no psnr of a model; .*; try: tween evaluate MODEL \.\.\. --json FILE"):
        tradeoff.quality_of(path)


def test_the_plot_is_a_drawing_of_its_own():
    text = tradeoff.plot(rows("dis", "blend", "<b>"), {"dis": 35.0, "blend": 28.0, "<b>": 30.0}, size=(720, 1280))
    tree = ElementTree.fromstring(text)
    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    words = [element.text for element in tree.iter() if element.text]
    assert {"dis", "blend", "<b>"} <= set(words)
    marks = re.findall(r'<circle class="mark s0" cx="([\d.]+)" cy="([\d.]+)"', text)
    placed = sorted((float(x), float(y)) for x, y in marks)
    assert len(placed) == 3
    assert placed[0][1] < placed[2][1] < placed[1][1]  # by ms: dis, blend, <b>; the higher dB the higher up


def test_a_plot_needs_someone_in_both():
    with pytest.raises(BadOption, match=r"quality is known of blend, speed of dis; a model in both is needed"):
        tradeoff.plot(rows("dis"), {"blend": 28.0}, size=(720, 1280))
