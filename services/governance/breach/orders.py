"""What the access service asks and reports of people to be counted. Governance itself calls no connector."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from dsr.authority.v1 import authority_pb2 as pb
from dsr.authority.v1.authority_pb2_grpc import AuthorityServiceServicer
from dsr.connector.v1 import connector_pb2
from dsr.connector.v1.grant_pb2 import Grant
from dsr.v1 import governance_pb2
from dsr.v1.error_reason_pb2 import ErrorReason

from dsrkit.auth import current_caller
from dsrkit.db import partner_transaction, sweeper_transaction
from dsrkit.errors import DsrError, invalid
from dsrkit.grants import GrantSigner
from dsrkit.requests.view import known_enum, parse_partner
from services.governance import messages
from services.governance.backups import serving
from services.governance.breach import domain
from services.governance.keeping import COUNT, keep
from services.governance.sandbox.domain import mark
from services.governance.services import own_right
from services.governance.store import SCHEMA
from services.governance.tools import Tools


class CountRpcs(AuthorityServiceServicer):
    """Part of the authority, for the access service alone."""

    def __init__(self, tools: Tools, signer: GrantSigner) -> None:
        self._tools = tools
        self._store = tools.store
        self._signer = signer

    async def ListCountOrders(self, request: pb.ListCountOrdersRequest, context: Any) -> pb.ListCountOrdersResponse:
        own_right(pb.RIGHT_ACCESS)
        async with sweeper_transaction(self._store.pool, SCHEMA) as connection:
            rows = await self._store.rows(connection, "breach.orders", self._tools.real_time())
        return pb.ListCountOrdersResponse(
            orders=[
                pb.CountOrder(breach=f"{row['partner']}/breaches/{row['breach']}", source=row["source"]) for row in rows
            ]
        )

    async def IssueCountGrant(self, request: pb.IssueCountGrantRequest, context: Any) -> pb.IssueCountGrantResponse:
        own_right(pb.RIGHT_ACCESS)
        partner, identifier = _named(request.breach)
        now = self._tools.real_time()
        async with partner_transaction(self._store.pool, partner) as connection:
            order = await self._store.need(connection, "breach.lock_order", "resource", identifier, request.source)
            if order["close_time"] is not None or order["next_time"] > now:
                state = "CLOSED" if order["close_time"] is not None else "WAITING"
                text = "The people were counted, are being counted, or need not be."
                raise DsrError("STATE_CONFLICT", text, state=state, allowed="OPEN")
            # No gate: nothing but a number leaves the source, and a suspended partner has to be told as well.
            found = await self._store.need(connection, "data_source", "data source", request.source)
            source = messages.data_source(found)
            await serving.need_served(self._store, connection, [request.source])
            await self._store.row(connection, "breach.lease", identifier, request.source, now + domain.LEASE)
        grant = Grant(
            source=request.source,
            operation=Grant.OPERATION_COUNT,
            task=f"count-{identifier}",
            attempt=order["attempts"] + 1,
            request=request.breach,
            sandbox=mark(source),
        )
        return pb.IssueCountGrantResponse(grant=self._signer.sign(grant, datetime.now(UTC)), data_source=source)

    async def ReportCount(self, request: pb.ReportCountRequest, context: Any) -> pb.ReportCountResponse:
        own_right(pb.RIGHT_ACCESS)
        partner, identifier = _named(request.breach)
        if request.failure:
            known_enum(request.failure, ErrorReason, "failure")
        else:
            known_enum(request.certainty, connector_pb2.Certainty, "certainty")
        if request.people < 0:
            raise invalid("people", "must not be negative")
        now, key = self._tools.clock(), (identifier, request.source)
        async with partner_transaction(self._store.pool, partner) as connection:
            order = await self._store.need(connection, "breach.lock_order", "resource", *key)
            if order["close_time"] is not None:
                return pb.ReportCountResponse()
            outcome = "OK"
            if request.failure:
                outcome = ErrorReason.Name(request.failure).removeprefix("ERROR_REASON_")
                final = now if outcome in domain.FINAL else None
                wait = self._tools.real_time() + domain.wait(order["attempts"])
                await self._store.row(connection, "breach.not_counted", *key, outcome, wait, final)
            else:
                certainty = connector_pb2.Certainty.Name(request.certainty).removeprefix("CERTAINTY_")
                await self._store.row(connection, "breach.count", *key, request.people, certainty, now, True)
                await self._store.row(connection, "breach.close_order", *key, now)
            record = governance_pb2.ProcessingRecord(
                actor=current_caller().principal, operation=COUNT, source=request.source, outcome=outcome
            )
            record.record_time.FromDatetime(now)
            await keep(self._store, connection, [(uuid4(), record)])
        return pb.ReportCountResponse()


def _named(breach: str) -> tuple[str, UUID]:
    return parse_partner(breach, "breach"), messages.child_uuid(breach, "breaches", "resource")
