"""How many cuts are found, and how many of those found are none? Prints the tables of docs/cuts.md.

    python benchmarks/cuts.py --root DIR [--orders 10] [--step 1] [--worst 10] [--cost] [--json FILE]

DIR holds clips and a MANIFEST.tsv (columns clip, file, start, frames, step, crop as x,y,w,h, source, shot). Its rows
are put one after the other, whole, and `CutDetector` walks over the result, as over one video:

- in the manifest's order, where a join of two rows of one shot is no cut if the second goes on where the first ends,
  and is left out of the count if it skips some frames;
- in `--orders` shuffled orders in which neighbours are always of different sources (the seed is the order's number).

Every frame is decoded and cropped at full size and goes through `luma` once; the orders share these small lumas.
recall: cuts found / cuts. false: false ones / all found. of gaps: false ones / gaps that are no cut.
`--step 2` leaves out every other frame: the same clips at half the rate.
"""

from __future__ import annotations

import argparse
import csv
import functools
import json
import random
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import torch
from torch import Tensor

from tween.frame import Frame
from tween.video import cuts
from tween.video.cuts import CutDetector, luma, residual, strangeness

Row = dict[str, str]
Clips = dict[str, list[Tensor]]  # the small lumas of each row's frames
Cut = bool | None  # None: nobody can say


@dataclass
class Count:
    """What a walk over one order has seen."""

    cuts: int = 0
    found: int = 0
    false: int = 0
    other_gaps: int = 0

    @property
    def recall(self) -> float:
        return self.found / max(1, self.cuts)

    @property
    def false_share(self) -> float:
        return self.false / max(1, self.found + self.false)


