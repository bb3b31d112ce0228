"""numba as tween uses it. Importing this needs numba.

Compiled code lets go of Python's lock, so that threads share a picture by rows. It is kept beside the package or in the
user's cache; where neither can be written, it is compiled anew in each process. How passes are written follows from
what LLVM can put into vectors: places are unsigned, as a signed one might count from the end.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

# Sums may be put in another order; that a number is none must still be seen.
FAST: Final = {"contract", "reassoc", "arcp", "nsz"}
# To a type checker an array's numbers are no numbers.
U: Any = np.uint64
F: Any = np.float32


def _probe() -> None:
    """Nothing: numba looks for a place to keep it."""


def can_keep() -> bool:
    """True where numba finds a folder for what it compiles; it refuses to begin where it finds none."""
    try:
        njit(cache=True)(_probe)
    except RuntimeError:
        return False
    return True


compiled: Any = njit(nogil=True, cache=can_keep(), error_model="numpy", fastmath=FAST)
inlined: Any = njit(nogil=True, inline="always", error_model="numpy", fastmath=FAST)
