"""All SQL on requests."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from dsr.authority.v1.authority_pb2 import ReportEntry, StateChange
from dsr.v1.governance_pb2 import ProcessingRecord
from dsr.v1.request_pb2 import RequestState

from dsrkit.auth import Caller
from dsrkit.db import Connection, as_dataclass, load_sql, partner_transaction, sweeper_transaction
from dsrkit.errors import DsrError, not_found
from dsrkit.metrics import REQUEST_DURATION, histogram
from dsrkit.recording import record_effect
from dsrkit.requests.model import Request, Right
from dsrkit.tasks import Task, TaskStore

_SQL = load_sql("dsrkit.requests")


class RequestStore:
    """The requests of one right."""

    def __init__(self, pool: asyncpg.Pool, right: Right, tasks: TaskStore) -> None:
        self.pool = pool
        self.right = right
        self.tasks = tasks
        self.channel = f"{right.noun}_events"

    async def by_request_id(self, partner: str, request_id: UUID, digest: bytes) -> Request | None:
        """The request that was created with this id before. REQUEST_ID_REUSED when its body was another."""
        async with partner_transaction(self.pool, partner) as connection:
            row = await connection.fetchrow(_SQL["by_request_id"], request_id)
        return _same_body(row, digest)

    async def create(self, connection: Connection, request: Request) -> Request | None:
        """Stores a new request; None when another call with its `request_id` was faster."""
        row = await connection.fetchrow(
            _SQL["create"],
            request.id,
            request.request_id,
            request.body_digest,
            request.state,
            request.creator,
            list(request.creator_actors),
            request.capacity,
            request.received_time,
            request.time_zone,
            request.due_time,
            request.data_map_revision,
            list(request.data_sources),
            request.refusal,
            request.facts,
            request.sealed,
        )
        return _measured(as_dataclass(Request, row)) if row else None

    async def get(self, connection: Connection, request: UUID) -> Request:
        """A request. NOT_FOUND."""
        return _found(await connection.fetchrow(_SQL["get"], request))

    async def lock(self, connection: Connection, request: UUID) -> Request:
        """A request, locked until the transaction ends. NOT_FOUND."""
        return _found(await connection.fetchrow(_SQL["lock"], request))

    async def page(
        self,
        connection: Connection,
        *,
        states: Sequence[str] | None,
        due_before: datetime | None,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> list[Request]:
        """Newest first, after the position `after`."""
        position = after or (None, None)
        rows = await connection.fetch(_SQL["list"], states, due_before, *position, limit)
        return [as_dataclass(Request, row) for row in rows]

    async def save(self, connection: Connection, request: Request) -> Request:
        """Stores what can change of a locked request."""
        row = await connection.fetchrow(
            _SQL["save"],
            request.id,
            request.state,
            request.due_time,
            request.extension,
            request.facts,
            request.sealed,
            request.bundle_expire_time,
            request.ended,
        )
        return _measured(_found(row))

    async def add_event(
        self, connection: Connection, request: Request, kind: str, task: Task | None = None, waiting: str | None = None
    ) -> None:
        """Appends to what happened, and wakes watchers when the transaction commits."""
        source, step = (task.source, task.step) if task else (None, None)
        attempts, records = (task.attempt, task.records) if task else (0, 0)
        args = [request.id, request.state, kind, step, source, attempts, records, waiting]
        await connection.execute(_SQL["add_event"], *args)
        await connection.execute(_SQL["notify_event"], self.channel, str(request.id))
        if kind in ("state.changed", "deadline.extended") or waiting:
            change = StateChange(
                request=self.right.name(request.partner, request.id),
                right=self.right.number,
                state=RequestState.Value(f"REQUEST_STATE_{request.state}"),
            )
            change.change_time.GetCurrentTime()
            if not request.preview:  # nobody has to be warned that a preview is due
                change.due_time.FromDatetime(request.due_time)
            await self._add_outbox(connection, ReportEntry(partner=request.partner, change=change))

    async def events(self, connection: Connection, request: UUID, after: int) -> list[asyncpg.Record]:
        """What happened after event number `after`, at most 200."""
        return list(await connection.fetch(_SQL["events"], request, after))

    async def replayed(
        self, connection: Connection, method: str, request_id: UUID, digest: bytes, request: UUID
    ) -> bool:
        """Whether this mutation was done before; remembers it otherwise. REQUEST_ID_REUSED when it was another."""
        # Inserted first: of calls at the same moment, on whichever requests, the others wait here for its outcome.
        if await connection.fetchval(_SQL["add_mutation"], request_id, method, digest, request) is not None:
            return False
        row = await connection.fetchrow(_SQL["mutation"], request_id)
        if row is None or (row["method"], row["body_digest"], row["request"]) != (method, digest, request):
            raise _reused()
        return True

    async def record_call(self, connection: Connection, caller: Caller, request: Request) -> None:
        """A processing record of the current RPC, in the transaction of its effect (policy P5)."""
        ip = caller.originating_ip
        await self._record(
            connection, request, actor=caller.principal, operation=record_effect(), originating_ip=ip, outcome="OK"
        )

    async def record_order(self, connection: Connection, request: Request) -> None:
        """A processing record of a request that the service created itself, on an order of governance."""
        operation, actor = f"Create{self.right.noun.title()}Request", f"service:{self.right.noun}"
        await self._record(connection, request, actor=actor, operation=operation, outcome="OK")

    async def add_records(self, partner: str, records: Sequence[ProcessingRecord]) -> None:
        """Processing records of calls without an effect."""
        entries = [ReportEntry(partner=partner, record=record).SerializeToString() for record in records]
        async with partner_transaction(self.pool, partner) as connection:
            await connection.execute(_SQL["add_outbox"], entries)

    async def record_touch(
        self, connection: Connection, request: Request, task: Task, outcome: str, records: int = 0
    ) -> None:
        """A processing record of a data source's having been touched, or of the attempt."""
        await self._record(
            connection,
            request,
            actor=f"service:{self.right.noun}",
            operation=task.step,
            source=task.source or "",
            outcome=outcome,
            records=records,
        )

    async def _record(self, connection: Connection, request: Request, **fields: Any) -> None:
        record = ProcessingRecord(request=self.right.name(request.partner, request.id), **fields)
        record.record_time.GetCurrentTime()
        await self._add_outbox(connection, ReportEntry(partner=request.partner, record=record))

    async def _add_outbox(self, connection: Connection, entry: ReportEntry) -> None:
        await connection.execute(_SQL["add_outbox"], [entry.SerializeToString()])

    async def outbox_partners(self) -> list[str]:
        """Partners with something to ship."""
        async with sweeper_transaction(self.pool, self.right.noun) as connection:
            return [row["partner"] for row in await connection.fetch(_SQL["outbox_partners"])]

    async def outbox(self, partner: str) -> list[tuple[UUID, ReportEntry]]:
        """The oldest entries to ship."""
        async with partner_transaction(self.pool, partner) as connection:
            rows = await connection.fetch(_SQL["outbox"])
        return [(row["id"], ReportEntry.FromString(row["entry"])) for row in rows]

    async def shipped(self, partner: str, ids: Sequence[UUID]) -> None:
        """Removes entries that governance has."""
        async with partner_transaction(self.pool, partner) as connection:
            await connection.execute(_SQL["shipped"], list(ids))

    async def watch(self) -> tuple[list[asyncpg.Record], float | None]:
        """Open requests by state and nearness of their due time, over all partners, and the outbox's age in seconds."""
        async with sweeper_transaction(self.pool, self.right.noun) as connection:
            return list(await connection.fetch(_SQL["watch"])), await connection.fetchval(_SQL["outbox_age"])

    async def unfinished(self, connection: Connection, terminal: Sequence[str]) -> list[UUID]:
        """Requests that are in none of these states."""
        return [row["id"] for row in await connection.fetch(_SQL["unfinished"], list(terminal))]

    async def expired_bundles(self) -> list[tuple[str, UUID]]:
        """Requests whose bundle's time is over, over all partners."""
        async with sweeper_transaction(self.pool, self.right.noun) as connection:
            return [(row["partner"], row["id"]) for row in await connection.fetch(_SQL["expired_bundles"])]


def _measured(request: Request) -> Request:
    """Takes note of how long a request lasted if it ended in this very statement."""
    if request.complete_time is not None and request.complete_time == request.update_time:
        lasted = (request.complete_time - request.received_time).total_seconds()
        histogram(REQUEST_DURATION).record(lasted, {"dsr.request.state": request.state})
    return request


def _found(row: asyncpg.Record | None) -> Request:
    if row is None:
        raise not_found("resource")
    return as_dataclass(Request, row)


def _same_body(row: asyncpg.Record | None, digest: bytes) -> Request | None:
    if row is not None and row["body_digest"] != digest:
        raise _reused()
    return as_dataclass(Request, row) if row else None


def _reused() -> DsrError:
    return DsrError(
        "REQUEST_ID_REUSED", "request_id was used before with another body; make a new UUID4.", field="request_id"
    )
