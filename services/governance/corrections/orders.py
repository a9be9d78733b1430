"""What the erasure service asks and reports of amendments. Governance itself calls no connector and sets nothing."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
from dsr.authority.v1 import authority_pb2 as pb
from dsr.authority.v1.authority_pb2_grpc import AuthorityServiceServicer
from dsr.connector.v1.grant_pb2 import Amendment, Grant
from dsr.v1 import correction_pb2, governance_pb2
from dsr.v1.error_reason_pb2 import ErrorReason

from dsrkit.auth import current_caller
from dsrkit.db import Connection, partner_transaction, sweeper_transaction
from dsrkit.errors import DsrError, invalid
from dsrkit.grants import GrantSigner
from dsrkit.requests.connector import FROM_CONNECTORS
from dsrkit.requests.view import known_enum, parse_partner
from dsrkit.tasks.worker import backoff
from dsrkit.vault import KeyGone
from services.governance import messages
from services.governance.backups import serving
from services.governance.corrections import amendments, view
from services.governance.corrections.closing import complete_task
from services.governance.gatekeeper import Gatekeeper
from services.governance.keeping import keep
from services.governance.notifications.outbox import notify
from services.governance.sandbox.domain import mark
from services.governance.services import own_right
from services.governance.store import SCHEMA
from services.governance.tools import Tools, refused

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
_MOST_FLAGS = 10_000
_PERSON = re.compile(r"[0-9a-f]{64}")


class AmendmentRpcs(AuthorityServiceServicer):
    """Part of the authority, for the erasure service alone."""

    def __init__(self, tools: Tools, signer: GrantSigner, gatekeeper: Gatekeeper) -> None:
        self._tools = tools
        self._store = tools.store
        self._signer = signer
        self._gatekeeper = gatekeeper

    async def ListAmendmentOrders(
        self, request: pb.ListAmendmentOrdersRequest, context: Any
    ) -> pb.ListAmendmentOrdersResponse:
        own_right(pb.RIGHT_ERASURE)
        async with sweeper_transaction(self._store.pool, SCHEMA) as connection:
            rows = await self._store.rows(connection, "corrections.orders", self._tools.real_time())
        return pb.ListAmendmentOrdersResponse(
            orders=[
                pb.AmendmentOrder(
                    request=f"{row['partner']}/correctionRequests/{row['correction']}",
                    source=row["source"],
                    preview=row["state"] == "PREVIEWING",
                    attempt=row["attempt"],
                )
                for row in rows
            ]
        )

    async def IssueAmendmentGrant(
        self, request: pb.IssueAmendmentGrantRequest, context: Any
    ) -> pb.IssueAmendmentGrantResponse:
        own_right(pb.RIGHT_ERASURE)
        if len(request.flags) > _MOST_FLAGS:
            raise invalid("flags", f"at most {_MOST_FLAGS:,}")
        partner = parse_partner(request.request, "request")
        await self._check_amendment_approver(partner, request)
        async with partner_transaction(self._store.pool, partner) as connection:
            row, task = await self._amendment_task(connection, request.request, request.source)
            over = row["state"] != "OPEN" or task["complete_time"] is not None
            if over or task["state"] not in ("PREVIEWING", "APPROVED"):
                text = "There is nothing to set for this task."
                raise DsrError("STATE_CONFLICT", text, state=task["state"] or row["state"], allowed="APPROVED")
            source = await self._amended_source(connection, request.source)
            demand = await self._demand(partner, row)
            preview = task["state"] == "PREVIEWING"
            current = await self._store.row(connection, "data_map", 0)
            data_map = messages.data_map(current) if current else governance_pb2.DataMap()
            mapped = {c.collection for s in data_map.sources if s.source == request.source for c in s.collections}
            resolving = [
                pb.IdentitySource(
                    data_source=await self._amended_source(connection, s.source), types=s.authoritative_for
                )
                for s in data_map.sources
                if s.authoritative_for
            ]
            declared = {(flag.collection, flag.flag): flag.field for flag in request.flags}
            found = amendments.wanted(demand, request.source, mapped, declared)
            changes = amendments.shown(found, declared)
            if not preview:
                if not amendments.same_names(changes, task["changes"]):
                    found = []
                changes = task["changes"]
            numbered = await self._store.need(
                connection, "corrections.attempt", "resource", row["id"], request.source, changes
            )
            policy = await self._store.need(connection, "policies.standing", "resource", self._tools.clock())
        told = pb.IssueAmendmentGrantResponse(
            data_source=source, identities=demand.identities, attempt=numbered["attempt"]
        )
        told.identity_sources.extend(resolving)
        told.person_digest = "" if preview else task["person_digest"]
        if found:
            found = found if preview else amendments.approved(found, changes)
            grant = self._amendment_grant(request, task, source, numbered["attempt"], policy["accepted"], found)
            told.grant.CopyFrom(self._signer.sign(grant, datetime.now(UTC)))
            if not preview:
                back = Grant(operation=Grant.OPERATION_EXPORT, instructions=amendments.reading_back(changes))
                for name in ("source", "task", "attempt", "plan_digest", "approver", "request", "policy_version"):
                    setattr(back, name, getattr(grant, name))
                if grant.HasField("sandbox"):
                    back.sandbox.CopyFrom(grant.sandbox)
                told.read_back.CopyFrom(self._signer.sign(back, datetime.now(UTC)))
        return told

    def _amendment_grant(
        self,
        request: pb.IssueAmendmentGrantRequest,
        task: asyncpg.Record,
        source: governance_pb2.DataSource,
        attempt: int,
        policy: int,
        found: Sequence[Amendment],
    ) -> Grant:
        """A preview names no approver, so that it can't be more than that."""
        return Grant(
            source=request.source,
            operation=Grant.OPERATION_AMEND,
            task=f"{task['correction']}-{request.source.rpartition('/')[2]}",
            attempt=attempt,
            plan_digest=task["plan_digest"] if task["state"] == "APPROVED" else "",
            approver=task["approver"] if task["state"] == "APPROVED" else "",
            request=request.request,
            policy_version=policy,
            amendments=found,
            sandbox=mark(source),
        )

    async def ReportAmendment(self, request: pb.ReportAmendmentRequest, context: Any) -> pb.ReportAmendmentResponse:
        own_right(pb.RIGHT_ERASURE)
        partner = parse_partner(request.request, "request")
        if request.obstacle and request.obstacle not in _REASONS:
            raise invalid("obstacle", f"must be one of {', '.join(map(_OBSTACLE.Obstacle.Name, _REASONS))}")
        if request.waiting_reason:
            known_enum(request.waiting_reason, ErrorReason, "waiting_reason")
        over = False
        async with partner_transaction(self._store.pool, partner) as connection:
            row, task = await self._amendment_task(connection, request.request, request.source)
            stale = request.attempt != task["attempt"] or row["state"] != "OPEN" or task["complete_time"] is not None
            if stale or task["state"] not in ("PREVIEWING", "APPROVED"):
                return pb.ReportAmendmentResponse()
            now = self._tools.clock()
            if request.obstacle:
                field = request.field if amendments.knows(task["changes"], request.field) else ""
                await self._set_amendment(connection, task, "BY_HAND", [], obstacle=request.obstacle, field=field)
                await self._record_amendment(connection, request, "amend", _REASONS[request.obstacle], 0, now)
            elif request.waiting_reason:
                await self._wait(connection, task, request, now)
            elif request.exceeded:
                await self._set_amendment(connection, task, "PREVIEWING", [])
            elif (changes := amendments.counted(task["changes"], request.collections)) is None:
                await self._set_amendment(connection, task, "BY_HAND", [], obstacle=_OBSTACLE.OBSTACLE_INCONSISTENT)
            elif task["state"] == "PREVIEWING":
                await self._amendment_previewed(connection, row, task, request, changes, now)
            else:
                await self._set_amendment(connection, task, "AMENDED", changes)
                records = sum(change["amended"] for change in changes)
                await self._record_amendment(connection, request, "amend", "OK", records, now)
                evidence = f"plan {task['plan_digest']}, read back"
                args = (request.request, request.source, evidence, current_caller().principal, now)
                await complete_task(self._tools, connection, row, *args)
                left = await self._store.need(connection, "corrections.open_tasks", "resource", row["id"])
                over = not left["open"]
        if over:
            await self._tools.vault.destroy(partner, view.KEY.format(row["id"]))
        return pb.ReportAmendmentResponse()

    async def _wait(
        self, connection: Connection, task: asyncpg.Record, request: pb.ReportAmendmentRequest, now: datetime
    ) -> None:
        """Says why the task waits. What failed at a data source is recorded each time, a refusal before it once."""
        reason = ErrorReason.Name(request.waiting_reason).removeprefix("ERROR_REASON_")
        if reason in FROM_CONNECTORS or reason != task["waiting"]:
            operation = "locate" if task["state"] == "PREVIEWING" else "amend"
            await self._record_amendment(connection, request, operation, reason, 0, now)
        known = await self._store.row(connection, "data_source", request.waiting_source)
        args = (reason, known["name"] if known else "", self._tools.real_time() + backoff(task["tries"]))
        await self._store.row(connection, "corrections.wait", task["correction"], task["source"], *args)

    async def _amendment_previewed(
        self,
        connection: Connection,
        row: asyncpg.Record,
        task: asyncpg.Record,
        request: pb.ReportAmendmentRequest,
        changes: list[dict[str, Any]],
        now: datetime,
    ) -> None:
        records = sum(change["amended"] + change["unchanged"] for change in changes)
        await self._record_amendment(connection, request, "locate", "OK", records, now)
        amended = sum(change["amended"] for change in changes)
        if not amended:
            await self._set_amendment(connection, task, "BY_HAND", changes, obstacle=_OBSTACLE.OBSTACLE_NOTHING_TO_SET)
            return
        person = request.person_digest
        if not _PERSON.fullmatch(person):
            raise invalid("person_digest", "must be 64 hexadecimal digits")
        digest = amendments.digest(request.request, request.source, changes, person, row["sealed"])
        await self._set_amendment(connection, task, "PREVIEWED", changes, digest=digest, person=person)
        kind, occasion = "correction.previewed", f"{request.source} {digest}"
        await notify(self._store, connection, now, kind, request.request, occasion, records=str(amended))

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
        args = (task["correction"], task["source"], state, changes, *kept, obstacle, field, person)
        await self._store.row(connection, "corrections.set_amendment", *args)

    async def _record_amendment(
        self,
        connection: Connection,
        request: pb.ReportAmendmentRequest,
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

    async def _demand(self, partner: str, row: asyncpg.Record) -> correction_pb2.CorrectionRequest:
        """The request with person and values, for as long as it lives."""
        try:
            key = await self._tools.vault.get(partner, view.KEY.format(row["id"]))
        except KeyGone:
            raise DsrError("STATE_CONFLICT", "The request is over.", state="COMPLETED", allowed="OPEN") from None
        opened = key.open(row["sealed"], view.context(partner, row["id"]))
        return view.message(row, (), opened, self._tools.dpo_contact)

    async def _amended_source(self, connection: Connection, name: str) -> governance_pb2.DataSource:
        """The source, if the partner's standing and the source's place allow that its data are worked on."""
        row = await self._store.need(connection, "partner", "resource")
        source = messages.data_source(await self._store.need(connection, "data_source", "data source", name))
        place = governance_pb2.Location()
        refusal = await self._gatekeeper.gate(connection, pb.RIGHT_ERASURE, row, [source], place)
        if refusal is not None:
            raise refused(refusal)
        await serving.need_served(self._store, connection, [name])
        return source

    async def _check_amendment_approver(self, partner: str, request: pb.IssueAmendmentGrantRequest) -> None:
        """FOUR_EYES where the approver's role was revoked since: the preview waits for somebody else's approval."""
        async with partner_transaction(self._store.pool, partner) as connection:
            _, task = await self._amendment_task(connection, request.request, request.source)
            if task["state"] != "APPROVED" or task["complete_time"] is not None:
                return
            args = (task["approver"], "ROLE_APPROVER")
            if (await self._store.need(connection, "holds_role", "resource", *args))["exists"]:
                return
            await self._set_amendment(connection, task, "PREVIEWED", task["changes"], digest=task["plan_digest"])
        raise DsrError("FOUR_EYES", "The approver's role was revoked since.", why="ROLE_NOT_GRANTED")
