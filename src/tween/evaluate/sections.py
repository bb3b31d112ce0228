"""An evaluation as tables and charts, in HTML: the parts of a report that need no picture."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from itertools import combinations
from typing import Final

from ..metrics.table import METRICS
from . import charts
from .charts import Point
from .published import field
from .result import Result, Row, means

MOST_ROWS: Final = 1500  # of single pictures, all models together
MOST_GROUPS: Final = 1000
MOST_POINTS: Final = 1200  # of one scatter
MOST_LINES: Final = 24  # of one chart of groups
MOST_PAIRS: Final = 6  # of models against one another
MOST_TIMES: Final = 64


def metrics_of(results: Sequence[Result]) -> list[str]:
    """Every metric that a row has, in the order of the first that has it."""
    return list(dict.fromkeys(name for result in results for row in result.rows for name in row.scores))


def metric_name(metric: str) -> str:
    """A metric as people call it: "PSNR"."""
    return METRICS[metric].label if metric in METRICS else metric


def label_of(metric: str) -> str:
    """A metric as a column's name, with its unit: "PSNR, dB"."""
    unit = unit_of(metric)
    return f"{metric_name(metric)}, {unit}" if unit else metric_name(metric)


def unit_of(metric: str) -> str:
    """Of a metric's values, or ""."""
    return METRICS[metric].unit if metric in METRICS else ""


def number(metric: str, value: float) -> str:
    """A value with as many digits as its metric has."""
    return f"{value:.{METRICS[metric].digits if metric in METRICS else 4}f}"


def score_words(metric: str, value: float) -> str:
    """`PSNR <b>31.20</b> dB`."""
    return f"{escape(metric_name(metric))} <b>{number(metric, value)}</b> {escape(unit_of(metric))}".rstrip()


def duration(seconds: float) -> str:
    """`12.3 s`, `4 min 10 s`."""
    return f"{seconds:.1f} s" if seconds < 120 else f"{int(seconds) // 60} min {int(seconds) % 60} s"


def is_better_high(metric: str) -> bool:
    """True unless the metric is known to be an error."""
    return metric not in METRICS or METRICS[metric].better == "higher"


def worth(metric: str, value: float) -> float:
    """A value such that higher is better, and that what is no number is the worst there is."""
    if math.isnan(value):
        return -math.inf
    return value if is_better_high(metric) else -value


def best(metric: str, values: Sequence[float]) -> float | None:
    """The best of several values; None where there is nothing to choose from."""
    finite = [value for value in values if math.isfinite(value)]
    return max(finite, key=lambda value: worth(metric, value)) if len(finite) > 1 else None


