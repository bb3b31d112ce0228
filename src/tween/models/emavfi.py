"""EMA-VFI: attention between the frames finds appearance and motion once a gap; flow and refinement follow for any t.

G. Zhang et al., "Extracting Motion and Appearance via Inter-Frame Attention for Efficient Video Frame Interpolation",
CVPR 2023.

    frame 0 --+                +-- motion x t, 1 - t --> flow, mask --> warp, blend --+
              +-- backbone ----+                                                      +-- + residual --> frame at t
    frame 1 --+                +-- appearance, 5 scales, warped -------> UNet --------+
                once a gap          once an instant
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ..errors import BadOption
from ..ops.resize import resize, resize_flow
from ..ops.warp import backward_warp
from .blocks import conv_prelu
from .emavfi_attention import Backbone
from .entry import Entry, StateDict, Weights
from .model import Model, Prediction, Spec, Tensors

MULTIPLE = 32
SCALES = (0.25, 0.5, 1.0)


class FlowHead(nn.Module):
    """Says how flow and mask have to change, from the features of one scale.

    Args:
        features: channels of the scale's motion and appearance, both frames together.
        others: channels of what comes with them at full size.
        width: inner channels.
        cell: pixels of the frame that one feature stands for, 16 or 8.
    """

    def __init__(self, features: int, others: int, width: int, cell: int) -> None:
        super().__init__()
        # Shuffling by two twice is not shuffling by four: the channels fall into another order.
        self.upsample = nn.Sequential(nn.PixelShuffle(2), nn.PixelShuffle(2))
        self.conv = nn.Sequential(
            conv_prelu(features // 16 + others, width), conv_prelu(width, width), conv_prelu(width, 5)
        )
        self.grid = cell // 4

    def forward(self, features: Tensor, pictures: list[Tensor], flow: Tensor | None) -> tuple[Tensor, Tensor]:
        """`features` `[B, *, H / cell, W / cell]`, the rest full size -> change of flow and of mask, float32."""
        seen = [self.upsample(features), *(resize(picture, 1 / self.grid) for picture in pictures)]
        if flow is not None:
            seen.append(resize_flow(flow, 1 / self.grid))
        out = self.conv(torch.cat(seen, dim=1)).float()
        return resize_flow(out[:, :4], self.grid), resize(out[:, 4:], self.grid)


class Down(nn.Module):
    """Half the size."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.conv1 = conv_prelu(inputs, width, stride=2)
        self.conv2 = conv_prelu(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x))


def up(inputs: int, width: int) -> nn.Sequential:
    """Twice the size."""
    return nn.Sequential(nn.ConvTranspose2d(inputs, width, 4, 2, 1), nn.PReLU(width))


class Unet(nn.Module):
    """Sees everything at the target's place and says what blending got wrong; `width` is the backbone's doubled."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down0 = Down(17 + width, 2 * width)
        self.down1 = Down(4 * width, 4 * width)
        self.down2 = Down(8 * width, 8 * width)
        self.down3 = Down(16 * width, 16 * width)
        self.up0 = up(32 * width, 8 * width)
        self.up1 = up(16 * width, 4 * width)
        self.up2 = up(8 * width, 2 * width)
        self.up3 = up(4 * width, width)
        self.conv = nn.Conv2d(width, 3, 3, 1, 1)

    def forward(self, pictures: Tensor, appearance: list[Tensor]) -> Tensor:
        """`pictures` `[B, 17, H, W]`, `appearance` finest first -> `[B, 3, H, W]` in [-1, 1]."""
        x0 = self.down0(torch.cat((pictures, appearance[0]), dim=1))
        x1 = self.down1(torch.cat((x0, appearance[1]), dim=1))
        x2 = self.down2(torch.cat((x1, appearance[2]), dim=1))
        x3 = self.down3(torch.cat((x2, appearance[3]), dim=1))
        x = self.up0(torch.cat((x3, appearance[4]), dim=1))
        x = self.up1(torch.cat((x, x2), dim=1))
        x = self.up2(torch.cat((x, x1), dim=1))
        x = self.up3(torch.cat((x, x0), dim=1))
        return 2 * torch.sigmoid(self.conv(x).float()) - 1


class EmaVfi(Model):
    """EMA-VFI.

    Args:
        width: channels of the finest scale, 32 or 16.
        depth: layers of the backbone's stages.
        scale: size at which motion is sought, 1 as trained; 0.5 or 0.25 for 4K and large motion. Appearance is always
            seen at full size, so the backbone then runs twice.

    Raises:
        BadOption: a scale that leaves no whole grid.
    """

    def __init__(self, width: int, depth: tuple[int, int, int, int, int], *, scale: float = 1.0) -> None:
        super().__init__()
        if scale not in SCALES:
            raise BadOption(f"EMA-VFI with --scale {scale:g}", "its scales are 0.25, 0.5 and 1", "--scale 0.5")
        self.spec = Spec(context=(0, 1), multiple=int(MULTIPLE / scale))
        self.scale = scale
        self.feature_bone = Backbone(width, depth)
        # Motion and appearance of both frames, at 1/16 and at 1/8; the second head also sees what the first has done.
        self.block = nn.ModuleList(
            (FlowHead(64 * width, 6, 4 * width, cell=16), FlowHead(32 * width, 17, 4 * width, cell=8))
        )
        self.unet = Unet(2 * width)

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """Two frames -> frames, appearance at five scales, then motion and its appearance at 1/16 and 1/8.

        All but the frames hold both frames' features one behind the other, `[B, 2 * C, h, w]`.
        """
        (first,), (second,) = context
        frames = torch.cat((first, second))
        appearance, motion = self.feature_bone(frames)
        sought, motion = (appearance, motion) if self.scale == 1 else self.feature_bone(resize(frames, self.scale))
        found = (motion[1], sought[4], motion[0], sought[3])
        return (first, second, *(beside(x) for x in (*appearance, *found)))

    def render(self, scene: Tensors, t: Tensor) -> Prediction:
        """The frame at `t` `[B]`; `aux` holds `flow`, `mask`, `merged`, the frame before its refinement, and
        `merged_coarse`, what the first of the two heads would show (on the grid on which motion is sought)."""
        first, second, *features = scene
        flow, mask, coarse = self.seek(scene, t)
        seen0, seen1 = backward_warp(first, flow[:, :2]), backward_warp(second, flow[:, 2:4])
        weight = torch.sigmoid(mask)
        merged = seen0 * weight + seen1 * (1 - weight)
        pictures = torch.cat((first, second, seen0, seen1, mask, flow), dim=1)
        residual = self.unet(pictures, warp_pyramid(features[:5], flow))
        aux = {"flow": flow, "mask": weight, "merged": merged, "merged_coarse": coarse}
        return Prediction((merged + residual).clamp(0, 1), aux)

    def seek(self, scene: Tensors, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Flow `[B, 4, H, W]` in pixels and the mask's logit `[B, 1, H, W]` at `t`, at full size, float32; and the
        frame that the first head's flow and mask give, `[B, 3, H * scale, W * scale]`."""
        first, second, *features = scene
        first, second = resize(first, self.scale), resize(second, self.scale)
        coarse, fine = self.block
        flow, mask = coarse(at(t, features[5], features[6]), [first, second], None)
        seen0, seen1 = backward_warp(first, flow[:, :2]), backward_warp(second, flow[:, 2:4])
        weight = torch.sigmoid(mask)
        merged = seen0 * weight + seen1 * (1 - weight)
        more, change = fine(at(t, features[7], features[8]), [first, second, seen0, seen1, mask], flow)
        return resize_flow(flow + more, 1 / self.scale), resize(mask + change, 1 / self.scale), merged


