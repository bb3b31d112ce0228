"""Charts as SVG text, drawn for a phone's width so that their words stay readable there.

Every series has a colour and a mark of its own shape, so that no one needs the colours. Inside a page they take the
page's colours; `alone` makes a file of one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final, NamedTuple

WIDTH: Final = 380
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 26, 34
CROWD: Final = 100  # marks of a scatter before they are drawn smaller
LETTER: Final = 6.0  # pixels of a letter, about
COLOURS: Final = 6  # series before colours and shapes begin again


class Point(NamedTuple):
    """One mark: where, of which series, and what it says when asked."""

    x: float
    y: float
    series: int = 0
    words: str = ""


class Axis:
    """Numbers to pixels, and round ticks.

    Args:
        values: what has to fit; what is not finite does not count.
        start, end: pixels at its two ends.
        is_log: True for powers of ten.
    """

    def __init__(self, values: Sequence[float], start: float, end: float, *, is_log: bool = False) -> None:
        self.is_log = is_log
        found = [v for v in values if math.isfinite(v) and (v > 0 or not is_log)]
        low, high = (min(found), max(found)) if found else (0.0, 1.0)
        if is_log:
            low, high = low / 1.3, high * 1.3
        else:
            spare = (high - low) * 0.06 or max(abs(high) * 0.05, 0.5)
            low, high = low - spare, high + spare
        self.low, self.high, self.start, self.end = low, high, start, end

    def at(self, value: float) -> float:
        """Pixels; what lies outside stands at the end."""
        value = min(max(value, self.low), self.high)
        low, high = self.low, self.high
        if self.is_log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round numbers between the ends, ascending."""
        if self.is_log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
            inside = [value for value in found if self.low <= value <= self.high]
            return inside if len(inside) <= most else inside[:: -(-len(inside) // most)]
        rough = (self.high - self.low) / most
        magnitude = 10.0 ** math.floor(math.log10(rough))
        step = next(magnitude * digit for digit in (1, 2, 5, 10) if magnitude * digit >= rough * 0.999)
        first = math.ceil(self.low / step)
        return [k * step for k in range(first, math.floor(self.high / step) + 1)]


def histogram(series: Mapping[str, Sequence[float]], *, title: str, unit: str) -> str:
    """How many pictures came out how well: one outline a series."""
    finite = {name: [v for v in values if math.isfinite(v)] for name, values in series.items()}
    everything = [v for values in finite.values() for v in values]
    x = Axis(everything, LEFT, WIDTH - RIGHT)
    bins = min(30, max(8, round(2 * max((len(values) for values in finite.values()), default=0) ** 0.5)))
    height, width = 210, (x.high - x.low) / bins
    counts = {name: [0] * bins for name in finite}
    for name, values in finite.items():
        for value in values:
            counts[name][min(bins - 1, int((value - x.low) / width))] += 1
    y = Axis([0, max((max(c) for c in counts.values()), default=1) or 1], height - BOTTOM, TOP)
    y.low = 0.0
    body = [_grid_x(x, height, unit), _grid_y(y, "pictures")]
    for index, found in enumerate(counts.values()):
        steps = [f"M{x.at(x.low):.1f} {y.at(0):.1f}"]
        for k, count in enumerate(found):
            steps.append(f"V{y.at(count):.1f}H{x.at(x.low + (k + 1) * width):.1f}")
        body.append(f'<path class="area s{index % COLOURS}" d="{"".join(steps)}V{y.at(0):.1f}Z"/>')
    left_out = sum(len(values) for values in series.values()) - len(everything)
    told = f"{title}{f'; {left_out} not finite, left out' if left_out else ''}"
    return svg("\n".join(body), height, told)


def dots(groups: Mapping[str, Sequence[float]], labels: Sequence[str], *, title: str, unit: str) -> str:
    """One line a group, one mark a series on it: what it scored there."""
    left, line, top = 124, 19, 4
    height = top + line * max(1, len(groups)) + BOTTOM
    x = Axis([v for values in groups.values() for v in values], left, WIDTH - RIGHT)
    body = [_grid_x(x, height, unit, top)]
    for row, (group, values) in enumerate(groups.items()):
        y = top + line * (row + 0.5)
        shown = group if len(group) <= 18 else f"{group[:8]}…{group[-9:]}"
        body.append(f'<text class="word" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(shown)}</text>')
        body.append(f'<line class="grid" x1="{left}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        for index, value in enumerate(values):
            if math.isfinite(value):
                words = f"{group}, {labels[index]}: {value:.4g} {unit}"
                body.append(mark(Point(x.at(value), y, index, words)))
    return svg("\n".join(body), height, title)


def scatter(
    points: Sequence[Point], *, title: str, x_label: str, y_label: str, is_log: bool = False, is_square: bool = False
) -> str:
    """Marks over two axes. `is_square`: both axes alike, and the line where they are equal."""
    height = 300
    points = [p for p in points if math.isfinite(p.x) and math.isfinite(p.y)]
    across, up = [p.x for p in points], [p.y for p in points]
    x = Axis(across + up if is_square else across, LEFT, WIDTH - RIGHT, is_log=is_log)
    y = Axis(across + up if is_square else up, height - BOTTOM, TOP)
    body = [_grid_x(x, height, x_label), _grid_y(y, y_label)]
    if is_square:
        ends = (x.at(x.low), x.at(x.high), y.at(y.low), y.at(y.high))
        body.append('<line class="equal" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>'.format(*ends))
    size = 4.5 if len(points) <= CROWD else 2.5
    body += [mark(p._replace(x=x.at(p.x), y=y.at(p.y)), size) for p in points]
    return svg("\n".join(body), height, title)


def named(points: Sequence[Point], kinds: Sequence[str], *, title: str, x_label: str, y_label: str) -> str:
    """As `scatter` over a logarithmic x, each mark with its words beside it, where they cover nobody's.

    Args:
        kinds: what the series are called, told in a corner where there is more than one.
    """
    height = 300
    x = Axis([p.x for p in points], LEFT, WIDTH - RIGHT, is_log=True)
    y = Axis([p.y for p in points], height - BOTTOM, TOP)
    body = [_grid_x(x, height, x_label), _grid_y(y, y_label)]
    placed = [p._replace(x=x.at(p.x), y=y.at(p.y)) for p in points]
    taken = [Area(p.x - 5, p.y - 5, p.x + 5, p.y + 5) for p in placed]
    for p in placed:
        anchor, at, line, area = _beside(p, taken)
        taken.append(area)
        words = f'<text class="word" x="{at:.1f}" y="{line:.1f}" text-anchor="{anchor}">{escape(p.words)}</text>'
        if abs(line - p.y - 4) > 1:
            road = f'x1="{p.x:.1f}" y1="{p.y:.1f}" x2="{at:.1f}" y2="{line - 4:.1f}"'
            body.append(f'<line class="lead" {road}/>')
        body += [mark(p), words]
    right = float(WIDTH - RIGHT)
    for k, kind in reversed(list(enumerate(kinds if len(kinds) > 1 else ()))):
        body.append(f'<text x="{right:.0f}" y="14" text-anchor="end">{escape(kind)}</text>')
        right -= LETTER * len(kind) + 8
        body.append(mark(Point(right, 10, k)))
        right -= 12
    return svg("\n".join(body), height, title)


class Area(NamedTuple):
    """A part of a drawing that is taken, pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Area) -> bool:
        """True if they share a pixel."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def _beside(p: Point, taken: Sequence[Area]) -> tuple[str, float, float, Area]:
    """(anchor, x, y, area) of a mark's words: right of it, left, above, below, and further, wherever there is room."""
    wide, best = LETTER * len(p.words), None
    for away in (0, 11, -11, 22, -22, 33, -33):
        for anchor, at, left in (("start", p.x + 8, p.x + 8), ("end", p.x - 8, p.x - 8 - wide)):
            line = p.y + 4 + away
            area = Area(left, line - 9, left + wide, line + 2)
            is_inside = area.left >= 0 and area.right <= WIDTH and area.top >= TOP - 6
            if is_inside and not any(area.meets(other) for other in taken):
                return anchor, at, line, area
            if best is None and is_inside:
                best = anchor, at, line, area
    return best or ("start", p.x + 8, p.y + 4, Area(p.x + 8, p.y - 5, p.x + 8 + wide, p.y + 6))


def curves(series: Mapping[str, Mapping[float, float]], *, title: str, x_label: str, y_label: str) -> str:
    """One line a series, with a mark at each of its values."""
    height = 210
    x = Axis([at for values in series.values() for at in values], LEFT, WIDTH - RIGHT)
    y = Axis([v for values in series.values() for v in values.values()], height - BOTTOM, TOP)
    body = [_grid_x(x, height, x_label), _grid_y(y, y_label)]
    for index, (name, values) in enumerate(series.items()):
        finite = [(at, v) for at, v in values.items() if math.isfinite(v)]
        road = " ".join(f"{x.at(at):.1f},{y.at(v):.1f}" for at, v in finite)
        body.append(f'<polyline class="road s{index % COLOURS}" points="{road}"/>')
        body += [mark(Point(x.at(at), y.at(v), index, f"{name}, t = {at:g}: {v:.4g}")) for at, v in finite]
    return svg("\n".join(body), height, title)


def mark(point: Point, size: float = 4.5) -> str:
    """A mark in its series' colour and shape, at pixels."""
    x, y, kind = point.x, point.y, point.series % COLOURS
    corners: dict[int, list[tuple[float, float]]] = {
        1: [(-1, -1), (1, -1), (1, 1), (-1, 1)],
        2: [(0, -1.2), (1.2, 0.9), (-1.2, 0.9)],
        3: [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
        4: [(0, 1.2), (1.2, -0.9), (-1.2, -0.9)],
        5: [(-1.3, -0.4), (1.3, -0.4), (1.3, 0.4), (-1.3, 0.4)],
    }
    words = f"<title>{escape(point.words)}</title>" if point.words else ""
    if kind not in corners:
        return f'<circle class="mark s{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{size:g}">{words}</circle>'
    drawn = " ".join(f"{x + size * dx:.1f},{y + size * dy:.1f}" for dx, dy in corners[kind])
    return f'<polygon class="mark s{kind}" points="{drawn}">{words}</polygon>'


def legend(labels: Sequence[str]) -> str:
    """The marks of the series and their names, as HTML."""
    items = [
        f'<li><svg viewBox="0 0 14 14" width="14" height="14" aria-hidden="true">{mark(Point(7, 7, k))}</svg>'
        f"{escape(label)}</li>"
        for k, label in enumerate(labels)
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _grid_x(x: Axis, height: float, label: str, top: float = TOP) -> str:
    parts = []
    for value in x.ticks():
        at = x.at(value)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{height - BOTTOM}"/>')
        parts.append(f'<text x="{at:.1f}" y="{height - BOTTOM + 14}" text-anchor="middle">{value:.6g}</text>')
    middle = (x.start + x.end) / 2
    return "".join(parts) + f'<text x="{middle:.0f}" y="{height - 4}" text-anchor="middle">{escape(label)}</text>'


def _grid_y(y: Axis, label: str) -> str:
    parts = []
    for value in y.ticks(5):
        at = y.at(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:.6g}</text>')
    return "".join(parts) + f'<text x="4" y="14">{escape(label)}</text>'


def svg(body: str, height: float, title: str) -> str:
    """The drawing, with its words for those who do not see it."""
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title)}" '
        f'preserveAspectRatio="xMidYMid meet">\n{body}\n</svg>'
    )


STYLE: Final = """
.chart text { font: 11px system-ui, sans-serif; fill: var(--soft); }
.chart text.word { fill: var(--ink); }
.grid { stroke: var(--line); stroke-width: 1; }
.lead { stroke: var(--soft); stroke-width: .7; }
.equal { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 4 3; }
.mark { stroke: var(--card); stroke-width: .7; fill-opacity: .85; }
.road { fill: none !important; stroke: currentColor; stroke-width: 2; }
.area { fill-opacity: .28; stroke: currentColor; stroke-width: 1.5; }
.s0 { color: var(--s0); fill: var(--s0); } .s1 { color: var(--s1); fill: var(--s1); }
.s2 { color: var(--s2); fill: var(--s2); } .s3 { color: var(--s3); fill: var(--s3); }
.s4 { color: var(--s4); fill: var(--s4); } .s5 { color: var(--s5); fill: var(--s5); }
"""
# Okabe and Ito's colours, which the colour-blind can tell apart; lighter ones where the ground is dark.
LIGHT: Final = """--paper: #f6f5f2; --card: #ffffff; --ink: #1d2024; --soft: #5c636b; --line: #dcdad4;
--accent: #0b5cad;
--s0: #0072b2; --s1: #c05a00; --s2: #007a5a; --s3: #a8437f; --s4: #7a6a00; --s5: #555555;"""
DARK: Final = """--paper: #14161a; --card: #1d2025; --ink: #eceef0; --soft: #a0a8b1; --line: #353a42;
--accent: #7db7f5;
--s0: #56b4e9; --s1: #e69f00; --s2: #2fc79b; --s3: #e08bbd; --s4: #f0e442; --s5: #b8b8b8;"""


def alone(drawing: str) -> str:
    """A drawing as a file of its own: its colours inside, dark where the viewer is."""
    style = (
        f"<style>svg {{ {LIGHT} background: var(--card); }}\n"
        f"@media (prefers-color-scheme: dark) {{ svg {{ {DARK} }} }}\n{STYLE}</style>"
    )
    head, _, rest = drawing.partition(">")
    return f'{head} xmlns="http://www.w3.org/2000/svg">\n{style}{rest}\n'
