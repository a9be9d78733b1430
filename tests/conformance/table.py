"""Prints what the conformance suite found as one table, rule by connector: `pytest -p tests.conformance.table`.

A test that runs the suite records `CONTRACT` for each rule. What didn't run is named with its reason; with CI=true, a
connector that can be registered and didn't run fails the whole.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import cast

import pytest
from dsr.conformance.check import Verdict
from dsr.conformance.checks import SECTIONS

from connectors import registry
from tests.support.contract import CONTRACT

_TEST = re.compile(r"::test_(\w+)_keeps_the_contract(?:\[(.+)\])?$")
_EXAMPLES = ("sqlite", "typescript")
_MARKS = {Verdict.HOLDS: "✓", Verdict.NOT_APPLICABLE: "·", Verdict.FAILS: "FAILS", Verdict.NOT_RUN: "?"}
_RULE = 32


class Table:
    """What was found so far."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Verdict]] = {}
        self._missing: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties:
            if name == CONTRACT:
                kind, rule, verdict = cast(tuple[str, str, str], value)
                self._found.setdefault(kind, {})[rule] = Verdict(verdict)
        test = _TEST.search(report.nodeid)
        if test is None:
            return
        if report.skipped and isinstance(report.longrepr, tuple):
            self._missing[test[1]] = report.longrepr[2].removeprefix("Skipped: ")
        elif report.failed and test[2]:
            self._found.setdefault(test[1], {})[test[2]] = Verdict.FAILS

    def _absent(self) -> Iterator[tuple[str, str]]:
        for kind in (*registry.KINDS, *_EXAMPLES):
            if kind not in self._found:
                yield kind, self._missing.get(kind, "its test didn't run")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        write, kinds = terminalreporter.write_line, sorted(self._found)
        terminalreporter.section("the connector contract", sep="=")
        width = max([len(kind) for kind in kinds] or [0]) + 2
        write(" " * _RULE + "".join(kind.center(width) for kind in kinds))
        for heading, checks in SECTIONS.items():
            write(heading, bold=True)
            for check in checks:
                marks = (self._found[kind].get(check.rule) for kind in kinds)
                row = "".join((_MARKS[mark] if mark else "?").center(width) for mark in marks)
                write(f"  {check.rule:<{_RULE - 2}}{row}".rstrip())
        for verdict, what in ((Verdict.HOLDS, "held"), (Verdict.NOT_APPLICABLE, "·  not applicable")):
            sums = (str(Counter(self._found[kind].values())[verdict]).center(width) for kind in kinds)
            write(f"{what:<{_RULE}}{''.join(sums)}".rstrip(), bold=True)
        for kind, why in self._absent():
            write(f"NOT RUN: {kind}: {why}", red=True, bold=True)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if os.environ.get("CI") == "true" and any(self._absent()) and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_configure(config: pytest.Config) -> None:
    """With several processes, only the one that hears of all tests prints."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Table())
