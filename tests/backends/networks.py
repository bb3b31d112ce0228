"""Networks with weights that do something, without a file: small ones of our own, and IFRNet-S."""

import zlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from tween.models.ifrnet import build
from tween.models.model import Model, Prediction, Spec
from tween.ops.warp import backward_warp


class Small(Model):
    """Convolutions, a warp, all three verbs; and inputs that a verb hands on, or never looks at."""

    spec = Spec(context=(0, 1), multiple=4)

    def __init__(self, channels=8):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, 2, 1), nn.PReLU(channels))
        self.mix = nn.Sequential(nn.Conv2d(2 * channels, channels, 3, 2, 1), nn.PReLU(channels))
        self.grow = nn.ConvTranspose2d(channels, channels, 4, 2, 1)
        self.flow = nn.ConvTranspose2d(channels + 1, 5, 4, 2, 1)

    def embed(self, frame):
        return frame, self.stem(frame)

    def relate(self, context):
        (first, one), (second, two) = context
        return first, second, self.grow(self.mix(torch.cat((one, two), 1))), one

    def render(self, scene, t):
        first, second, both, _ = scene
        plane = t.to(both.dtype).view(-1, 1, 1, 1).expand_as(both[:, :1])
        out = self.flow(torch.cat((both, plane), 1))
        flow, mask = 8 * out[:, :4].float(), torch.sigmoid(out[:, 4:].float())
        ahead, behind = backward_warp(first, flow[:, :2]), backward_warp(second, flow[:, 2:])
        return Prediction((mask * ahead + (1 - mask) * behind).clamp(0, 1), {"flow": flow})


class Long(Model):
    """Four frames of context, of which those behind 0 lose their second tensor; one size, midpoint only."""

    spec = Spec(context=(-1, 0, 1, 2), multiple=2, any_time=False, kept_behind=1)

    def __init__(self):
        super().__init__()
        self.coarse, self.fine = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(3, 4, 3, 1, 1)
        self.last = nn.Conv2d(16 + 12, 3, 3, 1, 1)

    def embed(self, frame):
        return self.coarse(frame), self.fine(frame)

    def relate(self, context):
        coarse = F.interpolate(torch.cat([embedding[0] for embedding in context], 1), scale_factor=2)
        return (torch.cat((coarse, *(embedding[1] for embedding in context[1:])), 1),)

    def render(self, scene, t):  # noqa: ARG002
        return Prediction(torch.sigmoid(self.last(scene[0])), {})


def lively(model):
    """Weights by the rule of the parity fixtures: flows of up to 20 pixels, masks from 0.1 to 0.9."""
    state = model.state_dict()
    for key, tensor in state.items():
        shape = tuple(tensor.shape)
        drawn = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()))).standard_normal(shape, dtype=np.float32)
        if len(shape) == 1:
            drawn = 0.25 + 0.05 * drawn if key.endswith(".weight") else 0.02 * drawn
        elif shape[2:] == (4, 4):
            drawn *= (0.25 if key.startswith("decoder1.") else 4.0) / np.sqrt(4 * shape[0])
        else:
            drawn *= 1.2 / np.sqrt(np.prod(shape[1:]))
        tensor.copy_(torch.from_numpy(np.asarray(drawn, np.float32)))
    return model.eval()


def small():
    torch.manual_seed(0)
    return Small().eval()


def long():
    torch.manual_seed(0)
    return Long().eval()


def ifrnet_s():
    return lively(build("s", 1.0))


def moving(size, batch=1, seed=0, count=2):
    """`count` frames `[batch, 3, *size]` of a smooth texture that moves by (5, 3) pixels a gap."""
    height, width = size
    made = torch.Generator().manual_seed(seed)
    noise = torch.rand(batch, 3, (height + 40) // 8, (width + 60) // 8, generator=made)
    world = F.interpolate(noise, scale_factor=8, mode="bicubic").clamp(0, 1)
    return [world[..., 3 * k : 3 * k + height, 5 * k : 5 * k + width].contiguous() for k in range(count)]


def run(backend, frames, t):
    """The three verbs in a row."""
    return backend.render(backend.relate([backend.embed(frame) for frame in frames]), t)


def straight(model, frames, t):
    """What torch says, in float32."""
    with torch.inference_mode():
        return model(torch.stack(frames, 1), t).frame


def decibels(got, wanted):
    """PSNR of pictures in [0, 1]."""
    return float(-10 * torch.log10(((got.double() - wanted.double()) ** 2).mean()))
