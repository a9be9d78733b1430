"""What the erasure service asks and reports of sweeps. Governance itself calls no connector and erases nothing."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
from dsr.authority.v1 import authority_pb2 as pb
from dsr.authority.v1.authority_pb2_grpc import AuthorityServiceServicer
from dsr.connector.v1.grant_pb2 import Grant, Inactivity
from dsr.v1 import governance_pb2

from dsrkit.db import Connection, partner_transaction, sweeper_transaction
from dsrkit.errors import DsrError
from dsrkit.grants import GrantSigner
from dsrkit.requests.view import parse_partner
from services.governance import messages
from services.governance.backups import serving
from services.governance.gatekeeper import Gatekeeper
from services.governance.notifications.outbox import notify
from services.governance.retention import domain
from services.governance.sandbox.domain import mark
from services.governance.services import own_request, own_right
from services.governance.store import SCHEMA
from services.governance.tools import Tools, refused


class OrderRpcs(AuthorityServiceServicer):
    """Part of the authority, for the erasure service alone."""

    def __init__(self, tools: Tools, signer: GrantSigner, gatekeeper: Gatekeeper) -> None:
        self._tools = tools
        self._store = tools.store
        self._signer = signer
        self._gatekeeper = gatekeeper

    async def ListSweepOrders(self, request: pb.ListSweepOrdersRequest, context: Any) -> pb.ListSweepOrdersResponse:
        own_right(pb.RIGHT_ERASURE)
        async with sweeper_transaction(self._store.pool, SCHEMA) as connection:
            rows = await self._store.rows(connection, "retention.orders")
        return pb.ListSweepOrdersResponse(
            orders=[
                pb.SweepOrder(
                    sweep=f"{row['partner']}/retentionSweeps/{row['id']}",
                    count_only=row["state"] == "COUNTING",
                    cap=row["cap"],
                )
                for row in rows
            ]
        )

    async def IssueSweepGrant(self, request: pb.IssueSweepGrantRequest, context: Any) -> pb.IssueSweepGrantResponse:
        own_right(pb.RIGHT_ERASURE)
        partner, identifier = _named(request.sweep)
        async with partner_transaction(self._store.pool, partner) as connection:
            sweep = await self._store.need(connection, "retention.sweep", "resource", identifier)
            if sweep["state"] != "COUNTING" and (sweep["approve_time"] is None or sweep["state"] == "CANCELLED"):
                text = "The sweep is not counting and not approved."
                raise DsrError("STATE_CONFLICT", text, state=sweep["state"], allowed="COUNTING,APPROVED,COMPLETED")
            rule = await self._store.need(connection, "retention.rule", "resource", sweep["rule"])
            row = await self._store.need(connection, "partner", "resource")
            found = await self._store.need(connection, "data_source", "data source", sweep["source"])
            source = messages.data_source(found)
            refusal = await self._gatekeeper.gate(
                connection, pb.RIGHT_ERASURE, row, [source], governance_pb2.Location()
            )
            if refusal is not None:
                raise refused(refusal)
            await serving.need_served(self._store, connection, [sweep["source"]])
            current = await self._store.need(connection, "data_map", "data map", 0)
        inactivity = Inactivity(collection=rule["collection"], field=rule["field"], identity_type=rule["identity_type"])
        inactivity.before.FromDatetime(sweep["cutoff_time"])
        grant = Grant(
            source=sweep["source"],
            operation=Grant.OPERATION_LIST_INACTIVE,
            task=str(identifier),
            attempt=1,
            request=request.sweep,
            inactivity=inactivity,
            sandbox=mark(source),
        )
        return pb.IssueSweepGrantResponse(
            grant=self._signer.sign(grant, datetime.now(UTC)),
            data_source=source,
            identity_type=rule["identity_type"],
            data_map_revision=current["revision"],
            time_zone=messages.partner(row).time_zone,
        )

    async def ReportSweep(self, request: pb.ReportSweepRequest, context: Any) -> pb.ReportSweepResponse:
        own_right(pb.RIGHT_ERASURE)
        partner, identifier = _named(request.sweep)
        async with partner_transaction(self._store.pool, partner) as connection:
            sweep = await self._store.need(connection, "retention.lock_sweep", "resource", identifier)
            now = self._tools.clock()
            if sweep["state"] == "COUNTING":
                if request.failure:
                    await self._end(connection, sweep, "FAILED", now)
                else:
                    await self._counted(connection, sweep, request, now)
            elif sweep["state"] == "APPROVED":
                if request.created:
                    await self._store.row(connection, "retention.set_created", identifier, request.people)
                    await self._end(connection, sweep, "COMPLETED", now)
                elif request.people > sweep["cap"]:
                    await self._end(connection, sweep, "EXCEEDED", now)
        return pb.ReportSweepResponse()

    async def _counted(
        self, connection: Connection, sweep: asyncpg.Record, request: pb.ReportSweepRequest, now: datetime
    ) -> None:
        current = await self._store.row(connection, "data_map", 0)
        data_map = messages.data_map(current) if current else governance_pb2.DataMap()
        mapped = [s for s in data_map.sources if s.source == sweep["source"]]
        holds = await self._store.holds(connection, [sweep["source"]], [])
        erased, kept = domain.effect(mapped[0], holds) if mapped else ([], [])
        args = (sweep["id"], request.people, request.unknown, erased, kept, domain.cap(request.people))
        await self._store.row(connection, "retention.counted", *args)
        if not request.people or not erased:
            await self._end(connection, sweep, "COMPLETED", now)
            return
        rule = await self._store.need(connection, "retention.rule", "resource", sweep["rule"])
        kind, name = "retention.counted", f"{sweep['partner']}/retentionSweeps/{sweep['id']}"
        if domain.covered(erased, rule["instruction"]):
            instructor = rule["instruction"]["instructor"]
            await self._store.row(connection, "retention.approve", sweep["id"], instructor, True, now)
            kind = "retention.approved"
        await notify(self._store, connection, now, kind, name, people=str(request.people))

    async def _end(self, connection: Connection, sweep: asyncpg.Record, state: str, now: datetime) -> None:
        await self._store.row(connection, "retention.end_sweep", sweep["id"], state, now)
        if state in ("EXCEEDED", "FAILED"):
            name = f"{sweep['partner']}/retentionSweeps/{sweep['id']}"
            await notify(self._store, connection, now, "retention.stopped", name, state=state)

    async def RecordSweepApproval(
        self, request: pb.RecordSweepApprovalRequest, context: Any
    ) -> pb.RecordApprovalResponse:
        partner, identifier = _named(request.sweep)
        if own_request(request.request, pb.RIGHT_ERASURE) != partner:
            raise DsrError("FOUR_EYES", "The request is another partner's.", why="NOT_COVERED")
        async with partner_transaction(self._store.pool, partner) as connection:
            sweep = await self._store.need(connection, "retention.lock_sweep", "resource", identifier)
            if sweep["approve_time"] is None or sweep["state"] not in ("APPROVED", "COMPLETED"):
                raise DsrError("FOUR_EYES", "The sweep is not approved.", why="NOT_APPROVED")
            wanted = [(t.source, c) for t in request.touched for c in t.collections]
            if any(source != sweep["source"] or c not in sweep["erased"] for source, c in wanted):
                raise DsrError("FOUR_EYES", "The plan erases what the sweep did not show.", why="NOT_COVERED")
            holds = await self._store.need(connection, "holds_role", "resource", sweep["approver"], "ROLE_APPROVER")
            if not holds["exists"]:
                raise DsrError("FOUR_EYES", "The approver's role was revoked since.", why="ROLE_NOT_GRANTED")
            await self._store.row(connection, "retention.add_request", request.request, identifier)
            known = await self._store.need(connection, "retention.requests", "resource", identifier)
            if known["count"] > sweep["cap"]:
                raise DsrError("FOUR_EYES", "More people than the approval covers.", why="NOT_COVERED")
            args = (request.request, request.plan_digest, sweep["approver"])
            await self._store.row(connection, "record_approval", *args)
        return pb.RecordApprovalResponse(approver=sweep["approver"])


def _named(sweep: str) -> tuple[str, UUID]:
    return parse_partner(sweep, "sweep"), messages.child_uuid(sweep, "retentionSweeps", "resource")
