"""Models that are loaded and backends that are prepared, kept for the next render of the same kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..backends import prepare, wrappers
from ..backends.backend import Backend
from ..models import zoo
from ..models.model import Model
from .config import PredictConfig, RenderConfig

MOST = 4  # backends that are kept: one for each size of picture


class Kit:
    """What one process renders with. Ask it again for the same, and nothing is loaded anew."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, float], Model] = {}
        self._backends: dict[tuple[object, ...], Backend] = {}

    def model(self, name: str, scale: float = 1.0, progress: Callable[[int, int | None], None] | None = None) -> Model:
        """A model with its weights; raises as `zoo.load` does."""
        if (name, scale) not in self._models:
            self._models[name, scale] = zoo.load(name, scale=scale, progress=progress)
        return self._models[name, scale]

    def backend(
        self,
        config: RenderConfig | PredictConfig,
        size: tuple[int, int],
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Backend:
        """What runs `config`'s model on frames of `size` (H, W); raises as `zoo.load` and `prepare.prepare` do."""
        name = model_name(config)
        key = (name, config.scale, size, config.backend, config.device, config.precision, config.tile, config.tta)
        if key not in self._backends:
            while len(self._backends) >= MOST:
                del self._backends[next(iter(self._backends))]
            self._backends[key] = _made(self.model(name, config.scale, progress), name, config, size)
        return self._backends[key]


def model_name(config: RenderConfig | PredictConfig) -> str:
    """The model that is asked for; what `default` stands for is up to the task."""
    if config.model != "default":
        return config.model
    return zoo.DEFAULT_PREDICTOR if isinstance(config, PredictConfig) else zoo.DEFAULT


def _made(model: Model, name: str, config: RenderConfig | PredictConfig, size: tuple[int, int]) -> Backend:
    def made(size: tuple[int, int]) -> Backend:
        return prepare.prepare(
            model,
            size,
            backend=config.backend,
            device=config.device,
            precision=config.precision,
            label=Path(name).stem,
        )

    family = prepare.family(model)
    return wrappers.wrapped(made, size, model.spec, family=family, tile=config.tile, tta=config.tta)
