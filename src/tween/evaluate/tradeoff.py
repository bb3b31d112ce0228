"""Quality against speed: what `tween evaluate --json` and `tween bench` found, in one picture."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import BadOption, MissingFile
from . import charts
from .charts import Point
from .speed import SpeedRow


def quality_of(path: Path, metric: str = "psnr") -> dict[str, float]:
    """Model -> mean score, of a file that `tween evaluate --json` wrote: one result, or several in a list.

    Raises:
        MissingFile: it is not there. BadOption: it holds no such score.
    """
    if not path.is_file():
        raise MissingFile(f"{path} is not there", "a file of `tween evaluate --json` is needed")
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise BadOption(
            f"--quality {path} is no JSON ({error})", "a file of `tween evaluate --json` is needed"
        ) from error
    found = {}
    for result in _results(content):
        score = result.get(metric, (result.get("means") or {}).get(metric))
        if isinstance(score, int | float) and math.isfinite(score) and isinstance(result.get("model"), str):
            found[Path(result["model"]).name] = float(score)
    if not found:
        need = "an object, or a list of objects, with `model` and `psnr` is needed"
        raise BadOption(f"--quality {path} holds no {metric} of a model", need, "tween evaluate MODEL ... --json FILE")
    return found


def _results(content: Any) -> Iterable[dict[str, Any]]:
    """The results in any of the forms that they are kept in."""
    if isinstance(content, list):
        for one in content:
            yield from _results(one)
    elif isinstance(content, dict):
        if "model" in content:
            yield content
        for key in ("results", "models"):
            yield from _results(content.get(key))


def plot(rows: Sequence[SpeedRow], quality: dict[str, float], *, size: tuple[int, int]) -> str:
    """An SVG file's text: milliseconds of a gap to the right, dB upwards; best is up and left.

    Raises:
        BadOption: no model has both a speed and a quality.
    """
    timed = [row for row in rows if row.model in quality]
    if not timed:
        got = (
            f"quality is known of {', '.join(quality)}, speed of {', '.join(dict.fromkeys(row.model for row in rows))}"
        )
        raise BadOption(
            got, "a model in both is needed", f"tween bench {next(iter(quality))} --quality FILE --plot FILE"
        )
    engines = list(dict.fromkeys(f"{row.backend} {row.precision}" for row in timed))
    points = [
        Point(row.ms, quality[row.model], engines.index(f"{row.backend} {row.precision}"), row.model) for row in timed
    ]
    title = f"PSNR against milliseconds a gap, {size[1]}x{size[0]}, x2"
    where = f"ms a gap, x2, {size[1]}x{size[0]}"
    drawn = charts.named(points, engines, title=title, x_label=where, y_label="PSNR, dB")
    return charts.alone(drawn)
