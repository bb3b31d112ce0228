"""What a driver and its workers say to each other. Everything here travels between processes and machines."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import TweenError
from ..models.model import Spec
from ..pipeline.config import RenderConfig
from ..pipeline.journal import Piece
from ..pipeline.part import Part, PartReport
from ..pipeline.recipe import Report

Kind = Literal["input", "machine", "fault"]


@dataclass(frozen=True)
class Setup:
    """What a worker is made for.

    Attributes:
        config: of any film: what runs is the same for all.
        storage: a folder of this batch where the outputs will be; a worker that sees `token` in it leaves results
            there, any other sends them back.
        token: what the file `token` in it says.
        device: of this worker, where `config` leaves it open.
        threads: for computing; None leaves that to the libraries.
    """

    config: RenderConfig
    storage: Path
    token: str
    device: str = "auto"
    threads: int | None = None


@dataclass(frozen=True)
class Task:
    """Work for one worker: a part of a film, or a film whole.

    Attributes:
        id: tells it from every other.
        film: number of its film.
        part: what to render; None renders the film whole, as `tween interpolate` does.
        config: of the film.
    """

    id: int
    film: int
    config: RenderConfig
    part: Part | None = None


@dataclass(frozen=True)
class Ready:
    """A worker has its model and waits.

    Attributes:
        host, pid: where it is. device: what it computes on.
        runs: backend, device and precision, in words. model: what was loaded; spec: of it.
        sees_storage: it can write where the outputs will be.
        version: of tween.
    """

    host: str
    pid: int
    device: str
    runs: str
    model: str
    spec: Spec
    sees_storage: bool
    version: str


@dataclass(frozen=True)
class Frames:
    """So many frames more of the task are done."""

    task: int
    count: int


@dataclass(frozen=True)
class Made:
    """A segment is finished; `packets` is its file, or what is in it where storage is not shared."""

    task: int
    piece: Piece
    packets: Path | bytes


@dataclass(frozen=True)
class Finished:
    """A task is done, whole."""

    task: int
    report: PartReport | Report


@dataclass(frozen=True)
class Failed:
    """A task, or a worker's start (task -1), came to nothing.

    Attributes:
        kind: whose fault: the input's (it would fail anywhere), this machine's (another may manage), or ours.
        error: what to tell. trace: for a fault of ours, where.
    """

    task: int
    kind: Kind
    error: TweenError
    trace: str = ""


@dataclass(frozen=True)
class Lost:
    """A worker died. `why`: as far as anybody knows."""

    why: str


Message = Ready | Frames | Made | Finished | Failed | Lost


@dataclass
class Hand:
    """A worker, as its driver sees it.

    Attributes:
        slot: its number; it stays when a dead worker is replaced.
        ready: what it said of itself; None until then.
        task: what it is doing.
        frames, busy_s: done so far, and how long that took.
        strikes: failures of the machine in a row. deaths: times it died without finishing anything in between.
        left_out: why it gets no more work, or "".
    """

    slot: int
    ready: Ready | None = None
    task: Task | None = None
    since: float = 0.0
    frames: int = 0
    busy_s: float = 0.0
    strikes: int = 0
    deaths: int = 0
    left_out: str = ""
    recent: list[tuple[float, int]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and text."""
        where = None if self.ready is None else f"{self.ready.host} {self.ready.device}"
        fps = round(self.frames / self.busy_s, 2) if self.busy_s else None
        return {"worker": self.slot, "where": where, "frames": self.frames, "fps": fps, "left_out": self.left_out}
