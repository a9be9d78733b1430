"""Writes docs/policy.md, clause → mechanism → test, from the tests' markers: `python scripts/policy.py [--check]`.

A test that shows a clause of the operator's policy says so:
`@pytest.mark.policy("P4", "what the product does about it")`.
With `--check` nothing is written: it fails when the page is stale, or a clause has no test.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "policy.md"
CLAUSES = {
    "P1": "Partners own their data; the operator never does.",
    "P2": "Individuals' rights are respected; the operator recommends, the partner decides.",
    "P3": "Data lives in named places: Amazon in Dublin and Frankfurt, Rackspace in London, Brightbox in Leeds.",
    "P4": "The partner is told which place is used; any change is notified and agreed beforehand.",
    "P5": "Every processing transaction is logged, with no personal data but the originating IP address.",
    "P6": "Data is kept unless unused for six months and not needed, or the partner asks; or longer, as law demands.",
    "P7": "Daily snapshots are kept for a year; log files too.",
    "P8": "A breach is told to the partner at once, fixed, told to authorities and individuals, and explained.",
    "P9": "Web services use TLS with 256-bit encryption.",
    "P10": "Databases, file systems and backups are encrypted in transit and at rest where possible.",
    "P11": "Data management, portability, erasure, and especially the right of access.",
    "P12": "Data leaves the EU only to a partner that complies with the GDPR and has told its subjects where to.",
    "P13": "Any request that infringes the GDPR is refused.",
    "P14": "At contract end all data is returned, then every copy destroyed.",
    "P15": "Twelve sub-processors, each with a purpose and an address.",
    "P16": "Contractors and staff follow one security protocol.",
    "P17": "The policy changes over time; partners are informed of any change and can reject an update.",
    "P18": "There is an appointed data protection officer, known to partners.",
}
AWAITED: frozenset[str] = frozenset()
"""Clauses whose tests have not been written yet. Any other without a test fails the check."""
HEAD = """# The policy, clause by clause

What the operator promises its partners, what the product does about it, and the test that shows it.
Generated from the tests' markers by `make gen`; `make lint` fails when it is stale.
"""


@dataclass(frozen=True)
class Row:
    """One test that shows one mechanism of one clause."""

    clause: str
    mechanism: str
    path: str
    test: str


def rows() -> list[Row]:
    """Every marker of every test. Ends with a message that names the place of one that can't be read."""
    found = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                where = path.relative_to(ROOT).as_posix()
                found += [Row(clause, text, where, node.name) for clause, text in markers(node, where)]
    return sorted(found, key=lambda row: (int(row.clause[1:]), row.mechanism, row.path, row.test))


def markers(test: ast.FunctionDef | ast.AsyncFunctionDef, where: str) -> Iterator[tuple[str, str]]:
    """Clause and mechanism of each `policy` marker of a test."""
    for call in test.decorator_list:
        if not isinstance(call, ast.Call) or ast.unparse(call.func) != "pytest.mark.policy":
            continue
        values = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
        if len(values) != 2 or values[0] not in CLAUSES or not isinstance(values[1], str) or not values[1].strip():
            sys.exit(f'policy: {where}::{test.name} must say policy("P1" to "P18", "what the product does")')
        yield str(values[0]), re.sub(r"\s+", " ", values[1]).replace("|", "\\|")


def page(found: list[Row]) -> str:
    """The page."""
    parts = [HEAD]
    for clause, promise in CLAUSES.items():
        own = [row for row in found if row.clause == clause]
        parts.append(f"\n## {clause}\n{promise}\n\n| mechanism | test |\n|---|---|")
        parts += [f"| {row.mechanism} | [{row.test}](../{row.path}) |" for row in own]
        if not own:
            parts.append("| — | no test yet |")
    return "\n".join(parts) + "\n"


def main() -> None:
    """The script."""
    found = rows()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(found))
        return
    bare = [clause for clause in CLAUSES if clause not in {row.clause for row in found} | AWAITED]
    if bare:
        sys.exit(f"policy: no test is marked with {', '.join(bare)}.")
    if not PAGE.exists() or PAGE.read_text() != page(found):
        sys.exit("docs/policy.md is stale: run make gen and commit.")


if __name__ == "__main__":
    main()
