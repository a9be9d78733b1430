"""The table of docs/sandbox.md: `python -m connectors.sandbox.table` prints it."""

import sys
from collections.abc import Mapping
from typing import Any

from connectors.sandbox.seed import DOMAIN, TRIGGERS

_WORDS = {
    "obstacle": "people's task: `{}`",
    "waits": "waits: `{}`",
    "records": "{} records",
    "finding": "finding `{}`",
    "approval": "an approval is refused: `{}`",
    "change": "`plan_changes`: `{}`",
    "retained": "{} retained",
    "unexplained": "{} unexplained",
}


def as_markdown() -> str:
    """One row a person and right."""
    rows = [
        f"| `{who}@{DOMAIN}` | {told['does']} | {right} | {comes_to(outcome)} |"
        for who, told in TRIGGERS.items()
        for right, outcome in told["outcomes"].items()
    ]
    head = ["| who | what the source does | asked for | what it comes to |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *rows]) + "\n"


def comes_to(outcome: Mapping[str, Any]) -> str:
    """An outcome in words."""
    more = [words.format(outcome[key]) for key, words in _WORDS.items() if key in outcome]
    states = [f"`{outcome['state']}`"] if "state" in outcome else []
    return "; ".join([*states, *more])


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
