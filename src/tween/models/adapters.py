"""Files of adapters, and networks that wear them: several at once, each as strongly as is asked, on or off again.

A file is safetensors: the factors, and under `lora` in its metadata a Card: method, rank and the like, whose weights
it was made for (by name and hash) and by which tween. Wearing is merging: W = W0 + w1 change1 + w2 change2, from the
base's own W0 each time, so that nothing builds up and to take off is exact. Needs no peft.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import __version__
from ..errors import BadOption, BadWeights, near
from . import lightvfi, lora, weights
from .entry import StateDict
from .lora_config import LoraConfig
from .model import Model

KEY = "lora"  # of the metadata
FOREIGN = "light_vfi"  # the method that stands for a file of Light_VFI's own format
FOREIGN_ALPHA = 16.0  # such a file does not say; its project always takes 16


@dataclass(frozen=True)
class Card:
    """What an adapter's file says of itself.

    Attributes:
        config: its method, rank, strength, dropout and targets.
        base: the network it was made for, the zoo's name. base_sha256: of that network's weights (`hash_of`).
        label: those weights as they were asked for: `ifrnet-s@vimeo90k`, or a file.
        tween: the version that made it.
        facts: what else is known: the gain in dB, the film, the steps.
    """

    config: LoraConfig
    base: str
    base_sha256: str
    label: str = ""
    tween: str = __version__
    facts: dict[str, str] = field(default_factory=dict)

    def as_text(self) -> str:
        """JSON, the same for the same card."""
        return json.dumps(asdict(self), sort_keys=True)


class Adapter(NamedTuple):
    """A file of an adapter, read.

    Attributes:
        path: of the file. card: what it says of itself; None for a file of Light_VFI's own format.
        state: the factors, key -> tensor.
    """

    path: Path
    card: Card | None
    state: dict[str, Tensor]

    @property
    def megabytes(self) -> float:
        """Of its tensors."""
        return sum(value.numel() * value.element_size() for value in self.state.values()) / 1e6


def read(path: str | Path) -> Adapter:
    """The adapter in a file.

    Raises:
        MissingFile: nothing there. BadWeights: it cannot be read, or is no adapter.
    """
    path = Path(path)
    stored = weights.read(path)
    if KEY in stored.metadata:
        return Adapter(path, card_of(stored.metadata[KEY], path), stored.state)
    if lightvfi.is_lora(stored.state):
        return Adapter(path, None, stored.state)
    got = f"{path} holds {len(stored.state)} tensors ({weights.some(stored.state, 2)}) and no adapter"
    raise BadWeights(got, "a file of `tween lora` or `tween adapt` is needed", f"--model {path}, if it is a network")


def card_of(text: str, path: Path) -> Card:
    """A card from its JSON.

    Raises:
        BadWeights: it is none that this tween knows.
    """
    try:
        told: dict[str, Any] = json.loads(text)
        config = told.pop("config")
        config["targets"] = tuple(config["targets"])
        return Card(LoraConfig(**config), **told)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        got = f"what {path} says of its adapter cannot be read ({error})"
        raise BadWeights(got, f"a file of tween {__version__} or older is needed", "a newer tween") from error


def write(path: str | Path, state: StateDict, card: Card) -> None:
    """Save an adapter; the same adapter gives the same bytes.

    Raises:
        CannotWrite: the folder is missing or closed to us; nothing is left behind.
    """
    ordered = {key: state[key] for key in sorted(state)}
    weights.write_plain(ordered, Path(path), {KEY: card.as_text()})


def hash_of(state: StateDict) -> str:
    """A digest of a network's weights, whatever file they came in."""
    digest = hashlib.sha256()
    for key in sorted(state):
        value = state[key].detach().cpu().contiguous()
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def changes(adapter: Adapter, base: StateDict, name: str, base_hash: str | None = None) -> dict[str, Tensor]:
    """What an adapter adds to a network's weights, at strength 1: key -> float64.

    Args:
        base: the weights of the zoo's `name`. base_hash: theirs, if it is known already.

    Raises:
        BadWeights: it was made for another network or for other weights, said by name.
    """
    card = adapter.card
    if card is None:
        return lightvfi.lora_changes(base, adapter.state, FOREIGN_ALPHA)
    if card.base_sha256 != (base_hash or hash_of(base)):
        raise wrong_base(adapter.path, card, name)
    return lora.changes(base, adapter.state, card.config)


def plain(adapter: Adapter, base: StateDict, name: str) -> dict[str, Tensor]:
    """The weights of a network with an adapter merged into them, at strength 1; see `changes`."""
    return lora.merged(base, changes(adapter, base, name))


def wrong_base(path: Path, card: Card, name: str) -> BadWeights:
    """The words for an adapter of another base."""
    made_for = f"{path} was made for {card.base} ({card.label or card.base}, weights {card.base_sha256[:8]}...)"
    what = f"this is {name}" if name != card.base else f"these are other weights of {name}"
    return BadWeights(f"{made_for}, and {what}", "an adapter fits its own base alone", f"--model {card.label}")


