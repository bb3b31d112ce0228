"""An output while it is being written: the folder `<name>.part` beside it. What is whole takes the output's place in
one step; of what is not, nothing stays but what a later run can go on from.

    film.mp4.part/  lock                 held while a run writes here
                    journal              what is finished (pipeline/journal.py)
                    00000000.packets     finished segments (video/segments.py)
                    00000002.piece       one that is finished before those that come before it (batch)
                    film.mp4             all of them in one file, for the moment before it is renamed
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from av.error import FFmpegError

from ..errors import (
    BrokenClock,
    Busy,
    CannotWrite,
    Conflict,
    DiskFull,
    OutputExists,
    TweenError,
    UnknownTime,
    UnsupportedStream,
)

FRAME = re.compile(r"frame_\d{6,}\.png")  # what a folder of ours holds
OURS = re.compile(r"lock|journal|\d{8,}\.(packets|piece)")
TRIES = 5  # at a folder that another run may remove just then
RECURRING = (BrokenClock, UnknownTime, UnsupportedStream)
FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


class Draft:
    """The `.part` of one output, a file or a folder.

    Args:
        path: where the output will be.
        overwrite: replace what is there.
        source: the input, which is never written over.
        resume: leave what an earlier run finished where it is.

    Attributes:
        work: the `.part` folder, ours alone while this lives.
        part: where to write meanwhile.
        keeps: something is finished that a later run can go on from.

    Raises:
        OutputExists, Conflict, CannotWrite: as they say; Conflict also where another run is writing this output.
    """

    def __init__(self, path: Path, *, overwrite: bool, source: Path | None, resume: bool = False) -> None:
        self.path, self.work = path, path.with_name(path.name + ".part")
        self.part = self.work / path.name
        self.keeps = False
        if source is not None and path.exists() and source.exists() and path.samefile(source):
            raise Conflict(f"input and output are both {path}", "an output of its own is needed", "-o another name")
        if path.exists() and not overwrite:
            raise OutputExists(f"{path} is there already", "another name, or leave to replace it", "--overwrite")
        if not path.parent.is_dir():
            raise CannotWrite(f"the folder {path.parent} is not there", "an existing one is needed", "make it first")
        self._lock: IO[bytes] | None = None
        try:
            self._claim()
            self.clear(everything=not resume)
            self.keeps = (self.work / "journal").exists()
        except BaseException:
            self._withdraw()
            raise

    def commit(self) -> None:
        """Put the whole output in its place, in one step for a file."""
        if self.path.is_dir():
            shutil.rmtree(self.path)
        os.replace(self.part, self.path)
        self.keeps = False

    def discard(self) -> None:
        """Leave nothing behind but what is finished. Safe to call twice, and after a commit."""
        if self._lock is None:
            return
        if self.keeps:
            self.clear(everything=False)
        else:
            shutil.rmtree(self.work, ignore_errors=True)
        self._lock.close()
        self._lock = None
        if not self.keeps:
            shutil.rmtree(self.work, ignore_errors=True)  # where an open file cannot be removed

    def clear(self, *, everything: bool) -> None:
        """Remove what is in the draft: `everything`, or only a file that was about to be renamed."""
        for entry in self.work.iterdir():
            if entry.is_dir() and everything:
                shutil.rmtree(entry)
            elif not entry.is_dir() and entry.name != "lock" and (everything or entry == self.part):
                entry.unlink()

    def settle(self, error: BaseException | None) -> None:
        """Nothing is worth going on from after a mistake that would come again at the same place."""
        if isinstance(error, RECURRING):
            self.keeps = False

    def failure(self, error: BaseException) -> BaseException:
        """The mistake that a failed write tells of, or `error` itself."""
        if isinstance(error, TweenError) or not isinstance(error, (OSError, FFmpegError)):
            return error
        if error.errno in FULL and self.keeps:
            return DiskFull(
                f"the disk of {self.path} is full",
                f"more room is needed; what is finished is kept in {self.work.name}",
                "free some, and the same command goes on from there",
            )
        if error.errno in FULL:
            return DiskFull(
                f"the disk of {self.path} is full",
                "more room is needed; the unfinished output was removed",
                "free some, or write elsewhere with -o",
            )
        return CannotWrite(f"{self.path} could not be written ({error.strerror or error})", "another place is needed")

    def _claim(self) -> None:
        """Make the folder and lock it. This also finds out now, not after an hour, whether one can write there."""
        if self.work.exists() and not self._is_ours():
            raise CannotWrite(f"{self.work} is in the way, and no draft of ours", "its place is needed", "move it away")
        for left in reversed(range(TRIES)):
            try:
                self.work.mkdir(exist_ok=True)
                lock = (self.work / "lock").open("a+b")
            except OSError as error:
                if isinstance(error, FileNotFoundError) and left:
                    continue  # the run that just ended removed its folder
                if error.errno in FULL:
                    raise self.failure(error) from error
                raise CannotWrite(
                    f"nothing can be written into {self.path.parent} ({error.strerror})",
                    "a folder that you may write into is needed",
                ) from error
            try:
                is_ours = is_locked_now(lock)
                if is_ours and _is_still_there(lock, self.work / "lock"):
                    self._lock = lock
                    return
            finally:
                if self._lock is None:
                    lock.close()
            if not is_ours:
                break
        raise Busy(
            f"another run is writing {self.path} at this moment", "one at a time", "wait for it, or -o another name"
        )

    def _withdraw(self) -> None:
        """Stopped on its way in, by Ctrl-C say: leave as whoever stops later does. Only a draft that is claimed may be
        removed, so one that was half claimed is claimed first."""
        if self._lock is None:
            with suppress(TweenError, OSError):  # it is another run's, or nobody can write there
                self._claim()
        self.keeps = (self.work / "journal").exists()
        self.discard()

    def _is_ours(self) -> bool:
        if not self.work.is_dir():
            return False
        for entry in self.work.iterdir():
            frames = entry.is_dir() and all(FRAME.fullmatch(file.name) for file in entry.iterdir())
            if not (OURS.fullmatch(entry.name) or (entry.name == self.path.name and (frames or entry.is_file()))):
                return False
        return True


def is_locked_now(file: IO[bytes]) -> bool:
    """Lock an open file for this process alone; False if another one holds it. The system ends the lock with the
    process, however that dies."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK):
            return False
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            return True  # a file system without locks: nothing can be known
        raise
    return True


def _is_still_there(file: IO[bytes], path: Path) -> bool:
    """Whether `path` still leads to the open file: between opening and locking, it may have been removed."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
