"""A network can learn: one batch, shown over and over. Every other network of the zoo: `benchmarks/overfit.py`."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "overfit.py"
SPEC = importlib.util.spec_from_file_location("benchmark_overfit", FILE)
overfitting = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(overfitting)


LONG = [pytest.param(name, marks=pytest.mark.long) for name in ("rife-4.6", "ifrnet-t", "ifrvp-fast")]


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_one_batch_is_learnt_to_40_db(name):
    blend, _, reached, _ = overfitting.overfit(name, steps=2500, wanted=40.0, side=64, seed=11)
    assert blend < 36
    assert reached >= 40
