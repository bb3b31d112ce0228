"""The loop: draw, predict, judge, step, and now and then score and save.

One process or many (`torchrun`), from the start or from where a run was left: the same lines. What is drawn at a step
is a function of the seed and the step alone, so a run that was killed goes on to the numbers it would have had.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint as again

from ..data.loader import Collated, batches
from ..data.sample import batch_of
from ..errors import BadOption, TweenError, near
from ..models import zoo
from ..models.model import Batch, Model, Prediction
from ..models.weights import shapes_of
from . import checkpoint
from .board import Board
from .config import Phase, TrainConfig, checked
from .learner import learner_of
from .objective import Objective
from .optimiser import Average, freeze, optimiser_of, set_dropout, set_finest, set_rate
from .ranks import Ranks, join, leave
from .schedule import Clock, Plateau, learning_rate, phase_at
from .surroundings import device_of, out_of_memory, stopping
from .teacher import Teacher
from .validate import Footage, Judge

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
log = logging.getLogger("tween")
LONG_CONTEXT = 8  # frames; longer ones are embedded again on the way back instead of being kept


@dataclass(frozen=True)
class Standing:
    """Where a run is, told after each step and each validation.

    Attributes:
        step: steps done; steps: in all, or None. progress: 0 to 1.
        loss: of the step. rate: the learning rate. samples_per_second: since the run was opened.
        score: the newest validation's PSNR, dB, or None; best: the best one's.
        share: of the time that went into computing, 0 to 1; the rest is waiting for data.
    """

    step: int
    steps: int | None
    progress: float
    loss: float
    rate: float
    samples_per_second: float
    score: float | None
    best: float | None
    share: float


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        folder: its files. why: "steps", "minutes", "patience" or "interrupted".
        step, seconds: done in all. best: the best validation's PSNR, dB, or None.
        share: of the time of this part of the run that went into computing.
    """

    folder: Path
    why: str
    step: int
    seconds: float
    best: float | None
    share: float


Watch = Callable[[Standing], None]


def train(config: TrainConfig, folder: Path, watch: Watch | None = None) -> Outcome:
    """Train as `config` says, or go on with the run in `folder`.

    Raises:
        TweenError: any mistake of the user's; what the run had saved is kept.
    """
    checked(config)
    ranks = join()
    try:
        trainer = Trainer(config, folder, ranks)
        with stopping() as asked:
            return trainer.run(watch or (lambda _: None), asked)
    finally:
        leave(ranks)


