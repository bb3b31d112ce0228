"""How a batch would scale: measured parts, played through by so many workers as nobody here has.

    python benchmarks/batch_scaling.py measure CLIP --model dis --json parts.json     a few parts, rendered for real
    python benchmarks/batch_scaling.py simulate parts.json                            a film and a library, 1 to 1000

What is played through is what `tween batch` does: parts of the length that it chooses, the first waiting one to whoever
is idle, films in order. A part takes the time to enter it (open the film, decode from the keyframe, let detectors
settle) and that of its segments; both are drawn from what was measured. The driver takes in one segment at a time.
A straggler is a worker that is slower all along (another machine, another user on it).
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import tempfile
import time
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from tween.batch.film import LONGEST, length_for
from tween.batch.segments import Seam, begins, passes_on_paper, seams
from tween.models import zoo
from tween.pipeline.config import RenderConfig, timeline_of
from tween.pipeline.journal import SEGMENT_FRAMES, Mark
from tween.pipeline.kit import Kit
from tween.pipeline.part import Part, render_part
from tween.pipeline.recipe import bound, opened
from tween.video.shown import shown

SEAMS = [Seam(k, Mark(Fraction(k), (), ()), Fraction(0), 0) for k in range(1, 20_000)]  # each as good as any
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Render parts of one segment, each entered in the middle of the clip."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        config = RenderConfig(args.clip, Path(name, "out.mp4"), times=args.times, model=args.model)
        with opened(config) as source:
            timeline, _ = bound(timeline_of(config), source.info)
            pictures = shown(source) or []
            passes = passes_on_paper(zoo.load(args.model).spec, timeline, source.info, config)
            found = seams(pictures, passes, args.frames)
        kit = Kit()
        for number, seam in enumerate(found[: args.parts + 1]):
            part = Part(config, seam.number, 1, args.frames, pictures[0].pts, seam.since, True, seam.settled)
            folder = Path(name, f"{number}")
            folder.mkdir()
            cpu = time.process_time()
            report = render_part(part, kit, folder, made=lambda *_: None, watch=lambda: None)
            row = {"seconds": report.seconds, "enter_s": report.enter_s, "cpu_s": time.process_time() - cpu}
            rows += [row] if number else []  # the first one warms up
    return {"model": args.model, "clip": args.clip.name, "frames": args.frames, "parts": rows}


@dataclass(frozen=True)
class Costs:
    """What was measured.

    Attributes:
        enter: seconds to enter a part, each. frame: seconds a frame, each.
        take: the driver's seconds for each segment. join: seconds a frame, to put a film together.
    """

    enter: list[float]
    frame: list[float]
    take: float
    join: float


@dataclass(frozen=True)
class Played:
    """A batch, played through.

    Attributes:
        seconds: from beginning to end. speedup: against one worker without parts.
        waste: share of the workers' work that entering parts took. idle: share of their time without work.
    """

    seconds: float
    speedup: float
    waste: float
    idle: float


def play(
    costs: Costs, films: list[int], workers: int, *, length: int | None = None, slow: float = 0.0, by: float = 3.0,
    seed: int = 1,
) -> Played:  # fmt: skip
    """So many frames a film, on so many workers, a share `slow` of which is slower `by` a factor."""
    drawn = random.Random(seed)
    pace = [by if drawn.random() < slow else 1.0 for _ in range(workers)]
    idle = [(0.0, k) for k in range(workers)]
    driver = last = entering = rendering = 0.0
    for frames in films:
        segments = -(-frames // SEGMENT_FRAMES)
        size = length or length_for(segments, workers)
        ended = 0.0
        starts = begins(range(segments), SEAMS[: segments - 1], size, 1 if length else workers)
        for first, past in pairwise([*starts, segments]):
            now, worker = heapq.heappop(idle)
            count = past - first
            enter = drawn.choice(costs.enter) * pace[worker]
            work = sum(drawn.choice(costs.frame) for _ in range(count)) * SEGMENT_FRAMES * pace[worker]
            over = now + enter + work
            driver = max(driver, over) + costs.take * count
            ended, entering, rendering = max(ended, driver), entering + enter, rendering + work
            heapq.heappush(idle, (over, worker))
        last = max(last, ended + costs.join * frames)
    mean = sum(costs.frame) / len(costs.frame)
    alone = sum(films) * (mean + costs.join)
    busy = entering + rendering
    return Played(last, alone / last, entering / busy, 1 - busy / (last * workers))


def simulate(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A film, and a library of films, on ever more workers."""
    known = json.loads(args.parts_file.read_text())
    rows = known["parts"]
    frames = known["frames"]
    costs = Costs(
        [row["enter_s"] for row in rows],
        [(row["seconds"] - row["enter_s"]) / frames / args.faster for row in rows],
        args.take,
        args.join,
    )
    fps = 48
    one, library = [args.minutes * 60 * fps], [45 * 60 * fps] * 200
    table = []
    for workers in WORKERS:
        row: dict[str, Any] = {"workers": workers}
        row["film"] = play(costs, one, workers)
        row["film, parts of 8"] = play(costs, one, workers, length=LONGEST)
        row["film, 5 % stragglers"] = play(costs, one, workers, slow=0.05)
        row["library"] = play(costs, library if workers > 4 else library[:20], workers)
        table.append(row)
    return table


def show(table: list[dict[str, Any]]) -> None:
    """As a table for a page."""
    kinds = [kind for kind in table[0] if kind != "workers"]
    print("| workers |", " | ".join(f"{kind}: speed-up, at the joins, idle" for kind in kinds), "|")
    print("|---" * (len(kinds) + 1) + "|")
    for row in table:
        cells = [f"{row[k].speedup:.1f}, {row[k].waste:.1%}, {row[k].idle:.0%}" for k in kinds]
        print(f"| {row['workers']} |", " | ".join(cells), "|")


def main() -> None:
    """Parse, measure or simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    one = commands.add_parser("measure")
    one.add_argument("clip", type=Path)
    one.add_argument("--model", default="dis")
    one.add_argument("--times", type=int, default=2)
    one.add_argument("--parts", type=int, default=6)
    one.add_argument("--frames", type=int, default=SEGMENT_FRAMES)
    one.add_argument("--json", type=Path)
    other = commands.add_parser("simulate")
    other.add_argument("parts_file", type=Path)
    other.add_argument("--minutes", type=int, default=120)
    other.add_argument("--take", type=float, default=0.005, help="the driver's seconds for a segment")
    other.add_argument("--join", type=float, default=0.0003, help="seconds a frame, to join")
    other.add_argument(
        "--faster", type=float, default=1.0, help="frames so many times faster, entering as slow as here"
    )
    args = parser.parse_args()
    if args.what == "simulate":
        show(simulate(args))
        return
    text = json.dumps(measure(args), indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
