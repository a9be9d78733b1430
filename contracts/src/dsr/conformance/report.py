"""Tells what holds, what fails and how to mend it: for people, for machines, for docs/connector-spec.md."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dsr.conformance.check import Check, Result, Verdict

_STYLES = {
    Verdict.HOLDS: "green",
    Verdict.FAILS: "bold red",
    Verdict.NOT_APPLICABLE: "dim",
    Verdict.NOT_RUN: "yellow",
}


def show(console: Console, results: Sequence[Result]) -> None:
    """One line per rule, then what to mend, then the sum."""
    table = Table(title="Connector conformance", title_justify="left", expand=True)
    table.add_column("rule", no_wrap=True)
    table.add_column("")
    table.add_column("when", ratio=3)
    table.add_column("what was found", ratio=3)
    for result in results:
        style = _STYLES[result.verdict]
        verdict = f"[{style}]{result.verdict.value}[/]"
        table.add_row(result.check.rule, verdict, escape(result.check.condition), escape(result.detail))
    console.print(table)
    for result in results:
        if result.verdict is Verdict.FAILS:
            console.print(f"[bold red]{result.check.rule}[/] must answer {escape(result.check.code)}", highlight=False)
            console.print(f"  {escape(result.detail if result.remedy else result.check.meaning)}", highlight=False)
            mend = result.remedy or result.check.remedy
            console.print(f"  [bold]To mend it:[/] {escape(mend)}", highlight=False)
    sums = Counter(result.verdict for result in results)
    console.print(", ".join(f"{sums[verdict]} {verdict.value}" for verdict in Verdict))


def as_json(results: Sequence[Result]) -> str:
    """One object per rule."""
    return json.dumps(
        [
            {
                "rule": result.check.rule,
                "verdict": result.verdict.name,
                "detail": result.detail,
                "remedy": result.remedy or result.check.remedy,
            }
            for result in results
        ],
        indent=2,
    )


def as_markdown(sections: Mapping[str, Sequence[Check]]) -> Mapping[str, str]:
    """The tables of docs/connector-spec.md, by heading."""
    return {heading: _markdown(checks) for heading, checks in sections.items()}


def _markdown(checks: Sequence[Check]) -> str:
    rows = [("rule", "condition", "code", "meaning", "what the caller does next"), ("---",) * 5]
    rows += [(f"`{c.rule}`", c.condition, c.code, c.meaning, c.caller) for c in checks]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
