"""What the erasure service reports of amendments."""

import re
from datetime import datetime
from typing import Any
from uuid import uuid4

import asyncpg
from dsr.authority.v1 import authority_pb2 as pb
from dsr.authority.v1.authority_pb2_grpc import AuthorityServiceServicer
from dsr.v1 import correction_pb2, governance_pb2
from dsr.v1.error_reason_pb2 import ErrorReason

from dsrkit.auth import current_caller
from dsrkit.db import Connection, partner_transaction
from dsrkit.errors import invalid
from dsrkit.requests.connector import FROM_CONNECTORS
from dsrkit.requests.view import known_enum, parse_partner
from dsrkit.tasks.worker import backoff
from services.governance import messages
from services.governance.corrections import amendments, candidates, view
from services.governance.corrections.closing import complete_task
from services.governance.keeping import keep
from services.governance.notifications.outbox import notify
from services.governance.services import own_right
from services.governance.tools import Tools

_OBSTACLE = correction_pb2.CorrectionRequest.Amendment
_REASONS = {
    _OBSTACLE.OBSTACLE_NOT_CAPABLE: "METHOD_UNKNOWN",
    _OBSTACLE.OBSTACLE_NOT_FOUND: "NOT_FOUND",
    _OBSTACLE.OBSTACLE_AMBIGUOUS: "STATE_CONFLICT",
    _OBSTACLE.OBSTACLE_NOT_AMENDABLE: "FIELD_NOT_AMENDABLE",
    _OBSTACLE.OBSTACLE_VALUE_UNFIT: "VALUE_UNFIT",
    _OBSTACLE.OBSTACLE_BLOCKED: "PLAN_BLOCKED",
    _OBSTACLE.OBSTACLE_REJECTED: "SOURCE_REJECTED",
    _OBSTACLE.OBSTACLE_INCONSISTENT: "SOURCE_INCONSISTENT",
}
"""What an obstacle is in a processing record, and what the erasure service may report."""
_PERSON = re.compile(r"[0-9a-f]{64}")


