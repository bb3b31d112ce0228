"""Work on tensors that is recorded once for each shape, and played again from then on.

    given -- copied --> inputs  . . . the recorded work . . .  outputs -- copied --> the caller's

What is recorded reads and writes where it did when it was recorded. So what is given is copied there, and what comes of
it is copied out before it is played again: nobody sees what a later call writes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from threading import Lock
from typing import Final, NamedTuple

from torch import Tensor

from ..models.model import Tensors

Work = Callable[..., Tensors]
MOST: Final = 8  # recordings that are kept: three verbs of two sizes, and the odd batch
# Records what it is given: returns what plays it again, and where what comes of it is found after each play.
Record = Callable[[Callable[[], Tensors]], tuple[Callable[[], object], Tensors]]


class Recording(NamedTuple):
    """Work of one shape.

    Attributes:
        inputs, outputs: where it reads, and where it writes.
        play: has it done once more.
    """

    inputs: Tensors
    outputs: Tensors
    play: Callable[[], object]


class Replays:
    """Work by name and shape. Any thread may call; one plays at a time.

    Args:
        record: of the device.
        most: recordings that are kept, those that were played last.
    """

    def __init__(self, record: Record, most: int = MOST) -> None:
        self._record, self._most, self._lock = record, most, Lock()
        self._kept: dict[Hashable, Recording] = {}  # what was played last comes last

    def __call__(self, name: Hashable, work: Work, given: Sequence[Tensor]) -> Tensors:
        """What `work` makes of tensors; new, and the caller's.

        Args:
            name: of the work; under one name it must do the same to tensors of one shape and kind.
            work: takes the tensors. It decides nothing by what they hold.
            given: on the device.
        """
        key = name, tuple((tuple(one.shape), one.dtype) for one in given)
        with self._lock:
            try:
                return self._played(key, work, given)
            except BaseException:  # memory may have run out: what can be had back is given back
                self._kept.clear()
                raise

    def _played(self, key: Hashable, work: Work, given: Sequence[Tensor]) -> Tensors:
        recording = self._kept.pop(key, None) or self._recorded(work, given)
        self._kept[key] = recording
        for mine, one in zip(recording.inputs, given, strict=True):
            mine.copy_(one)
        recording.play()
        return tuple(one.clone() for one in recording.outputs)

    def _recorded(self, work: Work, given: Sequence[Tensor]) -> Recording:
        while len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        inputs = tuple(one.clone() for one in given)
        play, outputs = self._record(lambda: work(*inputs))
        return Recording(inputs, outputs, play)
