"""A page that a person wants to look at: one HTML file with everything inside, that asks no network for anything.

results + galleries -> tables, charts, cases -> report.html     (under 5 MB: pictures are pressed until they fit)
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

from .. import __version__
from ..backends import machine
from ..errors import CannotWrite
from . import charts, sections
from .cases import cases, fitted
from .gallery import Gallery
from .protocols import PROTOCOLS
from .result import Result

LIMIT: Final = 4_800_000  # bytes of a page


def write_report(
    results: Sequence[Result],
    gallery: Gallery | Sequence[Gallery | None] | None,
    path: Path,
    *,
    command: Sequence[str] = (),
    limit: int = LIMIT,
) -> None:
    """Write the page, whole or not at all.

    Args:
        results: one a model, all by one protocol.
        gallery: what was seen: of the one result, or one for each of them.
        path: of the page; one that is there is replaced.
        command: the words that were typed. Of paths only the file's name is shown.
        limit: bytes that the page stays under, as far as its pictures decide.

    Raises:
        CannotWrite: the folder is missing or closed to us.
    """
    galleries = [gallery] if gallery is None or isinstance(gallery, Gallery) else list(gallery)
    galleries += [None] * (len(results) - len(galleries))
    text = page(results, galleries[: len(results)], command=command, limit=limit)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True) if draft.parent.is_dir() else None
        why = error.strerror or str(error)
        raise CannotWrite(f"{path} cannot be written ({why})", "", "another place for the report") from error


def page(
    results: Sequence[Result],
    galleries: Sequence[Gallery | None],
    *,
    command: Sequence[str] = (),
    limit: int = LIMIT,
) -> str:
    """The page as text; arguments as of `write_report`."""
    labels = unlike([discreet(result.model) for result in results], results)
    parts = [
        ("means", "Means", sections.means_section(results, labels)),
        ("time", "By time", sections.times_section(results, labels)),
        ("charts", "Charts", sections.charts_section(results, labels)),
        ("groups", "By group", sections.groups_section(results, labels)),
        ("field", "The field", sections.published_section(results)),
        ("broken", "Broken pictures", _broken(results)),
        ("rows", "Every picture", sections.rows_section(results, labels)),
    ]
    body = {anchor: (title, html) for anchor, title, html in parts if html}
    words = sum(len(html.encode()) for _, html in body.values()) + 30_000
    shown = [[*g.worst, *g.best] if g is not None else [] for g in galleries]
    pressed = fitted(shown, max(0, limit - words))
    pictures = cases(galleries, labels, pressed)
    order = ["means", "time", "charts", "cases", "groups", "field", "broken", "rows"]
    if pictures:
        body["cases"] = ("Worst and best", pictures)
    present = [anchor for anchor in order if anchor in body]
    html = [_tiles(results, labels), *(_section(anchor, *body[anchor]) for anchor in present), _facts(results, command)]
    folder = files(__package__) / "page"
    return Template((folder / "report.html").read_text("utf-8")).substitute(
        title=escape(_title(results, labels)),
        about=escape(_about(results)),
        nav="".join(f'<a href="#{anchor}">{body[anchor][0]}</a>' for anchor in present)
        + '<a href="#facts">How it was made</a>',
        body="\n".join(html),
        light=charts.LIGHT,
        dark=charts.DARK,
        style=(folder / "report.css").read_text("utf-8") + charts.STYLE,
        script=(folder / "report.js").read_text("utf-8"),
        version=escape(__version__),
    )


def unlike(labels: Sequence[str], results: Sequence[Result]) -> list[str]:
    """Names of which no two are the same: the backend and precision where the model is."""
    told = [
        f"{label} ({result.backend}, {result.precision})" if list(labels).count(label) > 1 else label
        for label, result in zip(labels, results, strict=True)
    ]
    return [f"{label} #{k + 1}" if told.count(label) > 1 else label for k, label in enumerate(told)]


_ROOT: Final = r"(?:~|\.{1,2}|[A-Za-z]:)?[/\\]"  # where a path begins
_PATH: Final = re.compile(rf"""(?<![\w.]){_ROOT}(?=\S)[^;,"'\n]*[/\\]|(?<![\w./\\]){_ROOT}(?=\w)""")


