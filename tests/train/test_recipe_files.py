"""Recipes: YAML to config and back, and words for what is wrong in one."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from tween.errors import BadOption, MissingFile
from tween.train.config import OptimConfig, TrainConfig
from tween.train.recipe import as_plain, differences, filled, read

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_read_and_written_back(path):
    config = read(path)
    text = yaml.safe_dump(as_plain(config))
    assert filled(TrainConfig, yaml.safe_load(text), where="again") == config


def test_there_is_a_recipe_for_every_published_run():
    names = {path.stem for path in RECIPES}
    assert names >= {f"ifrnet-{size}-{kind}" for size in "sbl" for kind in ("vimeo90k", "gopro8x")}
    assert names >= {"ifrvp-cityscapes", "ifrvp-vimeo90k", "deformvfi-middlebury", "lightvfi", "lift-15", "lift-64"}
    assert names >= {"rife-4.25-vimeo90k", "quick"}


def test_every_key_of_deformvfi_has_its_counterpart():
    text = next(path for path in RECIPES if path.stem == "deformvfi-middlebury").read_text()
    keys = """batch_size learning_rate num_epochs train_data_dir val_data_dir checkpoint_path best_model_path
        charbonnier_weight vgg_weight color_weight gradient_weight temporal_weight gradient_order temporal_alpha
        output_image_path color_jitter crop_size random_rotation horizontal_flip random_grayscale device"""
    assert [key for key in keys.split() if key not in text] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("modle: ifrnet-s", r"r.yaml says 'modle' \(did you mean model.*known: model, start"),
        ("optim: {rl: 1}", "r.yaml: optim says 'rl'"),
        ("optim: {lr: fast}", "r.yaml: optim: lr is 'fast'; a number is needed"),
        ("optim: {name: sgd}", "r.yaml: optim: name is 'sgd'; adam or adamw or radam is needed"),
        ("data: {crop: [64]}", "a list of a whole number and a whole number is needed"),
        ("data: {gaps: [2, x]}", "gaps, number 2 is 'x'; a whole number is needed"),
        ("steps: 1.5", "steps is 1.5; a whole number is needed"),
        ("compile: 1", "compile is 1; true or false is needed"),
        ("[1, 2]", "keys and values are needed"),
        ("a: [", "r.yaml is not YAML"),
    ],
)
def test_mistakes_are_told_where_they_are(text, words, tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(BadOption, match=words):
        read(path)


def test_a_missing_recipe_is_told():
    with pytest.raises(MissingFile, match=r"no recipe nowhere\.yaml"):
        read(Path("nowhere.yaml"))


def test_numbers_as_people_write_them(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("optim: {lr: 1e-4, average: 0}\ndata: {gaps: 2, root: clips}\nphases: [{until: 1}]")
    config = read(path)
    assert config.optim.lr == 1e-4
    assert config.data.gaps == (2,)
    assert config.data.root == Path("clips")
    assert config.phases[0].until == 1.0


def test_what_a_resumed_run_may_change_is_no_difference():
    old = as_plain(TrainConfig(steps=10))
    assert differences(old, as_plain(TrainConfig(steps=20, minutes=3.0))) == []
    assert differences(old, as_plain(TrainConfig(steps=10, seed=2))) == ["seed: 1234 -> 2"]


def test_a_recipe_is_laid_upon_what_is_given(tmp_path):
    """Field by field; but its losses are its losses, and none that was not asked for joins them."""
    path = tmp_path / "r.yaml"
    path.write_text("losses: {l1: 2.0}\noptim: {lr: 1e-4}")
    given = TrainConfig(seed=5, optim=OptimConfig(lr=1.0, batch=3))
    config = read(path, given)
    assert config.losses == {"l1": 2.0}
    assert (config.seed, config.optim.lr, config.optim.batch) == (5, 1e-4, 3)
    path.write_text("seed: 1")
    assert read(path, given) == dataclasses.replace(given, seed=1)
