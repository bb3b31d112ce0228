"""`tween train`: recipe and flags to a run, and what it says."""

import json
import subprocess
import sys

import pytest

from tween.cli.main import main

RECIPE = """
model: ifrnet-t
data: {synthetic: 1.0, crop: [32, 32], workers: 0}
optim: {batch: 2, lr: 1.0e-3}
steps: 3
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return path


def test_flags_go_on_top_of_the_recipe(recipe, tmp_path, capsys):
    line = ["train", str(recipe), "--run", str(tmp_path / "run"), "--steps", "2", "--optim.lr", "5e-4", "--json"]
    assert main(line) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["why"], told["step"], told["folder"]) == ("steps", 2, str(tmp_path / "run"))
    assert "lr: 0.0005" in (tmp_path / "run" / "recipe.yaml").read_text()
    assert "crop:\n  - 32\n  - 32" in (tmp_path / "run" / "recipe.yaml").read_text()


def test_the_same_line_goes_on(recipe, tmp_path, capsys):
    line = ["train", str(recipe), "--run", str(tmp_path / "run")]
    assert main([*line, "--steps", "1"]) == 0
    assert main(line) == 0
    said = capsys.readouterr().err
    assert "3 steps in" in said
    assert "--model" in said
    assert "best.safetensors" in said


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["nowhere.yaml"], "no recipe nowhere.yaml; the path of a YAML file is needed; try: recipes/quick.yaml"),
        (["--steps", "3"], "the recipe comes first"),
    ],
)
def test_mistakes(line, words, capsys):
    assert main(["train", *line]) == 2
    assert words in capsys.readouterr().err


def test_a_run_without_footage_says_so(recipe, tmp_path, capsys):
    assert main(["train", str(recipe), "--run", str(tmp_path / "run"), "--data.synthetic", "0"]) == 2
    assert "no footage; --data.root says where it is" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_help_tells_the_fields_without_torch():
    look = "import sys; from tween.cli import train; assert 'torch' not in sys.modules; train.run(['--help'])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for field in ("--data.root", "--optim.lr", "--minutes", "--val.every", "--run"):
        assert field in done.stdout