def discreet(text: str) -> str:
    """Text without the folders of the paths in it: `/home/me/set/im2.png is missing` -> `im2.png is missing`."""
    return _PATH.sub("", text)


def discreet_word(word: str) -> str:
    """A word of a command: a path becomes its last part."""
    option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
    return option + equals + (re.split(r"[/\\]", value.rstrip("/\\"))[-1] if re.search(r"[/\\]", value) else value)


def _title(results: Sequence[Result], labels: Sequence[str]) -> str:
    names = ", ".join(labels) if len(labels) <= 3 else f"{len(labels)} models"
    protocols = ", ".join(dict.fromkeys(result.protocol for result in results))
    return f"{names or 'nothing'} on {protocols or 'nothing'}"


def _about(results: Sequence[Result]) -> str:
    known = [PROTOCOLS[name].about for name in dict.fromkeys(r.protocol for r in results) if name in PROTOCOLS]
    return "; ".join(known)


def _tiles(results: Sequence[Result], labels: Sequence[str]) -> str:
    pictures = max((len(result.rows) for result in results), default=0)
    broken = max((len(result.broken) for result in results), default=0)
    tiles = [("pictures scored", f"{pictures:,}"), ("broken, left out", f"{broken:,}")]
    best = sections.leader(results, labels)
    if best is not None:
        tiles.insert(0, best)
    if pictures and len(results) == 1 and results[0].seconds > 0:
        share = 100 * results[0].model_seconds / results[0].seconds
        tiles.append((f"in all; {share:.0f} % of it in the model", sections.duration(results[0].seconds)))
    cards = [
        f'<div class="tile"><b>{escape(value)}</b><span class="soft">{escape(what)}</span></div>'
        for what, value in tiles
    ]
    return f'<div class="tiles">{"".join(cards)}</div>'


def _section(anchor: str, title: str, html: str) -> str:
    return f'<section id="{anchor}" aria-labelledby="{anchor}-h"><h2 id="{anchor}-h">{title}</h2>{html}</section>'


def _broken(results: Sequence[Result]) -> str:
    found = dict.fromkeys(pair for result in results for pair in result.broken)
    if not found:
        return ""
    shown = list(found)[:200]
    rows = "".join(
        f"<tr><th scope=row>{escape(discreet(name))}</th><td>{escape(discreet(why))}</td></tr>" for name, why in shown
    )
    more = f" The first {len(shown)} of {len(found)}." if len(found) > len(shown) else ""
    return (
        f'<div class="card wide"><table><caption>These could not be read and count in no mean.{more}</caption>'
        f"<thead><tr><th scope=col>picture</th><th scope=col>why</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _facts(results: Sequence[Result], command: Sequence[str]) -> str:
    found = machine.machine()
    versions = ", ".join(f"{name} {found.packages[name]}" for name in ("tween", "torch") if found.packages.get(name))
    where = [found.cpu, f"{found.cores} threads", *found.cuda]
    facts = [("machine", ", ".join(where)), ("packages", versions)]
    facts.append(("date", f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"))
    if command:
        facts.append(("command", " ".join(discreet_word(word) for word in command)))
    for result in results:
        took = sections.duration(result.seconds)
        facts.append((discreet(result.model), f"{result.backend}, {result.precision}, {took}"))
    for name in dict.fromkeys(result.protocol for result in results):
        rule = PROTOCOLS.get(name)
        checked = rule.checked if rule is not None else ""
        source = f"after {rule.source}" if rule is not None and rule.source else ""
        told = "; ".join(part for part in (source, checked) if part)
        facts.append((f"protocol {name}", told or "not held against a published one"))
    for note in dict.fromkeys(note for result in results for note in result.notes):
        facts.append(("note", discreet(note)))
    listed = "".join(f"<dt>{escape(what)}</dt><dd>{_code(what, value)}</dd>" for what, value in facts)
    return _section("facts", "How it was made", f'<div class="card"><dl class="facts">{listed}</dl></div>')


def _code(what: str, value: str) -> str:
    return f"<code>{escape(value)}</code>" if what == "command" else escape(value)
