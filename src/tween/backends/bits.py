"""How passes read and write what convolutions do: float32 or bf16 as its bits, and pixels that lie by corners.

Importing this needs numba.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from ..ops.jit import FAST, F, U, inlined

ONE, TWO, FOUR = U(1), U(2), U(4)
W: Any = np.uint32
INLINE: Any = {"forceinline": True, "fastmath": FAST, "error_model": "numpy"}


def load(numbers: Any, at: int) -> Any:
    """A number of an array of float32, or of the bits of bf16, as float32."""
    raise NotImplementedError


def store(numbers: Any, at: int, value: float) -> None:
    """Put a float32 into such an array, to the nearest."""
    raise NotImplementedError


def _bits_loaded(numbers, at):  # type: ignore[no-untyped-def]
    return W(W(numbers[at]) << W(16)).view(F)  # numba makes uint64 of every shift


def _loaded(numbers, at):  # type: ignore[no-untyped-def]
    return numbers[at]


def _bits_stored(numbers, at, value):  # type: ignore[no-untyped-def]
    bits = F(value).view(W)
    even = W(W(bits >> W(16)) & W(1))
    numbers[at] = np.uint16(W(W(bits + W(0x7FFF)) + even) >> W(16))


def _stored(numbers, at, value):  # type: ignore[no-untyped-def]
    numbers[at] = F(value)


@overload(load, jit_options=INLINE)
def _load(numbers, at):  # type: ignore[no-untyped-def]  # noqa: ARG001
    return _bits_loaded if numbers.dtype == types.uint16 else _loaded


@overload(store, jit_options=INLINE)
def _store(numbers, at, value):  # type: ignore[no-untyped-def]  # noqa: ARG001
    return _bits_stored if numbers.dtype == types.uint16 else _stored


# What `corners.Corners` leaves: four pixels a corner, and one corner more than half the pixels, each way.


@inlined
def row_of(width: int, y: int, channels: int) -> Any:
    """Where a row of so many pixels begins, and how far it is from corner to corner."""
    step = FOUR * U(channels)
    line = (U(width) // TWO + ONE) * step
    return ((U(y) + ONE) >> ONE) * line + ((U(y) + ONE) & ONE) * TWO * U(channels), step


@inlined
def pixel(start: int, step: int, channels: int, x: int) -> int:
    """Where a pixel begins along that row."""
    return start + ((U(x) + ONE) >> ONE) * step + ((U(x) + ONE) & ONE) * U(channels)
