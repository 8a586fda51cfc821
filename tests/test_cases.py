"""docs/cases.md: every row names its tests, and each of them is there and runs with `pytest -m cases`."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "cases.md"
ROW = re.compile(r"\| (\d+) \|(?:[^|]+\|){3} (.+) \|")


def marked(file: Path) -> set[str]:
    """Return the names of the tests in a file that are marked as cases."""
    text = file.read_text(encoding="utf-8")
    tests = re.findall(r"((?:^@.*\n(?:^[ )\]}].*\n)*)*)^def (test_\w+)", text, re.MULTILINE)
    whole = re.search(r"^pytestmark = .*pytest\.mark\.cases", text, re.MULTILINE)
    return {name for decorators, name in tests if whole or "@pytest.mark.cases" in decorators}


@pytest.mark.cases
def test_every_point_has_a_row_whose_tests_run():
    rows = [ROW.fullmatch(line) for line in TABLE.read_text(encoding="utf-8").splitlines() if re.match(r"\| \d", line)]
    assert all(rows)
    assert [int(row[1]) for row in rows] == [*range(1, 24), *range(1, 16)]
    for row in rows:
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row[2])
        assert named, row[1]
        for file, test in named:
            (found,) = (ROOT / "tests").rglob(file)
            assert test in marked(found), f"{file}::{test}"
