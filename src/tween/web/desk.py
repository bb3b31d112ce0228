"""What happens to jobs: looked at, planned, rendered one after another, stopped, gone on with, removed."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ..errors import Conflict, TooMuch, TweenError
from .asked import RESULT, checked, upload_in
from .child import Child, Fault, Told
from .jobs import BUSY, Job, Jobs
from .settings import Settings, said_bytes

log = logging.getLogger("tween.web")
OURS: Final = "a fault of ours: the details are in what tween serve prints"
TIDY_S: Final = 30.0  # seconds between two looks for jobs that expired
WEIGH_S: Final = 2.0  # seconds between two looks at how large a render grows


class Desk:
    """The one place from which jobs are worked on.

    Attributes:
        jobs: all of them.
        models: what the page shows of the zoo; empty until the first worker has told.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.jobs = settings, Jobs(settings)
        self.models: dict[str, Any] = {}
        # (model, codec) -> seconds for a million pixels; None where a measurement took too long
        self._speeds: dict[tuple[str, str], dict[str, float] | None] = {}
        self._line: list[Job] = []
        self._came = asyncio.Event()
        self._looker: Child | None = None
        self._spare: Child | None = None
        self._at_work: tuple[Job, Child] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._starting = asyncio.Lock()

    async def open(self) -> None:
        """Find earlier jobs, start workers, begin to work."""
        self.jobs.open()
        self._tasks = [asyncio.create_task(one) for one in (self._work(), self._tidy(), self._learn())]

    async def close(self) -> None:
        """End all work; what is finished of a render stays."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        at_work = self._at_work[1] if self._at_work else None
        for child in (self._looker, self._spare, at_work):
            if child is not None:
                await child.end()

    async def take_in(self, name: str, declared: int | None, body: AsyncIterator[bytes]) -> Job:
        """An upload, to the disk and no further; then a look at what it is.

        Raises:
            TooMuch, DiskFull, TooSlow: nothing of it is kept. TweenError: it is no video; nothing of it is kept.
        """
        job = self.jobs.new(name, declared)
        try:
            with upload_in(self.jobs.folder(job), job.name).open("xb") as file:
                async for block in body:
                    job.bytes += len(block)
                    if not declared or job.bytes % (1 << 23) < len(block):
                        self.jobs.check_room(job, max(job.bytes, job.declared))
                    file.write(block)
            job.info = await self._look({"do": "look", **self._limits()}, job)
        except BaseException:
            self.jobs.remove(job)
            raise
        job.state, job.declared = "ready", 0
        self.jobs.keep(job)
        return job

    async def plan(self, job: Job, options: dict[str, Any]) -> dict[str, Any]:
        """What will come out; `takes_s` is None until the speed was measured."""
        options = checked(options)
        outcome = await self._look({"do": "plan", "options": options, "most_frames": self.settings.most_frames}, job)
        speed = self._speeds.get((outcome["model"], options.get("codec", "auto")))
        return {**outcome, "takes_s": None if speed is None else takes_s(outcome, speed)}

    async def measure(self, job: Job, options: dict[str, Any]) -> dict[str, Any]:
        """The plan, with how long it will take: measured on this video, if this model was not met before."""
        outcome, options = await self.plan(job, options), checked(options)
        key = outcome["model"], options.get("codec", "auto")
        if outcome["frames"] is None or key in self._speeds:
            return outcome
        try:
            order = {"do": "measure", "options": options}
            found = await self._look(order, job, within_s=self.settings.measure_s)
        except TooMuch:
            self._speeds[key] = None
            return outcome
        pixels = outcome["width"] * outcome["height"] / 1e6
        speed = self._speeds[key] = {part: value / pixels for part, value in found.items()}
        return {**outcome, "takes_s": takes_s(outcome, speed)}

    async def render(self, job: Job, options: dict[str, Any]) -> None:
        """Put a job into the queue. With the options of a render that was stopped, it goes on.

        Raises:
            Conflict: it is in the queue. TweenError: what it would say before its first frame.
        """
        if job.state in BUSY:
            raise Conflict(f"{job.name} is being worked on", "one render at a time is made of a video", "stop it first")
        options = checked(options)
        outcome = await self.plan(job, options)
        if job.state in BUSY:
            raise Conflict(f"{job.name} is being worked on", "one render at a time is made of a video", "stop it first")
        if options != job.options or any(path.is_file() for path in self._made(job)):
            self._clear(job)
        job.options, job.outcome, job.result, job.status, job.error = options, outcome, {}, {}, ""
        job.state = "waiting"
        self._line.append(job)
        self._came.set()
        self.jobs.keep(job)

    async def stop(self, job: Job) -> None:
        """Take a job out of the queue, or end its render; what is finished of it stays."""
        if job.state not in ("waiting", "running"):
            return
        was_running, job.state = job.state == "running", "stopped"
        self._line = [one for one in self._line if one is not job]
        self.jobs.keep(job)
        if was_running and self._at_work is not None and self._at_work[0] is job:
            await self._at_work[1].end()

    async def remove(self, job: Job) -> None:
        """Stop a job, forget it, delete its files.

        Raises:
            Conflict: its video is still arriving.
        """
        if job.state == "uploading":
            raise Conflict(f"{job.name} is being uploaded", "it has to arrive first")
        await self.stop(job)
        self.jobs.remove(job)

    def place(self, job: Job) -> int:
        """How many jobs are before it; 0 for the one that is rendered."""
        return self._line.index(job) + (self._at_work is not None) if job in self._line else 0

    def _limits(self) -> dict[str, int]:
        return {"most_pixels": self.settings.most_pixels, "most_frames": self.settings.most_frames}

    async def _look(self, order: dict[str, Any], job: Job | None, within_s: float | None = None) -> dict[str, Any]:
        async with self._starting:
            self._looker = await self._alive(self._looker)
        about = {} if job is None else {"folder": str(self.jobs.folder(job)), "name": job.name}
        try:
            return await self._looker.ask({**order, **about}, within_s=within_s or self.settings.look_s)
        except Fault:
            if job is not None:
                self.jobs.get(job.id)  # its files go with it
            raise

    @staticmethod
    async def _alive(child: Child | None) -> Child:
        """A worker that runs: this one, or where it is none or broke down, a new one."""
        return child if child is not None and child.is_alive else await Child.start()

    async def _learn(self) -> None:
        with suppress(TweenError, Fault):
            self.models = await self._look({"do": "models"}, None)
            self.jobs.tell()

    async def _work(self) -> None:
        while True:
            self._spare = await self._alive(self._spare)
            while not self._line:
                self._came.clear()
                await self._came.wait()
            job = self._line.pop(0)
            child, self._spare = await self._alive(self._spare), None
            self._at_work = job, child
            try:
                await self._render(job, child)
            except Exception:
                log.exception("a fault of ours")
                job.state, job.error = "failed", OURS
            finally:
                if job in self.jobs.all():
                    self.jobs.keep(job)
                await child.end()
                self._at_work = None

    async def _render(self, job: Job, child: Child) -> None:
        def told(status: dict[str, Any]) -> None:
            job.status = status
            self.jobs.tell()

        if job.state != "waiting":
            return  # it was stopped while a worker started
        job.state, job.status = "running", {"phase": "starting"}
        self.jobs.keep(job)
        order = {
            "do": "render", "folder": str(self.jobs.folder(job)), "name": job.name, "options": job.options,
            "stretch": job.outcome["stretch"],
        }  # fmt: skip
        weighing = asyncio.create_task(self._weigh(job, child))
        try:
            job.result = await child.ask(order, told=told)
            job.state = "done"
            self._remember_speed(job)
        except Told as error:
            job.state, job.error = "failed", str(error)
        except Fault:
            job.state, job.error = "failed", OURS
        except TweenError as error:
            if job.state == "running":  # and was not stopped, which ends the process too
                job.state, job.error = "failed", job.error or str(error)
        finally:
            job.touched = time.time()
            weighing.cancel()

    def _remember_speed(self, job: Job) -> None:
        """What a whole render took says more than a measurement of its first frames."""
        done, pixels = job.result, job.outcome["width"] * job.outcome["height"] / 1e6
        made = done["frames_out"] - done["resumed"]
        if not (made and done["rendered"] and pixels):
            return
        model = done["model_share"] * done["seconds"]
        speed = {"model": model / done["rendered"] / pixels, "other": (done["seconds"] - model) / made / pixels}
        self._speeds[done["model"], job.options.get("codec", "auto")] = speed

    async def _weigh(self, job: Job, child: Child) -> None:
        """End a render that outgrows what is kept here."""
        while True:
            await asyncio.sleep(WEIGH_S)
            total = await asyncio.to_thread(self.jobs.total)
            if total > self.settings.quota:
                words = f"all jobs together have {said_bytes(total)}"
                limit = f"{said_bytes(self.settings.quota)} are kept here"
                job.error = str(TooMuch(words, limit, "remove some of them, or tween serve --quota"))
                await child.end()
                return

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(min(TIDY_S, self.settings.keep_s / 2))
            self.jobs.expire()

    def _made(self, job: Job) -> list[Path]:
        """What renders of a job made, whole or not."""
        return [
            path
            for path in self.jobs.folder(job).iterdir()
            if path.name.startswith(RESULT) or path.name in ("before.mp4", "after.mp4")
        ]

    def _clear(self, job: Job) -> None:
        for path in self._made(job):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def takes_s(outcome: dict[str, Any], speed: dict[str, float]) -> float | None:
    """Seconds that a render will take, by seconds for a million pixels of the model's frames and of all frames."""
    if outcome["frames"] is None:
        return None
    pixels = outcome["width"] * outcome["height"] / 1e6
    return round(pixels * (outcome["rendered"] * speed["model"] + outcome["frames"] * speed["other"]), 1)
