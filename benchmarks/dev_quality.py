"""How good are the frames in between, on real clips? Prints the table of docs/benchmarks.md.

    python benchmarks/dev_quality.py --root DIR [--methods nearest,blend,mci,dis,tweennet] [--middlebury DIR]
    python benchmarks/dev_quality.py --root DIR --speed

DIR holds clips and a MANIFEST.tsv (columns clip, file, start, step, crop as x,y,w,h). From every second clip the first
nine frames are taken, at the row's step. The even ones are kept; the odd ones are hidden and rendered at t = 1/2 from
their two neighbours, or from as many of the even ones as a model looks at; at the ends the last one repeats.

The figure: mean squared error over all pixels and channels of the hidden frame, 8-bit RGB against 8-bit RGB (ours
rounded), inside the crop; 10 log10(255^2 / mse), capped at 100 dB, is the frame's PSNR; the mean over the four frames
is the clip's; the mean over the clips is the table's last line.

`mci` is ffmpeg's `minterpolate=fps=2x:mi_mode=mci`. It is given the decoder's own YUV planes, uncropped, so that it
pays for no conversion, and its frames become RGB as the truth's do. Its first and last frames are each fed three
times, for the filter drops what it has no neighbours for; it is then checked that the frames it was given come out
untouched at the even places, so that the odd places are the hidden frames.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from tween.models import zoo
from tween.ops.canvas import Canvas, to_float, to_integer

FRAMES = 9
LEAD = 2  # how often more the first and last frames are fed to ffmpeg
Picture = np.ndarray[Any, np.dtype[np.uint8]]  # [H, W, 3]


@dataclass(frozen=True)
class Clip:
    """Nine decoded frames of one row of the manifest, and the part of them that counts."""

    name: str
    native: list[av.VideoFrame]
    crop: tuple[int, int, int, int] | None  # x, y, width, height

    def picture(self, frame: av.VideoFrame) -> Picture:
        """The cropped RGB `[H, W, 3]` of a frame of this clip."""
        rgb = frame.to_ndarray(format="rgb24")
        if self.crop is None:
            return rgb
        x, y, width, height = self.crop
        return rgb[y : y + height, x : x + width]


def clips(root: Path, every: int) -> Iterator[Clip]:
    """Every `every`-th clip of the manifest, decoded."""
    with (root / "MANIFEST.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    for row in rows[::every]:
        crop = tuple(int(value) for value in row["crop"].split(",")) if row["crop"] else None
        start, step = int(row["start"]), int(row["step"])
        wanted = [start + step * i for i in range(FRAMES)]
        yield Clip(row["clip"], decoded(root / row["file"], wanted), crop)  # type: ignore[arg-type]


def decoded(path: Path, wanted: list[int]) -> list[av.VideoFrame]:
    """The frames whose places in presentation order are `wanted`, ascending."""
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for place, frame in enumerate(container.decode(stream)):
            if place in wanted:
                found.append(frame)
            if place >= wanted[-1]:
                return found
    raise SystemExit(f"{path} ends before frame {wanted[-1]}")


def by_model(name: str) -> Callable[[Clip], list[Picture]]:
    """A model of the zoo as a method: the clip's hidden frames, rendered from their neighbours."""
    model = zoo.load(name)

    def render(clip: Clip) -> list[Picture]:
        kept = [clip.picture(frame) for frame in clip.native[::2]]
        return [between(model, kept, gap) for gap in range(len(kept) - 1)]

    return render


def between(model: torch.nn.Module, kept: list[Picture], gap: int = 0) -> Picture:
    """The 8-bit frame at t = 1/2 in a gap between frames."""
    canvas = Canvas(kept[0].shape[:2], model.spec.multiple)
    context = [kept[min(max(gap + k, 0), len(kept) - 1)] for k in model.spec.context]
    frames = [canvas.pad(to_float(torch.from_numpy(p.transpose(2, 0, 1).copy())).unsqueeze(0)) for p in context]
    with torch.inference_mode():
        seen = model(torch.stack(frames, 1), torch.tensor([0.5])).frame
    return to_integer(canvas.crop(seen)[0], torch.uint8).permute(1, 2, 0).numpy()


def by_ffmpeg(mode: str) -> Callable[[Clip], list[Picture]]:
    """ffmpeg's minterpolate as a method."""

    def render(clip: Clip) -> list[Picture]:
        kept = clip.native[::2]
        fed = [kept[0]] * LEAD + kept + [kept[-1]] * LEAD
        out = minterpolate(fed, mode)
        given = out[2 * LEAD : 2 * (LEAD + len(kept)) - 1 : 2]
        for ours, theirs in zip(kept, given, strict=True):
            if not np.array_equal(ours.to_ndarray(), theirs.to_ndarray()):
                raise SystemExit(f"{clip.name}: ffmpeg's frames are not where we look for them")
        return [clip.picture(frame) for frame in out[2 * LEAD + 1 : 2 * (LEAD + len(kept)) - 1 : 2]]

    return render


def minterpolate(frames: list[av.VideoFrame], mode: str) -> list[av.VideoFrame]:
    """Raw planes through `ffmpeg -vf minterpolate` at twice the rate."""
    first = frames[0]
    kind = ["-f", "rawvideo", "-pix_fmt", first.format.name]
    line = ["ffmpeg", "-v", "error", *kind, "-s", f"{first.width}x{first.height}", "-r", "30", "-i", "-"]
    line += ["-vf", f"minterpolate=fps=60:mi_mode={mode}", *kind, "-"]
    sent = b"".join(frame.to_ndarray().tobytes() for frame in frames)
    back = subprocess.run(line, input=sent, stdout=subprocess.PIPE, check=True).stdout
    shape = first.to_ndarray().shape
    return [like(first, planes) for planes in np.frombuffer(back, np.uint8).reshape(-1, *shape)]


