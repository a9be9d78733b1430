"""What the shop's database itself says of one person and of everybody else. Never asks the platform."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg

from dsrkit.db import load_sql

_STATEMENTS = load_sql(__package__)
COLLECTIONS = tuple(name for name in _STATEMENTS if name.startswith("public."))
"""The tables that hold personal data."""


@dataclass(frozen=True)
class Checksum:
    """A set of rows: how many, and two sums of their hashes, whatever their order. The sums of disjoint sets add up."""

    rows: int
    first: int
    second: int

    def __sub__(self, other: "Checksum") -> "Checksum":
        return Checksum(self.rows - other.rows, self.first - other.first, self.second - other.second)


@dataclass(frozen=True)
class Witness:
    """A look at the shop with one person in mind, who is remembered after their rows are gone."""

    connection: asyncpg.Connection
    person_id: int
    customer_number: str
    email: str

    @classmethod
    async def of(cls, connection: asyncpg.Connection, email: str) -> "Witness":
        """Remembers the customer with exactly this address and an open account."""
        row = await connection.fetchrow(_STATEMENTS["find"], email)
        if row is None:
            raise ValueError("there is no customer with this address")
        reviews = [str(review["id"]) for review in await connection.fetch(_STATEMENTS["reviews"], row["id"])]
        await connection.execute("SET timezone = 'UTC'; SET intervalstyle = 'iso_8601'")
        await connection.fetchrow(
            _STATEMENTS["remember"], str(row["id"]), row["customer_number"], row["email"], f"{{{','.join(reviews)}}}"
        )
        return cls(connection, row["id"], row["customer_number"], row["email"])

    async def counts(self) -> dict[str, int]:
        """The person's rows per table, tables without any left out."""
        found = {name: (await self._checksum(_STATEMENTS[name])).rows for name in COLLECTIONS}
        return {name: rows for name, rows in found.items() if rows}

    async def records(self, collection: str) -> list[dict[str, Any]]:
        """The person's rows of a table, as JSON shows them; numbers with decimals as they are written."""
        rows = await self.connection.fetch(f"SELECT row_to_json(t)::text FROM ({_STATEMENTS[collection]}) AS t")  # noqa: S608
        return [json.loads(row[0], parse_float=str) for row in rows]

    async def others(self) -> Mapping[str, Checksum]:
        """Every table without the person's rows."""
        found = {}
        for (table,) in await self.connection.fetch(_STATEMENTS["tables"]):
            found[table] = await self._checksum(f"SELECT * FROM {table}")  # noqa: S608 - quoted by the server
            if table in _STATEMENTS:
                found[table] -= await self._checksum(_STATEMENTS[table])
        return found

    async def _checksum(self, query: str) -> Checksum:
        (row,) = await self.connection.fetch(
            "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0),"  # noqa: S608 - our own files
            f" coalesce(sum(hashtextextended(t::text, 1)::numeric), 0) FROM ({query}) AS t"
        )
        return Checksum(row[0], int(row[1]), int(row[2]))
