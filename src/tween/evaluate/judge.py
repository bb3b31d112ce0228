"""Scores of pictures: the metrics that were asked for, and what each needs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

import torch
from torch import Tensor

from ..backends.backend import Backend
from ..data.clips import Clip
from ..errors import BadOption, near
from ..metrics.table import METRICS, Metric
from ..ops.canvas import Canvas, to_float
from .plan import Gap

CEILING_DB: Final = 100.0  # PSNR of equal pictures, which would be infinite and hide all the others in a mean
FLOW: Final = "epe"  # end-point error of a model's flow, which is no metric of two pictures
Thing = TypeVar("Thing")


class Judge:
    """Metrics by name.

    Args:
        names: of `metrics.table.METRICS`, or `epe`.
        who: the model, for the words of an error. predicts: it shows frames after the neighbours, not between them.

    Raises:
        BadOption: a name that is not known.
        MissingWeights (of metrics): a metric's weights are not at hand; before anything is run.
    """

    def __init__(self, names: Sequence[str], who: str = "", *, predicts: bool = False) -> None:
        known = [*METRICS, FLOW]
        for name in names:
            if name not in known:
                raise BadOption(f"--metrics {name}{near(name, known)}", f"names of {', '.join(known)} are needed")
        self.names, self._who, self._predicts = tuple(names), who, predicts
        self._of_pictures = {name: METRICS[name] for name in names if name != FLOW and METRICS[name].of == "picture"}
        self._of_clips = {name: METRICS[name] for name in names if name != FLOW and METRICS[name].of == "clip"}
        if any(metric.files for metric in self._of_pictures.values()):
            self._try_out()

    def _try_out(self) -> None:
        """Find out now, not after an hour, that weights are missing."""
        blank = torch.zeros(1, 3, 64, 64)
        for metric in self._of_pictures.values():
            if metric.files:
                metric.value(blank, blank)

    def together(self, shown: Iterator[Thing]) -> Iterator[list[Thing]]:
        """What has to be judged at once: a whole gap where a metric looks at motion, else each picture alone."""
        if self._of_clips:
            yield list(shown)
        else:
            yield from ([one] for one in shown)

    def scores(
        self, ours: Sequence[Tensor], truths: Sequence[Tensor], neighbours: tuple[Tensor, Tensor]
    ) -> list[dict[str, float]]:
        """Metric -> value for each picture of a gap, in the order they were asked for.

        Args:
            ours, truths: `[1, 3, H, W]` in [0, 1], in order.
            neighbours: uint8 `[3, H, W]`, the frames that the gap's pictures were shown between; predicting, the last
                two before them.
        """
        pairs = list(zip(ours, truths, strict=True))
        found = [{name: value_of(name, metric, a, b) for name, metric in self._of_pictures.items()} for a, b in pairs]
        for name, metric in self._of_clips.items():
            value = self._of_motion(metric, ours, truths, neighbours)
            found = [{**scores, name: value} for scores in found]
        return [{name: scores[name] for name in self.names if name in scores} for scores in found]

    def _of_motion(
        self, metric: Metric, ours: Sequence[Tensor], truths: Sequence[Tensor], neighbours: tuple[Tensor, Tensor]
    ) -> float:
        """The mean over a gap as it is watched: rendered frames between the neighbours, or after them."""
        before, after = (to_float(frame).unsqueeze(0) for frame in neighbours)
        first, last = ([before, after], []) if self._predicts else ([before], [after])
        shown, real = (torch.cat([*first, *pictures, *last]) for pictures in (ours, truths))
        return float(metric.value(shown, real).mean())

    def of_scene(self, backend: Backend, canvas: Canvas, scene: Any, clip: Clip, gap: Gap) -> dict[str, float]:
        """What is asked of the model's flow rather than of its pictures: `epe`, in pixels.

        Raises:
            BadOption: the model tells no flow, or knows only the middle.
        """
        if FLOW not in self.names:
            return {}
        if not hasattr(backend, "look") or not backend.spec.any_time:
            need = "a model that tells its flow at t = 0 is needed, on torch"
            raise BadOption(f"{FLOW} of {self._who} on {backend.name}", need, "--model dis, or leave epe out")
        motion = getattr(clip, "motion", lambda *_: None)(*gap.neighbours)
        if motion is None:
            return {}
        aux = backend.look(scene, torch.zeros(1)).aux
        if "flow" not in aux:
            raise BadOption(f"{FLOW} of {self._who}", "it tells no flow", "leave epe out")
        seen = canvas.crop(aux["flow"])[0, 2:4].to("cpu", torch.float32)
        error = (seen - motion).square().sum(dim=0).sqrt()
        return {FLOW: float(error[error.isfinite()].mean())}


def value_of(name: str, metric: Metric, ours: Tensor, truth: Tensor) -> float:
    """One value; PSNR stops at `CEILING_DB`."""
    value = float(metric.value(ours, truth))
    return min(value, CEILING_DB) if name.startswith("psnr") and not math.isnan(value) else value
