"""What a batch takes beyond rendering: one long film against `tween interpolate`, and many small clips.

    python benchmarks/batch_overhead.py film  ../shared/data/dev/sintel_trailer_000.mp4 --minutes 2 --json film.json
    python benchmarks/batch_overhead.py clips ../shared/data/dev/sintel_trailer_000.mp4 --count 200 --json clips.json

film    the clip is repeated to so many minutes (packets copied) and rendered by `tween interpolate` and by
        `tween batch --workers 1`: wall time, and CPU time of all processes, which a busy machine disturbs less
clips   so many small clips; what is lost is the share of the workers' time in which they have no task
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av


def repeated(clip: Path, path: Path, seconds: float) -> Path:
    """A clip over and over, its packets copied, at least so long."""
    with av.open(str(path), "w") as out:
        target = None
        offset = 0.0
        while offset < seconds:
            with av.open(str(clip)) as source:
                video = source.streams.video[0]
                target = target or out.add_stream_from_template(video)
                tick, length = video.time_base, 0.0
                for packet in source.demux(video):
                    if packet.pts is None:
                        continue
                    length = max(length, float((packet.pts + (packet.duration or 0)) * tick))
                    packet.pts, packet.dts = (round(offset / tick) + t for t in (packet.pts, packet.dts))
                    packet.stream = target
                    out.mux(packet)
                offset += length
    return path


def cut(clip: Path, folder: Path, count: int, frames: int) -> Path:
    """So many clips of the first frames, packets copied."""
    folder.mkdir()
    for k in range(count):
        with av.open(str(clip)) as source, av.open(str(folder / f"{k:03d}.mp4"), "w") as out:
            video = source.streams.video[0]
            target = out.add_stream_from_template(video)
            for number, packet in enumerate(source.demux(video)):
                if number >= frames or packet.dts is None:
                    break
                packet.stream = target
                out.mux(packet)
    return folder


def timed(words: list[str]) -> dict[str, Any]:
    """Run tween; wall and CPU seconds of it and all below it, and the last line that it printed."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    load = os.getloadavg()[0]
    done = subprocess.run(
        [sys.executable, "-m", "tween", *words, "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "wall_s": round(time.perf_counter() - begun, 2),
        "cpu_s": round(cpu, 2),
        "load": round((load + os.getloadavg()[0]) / 2, 2),
        **json.loads(done.stdout.splitlines()[-1]),
    }


def film(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One long film, both ways."""
    source = repeated(args.clip, folder / "film.mp4", args.minutes * 60)
    options = ["--times", "2", "--model", args.model, *(["--preset", args.preset] if args.preset else [])]
    rows: dict[str, Any] = {"model": args.model, "preset": args.preset, "bytes": source.stat().st_size}
    for k in range(args.runs):
        rows[f"interpolate {k}"] = timed(["interpolate", str(source), "-o", str(folder / f"plain{k}.mp4"), *options])
        rows[f"batch {k}"] = timed(
            ["batch", str(source), "-o", str(folder / f"out{k}"), *options, "--workers", str(args.workers)]
        )
        rows["same file"] = (folder / f"plain{k}.mp4").read_bytes() == (folder / f"out{k}" / "film.mp4").read_bytes()
        for path in (folder / f"plain{k}.mp4", folder / f"out{k}" / "film.mp4"):
            path.unlink()
    for what in ("wall_s", "cpu_s"):
        plain, batch = (sum(rows[f"{kind} {k}"][what] for k in range(args.runs)) for kind in ("interpolate", "batch"))
        rows[f"{what} more"] = round(batch / plain - 1, 4)
    return rows


def clips(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Many small clips: what workers wait."""
    cut(args.clip, folder / "in", args.count, args.frames)
    row = timed(
        ["batch", str(folder / "in"), "-o", str(folder / "out"), "--times", "2", "--model", args.model,
         "--workers", str(args.workers)]
    )  # fmt: skip
    row["lost to scheduling"] = round(1 - row["busy_seconds"] / (row["seconds"] * args.workers), 4)
    return row


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("film", "clips"))
    parser.add_argument("clip", type=Path)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--model", default="dis")
    parser.add_argument("--preset", default="")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = film(args, Path(folder)) if args.what == "film" else clips(args, Path(folder))
    text = json.dumps(found, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
