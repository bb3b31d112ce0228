"""Runs a file that `tween export` wrote, by ONNX Runtime or OpenVINO: a graph from frames to frame."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..errors import BadOption
from ..models.exported import Exported
from ..models.model import Tensors


class FileBackend:
    """A file as a backend: all of its work is in `render`.

    Args:
        model: the file.
        size: (H, W) of the tensors, multiples of `spec.multiple`.
        device: `cpu`; of an ONNX file also as for `OnnxBackend`.

    Raises:
        BadOption: the file is for frames of another size; or as `Exported.session` says.
    """

    def __init__(self, model: Exported, size: tuple[int, int], *, device: str = "cpu") -> None:
        self.name, self.spec, self.precision, self.device = model.engine, model.spec, model.card.precision, device
        if model.card.size not in (None, size):
            assert model.card.size is not None
            height, width = model.card.size
            got = f"{model.path} is for frames of {width}x{height}, and these take {size[1]}x{size[0]}"
            raise BadOption(got, "a file for their size, or for any, is needed", anew(model, size))
        self._model, self._session = model, model.session(device)

    def embed(self, frame: Tensor) -> Tensors:
        """`[B, 3, *size]` in [0, 1]: the frame."""
        return (frame,)

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """The frames of the context."""
        return self._model.relate(context)

    def render(self, scene: Tensors, t: Tensor) -> Tensor:
        """Frames and `t` `[B]` -> `[B, 3, *size]` in [0, 1]."""
        return self._model.run(self._session, scene, t)


def anew(model: Exported, size: tuple[int, int]) -> str:
    """What to type for the same file, for frames of another size (H, W)."""
    card = model.card
    how = "" if card.precision == "fp32" else f" --precision {card.precision}"
    if card.calibration is not None:
        how = f" --int8 --calibrate {card.calibration.film}"
    origin, form = card.weights or card.model, model.engine
    return f"tween export {origin} --format {form} --size {size[0]},{size[1]}{how} -o {model.path.name}"
