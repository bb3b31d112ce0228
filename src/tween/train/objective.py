"""What a network learns from: the named, weighted terms that a recipe asks for.

    losses:
      charbonnier: 1.0                                    # a weight
      laplacian: {weight: 0.5, blur: gaussian}            # a weight and settings
      from_1_4: {term: l1, weight: 0.1, of: coarse}       # a term a second time, under a name of its own

A term says what it needs; what a network gives is found by running it once on a small clip. A term whose need is not
met is refused by name before the first step. Losses run in float32, whatever the network runs in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call

from ..errors import BadOption, MissingTerm, near
from ..models.model import Batch, Model, Prediction
from ..ops.canvas import Canvas
from ..ops.features import State, load
from .terms import COARSE_FLOW, LABEL, TEACHER, TERMS, WORDS, Seen, Settings, Term

Teacher = Callable[[Batch], Prediction]
FRAME = "frame picture"
PROBE = (64, 64)  # pixels of the frames that a network is shown to see what it gives


class Part(NamedTuple):
    """One line of a recipe's losses: a term, how much it weighs, and all its settings."""

    term: Term
    weight: float
    settings: Settings

    def needs(self) -> tuple[str, ...]:
        return self.term.needs(self.settings)


class Objective:
    """The terms of one recipe for one network.

    Args:
        weights: name -> weight, or -> {weight, settings}; see the head of this file. A weight of 0 leaves a term out.
        model: the network that learns, on any device.
        files: weights of VGG, AlexNet and LPIPS, name of `ops.features.FILES` -> path, where they are not in the usual
            places.
        teacher: what the terms of a teacher follow: a batch -> its prediction for that batch.

    Raises:
        BadOption: no such term or setting, with the names most like it, or a value that a setting cannot take.
        MissingTerm: a term that the network cannot take, with what it lacks and the terms that it can take.
        NoWeights, MissingFile, BadWeights: a file that a term needs.
    """

    def __init__(
        self,
        weights: Mapping[str, float | Mapping[str, Any]],
        model: Model,
        *,
        files: Mapping[str, Path] | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        parts = {name: part_of(name, line) for name, line in weights.items()}
        self.parts = {name: part for name, part in parts.items() if part.weight}
        if not self.parts:
            raise BadOption("losses with nothing in them", "one term or more is needed", "losses: {charbonnier: 1.0}")
        self.model, self.teacher = model, teacher
        self._check()
        wanted = {file for part in self.parts.values() for file in part.term.files(part.settings)}
        self._states: dict[str, State] = {name: load(name, (files or {}).get(name)) for name in sorted(wanted)}

    def _check(self) -> None:
        """Refuse what the network or the teacher cannot serve; it is run only if a term needs more than its frame."""
        if all({LABEL, FRAME}.issuperset(part.needs()) for part in self.parts.values()):
            return
        given = facts(self.model, self.teacher if self.needs_teacher else None)
        for name, part in self.parts.items():
            if missing := [need for need in part.needs() if need not in given]:
                raise refused(name, missing, given)

    @property
    def needs_flow(self) -> bool:
        """True if batches must carry flow labels."""
        return any(LABEL in part.needs() for part in self.parts.values())

    @property
    def needs_teacher(self) -> bool:
        """True if a teacher is asked at every step."""
        return any(TEACHER in need for part in self.parts.values() for need in part.needs())

    def __call__(
        self, batch: Batch, prediction: Prediction, times: Mapping[str, float] | None = None
    ) -> dict[str, Tensor]:
        """Name -> weighted scalar, float32; their sum is what is minimised.

        Args:
            times: name -> what its weight is multiplied by, now; a term that is multiplied by 0 is left out.

        Raises:
            MissingTerm: a term needs flow labels, and the batch has none.
        """
        if self.needs_flow and batch.flow is None:
            name = next(name for name, part in self.parts.items() if LABEL in part.needs())
            fix = "`tween flow SET` writes them; or leave the term out"
            raise MissingTerm(f"the loss term {name} and samples without flow labels", "it learns from labels", fix)
        with torch.autocast(prediction.frame.device.type, enabled=False):
            batch = Batch(*(None if part is None else part.float() for part in batch))  # type: ignore[arg-type]
            seen = Seen(batch, exact(prediction), self.model, self._on(batch.target.device), self._taught(batch))
            weights = {name: part.weight * (times or {}).get(name, 1.0) for name, part in self.parts.items()}
            return {
                name: weights[name] * part.term.value(seen, part.settings)
                for name, part in self.parts.items()
                if weights[name]
            }

    def _on(self, device: torch.device) -> dict[str, State]:
        """The classifiers' weights, moved once."""
        for name, state in self._states.items():
            if next(iter(state.values())).device != device:
                self._states[name] = {key: value.to(device) for key, value in state.items()}
        return self._states

    def _taught(self, batch: Batch) -> Prediction | None:
        if self.teacher is None or not self.needs_teacher:
            return None
        with torch.no_grad():
            return exact(self.teacher(batch))


def exact(prediction: Prediction) -> Prediction:
    """The same in float32."""
    return Prediction(prediction.frame.float(), {name: value.float() for name, value in prediction.aux.items()})


def part_of(name: str, line: float | Mapping[str, Any]) -> Part:
    """One line of a recipe, checked.

    Raises:
        BadOption: as `Objective`.
    """
    given: dict[str, Any] = dict(line) if isinstance(line, Mapping) else {"weight": line}
    kind, weight = given.pop("term", name), given.pop("weight", 1.0)
    if kind not in TERMS:
        raise BadOption(f"no loss term is called {kind}{near(str(kind), TERMS)}", f"known: {', '.join(TERMS)}")
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < math.inf:
        raise BadOption(f"losses: {name} with weight {weight}", "a number from 0 up is needed", f"{name}: 1.0")
    term = TERMS[kind]
    for setting, value in given.items():
        check(name, term, setting, value)
    return Part(term, float(weight), {**term.settings, **given})


def check(name: str, term: Term, setting: str, value: Any) -> None:
    """Raises BadOption if the term has no such setting, or the setting cannot be that."""
    if setting not in term.settings:
        known = ["weight", "term", *term.settings]
        raise BadOption(f"{name} has no setting {setting}{near(setting, known)}", f"known: {', '.join(known)}")
    if setting in term.choices and value not in term.choices[setting]:
        choices = term.choices[setting]
        got = f"{name} with {setting}: {value}{near(str(value), choices)}"
        raise BadOption(got, f"one of these is needed: {', '.join(choices)}")
    kinds = {bool: (bool,), int: (int,), float: (int, float), str: (str,), type(None): (int, Mapping, type(None))}
    allowed = kinds[type(term.settings[setting])]
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        need = f"a value like {term.settings[setting]!r} is needed"
        raise BadOption(f"{name} with {setting}: {value!r}", need if term.settings[setting] is not None else "")


def facts(model: Model, teacher: Teacher | None = None) -> frozenset[str]:
    """What terms may need, of which this network and this teacher give: names of `terms.WORDS`, and of every `aux`."""
    aux = shown_by(model).aux
    given = set(aux)
    pictures = {name for name, value in aux.items() if value.ndim == 4 and value.shape[1] == 3}
    found = {LABEL, FRAME, *given, *(f"{name} picture" for name in pictures)}
    if "flow" in given:
        found.add("own flow")
    if "flow" in given and any(COARSE_FLOW.fullmatch(name) for name in given):
        found.add("coarse flows")
    if {"feature_1", "mean"} <= given and hasattr(model, "encoder"):
        found.add("features")
    if {"visible_s4", "flow_s4"} <= given:
        found.add("visibility")
    if any(name.startswith("merged") for name in given):
        found.add("stages")
    if teacher is not None:
        found.add(TEACHER)
        if "flow" in teacher(grey(model)).aux:
            found.add(f"{TEACHER} flow")
    return frozenset(found)


def shown_by(model: Model) -> Prediction:
    """What a network gives for a small grey clip: computed without memory where that can be, else truly.

    The network is left as it was, and so is the state of the random numbers.
    """
    batch = grey(model)
    values = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    with torch.no_grad(), torch.random.fork_rng([]):
        if model.searches or not values:
            return model(batch.frames, batch.t)
        nowhere = {name: value.to("meta") for name, value in values.items()}
        return functional_call(model, nowhere, (batch.frames.to("meta"), batch.t.to("meta")))


def grey(model: Model) -> Batch:
    """One small sample of a network's context, on its device."""
    device = next((value.device for value in model.parameters()), torch.device("cpu"))
    size = Canvas(PROBE, model.spec.multiple).size
    frames = torch.full((1, len(model.spec.context), 3, *size), 0.5, device=device)
    return Batch(frames, torch.full((1,), 1.0 if model.spec.predicts else 0.5, device=device), frames[:, 0])


def accepted(model: Model, teacher: Teacher | None = None) -> list[str]:
    """The terms that a network can take with their own settings, in the table's order."""
    return fitting(facts(model, teacher))


def fitting(given: frozenset[str]) -> list[str]:
    return [name for name, term in TERMS.items() if given.issuperset(term.needs(term.settings))]


def refused(name: str, missing: list[str], given: frozenset[str]) -> MissingTerm:
    """The words for a term that the network cannot take."""
    lacks = " and ".join(WORDS.get(need, f"aux `{need.removesuffix(' picture')}`") for need in missing)
    gives = ", ".join(["frame", *sorted(name for name in given if " " not in name and name not in WORDS)])
    fix = f"one of: {', '.join(fitting(given))}"
    if TEACHER in missing and TEACHER not in given:
        fix = f"--teacher NAME, or {fix}"
    return MissingTerm(f"the loss term {name} needs {lacks}", f"this model gives {gives}", fix)
