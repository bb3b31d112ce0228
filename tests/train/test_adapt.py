"""Laws of an adaptation: it learns from some shots and is judged by others; it helps, or nothing is written."""

import json
import os
import signal
from dataclasses import replace
from functools import partial

import pytest
import torch
from films import film

from tween.cli.main import main
from tween.data.sets import open_set
from tween.errors import BadOption, CannotWrite, Conflict, MissingFile, OutputExists, TooShort
from tween.evaluate.protocols import PROTOCOLS
from tween.evaluate.score import score
from tween.models import adapters, weights, zoo
from tween.models.lora_config import LoraConfig
from tween.models.model import Spec
from tween.train import adapt_cache, windows
from tween.train.adapt import Adapted, adapt, is_gain, shared
from tween.train.adapt_config import AdaptConfig
from tween.train.film import held_back, look_through
from tween.train.windows import Window

pytest.importorskip("peft")
NOTHING_LEARNT = 1e-12  # a learning rate


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    """A user's folder of its own."""
    before = os.environ.get("TWEEN_HOME")
    os.environ["TWEEN_HOME"] = str(tmp_path_factory.mktemp("home"))
    yield
    if before is None:
        del os.environ["TWEEN_HOME"]
    else:
        os.environ["TWEEN_HOME"] = before


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A network that shows grey: any film teaches it something."""
    path = tmp_path_factory.mktemp("base") / "lightvfi-16.safetensors"
    torch.manual_seed(0)
    weights.write(zoo.create("lightvfi-16").state_dict(), path, name="lightvfi-16")
    return path


@pytest.fixture(scope="module")
def shot(tmp_path_factory):
    """A film of four shots."""
    return film(tmp_path_factory.mktemp("film") / "film.mp4")


def asked(base, shot, tmp_path, **options):
    options = {"minutes": 5.0, "steps": 60, "lora": LoraConfig(rank=4), "crop": 48, "lr": 1e-2} | options
    return AdaptConfig(shot, tmp_path / "film.lora.safetensors", str(base), **options)


# The whole way.


@pytest.mark.slow
def test_it_gains_on_shots_held_back_and_says_how_much(base, shot, tmp_path):
    stages = []
    done = adapt(asked(base, shot, tmp_path), lambda now: stages.append(now.stage))
    assert list(dict.fromkeys(stages)) == ["looking", "choosing", "learning", "examining"]
    assert done.why == "gained"
    assert done.gain_db > 0.2
    assert done.gain_db == pytest.approx(done.adapted_db - done.base_db)
    assert (done.shots, done.held) == (4, 1)
    card = adapters.read(done.output).card
    assert (card.label, card.facts["film"], card.facts["gain_db"]) == (str(base), "film.mp4", f"{done.gain_db:.2f}")
    assert list(tmp_path.iterdir()) == [done.output]
    assert score_of(zoo.load(base, lora=[done.output]), shot) > score_of(zoo.load(base), shot)


@pytest.mark.slow
def test_films_of_several_sizes_are_learnt_from_at_what_the_smallest_allows(base, tmp_path):
    """The manifest lists the large one first: the crop was once that one's, and did not fit the other."""
    names = {"a.mp4": (96, 128), "b.mp4": (48, 64), "c.mp4": (48, 64), "d.mp4": (48, 64)}
    rows = ["clip\tfile\tstart\tframes\tstep\tsource"]
    (tmp_path / "films").mkdir()
    for number, (name, size) in enumerate(names.items()):
        film(tmp_path / "films" / name, shots=1, frames=16, size=size, seed=number)
        rows.append(f"{name}\t{name}\t0\t16\t1\t{name}")
    (tmp_path / "films" / "MANIFEST.tsv").write_text("\n".join(rows) + "\n")
    done = adapt(asked(base, tmp_path / "films", tmp_path, crop=96, steps=4, lr=NOTHING_LEARNT), lambda _: None)
    assert done.why == "no gain"


def score_of(model, path):
    data = open_set("video", path, "test", mine=False)
    return score(model, data, PROTOCOLS["video"], metrics=("psnr",)).means()["psnr"]


@pytest.mark.slow
def test_where_nothing_is_gained_nothing_is_written(base, shot, tmp_path, capsys):
    line = ["adapt", str(shot), "-o", str(tmp_path / "a.safetensors"), "--model", str(base), "--steps", "3"]
    assert main([*line, "--lr", str(NOTHING_LEARNT), "--rank", "2"]) == 0
    said = capsys.readouterr().err
    assert "film.mp4: no gain" in said
    assert "nothing was written" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_one_that_was_stopped_goes_on(base, shot, tmp_path):
    """By the same plan, from the step that it had reached; more minutes are no other adaptation."""
    config = asked(base, shot, tmp_path)

    def stop(now):
        if now.stage == "learning" and now.step >= 5:
            os.kill(os.getpid(), signal.SIGINT)

    first = adapt(config, stop)
    assert (first.why, first.output) == ("interrupted", None)
    folder = tmp_path / "film.lora.safetensors.part"
    plan = (folder / "plan.json").read_bytes()
    seen = []
    longer = asked(base, shot, tmp_path, minutes=6.0, steps=70)
    second = adapt(longer, lambda now: seen.append((now.stage, now.step)))
    assert "choosing" not in dict(seen)
    assert next(step for stage, step in seen if stage == "learning") == first.steps + 1
    assert json.loads(plan)["telling"]
    assert second.why == "gained"
    assert not folder.exists()


