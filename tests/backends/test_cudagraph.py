"""CUDA graphs: what is recorded, kept and copied, told on the CPU; and, where there is a GPU, that they are torch. The
latter was never run."""

import pytest
import torch
from networks import decibels, ifrnet_s, long, moving, run, small, straight
from recorder import again

from tween.backends import machine, prepare
from tween.backends.cudagraph import CudaGraphBackend
from tween.backends.replay import Replays
from tween.backends.torch import TorchBackend
from tween.errors import BadOption, Conflict
from tween.models import zoo
from tween.models.classic import Blend

HALF = torch.tensor([0.5])


class Watched:
    """A recorder that counts."""

    def __init__(self):
        self.recorded, self.played = 0, 0

    def __call__(self, work):
        self.recorded += 1
        play, outputs = again(work)

        def counted():
            self.played += 1
            play()

        return counted, outputs


def doubled(*given):
    return tuple(2 * one for one in given)


def test_a_shape_is_recorded_once_and_played_each_time():
    watched = Watched()
    replays = Replays(watched)
    for number in range(4):
        (got,) = replays("double", doubled, [torch.full((2, 3), float(number))])
        assert (got == 2 * number).all()
    assert (watched.recorded, watched.played) == (1, 4)


@pytest.mark.parametrize(
    ("name", "given"),
    [("other", torch.ones(2, 3)), ("double", torch.ones(3, 2)), ("double", torch.ones(2, 3, dtype=torch.float64))],
    ids=["name", "shape", "kind"],
)
def test_another_one_is_recorded_for_itself(name, given):
    watched = Watched()
    replays = Replays(watched)
    replays("double", doubled, [torch.ones(2, 3)])
    (got,) = replays(name, doubled, [given])
    assert got.shape == given.shape
    assert got.dtype == given.dtype
    assert watched.recorded == 2


def test_results_and_what_was_given_are_the_callers():
    """Also where what comes out is what went in."""
    replays = Replays(again)
    given = [torch.full((4,), float(number)) for number in range(3)]
    made = [replays("both", lambda x: (x, x.view(2, 2), 2 * x), [one]) for one in given]
    for number, (same, turned, double) in enumerate(made):
        assert (same == number).all()
        assert (turned == number).all()
        assert (double == 2 * number).all()
        same.fill_(-1)
        assert (turned == number).all()
        assert (given[number] == number).all()


def test_inputs_may_lie_in_memory_as_they_like():
    replays, whole = Replays(again), torch.rand(1, 4, 6, 8)
    ways = [whole, whole.to(memory_format=torch.channels_last), whole[:, :, :1].expand(1, 4, 6, 8)]
    for given in ways:
        assert torch.equal(replays("double", doubled, [given])[0], 2 * given)


def test_those_that_were_played_last_are_kept():
    watched = Watched()
    replays, shapes = Replays(watched, most=2), [torch.ones(n) for n in (1, 2, 3)]
    for k in (0, 1, 0, 2):  # 1 goes when 2 comes
        replays("double", doubled, [shapes[k]])
    assert watched.recorded == 3
    replays("double", doubled, [shapes[0]])
    assert watched.recorded == 3
    replays("double", doubled, [shapes[1]])
    assert watched.recorded == 4


