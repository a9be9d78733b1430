"""Proposals from names and constraints alone: which columns name a person, and who owns a referring row.

A proposal is never acted on by an erasure. Each carries the reason that a person needs to accept or reject it.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from connectors.relational.catalogue import Catalogue, Column, ForeignKey, Table
from connectors.relational.declaration import Ownership

# (identity type, pattern of the column's name, how it is compared, whether it may be followed if an index says unique)
_NAMES: tuple[tuple[str, str, str, bool], ...] = (
    ("email", r"(.*_)?e?_?mail(_?address)?", "case_fold", True),
    ("phone", r"(.*_)?(tele)?phone(_?(number|no))?|(.*_)?(mobile|msisdn|cell)(_?(number|no))?", "e164", False),
    (
        "customer_number",
        r"(customer|client|member|account|patient|subscriber|cust)_?(number|no|nr|ref|code)",
        "exact",
        True,
    ),
    ("username", r"user_?name|login(_?name)?|screen_?name|nick_?name", "case_fold", True),
    (
        "national_id",
        r"ssn|nino|national_?(id|insurance)(_?(number|no))?|passport(_?(number|no))?|tax_?id|pesel|bsn",
        "exact",
        True,
    ),
    ("iban", r"iban", "exact", False),
)
_PEOPLE = re.compile(
    r"(.*_)?(user|customer|client|person|people|member|patient|employee|contact|subscriber|account|student|guest|lead|donor)s?"
)
_ACTORS = re.compile(
    r"(.*_)?(created|updated|modified|deleted|approved|assigned|reviewed|handled|entered|changed|verified|invited|referred)"
    r"_?(by|to)?(_.*)?"
    r"|(.*_)?(manager|supervisor|agent|operator|referrer|reviewer|assignee|rep)(_.*)?"
)
_SLICE = re.compile(r"(tenant|organi[sz]ation|org|company|partner|workspace|site|shop|merchant)_?(id|key|code|no)?")


@dataclass(frozen=True)
class IdentityGuess:
    """A column that looks like a name of a person."""

    column: str
    type: str
    match: str
    unique: bool
    reason: str


@dataclass(frozen=True)
class OwnershipGuess:
    """A proposal for a foreign key. `sure` is false where a person has to look."""

    ownership: Ownership
    reason: str
    sure: bool


def slices(catalogue: Catalogue) -> list[str]:
    """Columns, in half of the tables or more, that look as if they told one user of a shared database from another."""
    names = [column.name for table in catalogue.tables.values() for column in table.columns]
    enough = max(2, len(catalogue.tables) / 2)
    return sorted({name for name in names if _SLICE.fullmatch(name.lower()) and names.count(name) >= enough})


def identities(table: Table, scope: Collection[str] = ()) -> list[IdentityGuess]:
    """Columns whose name says that they name a person. An index may be unique but for columns of `scope`."""
    found = []
    for column in table.columns:
        for kind, pattern, match, followed in _NAMES:
            if _could_hold(column, kind) and re.fullmatch(pattern, column.name.lower()):
                unique = followed and table.unique(frozenset({column.name, *scope}))
                why = f"the name looks like {kind.replace('_', ' ')}" + (
                    ", and a unique index covers it" if unique else ""
                )
                found.append(IdentityGuess(column.name, kind, match, unique, why))
                break
    return found


def _could_hold(column: Column, kind: str) -> bool:
    return column.family == "text" or (column.family in ("integer", "number") and kind not in ("email", "username"))


def people(table: Table) -> bool:
    """Whether a row looks like a person: the table's name says so and a column names them."""
    return _PEOPLE.fullmatch(table.name.lower()) is not None and bool(identities(table))


class Ownerships:
    """Proposals for all foreign keys of a catalogue, which depend on one another: what a person owns owns in turn."""

    def __init__(self, catalogue: Catalogue, persons: Iterable[str] = ()) -> None:
        named = set(persons)
        self._persons = named | {name for name, table in catalogue.tables.items() if people(table)}
        self._tables = catalogue.tables
        self._personal = set(self._persons) | {name for name, table in catalogue.tables.items() if identities(table)}
        keys = [key for key in catalogue.foreign_keys if key.table in self._tables and key.target in self._tables]
        self._to_people: dict[str, int] = {}
        for key in keys:
            if key.target in self._persons:
                self._to_people[key.table] = self._to_people.get(key.table, 0) + 1
        # Whatever hangs below personal rows by a plain reference is personal too, to any depth.
        grown = True
        while grown:
            grown = False
            for key in keys:
                if key.target in self._personal and key.table not in self._personal and self._hangs(key):
                    self._personal.add(key.table)
                    grown = True

    def __getitem__(self, key: ForeignKey) -> OwnershipGuess:
        table, target = self._tables[key.table], self._tables.get(key.target)
        if target is None or key.target not in self._personal:
            return OwnershipGuess("LOOKUP", f"{key.target} doesn't look personal", True)
        if key.table == key.target and key.target in self._persons:
            return OwnershipGuess("LOOKUP", "a person that refers to another person isn't owned by them", False)
        if key.table == key.target:
            return OwnershipGuess("LOOKUP", "a row that refers to another of its kind may be somebody else's", False)
        if key.table in self._persons:
            return OwnershipGuess(
                "LOOKUP", f"{key.table} holds people, who belong to nobody", key.target not in self._persons
            )
        if _is_actor(key.columns):
            return OwnershipGuess("LOOKUP", "the column's name says who acted, not whose the row is", False)
        if key.on_delete == "CASCADE":
            return OwnershipGuess("OWNED", "the database deletes it with the row it refers to (CASCADE)", True)
        if self._to_people.get(key.table, 0) > 1 and key.target in self._persons:
            return OwnershipGuess("SHARED", "the table refers to people in more than one way", False)
        if all(not table.column[name].nullable for name in key.columns):
            return OwnershipGuess("OWNED", "it can't be without the row it refers to (NOT NULL)", True)
        if key.on_delete in ("SET_NULL", "SET_DEFAULT"):
            return OwnershipGuess("SHARED", f"the database keeps it when the other row goes ({key.on_delete})", False)
        return OwnershipGuess("OWNED", "it refers to something personal, though it needn't", False)

    def _hangs(self, key: ForeignKey) -> bool:
        return key.table not in self._persons and key.table != key.target and not _is_actor(key.columns)


def _is_actor(columns: Iterable[str]) -> bool:
    return any(_ACTORS.fullmatch(name.lower()) for name in columns)