@pytest.mark.slow
def test_another_film_begins_anew(base, shot, tmp_path):
    config = asked(base, shot, tmp_path, lr=NOTHING_LEARNT)

    def stop(now):
        if now.stage == "learning":
            os.kill(os.getpid(), signal.SIGINT)

    adapt(config, stop)
    stages = []
    other = asked(base, film(tmp_path / "other.mp4", seed=5), tmp_path, lr=NOTHING_LEARNT, steps=2)
    adapt(other, lambda now: stages.append(now.stage))
    assert "choosing" in stages


@pytest.mark.slow
def test_a_whole_network_can_learn_too(base, shot, tmp_path):
    done = adapt(asked(base, shot, tmp_path, lora=LoraConfig()))
    assert done.why == "gained"
    assert zoo.load(done.output).state_dict().keys() == weights.read(base).state.keys()


# What is learnt from, and what judges.


def test_no_shot_is_on_both_sides(shot):
    runs = look_through(shot, least=5, seconds=60, stretches=[], told=lambda _: None)
    assert len({run.shot for run in runs}) == 4
    learn, held = held_back(runs, 5)
    assert learn
    assert held
    assert not {run.shot for run in learn} & {run.shot for run in held}
    assert sum(run.clip.length for run in held) <= 0.4 * sum(run.clip.length for run in runs)


@pytest.mark.parametrize("shots", [2, 3, 7])
@pytest.mark.slow
def test_some_are_always_held_back(tmp_path, shots):
    runs = look_through(film(tmp_path / "a.mp4", shots=shots), least=3, seconds=60, stretches=[], told=lambda _: None)
    learn, held = held_back(runs, 3)
    assert {run.shot for run in learn} | {run.shot for run in held} == {run.shot for run in runs}
    assert learn
    assert held


def test_of_one_shot_the_end_is_held_back(tmp_path):
    runs = look_through(
        film(tmp_path / "a.mp4", shots=1, frames=40), least=3, seconds=60, stretches=[], told=lambda _: None
    )
    learn, held = held_back(runs, 3)
    assert max(r.clip.start + r.clip.length for r in learn) <= min(r.clip.start for r in held)
    assert sum(r.clip.length for r in held) == pytest.approx(10, abs=2)


def test_where_the_other_shot_is_too_small_the_end_of_the_long_one_judges_too(tmp_path):
    """A film of 72 and 9 frames: 9 alone are too few."""
    runs = look_through(
        film(tmp_path / "a.mp4", lengths=(72, 9)), least=3, seconds=60, stretches=[], told=lambda _: None
    )
    assert [run.clip.length for run in runs] == [72, 9]
    for together in (runs, runs[::-1]):
        learn, held = held_back(together, 3)
        assert {run.shot for run in learn} == {0}
        assert sum(run.clip.length for run in held) == pytest.approx(20, abs=1)
        ends = max(run.clip.start + run.clip.length for run in learn)
        assert all(run.clip.start >= ends for run in held)


def test_a_long_film_is_looked_at_here_and_there(tmp_path, monkeypatch):
    """When time runs out what was seen is spread over it, and going on looks at the same."""
    monkeypatch.setattr("tween.train.film.STRETCH", 12)
    path, seen = film(tmp_path / "a.mp4", shots=8, frames=24), []
    runs = look_through(path, least=3, seconds=0, stretches=seen, told=lambda _: None)
    assert seen == [0, 8, 4, 12]
    assert len({run.shot for run in runs}) >= 4
    again = look_through(path, least=3, seconds=0, stretches=list(seen), told=lambda _: None)
    assert [run.clip for run in again] == [run.clip for run in runs]


def test_windows_that_tell_more_are_chosen(shot, base):
    """Where the network errs less, fewer windows stay; none is too short; the same seed gives the same."""
    model = zoo.load(base)
    runs = look_through(shot, least=7, seconds=60, stretches=[], told=lambda _: None)
    found = [windows.telling(runs, model, (32, 32), seconds=60, seed=3, told=lambda _: None) for _ in range(2)]
    assert found[0] == found[1]
    least, length = windows.lengths_of(model.spec)
    for window in found[0]:
        kept = windows.kept(runs[window.run], window, length)
        assert kept.length >= least
        assert kept.size() == (48, 48)
        whole = runs[window.run].clip.read([window.start])[0]
        y, x, high, wide = window.region
        assert torch.equal(kept.read([0])[0], whole[:, y : y + high, x : x + wide])


@pytest.mark.parametrize(
    ("spec", "gaps", "lengths"),
    [
        (Spec(), (2, 4), (3, 5)),
        (Spec((-1, 0, 1, 2), any_time=False), (2,), (7, 7)),
        (Spec((-1, 0)), (1,), (3, 3)),
    ],
)
def test_gaps_follow_from_what_a_network_knows(spec, gaps, lengths):
    assert windows.gaps_of(spec) == gaps
    assert windows.lengths_of(spec) == lengths


