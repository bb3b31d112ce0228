"""The promises of `tween interpolate`, held against every video of a folder: counts, times, duration, sound, tags.

    python benchmarks/dev_laws.py --root CLIPS [--model nearest]

For each file: `--times 2` must give 2n - 1 frames at exact times that last as long as the source, `--rate 60` the
frames of its law; sound packets must be equal to the byte, colour tags as ffprobe shows them equal.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av

import tween

TAGS = "color_range,color_space,color_transfer,color_primaries,sample_aspect_ratio"
VIDEOS = {".mp4", ".mov", ".mkv", ".webm"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--model", default="nearest", help="the laws are the pipeline's, so the quickest will do")
    args = parser.parse_args()
    files = sorted(path for path in args.root.iterdir() if path.suffix in VIDEOS)
    broken = 0
    for path in files:
        with tempfile.TemporaryDirectory() as folder:
            faults = [*check(path, Path(folder), args.model, times=2), *check(path, Path(folder), args.model, rate=60)]
        broken += bool(faults)
        print(f"{path.name:<36} {'; '.join(faults) or 'holds'}", flush=True)
    print(f"{len(files) - broken} of {len(files)} hold")
    return 1 if broken else 0


def check(path: Path, folder: Path, model: str, **wanted: int) -> list[str]:
    """What does not hold for one file and one wish, in words."""
    out = folder / f"{path.stem}{'.mkv' if path.suffix == '.webm' else path.suffix}"
    report = tween.interpolate(path, out, model=model, preset="ultrafast", overwrite=True, **wanted)
    before, after = pts_of(path), pts_of(out)
    duration = before[-1][0] + before[-1][1] - before[0][0]
    if "times" in wanted:
        expected = doubled([pts for pts, _ in before])
    else:
        count = -(-duration * wanted["rate"] // 1)
        expected = [before[0][0] + Fraction(k, wanted["rate"]) for k in range(int(count))]
    label = " ".join(f"{key} {value}" for key, value in wanted.items())
    faults = []
    if len(after) != len(expected):
        faults.append(f"{len(after)} frames for {len(expected)}")
    grid = Fraction(1, 1000) if out.suffix == ".mkv" else Fraction(0)  # Matroska counts milliseconds
    if any(abs(a - b) > grid for (a, _), b in zip(after, expected, strict=False)):
        faults.append("times differ")
    if "times" in wanted and abs(after[-1][0] + after[-1][1] - after[0][0] - duration) > grid:
        faults.append(f"lasts {float(after[-1][0] + after[-1][1] - after[0][0])} s for {float(duration)}")
    if sound_of(path) != sound_of(out):
        faults.append("sound differs")
    if tags_of(path) != tags_of(out):
        faults.append(f"tags {tags_of(out)} for {tags_of(path)}")
    if report.notes:
        print(f"  {path.name}, {label}: {'; '.join(report.notes)}")
    return [f"{label}: {fault}" for fault in faults]


def doubled(times: list[Fraction]) -> list[Fraction]:
    middles = [(a + b) / 2 for a, b in pairwise(times)]
    return sorted(times + middles)


def pts_of(path: Path) -> list[tuple[Fraction, Fraction]]:
    """(pts, duration) of every picture, seconds, in order of display.

    The last one is shown until its stream ends, or for one step of the rate where a jump in the clock has outrun the
    length that the stream claims.
    """
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        grid = stream.time_base
        shown = [(p.pts * grid, (p.duration or 0) * grid) for p in container.demux(stream) if p.pts is not None]
        length = stream.duration * grid if stream.duration else None
        step = 1 / stream.average_rate if stream.average_rate else Fraction(0)
    shown.sort()
    if length is not None:
        left = shown[0][0] + length - shown[-1][0]
        shown[-1] = (shown[-1][0], left if left > 0 else step)
    return [(pts, shown[k + 1][0] - pts if k + 1 < len(shown) else last) for k, (pts, last) in enumerate(shown)]


def sound_of(path: Path) -> list[tuple[bytes, Fraction]]:
    with av.open(str(path)) as container:
        streams = container.streams.audio
        packets = container.demux(*streams) if streams else []
        return [(bytes(p), round(p.pts * p.time_base * 1000)) for p in packets if p.pts is not None]


def tags_of(path: Path) -> dict[str, str]:
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", f"stream={TAGS}", "-of", "json"]
    shown = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True)
    tags: dict[str, str] = json.loads(shown.stdout)["streams"][0]
    return tags


if __name__ == "__main__":
    sys.exit(main())
