"""SQL text that can't hold a value.

`Sql` is a type of its own, so that mypy refuses a plain string where SQL is expected. It comes into being in three
places only: literal templates in this package, `Dialect` (identifiers that the catalogue returned, quoted) and `fill`.
Values travel beside it, as bind parameters.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NewType

Sql = NewType("Sql", str)

EQUALS, TRUE, FALSE, NOTHING = Sql("="), Sql("TRUE"), Sql("FALSE"), Sql("")


def fill(template: str, **parts: Sql | int) -> Sql:
    """`template` (a literal) with its `{parts}` filled in. Braces of SQL itself are doubled."""
    return Sql(template.format_map(parts))


def join(separator: str, parts: Iterable[Sql]) -> Sql:
    return Sql(separator.join(parts))


def conjunction(conditions: Iterable[Sql]) -> Sql:
    """All of the conditions; TRUE when there is none."""
    return join(" AND ", conditions) or Sql("TRUE")


@dataclass(frozen=True)
class Statement:
    """SQL and the values of its bind parameters, in order."""

    sql: Sql
    values: tuple[object, ...] = ()


class Values:
    """The bind parameters of a statement under construction."""

    def __init__(self, placeholder: Callable[[int], Sql]) -> None:
        self._placeholder = placeholder
        self._values: list[object] = []

    def bind(self, value: object) -> Sql:
        """The placeholder that stands for `value`."""
        self._values.append(value)
        return self._placeholder(len(self._values))

    def statement(self, sql: Sql) -> Statement:
        return Statement(sql, tuple(self._values))
