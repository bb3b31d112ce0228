"""tween as a VapourSynth filter, without torch: an exported network, run by ONNX Runtime or OpenVINO.

Once, where tween is installed:        python tween_vs.py ifrnet-s 720 1280 ifrnet-s.onnx

In a script, with this file beside it:  import vapoursynth as vs
                                        import tween_vs
                                        clip = vs.core.ffms2.Source("in.mkv")
                                        clip = tween_vs.interpolate(clip, "ifrnet-s.onnx", times=2)
                                        clip.set_output()

It needs numpy and either onnxruntime or openvino. Tried with VapourSynth R81 on Linux, from Python and vspipe, on
clips made there;
never in an editor or a player, and never with a source plugin.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

OPSET = 20  # the first with GridSample as torch means it
AT = "at_"  # inputs are called after when their frames are, in gaps: at_0, at_1, at_-1
ANY, MIDDLE = "t", "middle"  # and the last one: any time in the gap, or 1/2 alone


class Network:
    """An exported network for pictures of one size.

    Args:
        path: an .onnx file written by `export`.
        runtime: "onnxruntime" or "openvino"; None takes the one that is installed, the first if both are.

    Attributes:
        context: when the frames that it sees are, in gaps: 0 and 1 are those around the gap.
        any_time: False if it knows only the middle.

    Raises:
        ImportError: neither runtime is installed. ValueError: the file is no export of this kind.
    """

    def __init__(self, path: str | Path, runtime: str | None = None) -> None:
        names, self._size, self._run = _opened(str(path), runtime)
        self._frames = [name for name in names if name.startswith(AT)]
        self.context = tuple(int(name[len(AT) :]) for name in self._frames)
        self._times = [name for name in names if name in (ANY, MIDDLE)]
        self.any_time = ANY in names
        if 0 not in self.context or 1 not in self.context:
            raise ValueError(f"{path} shows nothing between two frames: its inputs are {', '.join(names)}")

    def between(self, frames: list[np.ndarray], t: float) -> np.ndarray:
        """Frames float32 RGB `[3, H, W]` in [0, 1], one for each of `context`, and t in (0, 1) -> the same at t.

        Raises:
            ValueError: pictures larger than the export, or a t that it does not know.
        """
        if not self.any_time and t != 0.5:
            raise ValueError(f"t = {t:g}: this network knows only the middle, times=2")
        height, width = frames[0].shape[1:]
        tall, wide = self._size[0] - height, self._size[1] - width
        if tall < 0 or wide < 0:
            raise ValueError(f"pictures of {width}x{height}, and an export for {self._size[1]}x{self._size[0]} at most")
        margin = ((0, 0), (tall // 2, tall - tall // 2), (wide // 2, wide - wide // 2))
        given = {
            name: np.pad(frame, margin, mode="edge")[None].astype(np.float32)
            for name, frame in zip(self._frames, frames, strict=True)
        }
        given |= {name: np.array([t], np.float32) for name in self._times}
        picture = self._run(given)[0]
        return picture[:, tall // 2 : tall // 2 + height, wide // 2 : wide // 2 + width].clip(0, 1)


def interpolate(clip: Any, model: str | Path | Network, times: int = 2, matrix: str = "709") -> Any:
    """`times` frames for each one of a VapourSynth clip; L frames become (L - 1) * times + 1. Originals are untouched.

    Where a frame has the property `_SceneChangeNext` (misc.SCDetect sets it), the nearer frame is held.

    Args:
        clip: of constant format, YUV or RGB.
        model: an exported file, or a Network.
        times: 2 and more.
        matrix: of YUV: VapourSynth's name, used both ways.
    """
    import vapoursynth as vs

    if times < 2 or clip.format is None:
        raise ValueError("times of 2 and more, and a clip of one format, are needed")
    network = model if isinstance(model, Network) else Network(model)
    is_yuv = clip.format.color_family != vs.RGB
    rgb = clip.resize.Bicubic(format=vs.RGBS, **({"matrix_in_s": matrix} if is_yuv else {}))
    context = [_shifted(rgb, place) for place in network.context]
    back = {"format": clip.format.id, **({"matrix_s": matrix} if is_yuv else {})}
    parts = [clip]
    for k in range(1, times):
        show = partial(_shown, network=network, t=Fraction(k, times))
        parts.append(rgb.std.ModifyFrame(context, show).resize.Bicubic(**back))
    return vs.core.std.Interleave(parts)[: (clip.num_frames - 1) * times + 1]


def _shown(n: int, f: Any, network: Network, t: Fraction) -> Any:  # noqa: ARG001  VapourSynth names both
    before, after = f[network.context.index(0)], f[network.context.index(1)]
    if before.props.get("_SceneChangeNext"):
        return before if t < Fraction(1, 2) else after
    frames = [np.stack([np.asarray(frame[plane]) for plane in range(3)]) for frame in f]
    picture, shown = network.between(frames, float(t)), before.copy()
    for plane in range(3):
        np.copyto(np.asarray(shown[plane]), picture[plane])
    return shown


def _shifted(clip: Any, places: int) -> Any:
    """The clip whose frame n is frame n + places of this one; its ends are held."""
    if places >= 0:
        return clip[places:] + clip[-1] * min(places, clip.num_frames) if 0 < places < clip.num_frames else clip
    return clip[0] * -places + clip[:places] if -places < clip.num_frames else clip


def _opened(path: str, runtime: str | None) -> tuple[list[str], tuple[int, int], Any]:
    """Names of the inputs, (H, W) of the pictures, and a function from named arrays to the first output."""
    if runtime in (None, "onnxruntime"):
        try:
            import onnxruntime

            session = onnxruntime.InferenceSession(path, providers=onnxruntime.get_available_providers())
            ports = session.get_inputs()
            height, width = ports[0].shape[-2:]
            return [port.name for port in ports], (height, width), lambda given: session.run(None, given)[0]
        except ImportError:
            if runtime is not None:
                raise
    import openvino

    compiled = openvino.Core().compile_model(path, "AUTO", {"INFERENCE_PRECISION_HINT": "f32"})
    shape = compiled.inputs[0].shape
    return [port.any_name for port in compiled.inputs], (shape[2], shape[3]), lambda given: compiled(given)[0]


def export(name: str, size: tuple[int, int], path: str | Path) -> None:
    """Write a model of `tween models` for pictures of (H, W) and less. This alone needs tween and torch."""
    from tween.models import zoo

    write(zoo.load(name), size, path)


def write(model: Any, size: tuple[int, int], path: str | Path) -> None:
    """Write a model that is at hand, as `export` does."""
    import torch

    from tween.ops.canvas import Canvas

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model.eval()

        def forward(self, *inputs: Any) -> Any:
            return self.model(torch.stack(inputs[:-1], 1), inputs[-1]).frame

    context = model.spec.context
    frames = [torch.rand(1, 3, *Canvas(size, model.spec.multiple).size) for _ in context]
    with torch.inference_mode():
        program = torch.onnx.export(
            Whole().eval(),
            (*frames, torch.full((1,), 0.5)),
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            input_names=[*(f"{AT}{place}" for place in context), ANY if model.spec.any_time else MIDDLE],
        )
    Path(path).write_bytes(program.model_proto.SerializeToString())


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit("usage: python tween_vs.py MODEL HEIGHT WIDTH OUT.onnx")
    export(sys.argv[1], (int(sys.argv[2]), int(sys.argv[3])), sys.argv[4])
