"""The table of the contract says what failed and what didn't run; in CI what didn't run fails."""

from typing import Any, cast

import pytest
from dsr.conformance.checks import ALL

from connectors import registry
from tests.conformance.table import Table
from tests.support.contract import CONTRACT

PLACE = ("tests/x.py", 1, "test")


class Screen:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def section(self, title: str, **_: Any) -> None:
        self.lines.append(title)

    def write_line(self, line: str, **_: Any) -> None:
        self.lines.append(line)


class Session:
    exitstatus = 0


def report(kind: str, rule: str, outcome: Any, longrepr: Any = None) -> pytest.TestReport:
    told = [(CONTRACT, (kind, rule, "holds"))] if outcome == "passed" else []
    name = f"tests/x.py::test_{kind}_keeps_the_contract[{rule}]"
    return pytest.TestReport(name, PLACE, {}, outcome, longrepr, "call", user_properties=cast(Any, told))


def test_what_failed_and_what_did_not_run_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    table, screen, session = Table(), Screen(), Session()
    rules = [check.rule for check in ALL]
    for kind in {*registry.KINDS, "sqlite", "typescript"} - {"s3", "redis"}:
        for rule in rules:
            table.pytest_runtest_logreport(report(kind, rule, "passed"))
    table.pytest_runtest_logreport(report("mysql", "erase.cap", "failed"))
    table.pytest_runtest_logreport(report("s3", "erase.cap", "skipped", ("x", 1, "Skipped: radosgw isn't running")))
    table.pytest_terminal_summary(cast(Any, screen))
    assert [line for line in screen.lines if line.startswith("NOT RUN")] == [
        "NOT RUN: redis: its test didn't run",
        "NOT RUN: s3: radosgw isn't running",
    ]
    (row,) = [line for line in screen.lines if line.strip().startswith("erase.cap ")]
    assert row.count("FAILS") == 1
    assert "FAILS" not in "".join(line for line in screen.lines if line != row)
    monkeypatch.setenv("CI", "true")
    table.pytest_sessionfinish(cast(Any, session))
    assert session.exitstatus == pytest.ExitCode.TESTS_FAILED
