"""PostgreSQL: pools, transactions in the name of one partner, SQL kept in files."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields
from functools import cache
from importlib import resources
from typing import Any, TypeVar

import asyncpg
import orjson

_CLOSE_SECONDS = 5.0
Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
D = TypeVar("D")


async def _set_up(connection: asyncpg.Connection) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads
        )


@asynccontextmanager
async def open_pool(dsn: str, schema: str, max_size: int = 10) -> AsyncIterator[asyncpg.Pool]:
    """A pool whose connections see `schema` first. The role in `dsn` is the service's own, never the owner."""
    pool = await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=max_size,
        command_timeout=60,
        init=_set_up,
        server_settings={"search_path": f"{schema}, dsr", "application_name": f"dsr-{schema}", "timezone": "UTC"},
    )
    try:
        yield pool
    finally:
        try:
            await asyncio.wait_for(pool.close(), _CLOSE_SECONDS)
        except TimeoutError:
            pool.terminate()  # the server doesn't answer any more; waiting for it would hold up the process's end


@asynccontextmanager
async def partner_transaction(pool: asyncpg.Pool, partner: str) -> AsyncIterator[Connection]:
    """A transaction in which row-level security shows this partner's rows and no others.

    `partner` is `partners/{partner}`; an empty one raises in the database (`dsr.current_partner()`).
    """
    async with pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute("SELECT set_config('dsr.partner', $1, true)", partner)
            yield connection


@asynccontextmanager
async def partner_snapshot(pool: asyncpg.Pool, partner: str) -> AsyncIterator[Connection]:
    """Like `partner_transaction`, for what several statements read of one thing: all of them see one instant.

    Otherwise a request whose last task ends in between is read as still open, with nothing left to do.
    """
    async with pool.acquire() as connection:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute("SELECT set_config('dsr.partner', $1, true)", partner)
            yield connection


@asynccontextmanager
async def sweeper_transaction(pool: asyncpg.Pool, schema: str) -> AsyncIterator[Connection]:
    """A transaction over all partners, in the role that sees ids, states and times only."""
    async with pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL ROLE {_identifier(f'dsr_{schema}_sweeper')}")
            yield connection


def _identifier(name: str) -> str:
    if not re.fullmatch(r"[a-z_]{1,63}", name):
        raise ValueError("not an identifier of ours")
    return name


@cache
def load_sql(package: str, *folders: str) -> Mapping[str, str]:
    """The named statements of `sql/queries.sql` in `package`, or in a folder of it, which is not imported for that.

    Each begins with a line `-- name: what_it_is`.
    """
    text = resources.files(package).joinpath(*folders, "sql", "queries.sql").read_text()
    statements = {}
    for block in re.split(r"^-- name: ", text, flags=re.MULTILINE)[1:]:
        name, _, body = block.partition("\n")
        statements[name.strip()] = body.strip()
    return statements


def as_dataclass(kind: type[D], row: asyncpg.Record) -> D:
    """A row as a dataclass. Columns that it doesn't know are the next release's, whose schema may come first."""
    known: Any = kind
    names = {one.name for one in fields(known)}
    return kind(**{name: value for name, value in row.items() if name in names})
