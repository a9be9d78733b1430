"""The specification and the suite say the same, row by row."""

import re
from pathlib import Path

import pytest
from dsr.conformance import report
from dsr.conformance.check import Check
from dsr.conformance.checks import ALL, SECTIONS
from dsr.v1.error_reason_pb2 import ErrorReason

SPEC = Path(__file__).parents[2] / "docs" / "connector-spec.md"
ROW = re.compile(r"^\| `([a-z-]+\.[a-z-]+)` \|.*$", re.MULTILINE)


def test_every_row_has_a_check_and_every_check_a_row() -> None:
    rows = ROW.findall(SPEC.read_text())
    assert rows == [check.rule for check in ALL]
    assert len(set(rows)) == len(rows)


@pytest.mark.parametrize("heading", SECTIONS)
def test_rows_stand_under_their_heading_word_for_word(heading: str) -> None:
    section = SPEC.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    assert report.as_markdown(SECTIONS)[heading] in section


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.rule)
def test_a_row_says_everything(check: Check) -> None:
    assert all((check.condition, check.code, check.meaning, check.caller, check.remedy))
    assert "|" not in f"{check.condition}{check.code}{check.meaning}{check.caller}"
    _, _, reason = check.code.partition(" / ")
    assert not reason or f"ERROR_REASON_{reason}" in dict(ErrorReason.items())
