"""Laws of a run in which an adapter learns: the trainer's own, and the base rests."""

import json
import os
import signal

import pytest
import torch
import yaml
from clips import Clip

from tween.cli.main import main
from tween.errors import BadOption, Conflict, NoWeights
from tween.models import adapters, weights, zoo
from tween.models.lora_config import LoraConfig
from tween.pipeline.config import RenderConfig
from tween.pipeline.going import facts
from tween.train import checkpoint
from tween.train.config import DataConfig, OptimConfig, Phase, TrainConfig
from tween.train.recipe import as_plain
from tween.train.trainer import train
from tween.video.doors import open_source

pytest.importorskip("peft")
DRAWN = DataConfig(synthetic=1.0, crop=(32, 32), workers=0)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A small network's weights, in a file."""
    path = tmp_path_factory.mktemp("base") / "ifrnet-t.safetensors"
    torch.manual_seed(3)
    weights.write(zoo.create("ifrnet-t").state_dict(), path, name="ifrnet-t")
    return path


def config(base, steps=4, **options):
    options = {"optim": OptimConfig(batch=2, lr=1e-3), "lora": LoraConfig(rank=4), "seed": 7} | options
    return TrainConfig(model="ifrnet-t", start=str(base), data=DRAWN, steps=steps, **options)


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def adapter(folder):
    return adapters.read(folder / "last.safetensors")


def test_a_run_leaves_an_adapter_of_its_base(base, tmp_path):
    before = base.read_bytes()
    outcome = train(config(base), tmp_path)
    made = adapter(tmp_path)
    assert (outcome.why, outcome.step) == ("steps", 4)
    assert (made.card.base, made.card.label, made.card.config) == ("ifrnet-t", str(base), LoraConfig(rank=4))
    assert made.card.facts["step"] == "4"
    assert base.read_bytes() == before
    worn = zoo.load(base, lora=[made.path]).state_dict()
    assert worn.keys() == weights.read(base).state.keys()
    assert not equal(worn, weights.read(base).state)


def test_checkpoints_hold_the_adapter_alone(base, tmp_path):
    train(config(base, 2), tmp_path)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["model"].keys() == state["average"].keys() == adapter(tmp_path).state.keys()
    held = sum(len(group["params"]) for group in state["optimiser"]["param_groups"])
    assert held == len(state["model"])
    assert (tmp_path / "state.pt").stat().st_size < base.stat().st_size


@pytest.mark.parametrize("method", ["lora", "dora", "loha", "lokr"])
@pytest.mark.slow
def test_two_halves_are_the_whole(base, tmp_path, method):
    """With dropout, moving average and phases: what a stopped run goes on to is what it would have had."""
    optim = OptimConfig(batch=2, lr=1e-3, average=0.9, clip=1.0, warmup=2)
    phases = (Phase(until=0.5, frozen=("encoder",)), Phase(until=1.0))
    tuned = LoraConfig(rank=4, method=method, dropout=0.2)
    asked = config(base, 6, optim=optim, phases=phases, lora=tuned)
    train(asked, tmp_path / "whole")

    def stop(now):
        if now.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    assert train(asked, tmp_path / "parts", stop).why == "interrupted"
    assert train(asked, tmp_path / "parts").why == "steps"
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert equal(adapter(tmp_path / "parts").state, adapter(tmp_path / "whole").state)


def losses(folder):
    return [line["loss"] for line in checkpoint.lines(folder / "log.jsonl") if "loss" in line]


def test_a_resting_part_of_the_adapter_stays_fresh(base, tmp_path):
    train(config(base, 3, phases=(Phase(until=1.0, frozen=("encoder",)),)), tmp_path)
    moved = {key: bool(value.any()) for key, value in adapter(tmp_path).state.items() if ".lora_B" in key}
    assert {key.split(".")[0] for key, value in moved.items() if not value} == {"encoder"}
    assert any(moved.values())


def test_without_rank_the_whole_network_learns(base, tmp_path):
    train(config(base, 2, lora=LoraConfig()), tmp_path)
    assert not equal(zoo.load(tmp_path / "last.safetensors").state_dict(), weights.read(base).state)


def test_an_adapter_needs_a_trained_base(tmp_path, monkeypatch):
    monkeypatch.setenv("TWEEN_HOME", str(tmp_path))
    asked = TrainConfig(model="ifrnet-t", data=DRAWN, steps=1, lora=LoraConfig(rank=4))
    with pytest.raises(NoWeights, match="ifrnet-t has no trained weights here"):
        train(asked, tmp_path / "run")


def test_other_ranks_are_another_recipe(base, tmp_path):
    train(config(base, 1), tmp_path)
    with pytest.raises(Conflict, match=r"lora.rank: 4 -> 8"):
        train(config(base, 1, lora=LoraConfig(rank=8)), tmp_path)


def test_a_run_of_an_older_tween_goes_on(base, tmp_path):
    """One whose recipe does not speak of adapters."""
    asked = config(base, 1, lora=LoraConfig())
    train(asked, tmp_path)
    told = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    del told["lora"]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(told))
    assert train(config(base, 2, lora=LoraConfig()), tmp_path).step == 2


