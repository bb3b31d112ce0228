"""What networks cost, by count, against what was measured on the published ones and what the zoo says of itself."""

import json

import pytest
from published_ifrnet import NAMES

from tween.models import zoo
from tween.models.cost import FIGURES, cost, parameters

TRAINED = [name for name, row in zoo.entries().items() if row.trained]
QUICK = [name for name in TRAINED if FIGURES.get(name, (0, 0))[1] < 200]
LONG = [pytest.param(name, marks=pytest.mark.long) for name in TRAINED if name not in QUICK]


@pytest.mark.parametrize("size", [(720, 1280), (256, 448), (512, 1024), (1088, 1920)], ids=str)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_ifrnet_costs_what_the_published_networks_do(shared, name, size):
    measured = json.loads((shared / "fixtures" / "ifrnet" / "macs_params.json").read_text())[NAMES[name]]
    counted = cost(zoo.entry(name), size)
    assert counted.parameters == measured["params"]
    assert counted.macs == round(measured["GMACs"][f"{size[1]}x{size[0]}"]["total"] * 1e9)
    assert counted.size == size


def test_every_network_has_its_figures():
    assert list(FIGURES) == TRAINED


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.slow
def test_the_parameters_said_are_the_parameters_had(name):
    assert parameters(zoo.entry(name)) == FIGURES[name][0]


@pytest.mark.parametrize("name", [*QUICK, *LONG])
@pytest.mark.slow
def test_the_cost_said_is_the_cost_counted(name):
    assert cost(zoo.entry(name)).macs / 1e9 == pytest.approx(FIGURES[name][1], abs=0.06)