class Worn(NamedTuple):
    """One of the adapters of a mix: a file, and how strongly."""

    path: Path
    weight: float = 1.0

    def __str__(self) -> str:
        return self.path.name if self.weight == 1 else f"{self.path.name}:{self.weight:g}"


def mix_of(asked: Sequence[str | Path]) -> list[Worn]:
    """What `--lora a.safetensors:0.7 b.safetensors:0.3` means; a weight that is not said is 1.

    Raises:
        BadOption: a weight that is none, or a file twice.
    """
    found: list[Worn] = []
    for one in map(str, asked):
        path, colon, number = one.rpartition(":")
        is_weighted = bool(colon) and not Path(one).is_file() and not re.search(r"[/\\.]\w*[a-z]", number)
        try:
            worn = Worn(Path(path), float(number)) if is_weighted else Worn(Path(one))
        except ValueError:
            raise BadOption(f"--lora {one}", f"{number!r} is no weight", f"--lora {path}:0.7") from None
        if not abs(worn.weight) < float("inf"):
            raise BadOption(f"--lora {one}", "a weight is a number", f"--lora {path}:0.7")
        if any(worn.path.resolve() == other.path.resolve() for other in found):
            raise BadOption(f"--lora {worn.path} twice", "each is worn once", f"--lora {worn.path}:2 to make it louder")
        found.append(worn)
    return found


def made_for(asked: Sequence[str | Path]) -> str:
    """The weights that the first adapter of a mix was made for, as they were asked for then; "" where none says.

    Raises:
        MissingFile, BadWeights: see `read`.
    """
    card = next((card for card in (read(worn.path).card for worn in mix_of(asked)) if card), None)
    return (card.label or card.base) if card else ""


def called(asked: Sequence[str | Path]) -> str:
    """A mix in words: ` + a.safetensors:0.7 + b.safetensors:0.3`; nothing for none."""
    return "".join(f" + {worn}" for worn in mix_of(asked))


class Wardrobe:
    """A network and the adapters that it can wear; its own weights are loaded once.

    Args:
        model: with its weights, in eval mode; it is changed in place. name: the zoo's.

    Attributes:
        worn: what it wears now: name -> weight.
    """

    def __init__(self, model: Model, name: str) -> None:
        self.model, self.name = model, name
        self.worn: dict[str, float] = {}
        self._hash = hash_of(model.state_dict())
        self._own: dict[str, Tensor] = {}  # the base's, of every weight that some adapter changes
        self._changes: dict[str, dict[str, Tensor]] = {}

    def add(self, path: str | Path, called: str = "") -> str:
        """Hang a file in; nothing is worn yet. Returns its name: `called`, or the file's.

        Raises:
            MissingFile, BadWeights: see `read` and `changes`.
        """
        adapter = read(path)
        called = called or adapter.path.name.removesuffix(".safetensors").removesuffix(".lora")
        state = self.model.state_dict()
        found = changes(adapter, {**state, **self._own}, self.name, self._hash)
        self._own.update({key: state[key].clone() for key in found if key not in self._own})
        self._changes[called] = found
        return called

    def names(self) -> list[str]:
        """What hangs in it, in the order it came."""
        return list(self._changes)

    def wear(self, mix: str | Mapping[str, float] = "") -> None:
        """Put on one adapter, or several with weights, instead of what is worn; "" takes all off. Exact, both ways.

        Raises:
            BadOption: a name that does not hang here.
        """
        wanted = {mix: 1.0} if isinstance(mix, str) and mix else dict(mix or {})
        for name in wanted:
            if name not in self._changes:
                raise BadOption(f"no adapter {name} is here{near(name, self.names())}", f"known: {self.names()}")
        state = self.model.state_dict()
        with torch.no_grad():
            for key, own in self._own.items():
                state[key].copy_(self._dressed(key, own, wanted))
        self.worn = wanted

    def _dressed(self, key: str, own: Tensor, wanted: Mapping[str, float]) -> Tensor:
        parts = [w * self._changes[name][key] for name, w in wanted.items() if key in self._changes[name]]
        if not parts:
            return own
        total = torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]
        return lora.merged({key: own}, {key: total})[key]

    def merged(self) -> dict[str, Tensor]:
        """A plain checkpoint of what is worn, its own copy."""
        return {key: value.detach().clone() for key, value in self.model.state_dict().items()}


def dress(model: Model, name: str, asked: Sequence[str | Path]) -> None:
    """Have a freshly loaded network wear a mix, for good.

    Raises:
        BadOption: no mix. MissingFile, BadWeights: see `Wardrobe.add`; or the network has no weights.
    """
    mix = mix_of(asked)
    if not mix:
        return
    if not model.state_dict():
        got = f"--lora {mix[0].path} for {name}"
        raise BadWeights(got, "it has no weights that an adapter could change", f"--model {made_for(asked) or 'NAME'}")
    wardrobe = Wardrobe(model, name)
    names = [wardrobe.add(worn.path, str(number)) for number, worn in enumerate(mix)]
    wardrobe.wear({name: worn.weight for name, worn in zip(names, mix, strict=True)})


def with_facts(card: Card, **facts: object) -> Card:
    """The card with more known of it."""
    return replace(card, facts={**card.facts, **{name: str(value) for name, value in facts.items()}})
