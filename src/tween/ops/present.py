"""What is installed beside tween, asked before it is imported."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec


@cache
def has_numba() -> bool:
    """True where passes can be compiled; without it the same is computed in more steps."""
    return find_spec("numba") is not None
