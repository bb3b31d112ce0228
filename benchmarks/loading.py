"""Does reading keep a training network busy? Share of step time that is compute, reading video files directly.

    python benchmarks/loading.py --root ../shared/data/train [--model ifrnet-s] [--steps 40] [--batch 8] [--crop 192]

A run of the trainer itself. Its first round, which waits for the first frames to be decoded, is not counted.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tween.train.config import DataConfig, OptimConfig, TrainConfig, ValConfig
from tween.train.ranks import Ranks
from tween.train.trainer import Standing, Trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--model", default="ifrnet-s")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=192)
    parser.add_argument("--draws", type=int, default=8)
    options = parser.parse_args()
    data = DataConfig(root=options.root, crop=(options.crop, options.crop), draws=options.draws, span=8)
    config = TrainConfig(
        model=options.model,
        data=data,
        losses={"charbonnier": 1.0, "census": 1.0, "geometry": 0.01} if "ifrnet" in options.model else {"l1": 1.0},
        optim=OptimConfig(batch=options.batch),
        val=ValConfig(held_back=0.0),
        steps=options.steps + options.draws,
        save_every=10**6,
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, Path(folder), Ranks())
        begun = 0.0

        def watch(now: Standing) -> None:
            nonlocal begun
            if now.step == options.draws:
                trainer.waited = trainer.worked = 0.0
                begun = time.perf_counter()

        outcome = trainer.run(watch, lambda: False)
    spent = time.perf_counter() - begun
    print(f"{options.model}, {options.batch} x {options.crop}x{options.crop}, {options.draws} draws of a reading")
    print(f"{outcome.share:.1%} of step time is compute; {options.steps * options.batch / spent:.2f} samples/s")


if __name__ == "__main__":
    main()
