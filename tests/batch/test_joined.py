"""Joined equals unsplit: a batch makes the file that `tween interpolate` makes, however it was split."""

import random
from fractions import Fraction

import pytest
import torch
from clips import Clip
from inline_pool import run_inline
from test_resume import decoded, on_twos, packets_of, with_cuts

from tween.batch.config import BatchConfig
from tween.models import zoo
from tween.models.model import Model, Prediction, Spec
from tween.models.weights import write
from tween.pipeline import journal
from tween.pipeline.config import RenderConfig
from tween.pipeline.recipe import render

pytestmark = pytest.mark.slow  # each compiles networks, or starts processes

SEGMENT = 8
WAYS = {
    "times": {"times": 3},
    "rate": {"rate": "60"},
    "fewer": {"rate": "10"},
    "odd rate": {"rate": "29.97"},
    "slow": {"slow": "2.5"},
    "whole slow": {"slow": "3"},
    "slow at a rate": {"slow": "3", "rate": "20"},
    "part": {"times": 3, "start": "0.2", "end": "1.2"},
    "cuts blended": {"times": 2, "cuts": "blend"},
    "cuts off": {"times": 2, "cuts": "off"},
    "retime": {"times": 2, "repeats": "retime"},
    "flow": {"times": 2, "model": "dis"},
    "tiles": {"times": 2, "model": "dis", "tile": "128,128"},
}


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(journal, "SEGMENT_FRAMES", SEGMENT)


def both(clip, folder, options, *, suffix=".mkv", **how):
    """The file of a single render, the file of a batch, and the batch's driver and pool."""
    straight = folder / f"straight{suffix}"
    straight.parent.mkdir(exist_ok=True)
    render(RenderConfig(clip, straight, **options))
    keep = []
    totals = run_inline(BatchConfig(inputs=(clip,), output=folder / "out", **options), keep=keep, **how)
    assert totals.exit_code == 0, [film.reason for film in totals.films]
    (made,) = (path for path in (folder / "out").iterdir() if not path.name.startswith("."))
    return straight, made, *keep


def assert_same(straight, made):
    assert decoded(made) == decoded(straight)
    assert packets_of(made, "video") == packets_of(straight, "video")


QUICK = {"times", "odd rate", "part", "retime"}
CLIPS = [
    *(pytest.param(way, "cuts.mp4", marks=() if way in QUICK else pytest.mark.slow) for way in WAYS),
    *(pytest.param(way, "cuts.mkv", marks=pytest.mark.slow) for way in ("times", "odd rate", "part")),
]


@pytest.mark.parametrize(("way", "source"), CLIPS)
def test_the_file_is_that_of_one_render(tmp_path, way, source):
    """Without loss, in mp4 and in a clock of milliseconds, in any order of the parts."""
    clip = with_cuts(tmp_path / source, frames=30)
    options = {"model": "blend", "codec": "ffv1", **WAYS[way]}
    straight, made, driver, pool = both(clip, tmp_path, options, seed=random.Random(way + source).randrange(100))
    assert_same(straight, made)
    assert len({task.id for _, task in pool.given}) > 1 or "fewer" in way
    assert driver.films[0].frames == len(decoded(straight))


@pytest.mark.parametrize("codec", ["h264", *(pytest.param(c, marks=pytest.mark.slow) for c in ("prores", "av1"))])
def test_encoders_with_loss_make_the_same_bytes(tmp_path, codec):
    """Segments are those of a single render, so the packets are too: in mp4, the whole file."""
    clip = with_cuts(tmp_path / "clip.mp4", frames=30)
    suffix = ".mov" if codec == "prores" else ".mp4"
    straight, made, *_ = both(clip, tmp_path, {"times": 2, "model": "blend", "codec": codec}, suffix=suffix, seed=3)
    assert straight.read_bytes() == made.read_bytes()


def test_drawings_on_twos(tmp_path):
    clip = on_twos(tmp_path / "twos.mp4", frames=30)
    options = {"times": 2, "repeats": "retime", "model": "blend", "codec": "ffv1"}
    straight, made, _, pool = both(clip, tmp_path, options, seed=1)
    assert_same(straight, made)
    assert len(pool.given) > 2


VARIABLE = [{"times": 2}, *(pytest.param(way, marks=pytest.mark.slow) for way in ({"rate": "60"}, {"slow": "2"}))]


