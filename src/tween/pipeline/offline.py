"""read | compute | write: three threads, two bounded queues.

       reader thread            caller's thread           writer thread
    source --> [ frames ] --> render (a generator) --> [ frames ] --> sink

An error in any of them stops all three and is raised in the caller's thread. Memory is bounded by the queues.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from ..frame import Frame
from ..video.stream import FrameSink

DEPTH: Final = 6  # frames that wait in each queue: enough to hide a slow one
HEAVY: Final = 1 << 29  # bytes that wait in each queue, and the frame that reaches it: of 8K, four
_END: Final = object()
_POLL_S: Final = 0.1  # how soon a thread notices that the others stopped


class _Stopped(Exception):
    """The other side of a queue is gone."""


class _Waiting(queue.Queue[object]):
    """A queue that is full at so many items, or at HEAVY bytes of pictures."""

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self.bytes = 0

    def _put(self, item: object) -> None:
        super()._put(item)
        self.bytes += _weight(item)

    def _get(self) -> object:
        item = super()._get()
        self.bytes -= _weight(item)
        return item

    def _qsize(self) -> int:
        return self.maxsize if self.bytes >= HEAVY else super()._qsize()


def _weight(item: object) -> int:
    """Bytes of a frame's picture; as much again for the decoder's, where it is kept."""
    if not isinstance(item, Frame):
        return 0
    return item.data.nbytes * (1 if item.native is None else 2)


class _Lane:
    """A bounded queue between two threads that either may abandon."""

    def __init__(self, depth: int) -> None:
        self._items = _Waiting(depth)
        self._stop = threading.Event()
        self.error: BaseException | None = None

    def put(self, item: object) -> None:
        while not self._stop.is_set():
            try:
                return self._items.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
        raise _Stopped

    def get(self) -> object:
        while not self._stop.is_set():
            try:
                return self._items.get(timeout=_POLL_S)
            except queue.Empty:
                continue
        raise _Stopped

    def stop(self) -> None:
        self._stop.set()


@contextmanager
def reading(frames: Iterable[Frame], depth: int = DEPTH) -> Iterator[Iterator[Frame]]:
    """Draw `frames` on a thread of its own; the block gets an iterator over them."""
    lane = _Lane(depth)

    def read() -> None:
        try:
            for frame in frames:
                lane.put(frame)
        except _Stopped:
            return
        except BaseException as error:
            lane.error = error
        try:
            lane.put(_END)
        except _Stopped:
            return

    def drawn() -> Iterator[Frame]:
        while (item := lane.get()) is not _END:
            assert isinstance(item, Frame)
            yield item
        if lane.error is not None:
            raise lane.error

    thread = threading.Thread(target=read, name="tween-read", daemon=True)
    thread.start()
    try:
        yield drawn()
    finally:
        lane.stop()
        if (give_up := getattr(frames, "give_up", None)) is not None:
            give_up()  # it may be waiting for a pipe into which nobody writes
        thread.join()


@contextmanager
def writing(sink: FrameSink, depth: int = DEPTH) -> Iterator[Callable[[Frame], None]]:
    """Write frames on a thread of its own; the block gets a function that hands one over.

    On leaving, all that was handed over has been written, or the writer's error is raised.
    """
    lane = _Lane(depth)

    def write() -> None:
        try:
            while (item := lane.get()) is not _END:
                assert isinstance(item, Frame)
                sink.write(item)
        except _Stopped:
            return
        except BaseException as error:
            lane.error = error
            lane.stop()

    def hand_over(frame: Frame) -> None:
        try:
            lane.put(frame)
        except _Stopped:
            raise lane.error or RuntimeError("the writer stopped") from None

    thread = threading.Thread(target=write, name="tween-write", daemon=True)
    thread.start()
    try:
        yield hand_over
        with suppress(_Stopped):  # the writer failed on what it already had: its error is raised below
            lane.put(_END)
        thread.join()
    finally:
        lane.stop()
        thread.join()
    if lane.error is not None:
        raise lane.error


def run(
    source: Iterable[Frame],
    render: Callable[[Iterable[Frame]], Iterable[Frame]],
    sink: FrameSink,
    *,
    watch: Callable[[Frame], None] | None = None,
) -> None:
    """Render `source` into `sink`, which the caller opens and commits.

    Args:
        source: frames in order of pts; drawn on a thread of its own.
        render: frames -> frames; runs on the caller's thread.
        sink: written on a thread of its own.
        watch: called with each frame after it was handed to the writer.
    """
    with reading(source) as frames, writing(sink) as write:
        for frame in render(frames):
            write(frame)
            if watch is not None:
                watch(frame)