def leader(results: Sequence[Result], labels: Sequence[str]) -> tuple[str, str] | None:
    """(what it is, value) of the best mean by the first metric."""
    metric = next(iter(metrics_of(results)), None)
    if metric is None:
        return None
    found = [(result.means().get(metric, math.nan), label) for result, label in zip(results, labels, strict=True)]
    value, label = max(found, key=lambda pair: worth(metric, pair[0]))
    whose = f", {label}" if len(results) > 1 else ""
    return f"{metric_name(metric)}, mean{whose}", f"{number(metric, value)} {unit_of(metric)}".rstrip()


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that sorts.

    Args:
        rows: the first of each is text, its name; the others are cells, HTML.
    """
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in heads)
    body = []
    for name, *cells in rows:
        shown = escape(name)
        body.append(f'<tr><th scope=row title="{shown}">{shown}</th>{"".join(cells)}</tr>')
    return (
        f'<div class="card wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table class="sorts">'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def cell(metric: str, value: float | None, top: float | None = None) -> str:
    """A score as a cell, strong where it is the best."""
    if value is None:
        return '<td data-v="nan">-</td>'
    strong = ' class="top"' if value == top else ""
    return f'<td{strong} data-v="{value:.8g}">{number(metric, value)}</td>'


def means_section(results: Sequence[Result], labels: Sequence[str]) -> str:
    """One row a model."""
    metrics = metrics_of(results)
    found = [result.means() for result in results]
    tops = {metric: best(metric, [scores[metric] for scores in found if metric in scores]) for metric in metrics}
    rows = []
    for result, label, scores in zip(results, labels, found, strict=True):
        cells = [cell(metric, scores.get(metric), tops[metric]) for metric in metrics]
        ran = f"<td>{escape(result.backend)}</td><td>{escape(result.precision)}</td>"
        rows.append([label, *cells, f'<td data-v="{len(result.rows)}">{len(result.rows):,}</td>', ran])
    caption = "Plain means over all pictures." if metrics else "Nothing was scored."
    heads = ["model", *map(label_of, metrics), "pictures", "backend", "precision"]
    about = [
        f'<p class="soft">{escape(f"{METRICS[m].label}: {METRICS[m].about}; {METRICS[m].better} is better.")}</p>'
        for m in metrics
        if m in METRICS
    ]
    return table(caption, heads, rows) + "".join(about)


def published_section(results: Sequence[Result]) -> str:
    """What others print for the same protocol, as they print it; "" where nothing is known."""
    rows = [row for name in dict.fromkeys(result.protocol for result in results) for row in field(name)]
    if not rows:
        return ""
    metrics = list(dict.fromkeys(metric for row in rows for metric in row.scores))
    listed = []
    for row in rows:
        name = f"{row.model}, t + {row.step}" if row.step else row.model
        cells = [cell(metric, row.scores.get(metric)) for metric in metrics]
        listed.append([name, *cells, f"<td>{escape(row.source)}</td>"])
    is_checked = all(result.checked for result in results)
    how = "Our protocol was held against theirs" if is_checked else "Our protocol was not held against theirs in full"
    told = f"Copied, not measured here. {how}."
    return table(told, ["published", *map(label_of, metrics), "source"], listed)


def times_section(results: Sequence[Result], labels: Sequence[str]) -> str:
    """Means at each t where there is more than one; of a prediction the running means."""
    metrics = metrics_of(results)
    times = sorted({row.t for result in results for row in result.rows})
    if not 2 <= len(times) <= MOST_TIMES:
        return ""
    found = [result.running() if result.is_prediction else result.steps() for result in results]
    rows, series = [], {}
    for label, steps in zip(labels, found, strict=True):
        series[label] = {t: scores.get(metrics[0], math.nan) for t, scores in steps.items()}
        for t, scores in steps.items():
            rows.append([f"{label}, t = {t:.4g}", *(cell(metric, scores.get(metric)) for metric in metrics)])
    told = "Means at each instant of the gap."
    if any(result.is_prediction for result in results):
        told = "Running means, over all steps up to t, as papers on prediction print them."
    first = label_of(metrics[0])
    drawing = charts.curves(series, title=f"{first} at each t", x_label="t, gaps", y_label=first)
    listed = table(told, ["at", *map(label_of, metrics)], rows)
    return f'{charts.legend(labels)}<div class="charts">{_card("", drawing)}{listed}</div>'


def charts_section(results: Sequence[Result], labels: Sequence[str]) -> str:
    """How scores spread, group by group, and model against model, by the first metric."""
    metric = next(iter(metrics_of(results)), None)
    if metric is None:
        return ""
    cards = [_spread(results, labels, metric), _by_group(results, labels, metric)]
    pairs = list(combinations(range(len(results)), 2))[:MOST_PAIRS]
    cards += [_against(results, labels, first, second, metric) for first, second in pairs]
    return f'{charts.legend(labels)}<div class="charts">{"".join(cards)}</div>'


def _spread(results: Sequence[Result], labels: Sequence[str], metric: str) -> str:
    values = {
        label: [row.scores[metric] for row in result.rows if metric in row.scores]
        for result, label in zip(results, labels, strict=True)
    }
    title = f"Histogram: {label_of(metric)} of each picture"
    return _card("How scores spread", charts.histogram(values, title=title, unit=label_of(metric)))


def _by_group(results: Sequence[Result], labels: Sequence[str], metric: str) -> str:
    found = [_means_by_group(result) for result in results]
    names = dict.fromkeys(name for by_group in found for name in by_group)
    groups = {name: [by_group.get(name, {}).get(metric, math.nan) for by_group in found] for name in names}
    if len(groups) < 2:
        return ""
    worst = sorted(groups, key=lambda name: worth(metric, groups[name][0]))[:MOST_LINES]
    note = f"The worst {len(worst)} of {len(groups)}; the table has them all." if len(groups) > len(worst) else ""
    title = f"Mean {label_of(metric)} of each group, the worst of {labels[0]} first"
    shown = {name: groups[name] for name in worst}
    return _card("Group by group", charts.dots(shown, labels, title=title, unit=label_of(metric)), note)


def _against(results: Sequence[Result], labels: Sequence[str], first: int, second: int, metric: str) -> str:
    across, up = ({_place(row): row.scores.get(metric, math.nan) for row in results[k].rows} for k in (first, second))
    both = [(place, across[place], up[place]) for place in across if place in up]
    wins = sum(worth(metric, b) > worth(metric, a) for _, a, b in both)
    step = max(1, -(-len(both) // MOST_POINTS))
    points = [
        Point(a, b, second, f"{name}, frame {place}: {a:.4g} and {b:.4g}") for (name, place, _), a, b in both[::step]
    ]
    one, other, unit = labels[first], labels[second], label_of(metric)
    drawing = charts.scatter(
        points,
        title=f"{other} (up) against {one} (across), {unit} of each picture",
        x_label=f"{one}: {unit}",
        y_label=f"{other}: {unit}",
        is_square=True,
    )
    note = f"{other} is better on {wins} of {len(both)} pictures."
    return _card(f"{other} against {one}", drawing, f"{note} One point in {step} is drawn." if step > 1 else note)


def _place(row: Row) -> tuple[str, int, float]:
    return row.name, row.place, row.t


def _card(title: str, drawing: str, note: str = "") -> str:
    head = f"<h3>{escape(title)}</h3>" if title else ""
    foot = f'<p class="soft">{escape(note)}</p>' if note else ""
    return f'<div class="card">{head}{drawing}{foot}</div>'


def _means_by_group(result: Result) -> Mapping[str, dict[str, float]]:
    """As `Result.means` of each group, in one pass."""
    rows: dict[str, list[Row]] = {}
    for row in result.rows:
        rows.setdefault(row.group, []).append(row)
    return {name: means(found) for name, found in rows.items()}


def groups_section(results: Sequence[Result], labels: Sequence[str]) -> str:
    """One row a group, one column a model and metric."""
    metrics = metrics_of(results)
    found = [_means_by_group(result) for result in results]
    names = list(dict.fromkeys(name for by_group in found for name in by_group))
    if len(names) < 2:
        return ""
    counts = Counter(row.group for row in max(results, key=lambda result: len(result.rows)).rows)
    rows = []
    for name in names[:MOST_GROUPS]:
        cells = []
        for metric in metrics:
            values = [by_group.get(name, {}).get(metric) for by_group in found]
            top = best(metric, [value for value in values if value is not None])
            cells += [cell(metric, value, top) for value in values]
        rows.append([name, *cells, f"<td>{counts[name]}</td>"])
    columns = [label_of(m) + (f" ({label})" if len(labels) > 1 else "") for m in metrics for label in labels]
    left = len(names) - len(rows)
    caption = f"Means of {len(names)} groups{f'; {left} are left out here' if left else ''}."
    return table(caption, ["group", *columns, "pictures"], rows)


def rows_section(results: Sequence[Result], labels: Sequence[str]) -> str:
    """Single pictures, the worst first, folded away."""
    metrics = metrics_of(results)
    if not metrics:
        return ""
    share = max(1, MOST_ROWS // len(results))
    parts = []
    for result, label in zip(results, labels, strict=True):
        rows = sorted(result.rows, key=lambda row: worth(metrics[0], row.scores.get(metrics[0], math.nan)))
        listed = [
            [f"{row.name}, frame {row.place}", f"<td>{row.t:.4g}</td>", *(cell(m, row.scores.get(m)) for m in metrics)]
            for row in rows[:share]
        ]
        left = len(rows) - len(listed)
        caption = f"{label}, the worst first{f'; {left} better ones are left out' if left else ''}."
        shown = table(caption, ["picture", "t", *map(label_of, metrics)], listed)
        words = f"{label}: {len(listed)} pictures"
        parts.append(f"<details><summary>{escape(words)}</summary>{shown}</details>")
    return "".join(parts)
