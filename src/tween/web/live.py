"""A browser's camera, live: JPEGs in, JPEGs out. Runs in a worker process; pipeline/live.py decides what is shown when.

in    {"picture": base64 of a JPEG, "ms": when it was taken, on the browser's clock}
out   {"status": {"picture": ..., "ms": the time that it shows}}     {"status": {"stats": {...}}} once a second
"""

from __future__ import annotations

import base64
import io
import queue
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

import cv2
import numpy as np
import torch
from PIL import Image

from ..errors import BadOption, TweenError
from ..frame import Frame
from ..pipeline.live import LiveRun
from ..pipeline.live_start import LiveConfig, live_run
from .asked import MODEL, at_hand

LARGEST: Final = (1080, 1920)  # (H, W) of a picture
QUALITY: Final = 85
WAIT_S: Final = 0.1
STATS_S: Final = 1.0
SLOWEST, FASTEST = 5, 60  # frames a second of a camera


def live(
    order: dict[str, Any], waiting: queue.Queue[dict[str, Any]], tell: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Show a camera until {"end": true} comes.

    Raises:
        TweenError: whatever the model says; BadOption for what is no picture of a camera.
    """
    model = order["model"]
    if not MODEL.fullmatch(model):
        raise BadOption(f"a model called {model[:40]}", "a name of `tween models` is needed")
    if model != "default":
        at_hand(model)
    config = LiveConfig(model=model, predict=order["predict"], hold_rate=True)
    rate = Fraction(min(FASTEST, max(SLOWEST, order["rate"])))
    with live_run(config, source_rate=rate) as run:
        feeding = _Feeding(run, waiting)
        feeding.start()
        _show(run, feeding, tell)
    return {}


class _Feeding(threading.Thread):
    """Frames from the browser into a run, until they end or one is none."""

    def __init__(self, run: LiveRun, waiting: queue.Queue[dict[str, Any]]) -> None:
        super().__init__(name="tween-camera", daemon=True)
        self._run, self._waiting = run, waiting
        self.error: TweenError | None = None
        self.is_over = False

    def run(self) -> None:
        """Until the end."""
        last: Frame | None = None
        try:
            while "picture" in (message := self._waiting.get()):
                frame = Frame(picture_of(base64.b64decode(message["picture"])), Fraction(round(message["ms"]), 1000))
                if last is not None and frame.size != last.size:
                    raise BadOption(
                        "a camera that changes its size", "the same size all along is needed", "start again"
                    )
                if last is None or frame.pts > last.pts:
                    self._run.push(frame)
                    last = frame
        except TweenError as error:
            self.error = error
        finally:
            self.is_over = True


def _show(run: LiveRun, feeding: _Feeding, tell: Callable[[dict[str, Any]], None]) -> None:
    told = time.monotonic()
    while not feeding.is_over:
        shown = run.take(WAIT_S)
        if shown is not None:
            tell(
                {
                    "status": {
                        "picture": base64.b64encode(jpeg_of(shown.frame)).decode(),
                        "ms": float(shown.frame.pts * 1000),
                    }
                }
            )
            run.showed(shown)
        if time.monotonic() - told > STATS_S:
            told = time.monotonic()
            tell({"status": {"stats": run.stats().as_json()}})
    if feeding.error is not None:
        raise feeding.error


def picture_of(data: bytes) -> torch.Tensor:
    """A JPEG as uint8 RGB `[3, H, W]`.

    Raises:
        BadOption: it is none, or too large; its size is looked at before it is decoded.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as opened:
            width, height = opened.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        width = height = 0
    if not (16 <= width <= max(LARGEST) and 16 <= height <= max(LARGEST) and width * height <= LARGEST[0] * LARGEST[1]):
        raise BadOption("what is no picture of a camera", f"a JPEG of {LARGEST[1]}x{LARGEST[0]} at most is needed")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise BadOption("what is no picture of a camera", "a whole JPEG is needed")
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def jpeg_of(frame: Frame) -> bytes:
    """A frame's picture as a JPEG."""
    pixels = frame.data[:3].permute(1, 2, 0).numpy()
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes()
