"""What a run of a model over a set gives: equal to an independent computation, in order, and nothing left behind."""

import threading
import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from threading import Barrier, BrokenBarrierError

import numpy as np
import pytest
import small_sets
import torch
from PIL import Image

from tween.backends.torch import TorchBackend
from tween.data.sets import open_set
from tween.errors import BadOption, BrokenPicture, TooShort
from tween.evaluate.engine import Prepared
from tween.evaluate.protocols import protocol_of
from tween.evaluate.score import score
from tween.metrics.image import ssim_3d
from tween.models import zoo
from tween.models.model import Model, Prediction, Spec


@pytest.fixture
def triplets(tmp_path):
    return small_sets.ucf101(tmp_path), open_set("ucf101", tmp_path, "test")


def shown(name, first, last):
    """What `blend` and `nearest` show at t = 1/2, by numpy alone, in 0..255."""
    return (first.astype(np.float64) + last) / 2 if name == "blend" else first.astype(np.float64)


def rounding(ours, truth):
    """The least and the largest error of every value after rounding: a half may go either way."""
    errors = [np.abs(way(ours) - truth) for way in (lambda x: np.ceil(x - 0.5), lambda x: np.floor(x + 0.5))]
    return np.minimum(*errors), np.maximum(*errors)


@pytest.mark.parametrize("name", ["blend", "nearest"])
def test_rows_equal_an_independent_computation(triplets, name):
    pictures, data = triplets
    result = score(zoo.load(name), data, protocol_of("ucf101"), metrics=("psnr", "psnr_8bit", "ssim_3d", "ie"))
    assert [row.name for row in result.rows] == ["1", "2", "3"]
    for row, (first, truth, last) in zip(result.rows, pictures, strict=True):
        ours = shown(name, first, last)
        assert row.scores["psnr"] == pytest.approx(small_sets.psnr(ours, truth), abs=1e-3)
        least, most = rounding(ours, truth)
        assert np.sqrt((least**2).mean()) - 1e-3 <= 255 / 10 ** (row.scores["psnr_8bit"] / 20)
        assert 255 / 10 ** (row.scores["psnr_8bit"] / 20) <= np.sqrt((most**2).mean()) + 1e-3
        assert least.mean() - 1e-3 <= row.scores["ie"] <= most.mean() + 1e-3
        tensors = [torch.from_numpy(p / 255).float().permute(2, 0, 1)[None] for p in (ours, truth)]
        assert row.scores["ssim_3d"] == pytest.approx(float(ssim_3d(*tensors)), abs=1e-4)
        assert (row.place, row.t, row.group) == (1, 0.5, row.name)
    assert result.means()["psnr"] == pytest.approx(np.mean([row.scores["psnr"] for row in result.rows]))
    assert 0 < result.model_seconds < result.seconds


@pytest.mark.needs_shared
@pytest.mark.parametrize(("name", "expected"), [("blend", 28.02), ("nearest", 24.75)])
@pytest.mark.slow
def test_middlebury_other(shared, name, expected):
    root = shared / "data" / "eval" / "middlebury-other"
    result = score(zoo.load(name), open_set("middlebury", root, "test"), protocol_of("middlebury"), metrics=("psnr",))
    assert result.means()["psnr"] == pytest.approx(expected, abs=0.005)
    for row in result.rows:
        first, truth, last = (_read(root / row.name / f"{n}.png") for n in ("frame10", "frame10i11", "frame11"))
        assert row.scores["psnr"] == pytest.approx(small_sets.psnr(shown(name, first, last), truth), abs=1e-3)


def _read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_a_video_s_hidden_frames_at_a_gap_of_three(tmp_path):
    clips = small_sets.folders(tmp_path, (7, 4))
    result = score(zoo.load("blend"), open_set("frames", tmp_path, "test"), protocol_of("frames"), gap=3)
    assert [(row.name, row.place) for row in result.rows] == [
        *(("clip-a", place) for place in (1, 2, 4, 5)),
        *(("clip-b", place) for place in (1, 2)),
    ]
    for row in result.rows:
        clip = clips["ab".index(row.name[-1])]
        start = row.place // 3 * 3
        t = (row.place - start) / 3
        ours = (1 - t) * clip[start].astype(np.float64) + t * clip[start + 3]
        assert row.scores["psnr"] == pytest.approx(small_sets.psnr(ours, clip[row.place]), abs=1e-3)


