"""A network tuned on the very film that it is to be used on, and kept only if that helps.

film -> shots -+- 3/4: the most telling windows -> an adapter learns (the trainer's own loop)
               +- 1/4 held back -+- judge: which of its states is the best, when to stop
                                 +- exam:  is it better than the network as it is? then it is written

Every second frame is hidden and asked for again; no other footage is needed. What the exam holds was never looked at
before, neither to learn nor to choose. All that is needed to go on lies in `OUT.part/` until the end.
"""

from __future__ import annotations

import math
import os
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import __version__
from ..data.changes import Augment
from ..data.clips import Clip
from ..data.layouts import DataSet
from ..errors import BadOption, CannotWrite, OutputExists, TooShort
from ..evaluate.protocols import PROTOCOLS
from ..evaluate.score import score
from ..models import adapters, weights, zoo
from ..models.model import Model
from ..models.weights import shapes_of
from . import checkpoint, windows
from .adapt_config import AdaptConfig, checked
from .adapt_plan import PLAN, Plan, film_print, read_plan, write_plan
from .config import DataConfig, OptimConfig, TrainConfig, ValConfig
from .film import Run, held_back, look_through
from .ranks import Ranks
from .surroundings import device_of, stopping
from .trainer import Standing, Trainer
from .validate import Footage
from .windows import Window

LOOKING, CHOOSING, JUDGING, EXAMINING = 0.15, 0.12, 0.03, 0.08  # parts of the time; the rest is learning
JUDGES, EXAMS = (4, 12), (8, 16)  # windows, at least and at most
VALIDATIONS = 7  # in a run
PATIENCE = 5  # validations without a gain
EVERY = (20, 100)  # steps between them, at least and at most
LEARNING_COST = 3.5  # a step's time over that of a prediction, pixel for pixel; a guess, for when to validate
KEEP_DB = 0.02  # a smaller gain is none
FREE = ("output", "minutes", "steps", "overwrite")  # options that may be others when it goes on


@dataclass(frozen=True)
class Progress:
    """How far an adaptation is.

    Attributes:
        stage: "looking", "choosing", "learning", "examining". share: of that stage, 0 to 1.
        step: steps learnt. gain_db: of the best state so far on the judge's windows; None before the first.
    """

    stage: str
    share: float
    step: int = 0
    gain_db: float | None = None


@dataclass(frozen=True)
class Adapted:
    """What came of it.

    Attributes:
        output: the file, or None where nothing was gained or it was interrupted.
        why: "gained", "no gain", "interrupted".
        base_db, adapted_db: PSNR on the windows held back for the exam. gain_db: their difference.
        shots, held: of the film, and of those held back. windows: learnt from. examined: windows of the exam.
        steps, minutes: it took.
    """

    output: Path | None
    why: str
    base_db: float = math.nan
    adapted_db: float = math.nan
    gain_db: float = 0.0
    shots: int = 0
    held: int = 0
    windows: int = 0
    examined: int = 0
    steps: int = 0
    minutes: float = 0.0


Watch = Callable[[Progress], None]


def adapt(config: AdaptConfig, watch: Watch | None = None) -> Adapted:
    """Tune a network on a film; go on where an earlier call was stopped.

    Raises:
        OutputExists, CannotWrite: before anything is done.
        BadOption: a model without weights, or a value that cannot be. NoWeights, BadWeights: as `zoo.load`.
        MissingFile, WrongLayout, TooShort: no film that can be learnt from.
    """
    checked(config)
    if config.output.exists() and not config.overwrite:
        raise OutputExists(f"{config.output} is there already", "it would be replaced", "--overwrite, or another -o")
    folder = config.output.with_name(config.output.name + ".part")
    try:
        folder.mkdir(parents=False, exist_ok=True)
        is_foreign = any(folder.iterdir()) and not (folder / PLAN).is_file()
    except OSError as error:
        need = "a folder that you may write to is needed"
        raise CannotWrite(f"{folder} cannot be made ({error.strerror})", need) from error
    if is_foreign:
        need = "what is not finished would be kept there"
        raise CannotWrite(f"{folder} holds files of something else", need, "move it, or another -o")
    try:
        return Adaptation(config, folder, watch or (lambda _: None)).run()
    finally:
        if not (folder / PLAN).is_file():
            shutil.rmtree(folder, ignore_errors=True)


