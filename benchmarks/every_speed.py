"""How fast is every network on every engine of this machine? A process of its own for each network and size.

    python benchmarks/every_speed.py --json FILE [--size 256,448 720,1280] [--precision bf16] [--only dis] [--runs 3]

`tween bench` in turns within a network: torch, OpenVINO and, where it knows the network, `fused`, all in one precision,
and the published code's way of running, in fp32, for the ratio. What FILE holds already is not timed again. Random
weights.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tween.models import zoo

WITHOUT_WEIGHTS = ("blend", "dis", "dis-ahead")
PLAIN = ("torch",)  # what has nothing to compile
ENGINES = ("torch", "openvino")


def engines_of(name: str) -> tuple[str, ...]:
    if name in WITHOUT_WEIGHTS:
        return PLAIN
    return (*ENGINES, "fused") if name.startswith(("rife", "ifrnet")) else ENGINES


def timed(name: str, size: str, precision: str, runs: int, out: Path) -> list[dict[str, Any]]:
    """The rows of one network at one size; none where the machine has not the memory, say."""
    command = [sys.executable, "-m", "tween", "bench", name, "--size", size, "--runs", str(runs), "--quiet"]
    command += ["--precision", precision, "--backend", *engines_of(name), "--json", str(out)]
    command += ["--against", "eager"] if name not in WITHOUT_WEIGHTS else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{name} at {size}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr, flush=True)
        return []
    rows: list[dict[str, Any]] = json.loads(out.read_text())["rows"]
    return rows


def table(found: dict[str, list[dict[str, Any]]], size: str, precision: str) -> None:
    """Milliseconds a gap, and how many times as fast as published code the fastest is."""
    height, width = size.split(",")
    print(
        f"\n| {width}x{height}, {precision}, ms a gap | GMACs | eager | torch | OpenVINO | fused | fastest to eager |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|")
    for key, rows in found.items():
        if key != keyed(name := key.split(" ")[0], size, precision) or not rows:
            continue
        ms = {row["backend"].split(",")[0]: row["ms"] for row in rows}
        cost = max(row["gmacs"] for row in rows)
        fastest = min(ms, key=lambda engine: ms[engine])
        ratio = f"{ms['eager'] / ms[fastest]:.2f}" if "eager" in ms else ""
        told = [
            f"**{ms[engine]:.0f}**" if engine == fastest else f"{ms[engine]:.0f}" if engine in ms else ""
            for engine in ("eager", "torch", "openvino", "fused")
        ]
        print(f"| {name} | {cost:.1f} | {' | '.join(told)} | {ratio} |")


def keyed(name: str, size: str, precision: str) -> str:
    """By which FILE has it."""
    return f"{name} {size}" + ("" if precision == "fp32" else f" {precision}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--size", nargs="+", default=["256,448"], help="H,W of the frames")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--only", default="", help="names, with commas between")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = json.loads(options.json.read_text()) if options.json.exists() else {}
    for size in options.size:
        for name in options.only.split(",") if options.only else (*WITHOUT_WEIGHTS, *zoo.networks()):
            if not found.get(key := keyed(name, size, options.precision)):
                found[key] = timed(name, size, options.precision, options.runs, options.json.with_suffix(".part"))
                options.json.write_text(json.dumps(found, indent=1))
                print(f"{name} at {size}", file=sys.stderr, flush=True)
    options.json.with_suffix(".part").unlink(missing_ok=True)
    for size in options.size:
        table(found, size, options.precision)


if __name__ == "__main__":
    main()
