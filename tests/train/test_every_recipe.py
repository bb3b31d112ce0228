"""Every recipe runs: twenty steps, its own network, losses, phases and set, on a tiny tree of the set's layout."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trees
from clips import Clip
from PIL import Image

from tween.models import weights, zoo
from tween.ops.features import FILES
from tween.train.checkpoint import lines
from tween.train.recipe import read
from tween.train.trainer import train

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
SIDE = 64
STEPS = 20
WORLD = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)


def textured(root: Path) -> Path:
    """Every picture of a tree as 80 x 96 pixels of a texture that moves with its number."""
    world = np.asarray(Image.fromarray(WORLD).resize((480, 400), Image.Resampling.BICUBIC))
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        y, x = 2 * number % 300, 3 * number % 360
        Image.fromarray(world[y : y + 80, x : x + 96]).save(path)
    return root


def videos(root: Path, frames: int) -> Path:
    """Three videos of a moving texture in folders of actions."""
    for k in range(3):
        folder = root / f"Action{k}"
        folder.mkdir(parents=True)
        Clip(frames=frames, size=(80, 96)).make(folder / f"v_Action{k}_g01_c01.avi")
    return root


def tree(kind: str, root: Path) -> Path:
    """A tiny tree of a set's layout."""
    if kind == "lift-ucf101":
        return videos(root, 36)
    if kind == "video":
        return videos(root, 140)
    makers = {"vimeo90k": trees.vimeo90k, "vimeo90k-septuplet": trees.septuplets, "gopro": trees.gopro}
    makers |= {"cityscapes": trees.cityscapes, "middlebury": trees.middlebury}
    return textured(makers[kind](root))


@pytest.fixture
def classifiers(tmp_path, monkeypatch):
    """Random weights of VGG where a user would say the real ones are."""
    generator = torch.Generator().manual_seed(0)
    for name in ("vgg16", "vgg19"):
        shapes = FILES[name].shapes()
        state = {key: 0.03 * torch.randn(shape, generator=generator) for key, shape in shapes.items()}
        torch.save(state, tmp_path / f"{name}.pth")
        monkeypatch.setenv(FILES[name].variable, str(tmp_path / f"{name}.pth"))


def each():
    """Every recipe; those of large networks take minutes."""
    large = ("deformvfi", "emavfi", "ifrnet-", "ifrvp-", "lift-", "lightvfi", "rife-", "weights-")
    for path in RECIPES:
        yield pytest.param(path, id=path.stem, marks=pytest.mark.long if path.stem.startswith(large) else ())


@pytest.mark.slow
@pytest.mark.usefixtures("classifiers")
@pytest.mark.parametrize("path", list(each()))
def test_twenty_steps(path, tmp_path):
    recipe = read(path)
    crop = (max(SIDE, zoo.create(recipe.model).spec.multiple),) * 2
    data = replace(recipe.data, root=tree(recipe.data.set, tmp_path / "set"), crop=crop, workers=0)
    val = replace(recipe.val, every=STEPS, clips=1)
    if val.root is not None:
        val = replace(val, root=textured(trees.middlebury_eval(tmp_path / "val")))
    phases = tuple(replace(phase, crop=crop) for phase in recipe.phases)
    optim = replace(recipe.optim, batch=2, accumulate=1, warmup=min(5, recipe.optim.warmup))
    start = None
    if recipe.start or recipe.lora.rank:  # trained weights; here any will do
        start = str(tmp_path / "start.safetensors")
        weights.write(zoo.create(recipe.model).state_dict(), start, name=recipe.model)
    asked = replace(recipe, start=start, data=data, val=val, phases=phases, optim=optim, steps=STEPS, minutes=None)
    outcome = train(asked, tmp_path / "run")
    told = [line for line in lines(tmp_path / "run" / "log.jsonl") if "loss" in line]
    assert (outcome.step, len(told)) == (STEPS, STEPS)
    assert set(recipe.losses) <= told[0].keys()
    assert outcome.best is not None
    best = tmp_path / "run" / "best.safetensors"
    made = zoo.load(start, lora=[best]) if start and recipe.lora.rank else zoo.load(best)
    assert made.spec == zoo.create(recipe.model).spec
