"""Export: one subject's records as JSON Lines, on one snapshot, straight from the database."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import timedelta

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant

from connectors.relational.closure import Closure, load
from connectors.relational.compiler import Compiler
from connectors.relational.describe import field_message
from connectors.relational.dialect import Database, Session
from connectors.relational.instructions import by_collection, exported
from connectors.relational.sql import Sql, fill
from dsrkit.errors import DsrError

PIECE = 1 << 20
"""Most bytes of one data message."""


async def export(
    database: Database, compiler: Compiler, request: pb.ExportRequest, grant: Grant, max_age: timedelta
) -> AsyncGenerator[pb.ExportResponse, None]:
    """The contract's Export.

    SOURCE_TIMEOUT when the snapshot grows older than `max_age`, which a slow reader can cause: an old snapshot keeps
    the database from cleaning up behind everybody's writes.
    """
    instructions = by_collection(compiler.model, grant.instructions)
    deadline = asyncio.get_running_loop().time() + max_age.total_seconds()
    totals = pb.ExportTotals()
    async with database.snapshot(compiler.model) as session:
        totals.snapshot_time.FromDatetime(await database.now(session))
        records = await Closure(compiler, session, await load(session, compiler, [request.subject])).run()
        for name, number in records.items():
            if name not in instructions:
                continue
            messages = copied(session, compiler, name, number, instructions[name], grant.source)
            async with aclosing(in_time(messages, totals, deadline, "export", grant.source)) as passed:
                async for message in passed:
                    yield message
    yield pb.ExportResponse(totals=totals)


async def in_time(
    messages: AsyncGenerator[pb.ExportResponse, None], totals: pb.ExportTotals, deadline: float, what: str, source: str
) -> AsyncGenerator[pb.ExportResponse, None]:
    """A collection's messages, added to `totals`. SOURCE_TIMEOUT once the event loop's time is past `deadline`."""
    async with aclosing(messages):
        async for message in messages:
            if asyncio.get_running_loop().time() > deadline:
                why = f"The {what} held its snapshot longer than export_max_age; start again and read faster."
                raise DsrError("SOURCE_TIMEOUT", why, source=source)
            if message.HasField("trailer"):
                totals.collections += 1
                totals.records += message.trailer.records
                totals.bytes += message.trailer.bytes
            yield message


async def copied(
    session: Session,
    compiler: Compiler,
    name: str,
    number: int,
    instruction: CollectionInstruction,
    source: str,
    *,
    whole: bool = False,
) -> AsyncGenerator[pb.ExportResponse, None]:
    """The messages of one collection: the rows whose keys were found, or the `whole` table."""
    collection = compiler.model.collections[name]
    columns, withheld = exported(collection, instruction)
    shown = {column.name for column in columns}
    key = [column.name for column in collection.table.key] if collection.table.keyed else []
    header = pb.CollectionHeader(
        collection=name,
        fields=map(field_message, columns),
        primary_key=key if shown.issuperset(key) else [],
        withheld_fields=withheld,
    )
    yield pb.ExportResponse(header=header)
    # Without parameters: the keys are in the session's table already, their scope with them.
    found = fill("{table} t", table=compiler.table(collection))
    if not whole:
        found = compiler.found(collection, Sql(str(number)))
    sql = compiler.dialect.json_lines(columns, found)
    trailer, digest = pb.CollectionTrailer(), hashlib.sha256()
    # Closed at once when nobody reads on: the session's connection goes back to others.
    async with aclosing(session.lines(sql, number)) as lines, aclosing(pieces(lines)) as parts:
        async for data in parts:
            trailer.records += data.count(b"\n")
            trailer.bytes += len(data)
            digest.update(data)
            yield pb.ExportResponse(data=data)
    if trailer.records != number:
        why = f"{name}: {trailer.records} records were read where {number} had been found"
        raise DsrError("SOURCE_INCONSISTENT", f"{why}.", source=source, why=why)
    trailer.sha256 = digest.digest()
    yield pb.ExportResponse(trailer=trailer)


async def pieces(stream: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The stream cut into messages of at most a mebibyte, and none much smaller but the last."""
    waiting = bytearray()
    async for data in stream:
        waiting += data
        while len(waiting) >= PIECE:
            yield bytes(waiting[:PIECE])
            del waiting[:PIECE]
    if waiting:
        yield bytes(waiting)
