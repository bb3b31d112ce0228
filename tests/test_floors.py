"""Data flows one way: a room imports only what stands below it."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "src" / "tween"
FLOORS = {
    "errors": 1, "home": 1, "stopwatch": 1,
    "frame": 2, "timeline": 2,
    "curve": 3, "ops": 3, "video": 3,
    "losses": 4, "metrics": 4,
    "models": 5,
    "data": 6, "backends": 6,
    "evaluate": 7, "pipeline": 7,
    "train": 8, "batch": 8, "live": 8,
    "cli": 9, "web": 9,
}  # fmt: skip
TOWERS = [({"data", "train"}, {"pipeline"}), ({"pipeline"}, {"data", "train"})]  # (room, what it never imports)
FACE = {"__init__", "__main__"}  # the face opens every door, lazily
FILES = sorted(ROOT.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """The rooms of tween that a file imports, at the top or inside a function."""
    package = ["tween", *path.relative_to(ROOT).parts[:-1]]
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *(node.module.split(".") if node.module else [])])
            names = [f"{stem}.{alias.name}" for alias in node.names]
        parts = [name.split(".") for name in names]
        rooms |= {p[1] for p in parts if p[0] == "tween" and len(p) > 1}
    return rooms & FLOORS.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
@pytest.mark.slow
def test_no_arrow_runs_back_up(path):
    room = room_of(path)
    if room in FACE:
        return
    assert room in FLOORS, f"{path} is in no room of the house: add it to FLOORS and to docs/architecture.md"
    for other in imported_rooms(path) - {room}:
        assert FLOORS[other] < FLOORS[room], f"{room} (floor {FLOORS[room]}) imports {other} (floor {FLOORS[other]})"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_two_towers_stand_apart(path):
    for rooms, forbidden in TOWERS:
        if room_of(path) in rooms:
            assert not imported_rooms(path) & forbidden


def imported_files(path: Path) -> set[Path]:
    """The files of its own room that a file imports."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {file for name in names if (file := path.with_name(f"{name.split('.')[0]}.py")).is_file()}
    return found


@pytest.mark.parametrize("room", sorted({p.parent for p in FILES} - {ROOT}), ids=lambda p: p.name)
@pytest.mark.slow
def test_no_circle_inside_a_room(room):
    graph = {path: imported_files(path) for path in FILES if path.parent == room}
    assert len(list(TopologicalSorter(graph).static_order())) >= len(graph)  # raises CycleError, which names the circle


def test_no_file_is_a_warehouse():
    long = {str(p.relative_to(ROOT)): n for p in FILES if (n := len(p.read_text().splitlines())) > 400}
    assert not long, f"files are 400 lines at most: {long}"
    assert not {"utils", "common", "helpers", "misc", "manager"} & {p.stem for p in FILES}
