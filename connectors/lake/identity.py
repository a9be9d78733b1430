"""Whose is a record? Values are compared, never guessed: 7, "7" and 007 are alike only where that is declared.

Fields are paths (`user.id`); a list on the way means each of its elements.
"""

import itertools
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

Kind = Literal["string", "number", "either", "digits"]
"""What a field's value is: a string; a number; either, compared as text; digits but for leading zeros."""

_INTEGER = re.compile(r"-?[1-9][0-9]*|0")
_WHOLE = re.compile(r"(-?[1-9][0-9]*|-?0)(?:\.0+)?")
_DOT = re.compile(r"(?<!\\)\.")
_EXACT_FLOAT = 2**53


@dataclass(frozen=True)
class Rule:
    """How records of a collection name a person."""

    type: str
    paths: tuple[tuple[str, ...], ...]
    """One; several for a composite id."""
    kind: Kind = "string"
    fold: bool = False
    """Compared without regard to case."""
    separator: str = ""
    """Stands between the parts of a composite id where it is written as one value."""

    def written(self, value: str) -> tuple[str, ...] | None:
        """What a request's value is compared as; None if no field can hold it."""
        parts = value.split(self.separator) if self.separator else [value]
        if len(parts) != len(self.paths):
            return None
        found = [self._wanted(part) for part in parts]
        return tuple(part for part in found if part is not None) if None not in found else None

    def _wanted(self, value: str) -> str | None:
        if self.kind == "number":
            return value if _INTEGER.fullmatch(value) else None
        return self._text(value)

    def _text(self, value: str) -> str | None:
        if self.kind == "digits":
            return (value.lstrip("0") or "0") if value.isascii() and value.isdigit() else None
        return value.casefold() if self.fold else value

    def canonical(self, value: Any, *, untyped: bool) -> str | None:
        """A field's value as it is compared; None if it names nobody. `untyped`: numbers are text, as in CSV."""
        match value:
            case bool():
                return None
            case bytes():
                value = value.decode(errors="surrogateescape")
            case uuid.UUID():
                value = str(value)
        if isinstance(value, str):
            if self.kind != "number":
                return self._text(value)
            number = _WHOLE.fullmatch(value) if untyped else None
            return str(int(number[1])) if number else None
        return None if self.kind == "string" else self._number(value)

    def _number(self, value: Any) -> str | None:
        match value:
            case int():
                whole = value
            case float() if value.is_integer() and abs(value) < _EXACT_FLOAT:
                whole = int(value)
            case Decimal() if value.is_finite() and value == value.to_integral_value():
                whole = int(value)
            case _:
                return None
        return None if self.kind == "digits" and whole < 0 else str(whole)

    def read(self, record: Any, *, untyped: bool = False) -> set[tuple[str, ...]]:
        """Everybody whom a record names by this rule."""
        columns = []
        for path in self.paths:
            found = {self.canonical(value, untyped=untyped) for value in leaves(record, path)}
            columns.append(sorted(value for value in found if value is not None))
        return set(itertools.product(*columns))


def parse_path(text: str) -> tuple[str, ...]:
    """`a.b` as ("a", "b"); a dot that belongs to a name is written `\\.`."""
    return tuple(part.replace("\\.", ".") for part in _DOT.split(text))


def leaves(value: Any, path: Sequence[str]) -> Iterator[Any]:
    """The values at a path. Null, or a thing of another shape, on the way: none."""
    if isinstance(value, list):
        for element in value:
            yield from leaves(element, path)
    elif not path:
        if value is not None:
            yield value
    elif isinstance(value, Mapping) and path[0] in value:
        yield from leaves(value[path[0]], path[1:])


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose a record is."""

    people: frozenset[int]
    shared: bool
    names: tuple[tuple[int, str], ...]


class Wanted:
    """The people of one search, by a collection's rules."""

    def __init__(self, rules: Sequence[Rule], people: Sequence[Sequence[tuple[str, str]]]) -> None:
        """`people`: for each the (type, value) pairs of their identities."""
        self.rules = tuple(rules)
        self.index: list[dict[tuple[str, ...], set[int]]] = [{} for _ in rules]
        for number, identities in enumerate(people):
            for kind, value in identities:
                for rule, index in zip(self.rules, self.index, strict=True):
                    written = rule.written(value) if rule.type == kind else None
                    if written is not None:
                        index.setdefault(written, set()).add(number)

    def __bool__(self) -> bool:
        return any(self.index)

    def owners(self, record: Any, *, untyped: bool = False) -> Owners | None:
        """Whose a record is; None if nobody's who is looked for."""
        people: set[int] = set()
        names = [rule.read(record, untyped=untyped) for rule in self.rules]
        for found, index in zip(names, self.index, strict=True):
            for name in found:
                people |= index.get(name, set())
        if not people:
            return None
        told = tuple((n, rule.separator.join(name)) for n, rule in enumerate(self.rules) for name in sorted(names[n]))
        return Owners(frozenset(people), self._shared(people, names), told)

    def _shared(self, people: set[int], names: Sequence[set[tuple[str, ...]]]) -> bool:
        """Whether the record, by the types that led to these people, names somebody who is none of them."""
        for person in people:
            types = {
                r.type
                for r, i, f in zip(self.rules, self.index, names, strict=True)
                for n in f
                if person in i.get(n, ())
            }
            for rule, index, found in zip(self.rules, self.index, names, strict=True):
                if rule.type in types and any(person not in index.get(name, ()) for name in found):
                    return True
        return False

    def values(self) -> Iterator[tuple[Rule, str, set[int]]]:
        """(rule, part, people): a part of each value looked for; the longest of a composite one."""
        for rule, index in zip(self.rules, self.index, strict=True):
            for name, people in index.items():
                yield rule, max(name, key=len), people
