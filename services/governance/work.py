"""Open work on people, and what it obliges others to: RPCs of AuthorityService."""

from datetime import UTC
from typing import Any
from uuid import UUID

from dsr.authority.v1 import authority_pb2 as pb
from dsr.authority.v1.authority_pb2_grpc import AuthorityServiceServicer

from dsrkit.db import partner_transaction
from dsrkit.errors import invalid
from services.governance.digests import identity_digests
from services.governance.notifications import contacts
from services.governance.services import own_request, own_right, right_of
from services.governance.termination import outdating
from services.governance.tools import Tools


class WorkRpcs(AuthorityServiceServicer):
    """Proto to domain and back, nothing else."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def RegisterWork(self, request: pb.RegisterWorkRequest, context: Any) -> pb.RegisterWorkResponse:
        own_right(request.right)
        partner = own_request(request.request, request.right)
        digests = await identity_digests(self._tools.vault, partner, [(i.type, i.value) for i in request.identities])
        async with partner_transaction(self._store.pool, partner) as connection:
            # One at a time per partner, so that of two requests at least one sees the other.
            await self._store.need(connection, "lock_partner", "resource")
            await self._store.row(connection, "register_work", request.request, request.right)
            await self._store.row(connection, "add_work_identities", request.request, digests)
            rows = await self._store.rows(connection, "other_work", request.request)
        others = [pb.OpenWork(request=row["request"], right=row["right"], older=row["older"]) for row in rows]
        return pb.RegisterWorkResponse(others=others)

    async def CloseWork(self, request: pb.CloseWorkRequest, context: Any) -> pb.CloseWorkResponse:
        until = request.bundle_expire_time.ToDatetime(UTC) if request.HasField("bundle_expire_time") else None
        partner = own_request(request.request)
        async with partner_transaction(self._store.pool, partner) as connection:
            await self._store.row(connection, "close_work", request.request, right_of(request.request), until)
            if until is None:
                await self._store.row(connection, "forget_work", request.request)
        return pb.CloseWorkResponse()

    async def ObligeBundleEnd(self, request: pb.ObligeBundleEndRequest, context: Any) -> pb.ObligeBundleEndResponse:
        partner = own_request(request.request, pb.RIGHT_ERASURE)
        async with partner_transaction(self._store.pool, partner) as connection:
            await self._store.row(connection, "oblige", request.request)
            await outdating.finishing(self._store, connection, request.request, self._tools.clock())
            row = await self._store.need(connection, "obliged", "resource", request.request)
            officer = await contacts.partner_dpo(self._tools, connection, partner)
        who = {"operator": self._tools.operator, "dpo_contact": self._tools.dpo_contact, "partner_dpo": officer}
        return pb.ObligeBundleEndResponse(open=row["open"], total=row["total"], **who)

    async def ListObligations(self, request: pb.ListObligationsRequest, context: Any) -> pb.ListObligationsResponse:
        own_right(request.right)
        after = parse_id(request.after_id, "after_id") if request.after_id else None
        rows = await self._store.open_obligations(request.right, after)
        found = [pb.Obligation(id=str(r["id"]), request=r["request"], erasure=r["erasure"]) for r in rows]
        return pb.ListObligationsResponse(obligations=found)

    async def AcknowledgeObligation(
        self, request: pb.AcknowledgeObligationRequest, context: Any
    ) -> pb.AcknowledgeObligationResponse:
        partner = own_request(request.request)
        async with partner_transaction(self._store.pool, partner) as connection:
            await self._store.need(connection, "acknowledge", "obligation", parse_id(request.id, "id"), request.request)
            await self._store.row(connection, "bundle_ended", request.request)
            await self._store.row(connection, "forget_work", request.request)
        return pb.AcknowledgeObligationResponse()


def parse_id(text: str, field: str) -> UUID:
    """An id of an entry or obligation. FIELD_INVALID."""
    try:
        return UUID(text)
    except ValueError:
        raise invalid(field, "must be a UUID") from None
