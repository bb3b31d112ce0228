"""numba as tween uses it. Importing this needs numba.

Compiled code lets go of Python's lock, so that threads share a picture by rows. It is kept beside the package or in the
user's cache; where neither can be written, it is compiled anew in each process. How passes are written follows from
what LLVM can put into vectors: places are unsigned, as a signed one might count from the end.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
inlined: Any = njit(nogil=True, forceinline=True, error_model="numpy", fastmath=FAST)  # by LLVM: numba takes longer


@inlined
def corners(height: int, width: int, y: float, x: float, lanes: int, unit: float) -> Any:
    """Where the four pixels around a place begin in a flat picture of rows of `lanes`, and the share of each, `unit` in
    all; beyond the border the border goes on."""
    # not `max`: a place that is no number must end inside too
    v = min(y, F(height - 1)) if y > 0 else F(0)
    u = min(x, F(width - 1)) if x > 0 else F(0)
    v0, u0 = U(v), U(u)
    fv, fu = v - F(v0), u - F(u0)
    a = (v0 * U(width) + u0) * U(lanes)
    right = U(lanes) if u0 + U(1) < U(width) else U(0)
    below = U(width) * U(lanes) if v0 + U(1) < U(height) else U(0)
    low, top = fv * F(unit), (F(1) - fv) * F(unit)
    return a, a + right, a + below, a + below + right, top * (F(1) - fu), top * fu, low * (F(1) - fu), low * fu


@inlined
def part_way(line: Any, a: Any, b: Any, share: float) -> float:
    """From the number at one place of a line to the one at another, so far."""
    return line[a] + (line[b] - line[a]) * share


@inlined
def enlarge_row(small: Any, above: Any, under: Any, share: float, count: int, out: Any) -> None:
    """A row of so many numbers between two of a flat picture that begin at `above` and `under`."""
    for k in range(count):
        out[U(k)] = part_way(small, above + U(k), under + U(k), share)


def shared(work: Callable[[tuple[int, int]], None], count: int, threads: int) -> None:
    """Work on rows 0 to `count`, each part (begin, end) of them by one of so many threads."""
    if threads <= 1:
        work((0, count))
        return
    parts = min(count, 2 * threads)
    edges = [count * k // parts for k in range(parts + 1)]
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, itertools.pairwise(edges)):
            pass
