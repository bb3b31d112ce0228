"""Where weights lie on this machine: shipped with tween, imported by the user, fetched from their authors.

<data folder>/weights/ifrnet-s@mine.safetensors     the tensors, under our keys
<data folder>/weights/ifrnet-s@mine.json            where they came from
<data folder>/weights/rife-4.6@practical.pkl        a published file, as it was fetched
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import BadOption, CannotWrite, MissingPackage, NoWeights
from ..home import data_folder
from .entry import Weights
from .weights import SUFFIXES, check_sha256

Progress = Callable[[int, "int | None"], None]  # bytes so far, bytes in all where the server says
SILENCE_S = 30.0  # a server that says nothing for so long has gone


@dataclass(frozen=True)
class Imported:
    """What is known of a file that the user imported.

    Attributes:
        name: of the network, the zoo's.
        tag: what follows the `@`.
        sha256: of the file it was imported from.
        origin: that file's path, and who made it where that is known.
        licence: of the weights, or that it is not known.
    """

    name: str
    tag: str
    sha256: str
    origin: str
    licence: str

    @property
    def path(self) -> Path:
        """Where the tensors are."""
        return folder() / f"{self.name}@{self.tag}.safetensors"


def folder() -> Path:
    """The folder of the user's weights."""
    return data_folder("weights")


def open_folder() -> Path:
    """`folder()`, made if it was not there.

    Raises:
        CannotWrite: it cannot be made.
    """
    path = folder()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fix = "set TWEEN_HOME to another folder"
        raise CannotWrite(f"{path} cannot be made ({error})", "a folder for weights is needed", fix) from error
    return path


def imported() -> list[Imported]:
    """Every file that the user imported, by name. A row whose tensors are gone is left out."""
    rows = [Imported(**json.loads(card.read_text("utf-8"))) for card in sorted(folder().glob("*@*.json"))]
    return [row for row in rows if row.path.is_file()]


def remember(row: Imported) -> None:
    """Write the card of imported weights beside their tensors."""
    card = open_folder() / f"{row.name}@{row.tag}.json"
    card.write_text(json.dumps(asdict(row), indent=2) + "\n", "utf-8")


def at_hand(name: str, row: Weights) -> Path | None:
    """The file of a row, if it ships with tween or was fetched before."""
    shipped = Path(str(files(__package__) / "assets" / row.file)) if row.file else None
    if shipped is not None and shipped.is_file():
        return shipped
    fetched = place(name, row) if row.url else None
    return fetched if fetched is not None and fetched.is_file() else None


def place(name: str, row: Weights) -> Path:
    """Where a row's download goes."""
    suffix = Path(urlsplit(row.url).path).suffix
    return folder() / f"{name}@{row.tag}{suffix if suffix in SUFFIXES else '.pth'}"


def fetch(name: str, row: Weights, *, progress: Progress | None = None) -> Path:
    """Download a row's file, unless it is at hand; check its hash; keep it.

    Args:
        name: of the network.
        row: with a `url`: https, or `hf://owner/repository/file` for the Hugging Face Hub.
        progress: told of every piece.

    Raises:
        NoWeights: the server cannot be reached or has no such file.
        BadWeights: what came is not the file meant; nothing is kept.
        CannotWrite: there is no folder to keep it in.
        MissingPackage: the Hub needs `huggingface_hub`.
    """
    if (path := at_hand(name, row)) is not None:
        return path
    open_folder()
    target = place(name, row)
    part = target.with_name(target.name + ".part")
    try:
        if row.url.startswith("hf://"):
            part.write_bytes(from_hub(row.url).read_bytes())
        else:
            download(row.url, part, progress=progress)
        check_sha256(part, row.sha256)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return target


def download(url: str, path: Path, *, progress: Progress | None = None) -> None:
    """Copy what lies at an https address into a file. Plain http is for this machine's own server only.

    Raises:
        NoWeights: the server cannot be reached, has no such file, or broke off.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")):
        raise BadOption(f"{url} to fetch weights from", "an https address is needed")
    done = 0
    try:
        with urllib.request.urlopen(url, timeout=SILENCE_S) as reply, path.open("wb") as file:
            length = reply.headers.get("Content-Length")
            total = int(length) if length else None
            while block := reply.read(1 << 18):
                file.write(block)
                done += len(block)
                if progress is not None:
                    progress(done, total)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise unreachable(url, str(error)) from error
    if total is not None and done < total:
        raise unreachable(url, f"it broke off after {done} of {total} bytes")


def from_hub(url: str) -> Path:
    """The cached copy of `hf://owner/repository/file`, without asking the network where there is one."""
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        fix = "pip install huggingface_hub"
        raise MissingPackage(f"{url} without huggingface_hub", "that package fetches it", fix) from error
    owner, repository, file = url.removeprefix("hf://").split("/", 2)
    last: Exception | None = None
    for local_only in (True, False):
        try:
            return Path(hf_hub_download(f"{owner}/{repository}", file, local_files_only=local_only))
        except Exception as error:  # the hub's errors share no class; all mean that the file did not come
            last = error
    raise unreachable(url, str(last))


def unreachable(url: str, why: str) -> NoWeights:
    first_line = why.strip().splitlines()[0][:160] if why.strip() else "no answer"
    return NoWeights(
        f"{url} could not be fetched ({first_line})",
        "the network, or the file, is needed",
        "get the file by any other way, then: tween weights import FILE",
    )
