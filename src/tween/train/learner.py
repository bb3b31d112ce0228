"""What of a network learns in a run: all of it, or an adapter while its own weights rest.

Checkpoints, the moving average and the files of a run hold what learns and nothing else; what is judged is always a
plain network, the adapter merged into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..models import adapters, lora, weights
from ..models.adapters import Card
from ..models.lora_config import LoraConfig
from ..models.model import Model


class Learner:
    """A network that learns as a whole.

    Args:
        model: it. name: the zoo's.

    Attributes:
        resting: names of the parameters that never learn.
    """

    def __init__(self, model: Model, name: str) -> None:
        self.model, self.name = model, name
        self.resting: frozenset[str] = frozenset()

    def state(self) -> dict[str, Tensor]:
        """What has been learnt; not copied."""
        return self.model.state_dict()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self.model.load_state_dict(state)

    def plain(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a plain network that has learnt `state`."""
        return dict(state)

    def write(self, path: Path, state: Mapping[str, Tensor], **said: str) -> None:
        """A file of what has been learnt.

        Raises:
            CannotWrite: the folder is missing or closed to us.
        """
        weights.write(state, path, name=self.name, **said)


class AdapterLearner(Learner):
    """A network that rests, with an adapter that learns.

    Args:
        model: with its weights; the adapter is put into it. label: those weights as they were asked for.

    Raises:
        BadOption: no layer is meant, or a value that cannot be. MissingPackage: peft is not installed.
    """

    def __init__(self, model: Model, name: str, label: str, config: LoraConfig) -> None:
        super().__init__(model, name)
        self.card = Card(config, name, adapters.hash_of(model.state_dict()), label)
        self.layers = lora.add(model, config)
        learns = {id(parameter) for parameter in lora.parameters(model).values()}
        self.resting = frozenset(n for n, parameter in model.named_parameters() if id(parameter) not in learns)

    def state(self) -> dict[str, Tensor]:
        return lora.learned(self.model)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        lora.restore(self.model, state)

    def plain(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        base = lora.base_state(self.model)
        return lora.merged(base, lora.changes(base, state, self.card.config))

    def write(self, path: Path, state: Mapping[str, Tensor], **said: str) -> None:
        adapters.write(path, state, adapters.with_facts(self.card, **said))


def learner_of(model: Model, name: str, label: str, config: LoraConfig) -> Learner:
    """Of rank 0 the whole network learns, else an adapter."""
    return AdapterLearner(model, name, label, config) if config.rank else Learner(model, name)
