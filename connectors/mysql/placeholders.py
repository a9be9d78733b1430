"""From statements as they are composed to statements as the server takes them."""

import re
from collections import Counter

from connectors.relational.sql import Sql, Statement

_PARTS = re.compile(r"`(?:[^`]|``)*`|'[^']*'|:(\d+):")
_TEMPORARY = re.compile(r"(?<![.`])`(dsr_(?:subject|choice|anchor|key_\d+))`")


def positional(statement: Statement) -> tuple[Sql, tuple[object, ...]]:
    """`?` for every `:number:` outside of names and strings, and the values in that order."""
    values: list[object] = []

    def replace(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        values.append(statement.values[int(match[1]) - 1])
        return "?"

    return Sql(_PARTS.sub(replace, statement.sql)), tuple(values)


def temporaries(sql: Sql) -> set[str]:
    """The temporary tables that a statement names."""
    return set(_TEMPORARY.findall(sql))


def written(sql: Sql) -> str | None:
    """The temporary table that a statement inserts into."""
    match = _TEMPORARY.match(sql, len("INSERT INTO ")) if sql.startswith("INSERT INTO ") else None
    return match[1] if match else None


def once(sql: Sql) -> tuple[Sql, Counter[str]]:
    """The statement with every further mention of a temporary table naming a copy of it, and the number of copies."""
    seen: Counter[str] = Counter()

    def replace(match: re.Match[str]) -> str:
        seen[match[1]] += 1
        number = seen[match[1]]
        return match[0] if number == 1 else f"`{copy_name(match[1], number)}`"

    return Sql(_TEMPORARY.sub(replace, sql)), seen


def copy_name(table: str, number: int) -> str:
    """The copy that stands for mention `number` of a temporary table."""
    return f"{table}#{number}"