def manifest(root: Path) -> list[Row]:
    with (root / "MANIFEST.tsv").open(newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def places(row: Row) -> range:
    """The frame numbers of a row."""
    start, frames, step = (int(row[key]) for key in ("start", "frames", "step"))
    return range(start, start + frames * step, step)


def small_lumas(root: Path, rows: list[Row]) -> Clips:
    """Decodes each file once, to the end of its last row."""
    of_file: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        of_file[row["file"]].append(row)
    clips: Clips = {row["clip"]: [] for row in rows}
    for name, wanted in of_file.items():
        end = max(places(row)[-1] for row in wanted)
        for number, picture in enumerate(decoded(root / name)):
            here = [row for row in wanted if number in places(row)]
            if here:
                data = torch.from_numpy(picture.to_ndarray(format="rgb24")).permute(2, 0, 1)
            for row in here:
                clips[row["clip"]].append(luma(Frame(cropped(data, row["crop"]), Fraction(number))))
            if number == end:
                break
    for row in rows:
        assert len(clips[row["clip"]]) == int(row["frames"]), f"{row['clip']} ends early"
    return clips


def decoded(path: Path) -> Iterator[av.VideoFrame]:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        yield from container.decode(video=0)


def cropped(data: Tensor, crop: str) -> Tensor:
    if not crop:
        return data
    x, y, width, height = (int(part) for part in crop.split(","))
    return data[:, y : y + height, x : x + width]


def join(a: Row, b: Row) -> Cut:
    """Whether a cut lies between the last frame of a and the first of b."""
    if a["shot"] != b["shot"]:
        return True
    goes_on = a["file"] == b["file"] and a["step"] == b["step"] and places(b).start == places(a).stop
    return False if goes_on else None


def shuffled(rows: list[Row], seed: int) -> list[Row]:
    """An order whose neighbours are of different sources; rows that cannot be placed so are left out.

    The source with most rows left goes next whenever it would else not fit any more; otherwise chance decides.
    """
    rng = random.Random(seed)
    left: dict[str, list[Row]] = defaultdict(list)
    for row in rng.sample(rows, len(rows)):
        left[row["source"]].append(row)
    order: list[Row] = []
    while choices := [s for s, rest in left.items() if rest and (not order or s != order[-1]["source"])]:
        total = sum(len(rest) for rest in left.values())
        largest = max(choices, key=lambda s: len(left[s]))
        tight = 2 * len(left[largest]) >= total
        source = largest if tight else rng.choices(choices, [len(left[s]) for s in choices])[0]
        order.append(left[source].pop())
    return order


def walk(order: list[Row], clips: Clips, step: int, note: Callable[[str, float], None]) -> Count:
    """Runs one detector over an order; `note` hears of each mistake: what it is, and how strange the gap was."""
    detector, count = CutDetector(), Count()
    before: tuple[Row, int, Tensor] | None = None
    for row in order:
        for number, small in list(enumerate(clips[row["clip"]]))[::step]:
            if before is not None:
                truth = False if number else join(before[0], row)
                said = detector.gap(before[2], small)
                add(count, truth, said)
                if truth is not None and said != truth:
                    what = "MISSED" if truth else "FALSE"
                    note(
                        f"{what} {before[0]['clip']}[{before[1]}] | {row['clip']}[{number}]",
                        strangeness(before[2], small),
                    )
            before = (row, number, small)
    return count


def add(count: Count, truth: Cut, said: bool) -> None:
    if truth is None:
        return
    count.cuts += truth
    count.other_gaps += not truth
    count.found += truth and said
    count.false += said and not truth


def line(name: str, count: Count) -> str:
    gaps = count.false / max(1, count.other_gaps)
    return (
        f"| {name} | {count.cuts} | {count.found} | {count.recall:.2%} | {count.false} | {count.false_share:.2%} "
        f"| {gaps:.3%} of {count.other_gaps} |"
    )


def cost() -> None:
    """Milliseconds on one thread: the small luma at four sizes, then the search of a gap that moves."""
    print("| step | ms |\n|---|---|")
    for name, size in {"720p": (720, 1280), "1080p": (1080, 1920), "4K": (2160, 3840), "8K": (4320, 7680)}.items():
        for dtype in (torch.uint8, torch.uint16):
            frames = [Frame(torch.randint(256, (3, *size)).to(dtype), Fraction(k)) for k in range(3)]
            print(f"| luma, {name}, {str(dtype)[6:]} | {median_ms(lambda k, f=frames: luma(f[k % 3])):.2f} |")
    a, b = torch.rand(2, 36, 64) * 255
    print(f"| gap that hardly changes | {median_ms(lambda _: strangeness(a, a)):.2f} |")
    print(f"| gap that moves | {median_ms(lambda _: strangeness(a, b)):.2f} |")
    print(f"| more at a candidate | {median_ms(lambda _: residual(a, b)):.2f} |")


def median_ms(run: Callable[[int], object], times: int = 31) -> float:
    spent = []
    for k in range(times):
        start = time.perf_counter()
        run(k)
        spent.append(time.perf_counter() - start)
    return statistics.median(spent) * 1000


def measured(rows: list[Row], clips: Clips, orders: int, step: int) -> tuple[dict[str, Count], Counter[str]]:
    """Each order's count, and how often which mistake was made."""
    mistakes: Counter[str] = Counter()

    def note(what: str, strange: float) -> None:
        mistakes[f"{what} strangeness {strange:.2f}"] += 1

    counts = {"natural": walk(rows, clips, step, note)}
    for seed in range(orders):
        counts[f"seed {seed}"] = walk(shuffled(rows, seed), clips, step, note)
    return counts, mistakes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--orders", type=int, default=10)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--worst", type=int, default=10)
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.cost:
        cost()
    if options.root is None:
        return
    cuts.strangeness = functools.cache(strangeness)  # pure: a gap inside a clip is the same in every order
    rows = manifest(options.root)
    counts, mistakes = measured(rows, small_lumas(options.root, rows), options.orders, options.step)
    print(
        "| order | cuts | found | recall | false | false / found | false / other gaps |\n|---|---|---|---|---|---|---|"
    )
    for name, count in counts.items():
        print(line(name, count))
    shuffles = [count for name, count in counts.items() if name != "natural"]
    print(line("all seeds", Count(*(sum(parts) for parts in zip(*map(tally, shuffles), strict=True)))))
    for what, times in mistakes.most_common(options.worst):
        print(f"{times:4} x {what}")
    if options.json:
        fields = {name: {"recall": c.recall, "false": c.false_share, **c.__dict__} for name, c in counts.items()}
        options.json.write_text(json.dumps(fields, indent=1))


def tally(count: Count) -> tuple[int, int, int, int]:
    return count.cuts, count.found, count.false, count.other_gaps


if __name__ == "__main__":
    main()
