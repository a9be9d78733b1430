"""What the erasure service asks and reports of whole data sources that are to be destroyed."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid5

from dsr.authority.v1 import authority_pb2 as pb
from dsr.authority.v1.authority_pb2_grpc import AuthorityServiceServicer
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant

from dsrkit.auth import current_caller
from dsrkit.db import partner_transaction, sweeper_transaction
from dsrkit.errors import DsrError
from dsrkit.grants import GrantSigner
from dsrkit.requests.view import parse_partner
from services.governance.backups import serving
from services.governance.sandbox.domain import mark
from services.governance.services import own_right
from services.governance.store import SCHEMA
from services.governance.termination import confirmation, domain, progress, state
from services.governance.tools import Tools

_DELETE = CollectionInstruction.ACTION_DELETE


class DestructionRpcs(AuthorityServiceServicer):
    """Part of the authority, for the erasure service alone."""

    def __init__(self, tools: Tools, signer: GrantSigner) -> None:
        self._tools = tools
        self._store = tools.store
        self._signer = signer

    async def ListDestructionOrders(
        self, request: pb.ListDestructionOrdersRequest, context: Any
    ) -> pb.ListDestructionOrdersResponse:
        own_right(pb.RIGHT_ERASURE)
        async with sweeper_transaction(self._store.pool, SCHEMA) as connection:
            rows = await self._store.rows(connection, "termination.in_state", "DESTROYING")
        response = pb.ListDestructionOrdersResponse()
        for row in rows:
            now = await self._tools.now(row["partner"])
            await confirmation.lapsed(self._tools, row["partner"], row["id"], now)
            async with partner_transaction(self._store.pool, row["partner"]) as connection:
                known = await state.load(self._store, connection, row["id"], now)
            for item in known.items:
                if domain.to_destroy(known.row["state"], known.row["effective_time"], item, now):
                    response.orders.add(termination=known.name, source=item.source)
        return response

    async def IssueDestructionGrant(
        self, request: pb.IssueDestructionGrantRequest, context: Any
    ) -> pb.IssueGrantResponse:
        own_right(pb.RIGHT_ERASURE)
        partner, identifier = parse_partner(request.termination, "termination"), state.identify(request.termination)
        now = self._tools.clock()
        if not request.count_only:
            await confirmation.need(self._tools, partner, identifier, now)
        async with partner_transaction(self._store.pool, partner) as connection:
            known = await state.load(self._store, connection, identifier, now, lock=True)
            item, row = known.item(request.source), known.row
            if not request.count_only:
                state.need_unheld(known, request.source)
            permitted = (
                domain.to_count(row["state"], item)
                if request.count_only
                else domain.to_destroy(row["state"], row["effective_time"], item, now)
            )
            if not permitted:
                text = "Nothing of this source is to be destroyed by the platform now."
                raise DsrError("STATE_CONFLICT", text, state=row["state"], allowed="DESTROYING")
            await serving.need_served(self._store, connection, [request.source])
            args = (identifier, request.source)
            attempt = (await self._store.need(connection, "termination.next_attempt", "resource", *args))["attempt"]
            policy = await self._store.need(connection, "policies.standing", "resource", now)
        source = known.source(request.source)
        (entry,) = (entry for entry in known.rows if entry["source"] == request.source)
        grant = Grant(
            source=request.source,
            operation=Grant.OPERATION_DESTROY,
            task=str(uuid5(identifier, request.source)),
            attempt=attempt,
            plan_digest=known.digest,
            approver=row["confirmer"],
            instructions=[
                CollectionInstruction(collection=r["collection"], action=_DELETE, cap=r["records"])
                for r in entry["returned"]
                if not request.count_only
            ],
            request=request.termination,
            policy_version=policy["accepted"],
            sandbox=mark(source),
        )
        return pb.IssueGrantResponse(
            grant=self._signer.sign(grant, datetime.now(UTC)),
            connector_address=source.connector_address,
            connector_identity=source.connector_identity if source.HasField("connector_identity") else None,
            sandbox=source.sandbox,
            sandbox_resets=source.sandbox_resets,
            sandbox_reset_time=source.sandbox_reset_time if source.sandbox_resets else None,
        )

    async def ReportDestruction(
        self, request: pb.ReportDestructionRequest, context: Any
    ) -> pb.ReportDestructionResponse:
        own_right(pb.RIGHT_ERASURE)
        partner, identifier = parse_partner(request.termination, "termination"), state.identify(request.termination)
        async with partner_transaction(self._store.pool, partner) as connection:
            now = self._tools.clock()
            known = await state.load(self._store, connection, identifier, now, lock=True)
            item, row = known.item(request.source), known.row
            if not item.by_platform or row["confirm_time"] is None or now < (row["effective_time"] or now):
                text = "The platform has no order to destroy this source."
                raise DsrError("STATE_CONFLICT", text, state=row["state"], allowed="DESTROYING")
            if request.failure:
                args: tuple[Any, ...] = (identifier, request.source, request.failure, now)
                await self._store.row(connection, "termination.not_destroyed", *args)
            else:
                evidence = domain.evidence(request.records, request.stays)
                args = (identifier, request.source, now, evidence, current_caller().principal, request.records)
                await self._store.row(connection, "termination.destroyed_by", *args)
        await progress.advance(self._tools, partner, identifier, now)
        return pb.ReportDestructionResponse()
