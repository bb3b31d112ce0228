"""Tables of results for a terminal: models beside what is published, groups, steps, what a backend loses."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ..evaluate.protocols import PROTOCOLS, Protocol
from ..evaluate.published import Published, field
from ..evaluate.result import Result
from ..metrics.table import METRICS

WIDTH = 140  # a narrower terminal wraps whole lines rather than words
MOST_GROUPS = 40
DIGITS = {"ie": 3, "epe": 2}  # as they are published


def show(results: Sequence[Result], protocol: Protocol, *, is_comparison: bool = False) -> None:
    """Print everything that a reader of a terminal wants of one set."""
    console = Console(width=WIDTH, highlight=False)
    first = results[0]
    console.print(f"{protocol.about}: {len(first.rows)} pictures", style="bold")
    console.print(main_table(results, protocol))
    if first.is_prediction:
        for result in results:
            console.print(step_table(result))
    groups = first.groups()
    if 1 < len(groups) <= MOST_GROUPS:
        console.print(group_table(results))
    if is_comparison:
        console.print(lost_table(results))
    for note in dict.fromkeys(note for result in results for note in result.notes):
        console.print(f"note: {note}")
    if first.checked:
        console.print(f"checked: {protocol.checked}")
    elif PROTOCOLS[protocol.name].checked:
        console.print(
            "in part: other pictures, frames or scale than published; beside the published rows only as a hint"
        )
    elif protocol.source != "ours":
        console.print(f"rule not checked against a published script: {protocol.source}")


def main_table(results: Sequence[Result], protocol: Protocol) -> Table:
    """A row a model, and the published ones below."""
    published = field(protocol.name)
    names = _columns(results, published)
    weighs = ["MB"] if any(result.megabytes for result in results) else []
    table = _table("model", "run by", *(label(name) for name in names), "ms", *weighs, "rule")
    for result in results:
        means = result.means()
        ms = f"{1e3 * result.model_seconds / len(result.rows):.1f}"
        by = f"{result.backend}, {result.precision}"
        scores = (number(name, means.get(name)) for name in names)
        table.add_row(result.model, by, *scores, ms, *(weight(result) for _ in weighs), rule(result, protocol))
    if published:
        table.add_section()
    for row in published:
        step = f", t + {row.step}" if row.step else ""
        shown = (number(name, row.scores.get(name)) for name in names)
        table.add_row(f"{row.model}{step}", "published", *shown, "", *("" for _ in weighs), "", style="dim")
    return table


def weight(result: Result) -> str:
    """Megabytes of the weights, and of the adapters upon them."""
    adapter = f" + {result.adapter_megabytes:.2f}" if result.adapter_megabytes else ""
    return f"{result.megabytes:.1f}{adapter}" if result.megabytes else "-"


def rule(result: Result, protocol: Protocol) -> str:
    """May this row stand beside the published ones? "checked" may; "in part" is of another set of pictures."""
    if result.checked:
        return "checked"
    return "in part" if PROTOCOLS[protocol.name].checked else "-"


def step_table(result: Result) -> Table:
    """Predicting: what papers print for t + n, the mean over the steps up to n."""
    names = list(result.means())
    table = _table(f"{result.model}, means up to", *(label(name) for name in names))
    for t, means in result.running().items():
        table.add_row(f"t + {t:g}", *(number(name, means.get(name)) for name in names))
    return table


def group_table(results: Sequence[Result]) -> Table:
    """A row a group, the first metric of every model, and the means."""
    metric = next(iter(results[0].means()))
    table = _table(label(metric), "pictures", *(_who(result, results) for result in results))
    for group in results[0].groups():
        count = sum(row.group == group for row in results[0].rows)
        table.add_row(group, str(count), *(number(metric, result.means(group).get(metric)) for result in results))
    table.add_section()
    every = (number(metric, result.means().get(metric)) for result in results)
    table.add_row("mean of all", str(len(results[0].rows)), *every)
    return table


def lost_table(results: Sequence[Result]) -> Table:
    """What each way to run a model changes, against torch in fp32: in the mean, and at the worst picture."""
    names = list(results[0].means())
    table = _table("against torch, fp32", "run by", *(f"{label(name)} (worst)" for name in names), "time")
    for result in results:
        base = next(other for other in results if other.model == result.model)
        if result is base:
            continue
        table.add_row(
            result.model,
            f"{result.backend}, {result.precision}",
            *(_change(name, result, base) for name in names),
            f"{result.model_seconds / base.model_seconds:.2f}x",
        )
    return table


def _change(name: str, result: Result, base: Result) -> str:
    theirs = {(row.name, row.place): row.scores[name] for row in base.rows if name in row.scores}
    pairs = [(row.scores[name], theirs.get((row.name, row.place))) for row in result.rows if name in row.scores]
    changes = [ours - other for ours, other in pairs if other is not None]
    if not changes:
        return "-"
    digits = METRICS[name].digits + 1 if name in METRICS else 4
    is_lower_better = name not in METRICS or METRICS[name].better == "lower"
    worst = max(changes) if is_lower_better else min(changes)
    return f"{sum(changes) / len(changes):+.{digits}f} ({worst:+.{digits}f})"


def label(name: str) -> str:
    """What stands over a column; every variant of SSIM by its name."""
    if name in METRICS:
        unit = f", {METRICS[name].unit}" if METRICS[name].unit else ""
        return f"{METRICS[name].label}{unit}"
    return {"epe": "EPE, px", "ssim": "SSIM, variant unknown"}.get(name, name)


def number(name: str, value: float | None) -> str:
    """A value as its metric is printed, or -."""
    if value is None:
        return "-"
    return f"{value:.{DIGITS.get(name) or (METRICS[name].digits if name in METRICS else 4)}f}"


def _columns(results: Sequence[Result], published: Sequence[Published]) -> list[str]:
    names = dict.fromkeys(name for result in results for name in result.means())
    return list(names | dict.fromkeys(name for row in published for name in row.scores))


def _who(result: Result, results: Sequence[Result]) -> str:
    is_alone = sum(other.model == result.model for other in results) == 1
    return result.model if is_alone else f"{result.model}, {result.backend} {result.precision}"


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first, no_wrap=True)
    for title in others:
        table.add_column(title, justify="left" if title in {"run by", "rule"} else "right", no_wrap=True)
    return table