class Counting(Model):
    """Four frames of context, and a tally of what it was asked."""

    spec = Spec((-1, 0, 1, 2), kept_behind=1)

    def __init__(self):
        super().__init__()
        self.asked = {"embed": 0, "relate": 0, "render": 0}
        self.seen = []
        self.part = torch.nn.Conv2d(1, 1, 1)

    def embed(self, frame):
        self.asked["embed"] += 1
        return frame, frame * 2

    def relate(self, context):
        self.asked["relate"] += 1
        self.seen.append([len(embedding) for embedding in context])
        return context[1][0], context[2][0]

    def render(self, scene, t):
        self.asked["render"] += 1
        return Prediction(
            scene[0].lerp(scene[1], t.view(-1, 1, 1, 1)), {"flow": torch.zeros(1, 4, *scene[0].shape[2:])}
        )


def test_a_frame_is_embedded_once_and_a_gap_related_once(tmp_path):
    small_sets.folders(tmp_path, (13,))
    model = Counting()
    result = score(model, open_set("frames", tmp_path, "test"), protocol_of("frames"), gap=4)
    assert model.asked == {"embed": 4, "relate": 3, "render": 9}
    assert len(result.rows) == 9
    assert model.seen[-1] == [1, 2, 2, 2]  # what stands before 0 keeps one tensor
    assert "at a clip's ends its outermost frame" in result.notes[-1]


def test_a_model_in_training_is_left_as_it_was(triplets):
    _, data = triplets
    model = zoo.create("ifrnet-t").train()
    model.encoder.eval()  # a part that its trainer froze
    modes = [part.training for part in model.modules()]
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.random.get_rng_state()
    first = score(model, data, protocol_of("ucf101"), metrics=("psnr",), limit=2)
    again = score(model, data, protocol_of("ucf101"), metrics=("psnr",), limit=2)
    assert first.rows == again.rows
    assert [row.name for row in first.rows] == ["1", "2"]
    assert [part.training for part in model.modules()] == modes
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.is_grad_enabled()
    batch = torch.rand(1, 2, 3, 48, 64)
    model(batch, torch.tensor([0.5])).frame.mean().backward()  # nothing it remembers refuses to learn
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_model_that_fails_is_left_as_it_was_too(triplets):
    class Broken(Counting):
        spec = Spec((0, 1))

        def render(self, scene, t):  # noqa: ARG002
            raise RuntimeError("no")

        def relate(self, context):
            return context[0]

    model = Broken().train()
    with pytest.raises(RuntimeError, match="no"):
        score(model, triplets[1], protocol_of("ucf101"))
    assert model.training
    assert model.part.training


def test_backends_and_engines_score_alike(triplets):
    _, data = triplets
    model = zoo.create("ifrnet-t").eval()
    rule = protocol_of("ucf101")
    live = score(model, data, rule)
    backend = score(TorchBackend(model), data, rule, name="ifrnet-t")
    engine = score(Prepared(model, "ifrnet-t", "torch", precision="fp32"), data, rule)
    for other in (backend, engine):
        assert (other.model, other.backend, other.precision) == ("ifrnet-t", "torch", "fp32")
        assert [r.scores["psnr"] for r in other.rows] == pytest.approx([r.scores["psnr"] for r in live.rows], abs=1e-3)


@pytest.mark.long
def test_openvino_scores_alike(tmp_path):
    pytest.importorskip("openvino")
    small_sets.middlebury(tmp_path)  # two sizes: a backend for each
    data, rule = open_set("middlebury", tmp_path, "test"), replace(protocol_of("middlebury"), recipe=None)
    model = zoo.create("ifrnet-t").eval()
    ours = score(Prepared(model, "ifrnet-t", "openvino", precision="fp32"), data, rule, metrics=("psnr",))
    plain = score(model, data, rule, metrics=("psnr",))
    assert ours.backend == "openvino"
    assert ours.means()["psnr"] == pytest.approx(plain.means()["psnr"], abs=0.01)


