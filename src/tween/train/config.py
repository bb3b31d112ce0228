"""What a training run is: documented fields that a recipe and flags both fill. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..data.changes import Augment
from ..errors import BadOption
from ..models import lora_config
from ..models.lora_config import LoraConfig


@dataclass(frozen=True)
class DataConfig:
    """Which footage, and how samples are cut from it."""

    root: Path | None = None
    """Where the footage is."""
    set: str = "video"
    """Its layout: video (files, or a folder of them), frames, vimeo90k, gopro, ..."""
    split: Literal["train", "val", "test"] = "train"
    """Which part of a set that has parts."""
    mine: bool | None = None
    """Cut footage at cuts and leave out what teaches nothing; not given: raw videos, and nothing that is listed."""
    gaps: tuple[int, ...] | None = None
    """Source frames between the two neighbours; one is drawn for each sample. Not given: the set's own, or 2."""
    ahead: int = 1
    """How many gaps into the future a predictor of any time is trained for."""
    crop: tuple[int, int] = (192, 192)
    """Height and width of a sample."""
    draws: int = 1
    """Samples taken of one reading: more spare decoding, fewer vary more."""
    span: int = 0
    """Frames read beyond the longest window, for those draws to choose from."""
    synthetic: float = 0.0
    """Share of samples that are drawn scenes with exact flow, 0 to 1; 1 needs no footage."""
    label: bool = False
    """Give samples a flow: the set's own label, else optical flow found on the spot."""
    motion: tuple[float, float] | None = None
    """Least and most pixels that a sample moves, the mean of its flow's x and y; not given: any."""
    still: float = 0.3
    """Share that is kept of samples that move less."""
    workers: int = 1
    """Processes that read and augment."""
    augment: Augment = field(default_factory=Augment)
    """What else is done to a sample."""


@dataclass(frozen=True)
class OptimConfig:
    """How weights move."""

    name: Literal["adam", "adamw", "radam"] = "adamw"
    """The optimiser."""
    lr: float = 1e-4
    """Learning rate at the top of its schedule."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Its decay rates."""
    weight_decay: float = 0.0
    """Of convolutions' and linear layers' weights; never of biases, slopes and norms."""
    batch: int = 8
    """Samples a step, over all processes."""
    accumulate: int = 1
    """Parts that a step's batch is computed in, to spare memory."""
    clip: float | None = None
    """Greatest norm of the gradient."""
    schedule: Literal["constant", "cosine", "plateau"] = "cosine"
    """How the learning rate falls."""
    floor: float = 0.1
    """Where it ends, as a part of `lr`."""
    warmup: int = 0
    """Steps over which it rises from 0."""
    factor: float = 0.5
    """Of the plateau schedule: what the rate is multiplied by."""
    patience: int = 5
    """Of the plateau schedule: validations without a gain before that."""
    average: float = 0.0
    """Decay of the moving average of the weights, 0.999 say, which is then what is validated and kept; 0: none."""
    scales: dict[str, float] = field(default_factory=dict)
    """Part of the network (the beginning of its parameters' names) -> its learning rate as a part of `lr`."""
    dropout: float | None = None
    """Of every dropout layer that the network has; not given: its own."""


@dataclass(frozen=True)
class Phase:
    """A stretch of the run with settings of its own."""

    until: float = 1.0
    """Where it ends, as a part of the run, 0 to 1."""
    crop: tuple[int, int] | None = None
    """Height and width of a sample."""
    batch: int | None = None
    """Samples a step."""
    frozen: tuple[str, ...] = ()
    """Parts of the network (beginnings of parameter names) that do not learn."""
    weights: dict[str, float] = field(default_factory=dict)
    """Term -> what its weight is multiplied by here."""
    finest: int = 1
    """The finest level that runs, of a network that refines level by level: from coarse to fine it learns sooner."""


