"""Clips in video files: any frame by its place, decoded when it is asked for, no dump of frames needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..errors import BrokenPicture
from .decoder import borrowed
from .index import index_of


@dataclass(frozen=True)
class VideoClip:
    """A clip in a video file. Two clips of one file share its decoder.

    Attributes:
        name, group: as in `Clip`.
        path: of the file.
        start: the first frame, counted from 0 in the order in which frames are shown.
        length: frames of the clip.
        step: the clip is every `step`-th frame from `start`.
        crop: (x, y, width, height) in pixels of the upright picture; None takes all of it.
    """

    name: str
    group: str
    path: str
    start: int
    length: int
    step: int = 1
    crop: tuple[int, int, int, int] | None = None

    def size(self) -> tuple[int, int]:
        """(H, W) in pixels.

        Raises:
            BrokenPicture: the file cannot be read.
        """
        return (self.crop[3], self.crop[2]) if self.crop else index_of(self.path).size

    def read(self, places: Sequence[int]) -> list[Tensor]:
        """As in `Clip`: uint8 RGB `[3, H, W]`, upright. Each picture that is needed is decoded once."""
        for place in places:
            if not 0 <= place < self.length:
                raise IndexError(f"the clip {self.name} has places 0 to {self.length - 1}, not {place}")
        wanted = sorted({self.start + place * self.step for place in places})
        read: dict[int, Tensor] = {}
        with borrowed(self.path) as decoder:
            for place in wanted:
                read[place] = self._cropped(decoder.picture(place))
        return [read[self.start + place * self.step] for place in places]

    def flow(self, target: int, first: int, second: int) -> Tensor | None:  # noqa: ARG002
        """None: a video file holds no labels."""
        return None

    def _cropped(self, picture: Tensor) -> Tensor:
        if self.crop is None:
            return picture
        x, y, width, height = self.crop
        _, rows, columns = picture.shape
        if x + width > columns or y + height > rows:
            raise BrokenPicture(
                f"{self.path} shows {columns}x{rows}, and the clip {self.name} crops {width}x{height} at ({x}, {y})",
                "a crop within the picture is needed",
            )
        return picture[:, y : y + height, x : x + width].clone()
