"""What the rights services ask and report of sandboxes' clocks."""

from typing import Any

from dsr.authority.v1 import authority_pb2 as pb
from dsr.authority.v1.authority_pb2_grpc import AuthorityServiceServicer

from dsrkit.db import partner_transaction, sweeper_transaction
from dsrkit.requests.view import parse_partner
from services.governance.services import SERVICES, own_right
from services.governance.store import SCHEMA
from services.governance.tools import Tools


class SandboxRpcs(AuthorityServiceServicer):
    """Part of the authority."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def ListSandboxClocks(
        self, request: pb.ListSandboxClocksRequest, context: Any
    ) -> pb.ListSandboxClocksResponse:
        own_right(request.right)
        async with sweeper_transaction(self._store.pool, SCHEMA) as connection:
            rows = await self._store.rows(connection, "sandbox.orders", SERVICES[request.right])
        answer = pb.ListSandboxClocksResponse()
        for row in rows:
            answer.clocks.add(partner=row["partner"]).ahead.FromTimedelta(row["ahead"])
        return answer

    async def FollowSandboxClock(
        self, request: pb.FollowSandboxClockRequest, context: Any
    ) -> pb.FollowSandboxClockResponse:
        own_right(request.right)
        args = SERVICES[request.right], request.clock.ahead.ToTimedelta()
        async with partner_transaction(
            self._store.pool, parse_partner(request.clock.partner, "clock.partner")
        ) as connection:
            await self._store.need(connection, "sandbox.sandbox", "resource")
            await self._store.row(connection, "sandbox.follow", *args)
        return pb.FollowSandboxClockResponse()
