"""tween: given frames at some times, show the frame at another.

    import tween

    tween.interpolate("in.mp4", "out.mp4", rate=60)

    model = tween.load("dis")
    middle = model.between(a, b, t=0.5)          # numpy [H, W, 3] or torch [3, H, W] in, the same kind out

    for frame in tween.stream("in.mp4", model, tween.Times(4)):
        ...

Importing this imports no torch; the first call does.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .curve import Curve
from .errors import TweenError
from .timeline import Rate, Slow, Times

if TYPE_CHECKING:
    from .frame import Frame
    from .pipeline.face import Tweener, load, stream
    from .pipeline.recipe import Report

__version__ = "0.1.0"
__all__ = ["Curve", "Frame", "Rate", "Slow", "Times", "TweenError", "Tweener", "interpolate", "load", "stream"]

_LAZY = {"load": "pipeline.face", "stream": "pipeline.face", "Tweener": "pipeline.face", "Frame": "frame"}


def interpolate(
    input: str | Path,
    output: str | Path | None = None,
    *,
    rate: int | float | str | Fraction | None = None,
    times: int | None = None,
    slow: int | float | str | Fraction | None = None,
    curve: str | Path | None = None,
    **options: Any,
) -> Report:
    """Render a video with more frames. Exactly one of `rate`, `times`, `slow` and `curve` says which; `rate` may stand
    beside one of the last two.

    Args:
        input: a video file, or a folder of pictures.
        output: where to write; None names it after the input.
        rate: frames a second of the output.
        times: this many frames for each one.
        slow: slow motion by this factor.
        curve: a file of keyframes for speed ramps.
        options: any other field of `tween.pipeline.config.RenderConfig`: model, backend, codec, crf, overwrite, ...

    Returns:
        What was done: frames, speed, notes.

    Raises:
        TweenError: a mistake that the caller can mend; nothing was written.
        TruncatedInput: the input was damaged; what could be read was rendered, and the output is kept.
    """
    from .pipeline.recipe import RenderConfig, render

    def text(value: object) -> str | None:
        return None if value is None else str(value)

    ramp = None if curve is None else Path(curve)
    where = None if output is None else Path(output)
    wanted: dict[str, Any] = {"rate": text(rate), "times": times, "slow": text(slow), "curve": ramp}
    report = render(RenderConfig(Path(input), where, **wanted, **options))
    if report.damage is not None:
        raise report.damage
    return report


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
