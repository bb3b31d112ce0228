"""A smooth surface that moves and bends, without anything in front of it: flow is exact, and holds everywhere."""

import math

import cv2
import numpy as np
import torch

from tween.data.layers import Layer, Motion, Shear, Swing
from tween.data.sample import Sample
from tween.data.scenery import Light, opaque
from tween.data.synthetic import Scene
from tween.ops.warp import backward_warp


def surface(side: int = 400, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.standard_normal((side, side, 3)).astype(np.float32), (0, 0), 8)
    return opaque(cv2.normalize(noise, None, 20, 235, cv2.NORM_MINMAX).astype(np.uint8))


def moving(speed: float = 3.0, size: tuple[int, int] = (96, 128), seed: int = 0) -> Scene:
    """Turning, nearing, tilting and bending, all at once."""
    motion = Motion(
        x=Swing(size[1] / 2, speed, 0.1, 0.3),
        y=Swing(size[0] / 2, -0.6 * speed, 0.07, 1.0),
        angle=Swing(0.2, 0.02 * speed, 0.2),
        zoom=Swing(0.1, 0.01 * speed, 0.2),
        tilt_x=Swing(2e-4, 2e-4, 0.1),
        tilt_y=Swing(0, -2e-4, 0.1),
    )
    shears = (
        Shear((0.8, 0.6), 0.06, 0.2, 1.0, Swing(2.0, 0.3, 0.1)),
        Shear((-0.6, 0.8), 0.05, -0.1, 0.0, Swing(1.5, -0.2, 0.1)),
    )
    return Scene([Layer(surface(seed=seed), motion, shears=shears, endless=True)], Light(), size)


def planes(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.transpose(2, 0, 1).copy())


def sample(scene: Scene, t: float = 0.5, context: tuple[int, ...] = (0, 1)) -> Sample:
    """Frames at `context` times 2, the target at t times 2."""
    two = (-1, 0) if context[-1] == 0 else (0, 1)
    frames = torch.stack([planes(scene.frame(2.0 * c)) for c in context])
    flow = torch.cat([planes(scene.flow(2 * t, 2.0 * c)) for c in two])
    return Sample(frames, planes(scene.frame(2 * t)), t, flow, "smooth")


def misses(frame: torch.Tensor, target: torch.Tensor, flow: torch.Tensor) -> float:
    """PSNR of a frame brought to the target by flow `[2, H, W]`, over the pixels that come from within it."""
    height, width = target.shape[-2:]
    seen = backward_warp(frame[None].float(), flow[None])[0]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    inside = ((x + flow[0] - width / 2).abs() < width / 2 - 2) & ((y + flow[1] - height / 2).abs() < height / 2 - 2)
    assert inside.float().mean() > 0.3
    error = (seen - target.float()).square().mean(0)[inside].mean()
    return 10 * math.log10(255**2 / max(float(error), 1e-3))