@dataclass(frozen=True)
class ValConfig:
    """What the run is judged by: every second frame hidden and asked for again, whole frames."""

    root: Path | None = None
    """Where it is; not given: clips held back from the training footage."""
    set: str | None = None
    """Its layout; not given: that of the training set."""
    split: Literal["train", "val", "test"] | None = None
    """Which part of a set that has parts; not given: val of another root, else clips held back from training."""
    held_back: float = 0.05
    """Share of the training clips that is held back where no root is given."""
    every: int = 1000
    """Steps between validations."""
    clips: int | None = 16
    """Clips looked at, evenly spread; not given: all."""
    frames: int = 5
    """Frames of each clip."""
    gap: int | None = None
    """Source frames between the two neighbours of what is asked for; not given: the set's own, or 2; predicting, 1."""
    patience: int | None = None
    """Stop after this many validations without a gain."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    model: str = "ifrnet-s"
    """A name from `tween models`."""
    start: str | None = None
    """Weights to begin from: a name or a file. Not given: from nothing; for an adapter, the model's own."""
    begin: Literal["pytorch", "kaiming"] = "pytorch"
    """Weights of a network that begins from nothing: as PyTorch draws them, or so that signals keep their size."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    """Of rank 1 and up: an adapter learns, and the network rests. Use it with --lora FILE."""
    data: DataConfig = field(default_factory=DataConfig)
    """Which footage, and how samples are cut from it."""
    losses: dict[str, Any] = field(default_factory=lambda: {"charbonnier": 1.0})
    """Term -> weight, or -> {weight: ..., and its settings}."""
    files: dict[str, Path] = field(default_factory=dict)
    """Weights that terms need, where they are not in the usual places: vgg16, vgg19, alexnet, lpips_alex, lpips_vgg."""
    teacher: str | None = None
    """A model whose frames and flows the terms `teacher_frame` and `teacher_flow` follow."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    """How weights move."""
    phases: tuple[Phase, ...] = ()
    """Stretches with settings of their own, in order."""
    val: ValConfig = field(default_factory=ValConfig)
    """What the run is judged by."""
    steps: int | None = None
    """End after so many steps."""
    minutes: float | None = None
    """End after so much time."""
    save_every: int = 500
    """Steps between checkpoints."""
    seed: int = 1234
    """Of the weights, the samples and dropout."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the convolutions; flows and losses stay in fp32."""
    compile: bool = False
    """Run through torch.compile."""
    checkpointing: bool | None = None
    """Compute embeddings again on the way back, to spare memory; not given: for contexts of more than 8 frames."""


def checked(config: TrainConfig) -> TrainConfig:
    """The same, if it can be run.

    Raises:
        BadOption: a contradiction, in the flags' own names.
    """
    optim = config.optim
    if config.steps is None and config.minutes is None:
        raise BadOption("nothing says when to stop", "one of the two is needed", "--steps 100000 or --minutes 600")
    if config.data.root is None and config.data.synthetic < 1:
        raise BadOption("no footage", "--data.root says where it is", "--data.root my_videos (or --data.synthetic 1)")
    if not 0 <= config.data.synthetic <= 1:
        raise BadOption(f"--data.synthetic {config.data.synthetic}", "a share from 0 to 1 is needed")
    if min(optim.batch, optim.accumulate, config.data.draws) < 1 or optim.batch % optim.accumulate:
        got = f"--optim.batch {optim.batch} in --optim.accumulate {optim.accumulate} parts"
        raise BadOption(got, "equal whole parts are needed", f"--optim.accumulate {2 if optim.batch % 2 == 0 else 1}")
    if optim.schedule == "plateau" and config.val.root is None and config.data.synthetic == 1:
        raise BadOption("--optim.schedule plateau without validation", "it needs --val.root", "--optim.schedule cosine")
    if config.lora != LoraConfig():
        lora_config.checked(config.lora)
    least, most = config.data.motion or (0, 1)
    if not 0 <= least < most or not 0 <= config.data.still <= 1:
        got = f"--data.motion {least} {most} --data.still {config.data.still}"
        raise BadOption(got, "a least and a greater most are needed, and a share", "--data.motion 0.3 6")
    ends = [phase.until for phase in config.phases]
    if ends and (ends != sorted(ends) or ends[-1] != 1 or ends[0] <= 0):
        raise BadOption(f"phases that end at {ends}", "growing parts of the run, the last one 1, are needed")
    return config
