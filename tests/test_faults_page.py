"""The page of faults names tests that exist, and says truly which of them are slow."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = (ROOT / "RELIABILITY.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| fault or input")
]


def test_the_page_has_a_section_for_each_kind_of_fault():
    sections = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    assert sections == ["Faults", "Bad input", "Distribution", "Bulk", "Export", "Load"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_is_proven_by_a_test_or_a_command(row):
    _, tries, _, lost, proof, pace = row
    assert re.match(r"\d", tries)
    assert lost
    assert pace in ("fast", "slow", "by hand")
    named = re.findall(r"`([\w/]+\.py)`::(\w+)", proof)
    assert named or re.search(r"`[^`]+`", proof)
    for file, test in named:
        code = (ROOT / "tests" / file).read_text(encoding="utf-8")
        before, found, _ = code.partition(f"def {test}(")
        assert found, f"{file}::{test}"
        decorators = before.rpartition("\n\n\n")[2]
        is_slow = "pytest.mark.slow" in decorators or "pytestmark = pytest.mark.slow" in before
        assert is_slow == (pace == "slow"), f"{file}::{test}"
