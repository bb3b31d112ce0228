"""What is wanted live -> a LiveRun, with its models loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final, Literal

import torch

from ..backends import prepare
from ..backends.backend import Backend
from ..errors import BadOption, Conflict, UnknownTime
from ..models import zoo
from ..models.model import Model
from .ladder import Rung, rungs
from .live import LiveRun
from .pace import Clock, now

DEFAULT: Final = "dis-fast"  # what `default` stands for where pictures cannot wait
DEFAULT_AHEAD: Final = "dis-ahead"  # the same, where the future is asked for


@dataclass(frozen=True)
class LiveConfig:
    """What decides how a live run looks.

    Attributes:
        model: a name of the zoo, a file of weights, or "default": dis-fast, or what predicts by default.
        predict: show the time after the newest frame.
        rate: pictures a second; None takes twice the source's, or, predicting, the source's own.
        scale: work on pictures of this size, 0 < scale <= 1.
        hold_rate: let scale and model step down by themselves.
        cuts: "off" looks for none.
        backend, device, precision: as for `prepare`.
    """

    model: str = "default"
    predict: bool = False
    rate: Fraction | None = None
    scale: Fraction = field(default=Fraction(1))
    hold_rate: bool = False
    cuts: Literal["hold", "off"] = "hold"
    backend: str = "auto"
    device: str = "auto"
    precision: str = "auto"


def live_run(
    config: LiveConfig,
    *,
    source_rate: Fraction,
    say: Callable[[str], None] | None = None,
    clock: Clock = now,
) -> LiveRun:
    """A run that waits for frames: use it in a `with` block, which starts its thread and ends it.

    For a classic model it sets torch's threads to one, in this process: beside other work two made 5 fps of 42.

    Args:
        source_rate: frames a second that will be pushed, about.
        say: told in words when the model or the size changes; from the worker's thread.

    Raises:
        UnknownModel, NoWeights, BadWeights, MissingPackage: of the model, as they say.
        UnknownTime: the model knows nothing of the instants that are wanted.
        BadOption: a scale that is not above 0 and at most 1.
    """
    if not 0 < config.scale <= 1:
        raise BadOption(f"--scale {float(config.scale):g}", "more than 0 and at most 1 is needed", "--scale 0.5")
    models = Models(config)
    name = models.name
    if not prepare.is_network(models.load(name)):
        torch.set_num_threads(1)  # OpenCV does the work; torch's threads would only wait for each other, and busily
    rate = config.rate or source_rate * (1 if config.predict else 2)
    check(models.load(name), name, rate=rate, source_rate=source_rate, predict=config.predict)
    return LiveRun(
        models.build,
        rungs(name, config.scale, predicts=config.predict) if config.hold_rate else (Rung(name, config.scale),),
        rate=rate,
        source_rate=source_rate,
        predict=config.predict,
        hold_rate=config.hold_rate,
        cuts=config.cuts != "off",
        say=say,
        clock=clock,
    )


class Models:
    """The models of a ladder: each is loaded once, and prepared for every size it is wanted at."""

    def __init__(self, config: LiveConfig) -> None:
        self._config = config
        default = DEFAULT_AHEAD if config.predict else DEFAULT
        self.name = default if config.model == "default" else config.model
        self._loaded: dict[str, Model] = {}

    def load(self, name: str) -> Model:
        """The model, loaded at the first call."""
        if name not in self._loaded:
            self._loaded[name] = zoo.load(name)
        return self._loaded[name]

    def build(self, rung: Rung, size: tuple[int, int]) -> Backend:
        """What runs a rung on pictures of `size`. What was asked for of the backend holds for the model that was
        asked for; the cheaper ones, which have nothing to compile or to cast, take what suits them."""
        model, config = self.load(rung.model), self._config
        if rung.model != self.name:
            return prepare.prepare(model, size, label=rung.model)
        return prepare.prepare(
            model,
            size,
            backend=config.backend,
            device=config.device,
            precision=config.precision,
            label=Path(rung.model).stem,
        )


def check(model: Model, name: str, *, rate: Fraction, source_rate: Fraction, predict: bool) -> None:
    """Raise what `live_run` says of a model that cannot show what is wanted."""
    spec = model.spec
    if spec.predicts and not predict:
        raise UnknownTime(f"{name} predicts", "it knows nothing between two frames", "--predict")
    if predict and not spec.predicts:
        raise UnknownTime(
            f"{name} looks at {spec.context}", "to predict, a context must end at 0, the newest frame", "--model ifrvp"
        )
    only = source_rate * (1 if predict else 2)
    if not spec.any_time and rate != only:
        known = "one whole frame ahead" if predict else "only the middle of a gap"
        raise Conflict(
            f"{float(rate):g} pictures a second of {float(source_rate):g}", f"{name} knows {known}", f"--rate {only}"
        )
