"""Frames to a GPU and back through page-locked ("pinned") memory, which the GPU reads and writes by itself.

    there    frame -> buffer 0 . . . . > on the GPU      . . the GPU copies, and the host goes on: with what the GPU is
             frame -> buffer 1 . . . . > on the GPU          to do next, and with the next frame in the other buffer
    back     on the GPU . . > page-locked memory that is the caller's until it lets go

Written after torch's documentation, and never run on a GPU. What it does follows from what can be known without one:

- A copy from ordinary memory holds the host up until the GPU has come to it. One from a buffer of our own need not, and
  the caller may write over its frame as soon as `Uploads` returns. A buffer is filled again once the GPU has read it;
  there are two, in turn, so that this is seldom waited for.
- A picture that comes back is waited for, since whoever asked for it reads it next. It does not lie in a buffer that is
  written again: nobody can tell whether a view of it is still held, and to copy it out would cost the host what the
  driver's own staging costs. Each lies in new memory, and torch, which keeps page-locked memory for whoever asks next,
  takes it back when its last view is gone. A caller that lets go of one before the next but one has two in turn.
- What is page-locked is lost to the rest of the machine. Beyond `AT_ONCE` pictures that a caller holds, it is given
  ordinary memory.
- All copies are on the stream that computes, in order. On a stream of their own they would wait for the same: what is
  to be done at a time is one gap, which begins with its frames and ends with its picture.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from threading import Lock
from typing import Final, Protocol
from weakref import ref

import torch
from torch import Tensor

AT_ONCE: Final = 2  # buffers on the way there; pictures on the way back, or held


class Link(Protocol):
    """What lies between the host and a device. Copies are begun in order, and done some time later."""

    def host(self, shape: torch.Size) -> Tensor:
        """Memory of the host that the device copies from and to, float32."""
        ...

    def send(self, held: Tensor) -> Tensor:
        """Begin to copy what `host` gave; returns where it will be."""
        ...

    def fetch(self, picture: Tensor, into: Tensor) -> None:
        """Begin to copy a picture on the device, contiguous and float32, into what `host` gave."""
        ...

    def mark(self) -> Callable[[], object]:
        """What waits until all that was begun so far is done."""
        ...


class CudaLink:
    """The link to a CUDA device, on the stream that is current there."""

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)

    def host(self, shape: torch.Size) -> Tensor:
        """Page-locked memory."""
        with torch.cuda.device(self._device):
            return torch.empty(shape, dtype=torch.float32, pin_memory=True)

    def send(self, held: Tensor) -> Tensor:
        """Begin to copy there."""
        return held.to(self._device, non_blocking=True)

    def fetch(self, picture: Tensor, into: Tensor) -> None:
        """Begin to copy back."""
        into.copy_(picture, non_blocking=True)

    def mark(self) -> Callable[[], object]:
        """An event; its waiting leaves the core to others, such as the encoder."""
        event = torch.cuda.Event(blocking=True)
        event.record(torch.cuda.current_stream(self._device))
        return event.synchronize


class Uploads:
    """Frames to a device, or times. Any thread may call.

    Args:
        link: to the device.
    """

    def __init__(self, link: Link) -> None:
        self._link, self._lock = link, Lock()
        self._turns = cycle([_Buffer() for _ in range(AT_ONCE)])

    def __call__(self, frame: Tensor) -> Tensor:
        """`[B, 3, H, W]` or `[B]` on the host -> the same on the device, float32, contiguous, once the stream gets to
        it. The caller may write over its own at once."""
        with self._lock, torch.inference_mode():
            buffer = next(self._turns)
            buffer.is_read()
            if buffer.memory is None or buffer.memory.shape != frame.shape:
                buffer.memory = self._link.host(frame.shape)
            buffer.memory.copy_(frame)
            there = self._link.send(buffer.memory)
            buffer.is_read = self._link.mark()
            return there


class Downloads:
    """Pictures from a device. Any thread may call.

    Args:
        link: to the device.
    """

    def __init__(self, link: Link) -> None:
        self._link, self._lock = link, Lock()
        self._held: list[ref[Tensor]] = []  # a view of one that is gone may be left: then one more is page-locked

    def __call__(self, picture: Tensor) -> Tensor:
        """`[B, 3, H, W]` on the device -> the same on the host, float32, contiguous, done; the caller's to keep."""
        picture = picture.to(torch.float32).contiguous()
        with self._lock:
            self._held = [held for held in self._held if held() is not None]
            if len(self._held) >= AT_ONCE:
                return picture.to("cpu", copy=True)
            back = self._link.host(picture.shape)
            self._held.append(ref(back))
        self._link.fetch(picture, back)
        self._link.mark()()
        return back


class _Buffer:
    """Page-locked memory, and what waits until the device has read it."""

    def __init__(self) -> None:
        self.memory: Tensor | None = None
        self.is_read: Callable[[], object] = _nothing_to_wait_for


def _nothing_to_wait_for() -> None:
    pass
