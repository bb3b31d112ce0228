"""The table of the field: every row belongs to a protocol, a network and a source."""

import pytest

from tween.evaluate.protocols import PROTOCOLS
from tween.evaluate.published import FIELD, field
from tween.metrics.table import METRICS
from tween.models import zoo


@pytest.mark.parametrize("row", FIELD, ids=lambda row: f"{row.protocol}-{row.model}-{row.step}")
def test_a_row_can_stand_beside_ours(row):
    assert row.protocol in PROTOCOLS
    assert row.source
    assert not row.name or row.name in zoo.entries()
    assert set(row.scores) <= {*METRICS, "ssim"}
    assert bool(row.step) == bool(PROTOCOLS[row.protocol].ahead)


@pytest.mark.parametrize("row", FIELD, ids=lambda row: f"{row.protocol}-{row.model}-{row.step}")
def test_values_are_of_their_unit(row):
    for name, value in row.scores.items():
        low, high = {"psnr": (15, 45), "ie": (0.5, 10)}.get(name, (0, 1))
        assert low < value < high


def test_a_model_stands_once_on_a_set():
    names = [(row.protocol, row.model, row.step) for row in FIELD]
    assert len(names) == len(set(names))


@pytest.mark.needs_shared
def test_the_values_are_those_on_file(shared):
    """Each pair PSNR/SSIM stands in the notes that it was copied from, in the row of its model."""
    notes = (shared / "spec" / "published-results.md").read_text()
    for row in FIELD:
        psnr, ssim = row.scores.get("psnr"), row.scores.get("ssim_3d", row.scores.get("ssim"))
        if psnr is not None and ssim is not None and row.protocol != "lift-ucf101":
            digits = 3 if row.protocol in {"gopro", "adobe240"} else 4
            gopro_first = {f"{psnr:.2f}/{ssim:.{digits}f}", f"{psnr:.2f} / {ssim:.{digits}f}"}
            assert any(text in notes for text in gopro_first), (row.model, row.protocol)
    for name, protocol in (("IFRNet", "vimeo90k"), ("IFRNet large", "snu-film-extreme")):
        assert any(row.model == name for row in field(protocol))


def test_the_small_network_s_row():
    (row,) = [row for row in field("middlebury") if row.name == "ifrnet-s"]
    assert row.scores == {"psnr": 37.24, "ssim_3d": 0.9851, "ie": 1.995}
