"""Can each network learn at all? Every network of the zoo is shown one batch over and over.

    python benchmarks/overfit.py [--only ifrnet-s,lift-15] [--steps 3000] [--side 64] [--seed 11] [--json FILE]

The batch is two small drawn scenes with motion, the target the frame in between (predicting: the next one); the first
such batch, from a seed on, of which the mean of the neighbours, `blend`, gives less than 36 dB. A network passes once
it shows the target at 40 dB (LIFT and Light_VFI: 35).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from functools import partial
from itertools import count
from pathlib import Path

import torch
from torch import Tensor

from tween.data.loader import Plan, Source, batches
from tween.data.sample import batch_of
from tween.data.synthetic import SyntheticSet
from tween.models import zoo
from tween.models.model import Batch, Model
from tween.ops.canvas import Canvas
from tween.train.objective import Objective

WANTED = {"lift": 35.0, "lightvfi": 35.0}
RATES = {"lift": 3e-4, "emavfi": 5e-4, "ifrnet-l": 3e-4, "tweennet": 3e-3, "tweennet-m": 1e-3}  # by network or family
EASY = 36.0  # dB of `blend`, above which a batch asks for nothing


def decibels(picture: Tensor, target: Tensor) -> float:
    """PSNR of the batch."""
    return -10 * math.log10(float((picture - target).square().mean()) + 1e-12)


def family(name: str) -> str:
    return name.split("-")[0]


def drawn(model: Model, side: int, seed: int) -> tuple[Batch, float]:
    """A batch, and blend's dB."""
    batch = one_batch(model, side, seed)
    at = model.spec.context.index(-1 if model.spec.predicts else 0)
    return batch, decibels(batch.frames[:, at : at + 2].mean(1), batch.target)


def one_batch(model: Model, side: int, seed: int) -> Batch:
    """Two scenes of the least size from `side` on that the network takes."""
    size = Canvas((side, side), model.spec.multiple).size
    gap = 1 if model.spec.predicts else 2
    length = gap * (len(model.spec.context) + 1) + 1
    scenes = SyntheticSet(size, 2, length, seed=seed).clips
    plan = Plan(model.spec, (Source(scenes, (gap,)),), size, batch=2, seed=seed)
    frames, target, t, flow, _ = next(batches(plan, 0, lanes=range(2)))
    return batch_of(frames, target, t, flow, "cpu")


def overfit(name: str, steps: int, wanted: float, side: int, seed: int) -> tuple[float, float, float, int]:
    """Train until `wanted` dB are reached. Returns the dB of blend, of the network untrained and of the network, and
    the steps it took."""
    torch.manual_seed(1)
    model = zoo.create(name).train()
    batch, blend = next(pair for pair in map(partial(drawn, model, side), count(seed)) if pair[1] < EASY)
    objective = Objective({"charbonnier": 1.0}, model)
    top = RATES.get(name, RATES.get(family(name), 1e-3))
    optimiser = torch.optim.Adam(model.parameters(), lr=top)
    best, at_first = -math.inf, None
    for step in range(1, steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = top * min(1.0, step / 30) * (0.05 + 0.95 * (1 - step / steps))
        prediction = model(batch.frames, batch.t)
        best = max(best, decibels(prediction.frame.detach(), batch.target))
        at_first = best if at_first is None else at_first
        if best >= wanted:
            return blend, at_first, best, step
        if step % 100 == 0:
            print(f"{name}: step {step}, {best:.1f} dB", file=sys.stderr, flush=True)
        optimiser.zero_grad(set_to_none=True)
        sum(objective(batch, prediction).values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return blend, at_first or best, best, steps


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default="", help="names, with commas between")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--side", type=int, default=64, help="pixels")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(
        "| network | blend, dB | untrained, dB | wanted, dB | reached, dB | steps | s |\n|---|---|---|---|---|---|---|"
    )
    table = {}
    for name in options.only.split(",") if options.only else zoo.networks():
        wanted, begun = WANTED.get(family(name), 40.0), time.perf_counter()
        blend, at_first, reached, steps = overfit(name, options.steps, wanted, options.side, options.seed)
        table[name] = {"blend": blend, "untrained": at_first, "wanted": wanted, "reached": reached, "steps": steps}
        spent = time.perf_counter() - begun
        print(
            f"| {name} | {blend:.1f} | {at_first:.1f} | {wanted:.0f} | {reached:.1f} | {steps} | {spent:.0f} |",
            flush=True,
        )
        if options.json:
            options.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
