"""What services ask and report of terminations."""

from typing import Any

from dsr.authority.v1 import authority_pb2 as pb
from dsr.authority.v1.authority_pb2_grpc import AuthorityServiceServicer

from dsrkit.db import partner_transaction, sweeper_transaction
from dsrkit.requests.view import parse_partner
from services.governance.services import SERVICES, own_right
from services.governance.store import SCHEMA
from services.governance.termination import confirmation, progress, state
from services.governance.tools import Tools


class TerminationRpcs(AuthorityServiceServicer):
    """Part of the authority."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def ListTerminationOrders(
        self, request: pb.ListTerminationOrdersRequest, context: Any
    ) -> pb.ListTerminationOrdersResponse:
        own_right(request.right)
        async with sweeper_transaction(self._store.pool, SCHEMA) as connection:
            rows = await self._store.rows(connection, "termination.orders", self._tools.clock())
        names = []
        for row in rows:
            partner, identifier = row["partner"], row["id"]
            if not await confirmation.lapsed(self._tools, partner, identifier, await self._tools.now(partner)):
                names.append(f"{partner}/terminations/{identifier}")
        return pb.ListTerminationOrdersResponse(terminations=names)

    async def AcknowledgeTermination(
        self, request: pb.AcknowledgeTerminationRequest, context: Any
    ) -> pb.AcknowledgeTerminationResponse:
        own_right(request.right)
        partner = parse_partner(request.termination, "termination")
        identifier = state.identify(request.termination)
        async with partner_transaction(self._store.pool, partner) as connection:
            await self._store.need(connection, "termination.get", "resource", identifier)
            args = (identifier, SERVICES[request.right], self._tools.clock())
            await self._store.row(connection, "termination.add_emptied", *args)
        await progress.advance(self._tools, partner, identifier, self._tools.clock())
        return pb.AcknowledgeTerminationResponse()