@pytest.mark.parametrize("way", VARIABLE, ids=str)
def test_a_variable_rate(tmp_path, way):
    ticks, now, made = [], 0, random.Random(4)
    for _ in range(40):
        ticks.append(now)
        now += made.choice([30, 33, 40, 70, 125])
    clip = Clip(frames=40, ticks=ticks, grid=Fraction(1, 1000), sound=["aac"]).make(tmp_path / "clip.mp4")
    straight, made, *_ = both(clip, tmp_path, {"model": "blend", "codec": "ffv1", **way}, seed=2)
    assert_same(straight, made)


def test_sound_and_the_rest_are_copied_once(tmp_path):
    whole = Clip(
        frames=36, sound=["aac", "flac"], subtitles=["subrip"], chapters=[("one", 0, 1)], attachment="a.txt",
        metadata={"title": "a film"},
    )  # fmt: skip
    clip = whole.make(tmp_path / "clip.mkv")
    straight, made, *_ = both(clip, tmp_path, {"times": 2, "model": "blend"})
    assert_same(straight, made)
    for kind in ("audio", "subtitle"):
        assert packets_of(made, kind) == packets_of(clip, kind) == packets_of(straight, kind)
    assert b"an attached file" in made.read_bytes()


class Looking(Model):
    """A model that mixes all that it looks at, each frame with a weight of its own: any frame amiss is seen."""

    def __init__(self, context, *, any_time):
        super().__init__()
        self.spec = Spec(context=context, any_time=any_time)

    def render(self, scene, t):
        weights = torch.arange(1, len(scene) + 1, dtype=torch.float32) ** 1.3
        mixed = sum(w * frame for w, frame in zip(weights / weights.sum(), scene, strict=True))
        near = self.spec.context.index(0)
        return Prediction((0.5 * mixed + 0.5 * scene[near].lerp(scene[near + 1], float(t[0]))).clamp(0, 1), {})


CONTEXTS = {
    "2": ((0, 1), True),
    "4, midpoint": ((-1, 0, 1, 2), False),
    "15": (tuple(range(-6, 8)), True),
    "64": (tuple(range(-31, 33)), True),
}


@pytest.mark.parametrize("cuts", ["hold", pytest.param("off", marks=pytest.mark.slow)])
@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("times", [2, pytest.param(4, marks=pytest.mark.long)])
@pytest.mark.long
def test_contexts_of_every_length(tmp_path, monkeypatch, context, cuts, times):
    frames, any_time = CONTEXTS[context]
    monkeypatch.setattr(zoo, "load", lambda *_, **__: Looking(frames, any_time=any_time).eval())
    clip = with_cuts(tmp_path / "clip.mp4", frames=40 if times == 4 else 76, every=23)
    options = {"times": times, "codec": "ffv1", "cuts": cuts, "fallback": "off"}
    monkeypatch.setattr("tween.batch.film.passes_on_paper", paper(Spec(context=frames, any_time=any_time)))
    straight, made, *_ = both(clip, tmp_path, options, seed=times)
    assert_same(straight, made)


def paper(spec):
    from tween.batch.segments import passes_on_paper

    return lambda _, *rest: passes_on_paper(spec, *rest)


def untrained(name, folder):
    torch.manual_seed(5)
    file = folder / f"{name}.safetensors"
    write(zoo.create(name).state_dict(), file, name=name)
    return str(file)


NETWORKS = ["ifrnet-s", "lightvfi", *(pytest.param(name, marks=pytest.mark.long) for name in ("lift-15", "lift-64"))]


@pytest.mark.parametrize("name", NETWORKS)
def test_real_networks(tmp_path, name, monkeypatch):
    """Untrained, from one seed: what they show is noise, and the same noise."""
    monkeypatch.setattr(journal, "SEGMENT_FRAMES", 4)
    clip = Clip(frames=10, size=(32, 48)).make(tmp_path / "clip.mp4")
    options = {"times": 2, "codec": "ffv1", "model": untrained(name, tmp_path), "fallback": "off", "backend": "torch"}
    straight, made, _, pool = both(clip, tmp_path, options, seed=7)
    assert_same(straight, made)
    assert len(pool.given) > 1


@pytest.mark.parametrize("name", [name for name in zoo.entries() if zoo.signature(name).spec.predicts])
def test_what_predicts_is_refused_by_name(tmp_path, name):
    clip = Clip(frames=30).make(tmp_path / "clip.mp4")
    model = name if not zoo.entry(name).trained else untrained(name, tmp_path)
    totals = run_inline(BatchConfig(inputs=(clip,), output=tmp_path / "out", times=2, model=model))
    assert totals.exit_code == 1
    assert "tween predict" in totals.films[0].reason
