"""`tween doctor`: what this machine has, and what `auto` makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import tyro

from ..backends import prepare
from ..backends.machine import Machine, machine
from ..models import zoo
from .show import print_json

SHOWN = ("ifrnet-s", "rife-4.25")  # besides the default: one network of each kind that was measured


@dataclass(frozen=True)
class Doctor:
    """What is installed, and what `--backend auto` would run on this machine, and why."""

    json: bool = False
    """Print one JSON object."""


def run(argv: Sequence[str]) -> int:
    """Parse, look, print. Returns the exit code."""
    args = tyro.cli(Doctor, args=list(argv), prog="tween doctor", config=(tyro.conf.FlagCreatePairsOff,))
    found = machine()
    names = (zoo.DEFAULT, *(name for name in SHOWN if name != zoo.DEFAULT))
    choices = {name: prepare.choose(zoo.create(name)) for name in names}
    if args.json:
        auto = {name: choice._asdict() for name, choice in choices.items()}
        print_json({**asdict(found), "auto": auto, "default": zoo.DEFAULT})
        return 0
    print(_words(found))
    for name, choice in choices.items():
        called = f"{name}, the default" if name == zoo.DEFAULT else name
        print(f"auto for {called}: {choice.backend} on {choice.device} in {choice.precision}: {choice.reason}")
    return 0


def _words(found: Machine) -> str:
    packages = [f"  {name:<24} {version or '- not installed'}" for name, version in found.packages.items()]
    cuda = ", ".join(found.cuda) or "none"
    return "\n".join(
        [
            f"cpu       {found.cpu}, {found.cores} threads, {' '.join(found.features) or 'no known features'}",
            f"cuda      {cuda}",
            f"mps       {'yes' if found.mps else 'no'}",
            f"onnx      {', '.join(found.onnx) or 'none: ONNX Runtime is not installed'}",
            "packages",
            *packages,
        ]
    )
