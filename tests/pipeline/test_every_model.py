"""Every network of the zoo renders a real file, odd size and sound included, on each backend that takes it."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from clips import Clip

from tween.backends.torch import TorchBackend
from tween.models import zoo
from tween.models.cost import FIGURES
from tween.models.weights import write
from tween.ops.canvas import to_float
from tween.pipeline.config import PredictConfig, RenderConfig
from tween.pipeline.recipe import predict, render
from tween.video.doors import open_source

SIZE = (37, 51)
FRAMES = 4


def each(*, trained_only=False):
    """Every network once, and unless told otherwise the classics."""
    classics = [name for name, row in zoo.entries().items() if not row.trained]
    for name in [*([] if trained_only else classics), *zoo.networks()]:
        heavy = FIGURES.get(name, (0, 0))[1] > 400
        yield pytest.param(name, marks=pytest.mark.slow if heavy else ())


def model_of(name: str, folder: Path) -> str:
    """What `--model` takes: the name, or for a network a file of random weights."""
    if not zoo.entry(name).trained:
        return name
    torch.manual_seed(5)
    file = folder / f"{name}.safetensors"
    write(zoo.create(name).state_dict(), file, name=name)
    return str(file)


def rendered(name: str, folder: Path, clip: Path, backend: str) -> list[torch.Tensor]:
    """The frames that `tween interpolate` or `tween predict` writes, float `[3, H, W]`."""
    out = folder / f"{backend}.mkv"
    options = {"model": model_of(name, folder), "backend": backend, "codec": "ffv1", "precision": "fp32"}
    if zoo.signature(name).spec.predicts:
        report = predict(PredictConfig(clip, out, **options))
        assert report.frames_out == FRAMES
        assert report.psnr is not None
    else:
        report = render(RenderConfig(clip, out, times=2, **options))
        assert report.frames_out == 2 * FRAMES - 1
    assert report.rendered == FRAMES - 1
    assert report.backend == f"{backend} on cpu"
    with open_source(out) as source:
        assert (source.info.size, source.info.audio) == (SIZE, 1)
        return [to_float(frame.data) for frame in source]


@pytest.fixture
def clip(tmp_path):
    whole = Clip(frames=FRAMES, size=SIZE, codec="ffv1", pixel_format="yuv444p", sound=["flac"])
    return whole.make(tmp_path / "clip.mkv")


@pytest.fixture
def calls(monkeypatch):
    """How often each verb of the torch backend runs."""
    counted: Counter[str] = Counter()
    for verb in ("embed", "relate", "render"):
        plain = getattr(TorchBackend, verb)

        def counting(self, *inputs, verb=verb, plain=plain):
            counted[verb] += 1
            return plain(self, *inputs)

        monkeypatch.setattr(TorchBackend, verb, counting)
    return counted


@pytest.mark.parametrize("name", list(each()))
def test_torch_renders_it(name, tmp_path, clip, calls):
    frames = rendered(name, tmp_path, clip, "torch")
    assert all(bool(frame.isfinite().all()) for frame in frames)
    assert calls["embed"] == FRAMES  # once a frame
    assert calls["render"] == FRAMES - 1  # once an instant
    assert calls["relate"] == FRAMES - 1  # once a gap


# One of each kind of graph; the rest of the zoo takes ten minutes.
QUICK = {"ifrnet-t", "ifrvp-fast-any", "rife-4.6", "lightvfi-16"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(p.values[0], marks=() if p.values[0] in QUICK else pytest.mark.long)
        for p in each(trained_only=True)
        if not zoo.create(p.values[0]).searches
    ],
)
@pytest.mark.long
def test_openvino_renders_the_same(name, tmp_path, clip):
    same_but_for_rounding(name, "openvino", tmp_path, clip)


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("lightvfi-16", "onnx"),
        ("ifrnet-t", "ncnn"),
        ("ifrvp-fast-any", "ncnn"),
        pytest.param("rife-4.25", "onnx", marks=pytest.mark.long),
        pytest.param("rife-4.25", "fused", marks=pytest.mark.long),
    ],
)
@pytest.mark.slow
def test_other_engines_render_the_same(name, engine, tmp_path, clip):
    same_but_for_rounding(name, engine, tmp_path, clip)


def same_but_for_rounding(name: str, engine: str, tmp_path: Path, clip: Path) -> None:
    """In f32 each frame is that of torch but for rounding: a step of 8 bits in YUV is up to two in RGB."""
    ours = rendered(name, tmp_path, clip, "torch")
    theirs = rendered(name, tmp_path, clip, engine)
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).abs().max() <= 2.01 / 255
        assert (a != b).float().mean() < 0.01