class AmendmentReports(AuthorityServiceServicer):
    """Part of the authority, for the erasure service alone."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def ReportAmendment(self, request: pb.ReportAmendmentRequest, context: Any) -> pb.ReportAmendmentResponse:
        own_right(pb.RIGHT_ERASURE)
        partner = parse_partner(request.request, "request")
        if request.obstacle and request.obstacle not in _REASONS:
            raise invalid("obstacle", f"must be one of {', '.join(map(_OBSTACLE.Obstacle.Name, _REASONS))}")
        gone = False
        async with partner_transaction(self._store.pool, partner) as connection:
            row, task = await self._amendment_task(connection, request.request, request.source)
            if _overtaken(row, task, request.attempt):
                return pb.ReportAmendmentResponse()
            now = self._tools.clock()
            if request.candidates and await self._choose(connection, row, task, request, now):
                pass
            elif request.obstacle:
                field = request.field if amendments.knows(task["changes"], request.field) else ""
                await self._set_amendment(connection, task, "BY_HAND", [], obstacle=request.obstacle, field=field)
                await self._record_amendment(connection, request, "amend", _REASONS[request.obstacle], 0, now)
            elif request.exceeded:
                await self._set_amendment(connection, task, "PREVIEWING", [])
            elif (changes := amendments.counted(task["changes"], request.collections)) is None:
                await self._set_amendment(connection, task, "BY_HAND", [], obstacle=_OBSTACLE.OBSTACLE_INCONSISTENT)
            elif task["state"] == "PREVIEWING":
                gone = await self._amendment_previewed(connection, row, task, request, changes, now)
            else:
                records = sum(change["amended"] for change in changes)
                await self._record_amendment(connection, request, "amend", "OK", records, now)
                evidence = f"plan {task['plan_digest']}, read back"
                gone = await self._done(connection, row, task, request, changes, evidence, now)
        if gone:
            await self._tools.vault.destroy(partner, view.KEY.format(row["id"]))
        return pb.ReportAmendmentResponse()

    async def DelayAmendment(self, request: pb.DelayAmendmentRequest, context: Any) -> pb.DelayAmendmentResponse:
        own_right(pb.RIGHT_ERASURE)
        partner = parse_partner(request.request, "request")
        known_enum(request.waiting_reason, ErrorReason, "waiting_reason")
        if not request.waiting_reason:
            raise invalid("waiting_reason", "is required")
        reason = ErrorReason.Name(request.waiting_reason).removeprefix("ERROR_REASON_")
        async with partner_transaction(self._store.pool, partner) as connection:
            row, task = await self._amendment_task(connection, request.request, request.source)
            if not _overtaken(row, task, request.attempt):
                await self._wait(connection, task, request, reason, self._tools.clock(), request.waiting_source)
        return pb.DelayAmendmentResponse()

    async def _choose(
        self,
        connection: Connection,
        row: asyncpg.Record,
        task: asyncpg.Record,
        request: pb.ReportAmendmentRequest,
        now: datetime,
    ) -> bool:
        """Has the controller choose among people of the same names; False where there is nothing to choose."""
        before = await candidates.load(self._tools, row)
        merged = candidates.merge(before, request.candidates)
        if merged is None:
            return False
        await candidates.save(self._tools, connection, row, merged)
        await self._set_amendment(connection, task, "AWAITING_CONTROLLER", [])
        await self._record_amendment(connection, request, "locate", "STATE_CONFLICT", 0, now)
        fresh = [c.candidate for c in candidates.still_open(merged.candidates) if c not in before.candidates]
        if fresh:
            people = str(len(candidates.still_open(merged.candidates)))
            kind = "correction.ambiguous"
            await notify(self._store, connection, now, kind, request.request, " ".join(fresh), people=people)
        return True

    async def _amendment_previewed(
        self,
        connection: Connection,
        row: asyncpg.Record,
        task: asyncpg.Record,
        request: pb.ReportAmendmentRequest,
        changes: list[dict[str, Any]],
        now: datetime,
    ) -> bool:
        records = sum(change["amended"] + change["unchanged"] for change in changes)
        await self._record_amendment(connection, request, "locate", "OK", records, now)
        amended = sum(change["amended"] for change in changes)
        if not amended:
            return await self._nothing_to_set(connection, row, task, request, changes, now)
        person = request.person_digest
        if not _PERSON.fullmatch(person):
            raise invalid("person_digest", "must be 64 hexadecimal digits")
        shown = {**task, "changes": changes}
        digest = amendments.digest(request.request, shown, person, row["sealed"])
        await self._set_amendment(connection, task, "PREVIEWED", changes, digest=digest, person=person)
        kind, occasion = "correction.previewed", f"{request.source} {digest}"
        await notify(self._store, connection, now, kind, request.request, occasion, records=str(amended))
        return False

    async def _nothing_to_set(
        self,
        connection: Connection,
        row: asyncpg.Record,
        task: asyncpg.Record,
        request: pb.ReportAmendmentRequest,
        changes: list[dict[str, Any]],
        now: datetime,
    ) -> bool:
        """People look why. But a mark that is there may be about to be cleared, for a restriction that has ended.

        And one that is gone already, for another restriction that has ended, is cleared.
        """
        if task["clears"] and any(change["unchanged"] for change in changes):
            evidence = f"attempt {task['attempt']}, no mark found"
            return await self._done(connection, row, task, request, changes, evidence, now)
        clearing = await self._store.need(connection, "corrections.being_cleared", "resource", task["source"])
        if row["kind"] == "RESTRICTION" and not task["clears"] and clearing["any"]:
            await self._wait(connection, task, request, "SOURCE_BUSY", now, request.source)
            return False
        await self._set_amendment(connection, task, "BY_HAND", changes, obstacle=_OBSTACLE.OBSTACLE_NOTHING_TO_SET)
        return False

    async def _done(
        self,
        connection: Connection,
        row: asyncpg.Record,
        task: asyncpg.Record,
        request: pb.ReportAmendmentRequest,
        changes: list[dict[str, Any]],
        evidence: str,
        now: datetime,
    ) -> bool:
        """True when nothing of the person is needed any more."""
        await self._set_amendment(connection, task, "AMENDED", changes)
        args = (request.request, evidence, current_caller().principal, now)
        return await complete_task(self._tools, connection, row, task, *args)

    async def _wait(
        self,
        connection: Connection,
        task: asyncpg.Record,
        request: pb.DelayAmendmentRequest | pb.ReportAmendmentRequest,
        reason: str,
        now: datetime,
        source: str,
    ) -> None:
        """Says why the task waits. What failed at a data source is recorded each time, a refusal before it once."""
        if reason in FROM_CONNECTORS or reason != task["waiting"]:
            operation = "locate" if task["state"] == "PREVIEWING" else "amend"
            await self._record_amendment(connection, request, operation, reason, 0, now)
        known = await self._store.row(connection, "data_source", source)
        until = self._tools.real_time() + backoff(task["tries"])
        args = (*_key(task), reason, known["name"] if known else "", until)
        await self._store.row(connection, "corrections.wait", *args)

    async def _set_amendment(
        self,
        connection: Connection,
        task: asyncpg.Record,
        state: str,
        changes: list[dict[str, Any]],
        *,
        digest: str = "",
        obstacle: int = 0,
        field: str = "",
        person: str | None = None,
    ) -> None:
        kept = (
            (task["plan_digest"], task["approver"], task["approve_time"]) if state == "AMENDED" else (digest, "", None)
        )
        args = (*_key(task), state, changes, *kept, obstacle, field, person)
        await self._store.row(connection, "corrections.set_amendment", *args)

    async def _record_amendment(
        self,
        connection: Connection,
        request: pb.DelayAmendmentRequest | pb.ReportAmendmentRequest,
        operation: str,
        outcome: str,
        records: int,
        now: datetime,
    ) -> None:
        record = governance_pb2.ProcessingRecord(
            actor=current_caller().principal,
            operation=operation,
            request=request.request,
            source=request.source,
            outcome=outcome,
            records=records,
        )
        record.record_time.FromDatetime(now)
        await keep(self._store, connection, [(uuid4(), record)])

    async def _amendment_task(
        self, connection: Connection, name: str, source: str
    ) -> tuple[asyncpg.Record, asyncpg.Record]:
        """The request, locked, and its task at the source."""
        identifier = messages.child_uuid(name, "correctionRequests", "resource")
        row = await self._store.need(connection, "corrections.lock", "resource", identifier)
        return row, await self._store.need(connection, "corrections.task", "resource", identifier, source)


def _overtaken(row: asyncpg.Record, task: asyncpg.Record, attempt: int) -> bool:
    over = row["complete_time"] is not None or task["complete_time"] is not None
    return over or attempt != task["attempt"] or task["state"] not in ("PREVIEWING", "APPROVED")


def _key(task: asyncpg.Record) -> tuple[Any, ...]:
    return task["correction"], task["source"], task["clears"]
