"""Every metric of the table: what it says of itself is true."""

import pytest
import torch

from tween.metrics.table import METRICS
from tween.ops.features import FILES

ABLE = {name: metric for name, metric in METRICS.items() if not metric.files}


def test_every_variant_prints_a_name_of_its_own():
    labels = [metric.label for metric in METRICS.values()]
    assert len(set(labels)) == len(labels)
    assert sum("SSIM" in label for label in labels) >= 5
    assert {file for metric in METRICS.values() for file in metric.files} <= set(FILES)


@pytest.mark.parametrize("name", ABLE)
def test_more_noise_is_worse_in_the_way_that_is_said(name):
    metric = METRICS[name]
    y, x = torch.meshgrid(torch.arange(176.0), torch.arange(192.0), indexing="ij")
    truth = torch.stack(
        [(0.5 + 0.3 * torch.sin((x + 2 * i) / 9) * torch.cos(y / 7)).expand(3, -1, -1) for i in (0, 1, 2)]
    )
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    values = [metric.value((truth + s * noise).clamp(0, 1), truth) for s in (0.02, 0.2)]
    assert [tuple(value.shape) for value in values] == [(3,) if metric.of == "picture" else (2,)] * 2
    little, much = (float(value.mean()) for value in values)
    assert little > much if metric.better == "higher" else little < much
