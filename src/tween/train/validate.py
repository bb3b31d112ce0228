"""Which clips a run learns from and which judge it; and the judging, by the very function that benchmarks use."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.labels import beside, labelled
from ..data.loader import Plan, Source
from ..data.sets import DataSet, open_set
from ..data.synthetic import SyntheticSet
from ..errors import TooShort
from ..evaluate.protocols import PROTOCOLS, Protocol
from ..evaluate.result import Case
from ..evaluate.score import score
from ..models import zoo
from ..models.model import Spec
from .config import TrainConfig
from .optimiser import set_finest

SYNTHETIC_MARGIN = 2  # a drawn scene is this many times as large as a crop, so that crops differ
METRICS = ("psnr", "ssim_3d")
STRIP_HEIGHT = 360  # pixels, at most, of a picture for the board


@dataclass
class Footage:
    """The clips of a run: `training`, and `held` for validation (None: nothing to judge by).

    `notes` says in words what was left out of them and why.

    Args:
        config: which clips. ready: clips to learn from that are at hand already; the config names none then.
    """

    config: TrainConfig
    ready: DataSet | None = None

    def __post_init__(self) -> None:
        self.training: DataSet | None = self.ready
        self.held: DataSet | None = None
        if self.ready is None:
            self._open()
        self.notes = (*(self.training.notes if self.training else ()), *(self.held.notes if self.held else ()))

    def _open(self) -> None:
        """The clips that the config names."""
        data, val = self.config.data, self.config.val
        self.training = open_set(data.set, data.root, data.split, mine=data.mine) if data.root else None
        root = val.root or (data.root if val.split is not None or val.set is not None else None)
        if root is not None:
            self.held = open_set(val.set or data.set, root, val.split or "val", mine=data.mine)
        elif self.training is not None and val.held_back > 0:
            self.training, self.held = parted(self.training, val.held_back)
        if self.training is not None and data.root is not None and data.label:
            self.training = labelled(self.training, beside(data.root))

    def plan(self, spec: Spec, crop: tuple[int, int] | None, batch: int, label: bool) -> Plan:
        """What to draw in a phase."""
        data = self.config.data
        crop = crop or data.crop
        sources = []
        if self.training is not None and data.synthetic < 1:
            sources.append(Source.of(self.training, data.gaps, 1 - data.synthetic, predicts=spec.predicts))
        if data.synthetic > 0:
            sources.append(self._drawn(spec, crop))
        return Plan(
            spec,
            tuple(sources),
            crop,
            data.augment,
            batch,
            data.draws,
            data.span,
            data.ahead,
            label or data.label or data.motion is not None,
            data.motion,
            data.still,
            self.config.seed,
        )

    def _drawn(self, spec: Spec, crop: tuple[int, int]) -> Source:
        """Scenes long enough for the context."""
        data = self.config.data
        gaps = data.gaps or ((1,) if spec.predicts else (2,))
        reach = spec.context[-1] - spec.context[0] + (data.ahead if spec.predicts else 0)
        size = (SYNTHETIC_MARGIN * crop[0], SYNTHETIC_MARGIN * crop[1])
        pictures = self.training.clips if self.training is not None else ()
        length = max(gaps) * reach + 1 + data.span
        drawn = SyntheticSet(size, length=length, seed=self.config.seed % 1000, pictures=pictures)
        return Source(drawn.clips, gaps, share=data.synthetic)


def parted(found: DataSet, share: float) -> tuple[DataSet, DataSet]:
    """A set as clips to learn from and clips to judge by: every n-th one is held back.

    Raises:
        TooShort: it has one clip.
    """
    every = max(2, round(1 / share))
    if len(found.clips) < 2:
        got = f"{found.name} has {len(found.clips)} clip"
        raise TooShort(got, "one to learn from and one to judge by are needed", "--val.root DIR, or --val.held-back 0")
    held = found.clips[every // 2 :: every] or found.clips[-1:]
    kept = tuple(clip for clip in found.clips if clip not in held)
    return replace(found, clips=kept), replace(found, clips=held)


class Judge:
    """Scores weights on the clips held for it.

    Args:
        config: of the run. footage: its clips.

    Attributes:
        can: False if there is nothing to judge by.
    """

    def __init__(self, config: TrainConfig, footage: Footage) -> None:
        self.config, self.held = config, footage.held
        self.can = self.held is not None
        spec = zoo.signature(config.model).spec
        self.gap = config.val.gap or (1 if spec.predicts else (self.held and self.held.gap) or 2)
        if self.held is not None:
            self.protocol, self.held = self._protocol(self.held, spec)

    def _protocol(self, held: DataSet, spec: Spec) -> tuple[Protocol, DataSet]:
        """Every gap of a few frames of each clip, whatever the set; the clips that are long enough for one."""
        least = self.gap + 1 if not spec.predicts else 3
        long_enough = tuple(clip for clip in held.clips if clip.length >= least)
        if not long_enough:
            longest = max((clip.length for clip in held.clips), default=0)
            raise TooShort(
                f"the longest clip to judge by has {longest} frames", f"{least} are needed", "--val.root DIR"
            )
        frames = max(self.config.val.frames, least)
        own = PROTOCOLS["video"]
        return replace(own, frames=frames, metrics=METRICS), replace(held, clips=long_enough, gap=None, notes=())

    def scored(
        self, state: dict[str, Tensor], device: torch.device, finest: int = 1
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """Means of the metrics, and a picture or two: both inputs, ours, the truth, the error, side by side.

        `finest` is the phase's: levels that have not learnt yet do not show anything.
        """
        assert self.held is not None, "somebody asked `can` first"
        model = zoo.create(self.config.model)
        model.load_state_dict(state)
        set_finest(model, finest)
        pictures: dict[str, Tensor] = {}

        def look(case: Case) -> None:
            if len(pictures) < 4 and case.row.name not in pictures:
                pictures[case.row.name] = strip(case)

        result = score(
            model.to(device).eval(),
            self.held,
            self.protocol,
            gap=self.gap,
            limit=self.config.val.clips,
            name=self.config.model,
            observer=look,
        )
        return result.means(), pictures


def strip(case: Case) -> Tensor:
    """`[3, h, 4 w]` in [0, 1], at most 360 high: the mean of the inputs, ours, the truth, the error (four times as
    strong)."""
    error = (4 * (case.ours - case.truth).abs()).clamp(0, 1)
    whole = torch.cat((case.inputs.mean(0), case.ours.clamp(0, 1), case.truth, error), -1)
    shrink = max(1, -(-whole.shape[-2] // STRIP_HEIGHT))
    return F.avg_pool2d(whole, shrink) if shrink > 1 else whole
