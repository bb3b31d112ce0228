"""Light_VFI: a small UNet that paints the middle frame straight from four neighbours.

frame  -1   0   |   1   2      twelve channels in, three out; no flow, no time: it knows t = 1/2 only
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import BadWeights
from .entry import Entry, StateDict
from .model import Model, Prediction, Spec, Tensors

ADAPTER = (".lora_A.weight", ".lora_B.weight")


class LightVFI(Model):
    """The UNet of fallashOuO/Light_VFI.

    Args:
        channels: of the finest scale; the coarsest has four times as many.
    """

    spec = Spec(context=(-1, 0, 1, 2), multiple=8, any_time=False)

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        c = channels
        self.enc1, self.enc2, self.enc3 = ConvBlock(12, c), ConvBlock(c, 2 * c), ConvBlock(2 * c, 4 * c)
        self.bottleneck = ConvBlock(4 * c, 4 * c)
        self.dec3, self.dec2, self.dec1 = ConvBlock(8 * c, 2 * c), ConvBlock(4 * c, c), ConvBlock(2 * c, c)
        self.out_conv = nn.Conv2d(c, 3, 3, padding=1)

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """The four frames, each three channels of one picture."""
        return (torch.cat([frame for (frame,) in context], dim=1),)

    def render(self, scene: Tensors, t: Tensor) -> Prediction:  # noqa: ARG002
        """The frame at t = 1/2, the only one it knows."""
        (frames,) = scene
        fine = self.enc1(frames)
        middle = self.enc2(F.max_pool2d(fine, 2))
        coarse = self.enc3(F.max_pool2d(middle, 2))
        x = self.bottleneck(F.max_pool2d(coarse, 2))
        for decode, skip in ((self.dec3, coarse), (self.dec2, middle), (self.dec1, fine)):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = decode(torch.cat((x, skip), dim=1))
        return Prediction(torch.sigmoid(self.out_conv(x).float()), {})


class ConvBlock(nn.Module):
    """Two 3x3 convolutions, each with ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def is_lora(state: StateDict) -> bool:
    """Whether a state dict is one of Light_VFI's adapter files: `<layer>.lora_A.weight`, `<layer>.lora_B.weight`."""
    return bool(state) and all(key.endswith(ADAPTER) for key in state)


def merge_lora(state: StateDict, lora: StateDict, alpha: float = 16.0) -> dict[str, Tensor]:
    """A plain state dict with an adapter in Light_VFI's own file format added to its weights.

    Each adapted layer computes `conv(x) + alpha / r * B(A(x))`, A a 1x1 convolution to r channels and B one of the
    layer's own kernel. Both are linear, so their product is a kernel: W + alpha / r * sum_r B[o, r, y, x] A[r, i].
    The sum is taken in float64 and rounded once.

    Args:
        state: the base weights, `<layer>.weight` `[O, I, kh, kw]`. Left as they are.
        lora: `<layer>.lora_A.weight` `[r, I, 1, 1]` and `<layer>.lora_B.weight` `[O, r, kh, kw]`.
        alpha: the strength it was trained with. The file does not say; the project always takes 16 (at r = 8).

    Returns:
        All keys of `state`, each of its own dtype.

    Raises:
        BadWeights: not an adapter of this format, half a pair, or made for another base.
    """
    merged = dict(state)
    for key, change in lora_changes(state, lora, alpha).items():
        merged[key] = (state[key].double() + change).to(state[key].dtype)
    return merged


def lora_changes(state: StateDict, lora: StateDict, alpha: float = 16.0) -> dict[str, Tensor]:
    """What such an adapter adds to each kernel: key -> float64. Arguments and errors as in `merge_lora`."""
    if not is_lora(lora):
        odd = next((key for key in lora if not key.endswith(ADAPTER)), "nothing")
        raise BadWeights(f"this adapter holds {odd}", "Light_VFI's adapters hold lora_A and lora_B weights only")
    changes = {}
    for layer in sorted({key[: -len(ADAPTER[0])] for key in lora}):
        down, up = (lora.get(layer + ending) for ending in ADAPTER)
        if down is None or up is None:
            raise BadWeights(f"the adapter has only half of {layer}", "lora_A and lora_B belong together")
        changes[f"{layer}.weight"] = _change(layer, state.get(f"{layer}.weight"), down, up, alpha)
    return changes


def _change(layer: str, weight: Tensor | None, down: Tensor, up: Tensor, alpha: float) -> Tensor:
    """What one layer's kernel gains."""
    if weight is None:
        raise BadWeights(f"the adapter changes {layer}, which the base weights do not have", "an adapter of this base")
    rank, inputs = down.shape[:2]
    fits = down.shape[2:] == (1, 1) and up.shape[1:2] == (rank,) and rank > 0
    if not fits or weight.shape != (up.shape[0], inputs, *up.shape[2:]):
        shapes = f"{list(down.shape)} and {list(up.shape)}"
        raise BadWeights(
            f"the adapter's {layer} is {shapes}, the base's kernel is {list(weight.shape)}",
            "an adapter of this base is needed",
            "--lora with a file trained on these weights",
        )
    return alpha / rank * torch.einsum("oryx,ri->oiyx", up.double(), down.double()[:, :, 0, 0])


def _row(name: str, channels: int, about: str) -> Entry:
    return Entry(
        name=name,
        build=lambda scale: LightVFI(channels),  # noqa: ARG005
        about=about,
        paper="github.com/fallashOuO/Light_VFI",
        code_licence="none stated",
    )


ROWS: tuple[Entry, ...] = (
    _row("lightvfi", 32, "UNet on four frames, painted without flow; midpoint only"),
    _row("lightvfi-16", 16, "the same with half the channels"),
)