def like(frame: av.VideoFrame, planes: np.ndarray[Any, Any]) -> av.VideoFrame:
    """Planes as a frame that becomes RGB as `frame` does."""
    made = av.VideoFrame.from_ndarray(np.ascontiguousarray(planes), format=frame.format.name)
    made.colorspace, made.color_range = frame.colorspace, frame.color_range
    return made


def psnr(a: Picture, b: Picture) -> float:
    """dB of two 8-bit pictures, all channels together, at most 100."""
    error = float(np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2, dtype=np.float64))
    return min(100.0, 10 * np.log10(255**2 / max(error, 1e-12)))


def dev_table(
    root: Path, every: int, methods: dict[str, Callable[[Clip], list[Picture]]]
) -> dict[str, dict[str, float]]:
    """Clip name -> method -> dB. Prints as it goes."""
    table: dict[str, dict[str, float]] = {}
    for clip in clips(root, every):
        truth = [clip.picture(frame) for frame in clip.native[1::2]]
        row = {}
        for name, method in methods.items():
            row[name] = float(np.mean([psnr(a, b) for a, b in zip(method(clip), truth, strict=True)]))
        table[clip.name] = row
        show(clip.name, row)
    return table


def middlebury_table(root: Path, names: list[str]) -> dict[str, dict[str, float]]:
    """Scene -> method -> dB of the official middle frame (frame10, frame11 -> frame10i11)."""
    from PIL import Image

    table: dict[str, dict[str, float]] = {}
    for scene in sorted(path for path in root.iterdir() if path.is_dir()):
        a, b, truth = (
            np.array(Image.open(scene / f"{n}.png").convert("RGB")) for n in ("frame10", "frame11", "frame10i11")
        )
        table[scene.name] = {name: psnr(between(zoo.load(name), [a, b]), truth) for name in names}
        show(scene.name, table[scene.name])
    return table


def speed_table(root: Path, names: list[str], repeats: int = 12) -> dict[str, dict[str, float]]:
    """Method -> milliseconds (the least of `repeats`) of each verb and of one whole gap of x2, on the first 1280x720
    clip. ffmpeg's is the time that `repeats` gaps take beyond what the first two do, divided by their number."""
    clip = next(clip for clip in clips(root, 1) if clip.native[0].width == 1280)
    table: dict[str, dict[str, float]] = {}
    for name in names:
        table[name] = ffmpeg_speed(clip, repeats) if name == "mci" else model_speed(clip, name, repeats)
        print(f"| {name} | " + ", ".join(f"{step} {ms:.0f} ms" for step, ms in table[name].items()) + " |", flush=True)
    return table


def model_speed(clip: Clip, name: str, repeats: int) -> dict[str, float]:
    """A model's verbs, one frame and one gap at a time, as a pipeline calls them."""
    model, half = zoo.load(name), torch.tensor([0.5])
    frames = [to_float(torch.from_numpy(clip.picture(f).transpose(2, 0, 1).copy())).unsqueeze(0) for f in clip.native]
    marks = []
    with torch.inference_mode():
        context = [model.embed(frames[i]) for i in range(len(model.spec.context))]
        for i in range(len(context), len(context) + repeats):
            start = time.perf_counter()
            context = [*context[1:], model.embed(frames[i % FRAMES])]
            embedded = time.perf_counter()
            scene = model.relate(context)
            related = time.perf_counter()
            model.render(scene, half)
            rendered = time.perf_counter()
            marks.append((embedded - start, related - embedded, rendered - related, rendered - start))
    return dict(
        zip(("embed", "relate", "render", "gap"), (1e3 * min(m) for m in zip(*marks, strict=True)), strict=True)
    )


def ffmpeg_speed(clip: Clip, repeats: int) -> dict[str, float]:
    """ffmpeg's time a gap, without its start."""
    spent = []
    for count in (2, 2 + repeats):
        frames = [clip.native[i % FRAMES] for i in range(count + 4)]
        start = time.perf_counter()
        minterpolate(frames, "mci")
        spent.append(time.perf_counter() - start)
    return {"gap": 1e3 * (spent[1] - spent[0]) / repeats}


def show(name: str, row: dict[str, float]) -> None:
    print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in row.values()) + " |", flush=True)


def mean_row(table: dict[str, dict[str, float]]) -> dict[str, float]:
    """Method -> mean over the rows."""
    names = next(iter(table.values()))
    return {name: float(np.mean([row[name] for row in table.values()])) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--root", type=Path, required=True, help="folder of clips and MANIFEST.tsv")
    parser.add_argument("--methods", default="nearest,blend,mci,dis,tweennet")
    parser.add_argument("--every", type=int, default=2, help="take every n-th clip")
    parser.add_argument("--middlebury", type=Path, help="also the Middlebury scenes in this folder")
    parser.add_argument("--speed", action="store_true", help="measure only the speed, at 1280x720")
    parser.add_argument("--json", type=Path, help="write the table here as well")
    options = parser.parse_args()
    names = options.methods.split(",")
    if options.speed:
        speed_table(options.root, names)
        return
    methods = {name: by_ffmpeg("mci") if name == "mci" else by_model(name) for name in names}
    began = time.perf_counter()
    print("| clip | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    tables = {"dev": dev_table(options.root, options.every, methods)}
    show("**mean**", mean_row(tables["dev"]))
    if options.middlebury:
        tables["middlebury"] = middlebury_table(options.middlebury, [name for name in names if name != "mci"])
        show("**mean, Middlebury**", mean_row(tables["middlebury"]))
    print(f"{time.perf_counter() - began:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(tables, indent=1))


if __name__ == "__main__":
    main()
