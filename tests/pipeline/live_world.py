"""A world for live runs: a clock that only a test moves, a camera, a viewer, and a model that takes its time."""

from collections.abc import Callable
from fractions import Fraction

import torch

from tween.frame import Frame
from tween.models.model import Spec
from tween.pipeline.ladder import Rung
from tween.pipeline.live import LiveRun, Shown

STEP = Fraction(1, 1000)


def moving(k: int, size=(16, 24)) -> torch.Tensor:
    """Picture k of a texture that wanders, uint8 `[3, H, W]`; no two neighbours are equal."""
    line = torch.arange(size[1]).repeat(size[0], 1)
    return torch.stack([(line * 7 + 3 * k + 20 * c) % 256 for c in range(3)]).byte()


class Working:
    """A backend that blends, and takes `cost(pixels)` seconds of the world's time for each picture."""

    name, device, precision = "test", "cpu", "fp32"

    def __init__(self, world: "World", cost: Callable[[int], Fraction], spec: Spec) -> None:
        self.world, self.cost, self.spec, self.rendered = world, cost, spec, 0

    def embed(self, frame):
        return frame

    def relate(self, context):
        return context

    def render(self, scene, t):
        self.rendered += 1
        self.world.pass_by(self.cost(scene[0][0, 0].numel()))
        if self.spec.predicts:
            return scene[-1]
        return scene[0].lerp(scene[-1], float(t[0]))


class World:
    """Everything but the run. While the model works, time goes on: the camera gives, the viewer takes."""

    def __init__(self, *, cost=lambda _: Fraction(0), source_rate=30, spec=None, picture=moving, **options) -> None:
        self.time, self.cost, self.picture, self.frames = Fraction(1000), cost, picture, 0
        self.source_rate, self.spec = Fraction(source_rate), spec or Spec(context=(0, 1))
        self.shown: list[tuple[Fraction, Shown]] = []
        self.said: list[str] = []
        self.backends: list[Working] = []
        self.begun = self.time
        self.run = LiveRun(
            self.build,
            options.pop("rungs", (Rung("test", Fraction(1)),)),
            rate=options.pop("rate", self.source_rate * (1 if self.spec.predicts else 2)),
            source_rate=self.source_rate,
            predict=self.spec.predicts,
            say=self.said.append,
            clock=lambda: self.time,
            **options,
        )

    def build(self, _rung, _size):
        self.backends.append(Working(self, lambda pixels: self.cost(pixels), self.spec))
        return self.backends[-1]

    def pass_by(self, seconds: Fraction) -> None:
        """Time passes, in steps; the camera and the viewer do what they do."""
        until = self.time + seconds
        while self.time < until:
            self.time = min(until, self.time + STEP)
            if self.time >= self.begun + self.frames / self.source_rate:
                self.run.push(Frame(self.picture(self.frames), self.frames / self.source_rate))
                self.frames += 1
            shown = self.run.take()
            if shown is not None:
                self.run.showed(shown)
                self.shown.append((self.time, shown))

    def live(self, seconds: float) -> None:
        """Work whenever there is work, for so long."""
        until = self.time + Fraction(seconds)
        while self.time < until:
            if self.run._stage.building is not None:  # on a thread of the real world, whose time is not ours
                self.run._stage.building.exception(timeout=30)
            if not self.run.work():
                self.pass_by(STEP)
