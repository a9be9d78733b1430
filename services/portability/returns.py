"""Whole data sources that go back to their partner: governance orders them, and each becomes a request of its own.

As a request it has all that any has: numbered attempts, a worker that takes over, a key of its own, an encrypted bundle
that is downloaded, and ends. Governance is told what is in the bundle once it is there; a bundle that ended before the
partner confirmed its receipt is made again.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from dsr.authority.v1 import authority_pb2
from dsr.connector.v1 import connector_pb2
from dsr.v1.error_reason_pb2 import ERROR_REASON_METHOD_UNKNOWN

from dsrkit import clock, log
from dsrkit.db import partner_transaction
from dsrkit.errors import DsrError
from dsrkit.parts import Part
from dsrkit.requests.connector import Connector
from dsrkit.requests.copying import write_bundle
from dsrkit.requests.export import receive
from dsrkit.requests.flow import latest
from dsrkit.requests.model import Dossier, Request
from dsrkit.requests.orders import begin, order_id, ordered
from dsrkit.requests.runtime import Toolbox
from dsrkit.requests.view import parse_partner
from dsrkit.tasks import Done, Task
from services.portability.package import whole

ACTOR = "urn:dsr:service:portability#portability"
LIFETIME = timedelta(days=30)
"""How long it lasts; made again while its receipt isn't confirmed."""
_OVER = Done(result={"over": True})


class Returns:
    """Pulls orders: governance holds nothing by which it could read."""

    def __init__(self, tools: Toolbox) -> None:
        self._tools = tools
        self._authority = tools.parts.authority

    async def pull(self) -> None:
        """Chore. An order that fails is left for the next time, and the others are done."""
        for order in await self._authority.return_orders():
            try:
                await self._carry_out(order)
            except DsrError as error:
                source = order.data_source.name
                log.get_logger().warning("return.waiting", source=source, reason=error.reason)

    async def _carry_out(self, order: authority_pb2.ReturnOrder) -> None:
        """Goes by what there is: no request yet, one at work, a bundle to be told of, or one that has ended."""
        store, partner, turn = self._tools.parts.store, parse_partner(order.termination, "termination"), 0
        while True:
            facts = f"return\0{order.termination}\0{order.data_source.name}\0{turn}"
            digest = await self._tools.parts.vault.digest(partner, facts.encode())
            request = await store.by_request_id(partner, order_id(digest), digest)
            if request is None:
                return await self._begin(order, partner, digest)
            if not request.terminal:
                return None
            bundle = request.facts.get("bundle")
            if bundle and bundle["state"] == "AVAILABLE":
                return await self._report(order, request)
            turn += 1

    async def _begin(self, order: authority_pb2.ReturnOrder, partner: str, digest: bytes) -> None:
        source = order.data_source
        described = await self._tools.connectors.describe(Connector.of(source.name, source))
        if connector_pb2.CAPABILITY_RETURN not in described.capabilities:
            report = authority_pb2.ReportReturnRequest(termination=order.termination, source=source.name)
            report.failure = ERROR_REASON_METHOD_UNKNOWN
            await self._authority.report_return(report)
            return
        facts = {"termination": order.termination, "formats": []}
        now = await self._tools.clocks.now(partner)
        request = ordered(partner, digest, ACTOR, order.time_zone, [source.name], facts, now)
        await begin(self._tools.parts, request, Dossier())

    async def _report(self, order: authority_pb2.ReturnOrder, request: Request) -> None:
        name = self._tools.parts.right.name(request.partner, request.id)
        if order.request == name:
            return
        async with partner_transaction(self._tools.parts.store.pool, request.partner) as connection:
            tasks = await self._tools.parts.store.tasks.of_owner(connection, request.id)
        bundle, (copied,) = request.facts["bundle"], latest(tasks, "export").values()
        report = authority_pb2.ReportReturnRequest(
            termination=order.termination,
            source=order.data_source.name,
            request=name,
            size_bytes=bundle["size"],
            sha256=bundle["sha256"],
            collections=[
                authority_pb2.SourceRecords(collection=c["collection"], records=c["records"])
                for c in copied.result["collections"]
            ],
        )
        await self._authority.report_return(report)


class Whole:
    """Steps `export` and `package` of a whole source. The request ends when its termination doesn't return any more."""

    def __init__(self, tools: Toolbox) -> None:
        self._tools = tools

    async def export(self, task: Task) -> Done:
        """Copies the source under a grant of its own kind."""
        request, _ = await self._tools.parts.flow.load(task)
        told = await self._told(request, task)
        if told is None:
            return _OVER
        source = task.source or ""
        stream = self._tools.connectors.give_back(
            Connector.of(source, told.data_source), connector_pb2.ReturnRequest(grant=told.grant)
        )
        key = await self._tools.parts.flow.key(request)
        return await receive(task, stream, None, key, self._tools.spool)

    async def package(self, task: Task) -> Done:
        """Writes the bundle, after governance was asked once more."""
        request, _ = await self._tools.parts.flow.load(task)
        told = await self._told(request, task)
        if told is None:
            return _OVER
        name = self._tools.parts.right.name(request.partner, request.id)
        facts = whole.Facts(name, request.facts["termination"], told.partner, told.data_source, task.create_time)

        def build(parts: Sequence[Part]) -> Iterator[bytes]:
            return whole.build(facts, parts)

        expires = clock.now() + LIFETIME
        return await write_bundle(self._tools, task, told.partner, f"return-{request.id}.zip", expires, build)

    async def _told(self, request: Request, task: Task) -> authority_pb2.IssueReturnGrantResponse | None:
        try:
            return await self._tools.parts.authority.return_grant(request, task)
        except DsrError as error:
            if error.reason == "STATE_CONFLICT":
                return None
            raise
