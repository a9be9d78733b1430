"""README.txt: what is in the package, for whoever receives it, person or engineer."""

from collections.abc import Sequence
from textwrap import fill

from dsrkit.parts import Report
from dsrkit.watermark import WATERMARK
from services.portability.package.cells import RESTORE
from services.portability.package.scope import Collection, Source

_CSV = """
UTF-8, comma-separated, quoted as RFC 4180 says; the first line names the fields. An empty cell is no value or an empty
text; JSON Lines tells them apart. Lists and objects are JSON.
"""
_FORMULAS = """
Formulas: a spreadsheet takes a cell that begins with = + - or @ for a formula and would run it. So a single quote (')
stands before = + - @ TAB CR LF NUL and the full-width forms of the first four where they begin a cell, and before the
same but TAB CR LF after a semicolon, a tab or a line break within it, since some spreadsheets begin a cell there. It
also stands before any quotes that precede one of these. Numbers are never changed. To undo it, remove in every
cell, and in the first line, what this expression matches (Python's notation; \\A is the beginning of the cell):
"""
_COMPLETE = """
manifest-sha256.txt and manifest-sha512.txt hold the checksums of every file below data/ (BagIt, RFC 8493). Any BagIt
tool checks them.
"""


def render(report: Report, sources: Sequence[Source], formats: Sequence[str]) -> str:
    """The text. `formats` are those beside JSON Lines: `csv`, `parquet`."""
    name = _line(report.partner.display_name)
    about = f"""
    This package holds the data that you gave to {name}, and that was recorded while you used its service, as far as it
    is processed with your consent or for a contract with you (right to data portability, Art. 20 GDPR). It is made for
    machines: give it to another service, or keep it.
    """
    officer = f"; its data protection officer: {_line(report.partner_dpo)}" if report.partner_dpo else ""
    facts = [
        f"Request      {report.request}",
        f"Received     {report.received_time:%Y-%m-%d}",
        f"Made         {report.package_time:%Y-%m-%d}",
        f"Questions    {_line(report.partner.privacy_contact)}{officer}",
    ]
    if report.operator:
        facts.append(f"Prepared by  {_line(report.operator)}; {_line(report.operator_contact)}")
    blocks = [
        *([WATERMARK] if report.partner.sandbox else []),
        _titled(f"Your data from {name}", _filled(about), "="),
        "\n".join(facts),
        _titled("What is in it", "\n".join(_files(formats))),
        _titled("Collections", "\n".join(_collections(sources))),
    ]
    if "csv" in formats:
        expression = RESTORE.replace("|", "\n    |")
        blocks.append(_titled("CSV", f"{_filled(_CSV)}\n\n{_filled(_FORMULAS)}\n\n    {expression}"))
    blocks.append(_titled("Is it complete?", _filled(_COMPLETE)))
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
    return [*lines, "data/files/            your files, if any; what a computer might run has .txt behind its name"]


def _collections(sources: Sequence[Source]) -> list[str]:
    lines = []
    for source in sources:
        for collection in source.collections:
            lines.append(_line(f"{source.title} / {collection.title}: {_found(source, collection)}"))
            lines += [f"    {note}" for note in collection.notes]
    return lines


def _found(source: Source, collection: Collection) -> str:
    if not collection.selection.ported:
        return f"not part of this right ({collection.selection.rest or 'none of its fields is'})"
    if source.report.searched_by is not None and not source.report.searched_by:
        return "could not be searched: it knows people only by kinds of names that are not known of you"
    if source.report.names_unasked:
        return f"{count(collection.records, 'record')}; there may be more, under names too many steps from yours"
    found = count(collection.records, "record")
    left_out = len(collection.withheld) if collection.part else 0
    return f"{found}, {count(left_out, 'field')} left out (see data/scope.json)" if left_out else found


def count(number: int, noun: str) -> str:
    """`1 record`, `2,000 records`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _titled(title: str, text: str, line: str = "-") -> str:
    return f"{title}\n{line * len(title)}\n{text}"


def _filled(text: str) -> str:
    return fill(_line(text), 100, break_long_words=False, break_on_hyphens=False)


def _line(text: str) -> str:
    return " ".join(text.split())
