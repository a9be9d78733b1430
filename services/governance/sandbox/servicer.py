"""SandboxService: messages in and out."""

from typing import Any
from uuid import UUID

from dsr.v1 import sandbox_pb2 as pb
from dsr.v1.sandbox_pb2_grpc import SandboxServiceServicer

from dsrkit.clock import ahead, be_ahead
from dsrkit.db import Connection, partner_snapshot
from services.governance.sandbox.domain import GOVERNANCE, leap, mismatch
from services.governance.services import SERVICES
from services.governance.tools import Tools, scope


class SandboxServicer(SandboxServiceServicer):
    """Proto to domain and back, nothing else."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def GetSandbox(self, request: pb.GetSandboxRequest, context: Any) -> pb.Sandbox:
        return await self._sandbox(scope(request.parent))

    async def ResetSandbox(self, request: pb.ResetSandboxRequest, context: Any) -> pb.Sandbox:
        partner = scope(request.parent)

        async def make(connection: Connection, _: UUID) -> str:
            await self._need(connection)
            await self._store.row(connection, "sandbox.reset", self._tools.clock())
            return partner

        await self._tools.once(partner, request, "ResetSandbox", make)
        return await self._sandbox(partner)

    async def AdvanceSandboxClock(self, request: pb.AdvanceSandboxClockRequest, context: Any) -> pb.Sandbox:
        partner = scope(request.parent)

        async def make(connection: Connection, _: UUID) -> str:
            await self._need(connection)
            row = await self._store.need(connection, "sandbox.lock", "resource")
            real = self._tools.clock() - ahead()
            await self._store.row(connection, "sandbox.advance", leap(request.time, real, row["ahead"]))
            return partner

        await self._tools.once(partner, request, "AdvanceSandboxClock", make)
        be_ahead(await self._tools.ahead(partner))
        return await self._sandbox(partner)

    async def _need(self, connection: Connection) -> Any:
        await self._store.need(connection, "partner", "resource")
        row = await self._store.row(connection, "sandbox.sandbox")
        if row is None:
            text = "The partner is live: it has no sandbox. The operator creates one as a partner of its own."
            raise mismatch(text, False, "parent")
        return row

    async def _sandbox(self, partner: str) -> pb.Sandbox:
        async with partner_snapshot(self._store.pool, partner) as connection:
            row = await self._need(connection)
            behind = await self._store.need(connection, "sandbox.behind", "resource", [GOVERNANCE, *SERVICES.values()])
        message = pb.Sandbox(partner=partner, resets=row["resets"], settled=not behind["services"])
        message.time.FromDatetime(self._tools.clock())
        if row["reset_time"] is not None:
            message.reset_time.FromDatetime(row["reset_time"])
        return message
