"""What a network costs: counted on tensors without memory, so that it takes no time."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..ops.canvas import Canvas
from .entry import Entry

HD = (720, 1280)

# Parameters, and thousands of millions of multiply-accumulates for one 1280x720 frame: what `cost` counts, kept because
# counting the whole zoo takes a minute. tests/models/test_cost.py counts again.
FIGURES: dict[str, tuple[int, float]] = {
    "tweennet": (42_245, 0.1),
    "tweennet-ahead": (40_295, 0.1),
    "tweennet-m": (2_248_384, 30.8),
    "ifrnet-s": (2_803_610, 101.2),
    "ifrnet-b": (4_959_692, 178.2),
    "ifrnet-l": (19_699_460, 705.9),
    "ifrnet-t": (288_103, 20.4),
    "ifrnet-elan": (243_535, 17.2),
    "ifrvp": (2_803_610, 101.2),
    "ifrvp-t": (288_103, 20.4),
    "ifrvp-fast": (243_535, 17.2),
    "ifrvp-any": (2_803_610, 101.2),
    "ifrvp-fast-any": (243_535, 17.2),
    "ifrvp-steps": (14_018_050, 101.2),
    "rife-4.0": (5_160_980, 37.7),
    "rife-4.1": (5_160_980, 37.7),
    "rife-4.2": (5_156_420, 37.7),
    "rife-4.3": (5_156_420, 37.7),
    "rife-4.4": (5_156_420, 37.7),
    "rife-4.5": (5_275_520, 39.1),
    "rife-4.6": (5_306_256, 39.5),
    "rife-4.7": (5_325_012, 41.0),
    "rife-4.8": (5_325_012, 41.0),
    "rife-4.9": (5_325_012, 41.0),
    "rife-4.10": (5_364_312, 52.2),
    "rife-4.11": (5_364_312, 52.2),
    "rife-4.12": (5_364_312, 52.2),
    "rife-4.12-lite": (2_631_804, 31.9),
    "rife-4.13": (5_364_312, 52.2),
    "rife-4.13-lite": (2_631_804, 31.9),
    "rife-4.14": (5_364_312, 52.2),
    "rife-4.14-lite": (2_968_152, 35.3),
    "rife-4.15": (5_364_312, 52.2),
    "rife-4.15-lite": (2_616_476, 24.7),
    "rife-4.16-lite": (2_616_476, 24.7),
    "rife-4.17": (5_364_312, 52.2),
    "rife-4.17-lite": (2_616_476, 24.7),
    "rife-4.18": (5_364_312, 52.2),
    "rife-4.19": (5_364_312, 52.2),
    "rife-4.20": (15_376_512, 57.2),
    "rife-4.21": (9_322_416, 54.4),
    "rife-4.22": (9_322_416, 54.4),
    "rife-4.22-lite": (4_866_052, 23.9),
    "rife-4.23": (9_322_416, 54.4),
    "rife-4.24": (5_364_312, 52.2),
    "rife-4.25": (5_664_776, 21.8),
    "rife-4.25-lite": (5_622_700, 10.5),
    "rife-4.25-heavy": (21_663_528, 69.1),
    "rife-4.26": (5_664_776, 21.8),
    "rife-4.26-heavy": (5_723_156, 24.9),
    "emavfi": (65_662_359, 908.5),
    "emavfi-small": (14_489_815, 207.3),
    "lightvfi": (843_939, 88.9),
    "lightvfi-16": (212_307, 23.2),
    "deformvfi": (1_430_045, 486.1),
    "lift-15": (19_929_043, 1435.4),
    "lift-64": (20_232_723, 3968.7),
    "lift-15-kubin": (19_925_587, 1432.1),
    "lift-15-aniuula": (19_224_531, 974.1),
    "lift-64-original": (20_081_811, 3991.0),
}


class Cost(NamedTuple):
    """What one frame in between costs when nothing is kept from the gap before.

    Attributes:
        parameters: learnt values.
        macs: multiply-accumulates of convolutions and matrix products, on the padded frame. A transposed convolution is
            counted at its input's size; warping, activations and additions are not counted.
        size: (H, W) of the padded frame.
    """

    parameters: int
    macs: int
    size: tuple[int, int]


def parameters(entry: Entry) -> int:
    """Learnt values of a network."""
    with torch.device("meta"):
        return sum(value.numel() for value in entry.build(1.0).parameters())


def cost(entry: Entry, size: tuple[int, int] = HD) -> Cost:
    """Parameters and multiply-accumulates of a trained network for one frame of `size` (H, W); of what OpenCV searches
    before it nothing is counted."""
    with torch.device("meta"):
        model = entry.build(1.0).eval()
    device = "cpu" if model.searches else "meta"
    model = model.to_empty(device=device)
    padded = Canvas(size, model.spec.multiple).size
    count = len(model.spec.context)  # frames that differ: where none does, what searches has nothing to ask a network
    frames = torch.linspace(0, 0.1, count, device=device).view(1, -1, 1, 1, 1).expand(1, count, 3, *padded)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(frames, torch.full((1,), 0.5, device=device))
    return Cost(sum(value.numel() for value in model.parameters()), counter.get_total_flops() // 2, padded)
