"""What every test may use."""

import os
from pathlib import Path

# Small tensors: a second thread costs more than it gives, and tests run beside each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)  # whatever the shell says

settings.register_profile("laws", deadline=None, max_examples=50)  # a busy machine is slow, not wrong
settings.load_profile("laws")

SHARED = Path(__file__).parent.parent.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference data beside the checkout; a test that needs it is skipped where it is not at hand."""
    if not (SHARED / "README.md").is_file():
        pytest.skip("the reference data (../shared) is not beside this checkout")
    return SHARED
