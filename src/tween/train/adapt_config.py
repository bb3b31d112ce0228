"""What an adaptation is asked for. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..errors import BadOption
from ..models import lora_config
from ..models.lora_config import LoraConfig


@dataclass(frozen=True)
class AdaptConfig:
    """A network tuned on the film that it is to be used on.

    Attributes:
        input: a video file, a folder of pictures or of videos, a root with a MANIFEST.tsv.
        output: the adapter's file.
        model: a name from `tween models`, or a file of weights.
        minutes: the time it may take in all, about. steps: learn no longer than this, too.
        lora: the adapter; of rank 0 the whole network learns, and `output` holds all its weights.
        lr: learning rate at its top. batch: samples a step. crop: pixels a side of a sample, at most.
        device: cpu, cuda, cuda:1, mps, auto. seed: of what is drawn.
        overwrite: replace an output that is there.
    """

    input: Path
    output: Path
    model: str = "default"
    minutes: float = 5.0
    steps: int | None = None
    lora: LoraConfig = field(default_factory=lambda: LoraConfig(rank=8))
    lr: float = 3e-4
    batch: int = 4
    crop: int = 256
    device: str = "auto"
    seed: int = 1
    overwrite: bool = False


def checked(config: AdaptConfig) -> AdaptConfig:
    """The same, if it can be done.

    Raises:
        BadOption: in the flags' own names.
    """
    if not 0 < config.minutes < float("inf"):
        raise BadOption(f"--minutes {config.minutes:g}", "a time above 0 is needed", "--minutes 5")
    if config.steps is not None and config.steps < 1:
        raise BadOption(f"--steps {config.steps}", "at least one is needed", "--steps 100")
    if config.output.suffix != ".safetensors":
        raise BadOption(f"-o {config.output}", "a name that ends in .safetensors is needed", "-o film.lora.safetensors")
    if config.lora != LoraConfig():
        lora_config.checked(config.lora)
    return config