def test_when_it_fails_nothing_is_kept_that_takes_memory():
    """Whoever works in smaller tiles then finds it free."""
    watched = Watched()
    replays = Replays(watched)
    replays("double", doubled, [torch.ones(2)])

    def fails(_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        replays("fails", fails, [torch.ones(2)])
    before = watched.recorded
    replays("double", doubled, [torch.ones(2)])
    assert watched.recorded == before + 1


@pytest.mark.parametrize(("make", "verbs"), [(small, 3), (ifrnet_s, 2), (long, 3)])
def test_a_backend_records_each_verb_that_does_something(make, verbs):
    model, watched = make(), Watched()
    backend = CudaGraphBackend(model, device="cpu", record=watched)
    for seed in range(3):
        frames = moving((32, 48), count=len(model.spec.context), seed=seed)
        assert decibels(run(backend, frames, HALF), straight(model, frames, HALF)) >= 110
    assert watched.recorded == verbs
    run(backend, moving((48, 64), batch=2, count=len(model.spec.context)), torch.tensor([0.5, 0.5]))
    assert watched.recorded == 2 * verbs


def test_it_looks_eagerly():
    """What is told besides the frame is recorded nowhere."""
    watched = Watched()
    backend = CudaGraphBackend(small(), device="cpu", record=watched)
    scene = backend.relate([backend.embed(frame) for frame in moving((32, 48))])
    before = watched.recorded
    assert backend.look(scene, HALF).aux["flow"].shape == (1, 4, 32, 48)
    assert watched.recorded == before


class Nothing:
    """What torch.cuda offers, with nothing behind it."""

    def __init__(self, *_, **__):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def wait_stream(self, _):
        pass

    def replay(self):
        pass


class Broken(Nothing):
    """A capture that raises once more when it is left, as torch's does."""

    def __exit__(self, *_):
        raise RuntimeError("CUDA error: operation failed due to a previous error during capture")


@pytest.mark.parametrize("capture", [Nothing, Broken])
@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (
            "operation not permitted when stream is capturing",
            Conflict,
            r"cudagraph for small; .*not permitted",
        ),
        ("CUDA out of memory", torch.OutOfMemoryError, "CUDA out of memory"),
    ],
)
def test_what_goes_wrong_in_a_recording_is_told_by_its_cause(monkeypatch, capture, fault, error, words):
    """For want of memory tiles shrink, if they are told."""
    for name in ("device", "Stream", "stream", "CUDAGraph"):
        monkeypatch.setattr(torch.cuda, name, Nothing)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    monkeypatch.setattr(torch.cuda, "current_stream", Nothing)
    runs = iter(range(9))

    def work():
        if next(runs) == 3:  # after three that warm it
            raise (torch.OutOfMemoryError if "memory" in fault else RuntimeError)(fault)
        return (torch.ones(2),)

    backend = CudaGraphBackend(small(), device="cpu")
    with pytest.raises(error, match=words):
        backend._captured(work)
    monkeypatch.setattr(torch.cuda, "graph", Nothing)
    play, outputs = backend._captured(work)
    play()
    assert torch.equal(outputs[0], torch.ones(2))


def this_machine(monkeypatch, cuda=1):
    monkeypatch.setattr(machine, "cuda_devices", lambda: ("A GPU",) * cuda)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: (9, 0))


def test_it_is_taken_when_it_is_asked_for(monkeypatch):
    this_machine(monkeypatch)
    assert prepare.choose(small()).backend == "torch"
    choice = prepare.choose(small(), backend="cudagraph")
    assert choice[:3] == ("cudagraph", "cuda:0", "fp16")
    assert prepare.choose(small(), backend="cudagraph", precision="bf16").precision == "bf16"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dis", "a classic method has nothing to compile"),
        ("tweennet", "a search of motion by OpenCV"),
        ("ifrvp-steps", "it computes only what is asked for, and a CUDA graph does the same each time"),
    ],
)
def test_a_model_that_does_not_do_the_same_each_time_is_refused(monkeypatch, name, words):
    this_machine(monkeypatch)
    with pytest.raises(Conflict, match=words):
        prepare.choose(zoo.create(name), backend="cudagraph")


def test_where_it_cannot_run_it_is_refused(monkeypatch):
    this_machine(monkeypatch)
    with pytest.raises(Conflict, match="CUDA graphs are of NVIDIA's GPUs; try: --device cuda"):
        prepare.choose(small(), backend="cudagraph", device="cpu")
    this_machine(monkeypatch, cuda=0)
    with pytest.raises(BadOption, match="torch sees 0 CUDA devices here"):
        prepare.choose(small(), backend="cudagraph")
    with pytest.raises(Conflict, match="a classic method"):
        prepare.choose(Blend(), backend="cudagraph")


@pytest.mark.needs_cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize("make", [small, long, ifrnet_s, lambda: zoo.create("rife-4.25").eval()])
@pytest.mark.parametrize(("precision", "least_db"), [("fp32", 60), ("fp16", 50), ("bf16", 40)])
def test_on_a_gpu_it_is_torch(make, precision, least_db):
    """Never run yet. Gap after gap, in two sizes; and what is held stays what it was."""
    model = make()
    backend = prepare.prepare(model, (128, 192), backend="cudagraph", precision=precision)
    eager = TorchBackend(model, device="cuda:0", precision=precision)
    held = []
    for seed in range(3):
        for size in ((128, 192), (192, 256)):
            frames = moving(size, count=len(model.spec.context), seed=seed)
            got, wanted = run(backend, frames, HALF), run(eager, frames, HALF)
            assert decibels(got, wanted) >= least_db
            held.append((got, got.clone()))
    assert all(torch.equal(one, other) for one, other in held)


@pytest.mark.needs_cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_on_a_gpu_work_that_asks_for_what_it_computed_is_refused_by_name():
    """Never run yet."""
    backend = CudaGraphBackend(zoo.create("ifrvp-steps").eval(), device="cuda:0")
    frames = moving((128, 192), count=len(backend.spec.context))
    with pytest.raises(Conflict, match="what it does cannot be recorded"):
        run(backend, frames, torch.ones(1))
