"""README.txt: what is in the package, for whoever receives it, person or engineer."""

from collections.abc import Sequence
from textwrap import fill

from dsrkit.parts import Report
from services.portability.package.scope import Collection, Source

_FORMULAS = """\
Formulas in CSV. A spreadsheet takes a cell that begins with = + - or @ for a formula and would run it. So wherever a \
cell could begin (at its start, and after a semicolon, a tab or a line break within it) a single quote (') stands before \
=  +  -  @  TAB  CR  LF  NUL and the full-width forms of the first four, and before any quotes that stand before one of \
them. Numbers are never changed. To undo it, replace in every cell and in the header what this expression matches with \
nothing (Python, JavaScript, .NET, PCRE; \\A is the start of the cell):"""
_EXPRESSION = r"(?:\A|(?<=[;\t\r\n]))'(?='*[=+\-@\t\r\n\0\uFF1D\uFF0B\uFF0D\uFF20])"


def render(report: Report, sources: Sequence[Source], formats: Sequence[str]) -> str:
    """The text. `formats` are those beside JSON Lines: `csv`, `parquet`."""
    partner = report.partner
    blocks = [
        f"Your data from {partner.display_name}\n{'=' * (15 + len(partner.display_name))}",
        _filled(
            f"This package holds the data that you gave to {partner.display_name}, and that was recorded while you used its "
            "service, as far as it is processed with your consent or for a contract with you (right to data "
            "portability, Art. 20 GDPR). It is made for machines: give it to another service, or keep it."
        ),
        f"Request     {report.request}\nReceived    {report.received_time:%Y-%m-%d}\nMade        "
        f"{report.package_time:%Y-%m-%d}\nQuestions   {_line(partner.privacy_contact)}"
        + (f"\nPrepared by {_line(report.operator)}; {_line(report.operator_contact)}" if report.operator else ""),
        "What is in it\n-------------\n" + "\n".join(_files(formats)),
        "\n".join(["Collections", "-----------", *_collections(sources)]),
    ]
    if "csv" in formats:
        blocks += [
            "CSV\n---\n"
            + _filled(
                "UTF-8, comma-separated, quoted as RFC 4180 says, first line the names of the fields. An empty cell is no "
                "value or an empty text; JSON Lines tells them apart. Lists and objects are JSON."
            ),
            f"{_filled(_FORMULAS)}\n\n    {_EXPRESSION}",
        ]
    blocks.append(
        "Is it complete?\n---------------\n"
        + _filled(
            "manifest-sha256.txt and manifest-sha512.txt hold the checksums of every file below data/ (BagIt, RFC "
            "8493). Any BagIt tool checks them."
        )
    )
    return "\n\n".join(blocks) + "\n"


def _files(formats: Sequence[str]) -> list[str]:
    lines = [
        "data/datapackage.json  describes every file and field (Frictionless Data Package v2)",
        "data/scope.json        what is in this copy, what isn't, and why",
        "data/.../*.jsonl       JSON Lines: one record a line, exactly as the source gave it",
    ]
    if "csv" in formats:
        lines.append("data/.../*.csv         the same as CSV, safe to open in a spreadsheet")
    if "parquet" in formats:
        lines.append("data/.../*.parquet     the same as Apache Parquet, typed")
    return [*lines, "data/files/            your files; what a computer might run has .txt behind its name"]


def _collections(sources: Sequence[Source]) -> list[str]:
    lines = []
    for source in sources:
        for collection in source.collections:
            lines.append(_line(f"{source.title} / {collection.title}: {_found(collection)}"))
            lines += [f"    {note}" for note in collection.notes]
    return lines


def _found(collection: Collection) -> str:
    if not collection.selection.ported:
        return f"not part of this right ({collection.selection.rest or 'every field is outside it'})"
    left_out = len(collection.withheld)
    return f"{collection.records:,} records" + (
        f", {left_out} fields left out (see data/scope.json)" if left_out else ""
    )


def _filled(text: str) -> str:
    return fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _line(text: str) -> str:
    return " ".join(text.split())
