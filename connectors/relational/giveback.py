"""Return: every record of the source, on one snapshot, straight from the database."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction

from connectors.relational.compiler import Compiler
from connectors.relational.dialect import Database, Session
from connectors.relational.export import copied, in_time
from connectors.relational.model import Collection
from connectors.relational.sql import NOTHING, TRUE, Sql, conjunction, fill


async def give_back(
    database: Database, compiler: Compiler, source: str, max_age: timedelta
) -> AsyncGenerator[pb.ExportResponse, None]:
    """The contract's Return. SOURCE_TIMEOUT when the snapshot grows older than `max_age`."""
    deadline = asyncio.get_running_loop().time() + max_age.total_seconds()
    totals = pb.ExportTotals()
    async with database.snapshot(compiler.model) as session:
        totals.snapshot_time.FromDatetime(await database.now(session))
        for name, collection in compiler.model.collections.items():
            # A table of its own is read as it is; of a slice the keys are found first, for a copy takes no parameters.
            number = await (
                find(session, compiler, collection) if collection.scoped else count(session, compiler, name)
            )
            told = CollectionInstruction(collection=name)
            messages = copied(session, compiler, name, number, told, source, whole=not collection.scoped)
            async with aclosing(in_time(messages, totals, deadline, "return", source)) as passed:
                async for message in passed:
                    yield message
    yield pb.ExportResponse(totals=totals)


async def count(session: Session, compiler: Compiler, name: str) -> int:
    """How many rows of a collection are within the scope."""
    collection, values = compiler.model.collections[name], compiler.values()
    conditions = conjunction(compiler.scope(collection, Sql("t"), values))
    sql = fill("SELECT count(*) FROM {table} t WHERE {c}", table=compiler.table(collection), c=conditions)
    return int((await session.rows(values.statement(sql)))[0][0])


async def find(
    session: Session, compiler: Compiler, collection: Collection, limit: int | None = None, also: Sql = TRUE
) -> int:
    """Puts the keys of rows within the scope for which `also` holds, `limit` at most, into the collection's key table.

    Returns how many.
    """
    values = compiler.values()
    template = (
        "INSERT INTO {keys} (subject, {columns}, strong, round) SELECT q.*, TRUE, 0 FROM"
        " (SELECT 0 AS subject, {address} FROM {table} t WHERE {conditions}{limit}) q"
    )
    sql = fill(
        template,
        keys=compiler.key_table(collection),
        columns=compiler.key_columns(collection),
        address=compiler.address_columns(collection),
        table=compiler.table(collection),
        conditions=conjunction([*compiler.scope(collection, Sql("t"), values), also]),
        limit=NOTHING if limit is None else fill(" LIMIT {limit}", limit=limit),
    )
    return await session.run(values.statement(sql))
