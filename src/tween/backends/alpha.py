"""Transparent frames through a model that knows none: a backend around a backend, with four channels.

colour x alpha --> model --> colour x alpha  --+
                                               +--> divided again: colour, alpha
alpha as grey  --> model --> alpha           --+

A model that was shown the colours behind full transparency would move what nobody sees, and blend it over edges; so it
sees them multiplied by alpha, which is black where nothing is. The matte moves as a picture of its own, by the motion
of its own edges: blending the two mattes would show two edges where one moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .backend import Backend, at_once, searches

LEAST = 0.5 / 255  # below this alpha nothing is seen, and colour is what it is


class Seen(NamedTuple):
    """One frame: what its colours say, and what its alpha says; None where it is opaque."""

    colour: Any
    alpha: Any
    size: torch.Size


class WithAlpha:
    """Takes and gives `[B, 4, H, W]` in [0, 1], alpha straight, last. Opaque frames cost nothing more.

    Args:
        inner: runs the model on three channels.
    """

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.name, self.device, self.precision = inner.name, inner.device, inner.precision
        self.spec = replace(inner.spec, kept_behind=None)
        self.at_once, self.searches = at_once(inner), searches(inner)

    def embed(self, frame: Tensor) -> Seen:
        """`[B, 4, H, W]` -> what one frame says alone."""
        colour, alpha = frame[:, :3], frame[:, 3:]
        if bool((alpha >= 1).all()):
            return Seen(self.inner.embed(colour), None, alpha.shape)
        return Seen(self.inner.embed(colour * alpha), self._matte(alpha), alpha.shape)

    def relate(self, context: Sequence[Seen]) -> tuple[Any, Any]:
        """Embeddings in `spec.context` order -> what they say together."""
        colour = self.inner.relate([seen.colour for seen in context])
        if all(seen.alpha is None for seen in context):
            return colour, None
        mattes = [self._matte(torch.ones(seen.size)) if seen.alpha is None else seen.alpha for seen in context]
        return colour, self.inner.relate(mattes)

    def render(self, scene: tuple[Any, Any], t: Tensor) -> Tensor:
        """A scene and `t` `[B]` -> `[B, 4, H, W]` in [0, 1]."""
        colour = self.inner.render(scene[0], t)
        if scene[1] is None:
            return torch.cat([colour, torch.ones_like(colour[:, :1])], dim=1)
        alpha = self.inner.render(scene[1], t).mean(dim=1, keepdim=True).clamp(0, 1)
        straight = torch.where(alpha > LEAST, colour / alpha.clamp(min=LEAST), colour)
        return torch.cat([straight.clamp(0, 1), alpha], dim=1)

    def _matte(self, alpha: Tensor) -> Any:
        return self.inner.embed(alpha.expand(-1, 3, -1, -1).contiguous())
