"""What a server is told before it starts: where it listens, and how much it takes."""

from __future__ import annotations

import ipaddress
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import BadOption
from ..home import cache_folder

GB = 10**9
UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


@dataclass(frozen=True)
class Settings:
    """One server.

    Attributes:
        host, port: where it listens. folder: where jobs are kept.
        token: what a browser has to show, or None on this machine's own address.
        max_upload: bytes of one video; this many are too many.
        quota: bytes of all jobs together.
        most_jobs: kept at once. most_uploads: coming in at once.
        keep_s: seconds that a job is kept after it was last touched.
        silence_s: seconds in which the next block of a body, or a request's head, has to arrive.
        most_pixels: of one picture. most_frames: of one video, in or out.
        look_s: seconds that looking at a file may take; measure_s: that a measurement may.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    folder: Path = field(default_factory=lambda: cache_folder("serve"))
    token: str | None = None
    max_upload: int = 2 * GB
    quota: int = 20 * GB
    most_jobs: int = 100
    most_uploads: int = 4
    keep_s: float = 24 * 3600
    silence_s: float = 20
    most_pixels: int = 8192 * 4608
    most_frames: int = 2_000_000
    look_s: float = 60
    measure_s: float = 30


def token_for(host: str) -> str | None:
    """None for an address that only this machine reaches; for every other a new token of 192 bits."""
    return None if is_loopback(host) else secrets.token_urlsafe(24)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bytes_of(text: str, option: str) -> int:
    """`2GB`, `500 MB` or a plain number as bytes.

    Raises:
        BadOption: it is none of these.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if found is None or found[2] not in UNITS or float(found[1]) == 0:
        raise BadOption(f"{option} {text}", "an amount such as 500MB or 2GB is needed", f"{option} 2GB")
    return int(float(found[1]) * UNITS[found[2]])


def said_bytes(amount: int) -> str:
    """`2 GB`, `1.4 MB`: three digits at most."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            return f"{amount:.3g} {unit}"
        amount /= 1000  # type: ignore[assignment]
    raise AssertionError