def test_strange_adapters_are_refused_before_anything_runs(base, tmp_path):
    with pytest.raises(BadOption, match=r"--lora.alpha 0; a number above 0 is needed"):
        train(config(base, lora=LoraConfig(rank=4, alpha=0.0)), tmp_path)
    assert not (tmp_path / "recipe.yaml").exists()


# On the command line.


def recipe_of(base, tmp_path, **options):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(as_plain(config(base, 2, **options))))
    return path


def test_tween_lora_trains_lists_and_merges(base, tmp_path, capsys):
    recipe = recipe_of(base, tmp_path, lora=LoraConfig(rank=2))
    run = tmp_path / "run"
    assert main(["lora", str(recipe), "--run", str(run), "--quiet"]) == 0
    assert main(["lora", "list", str(run)]) == 0
    shown = capsys.readouterr().out
    assert "best.safetensors" in shown
    assert "ifrnet-t" in shown
    assert main(["lora", "list", str(run / "best.safetensors"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["adapters"][0]
    assert told["config"]["rank"] == 2
    merged = tmp_path / "merged.safetensors"
    assert main(["lora", "merge", f"{run / 'best.safetensors'}:0.5", "-o", str(merged)]) == 0
    assert "ifrnet-t with best.safetensors:0.5" in capsys.readouterr().err
    assert equal(zoo.load(merged).state_dict(), zoo.load(base, lora=[f"{run / 'best.safetensors'}:0.5"]).state_dict())


def test_tween_lora_gives_a_recipe_a_rank(base, tmp_path):
    """One that says nothing of adapters gets one of rank 8; flags have the last word."""
    recipe = tmp_path / "plain.yaml"
    told = as_plain(config(base, 1, lora=LoraConfig()))
    del told["lora"]
    recipe.write_text(yaml.safe_dump(told))
    assert main(["lora", str(recipe), "--run", str(tmp_path / "a"), "--quiet"]) == 0
    assert adapter(tmp_path / "a").card.config.rank == 8
    line = ["lora", str(recipe), "--run", str(tmp_path / "b"), "--quiet", "--lora.rank", "3", "--lora.method", "dora"]
    assert main(line) == 0
    assert adapter(tmp_path / "b").card.config == LoraConfig(rank=3, method="dora")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lora", "merge", "a.safetensors", "-o", "{there}"], "is there already; it would be replaced"),
        (["lora", "merge", "a.safetensors", "-o", "out.pth"], "a name that ends in .safetensors is needed"),
        (["lora", "merge", "nowhere.safetensors", "-o", "{new}"], "no weights file nowhere.safetensors"),
        (["lora", "list", "nowhere"], "no file or folder nowhere; an adapter, or a folder of some, is needed"),
        (["lora", "--lora.rank", "8"], "tween lora --lora.rank; the recipe comes first"),
        (["lora", "{recipe}", "--lora.rank", "0"], "tween lora with --lora.rank 0; an adapter has a rank"),
    ],
)
def test_mistakes_are_told(base, tmp_path, capsys, words, said):
    places = {"there": str(base), "new": str(tmp_path / "new.safetensors"), "recipe": str(recipe_of(base, tmp_path))}
    assert main([word.format(**places) for word in words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_renders_wear_what_they_are_told(base, tmp_path):
    """Another picture than the bare model's, and at weight 0 the same; the model is found by its adapter."""
    train(config(base, 3, optim=OptimConfig(batch=2, lr=3e-2)), tmp_path / "run")
    worn, source = tmp_path / "run" / "last.safetensors", Clip(frames=5).make(tmp_path / "in.mp4")
    line = ["interpolate", str(source), "--times", "2", "--backend", "torch", "--codec", "ffv1", "--quiet"]
    assert main([*line, "-o", str(tmp_path / "bare.mkv"), "--model", str(base)]) == 0
    assert main([*line, "-o", str(tmp_path / "worn.mkv"), "--lora", str(worn)]) == 0
    assert main([*line, "-o", str(tmp_path / "off.mkv"), "--lora", f"{worn}:0"]) == 0
    bare, dressed, off = (pictures(tmp_path / f"{name}.mkv") for name in ("bare", "worn", "off"))
    assert len(bare) == len(dressed) == 9
    assert all(torch.equal(a, b) for a, b in zip(bare, off, strict=True))
    assert [torch.equal(a, b) for a, b in zip(bare, dressed, strict=True)] == [True, False] * 4 + [True]


@pytest.mark.slow
def test_a_render_that_goes_on_knows_what_it_wore(base, tmp_path):
    """The journal's facts differ for other adapters, other strengths, and the same name with other contents."""
    train(config(base, 1), tmp_path / "run")
    worn = tmp_path / "run" / "last.safetensors"
    seen = []
    for asked in ((), (str(worn),), (f"{worn}:0.5",)):
        seen.append(facts(RenderConfig(base, lora=asked), model="ifrnet-t", runs="torch")["--lora"])
    train(config(base, 2), tmp_path / "run")
    seen.append(facts(RenderConfig(base, lora=(str(worn),)), model="ifrnet-t", runs="torch")["--lora"])
    assert len(set(seen)) == 4
    assert seen[0] == "none"


def pictures(path):
    with open_source(path) as source:
        return [frame.data.clone() for frame in source]
