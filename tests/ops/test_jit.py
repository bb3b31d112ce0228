"""What is compiled works where nothing can be kept, too."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("numba")

CODE = """
import numpy as np
from tween.ops import jit
from tween.models.mix import FIELD, mixed
field = np.ones((4, 6, FIELD), np.float32)
picture = np.full((8, 12, 3), 0.5, np.float32)
assert np.allclose(mixed(picture, picture, field, 0.5, 2), 0.5)
print(jit.compiled is not None, jit.can_keep())
"""


@pytest.mark.slow
def test_with_no_folder_to_keep_it_in(tmp_path):
    """numba is told of one place only, a file: there it can keep nothing, and would refuse to begin."""
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    env = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(blocked / "below"),
        "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",
    }
    ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=env, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["True", "False"]