class Adaptation:
    """One adaptation, opened.

    Args:
        config: checked. folder: of what is not finished. watch: told how far it is.

    Raises:
        BadOption: the model has nothing to learn.
    """

    def __init__(self, config: AdaptConfig, folder: Path, watch: Watch) -> None:
        self.config, self.folder, self.watch = config, folder, watch
        self.begun = time.perf_counter()
        self.label = zoo.DEFAULT if config.model == "default" else config.model
        model, row = zoo.load_row(self.label)
        if not any(True for _ in model.parameters()):
            need = "a network is needed"
            raise BadOption(f"{row.name} has nothing to learn", need, "--model NAME of `tween models` with weights")
        self.name, self.state = row.name, model.state_dict()
        self.device = device_of(config.device, Ranks())
        self.model = model.to(self.device)
        self.least, self.length = windows.lengths_of(model.spec)

    def run(self) -> Adapted:
        """All of it."""
        facts = self.facts()
        plan = read_plan(self.folder, facts)
        stretches = plan.stretches if plan else []
        learn, held = self._shots(stretches)
        if plan is None:
            plan = self._planned(learn, held, stretches, facts)
            write_plan(self.folder, plan)
        judge = FilmJudge(self.name, windows.clips(plan.judge, held, self.least), self.model.spec)
        outcome, best = self._learnt(plan, learn, judge)
        told = Adapted(
            None,
            "interrupted",
            shots=len({run.shot for run in (*learn, *held)}),
            held=len({run.shot for run in held}),
            windows=len(plan.telling),
            steps=outcome.step,
            minutes=(plan.seconds + outcome.seconds) / 60,
        )
        if outcome.why == "interrupted":
            return told
        told = self._examined(plan, held, best, told)
        shutil.rmtree(self.folder, ignore_errors=True)
        return told

    def facts(self) -> dict[str, str]:
        """All that the plan depends on."""
        asked = {
            k: str(v) for k, v in asdict(self.config).items() if k not in ("output", "minutes", "steps", "overwrite")
        }
        return {**asked, "film": film_print(self.config.input), "base": self._hash(), "tween": __version__}

    def _hash(self) -> str:
        return adapters.hash_of(self.state)

    # Before.

    def _shots(self, stretches: list[int]) -> tuple[list[Run], list[Run]]:
        def told(share: float) -> None:
            self.watch(Progress("looking", share))

        seconds = LOOKING * 60 * self.config.minutes
        runs = look_through(self.config.input, least=self.least, seconds=seconds, stretches=stretches, told=told)
        return held_back(runs, self.least)

    def _planned(self, learn: list[Run], held: list[Run], stretches: list[int], facts: dict[str, str]) -> Plan:
        budget = 60 * self.config.minutes
        frame_s = self._time_of(held[0])
        counts = [
            min(most, max(least, round(share * budget / frame_s)))
            for (least, most), share in ((JUDGES, JUDGING), (EXAMS, EXAMINING / 2))
        ]
        both = windows.judges(held, self.model.spec, sum(counts))
        judge, exam = shared(both, counts)
        telling = windows.telling(
            learn,
            self.model,
            self._crop(learn),
            seconds=CHOOSING * budget,
            seed=self.config.seed,
            told=lambda share: self.watch(Progress("choosing", share)),
        )
        size = held[0].clip.size()
        step_s = LEARNING_COST * frame_s * self.config.batch * math.prod(self._crop(learn)) / math.prod(size)
        every = min(EVERY[1], max(EVERY[0], round(self._learning_s(0) / VALIDATIONS / step_s)))
        return Plan(facts, stretches, telling, judge, exam, every, time.perf_counter() - self.begun)

    def _time_of(self, run: Run) -> float:
        """Seconds that the network takes for a window that judges."""
        y, x, high, wide = windows.judges([run], self.model.spec, 1)[0].region
        frame = run.clip.read([0])[0][:, y : y + high, x : x + wide].float().unsqueeze(0) / 255
        took = []
        for _ in range(2):  # the first one makes what the others find
            begun = time.perf_counter()
            windows.error_of(self.model, [frame] * len(self.model.spec.context), frame, self._middle())
            took.append(time.perf_counter() - begun)
        return min(took)

    def _middle(self) -> float:
        return 1.0 if self.model.spec.predicts else 0.5

    def _crop(self, runs: list[Run]) -> tuple[int, int]:
        """Of a sample: as asked, or what the smallest frames allow, in multiples that the network needs.

        Raises:
            TooShort: the frames are smaller than that.
        """
        multiple = self.model.spec.multiple
        sides = [min(side) for side in zip(*(run.clip.size() for run in runs), strict=True)]
        high, wide = (min(self.config.crop, side) // multiple * multiple for side in sides)
        if not high or not wide:
            got = f"frames of {sides[1]}x{sides[0]}"
            raise TooShort(got, f"{self.name} learns from {multiple}x{multiple} and more", "a larger film")
        return high, wide

    def _learning_s(self, spent: float) -> float:
        """What is left for learning, seconds; a fifth of all, at least."""
        budget = 60 * self.config.minutes
        spent = spent or (LOOKING + CHOOSING) * budget
        return max(budget / 5, (1 - EXAMINING) * budget - spent)

    # Learning.

    def _learnt(self, plan: Plan, learn: list[Run], judge: FilmJudge) -> tuple[Any, Path]:
        clips = windows.clips(plan.telling, learn, self.length)
        config = self._recipe(plan, self._crop(learn))
        trainer = Trainer(config, self.folder, Ranks(), Footage(config, DataSet("film", clips)))
        trainer.judge = judge  # type: ignore[assignment]
        base = judge.mean(self.state, self.device)
        trainer.plateau.best = max(trainer.plateau.best, base)

        def told(now: Standing) -> None:
            gain = None if now.best is None else now.best - base
            self.watch(Progress("learning", now.progress, now.step, gain))

        with stopping() as asked:
            outcome = trainer.run(told, asked)
        return outcome, self.folder / checkpoint.BEST

    def _recipe(self, plan: Plan, crop: tuple[int, int]) -> TrainConfig:
        config, spec = self.config, self.model.spec
        mirrors = {1 - c for c in spec.context} == set(spec.context)
        augment = Augment(flip_horizontal=0.5, flip_vertical=0.5, reverse=0.5 if mirrors else 0.0)
        data = DataConfig(root=config.input, gaps=windows.gaps_of(spec), crop=crop, workers=0, augment=augment)
        optim = OptimConfig(name="adam", lr=config.lr, batch=config.batch, floor=0.05, warmup=5, average=0.95, clip=1.0)
        return TrainConfig(
            model=self.name,
            start=self.label,
            lora=config.lora,
            data=data,
            optim=optim,
            val=ValConfig(every=plan.every, patience=PATIENCE),
            steps=config.steps,
            minutes=self._learning_s(plan.seconds) / 60,
            save_every=plan.every,
            seed=config.seed,
            device=config.device,
        )

    # After.

    def _examined(self, plan: Plan, held: list[Run], best: Path, told: Adapted) -> Adapted:
        """The verdict, and the file if it is a good one."""
        if not best.is_file():  # no state was better than the base on the judge's windows
            return replace(told, why="no gain")
        self.watch(Progress("examining", 0.0, told.steps))
        exam = FilmJudge(self.name, windows.clips(plan.exam, held, self.least), self.model.spec)
        base = exam.scores(self.state, self.device)
        self.watch(Progress("examining", 0.5, told.steps))
        adapted = exam.scores(self._plain(best), self.device)
        gains = [b - a for a, b in zip(base, adapted, strict=True)]
        told = replace(
            told,
            base_db=statistics.fmean(base),
            adapted_db=statistics.fmean(adapted),
            gain_db=statistics.fmean(gains),
            examined=len(gains),
        )
        self.watch(Progress("examining", 1.0, told.steps, told.gain_db))
        if not is_gain(gains):
            return replace(told, why="no gain")
        self._write(best, told)
        return replace(told, output=self.config.output, why="gained")

    def _plain(self, best: Path) -> dict[str, Tensor]:
        if not self.config.lora.rank:
            return weights.read(best).state
        adapter = adapters.read(best)
        return adapters.plain(adapter, self.state, self.name)

    def _write(self, best: Path, told: Adapted) -> None:
        facts = {"film": self.config.input.name, "gain_db": f"{told.gain_db:.2f}", "steps": str(told.steps)}
        part = self.folder / "whole.safetensors"
        if self.config.lora.rank:
            adapter = adapters.read(best)
            assert adapter.card is not None
            adapters.write(part, adapter.state, adapters.with_facts(replace(adapter.card, facts={}), **facts))
        else:
            weights.write(weights.read(best).state, part, name=self.name, **facts)
        try:
            os.replace(part, self.config.output)
        except OSError as error:
            raise CannotWrite(f"{self.config.output} cannot be written ({error.strerror})", "a place for it") from error


class FilmJudge:
    """Scores weights on windows that are kept in memory, whole frames.

    Args:
        name: of the network. clips: the windows. spec: the network's.
    """

    can = True

    def __init__(self, name: str, clips: tuple[Clip, ...], spec: Any) -> None:
        self.name, self.data = name, DataSet("film", clips)
        self.gap = windows.gap_of(spec)
        self.protocol = replace(PROTOCOLS["video"], metrics=("psnr",))

    def scores(self, state: Mapping[str, Tensor], device: torch.device) -> list[float]:
        """PSNR of every window, dB."""
        model: Model = zoo.create(self.name)
        assert shapes_of(model.state_dict()) == shapes_of(state)
        model.load_state_dict(state)
        result = score(model.to(device).eval(), self.data, self.protocol, gap=self.gap, name=self.name)
        return [row.scores["psnr"] for row in result.rows]

    def mean(self, state: Mapping[str, Tensor], device: torch.device) -> float:
        """Their mean."""
        return statistics.fmean(self.scores(state, device))

    def scored(
        self, state: dict[str, Tensor], device: torch.device, finest: int = 1
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """As the trainer asks; a film's phases have all levels."""
        assert finest == 1
        return {"psnr": self.mean(state, device)}, {}


def is_gain(gains: Sequence[float]) -> bool:
    """Whether windows gain in the mean: more than nothing, and more than half of the mean's own uncertainty."""
    mean = statistics.fmean(gains)
    doubt = statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else 0.0
    return mean >= max(KEEP_DB, doubt / 2)


def shared(found: list[Window], counts: list[int]) -> tuple[list[Window], list[Window]]:
    """Windows for the judge and others for the exam, in turns; of too few, all of them for both."""
    if len(found) < 4:
        return found, found
    share = counts[0] / sum(counts)
    judge = [window for k, window in enumerate(found) if math.floor((k + 1) * share) > math.floor(k * share)]
    judge = judge or found[:1]
    return judge, [window for window in found if window not in judge]
