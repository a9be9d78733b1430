"""A first draft of declaration and data map for a database never seen, with the reason for every proposal.

What is printed is for a person to correct: nothing in it is acted upon before that.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import yaml

from connectors.postgres.dialect import PostgresDialect
from connectors.postgres.options import PostgresOptions
from connectors.postgres.session import PostgresDatabase
from connectors.relational.catalogue import Catalogue, ForeignKey, Table
from connectors.relational.declaration import parse
from connectors.relational.guess import OwnershipGuess, Ownerships, identities, people, slices
from dsrkit.errors import invalid

_UNIDENTIFIED = "discovery"
_PERSONAL = re.compile(
    r"(.*_)?((first|last|full|sur|given|family)_?name|birth.*|dob|address|street|postcode|zip|ip(_address)?|user_?agent"
    r"|device_?id|(user|customer|client|member|person)_?id)"
)
_HEADER = """\
# Draft of a connector declaration and a data map. Read `unsure` first; correct; then remove `unsure` and `reasons`.
# Names and constraints are all this was made from: no row was read.
"""


async def draft(dsn: str, schemas: tuple[str, ...] = ()) -> str:
    """YAML: `options` for the connector host, `data_map` (a SourceMap) for governance, `reasons`, and `unsure`."""
    given: dict[str, Any] = {"dsn": dsn} | ({"schemas": list(schemas)} if schemas else {})
    options = parse(PostgresOptions, given)
    database = PostgresDatabase(options, _UNIDENTIFIED, b"", PostgresDialect())
    try:
        catalogue = await database.catalogue()
    finally:
        await database.close()
    missing = sorted(set(schemas) - {table.schema for table in catalogue.tables.values()})
    if missing:
        # Absent and unreadable look the same: the catalogue shows what the user may see.
        raise invalid("--schema", f"{', '.join(missing)} has no table that the user of the DSN can see")
    return _HEADER + render(_Draft(_of_interest(catalogue, options)).whole(schemas))


def render(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _of_interest(catalogue: Catalogue, options: PostgresOptions) -> Catalogue:
    chosen = {
        name: table
        for name, table in catalogue.tables.items()
        if table.schema != options.journal_schema and (options.schemas is None or table.schema in options.schemas)
    }
    keys = (key for key in catalogue.foreign_keys if key.table in chosen and key.target in chosen)
    return Catalogue(chosen, tuple(keys))


class _Draft:
    def __init__(self, catalogue: Catalogue) -> None:
        self.tables = catalogue.tables
        self.keys = catalogue.foreign_keys
        self.scope = slices(catalogue)
        ownerships = Ownerships(catalogue)
        self.guesses = {(key.table, key.name): ownerships[key] for key in self.keys}
        self.reasons: list[str] = []
        self.unsure: list[str] = []
        self.personal = self._personal()

    def whole(self, schemas: tuple[str, ...]) -> dict[str, Any]:
        for name in self.scope:
            self.unsure.append(
                f"{name} stands in half of the tables or more: is the database shared? Then set scope: {{{name}: …}}"
            )
        collections = {name: self._collection(name, table) for name, table in self.tables.items()}
        options: dict[str, Any] = {"dsn_file": "/run/secrets/CHANGE-ME.dsn"}
        if schemas:
            options["schemas"] = list(schemas)
        return {
            "options": options | {"collections": collections},
            "data_map": {
                "source": "partners/CHANGE-ME/dataSources/CHANGE-ME",
                "authoritative_for": sorted(self._authoritative()),
                "collections": [self._mapped(name) for name in self.tables if name in self.personal],
            },
            "unsure": self.unsure,
            "reasons": self.reasons,
        }

    def _collection(self, name: str, table: Table) -> dict[str, Any]:
        if name not in self.personal:
            self._explain_absence(name, table)
            return {"no_personal_data": True}
        found: dict[str, Any] = {}
        if people(table) and table.keyed:
            found["people"] = True
            self.reasons.append(f"{name}: rows are people, by the table's name and its identity columns")
        if named := self._identities(table):
            found["identity"] = named
        references: dict[str, Any] = {}
        for key in self.keys:
            if key.table == name and key.target in self.personal:
                references[key.name] = self._ownership(key)
        references |= self._unconstrained(table)
        if references:
            found["references"] = references
        for trigger in table.triggers:
            events = " and ".join(trigger.events)
            self.unsure.append(
                f"{name}: what does the {trigger.kind} {trigger.name} do on {events}? List it under acknowledged"
            )
        return found | self._soft_delete(table)

    def _unconstrained(self, table: Table) -> dict[str, Any]:
        """References that nothing enforces, as far as names betray them."""
        found: dict[str, Any] = {}
        for column, target in _by_name(table, self.tables, self.keys, self.personal):
            label = f"{column}_by_name"
            found[label] = {
                "columns": [column],
                "target": target.full_name,
                "target_columns": [target.key[0].name],
                "ownership": "OWNED",
            }
            self.unsure.append(
                f"{table.full_name} ({column}) -> {target.full_name}: OWNED, by the names alone; no constraint says so"
            )
        for prefix in _polymorphic(table):
            self.unsure.append(
                f"{table.full_name} ({prefix}_type, {prefix}_id): refers to several tables? Declare each, with when"
            )
        return found

    def _identities(self, table: Table) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for guess in identities(table, self.scope):
            entry: dict[str, Any] = {"type": guess.type}
            if guess.match != "exact":
                entry["match"] = guess.match
            if guess.unique:
                entry["unique"] = True
            found[guess.column] = entry
            self.reasons.append(f"{table.full_name}.{guess.column}: {guess.type}, because {guess.reason}")
            if guess.match == "e164":
                self.unsure.append(
                    f"{table.full_name}.{guess.column}: in which country's way are national numbers written? Set region"
                )
            if guess.match == "case_fold" and not table.indexed_by("lower", guess.column):
                self.unsure.append(
                    f"{table.full_name}.{guess.column}: no index on lower({guess.column}); searches read it all"
                )
        return found

    def _ownership(self, key: ForeignKey) -> str:
        guess: OwnershipGuess = self.guesses[key.table, key.name]
        columns = ", ".join(key.columns)
        line = f"{key.table} ({columns}) -> {key.target}: {guess.ownership}, because {guess.reason}"
        (self.reasons if guess.sure else self.unsure).append(line)
        return guess.ownership

    def _soft_delete(self, table: Table) -> dict[str, Any]:
        for column in table.columns:
            if re.fullmatch(r"(is_)?(deleted|removed|archived)(_at|_on|_time)?", column.name.lower()):
                self.unsure.append(
                    f"{table.full_name}.{column.name}: does it mark rows as deleted? They are found all the same"
                )
                return {"soft_delete": column.name}
        return {}

    def _explain_absence(self, name: str, table: Table) -> None:
        if not table.searchable:
            self.unsure.append(
                f"{name}: a {table.kind} can't be searched; does what it shows come from elsewhere here?"
            )
        elif _suspicious(table):
            self.unsure.append(
                f"{name}: nothing leads here from a person, but it has columns like {_suspicious(table)}"
            )
        else:
            self.reasons.append(
                f"{name}: no personal data, because no column names a person and nothing leads here from one"
            )

    def _authoritative(self) -> set[str]:
        return {
            g.type for table in self.tables.values() if people(table) for g in identities(table, self.scope) if g.unique
        }

    def _mapped(self, name: str) -> dict[str, Any]:
        title = self.tables[name].name.replace("_", " ").capitalize()
        return {
            "collection": name,
            "title": title,
            "purposes": ["CHANGE-ME"],
            "category": "CHANGE-ME",
            "retention": "CHANGE-ME",
            "lawful_basis": "LAWFUL_BASIS_UNSPECIFIED",
            "erase_action": "ERASE_ACTION_UNSPECIFIED",
        }

    def _personal(self) -> set[str]:
        """Tables that name people, and those that refer to such ones, unless it is sure that they do so as a lookup."""
        found = {name for name, table in self.tables.items() if table.searchable and identities(table)}
        grown = True
        while grown:
            more = {key.table for key in self.keys if key.target in found and self._may_belong(key)}
            more |= {
                name
                for name, table in self.tables.items()
                if table.searchable
                and (_polymorphic(table) or any(True for _ in _by_name(table, self.tables, self.keys, found)))
            }
            grown = not more <= found
            found |= more
        return found

    def _may_belong(self, key: ForeignKey) -> bool:
        guess = self.guesses[key.table, key.name]
        return guess.ownership != "LOOKUP" or not guess.sure


def _by_name(
    table: Table, tables: Mapping[str, Table], keys: Sequence[ForeignKey], personal: Collection[str]
) -> Iterator[tuple[str, Table]]:
    """(column, table) where a column is called like another table's key: customer_id and customers (id)."""
    constrained = {column for key in keys if key.table == table.full_name for column in key.columns}
    for column in table.columns:
        stem = column.name.lower().removesuffix("_id")
        if stem == column.name.lower() or column.name in constrained or column in table.key:
            continue
        for name in sorted(personal):
            target = tables[name]
            if target.name.lower() not in (stem, f"{stem}s", f"{stem}es") or name == table.full_name:
                continue
            if target.keyed and len(target.key) == 1 and target.key[0].family == column.family:
                yield column.name, target


def _polymorphic(table: Table) -> list[str]:
    """Prefixes of columns that come as a type and an id."""
    names = {column.name for column in table.columns}
    return sorted(name.removesuffix("_type") for name in names if name.endswith("_type") and f"{name[:-5]}_id" in names)


def _suspicious(table: Table) -> str:
    return ", ".join(column.name for column in table.columns if _PERSONAL.fullmatch(column.name.lower()))