def test_ifrnet_on_middlebury_is_run_as_published(tmp_path):
    """The mean over the zeros shifts what it is shown: the canvas changes the picture, and the note says so."""
    small_sets.middlebury(tmp_path, ((38, 42),))
    data, rule = open_set("middlebury", tmp_path, "test"), protocol_of("middlebury")
    torch.manual_seed(1)
    model = zoo.create("ifrnet-t").eval()
    published, plain = (score(model, data, one, name="ifrnet-t") for one in (rule, replace(rule, recipe=None)))
    frames = [small_sets.moving((38, 42), 3)[k] for k in (0, 2)]
    pair = torch.zeros(1, 2, 3, 480, 640)
    for k, frame in enumerate(frames):
        pair[0, k, :, :38, :42] = torch.from_numpy(frame.copy()).permute(2, 0, 1) / 255
    with torch.no_grad():
        ours = model(pair, torch.tensor([0.5])).frame[0, :, :38, :42].permute(1, 2, 0).numpy() * 255
    truth = small_sets.moving((38, 42), 3)[1]
    assert published.rows[0].scores["psnr"] == pytest.approx(small_sets.psnr(ours, truth), abs=1e-2)
    assert published.rows != plain.rows
    assert "ifrnet-t on a canvas of zeros, 640x480, as published" in published.notes
    assert not any("zeros" in note for note in plain.notes)


class Adding(Model):
    """Predicts the newest frame, a little brighter: what it is fed shows in what it says."""

    spec = Spec((-1, 0), any_time=False)

    def render(self, scene, t):
        assert float(t[0]) == 1  # it knows no other step
        return Prediction((scene[1] + 0.05).clamp(0, 1), {})


def test_a_one_step_predictor_is_fed_its_own_and_means_run(tmp_path):
    small_sets.folders(tmp_path, (9,))
    rule = replace(protocol_of("cityscapes"), set="frames", resize=None, metrics=("psnr",))
    result = score(Adding(), open_set("frames", tmp_path, "test"), rule)
    clip = small_sets.moving((32, 40), 9)
    assert [(row.place, row.t) for row in result.rows] == [(3 + k, k) for k in range(1, 6)]
    for row in result.rows:
        ours = np.minimum(clip[3] / 255 + 0.05 * row.t, 1) * 255
        assert row.scores["psnr"] == pytest.approx(small_sets.psnr(ours, clip[row.place]), abs=1e-2)
    values = [row.scores["psnr"] for row in result.rows]
    assert result.running()[3.0]["psnr"] == pytest.approx(np.mean(values[:3]))
    assert result.steps()[3.0]["psnr"] == pytest.approx(values[2])
    assert result.as_json()["running"]["5"]["psnr"] == pytest.approx(np.mean(values))


def test_a_predictor_of_any_time_is_asked_directly(tmp_path):
    small_sets.folders(tmp_path, (9,))
    rule = replace(protocol_of("kitti"), set="frames", resize=None, metrics=("psnr",))
    clip = small_sets.moving((32, 40), 9)
    result = score(zoo.load("repeat"), open_set("frames", tmp_path, "test"), rule)
    assert [r.scores["psnr"] for r in result.rows] == pytest.approx(
        [small_sets.psnr(clip[3], clip[3 + k]) for k in range(1, 6)], abs=1e-3
    )


def test_a_broken_picture_is_named_and_does_not_stop_the_run(tmp_path):
    small_sets.ucf101(tmp_path, 4)
    bad = tmp_path / "ucf101_interp_ours" / "2" / "frame_01_gt.png"
    bad.write_bytes(bad.read_bytes()[:200])
    (tmp_path / "ucf101_interp_ours" / "3" / "frame_02.png").unlink()
    result = score(zoo.load("blend"), open_set("ucf101", tmp_path, "test"), protocol_of("ucf101"))
    assert [row.name for row in result.rows] == ["1", "4"]
    assert [name for name, _ in result.broken] == ["2", "3"]
    assert str(bad) in result.broken[0][1]
    assert "is not there" in result.broken[1][1]


def test_a_broken_picture_of_a_clip_breaks_its_own_gaps_only(tmp_path):
    small_sets.folders(tmp_path, (9,))
    (tmp_path / "clip-a" / "004.png").write_bytes(b"nothing")
    result = score(zoo.load("blend"), open_set("frames", tmp_path, "test"), protocol_of("frames"))
    assert [row.place for row in result.rows] == [1, 7]
    assert len(result.broken) == 1


def test_nothing_but_broken_pictures_is_an_error(tmp_path):
    small_sets.ucf101(tmp_path, 1)
    (tmp_path / "ucf101_interp_ours" / "1" / "frame_00.png").write_bytes(b"nothing")
    with pytest.raises(BrokenPicture, match=r"none of 1 examples of ucf101 could be read, first: .*frame_00.png"):
        score(zoo.load("blend"), open_set("ucf101", tmp_path, "test"), protocol_of("ucf101"))


