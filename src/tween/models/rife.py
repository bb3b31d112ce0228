"""RIFE 4.x: one coarse-to-fine network that finds the flow from the wanted instant to both frames, at any t.

Z. Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame Interpolation", ECCV 2022; the 4.x networks
are its authors' later work in the Practical-RIFE project, which no paper describes.

    frame 0 --head--+                                  +-- warp --+
                    +-- block, block, ... -- flow, mask            +-- blend --> frame at t
    frame 1 --head--+   (8, 4, 2, 1 px)   (each looks at +-- warp --+
      once a frame                         the warped frames)
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..errors import BadOption
from ..ops.blend import blended
from ..ops.resize import resize, resize_flow
from ..ops.warp import backward_warp
from .blocks import Residual
from .entry import Entry, StateDict, Weights
from .model import Model, Prediction, Spec, Tensors
from .rife_versions import VERSIONS, Version

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
SCALES_TOLD = "0.25, 0.5, 1, 2 and 4"

# What published files carry besides the network: parts that only its training used.
TRAINING_ONLY = ("teacher.", "caltime.", "block_tea.")


class Motion(NamedTuple):
    """What is known after a block.

    Attributes:
        flow: `[B, 4, H, W]` pixels, target -> frame 0 (x, y), target -> frame 1 (x, y), float32.
        mask: `[B, 1, H, W]` logit of frame 0's weight, float32.
        carried: `[B, 8, H, W]` features for the next block, or None where the version has none.
    """

    flow: Tensor
    mask: Tensor
    carried: Tensor | None = None

    def reversed(self) -> Motion:
        """The same, were time to run backwards."""
        return Motion(swap(self.flow), -self.mask, self.carried)


def swap(flow: Tensor) -> Tensor:
    """`[B, 4, H, W]`: the flow to frame 0 and the flow to frame 1 change places."""
    return torch.cat((flow[:, 2:4], flow[:, :2]), dim=1)


class Plain(nn.Sequential):
    """x + eight convolutions: what stood in the place of `Residual` before 4.5."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


def conv(inputs: int, outputs: int, *, stride: int = 1, prelu: bool = False) -> nn.Sequential:
    """3 x 3 and its activation."""
    activation = nn.PReLU(outputs) if prelu else nn.LeakyReLU(0.2)
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), activation)


