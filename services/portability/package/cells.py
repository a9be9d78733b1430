"""Cells of a CSV file that is safe to open in a spreadsheet, and that a machine can undo.

A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula (OWASP, CSV injection; ASVS 1.2.10).
Where its list separator is a semicolon it also cuts cells of a comma-separated file at semicolons, tabs and line
breaks. So a `'` goes before such a character wherever a cell could begin, and before any quotes there that precede one.
"""

import re
from typing import Any

from dsrkit.jsonlines import Cut, Number, dumps

_FIRST = r"\A{}(?='*[=+\-@\t\r\n\0\uFF1D\uFF0B\uFF0D\uFF20])"
# A cell that begins in the middle of another begins with that one's doubled quotes, which the spreadsheet takes away.
_WITHIN = r"(?<=[;\t\r\n]){}(?=['\"]*[=+\-@\0\uFF1D\uFF0B\uFF0D\uFF20])"
RESTORE = f"{_FIRST}|{_WITHIN}".replace("{}", "'")
"""Matches what `neutralise` put in."""
_NEUTRALISE = re.compile(f"{_FIRST}|{_WITHIN}".replace("{}", ""))
_RESTORE = re.compile(RESTORE)

NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
LIMITS = {"NaN": "NaN", "Infinity": "INF", "-Infinity": "-INF"}
"""What is no number in JSON's extension and in sources, as Table Schema writes it."""
_NUMERIC = frozenset({"number", "integer"})


def neutralise(text: str) -> str:
    """The text with nothing in it that a spreadsheet would run."""
    return _NEUTRALISE.sub("'", text)


def restore(text: str) -> str:
    """Undoes `neutralise`. Cells that hold numbers are not changed by it."""
    return _RESTORE.sub("", text)


def cell(value: Any, type: str) -> str | None:
    """A parsed JSON value as a cell of a field of this Table Schema type; None when it was too long to be read.

    No value is an empty cell, as is an empty text. Objects and lists are JSON, their semicolons written as `\\u003b`.
    """
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str() if type in _NUMERIC and value in LIMITS:
            return LIMITS[value]
        case str() if (type in _NUMERIC or isinstance(value, Number)) and NUMBER.fullmatch(value):
            return str(value)
        case str():
            return neutralise(value)
    return None if has_cut(value) else dumps(value).replace(";", "\\u003b")


def has_cut(value: Any) -> bool:
    """Whether a text in the value was too long to be read."""
    match value:
        case Cut():
            return True
        case dict():
            return any(map(has_cut, value.values()))
        case list():
            return any(map(has_cut, value))
    return False
