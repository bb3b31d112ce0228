"""Jobs: one uploaded video each, with what was asked of it and what came of that. They are kept in folders.

<folder>/<id>/job.json                written whenever the state changes
              tween-upload.mp4        the video; of its sender's name only a known suffix stays
              tween-result.mp4        what the render made; .part beside it while it is made (pipeline/journal.py)
              before.mp4, after.mp4   copies for the browser, where it cannot play the two
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import shutil
import time
import unicodedata
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

from ..errors import DiskFull, MissingFile, TooMuch
from .settings import Settings, said_bytes

State = Literal["uploading", "ready", "waiting", "running", "done", "failed", "stopped"]
BUSY: Final = {"uploading", "waiting", "running"}
IDENTITY: Final = re.compile(r"[0-9a-f]{32}")
LONGEST_NAME: Final = 100
SPARE: Final = 500_000_000  # bytes of the disk that stay free


@dataclass
class Job:
    """One video.

    Attributes:
        id: 128 random bits. name: what its sender calls it, as harmless text.
        made, touched: seconds since 1970; a job is kept for a time after it was last touched.
        bytes: of the upload so far; declared: that it will have.
        info: what it is (look.py). options, outcome: what was asked for last, and what will come of it (plan.py).
        status: how far the render is. result: what came of it. error: why there is none, for the user.
    """

    id: str
    name: str
    state: State = "uploading"
    made: float = field(default_factory=time.time)
    touched: float = field(default_factory=time.time)
    bytes: int = 0
    declared: int = 0
    info: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    outcome: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    error: str = ""


class Jobs:
    """Every job of a server, and room for more.

    Attributes:
        changed: set, and made anew, whenever something changed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._jobs: dict[str, Job] = {}
        self.changed = asyncio.Event()

    def open(self) -> None:
        """Find the jobs of an earlier run; what is no job of ours is left alone, half an upload is removed."""
        self._settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in sorted(self._settings.folder.iterdir()):
            if not IDENTITY.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
                continue
            job = _read(folder)
            if job is None or job.state == "uploading":
                shutil.rmtree(folder, ignore_errors=True)
                continue
            if job.state in BUSY:
                job.state, job.error = "stopped", ""
            self._jobs[job.id] = job

    def folder(self, job: Job) -> Path:
        """Where a job's files are."""
        return self._settings.folder / job.id

    def all(self) -> list[Job]:
        """Every job, the newest first."""
        return sorted(self._jobs.values(), key=lambda job: -job.made)

    def get(self, identity: str) -> Job:
        """One job; it counts as touched.

        Raises:
            MissingFile: there is none.
        """
        job = self._jobs.get(identity)
        if job is None:
            raise MissingFile("this job is not here", "it was removed, or kept for its time")
        job.touched = time.time()
        return job

    def new(self, name: str, declared: int | None) -> Job:
        """A job whose video is about to come.

        Raises:
            TooMuch: it is too large, or there are too many. DiskFull: there is no room for it.
        """
        coming = sum(job.state == "uploading" for job in self._jobs.values())
        if coming >= self._settings.most_uploads:
            raise TooMuch(f"{coming} videos are being uploaded", "one of them has to arrive first", "again in a while")
        self._make_room()
        job = Job(secrets.token_hex(16), harmless(name), declared=declared or 0)
        self.check_room(job, declared or 0)
        self.folder(job).mkdir(mode=0o700)
        self._jobs[job.id] = job
        self.tell()
        return job

    def check_room(self, job: Job, size: int) -> None:
        """Raises TooMuch or DiskFull where a video of so many bytes is too many."""
        limit = self._settings.max_upload
        if size >= limit:
            raise TooMuch(
                f"{job.name} has {said_bytes(size)}" if job.declared else f"{job.name} goes on and on",
                f"less than {said_bytes(limit)} is taken here",
                "the command line, or tween serve --max-upload",
            )
        others = sum(max(self.used(other), other.declared) for other in self._jobs.values() if other is not job)
        if others + size > self._settings.quota:
            raise TooMuch(
                f"all jobs together would have {said_bytes(others + size)}",
                f"{said_bytes(self._settings.quota)} are kept here",
                "remove some of them, or tween serve --quota",
            )
        if shutil.disk_usage(self._settings.folder).free - size + job.bytes < SPARE:
            raise DiskFull("the disk of the server is full", "more room is needed", "remove some jobs")

    def used(self, job: Job) -> int:
        """Bytes of a job's files."""
        total = 0
        for folder, _, names in os.walk(self.folder(job)):
            for name in names:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_size
                except FileNotFoundError:
                    continue
        return total

    def total(self) -> int:
        """Bytes of all jobs."""
        return sum(self.used(job) for job in self._jobs.values())

    def remove(self, job: Job) -> None:
        """Forget a job, and delete its files."""
        self._jobs.pop(job.id, None)
        shutil.rmtree(self.folder(job), ignore_errors=True)
        self.tell()

    def keep(self, job: Job) -> None:
        """Write down where a job stands, and tell."""
        path = self.folder(job) / "job.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(job), default=str), "utf-8")
        os.replace(part, path)
        self.tell()

    def tell(self) -> None:
        """Wake everyone who watches."""
        self.changed.set()
        self.changed = asyncio.Event()

    def expire(self) -> None:
        """Remove what was not touched for a time."""
        for job in self.all():
            if job.state not in BUSY and time.time() - job.touched > self._settings.keep_s:
                self.remove(job)

    def _make_room(self) -> None:
        """Of too many jobs the one that was touched longest ago goes, if it is done with."""
        self.expire()
        idle = sorted((job for job in self._jobs.values() if job.state not in BUSY), key=lambda job: job.touched)
        while len(self._jobs) >= self._settings.most_jobs:
            if not idle:
                raise TooMuch(f"{len(self._jobs)} jobs are waiting", "one of them has to end first", "again in a while")
            self.remove(idle.pop(0))


def harmless(name: str) -> str:
    """A file name as text to show: its last part, without what is no letter, digit, mark, sign or space."""
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    kept = "".join(letter for letter in name if unicodedata.category(letter)[0] in "LMNPS" or letter == " ").strip(" .")
    stem, dot, suffix = kept.rpartition(".")
    if not dot or not re.fullmatch(r"[A-Za-z0-9]{1,8}", suffix):
        stem, dot, suffix = kept, "", ""
    return (stem[: LONGEST_NAME - len(suffix) - 1].strip(" .") or "video") + dot + suffix


def _read(folder: Path) -> Job | None:
    try:
        found = json.loads((folder / "job.json").read_text("utf-8"))
        job = Job(**{one.name: found[one.name] for one in fields(Job)})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return job if job.id == folder.name else None
