"""What adapting to a source gains: base, LoRA of three ranks, DoRA, the whole network. Makes the table of docs/lora.md.

    python benchmarks/lora_table.py --root DIR --json FILE [--model NAME] [--minutes 5] [--sources a,b] [--methods a,b]
    python benchmarks/lora_table.py --json FILE --markdown

DIR holds clips and a MANIFEST.tsv (columns clip, file, start, frames, source, shot; maybe step, crop, kind). Every
third shot of a source is held back here, from the second one on; `tween adapt` sees the others alone, and holds back
some of those in its turn. Then every second frame of the shots that are held back is hidden, asked for again and
compared: PSNR, dB, the mean over the pictures.

A cell (a source and a method) is a line of FILE, written when it is done; the same command goes on with the cells that
are missing. Where `adapt` says that nothing is gained its user has the base, and so has the table: gain 0.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tween.data.sets import open_set
from tween.evaluate.protocols import PROTOCOLS
from tween.evaluate.score import score
from tween.models import zoo
from tween.models.lora_config import LoraConfig
from tween.models.model import Model
from tween.train.adapt import adapt
from tween.train.adapt_config import AdaptConfig

METHODS = {
    "base": None,
    "LoRA, rank 4": LoraConfig(rank=4),
    "LoRA, rank 8": LoraConfig(rank=8),
    "LoRA, rank 16": LoraConfig(rank=16),
    "DoRA, rank 8": LoraConfig(rank=8, method="dora"),
    "all of it": LoraConfig(),
}
HELD_EVERY, HELD_FIRST = 3, 1  # of a source's shots
Row = dict[str, str]


def sources(root: Path) -> dict[str, list[Row]]:
    """The manifest's rows by source, with files that are found from anywhere."""
    with (root / "MANIFEST.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["source"], []).append({**row, "file": str((root / row["file"]).resolve())})
    return found


def split(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Rows to adapt to, and rows of other shots; of a source of one shot, its later rows."""
    shots = list(dict.fromkeys(row["shot"] for row in rows))
    if len(shots) == 1:
        at = max(1, 2 * len(rows) // 3)
        return rows[:at], rows[at:]
    held = set(shots[HELD_FIRST::HELD_EVERY])
    return [row for row in rows if row["shot"] not in held], [row for row in rows if row["shot"] in held]


def written(rows: list[Row], folder: Path) -> Path:
    """A folder with a manifest of just these rows."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "MANIFEST.tsv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows({**row, "split": "train"} for row in rows)
    return folder


def quality(model: Model, held: Path, args: argparse.Namespace) -> float:
    """PSNR on the shots that are held back, dB."""
    protocol = replace(PROTOCOLS["video"], frames=args.frames)
    data = open_set("video", held, "train")
    return score(model, data, protocol, metrics=("psnr",), limit=args.clips).means()["psnr"]


def cell(source: str, rows: list[Row], method: str, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One line of the table, of one source."""
    begun, config = time.perf_counter(), METHODS[method]
    learn, rest = split(rows)
    held = written(rest, folder / f"{source}-held")
    told: dict[str, Any] = {"source": source, "kind": rows[0].get("kind", ""), "method": method}
    told |= {"model": args.model, "minutes": args.minutes, "why": "base", "megabytes": 0.0, "steps": 0}
    base, row = zoo.load_row(args.model)
    if config is None:
        megabytes = sum(value.numel() * value.element_size() for value in base.state_dict().values()) / 1e6
        return told | {"psnr": quality(base, held, args), "megabytes": megabytes}
    asked = AdaptConfig(
        written(learn, folder / f"{source}-learn"),
        folder / f"{source}-{method.replace(', ', '-').replace(' ', '-')}.safetensors",
        args.model,
        args.minutes,
        lora=config,
        lr=args.lr if config.rank else args.lr_full,
        overwrite=True,
    )
    done = adapt(asked)
    if done.output is None:
        dressed = base
    elif config.rank:
        dressed = zoo.load(args.model, lora=[done.output])
    else:
        dressed = zoo.load(done.output, name=row.name)
    told |= {"psnr": quality(dressed, held, args), "why": done.why, "steps": done.steps}
    told |= {"own_gain_db": done.gain_db, "adapt_minutes": done.minutes, "seconds": time.perf_counter() - begun}
    return told | {"megabytes": done.output.stat().st_size / 1e6 if done.output else 0.0}


def known(path: Path) -> list[dict[str, Any]]:
    """The cells that are done."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def missing(args: argparse.Namespace) -> Iterator[tuple[str, list[Row], str]]:
    """The cells that are not."""
    done = {(one["source"], one["method"], one["model"], one["minutes"]) for one in known(args.json)}
    found = sources(args.root)
    for source in args.sources.split(",") if args.sources else found:
        for method in args.methods.split(";") if args.methods else METHODS:
            if (source, method, args.model, args.minutes) not in done:
                yield source, found[source], method


def markdown(path: Path) -> str:
    """The table: a row a method, a column a source (gain over the base, dB), means, sizes, times."""
    cells = {(one["source"], one["method"]): one for one in known(path)}
    names = list(dict.fromkeys(source for source, _ in cells))
    lines = ["| | " + " | ".join(names) + " | mean | MB | minutes |", "|---|" + "---|" * (len(names) + 3)]
    for method in METHODS:
        row = [cells.get((name, method)) for name in names]
        there = [(one, cells.get((name, "base"))) for name, one in zip(names, row, strict=True) if one]
        if not there:
            continue
        gains = [one["psnr"] - base["psnr"] if base and method != "base" else one["psnr"] for one, base in there]
        form = "{:.2f}" if method == "base" else "{:+.2f}"
        shown = [form.format(gain) for gain in gains] + ["-"] * (len(names) - len(there))
        sizes = [one["megabytes"] for one, _ in there if one["megabytes"]]
        size = f"{statistics.fmean(sizes):.2f}" if sizes else "-"
        took = [one["adapt_minutes"] for one, _ in there if "adapt_minutes" in one]
        minutes = f"{statistics.fmean(took):.1f}" if took else "-"
        words = [method, *shown, form.format(statistics.fmean(gains)), size, minutes]
        lines.append("| " + " | ".join(words) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--model", default=zoo.DEFAULT)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--sources", default="", help="a,b: only these")
    parser.add_argument("--methods", default="", help="base;LoRA, rank 8: only these, with semicolons between them")
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--lr-full", type=float, default=5e-5)
    parser.add_argument("--frames", type=int, default=9, help="of each clip that is held back")
    parser.add_argument("--clips", type=int, help="that are held back, at most")
    parser.add_argument("--folder", type=Path, help="for adapters and lists; not given: one that goes afterwards")
    parser.add_argument("--markdown", action="store_true", help="print the table and be done")
    args = parser.parse_args()
    if not args.markdown:
        with tempfile.TemporaryDirectory() as beside:
            for source, rows, method in missing(args):
                told = cell(source, rows, method, args, args.folder or Path(beside))
                with args.json.open("a") as file:
                    file.write(json.dumps(told) + "\n")
                print(f"{source}, {method}: {told['psnr']:.2f} dB, {told['why']}", flush=True)
    print(markdown(args.json))


if __name__ == "__main__":
    main()
