"""Ten minutes of `tween live` on a looping file: does memory stay flat, does time drift, what is dropped?

    python benchmarks/live_soak.py --minutes 10 --size 360,640 --json soak.json
    python benchmarks/live_soak.py --seconds 20 --size 180,320 270,480 360,640      # which size is held
    python benchmarks/live_soak.py --cost dis dis-fast blend --size 360,640         # CPU time a gap
    (more: --hold-rate --model blend --predict)

A clip is drawn and encoded (H.264, 30 frames a second), then played in a loop through the pipeline that `tween live
--show none` runs. Once a second: memory of the process (resident), the difference between the machine's clock and the
pts that is shown, pictures shown and dropped.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import torch

from tween.backends.prepare import prepare
from tween.live.session import Session
from tween.models import zoo
from tween.pipeline.gaps import Gaps
from tween.pipeline.live_start import LiveConfig, live_run
from tween.pipeline.pace import now
from tween.video.cuts import CutDetector
from tween.video.doors import open_source
from tween.video.looping import Looping

RATE = 30


def clip(path: Path, size: tuple[int, int], frames: int = 120) -> Path:
    """A textured wall that slides, and a disc that crosses it."""
    height, width = size
    generator = np.random.default_rng(0)
    wall = np.kron(generator.integers(30, 226, (height // 8 + 1, width // 4 + 1, 3)), np.ones((8, 8, 1)))
    y, x = np.mgrid[:height, :width]
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "20"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for k in range(frames):
            picture = wall[:height, 2 * k % width : 2 * k % width + width].astype(np.uint8).copy()
            disc = (x - (5 * k) % width) ** 2 + (y - height // 2) ** 2 < (height // 6) ** 2
            picture[disc] = (230, 40, 40)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode(None))
    return path


def resident_mb() -> float:
    """Memory of this process that is really there, MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def soak(path: Path, config: LiveConfig, seconds: float, every: float) -> dict[str, object]:
    """Play for so long -> what was seen once a second, and the run's own figures."""
    source = Looping(lambda: open_source(path))
    run = live_run(config, source_rate=source.info.rate, say=print)
    rows, told = [], now()
    with source, Session(path.name, source, run, seconds=Fraction(seconds)) as session:
        while not session.is_over:
            shown = session.next(0.1)
            if shown is None:
                continue
            run.showed(shown)
            if now() - told >= Fraction(every):
                told += Fraction(every)
                drift = now() - session.capture.begun - run.pace.delay - shown.frame.pts
                stats = run.stats()
                rows.append(
                    {
                        "s": round(stats.seconds, 2),
                        "rss_mb": round(resident_mb(), 1),
                        "drift_ms": round(float(drift) * 1000, 2),
                        "shown": stats.shown,
                        "dropped": stats.dropped,
                        "fps": round(stats.fps_out, 2),
                    }
                )
    return {"rows": rows, "stats": run.stats().as_json(), "load": os.getloadavg(), "cores": os.cpu_count()}


def cost(path: Path, model: str, gaps: int = 20) -> float:
    """CPU time that a gap with one picture in it takes, ms, over all threads: other jobs hardly change it."""
    with open_source(path) as source:
        frames = list(islice(source, gaps + 2))
    backend = prepare(zoo.load(model), frames[0].size)
    torch.set_num_threads(1)
    window = Gaps(backend, frames[0].size, CutDetector())
    begun = 0.0
    for k, frame in enumerate(frames):
        gap = window.take(frame)
        if gap is not None:
            gap.picture(frame.pts, Fraction(1, 2))
        begun = time.process_time() if k == 1 else begun  # the first gap warms up
    return (time.process_time() - begun) / gaps * 1000


def tell(size: tuple[int, int], found: dict) -> None:
    """The figures that matter, in words."""
    rows, stats = found["rows"], found["stats"]
    settled = rows[len(rows) // 10 :] or rows
    memory, drift = [row["rss_mb"] for row in settled], [row["drift_ms"] for row in settled]
    tenth, lost = max(1, len(memory) // 10), stats["dropped"] / max(1, stats["wanted"])
    print(f"{size[1]}x{size[0]}: {stats['model']} at {stats['size'][1]}x{stats['size'][0]}, {stats['seconds']:.0f} s")
    print(
        f"  shown {stats['shown']} ({stats['mean_fps_out']:.2f} fps), dropped {stats['dropped']} of {stats['wanted']} "
        f"({lost:.1%}), late {stats['late']}, frames passed over {stats['skipped']}"
    )
    print(
        f"  latency {stats['latency_ms']:.1f} ms median, {stats['latency_p95_ms']:.1f} ms p95; busy {stats['busy']:.2f}"
    )
    print(
        f"  memory {statistics.mean(memory[:tenth]):.0f} MB in the first tenth, "
        f"{statistics.mean(memory[-tenth:]):.0f} MB in the last, {max(memory):.0f} at most"
    )
    print(
        f"  shown pts against the clock: {statistics.median(drift[:tenth]):.2f} ms in the first tenth, "
        f"{statistics.median(drift[-tenth:]):.2f} ms in the last; load {found['load'][0]:.1f} on {found['cores']} cores"
    )
    for step in stats["steps"]:
        print(f"  {step}")


def main() -> None:
    """Parse, play, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--every", type=float, default=1)
    parser.add_argument("--size", nargs="+", default=["360,640"])
    parser.add_argument("--model", default="default")
    parser.add_argument("--predict", action="store_true")
    parser.add_argument("--hold-rate", action="store_true")
    parser.add_argument("--cost", nargs="+", default=[])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    config = LiveConfig(model=args.model, predict=args.predict, hold_rate=args.hold_rate)
    kept = {}
    for text in args.size:
        height, width = (int(side) for side in text.split(","))
        with tempfile.TemporaryDirectory() as folder:
            path = clip(Path(folder) / "clip.mp4", (height, width))
            for model in args.cost:
                print(f"{width}x{height}: {model} {cost(path, model):.1f} ms of CPU time a gap")
            if args.cost:
                continue
            found = soak(path, config, args.minutes * 60 or args.seconds, args.every)
        tell((height, width), found)
        kept[text] = found
    if args.json is not None:
        args.json.write_text(json.dumps(kept))


if __name__ == "__main__":
    main()
