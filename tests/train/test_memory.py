"""What a long context costs to train."""

import subprocess
import sys

import pytest

ONE_STEP = """
import resource, sys
from pathlib import Path
from tween.train.config import DataConfig, OptimConfig, TrainConfig
from tween.train.trainer import train

data = DataConfig(synthetic=1.0, crop=(256, 256), workers=0)
train(TrainConfig(model="lift-64", data=data, optim=OptimConfig(batch=1), steps=1), Path(sys.argv[1]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)  # KiB -> GiB
"""


@pytest.mark.long
def test_lift_64_trains_in_less_than_ten_gigabytes(tmp_path):
    """Batch 1, 256 x 256, 64 frames of context: embeddings are computed again on the way back."""
    line = [sys.executable, "-c", ONE_STEP, str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    gigabytes = float(done.stdout.split()[-1])
    print(f"{gigabytes:.2f} GiB")
    assert gigabytes < 10
