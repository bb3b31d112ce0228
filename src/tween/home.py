"""Where a user's files of tween are kept on this system: under TWEEN_HOME, or where programs keep such things here."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def data_folder(kind: str) -> Path:
    """For what cannot be made again, such as imported weights; it need not be there yet."""
    home = Path.home()
    if own := os.environ.get("TWEEN_HOME"):
        return Path(own) / kind
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "tween" / kind
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "tween" / kind
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "tween" / kind


def cache_folder(kind: str) -> Path:
    """For what can be made again, and may be deleted at any time; it need not be there yet."""
    home = Path.home()
    if own := os.environ.get("TWEEN_HOME"):
        return Path(own) / kind
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "tween" / "cache" / kind
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "tween" / kind
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "tween" / kind
