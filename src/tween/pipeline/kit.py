"""Models that are loaded and backends that are prepared, kept for the next render of the same kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from ..backends import prepare, wrappers
from ..backends.backend import Backend
from ..models import adapters, zoo
from ..models.model import Model
from .config import PredictConfig, RenderConfig
from .journal import identity

MOST = 4  # backends that are kept: one for each size of picture


class Kit:
    """What one process renders with. Ask it again for the same, and nothing is loaded anew."""

    def __init__(self) -> None:
        self._models: dict[tuple[object, ...], Model] = {}
        self._backends: dict[tuple[object, ...], Backend] = {}

    def model(
        self,
        name: str,
        scale: float = 1.0,
        progress: Callable[[int, int | None], None] | None = None,
        lora: tuple[str, ...] = (),
    ) -> Model:
        """A model with its weights, and the adapters that it wears; raises as `zoo.load` does."""
        key = (name, scale, *worn(lora))
        if key not in self._models:
            self._models[key] = zoo.load(name, scale=scale, lora=lora, progress=progress)
        return self._models[key]

    def backend(
        self,
        config: RenderConfig | PredictConfig,
        size: tuple[int, int],
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Backend:
        """What runs `config`'s model on frames of `size` (H, W); raises as `zoo.load` and `prepare.prepare` do."""
        name = model_name(config)
        how = (config.scale, size, config.backend, config.device, config.precision, config.tile, config.tta)
        key = (name, *how, *worn(config.lora))
        if key not in self._backends:
            while len(self._backends) >= MOST:
                del self._backends[next(iter(self._backends))]
            self._backends[key] = _made(self.model(name, config.scale, progress, config.lora), name, config, size)
        return self._backends[key]


def model_name(config: RenderConfig | PredictConfig) -> str:
    """The model that is asked for; what `default` stands for is up to the task, or to what it is to wear."""
    if config.model != "default":
        return config.model
    if config.lora and (base := adapters.made_for(config.lora)):
        return base
    return zoo.DEFAULT_PREDICTOR if isinstance(config, PredictConfig) else zoo.DEFAULT


def worn(lora: tuple[str, ...]) -> tuple[str, ...]:
    """Adapters and their strengths, so that a file with other contents is another one."""
    return tuple(f"{path} ({identity(path)}) x {weight:g}" for path, weight in adapters.mix_of(lora) if path.is_file())


def _made(model: Model, name: str, config: RenderConfig | PredictConfig, size: tuple[int, int]) -> Backend:
    family = prepare.family(model)
    many = isinstance(config, RenderConfig)  # a prediction waits for the one before

    def made(size: tuple[int, int]) -> Backend:
        return prepare.prepare(
            model,
            size,
            backend=config.backend,
            device=config.device,
            precision=config.precision,
            label=Path(name).stem,
            at_once=wrappers.most_at_once(family, size, torch.get_num_threads()) if many else 1,
        )

    return wrappers.wrapped(made, size, model.spec, family=family, tile=config.tile, tta=config.tta)