class Block(nn.Module):
    """Looks at both frames on one grid and says how the motion has to change."""

    def __init__(self, inputs: int, width: int, version: Version) -> None:
        super().__init__()
        prelu, outputs = version.prelu, version.outputs
        self.conv0 = nn.Sequential(
            conv(inputs, width // 2, stride=2, prelu=prelu), conv(width // 2, width, stride=2, prelu=prelu)
        )
        self.convblock: nn.Module
        self.lastconv: nn.Module
        if version.scaled:
            self.convblock = nn.Sequential(*(Residual(width, groups=version.groups) for _ in range(8)))
            self.lastconv = nn.Sequential(nn.ConvTranspose2d(width, 4 * outputs, 4, 2, 1), nn.PixelShuffle(2))
        else:
            self.convblock = Plain(*(conv(width, width, prelu=prelu) for _ in range(8)))
            self.lastconv = nn.ConvTranspose2d(width, outputs, 4, 2, 1)
        self.coarser = 1 if version.scaled else 2  # without the shuffle the output is half the grid
        self.carried = version.carried

    def forward(self, parts: list[Tensor], flow: Tensor | None, scale: float) -> Motion:
        """`parts` `[B, *, H, W]` and `flow` `[B, 4, H, W]` in full-size pixels, seen on a grid of `scale` pixels."""
        # Each part shrinks before they are joined: joining them at full size would cost a copy of everything.
        seen = [resize(part, 1 / scale) for part in parts]
        if flow is not None:
            seen.append(resize_flow(flow, 1 / scale))
        out = self.lastconv(self.convblock(self.conv0(torch.cat(seen, dim=1))))
        grow = scale * self.coarser
        return Motion(
            resize_flow(out[:, :4].float(), grow),
            resize(out[:, 4:5].float(), grow),
            resize(out[:, 5 : 5 + self.carried], grow) if self.carried else None,
        )


class Head(nn.Module):
    """What one frame says alone: `[B, 3, H, W]` -> `[B, features, H, W]`, from 4.10."""

    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.cnn0 = nn.Conv2d(3, width, 3, 2, 1)
        self.cnn1 = nn.Conv2d(width, width, 3, 1, 1)
        self.cnn2 = nn.Conv2d(width, width, 3, 1, 1)
        self.cnn3 = nn.ConvTranspose2d(width, features, 4, 2, 1)

    def forward(self, frame: Tensor) -> Tensor:
        x = frame
        for layer in (self.cnn0, self.cnn1, self.cnn2):
            x = nn.functional.leaky_relu(layer(x), 0.2)
        return self.cnn3(x)


def build_head(version: Version) -> nn.Module:
    """The head of a version that has one."""
    if version.deep_head:
        return Head(version.head_width, version.features)
    return nn.Sequential(
        nn.Conv2d(3, version.head_width, 3, 2, 1), nn.ConvTranspose2d(version.head_width, version.features, 4, 2, 1)
    )


class Rife(Model):
    """RIFE of one version.

    4.0 as published looks at what its second block says and, where both flows change by more than 32 pixels somewhere,
    starts again on grids twice as coarse. One pixel's value then decides for the picture, a batch and a batch of one
    differ, and nothing of the kind can be exported. `scale=0.5` is that second run, chosen by the user: it is left out.

    Args:
        version: its facts.
        scale: size at which motion is sought, 1 as trained; 0.5 suits 4K and large motion, 2 small pictures.
        ensemble: look both ways through time in each block and take the mean; twice the work.

    Raises:
        BadOption: a scale that leaves no whole grid.
    """

    def __init__(self, version: Version, *, scale: float = 1.0, ensemble: bool = False) -> None:
        super().__init__()
        if scale not in SCALES:
            raise BadOption(f"{version.name} with --scale {scale:g}", f"its scales are {SCALES_TOLD}", "--scale 0.5")
        if ensemble and not version.ensemble:
            raise ValueError(f"{version.name} has no ensemble")  # who offers the option asks the version first
        self.spec = Spec(context=(0, 1), multiple=max(version.multiple, int(version.multiple / scale)))
        self.version, self.ensemble = version, ensemble
        self.scales = tuple(grid / scale for grid in version.scales)
        for index, width in enumerate(version.widths):
            self.add_module(f"block{index}", Block(version.inputs(index), width, version))
        if version.features:
            self.encode = build_head(version)

    def embed(self, frame: Tensor) -> Tensors:
        """`[B, 3, H, W]` -> the frame with its head's features behind it, `[B, 3 + features, H, W]`."""
        if not self.version.features:
            return (frame,)
        return (torch.cat((frame, self.encode(frame)), dim=1),)

    def render(self, scene: Tensors, t: Tensor) -> Prediction:
        """The frame at `t` `[B]`; `aux` holds `flow` and `mask`, and in training what each block but the last would
        show: `merged_0`, ..."""
        motions = self.seek(scene, t)
        frame, mask = shown(scene, motions[-1])
        aux = {"flow": motions[-1].flow, "mask": mask}
        if self.training:
            aux |= {f"merged_{index}": shown(scene, motion)[0] for index, motion in enumerate(motions[:-1])}
        return Prediction(frame.clamp(0, 1), aux)

    def seek(self, scene: Tensors, t: Tensor) -> list[Motion]:
        """The motion at `t` after each block, from the coarsest grid to the finest."""
        first = scene[0]
        when = t.to(first.dtype).view(-1, 1, 1, 1).expand(first.shape[0], 1, first.shape[2], first.shape[3])
        motions: list[Motion] = []
        for index, scale in enumerate(self.scales):
            motion = motions[-1] if motions else None
            change = self.look(index, scale, scene, when, motion)
            motions.append(change if motion is None else self.update(motion, change))
        return motions

    def look(self, index: int, scale: float, scene: Tensors, when: Tensor, motion: Motion | None) -> Motion:
        """What one block says of the frames as the motion so far lays them over each other."""
        block = self.get_submodule(f"block{index}")
        first, second = scene if motion is None else warp_both(scene, motion.flow)
        change: Motion = block(self.parts(first, second, when, motion), motion and motion.flow, scale)
        if not self.ensemble:
            return change
        past = motion.reversed() if motion else None
        other: Motion = block(self.parts(second, first, 1 - when, past), past and past.flow, scale).reversed()
        return Motion((change.flow + other.flow) / 2, (change.mask + other.mask) / 2)

    def parts(self, first: Tensor, second: Tensor, when: Tensor, motion: Motion | None) -> list[Tensor]:
        """A block's inputs, in the order in which it was trained, but for the flow."""
        parts = [first[:, :3], second[:, :3]]
        if self.version.features:
            parts += [first[:, 3:], second[:, 3:]]
        parts.append(when)
        if motion is not None:
            parts.append(motion.mask)
            if motion.carried is not None:
                parts.append(motion.carried)
        return parts

    def update(self, motion: Motion, change: Motion) -> Motion:
        """Flow is added; the mask is added before 4.7 and renewed since; what is carried is always renewed."""
        mask = change.mask if self.version.renews_mask else motion.mask + change.mask
        return Motion(motion.flow + change.flow, mask, change.carried)


def warp_both(scene: Tensors, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Both frames, features and all, as seen from the target."""
    return backward_warp(scene[0], flow[:, :2]), backward_warp(scene[1], flow[:, 2:4])


def shown(scene: Tensors, motion: Motion) -> tuple[Tensor, Tensor]:
    """What a motion makes of both frames, and the share of the first, `[B, 1, H, W]` in [0, 1]."""
    mask = torch.sigmoid(motion.mask)
    return blended(scene[0][:, :3], scene[1][:, :3], motion.flow, mask), mask


def rename(state: StateDict) -> dict[str, Tensor]:
    """Published keys are ours; what only training used is left out (the zoo says how much)."""
    return {key: value for key, value in state.items() if not key.startswith(TRAINING_ONLY)}


def build(version: Version, scale: float = 1.0) -> Rife:
    """An untrained network."""
    return Rife(version, scale=scale)


# The authors publish in cloud folders; vs-rife, which has their licence, carries every 4.x file under one address. The
# hashes are those that others who use these files have written down.
MIRROR = "https://github.com/HolyWu/vs-rife/releases/download/model/"
HASHES = {
    "4.6": "008646e761f0e67cb77f0c6c44cfe3c3e5a05d9d9465311b9681ca650ce030db",
    "4.25": "6615790efd627772917205db291f51cd392528a157ecbb2ecaeec3bff8eb6de2",
    "4.26": "45c7f74156704769dc9f85cfcaf8552e1e926f9399dcfa3a553dee88fac6f53f",
    "4.26.heavy": "4cc518e172156ad6207b9c7a43364f518832d83a4325d484240493a9e2980537",
}


def entry(version: Version) -> Entry:
    """The zoo's row of a version."""
    return Entry(
        name=version.name,
        build=functools.partial(build, version),
        about=f"RIFE {version.number}: coarse-to-fine flow to both frames at any t, fast",
        paper="Huang et al., Real-Time Intermediate Flow Estimation for Video Frame Interpolation, ECCV 2022",
        code_licence="MIT",
        rename=rename,
        weights=(
            Weights(
                "practical",
                url=f"{MIRROR}flownet_v{version.number}.pkl",
                sha256=HASHES.get(version.number, ""),
                licence="MIT",
                origin=f"Practical-RIFE, model {version.number}, by its authors; as vs-rife (HolyWu) carries it",
            ),
        ),
        scalable=True,
    )


ROWS: tuple[Entry, ...] = tuple(entry(version) for version in VERSIONS)
