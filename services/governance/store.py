"""All SQL of governance."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from dsrkit.db import Connection, load_sql, partner_transaction, sweeper_transaction
from dsrkit.errors import DsrError, not_found
from dsrkit.tasks import TaskStore
from services.governance.domain import Hold

SCHEMA = "governance"
OPERATOR = "operators/_"
"""In whose name what belongs to no partner is written: a name that no partner can have."""
FAMILIES: Sequence[str] = (
    "notifications",
    "corrections",
    "backups",
    "locations",
    "connectors",
    "breach",
    "records",
    "retention",
    "refusals",
    "transfers",
    "recipients",
    "termination",
    "policies",
    "staff",
    "sandbox",
    "ledger",
)
"""Folders of clause families. Their statements are named `folder.statement`, their migrations are governance's."""
_SQL = {
    **load_sql("services.governance"),
    **{f"{name}.{key}": sql for name in FAMILIES for key, sql in load_sql("services.governance", name).items()},
}
Position = tuple[datetime, UUID] | None


class GovernanceStore:
    """Statements by name, in a transaction of one partner; what needs more than a statement has a method."""

    def __init__(self, pool: asyncpg.Pool, tasks: TaskStore) -> None:
        self.pool = pool
        self.tasks = tasks

    async def row(self, connection: Connection, statement: str, *args: Any) -> asyncpg.Record | None:
        """One row of a named statement."""
        return await connection.fetchrow(_SQL[statement], *args)

    async def rows(self, connection: Connection, statement: str, *args: Any) -> list[asyncpg.Record]:
        """All rows of a named statement."""
        return list(await connection.fetch(_SQL[statement], *args))

    async def need(self, connection: Connection, statement: str, resource: str, *args: Any) -> asyncpg.Record:
        """One row, or NOT_FOUND."""
        row = await connection.fetchrow(_SQL[statement], *args)
        if row is None:
            raise not_found(resource)
        return row

    async def replay(self, connection: Connection, method: str, request_id: UUID, digest: bytes) -> str | None:
        """The resource this call made before. REQUEST_ID_REUSED when its body was another."""
        # Of calls at the same moment, the others wait here for the first one's outcome.
        await connection.execute(_SQL["lock_mutation"], request_id)
        row = await connection.fetchrow(_SQL["mutation"], request_id)
        if row is None:
            return None
        if (row["method"], row["body_digest"]) != (method, digest):
            raise DsrError(
                "REQUEST_ID_REUSED",
                "request_id was used before with another body; make a new UUID4.",
                field="request_id",
            )
        return str(row["resource"])

    async def remember(
        self, connection: Connection, method: str, request_id: UUID, digest: bytes, resource: str
    ) -> None:
        """Remembers what a call made."""
        await connection.execute(_SQL["add_mutation"], request_id, method, digest, resource)

    async def holds(self, connection: Connection, sources: Sequence[str], digests: Sequence[bytes]) -> list[Hold]:
        """Holds in force on these sources, for everybody or for the person of these identities."""
        return [
            Hold(
                name=f"{row['partner']}/holds/{row['id']}",
                source=row["source"],
                collection=row["collection"],
                reason=row["reason"],
                legal_reference=row["legal_reference"],
                review_time=row["review_time"],
            )
            for row in await connection.fetch(_SQL["holds_in_force"], list(sources), list(digests))
        ]

    async def use_token(self, connection: Connection, token_id: str, purpose: str) -> None:
        """A token approves one thing once. PERSON_REQUIRED when it was used for another."""
        if await connection.fetchrow(_SQL["use_token"], token_id, purpose) is None:
            before = await connection.fetchval(_SQL["token_purpose"], token_id)
            if before != purpose:
                raise DsrError("PERSON_REQUIRED", "This token was used before; sign in again.", why="TOKEN_REUSED")

    async def open_obligations(self, right: int, after: UUID | None) -> list[asyncpg.Record]:
        """A page of a right's open obligations, over all partners: ids only."""
        async with sweeper_transaction(self.pool, SCHEMA) as connection:
            return list(await connection.fetch(_SQL["open_obligations"], right, after))

    async def watch(self, statement: str) -> list[asyncpg.Record]:
        """What metrics count, over all partners: ids, states and times only."""
        async with sweeper_transaction(self.pool, SCHEMA) as connection:
            return list(await connection.fetch(_SQL[statement]))

    async def partners(self) -> list[str]:
        """Names of all partners, for chores."""
        async with sweeper_transaction(self.pool, SCHEMA) as connection:
            return [row["partner"] for row in await connection.fetch(_SQL["partners"])]

    async def purge(self) -> None:
        """Chore: used tokens and admissions end when they no longer count."""
        for partner in (*await self.partners(), "operators/_"):
            async with partner_transaction(self.pool, partner) as connection:
                for statement in ("purge_tokens", "purge_admissions"):
                    await connection.execute(_SQL[statement])
