"""What the portability service asks and reports of whole data sources that go back to their partner."""

from datetime import UTC, datetime
from typing import Any

from dsr.authority.v1 import authority_pb2 as pb
from dsr.authority.v1.authority_pb2_grpc import AuthorityServiceServicer
from dsr.connector.v1.grant_pb2 import Grant
from dsr.v1 import termination_pb2
from google.protobuf import json_format

from dsrkit.db import partner_snapshot, partner_transaction, sweeper_transaction
from dsrkit.errors import DsrError, invalid
from dsrkit.grants import GrantSigner
from dsrkit.requests.view import parse_partner
from services.governance import messages
from services.governance.backups import serving
from services.governance.gatekeeper import Gatekeeper
from services.governance.sandbox.domain import mark
from services.governance.services import own_request, own_right
from services.governance.store import SCHEMA
from services.governance.termination import domain, progress, state
from services.governance.tools import Tools, refused


class ReturnRpcs(AuthorityServiceServicer):
    """Part of the authority, for the portability service alone."""

    def __init__(self, tools: Tools, signer: GrantSigner, gatekeeper: Gatekeeper) -> None:
        self._tools = tools
        self._store = tools.store
        self._signer = signer
        self._gatekeeper = gatekeeper

    async def ListReturnOrders(self, request: pb.ListReturnOrdersRequest, context: Any) -> pb.ListReturnOrdersResponse:
        own_right(pb.RIGHT_PORTABILITY)
        async with sweeper_transaction(self._store.pool, SCHEMA) as connection:
            rows = await self._store.rows(connection, "termination.in_state", "RETURNING")
        response, now = pb.ListReturnOrdersResponse(), self._tools.clock()
        for row in rows:
            async with partner_snapshot(self._store.pool, row["partner"]) as connection:
                known = await state.load(self._store, connection, row["id"], now)
                partner = messages.partner(await self._store.need(connection, "partner", "resource"))
            entries = {entry["source"]: entry["return_request"] for entry in known.rows}
            for item in known.items:
                if domain.to_return(known.row["state"], item):
                    response.orders.add(
                        termination=known.name,
                        data_source=known.source(item.source),
                        request=entries.get(item.source, ""),
                        time_zone=partner.time_zone,
                    )
        return response

    async def IssueReturnGrant(self, request: pb.IssueReturnGrantRequest, context: Any) -> pb.IssueReturnGrantResponse:
        partner, identifier = parse_partner(request.termination, "termination"), state.identify(request.termination)
        if own_request(request.request, pb.RIGHT_PORTABILITY) != partner:
            raise invalid("request", "belongs to another partner than the termination")
        async with partner_transaction(self._store.pool, partner) as connection:
            known = await state.load(self._store, connection, identifier, self._tools.clock())
            if known.row["state"] != "RETURNING" or not known.item(request.source).ours:
                text = "The termination doesn't return this source any more."
                raise DsrError("STATE_CONFLICT", text, state=known.row["state"], allowed="RETURNING")
            if await self._store.row(connection, "termination.outdated", request.request) is not None:
                text = "Somebody was erased at this source since the copy was begun; it is made anew."
                raise DsrError("STATE_CONFLICT", text, state="OUTDATED", allowed="a new request")
            row = await self._store.need(connection, "partner", "resource")
            # Not where the source is: to give data back is no use of it, wherever it should not have been.
            refusal = await self._gatekeeper.gate(connection, pb.RIGHT_PORTABILITY, row, (), request.bundle_location)
            if refusal is not None:
                await self._gatekeeper.enter(connection, partner, refusal, "IssueGrant", request.request)
            else:
                await serving.need_served(self._store, connection, [request.source])
                await self._store.row(connection, "termination.copy", request.request, identifier, request.source)
        if refusal is not None:
            raise refused(refusal)
        grant = Grant(
            source=request.source,
            operation=Grant.OPERATION_RETURN,
            task=request.task,
            attempt=request.attempt,
            request=request.request,
            sandbox=mark(known.source(request.source)),
        )
        return pb.IssueReturnGrantResponse(
            grant=self._signer.sign(grant, datetime.now(UTC)),
            data_source=known.source(request.source),
            partner=messages.partner(row),
        )

    async def ReportReturn(self, request: pb.ReportReturnRequest, context: Any) -> pb.ReportReturnResponse:
        own_right(pb.RIGHT_PORTABILITY)
        partner, identifier = parse_partner(request.termination, "termination"), state.identify(request.termination)
        async with partner_transaction(self._store.pool, partner) as connection:
            now = self._tools.clock()
            known = await state.load(self._store, connection, identifier, now, lock=True)
            item = known.item(request.source)
            if not domain.to_return(known.row["state"], item):
                return pb.ReportReturnResponse()
            if request.failure:
                args: tuple[Any, ...] = (identifier, request.source, request.failure)
                await self._store.row(connection, "termination.not_returned", *args)
                return pb.ReportReturnResponse()
            if own_request(request.request, pb.RIGHT_PORTABILITY) != partner:
                raise invalid("request", "belongs to another partner than the termination")
            if await self._store.row(connection, "termination.outdated", request.request) is not None:
                return pb.ReportReturnResponse()
            package = termination_pb2.Termination.Package(
                label=request.request, size_bytes=request.size_bytes, sha256=request.sha256
            )
            bad = domain.wrong_package(package)
            if bad is not None:
                raise invalid(*bad)
            returned = [{"collection": c.collection, "records": c.records} for c in request.collections]
            packages = [json_format.MessageToDict(package)]
            args = (identifier, request.source, packages, request.request, returned)
            await self._store.row(connection, "termination.returned_by", *args)
            if domain.last(known.items, request.source):
                await progress.returned(self._store, connection, known, request.request, now)
        return pb.ReportReturnResponse()
