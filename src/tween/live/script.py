"""`--show none`: nothing to look at, a line a second."""

from __future__ import annotations

from collections.abc import Callable

from ..pipeline.pace import now
from .session import Session
from .view import words

EVERY_S = 1
WAIT_S = 0.1  # how soon the end is noticed


def watch(session: Session, say: Callable[[str], None] | None) -> None:
    """Take every picture when it is due, until the session is over; `say` is told how it goes, once a second."""
    told = now()
    while not session.is_over:
        shown = session.next(WAIT_S)
        if shown is not None:
            session.run.showed(shown)
        if say is not None and now() - told >= EVERY_S:
            told += EVERY_S
            say(words(session.run.stats()))