def beside(x: Tensor) -> Tensor:
    """`[2B, C, h, w]` -> `[B, 2 * C, h, w]`."""
    return torch.cat(x.chunk(2), dim=1)


def at(t: Tensor, motion: Tensor, appearance: Tensor) -> Tensor:
    """Motion is taken to be linear: frame 0's is scaled by t, frame 1's by 1 - t."""
    when = t.to(motion.dtype).view(-1, 1, 1, 1)
    first, second = motion.chunk(2, dim=1)
    return torch.cat((first * when, second * (1 - when), appearance), dim=1)


def warp_pyramid(appearance: Sequence[Tensor], flow: Tensor) -> list[Tensor]:
    """Both frames' features, `[B, 2 * C, h, w]` a scale, as seen from the target."""
    warped = []
    for features in appearance:
        first, second = features.chunk(2, dim=1)
        warped.append(torch.cat((backward_warp(first, flow[:, :2]), backward_warp(second, flow[:, 2:4])), dim=1))
        flow = resize_flow(flow, 0.5)
    return warped


def rename(state: StateDict) -> dict[str, Tensor]:
    """Published keys are ours; the masks that the authors' code keeps for the last size it saw are left out."""
    return {key: value for key, value in state.items() if not key.endswith(("attn_mask", ".HW"))}


def build(width: int, depth: tuple[int, int, int, int, int], scale: float = 1.0) -> EmaVfi:
    """An untrained network."""
    return EmaVfi(width, depth, scale=scale)


PAPER = "Zhang et al., Extracting Motion and Appearance via Inter-Frame Attention, CVPR 2023, arXiv 2303.00440"

ROWS: tuple[Entry, ...] = (
    Entry(
        "emavfi",
        partial(build, 32, (2, 2, 2, 4, 4)),
        about="attention between the frames gives appearance and motion once a gap, for any t",
        paper=PAPER,
        code_licence="Apache-2.0",
        rename=rename,
        weights=(
            Weights("vimeo90k", licence="Apache-2.0", origin="ours_t.pkl of the EMA-VFI project: trained for any t"),
            Weights("vimeo90k-middle", licence="Apache-2.0", origin="ours.pkl of the EMA-VFI project: midpoint only"),
        ),
        scalable=True,
    ),
    Entry(
        "emavfi-small",
        partial(build, 16, (2, 2, 2, 2, 2)),
        about="EMA-VFI at half the width",
        paper=PAPER,
        code_licence="Apache-2.0",
        rename=rename,
        weights=(
            Weights("vimeo90k", licence="Apache-2.0", origin="ours_small_t.pkl of the EMA-VFI project: any t"),
            Weights("vimeo90k-middle", licence="Apache-2.0", origin="ours_small.pkl of the EMA-VFI project: midpoint"),
        ),
        scalable=True,
    ),
)
