"""An output while it is being written: `<name>.part` beside it, renamed when it is whole, gone when it is not."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

from av.error import FFmpegError

from ..errors import CannotWrite, Conflict, DiskFull, OutputExists, TweenError

FRAME = re.compile(r"frame_\d{6,}\.png")  # what a folder of ours holds
FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


class Draft:
    """The `.part` of one output, a file or a folder.

    Args:
        path: where the output will be.
        overwrite: replace what is there.
        source: the input, which is never written over.

    Attributes:
        part: where to write meanwhile.

    Raises:
        OutputExists, Conflict, CannotWrite: as they say.
    """

    def __init__(self, path: Path, *, overwrite: bool, source: Path | None) -> None:
        self.path, self.part = path, path.with_name(path.name + ".part")
        if source is not None and path.exists() and source.exists() and path.samefile(source):
            raise Conflict(f"input and output are both {path}", "an output of its own is needed", "-o another name")
        if path.exists() and not overwrite:
            raise OutputExists(f"{path} is there already", "another name, or leave to replace it", "--overwrite")
        if not path.parent.is_dir():
            raise CannotWrite(f"the folder {path.parent} is not there", "an existing one is needed", "make it first")
        self._probe()

    def commit(self) -> None:
        """Put the whole output in its place, in one step for a file."""
        if self.path.is_dir():
            shutil.rmtree(self.path)
        os.replace(self.part, self.path)

    def discard(self) -> None:
        """Leave nothing behind."""
        if self.part.is_dir():
            shutil.rmtree(self.part, ignore_errors=True)
        else:
            self.part.unlink(missing_ok=True)

    def failure(self, error: BaseException) -> BaseException:
        """The mistake that a failed write tells of, or `error` itself."""
        if isinstance(error, TweenError) or not isinstance(error, (OSError, FFmpegError)):
            return error
        if error.errno in FULL:
            return DiskFull(
                f"the disk of {self.path} is full",
                "more room is needed; the unfinished output was removed",
                "free some, or write elsewhere with -o",
            )
        return CannotWrite(f"{self.path} could not be written ({error.strerror or error})", "another place is needed")

    def _probe(self) -> None:
        """Find out now, not after an hour, whether something can be written there."""
        if self.part.is_dir() and not all(FRAME.fullmatch(file.name) for file in self.part.iterdir()):
            raise CannotWrite(f"{self.part} is in the way, and no draft of ours", "its place is needed", "move it away")
        self.discard()
        try:
            self.part.touch()
            self.part.unlink()
        except OSError as error:
            if error.errno in FULL:
                raise self.failure(error) from error
            raise CannotWrite(
                f"nothing can be written into {self.path.parent} ({error.strerror})",
                "a folder that you may write into is needed",
            ) from error
