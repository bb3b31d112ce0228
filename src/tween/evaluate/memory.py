"""How much memory a piece of work needs, as the system sees it: what the process grows by, at its highest."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Growth:
    """mb: known once the block has ended; None where the system does not tell."""

    mb: float | None = None


@contextmanager
def growth() -> Iterator[Growth]:
    """Measure a block: the highest that the process (on Linux) or the GPU's allocator has held in it, over what it held
    before. Memory that was freed and not given back counts as held, so the figure is a lower bound late in a process.
    """
    found = Growth()
    has_cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
    if has_cuda:
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
    before = _forget_peak()
    yield found
    if has_cuda and torch.cuda.max_memory_allocated() > held:
        found.mb = (torch.cuda.max_memory_allocated() - held) / 1e6
    elif before is not None:
        peak = _kilobytes("VmHWM")
        found.mb = None if peak is None else max(0.0, (peak - before) * 1024 / 1e6)


def _forget_peak() -> int | None:
    """Give back what is free, let the peak begin anew, and tell where it begins, kB; None where that cannot be."""
    if not sys.platform.startswith("linux"):
        return None
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc only; others keep what they have
    try:
        _FORGET.write_text("5")
    except OSError:
        return None
    return _kilobytes("VmRSS")


def _kilobytes(field: str) -> int | None:
    lines = _STATUS.read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), None)
