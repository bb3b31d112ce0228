"""Laws of a run: it can stop anywhere and go on, be shared out, and loses nothing when something breaks."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from tween.data.loader import batches
from tween.errors import BadOption, Conflict, DiskFull, TweenError
from tween.models import zoo
from tween.models.model import Prediction
from tween.train import checkpoint
from tween.train.checkpoint import lines
from tween.train.config import DataConfig, OptimConfig, Phase, TrainConfig, ValConfig
from tween.train.recipe import as_plain
from tween.train.trainer import train
from tween.train.validate import Footage

DRAWN = DataConfig(synthetic=1.0, crop=(32, 32), workers=0)


def config(steps=6, **options):
    options = {"model": "ifrnet-t", "data": DRAWN, "optim": OptimConfig(batch=2, lr=1e-3), "seed": 7} | options
    return TrainConfig(steps=steps, **options)


def losses(folder):
    return [line["loss"] for line in lines(folder / "log.jsonl") if "loss" in line]


def weights(folder):
    return zoo.load(folder / "last.safetensors", name="ifrnet-t").state_dict()


def equal(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


# To stop and to go on.


@pytest.mark.slow
def test_two_halves_are_the_whole(tmp_path):
    """With a moving average, clipping, warm-up, accumulation and phases."""
    optim = OptimConfig(batch=4, accumulate=2, lr=1e-3, average=0.9, clip=1.0, warmup=3, schedule="constant")
    phases = (Phase(until=0.5, frozen=("encoder",)), Phase(until=1.0, crop=(40, 40)))
    asked = config(8, optim=optim, phases=phases, losses={"charbonnier": 1.0, "flow_distillation": 0.01})
    whole = train(asked, tmp_path / "whole")
    first = stop_after(3, asked, tmp_path / "parts")
    assert first.why == "interrupted"
    assert first.step == 3
    second = train(asked, tmp_path / "parts")
    assert (whole.why, whole.step, second.why, second.step) == ("steps", 8, "steps", 8)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))


def stop_after(steps, asked, folder):
    """A run that gets Ctrl-C in its n-th step."""

    def watch(now):
        if now.step == steps:
            os.kill(os.getpid(), signal.SIGINT)

    return train(asked, folder, watch)


def run_in_process(folder, recipe, *options, env=None):
    line = [sys.executable, "-m", "tween", "train", str(recipe), "--run", str(folder), "--quiet", *options]
    return subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_numbers(tmp_path):
    """Kill -9 twice in the middle; the loss curve equals the uninterrupted one exactly."""
    asked = config(24, save_every=5)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(as_plain(asked)))
    train(asked, tmp_path / "whole")
    folder = tmp_path / "killed"
    for kill_at in (7, 16):
        running = run_in_process(folder, recipe)
        deadline = time.monotonic() + 200
        while len(losses(folder)) < kill_at and running.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert running.poll() is None, running.stderr.read()
        running.kill()
        running.wait()
    assert run_in_process(folder, recipe).wait() == 0
    assert losses(folder) == losses(tmp_path / "whole")
    assert equal(weights(folder), weights(tmp_path / "whole"))


@pytest.mark.slow
def test_two_ranks_are_one(tmp_path):
    """Two gloo processes with half the batch each: the same losses and weights, to 1e-5.

    Weights in the mean: Adam takes whole steps along slopes of 1e-9 too, whose sign is rounding's.
    """
    asked = config(6, losses={"charbonnier": 1.0, "census": 1.0}, optim=OptimConfig(batch=2, lr=1e-4))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(as_plain(asked)))
    train(asked, tmp_path / "one")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29517"]
    line = [*torchrun, "-m", "--", "tween", "train", str(recipe), "--run", str(tmp_path / "two"), "--quiet"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)
    for key, value in weights(tmp_path / "one").items():
        apart = (value - weights(tmp_path / "two")[key]).square().mean().sqrt()
        assert float(apart) < 1e-5, key


def test_the_checkpoint_opens_by_its_path(tmp_path):
    train(config(1, model="ifrvp-fast", data=DRAWN), tmp_path)
    model = zoo.load(tmp_path / "best.safetensors")
    assert model.spec.predicts
    assert not model.training


# What goes wrong.


def test_another_recipe_in_the_same_folder_is_told(tmp_path):
    train(config(1), tmp_path)
    with pytest.raises(Conflict, match=r"another recipe \(optim.lr: 0.001 -> 0.0001\)"):
        train(config(1, optim=OptimConfig(batch=2, lr=1e-4)), tmp_path)
    train(config(2), tmp_path)  # more steps are no other recipe
    assert len(losses(tmp_path)) == 2


@pytest.mark.slow
def test_a_loss_that_is_no_number_names_term_and_sample(tmp_path, monkeypatch):
    """The second sample of the fifth step is poisoned: it alone is named, and what step 4 saved is left."""
    steady = OptimConfig(batch=2, lr=1e-3, schedule="constant")
    train(config(4, save_every=2, optim=steady), tmp_path / "four")
    network, poisoned, steps = type(zoo.create("ifrnet-t")), [], []
    render = network.render

    def spoilt(self, scene, t):
        frame, aux = render(self, scene, t)
        if torch.is_grad_enabled():
            steps.append(len(steps) + 1)
        if len(steps) == 5:
            poisoned.extend([] if poisoned else [scene[0][1].clone()])
            bad = torch.tensor([torch.equal(picture, poisoned[0]) for picture in scene[0]]).view(-1, 1, 1, 1)
            frame = frame.where(~bad, torch.nan)
        return Prediction(frame, aux)

    monkeypatch.setattr(network, "render", spoilt)
    with pytest.raises(TweenError, match="the loss is not a number at step 5: charbonnier, at synthetic") as told:
        train(config(40, save_every=2, optim=steady), tmp_path / "run")
    assert str(told.value).count("synthetic") == 1
    assert str(tmp_path / "run" / "last.safetensors") in str(told.value)
    assert len(losses(tmp_path / "run")) == 4
    assert equal(weights(tmp_path / "run"), weights(tmp_path / "four"))


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    train(config(2, save_every=1), tmp_path)
    before = weights(tmp_path)
    whole = torch.save

    def full(state, path):
        whole(state, path)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", full)
    with pytest.raises(
        DiskFull, match=r"the disk is full while writing .*state\.pt; the checkpoint before it is intact"
    ):
        train(config(4, save_every=1), tmp_path)
    monkeypatch.undo()
    assert equal(weights(tmp_path), before)
    assert not list(tmp_path.glob("*.part"))
    assert train(config(4, save_every=1), tmp_path).step == 4


def test_memory_that_runs_out_says_what_to_lower(tmp_path, monkeypatch):
    model = type(zoo.create("ifrnet-t"))

    def out(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model, "render", out)
    with pytest.raises(TweenError, match=r"memory ran out with batches of 2 samples of 32x32.*--optim\.accumulate 2"):
        train(config(1), tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": None}, "nothing says when to stop"),
        ({"data": DataConfig()}, "no footage; --data.root says where it is"),
        ({"model": "dis"}, "dis has nothing to learn"),
        ({"optim": OptimConfig(batch=3, accumulate=2)}, "equal whole parts"),
        ({"phases": (Phase(until=0.5),)}, "growing parts of the run"),
        ({"phases": (Phase(frozen=("encodr",)),)}, r"frozen encodr \(did you mean encoder"),
        ({"phases": (Phase(finest=4),)}, r"finest: 4; this network has levels 1 \(the finest\) to 3"),
        ({"model": "lightvfi-16", "phases": (Phase(finest=2),)}, "this network has no levels"),
        ({"phases": (Phase(weights={"charbonier": 0}),)}, r"weighs charbonier \(did you mean charbonnier"),
        ({"data": DataConfig(Path("x"), motion=(6.0, 0.3))}, r"--data\.motion 6\.0 0\.3 .*a least and a greater most"),
        ({"data": DataConfig(Path("x"), motion=(0.3, 6.0), still=2.0)}, r"--data\.still 2\.0"),
        ({"losses": {"charbonier": 1.0}}, r"charbonier \(did you mean charbonnier"),
        ({"optim": OptimConfig(batch=2, dropout=0.1)}, "has no dropout layer"),
        ({"device": "cuda:7"}, "no such device"),
    ],
)
def test_what_cannot_run_is_refused(change, words, tmp_path):
    with pytest.raises(BadOption, match=words):
        train(config(**change), tmp_path)


# What it is told, and tells.


def test_motion_that_is_asked_for_reaches_the_samples(clips):
    """They are given flows then, whatever the losses need."""
    data = DataConfig(clips, set="frames", crop=(32, 32), motion=(0.5, 9.0), still=0.1)
    plan = Footage(config(1, data=data)).plan(zoo.signature("ifrnet-t").spec, None, 2, label=False)
    assert (plan.motion, plan.still, plan.label) == ((0.5, 9.0), 0.1, True)


def test_validation_keeps_the_best(tmp_path, clips):
    seen = []
    asked = config(
        6,
        data=DataConfig(root=clips, set="frames", crop=(32, 32), workers=0),
        val=ValConfig(every=2, clips=2, frames=3, held_back=0.3),
    )
    outcome = train(asked, tmp_path / "run", seen.append)
    scores = [line["val_psnr"] for line in lines(tmp_path / "run" / "log.jsonl") if "val_psnr" in line]
    assert len(scores) == 3
    assert outcome.best == max(scores)
    assert seen[-1].step == 6
    assert (tmp_path / "run" / "best.safetensors").is_file()


def test_a_validation_that_is_no_number_ends_the_run(tmp_path, clips, monkeypatch):
    """A network may learn in one way and show in another; what it shows is what counts."""
    network = type(zoo.create("ifrnet-t"))
    render = network.render

    def spoilt(self, scene, t):
        frame, aux = render(self, scene, t)
        return Prediction(frame if torch.is_grad_enabled() else frame * torch.nan, aux)

    monkeypatch.setattr(network, "render", spoilt)
    data = DataConfig(root=clips, set="frames", crop=(32, 32), workers=0)
    asked = config(4, save_every=1, data=data, val=ValConfig(every=2, clips=1, frames=3, held_back=0.3))
    with pytest.raises(
        TweenError, match="what the network shows of the clips held back is not a number at step 2"
    ) as told:
        train(asked, tmp_path / "run")
    assert str(tmp_path / "run" / "last.safetensors") in str(told.value)


def test_patience_ends_a_run(tmp_path, clips):
    asked = config(
        50,
        data=DataConfig(root=clips, set="frames", crop=(32, 32), workers=0),
        optim=OptimConfig(batch=2, lr=0.0),
        val=ValConfig(every=1, clips=1, frames=3, held_back=0.3, patience=2),
    )
    outcome = train(asked, tmp_path / "run")
    assert (outcome.why, outcome.step) == ("patience", 3)


@pytest.mark.slow
def test_frozen_parts_rest_and_scales_are_kept(tmp_path):
    torch.manual_seed(7)
    before = zoo.create("ifrnet-t").state_dict()
    train(config(2, phases=(Phase(frozen=("encoder", "decoder3")),)), tmp_path)
    after = weights(tmp_path)
    moved = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert moved == {"decoder1", "decoder2"}


@pytest.mark.slow
def test_from_coarse_to_fine(tmp_path):
    """Levels that rest do not move, and a term that weighs nothing is not computed."""
    phases = (Phase(until=0.5, finest=2, weights={"charbonnier": 0}), Phase(weights={"flow": 0.1}))
    asked = config(4, phases=phases, losses={"charbonnier": 1.0, "flow": {"weight": 0.1, "coarse": 0.5}})
    torch.manual_seed(7)
    before = zoo.create("ifrnet-t").state_dict()
    stop_after(2, asked, tmp_path)
    after = weights(tmp_path)
    assert {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])} == {
        "encoder", "decoder2", "decoder3",
    }  # fmt: skip
    assert train(asked, tmp_path).step == 4
    assert not torch.equal(before["decoder1.convblock.0.0.weight"], weights(tmp_path)["decoder1.convblock.0.0.weight"])
    told = [line.keys() & {"charbonnier", "flow"} for line in lines(tmp_path / "log.jsonl")]
    assert told == 2 * [{"flow"}] + 2 * [{"charbonnier", "flow"}]


@pytest.mark.slow
def test_weights_begin_as_asked(tmp_path):
    """Of a run that learns nothing: no bias, so Kaiming's; begun from a file, the file's."""
    still = OptimConfig(batch=2, lr=0.0)
    train(config(1, begin="kaiming", optim=still), tmp_path / "first")
    begun = weights(tmp_path / "first")
    assert all(not begun[key].any() for key in begun if key.endswith("0.bias"))
    from_file = config(1, begin="kaiming", start=str(tmp_path / "first" / "last.safetensors"), seed=8, optim=still)
    train(from_file, tmp_path / "second")
    assert equal(weights(tmp_path / "second"), begun)


@pytest.mark.slow
def test_a_long_context_computed_again_gives_the_same_gradients(tmp_path):
    """Checkpointing changes memory, not numbers."""
    plain, sparing = (tmp_path / name for name in ("plain", "sparing"))
    train(config(2, checkpointing=False), plain)
    train(config(2, checkpointing=True), sparing)
    assert losses(plain) == losses(sparing)
    assert equal(weights(plain), weights(sparing))


def test_the_log_is_json_lines(tmp_path):
    train(config(2, losses={"charbonnier": 1.0, "census": 0.5}), tmp_path)
    first = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])
    assert first.keys() >= {"step", "rate", "loss", "charbonnier", "census"}
    assert first["loss"] == pytest.approx(first["charbonnier"] + first["census"])


@pytest.fixture
def clips(tmp_path):
    """Four folders of five small pictures of a texture that moves."""
    from PIL import Image

    made = torch.Generator().manual_seed(3)
    for number in range(4):
        world = torch.nn.functional.interpolate(torch.rand(1, 3, 12, 14, generator=made), scale_factor=8)[0]
        folder = tmp_path / "clips" / f"c{number}"
        folder.mkdir(parents=True)
        for k in range(5):
            picture = (255 * world[:, 2 * k : 2 * k + 64, 3 * k : 3 * k + 80]).byte().permute(1, 2, 0).numpy()
            Image.fromarray(picture).save(folder / f"{k:03d}.png")
    return tmp_path / "clips"


def test_a_run_can_begin_from_weights(tmp_path):
    train(config(1), tmp_path / "first")
    begun = tmp_path / "first" / "last.safetensors"
    train(config(1, start=str(begun), optim=OptimConfig(batch=2, lr=0.0)), tmp_path / "second")
    assert equal(weights(tmp_path / "second"), weights(tmp_path / "first"))
    with pytest.raises(TweenError, match=r"does not fit ifrnet-elan|weights of the same network"):
        train(config(1, model="ifrnet-elan", start=str(begun)), tmp_path / "third")


@pytest.mark.slow
def test_readers_are_started_once_a_phase(tmp_path, monkeypatch):
    from tween.train import trainer

    begun = []
    monkeypatch.setattr(trainer, "batches", lambda *a, **k: begun.append(a[1]) or batches(*a, **k))
    train(config(4), tmp_path / "one")
    assert begun == [0]
    train(config(4, phases=(Phase(until=0.5), Phase(crop=(40, 40)))), tmp_path / "two")
    assert begun == [0, 0, 2]
