"""A part of a video file: segments from its middle, encoded as they would be in the whole, handed over one by one."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from .filesink import FileSink
from .segments import Segment
from .stream import Encoding, FrameSource


class PartSink(FileSink):
    """Segments `number`, `number + 1`, ... of a film. No file comes of it: its draft holds their packets.

    Args:
        path: a name for the draft, with the film's own suffix.
        like, encoding: the film's, with `encoding.segment` set.
        number: of the first segment, in the film.
        segments: how many; None goes on to the film's end. The frame after them only tells how long the last one lasts.
        first: when the film's first frame is shown; only a part from the middle needs it.
        finished: called for each segment, once its file `draft.work / segment.name` is whole.
    """

    def __init__(
        self,
        path: Path,
        *,
        like: FrameSource,
        encoding: Encoding,
        number: int,
        segments: int | None,
        first: Fraction | None,
        finished: Callable[[Segment], None],
    ) -> None:
        super().__init__(path, like=like, encoding=encoding)
        before = Segment("", 0, first or Fraction(0), (0, 0), 0)
        self.resume([before] * number, finished)
        self._until = None if segments is None else number + segments

    def _finish(self) -> None:
        is_over = len(self._segments) == self._until
        if self._held is not None and not is_over:
            self._encode_last(self._held)
        if self._log is not None:
            self._end_segment()
