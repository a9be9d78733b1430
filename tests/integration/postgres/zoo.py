"""Random schemas with random data, and an oracle in plain Python that knows what must become of them.

A schema has a table of people and tables that refer to each other in every way: forwards, backwards (so in circles), to
themselves, by single and composite keys, nullable or not, deferrable or not, with every rule for deletion.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

RULES = ("NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT")
"""What PostgreSQL knows. The rules from the fourth on need columns that may be null."""
TAG = "tag"
"""A column that is unique over all tables, by which the oracle knows a row."""
_PEOPLE = 4
"""Rows mostly keep to one person: that of their number modulo this."""


@dataclass
class Key:
    """A foreign key."""

    name: str
    table: str
    target: str
    columns: list[str]
    rule: str
    nullable: bool
    deferrable: bool
    ownership: str


@dataclass
class Table:
    """A table; `key` is its primary key, empty for none."""

    name: str
    key: list[str]
    rows: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Zoo:
    """A schema, its rows, its declaration and an erasure plan."""

    tables: dict[str, Table]
    keys: list[Key]
    actions: dict[str, str]

    @classmethod
    def generate(cls, seed: int, rules: Sequence[str] = RULES, *, keyless: bool = True) -> "Zoo":
        """`rules`: those for deletion. `keyless`: with tables that have no key."""
        dice = random.Random(seed)
        keys_of = [["id"], ["id"], ["grp", "id"], [] if keyless else ["id"]]
        tables = {"people": Table("people", ["id"])}
        for number in range(dice.randint(1, 9)):
            name = f"t{number}"
            tables[name] = Table(name, dice.choice(keys_of))
        keys = []
        for name in list(tables)[1:]:
            for number in range(dice.randint(1, 3)):
                target = dice.choice([t for t in tables.values() if t.key])
                keys.append(_key(dice, number, name, target, rules))
        for number in range(dice.randint(0, 2)):  # circles through the people themselves
            target = dice.choice([t for t in tables.values() if t.key])
            key = _key(dice, number, "people", target, rules)
            key.ownership = "LOOKUP"
            keys.append(key)
        zoo = cls(tables, keys, {})
        zoo._populate(dice)
        whole = dice.random() < 0.5
        for name in tables:
            zoo.actions[name] = "DELETE" if whole else dice.choice(["DELETE"] * 5 + ["RETAIN", "ANONYMISE"])
        return zoo

    def _populate(self, dice: random.Random) -> None:
        for table in self.tables.values():
            for number in range(_PEOPLE if table.name == "people" else dice.randint(_PEOPLE, 20)):
                table.rows.append({"grp": number % 3, "id": number, TAG: f"{table.name}-{number}"})
        strays = dice.choice([0.0, 0.0, 0.0, 0.02])  # rows that refer to somebody else's
        for key in self.keys:
            target = self.tables[key.target]
            for row in self.tables[key.table].rows:
                near = [r for r in target.rows if r["id"] % _PEOPLE == row["id"] % _PEOPLE]
                chosen = dice.choice(target.rows if dice.random() < strays else near)
                there = None if key.nullable and dice.random() < 0.3 else chosen
                for column, theirs in zip(key.columns, target.key, strict=True):
                    row[column] = None if there is None else there[theirs]
                if there is not None and key.nullable and len(key.columns) > 1 and dice.random() < 0.1:
                    row[key.columns[0]] = None  # MATCH SIMPLE: a key with a null refers to nothing

    def statements(self) -> Iterator[str]:
        for table in self.tables.values():
            mine = [key for key in self.keys if key.table == table.name]
            columns = [f"{c} integer" for c in ["grp", "id"] + [c for key in mine for c in key.columns]]
            email = ", email text UNIQUE" if table.name == "people" else ""
            primary = f", PRIMARY KEY ({', '.join(table.key)})" if table.key else ""
            yield f"CREATE TABLE {table.name} ({', '.join(columns)}, {TAG} text{email}{primary})"
            for row in table.rows:
                values = ", ".join(_literal(value) for value in row.values())
                yield f"INSERT INTO {table.name} ({', '.join(row)}) VALUES ({values})"  # noqa: S608
        yield f"UPDATE people SET email = {TAG} || '@example.com'"  # noqa: S608
        for key in self.keys:
            theirs = ", ".join(self.tables[key.target].key)
            yield (
                f"ALTER TABLE {key.table} ADD CONSTRAINT {key.name} FOREIGN KEY ({', '.join(key.columns)})"
                f" REFERENCES {key.target} ({theirs}) ON DELETE {key.rule} {'DEFERRABLE' if key.deferrable else ''}"
            )
            if not key.nullable:
                for column in key.columns:
                    yield f"ALTER TABLE {key.table} ALTER {column} SET NOT NULL"

    def declaration(self) -> dict[str, Any]:
        declared: dict[str, Any] = {}
        for table in self.tables.values():
            references = {key.name: key.ownership for key in self.keys if key.table == table.name}
            declared[f"public.{table.name}"] = {"references": references}
        declared["public.people"] |= {"people": True, "identity": {"email": {"type": "email", "unique": True}}}
        return {"collections": declared}

    # The oracle

    def closure(self, person: str) -> tuple[set[str], set[str]]:
        """Tags of the person's own rows, and of those that concern others too."""
        own = self._grow({person}, ["OWNED"])
        return own, self._grow(own, ["OWNED", "SHARED"]) - own

    def _grow(self, tags: set[str], ownerships: list[str]) -> set[str]:
        tags = set(tags)
        while True:
            more = {
                row[TAG]
                for key in self.keys
                if key.ownership in ownerships
                for row in self.tables[key.table].rows
                if (there := self.referred(key, row)) is not None and there in tags
            }
            if more <= tags:
                return tags
            tags |= more

    def referred(self, key: Key, row: dict[str, Any]) -> str | None:
        """Tag of the row referred to."""
        wanted = [row[column] for column in key.columns]
        if None in wanted:
            return None
        target = self.tables[key.target]
        return next(str(r[TAG]) for r in target.rows if [r[c] for c in target.key] == wanted)

    def forget(self, gone: set[str]) -> None:
        """Takes rows out, as an erasure did."""
        for table in self.tables.values():
            table.rows = [row for row in table.rows if row[TAG] not in gone]

    def blocked(self, person: str) -> bool:
        """Whether some row that stays would refer to one that goes, or a shared row would have to go."""
        own, shared = self.closure(person)
        going = {tag for tag in own if self.actions[tag.partition("-")[0]] == "DELETE"}
        if any(self.actions[tag.partition("-")[0]] == "DELETE" for tag in shared):
            return True
        return any(
            self.referred(key, row) in going and row[TAG] not in going
            for key in self.keys
            for row in self.tables[key.table].rows
        )


def _key(dice: random.Random, number: int, table: str, target: Table, rules: Sequence[str]) -> Key:
    nullable = dice.random() < 0.6
    rule = dice.choice(rules if nullable else rules[:3])
    return Key(
        name=f"{table}_k{number}",
        table=table,
        target=target.name,
        columns=[f"k{number}_{column}" for column in target.key],
        rule=rule,
        nullable=nullable,
        deferrable=dice.random() < 0.3,
        ownership=dice.choices(["OWNED", "SHARED", "LOOKUP"], [8, 1, 1])[0],
    )


def _literal(value: object) -> str:
    return "NULL" if value is None else f"'{value}'"