def test_a_gap_that_no_clip_has_room_for(tmp_path):
    small_sets.folders(tmp_path, (4,))
    with pytest.raises(TooShort, match="the longest clip of frames has 4 frames; --gap 8 needs more"):
        score(zoo.load("blend"), open_set("frames", tmp_path, "test"), protocol_of("frames"), gap=8)


def test_equal_pictures_count_as_100_db(tmp_path):
    still = small_sets.moving((32, 40), 1)[0]
    for k in range(3):
        small_sets.save(still, tmp_path / "clip-a" / f"{k}.png")
    result = score(zoo.load("blend"), open_set("frames", tmp_path, "test"), protocol_of("frames"))
    assert result.means()["psnr"] == result.means()["psnr_8bit"] == 100


def test_a_limit_is_spread_over_the_set(tmp_path):
    small_sets.ucf101(tmp_path, 9)
    result = score(zoo.load("nearest"), open_set("ucf101", tmp_path, "test"), protocol_of("ucf101"), limit=3)
    assert [row.name for row in result.rows] == ["1", "4", "7"]


def test_an_observer_sees_every_case_in_order(triplets):
    pictures, data = triplets
    cases, told = [], []
    result = score(
        zoo.load("blend"), data, protocol_of("ucf101"), observer=cases.append, watch=lambda *done: told.append(done)
    )
    assert [case.row for case in cases] == result.rows
    assert told == [(1, 3), (2, 3), (3, 3)]
    for case, (first, truth, last) in zip(cases, pictures, strict=True):
        for seen, real in ((case.inputs[0], first), (case.inputs[1], last), (case.truth, truth)):
            assert torch.equal((seen * 255).round().to(torch.uint8), torch.from_numpy(real.copy()).permute(2, 0, 1))
        assert tuple(case.ours.shape) == (3, 48, 64)
        assert tuple(case.aux["mask"].shape) == (1, 48, 64)


def test_an_observer_sees_motion_of_the_picture_s_size(triplets):
    data = triplets[1]
    cases = []
    score(zoo.load("dis"), data, protocol_of("ucf101"), observer=cases.append)
    flow = cases[1].aux["flow"]  # 2 pixels a frame to the left: the target's pixels lie 2 to the right in frame 0
    assert tuple(flow.shape) == (4, 48, 64)
    assert float(flow[0, 12:-12, 12:-12].median()) == pytest.approx(2, abs=0.3)
    assert float(flow[2, 12:-12, 12:-12].median()) == pytest.approx(-2, abs=0.3)


def test_metrics_of_motion_look_at_a_gap_as_it_is_watched(tmp_path):
    small_sets.folders(tmp_path, (5,), (64, 80))
    data, rule = open_set("frames", tmp_path, "test"), protocol_of("frames")
    result = score(zoo.load("nearest"), data, rule, metrics=("psnr", "tof", "flicker"))
    assert [list(row.scores) for row in result.rows] == [["psnr", "tof", "flicker"]] * 2
    assert result.means()["tof"] > 0.5  # it stands still where the truth moves by 2 pixels
    with pytest.raises(BadOption, match=r"--metrics ssim \(did you mean ssim_"):
        score(zoo.load("nearest"), data, rule, metrics=("ssim",))


def test_end_point_error_of_a_known_motion(tmp_path):
    small_sets.middlebury(tmp_path, ((64, 96),))
    flow = np.zeros((64, 96, 2), np.float32)
    flow[..., 0] = -4  # two frames of 2 pixels
    path = tmp_path / "other-gt-flow" / "Scene0" / "flow10.flo"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PIEH" + np.array([96, 64], np.int32).tobytes() + flow.tobytes())
    data, rule = open_set("middlebury", tmp_path, "test"), protocol_of("middlebury-flo")
    result = score(zoo.load("dis"), data, rule)
    assert result.means()["epe"] < 1
    with pytest.raises(BadOption, match="epe of blend; it tells no flow"):
        score(zoo.load("blend"), data, rule, name="blend")


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