class Trainer:
    """One run, opened.

    Args:
        config: checked. folder: the run's files. ranks: this process among its peers.
        footage: clips that are at hand already; None: those that the config names.
    """

    def __init__(self, config: TrainConfig, folder: Path, ranks: Ranks, footage: Footage | None = None) -> None:
        self.config, self.folder, self.ranks = config, folder, ranks
        self.device = device_of(config.device, ranks)
        self.footage = Footage(config) if footage is None else footage
        for note in dict.fromkeys(self.footage.notes) if ranks.leads else ():
            log.info("%s", note)
        resumes = checkpoint.open_run(folder, config) if ranks.leads else (folder / checkpoint.STATE).is_file()
        resumes = bool(ranks.agree(float(resumes), self.device))
        torch.manual_seed(config.seed)
        self.model = self._model()
        self.learner = learner_of(self.model, config.model, config.start or config.model, config.lora)
        self.average = Average(self.learner.state, config.optim.average)
        self.optimiser = optimiser_of(self.model, config.optim, self.learner.resting)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "fp16")
        self.clock, self.plateau = Clock(config.steps, config.minutes), Plateau()
        teacher = self._teacher(config.teacher) if config.teacher else None
        self.objective = Objective(config.losses, self.model, files=config.files, teacher=teacher)
        check_weights(config)
        self.judge = Judge(config, self.footage)
        self.score: float | None = None
        self.phase: Phase | None = None
        self.waited = self.worked = 0.0
        if resumes:
            self._resume()
        self.predict = torch.compile(self._predicted) if config.compile else self._predicted

    def _model(self) -> Model:
        config = self.config
        start = config.start or (config.model if config.lora.rank else None)
        model = zoo.load(start, name=named(config)) if start else zoo.create(config.model)
        if config.start and zoo.signature(config.model).shapes != shapes_of(model.state_dict()):
            raise BadOption(f"--start {config.start} for {config.model}", "weights of the same network are needed")
        if config.begin == "kaiming" and not start:
            model.begin_kaiming()
        if not any(True for _ in model.parameters()):
            able = ", ".join(name for name in ("ifrnet-s", "ifrnet-t", "rife-4.25", "lightvfi"))
            raise BadOption(f"{config.model} has nothing to learn", "a network is needed", f"--model {able}")
        if config.optim.dropout is not None:
            set_dropout(model, config.optim.dropout)
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a fifth faster, on CPUs too
        return model.to(self.device).train()

    def _teacher(self, name: str) -> Teacher:
        return Teacher(zoo.load(name).to(self.device), self.model.spec.context)

    # The loop.

    def run(self, watch: Watch, asked: Callable[[], bool]) -> Outcome:
        """Until the first end that is reached. `asked` says whether somebody wants it to stop."""
        numbers = checkpoint.Log(self.folder, self.clock.step) if self.ranks.leads else None
        board = Board(self.folder) if self.ranks.leads else None
        why, since = "", time.perf_counter()
        drawn: Iterator[Collated] = iter(())
        opened, first = since, self.clock.step
        try:
            while not (why := self._end(asked)):
                drawn = self._turned(drawn)
                terms, rate = self._step(drawn)
                now = time.perf_counter()
                self.clock.seconds, since = self.clock.seconds + now - since, now
                self.clock.step += 1
                if numbers:
                    numbers.add(self.clock.step, rate=rate, loss=math.fsum(terms.values()), **terms)
                done = (self.clock.step - first) * self._batch() / (now - opened)
                if board:
                    board.step(self.clock.step, terms, rate)
                self._pause(numbers, board)
                watch(self._standing(math.fsum(terms.values()), rate, done))
            if self.clock.step > first:
                if why != "interrupted":  # one that goes on must not have been judged once more than others
                    self._validate(numbers, board)
                self._save()
        finally:
            if numbers:
                numbers.close()
            if board:
                board.close()
        best = None if self.plateau.best == -math.inf else self.plateau.best
        return Outcome(self.folder, why, self.clock.step, self.clock.seconds, best, self._share())

    def _end(self, asked: Callable[[], bool]) -> str:
        """Why the run is over, or nothing; rank 0 decides for all."""
        patience = self.config.val.patience
        reasons = {
            "interrupted": asked(),
            "patience": patience is not None and self.plateau.waited >= patience,
            "steps": self.clock.steps is not None and self.clock.step >= self.clock.steps,
            "minutes": self.clock.is_over,
        }
        number = next((i for i, true in enumerate(reasons.values(), 1) if true), 0)
        number = int(self.ranks.agree(number, self.device))
        return ["", *reasons][number]

    def _turned(self, drawn: Iterator[Collated]) -> Iterator[Collated]:
        """The batches of the phase that holds now."""
        phase = phase_at(self.config, self.ranks.agree(self.clock.progress, self.device))
        if phase == self.phase:
            return drawn
        self.phase = phase
        freeze(self.model, phase.frozen, self.learner.resting)
        set_finest(self.model, phase.finest)
        parts = self.config.optim.accumulate
        plan = self.footage.plan(self.model.spec, phase.crop, self._batch() // parts, self.objective.needs_flow)
        lanes = self.ranks.lanes(plan.batch)
        return batches(plan, self.clock.step * parts, lanes=lanes, workers=self.config.data.workers)

    def _batch(self) -> int:
        return (self.phase and self.phase.batch) or self.config.optim.batch

    def _step(self, drawn: Iterator[Collated]) -> tuple[dict[str, float], float]:
        """One step of the optimiser. Returns the terms' values, means over all ranks, and the learning rate."""
        rate = learning_rate(self.config.optim, self.clock, self.plateau.lowered)
        set_rate(self.optimiser, rate)
        self.optimiser.zero_grad(set_to_none=True)
        parts, told = self.config.optim.accumulate, dict[str, float]()
        for _ in range(parts):
            begun = time.perf_counter()
            frames, target, t, flow, names = next(drawn)
            read = time.perf_counter()
            terms = self._backward(batch_of(frames, target, t, flow, self.device), names, parts)
            told = {name: told.get(name, 0.0) + value / parts for name, value in terms.items()}
            self.waited += read - begun
            self.worked += time.perf_counter() - read
        begun = time.perf_counter()
        learning = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.scaler.unscale_(self.optimiser)
        self.ranks.mean_gradients(learning)
        if self.config.optim.clip is not None:
            torch.nn.utils.clip_grad_norm_(learning, self.config.optim.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.average.see()
        self.worked += time.perf_counter() - begun
        return self.ranks.mean(told, self.device), rate

    def _backward(self, batch: Batch, names: list[str], parts: int) -> dict[str, float]:
        """The gradients of one part of a batch, added up. Returns the terms' values."""
        try:
            terms = self._judged(batch)
            values = {name: float(term.detach()) for name, term in terms.items()}
            if not all(map(math.isfinite, values.values())):
                raise self._not_finite(batch, names, values)
            self.scaler.scale(torch.stack(list(terms.values())).sum() / parts).backward()
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            told = out_of_memory(self.config, error)
            if told is None:
                raise
            raise told from error
        return values

    def _judged(self, batch: Batch) -> dict[str, Tensor]:
        half = self.config.precision != "fp32"
        with torch.autocast(self.device.type, DTYPES[self.config.precision]) if half else nullcontext():
            prediction = self.predict(batch.frames, batch.t)
        return self.objective(batch, prediction, self.phase.weights if self.phase else None)

    def _predicted(self, frames: Tensor, t: Tensor) -> Prediction:
        """`model(frames, t)`; a long context's embeddings are computed again on the way back instead of being kept."""
        sparing = self.config.checkpointing
        if not (frames.shape[1] > LONG_CONTEXT if sparing is None else sparing):
            return self.model(frames, t)
        embeddings = [again(self.model.embed, frame, use_reentrant=False) for frame in frames.unbind(1)]
        return self.model.render(again(self.model.relate, embeddings, use_reentrant=False), t)

    def _not_finite(self, batch: Batch, names: list[str], values: dict[str, float]) -> TweenError:
        """The words for a loss that is no number: which term, which sample."""
        bad = ", ".join(name for name, value in values.items() if not math.isfinite(value))
        guilty = []
        with torch.no_grad():
            for i, name in enumerate(names):
                one = Batch(*(part[i : i + 1] if part is not None else None for part in batch))  # type: ignore[arg-type]
                if not all(bool(term.isfinite()) for term in self._judged(one).values()):
                    guilty.append(name)
        which = f"at {'; '.join(guilty[:3])}" if guilty else "at no sample alone"
        got = f"the loss is not a number at step {self.clock.step + 1}: {bad}, {which}"
        need = f"the last good checkpoint is {self.folder / checkpoint.LAST}"
        return TweenError(got, need, "a smaller --optim.lr, --optim.clip 1, or fp32")

    def _not_shown(self) -> TweenError:
        """The words for a network that learns, and shows what is no number."""
        got = f"what the network shows of the clips held back is not a number at step {self.clock.step}"
        need = f"the last good checkpoint is {self.folder / checkpoint.LAST}"
        return TweenError(got, need, "a smaller --optim.lr, --optim.clip 1, or fp32")

    # Now and then.

    def _pause(self, numbers: checkpoint.Log | None, board: Board | None) -> None:
        """Validate and save where it is due."""
        if self.clock.step % self.config.val.every == 0 and not self.clock.is_over:  # the end validates anyway
            self._validate(numbers, board)
        if self.clock.step % self.config.save_every == 0:
            self._save()

    def _validate(self, numbers: checkpoint.Log | None, board: Board | None) -> None:
        """Score the averaged weights; keep them if they are the best so far."""
        if self.ranks.leads and self.judge.can:
            finest = self.phase.finest if self.phase else 1
            scores, pictures = self.judge.scored(self.learner.plain(self.average.state()), self.device, finest)
            if not math.isfinite(scores["psnr"]):
                raise self._not_shown()
            self.score = scores["psnr"]
            if numbers:
                numbers.add(self.clock.step, **{f"val_{name}": value for name, value in scores.items()})
            if board:
                board.validation(self.clock.step, scores, pictures)
            if self.plateau.see(self.score, self.config.optim):
                self._keep(checkpoint.BEST)
        for name in ("best", "lowered"):
            setattr(self.plateau, name, self.ranks.agree(getattr(self.plateau, name), self.device))
        self.plateau.waited = int(self.ranks.agree(self.plateau.waited, self.device))

    def _save(self) -> None:
        if not self.ranks.leads:
            return
        checkpoint.save_state(self.folder, self._state())
        self._keep(checkpoint.LAST)
        if not self.judge.can:
            self._keep(checkpoint.BEST)

    def _keep(self, file: str) -> None:
        score = "" if self.score is None else f"{self.score:.3f}"
        said = {"step": str(self.clock.step), "psnr": score, "context": str(self.model.spec.context)}
        state = self.average.state()
        checkpoint.written(self.folder / file, lambda part: self.learner.write(part, state, **said))

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.learner.state(),
            "average": self.average.state(),
            "seen": self.average.seen,
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step": self.clock.step,
            "seconds": self.clock.seconds,
            "plateau": vars(self.plateau),
            "score": self.score,
            "random": torch.get_rng_state(),
        }

    def _resume(self) -> None:
        state = checkpoint.load_state(self.folder)
        self.learner.restore(state["model"])
        self.average.load(state["average"], state["seen"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self.clock = replace(self.clock, step=state["step"], seconds=state["seconds"])
        self.plateau = Plateau(**state["plateau"])
        self.score = state["score"]
        torch.set_rng_state(state["random"])

    def _share(self) -> float:
        return self.worked / (self.worked + self.waited) if self.worked else 1.0

    def _standing(self, loss: float, rate: float, speed: float) -> Standing:
        best = None if self.plateau.best == -math.inf else self.plateau.best
        progress, share = self.clock.progress, self._share()
        return Standing(self.clock.step, self.clock.steps, progress, loss, rate, speed, self.score, best, share)


def check_weights(config: TrainConfig) -> None:
    """Refuse a phase's weight for a term that the run has not.

    Raises:
        BadOption: with the terms that it has.
    """
    for name in (name for phase in config.phases for name in phase.weights):
        if name not in config.losses:
            raise BadOption(f"a phase weighs {name}{near(name, config.losses)}", f"losses: {', '.join(config.losses)}")


def named(config: TrainConfig) -> str | None:
    """Whose weights a file to start from is taken for: names say it themselves."""
    return config.model if config.start and zoo.is_path(config.start) else None
