"""Sound made longer or shorter, its pitch kept.

output   |----k----|          Pieces of sound are laid over each other, half covering half, their middles `HOP` apart.
              |---k+1---|     Where the film's clock says that the middle shows source time s, the piece is cut from
source   |---k---|            around s: from that place within REACH where it goes on most like the piece before it.
           |--k+1--|

W. Verhelst, M. Roelands, "An overlap-add technique based on waveform similarity (WSOLA)", 1993. What libavfilter's
`atempo` does, but straight from the clock: every piece is placed by it anew, so nothing drifts, the speed may change at
any time, and no factor needs a chain (a chain of three at 1/8 was measured to run 130 ms early).
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

HOP_S = 0.016  # half a piece: a piece holds two periods of the lowest voice
REACH_S = 0.007  # how far from its place a piece may be cut: half a period of it
COARSE = 4  # search in steps of so many samples first
LEVEL = 1e-9  # energy below which there is nothing to match
PULL = 0.25  # of likeness, at most given up to cut a piece where it should be: less and a beep comes early


class Stretcher:
    """One run of sound without a gap.

    Args:
        rate: samples a second, in and out.
        shown: output seconds since the run's begin -> source seconds since its begin.
        lasts: source seconds since the run's begin -> output seconds since its begin.
    """

    def __init__(
        self, rate: int, *, shown: Callable[[Fraction], Fraction], lasts: Callable[[Fraction], Fraction]
    ) -> None:
        self._rate, self._shown, self._lasts = rate, shown, lasts
        self._hop, self._reach = max(1, round(HOP_S * rate)), max(1, round(REACH_S * rate))
        ramp = np.sin((np.arange(2 * self._hop) + 0.5) * np.pi / (2 * self._hop)) ** 2
        self._window = ramp.astype(np.float32)
        self._pieces = 0
        self._written = 0
        self._before: int | None = None  # the middle of the last piece, in samples of the source
        self._length = 0

    def feed(self, samples: Samples) -> Samples:
        """`[C, n]` float32 that follow what was fed before -> what is done, `[C, m]`."""
        self._append(samples)
        return self._made(until=None)

    def finish(self) -> Samples:
        """The rest, so that the run lasts as long as the clock says to the sample."""
        if not self._length:
            return np.zeros((0, 0), np.float32)
        total = round(self._lasts(Fraction(self._length, self._rate)) * self._rate)
        margin = 3 * self._hop + 2 * self._reach
        length = self._length
        self._append(np.zeros((self._buffer.shape[0], margin), np.float32))
        self._length = length
        return self._made(until=total)

    def _append(self, samples: Samples) -> None:
        if not self._length:
            channels, lead = samples.shape[0], 2 * self._hop + self._reach
            self._base = -lead  # the buffer's first sample, in samples of the source
            self._buffer: Samples = np.zeros((channels, lead), np.float32)
            self._tail: Samples = np.zeros((channels, self._hop), np.float32)
        self._buffer = np.concatenate([self._buffer, samples], axis=1)
        self._length += samples.shape[1]

    def _made(self, until: int | None) -> Samples:
        done: list[Samples] = []
        while until is None or self._written < until:
            ideal = round(self._shown(Fraction(self._pieces * self._hop, self._rate)) * self._rate)
            needed = max(ideal + self._reach, (self._before or 0) + self._hop) + self._hop
            if needed > self._base + self._buffer.shape[1]:
                if until is None:
                    break
                ideal = min(ideal, self._base + self._buffer.shape[1] - self._hop - self._reach)
            done.append(self._piece(ideal))
        made = np.concatenate(done, axis=1) if done else np.zeros((self._tail.shape[0], 0), np.float32)
        self._forget()
        return made if until is None else made[:, : max(0, until - (self._written - made.shape[1]))]

    def _piece(self, ideal: int) -> Samples:
        """Lay the next piece down; gives back what no later piece covers."""
        middle = ideal if self._before is None else ideal + self._alike(ideal, self._before + self._hop)
        piece = self._cut(middle) * self._window
        done = self._tail + piece[:, : self._hop]
        self._tail = piece[:, self._hop :]
        self._before = middle
        self._pieces += 1
        if self._pieces == 1:
            # The first piece's first half lies before the run. Its second half alone fades out: made whole, so that
            # the run begins at full level.
            return np.zeros((piece.shape[0], 0), np.float32)
        self._written += self._hop
        return done

    def _cut(self, middle: int) -> Samples:
        at = middle - self._hop - self._base
        at = min(max(at, 0), self._buffer.shape[1] - 2 * self._hop)
        return self._buffer[:, at : at + 2 * self._hop]

    def _alike(self, ideal: int, natural: int) -> int:
        """By how many samples to move a piece from `ideal` to go on most like one around `natural`."""
        if natural == ideal:
            return 0
        wanted = self._cut(natural).mean(0)
        if float(wanted @ wanted) < LEVEL * len(wanted):
            return 0
        first = max(ideal - self._reach - self._hop - self._base, 0)
        region = self._buffer[:, first : first + 2 * (self._hop + self._reach)].mean(0)
        home = ideal - self._hop - self._base - first  # where in the region the piece lies unmoved
        coarse = COARSE * _best(region[::COARSE], wanted[::COARSE], home / COARSE)
        low = max(0, coarse - COARSE)
        fine = low + _best(region[low : coarse + COARSE + len(wanted)], wanted, home - low)
        return fine - home

    def _forget(self) -> None:
        """Drop the source that no later piece can reach."""
        if self._before is None:
            return
        ideal = round(self._shown(Fraction(self._pieces * self._hop, self._rate)) * self._rate)
        keep = min(ideal - self._reach, self._before + self._hop) - 2 * self._hop
        drop = min(max(0, keep - self._base), max(0, self._buffer.shape[1] - 4 * self._hop))
        if drop > 8 * self._hop:
            self._buffer, self._base = self._buffer[:, drop:].copy(), self._base + drop


def _best(region: NDArray[Any], wanted: NDArray[Any], home: float) -> int:
    """Where in `region` lies what is most like `wanted`, by normalized correlation; nearer to `home` if alike."""
    if len(region) <= len(wanted):
        return 0
    products = np.correlate(region, wanted, "valid")
    energy = np.concatenate([[0.0], np.cumsum(region.astype(np.float64) ** 2)])
    energy = energy[len(wanted) :] - energy[: -len(wanted)]
    likeness = products / np.sqrt(np.maximum(energy, LEVEL) * max(float(wanted @ wanted), LEVEL))
    away = np.abs(np.arange(len(products)) - home)
    return int(np.argmax(likeness - PULL * away / max(1.0, away.max())))
