"""docs/formats.md names the test that holds each of its lines: they have to be there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "formats.md").read_text()
NAMED = sorted(set(re.findall(r"`\[([a-z_]+)(?:: ([a-z_0-9]+)(?:\.\.\.)?)?\]`", PAGE)))


def test_there_are_names():
    assert len(NAMED) > 30


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_named_test_is_there(file, test):
    found = list((ROOT / "tests").rglob(f"test_{file}.py"))
    assert any(f"def test_{test}" in path.read_text() for path in found)


def test_every_row_and_bullet_is_held_by_a_test():
    """Of the sections that promise something; a bullet may run over several lines."""
    promises = PAGE[PAGE.index("## In") : PAGE.index("## Not yet")]
    rows = [line for line in promises.splitlines() if re.match(r"\| [^|-]", line) and "| held by |" not in line]
    bullets = re.split(r"\n(?=- |\n)", promises)
    for words in [row for row in rows if "| codec |" not in row and not row.startswith("| `")] + [
        bullet for bullet in bullets if bullet.startswith("- ")
    ]:
        assert re.search(r"`\[[a-z_]+(: [a-z_0-9]+(\.\.\.)?)?\]`", words) or "--curve FILE" in words, words