class Meeting(Model):
    """Shows the mean of its neighbours; the first gap only once another is being shown too."""

    spec = Spec((0, 1))

    def __init__(self):
        super().__init__()
        self.door, self.threads, self.arrivals = Barrier(2), set(), count()

    def render(self, scene, t):  # noqa: ARG002
        if next(self.arrivals) < 2:  # the others pass: the window of what may be outstanding is odd
            self.door.wait(timeout=60)
        self.threads.add(torch.get_num_threads())
        return Prediction((scene[0] + scene[1]) / 2, {})


def test_small_gaps_that_share_nothing_are_shown_side_by_side(tmp_path, four_threads):  # noqa: ARG001
    small_sets.ucf101(tmp_path, count=8)
    data, rule = open_set("ucf101", tmp_path, "test"), protocol_of("ucf101")
    met = Meeting()
    result = score(met, data, rule)
    assert met.threads == {1}  # each has its share, and all have theirs back
    assert torch.get_num_threads() == 4
    assert result.model_seconds < result.seconds  # of two at once, time is counted once
    torch.set_num_threads(1)
    one_by_one = score(zoo.load("blend"), data, rule)
    assert [row.name for row in result.rows] == [str(n) for n in range(1, 9)]
    for ours, theirs in zip(result.rows, one_by_one.rows, strict=True):
        assert ours.scores == pytest.approx(theirs.scores, rel=1e-6)


@pytest.mark.usefixtures("four_threads")
def test_side_by_side_what_is_broken_is_told_and_a_failure_leaves_nothing(tmp_path):
    small_sets.ucf101(tmp_path, count=9)
    (tmp_path / "ucf101_interp_ours" / "4" / "frame_02.png").write_bytes(b"no picture")
    data, rule = open_set("ucf101", tmp_path, "test"), protocol_of("ucf101")
    result = score(zoo.load("dis"), data, rule)
    assert [row.name for row in result.rows] == ["1", "2", "3", "5", "6", "7", "8", "9"]
    assert [name for name, _ in result.broken] == ["4"]
    model = Meeting()
    model.door.abort()
    with pytest.raises(BrokenBarrierError):
        score(model, data, rule)
    assert torch.get_num_threads() == 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tween-evaluate")]


@pytest.mark.usefixtures("four_threads")
def test_an_observer_that_fails_leaves_the_threads_as_they_were(triplets):
    def fails(case):
        raise ValueError(case.row.name)

    with pytest.raises(ValueError, match="1") as error:
        score(zoo.load("blend"), triplets[1], protocol_of("ucf101"), observer=fails)
    assert torch.get_num_threads() == 4  # while the error, and with it every frame, is still held
    assert error.value.args == ("1",)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(("lengths", "size"), [((9,), (48, 64)), ((3, 3, 3), (480, 642))])
def test_large_pictures_and_gaps_of_one_clip_have_the_machine_to_themselves(tmp_path, lengths, size):
    small_sets.folders(tmp_path, lengths, size=size)
    alone = Alone()
    score(alone, open_set("frames", tmp_path, "test"), protocol_of("frames"), gap=2)
    assert (alone.most, alone.threads) == (1, {4})


@pytest.mark.usefixtures("four_threads")
def test_a_large_picture_among_small_ones_waits_for_the_machine(tmp_path):
    for n, size in enumerate([(48, 64)] * 4 + [(480, 642)] + [(48, 64)] * 3, 1):
        for name, picture in zip(("frame_00", "frame_01_gt", "frame_02"), small_sets.moving(size, 3), strict=True):
            small_sets.save(picture, tmp_path / "ucf101_interp_ours" / str(n) / f"{name}.png")
    model = Alone()
    result = score(model, open_set("ucf101", tmp_path, "test"), protocol_of("ucf101"))
    assert [row.name for row in result.rows] == [str(n) for n in range(1, 9)]
    assert model.large == {(1, 4)}  # alone, on all threads
    assert model.threads == {1, 4}


class Alone(Model):
    """Counts how many gaps are shown at once."""

    spec = Spec((0, 1))

    def __init__(self):
        super().__init__()
        self.now, self.most, self.threads, self.large = 0, 0, set(), set()

    def render(self, scene, t):  # noqa: ARG002
        self.now += 1
        self.most = max(self.most, self.now)
        self.threads.add(torch.get_num_threads())
        if scene[0].shape[-1] > 640:
            self.large.add((self.now, torch.get_num_threads()))
        time.sleep(0.05)
        self.now -= 1
        return Prediction(scene[0], {})
