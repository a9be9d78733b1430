"""What is in the database, and a row of two partners in every table, whatever its columns are."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

OURS, THEIRS = "partners/ours", "partners/theirs"
QUEUE = "pgqueuer"
"""How the names of the queue's own tables begin: their rows are ids of tasks."""
_VALUES = {
    "text": "'{column}-{number}'",
    "uuid": "gen_random_uuid()",
    "jsonb": "'{{}}'",
    "bytea": "'\\x{number:02x}'",
    "timestamptz": "now()",
    "interval": "'1 day'",
    "bool": "true",
    "int4": "{number}",
    "int8": "{number}",
    "inet": "'192.0.2.{number}'",
    "date": "now()",
}
_EMPTY_ARRAY = "'{{}}'"


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    required: bool
    generated: bool


@dataclass(frozen=True)
class Table:
    schema: str
    name: str
    columns: Sequence[Column]

    @property
    def path(self) -> str:
        return f'{self.schema}."{self.name}"'

    @property
    def of_partners(self) -> bool:
        return any(column.name == "partner" for column in self.columns)

    def insert(self, partner: str, number: int) -> str:
        """A row of a partner. Every column that has to be given is."""
        given = [c for c in self.columns if c.required and not c.generated]
        values = [
            f"'{partner}'" if c.name == "partner" else _value(c.type).format(column=c.name, number=number)
            for c in given
        ]
        names = ", ".join(f'"{c.name}"' for c in given)
        return f"INSERT INTO {self.path} ({names}) VALUES ({', '.join(values)})"


def _value(kind: str) -> str:
    return _EMPTY_ARRAY if kind.startswith("_") else _VALUES[kind]


async def tables(connection: asyncpg.Connection, schemas: Sequence[str]) -> list[Table]:
    """Every table of these schemas."""
    rows = await connection.fetch(
        """
        SELECT n.nspname AS schema, c.relname AS name,
               array_agg(row(a.attname, t.typname, a.attnotnull AND NOT a.atthasdef,
                             a.attidentity <> '' OR a.attgenerated <> '') ORDER BY a.attnum) AS columns
        FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN pg_type AS t ON t.oid = a.atttypid
        WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY ($1)
        GROUP BY 1, 2 ORDER BY 1, 2
        """,
        list(schemas),
    )
    return [Table(row["schema"], row["name"], [Column(*column) for column in row["columns"]]) for row in rows]


async def fill(connection: asyncpg.Connection, found: Sequence[Table]) -> None:
    """A row of each partner in every table, as the superuser; what rows mean is not at issue here."""
    checks = await connection.fetch(
        "SELECT conrelid::regclass::text AS table, conname FROM pg_constraint"
        " WHERE contype = 'c' AND connamespace::regnamespace::text = ANY ($1)",
        sorted({table.schema for table in found}),
    )
    for row in checks:
        await connection.execute(f'ALTER TABLE {row["table"]} DROP CONSTRAINT "{row["conname"]}"')
    await connection.execute("SET session_replication_role = replica")  # without foreign keys
    for table in found:
        if table.of_partners:
            await connection.execute(table.insert(OURS, 1))
            await connection.execute(table.insert(THEIRS, 2))
