"""A loaded model as a program uses it: two pictures in, the picture between them out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..backends import prepare
from ..backends.backend import Backend
from ..errors import BadOption, UnknownTime
from ..frame import Frame
from ..models import zoo
from ..models.model import Model, Spec
from ..ops.canvas import Canvas
from ..timeline import Timeline
from ..video.cuts import CutDetector
from ..video.doors import open_source
from ..video.stream import FrameSource
from .interpolator import CutPolicy, Interpolator

Picture = TypeVar("Picture", "np.ndarray[Any, Any]", Tensor)


class Tweener:
    """A model, ready to run. Backends are prepared for a size when it is first met, and kept.

    Attributes:
        name: as it was asked for.
        spec: what the model needs and can do.
    """

    def __init__(self, model: Model, name: str, *, backend: str, device: str, precision: str) -> None:
        self.model, self.name, self.spec = model, name, model.spec
        self._choice: dict[str, Any] = {"backend": backend, "device": device, "precision": precision}
        self._backends: dict[tuple[int, int], Backend] = {}

    def __repr__(self) -> str:
        return f"<tween model {self.name}, context {self.spec.context}>"

    def backend_for(self, size: tuple[int, int]) -> Backend:
        """The backend for frames of `size` (H, W)."""
        if size not in self._backends:
            self._backends[size] = prepare.prepare(self.model, size, label=Path(self.name).stem, **self._choice)
        return self._backends[size]

    def between(self, a: Picture, b: Picture, t: float = 0.5) -> Picture:
        """The picture at `t` between `a` (0) and `b` (1).

        A model with a longer context sees `a` and `b` repeated to its ends.

        Args:
            a, b: both numpy `[H, W, 3]`, or both torch `[3, H, W]`; uint8, or uint16 over its full range.
            t: in [0, 1].

        Returns:
            The same kind, shape and dtype.

        Raises:
            BadOption: the pictures differ in kind or shape, or t is outside.
            UnknownTime: the model knows only the middle, or predicts instead.
        """
        spec = self.spec
        first, second = _as_frame(a), _as_frame(b)
        if type(a) is not type(b) or first.data.shape != second.data.shape or first.data.dtype != second.data.dtype:
            raise BadOption(f"{_kind(a)} and {_kind(b)}", "two pictures of the same kind, size and depth are needed")
        if not 0 <= t <= 1:
            raise BadOption(f"t = {t}", "t lies between 0 (the first picture) and 1 (the second)")
        if spec.predicts or not (spec.any_time or t == 0.5):
            raise UnknownTime(f"t = {t}", f"{self.name} knows only {_known(spec)}")
        canvas = Canvas(first.size, spec.multiple)
        backend = self.backend_for(first.size)
        near, far = (backend.embed(canvas.enter(frame)) for frame in (first, second))
        scene = backend.relate([near if k <= 0 else far for k in spec.context])
        shown = canvas.leave(backend.render(scene, torch.tensor([float(t)])), Fraction(0), like=first)
        return _like(shown.data, a)


def load(
    model: str | Path,
    *,
    name: str | None = None,
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    scale: float = 1.0,
    lora: str | Path | Sequence[str | Path] = (),
) -> Tweener:
    """A model by its name (`ifrnet-s@tween`) or from a file of weights.

    Args:
        model: a name of `tween models`, `default`, or a path.
        name: the network a file is of, where its keys cannot tell.
        backend, device, precision: what runs it; "auto" takes what measured fastest.
        scale: estimate motion at this size, with networks that can.
        lora: adapters that it wears, as `FILE` or `FILE:WEIGHT`.

    Raises:
        UnknownModel, NoWeights, BadWeights, BadOption: as they say.
    """
    asked = zoo.DEFAULT if str(model) == "default" else str(model)
    worn = (lora,) if isinstance(lora, (str, Path)) else tuple(lora)
    loaded = zoo.load(asked, name=name, scale=scale, lora=worn)
    return Tweener(loaded, asked, backend=backend, device=device, precision=precision)


def stream(
    source: str | Path | FrameSource | Iterable[Frame],
    model: Tweener,
    timeline: Timeline,
    *,
    cuts: CutPolicy = "hold",
) -> Iterator[Frame]:
    """Frames of `timeline` over a video, one by one, as they are rendered.

    Args:
        source: a path, an open FrameSource, or frames in order of pts.
        model: from `load`.
        timeline: Times, Rate or Slow.
        cuts: what is shown at a scene cut.
    """
    with ExitStack() as stack:
        frames: Iterable[Frame] = stack.enter_context(open_source(source)) if isinstance(source, str | Path) else source
        feed = iter(frames)
        first = next(feed, None)
        if first is None:
            return
        backend = model.backend_for(first.size)
        yield from Interpolator(backend, timeline, CutDetector(), at_cut=cuts)(_again(first, feed))


def _again(first: Frame, rest: Iterator[Frame]) -> Iterator[Frame]:
    yield first
    yield from rest


def _as_frame(picture: Any) -> Frame:
    if isinstance(picture, np.ndarray) and picture.ndim == 3 and picture.shape[2] == 3:
        data = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).contiguous()
    elif isinstance(picture, Tensor) and picture.ndim == 3 and picture.shape[0] == 3:
        data = picture.cpu()
    else:
        raise BadOption(f"a picture that is {_kind(picture)}", "numpy [H, W, 3] or torch [3, H, W] is needed")
    if data.dtype not in (torch.uint8, torch.uint16):
        raise BadOption(f"a picture that is {_kind(picture)}", "uint8, or uint16 over its full range, is needed")
    return Frame(data, Fraction(0))


def _like(data: Tensor, picture: Picture) -> Picture:
    if isinstance(picture, np.ndarray):
        return np.ascontiguousarray(data.permute(1, 2, 0).numpy())
    return data.to(picture.device)


def _kind(picture: Any) -> str:
    shape = list(getattr(picture, "shape", []))
    return f"{type(picture).__module__.split('.')[0]} {getattr(picture, 'dtype', type(picture).__name__)} {shape}"


def _known(spec: Spec) -> str:
    return "the future (`tween predict`)" if spec.predicts else "the middle, t = 0.5"