def test_what_judges_and_what_examines_are_others():
    found = [Window(k, 0, (0, 0, 8, 8)) for k in range(12)]
    judge, exam = shared(found, [4, 8])
    assert len(judge) == 4
    assert sorted(judge + exam) == found
    assert shared(found[:3], [4, 8]) == (found[:3], found[:3])


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [([0.3, 0.4, 0.5], True), ([0.01, 0.01], False), ([1.5, -1.4, 0.2], False), ([0.5], True), ([-0.3, -0.2], False)],
)
def test_a_gain_is_more_than_chance(gains, verdict):
    assert is_gain(gains) is verdict


# Kept beside a render.


@pytest.mark.slow
def test_interpolate_adapts_once(base, shot, tmp_path, capsys, monkeypatch):
    line = ["interpolate", str(shot), "-o", str(tmp_path / "o.mp4"), "--times", "2", "--model", str(base)]
    options = ["--overwrite", "--adapt", "--backend", "torch", "--crf", "30"]
    quick = partial(AdaptConfig, steps=60, crop=48, lr=1e-2)  # steps, so that a busy machine learns as much
    monkeypatch.setattr("tween.train.adapt_config.AdaptConfig", quick)
    assert main([*line, *options]) == 0
    assert "the model was adapted to it, +" in capsys.readouterr().err
    kept = sorted(path.suffix for path in adapt_cache.folder().iterdir())
    assert kept == [".json", ".safetensors"]
    monkeypatch.setattr(adapt_cache, "adapt", None)  # it is not made again
    assert main([*line, *options]) == 0
    assert "the model was adapted to it, +" in capsys.readouterr().err


def test_that_nothing_is_gained_is_remembered(base, shot, tmp_path, monkeypatch):
    config = asked(base, shot, tmp_path)
    monkeypatch.setattr(adapt_cache, "adapt", lambda *_: Adapted(None, "no gain", steps=3))
    assert adapt_cache.adapted(config).why == "no gain"
    monkeypatch.setattr(adapt_cache, "adapt", None)
    again = adapt_cache.adapted(config)
    assert (again.why, again.steps, again.output) == ("no gain", 3, None)


# Mistakes.


def test_mistakes_are_told_first(base, shot, tmp_path, capsys):
    (tmp_path / "film.lora.safetensors").write_bytes(b"mine")
    with pytest.raises(OutputExists, match=r"film.lora.safetensors is there already; it would be replaced"):
        adapt(asked(base, shot, tmp_path))
    assert (tmp_path / "film.lora.safetensors").read_bytes() == b"mine"
    with pytest.raises(BadOption, match="dis has nothing to learn; a network is needed"):
        adapt(asked("dis", shot, tmp_path, overwrite=True))
    with pytest.raises(MissingFile, match=r"no file or folder .*nowhere.mp4"):
        adapt(asked(base, tmp_path / "nowhere.mp4", tmp_path, overwrite=True))
    with pytest.raises(BadOption, match="--minutes 0; a time above 0 is needed"):
        adapt(asked(base, shot, tmp_path, minutes=0))
    still = film(tmp_path / "still.mp4", shots=2, speed=0.0)
    with pytest.raises(TooShort, match=r"still.mp4: 32 frames, of which no \d+ in a row move"):
        adapt(asked(base, still, tmp_path, overwrite=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.lora.safetensors", "still.mp4"]
    assert main(["adapt", str(shot), "-o", str(tmp_path / "a.pth")]) == 2
    assert "a name that ends in .safetensors is needed" in capsys.readouterr().err
    assert main(["adapt", str(shot), "--method", "lara"]) == 2
    assert "--method lara (did you mean lora" in capsys.readouterr().err


def test_places_that_cannot_be_are_told(base, shot, tmp_path):
    """And what lies there is left alone."""
    with pytest.raises(CannotWrite, match=r"cannot be made \(No such file or directory\); a folder that you may"):
        adapt(replace(asked(base, shot, tmp_path), output=tmp_path / "nowhere" / "a.safetensors"))
    mine = tmp_path / "film.lora.safetensors.part" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(CannotWrite, match=r"part holds files of something else"):
        adapt(asked(base, shot, tmp_path))
    assert mine.read_text() == "mine"


@pytest.mark.slow
def test_what_predicts_adapts_too(shot, tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "ifrvp-fast.safetensors"
    weights.write(zoo.create("ifrvp-fast").state_dict(), path, name="ifrvp-fast")
    done = adapt(asked(path, shot, tmp_path, steps=4, lr=3e-3))
    assert (done.why in ("gained", "no gain"), done.steps) == (True, 4)
    assert (done.output is None) is (done.why == "no gain")


def test_adapt_and_lora_exclude_each_other(shot, capsys):
    assert main(["interpolate", str(shot), "--times", "2", "--adapt", "--lora", "a.safetensors"]) == 2
    assert "--adapt with --lora; an adapter is tuned for the bare model" in capsys.readouterr().err
    assert Conflict.exit_code == 2
