"""Whole data sources that are destroyed at the end of a contract: governance orders them, after the confirmation.

A destruction has no request and no state here. Its order lasts until governance was told that nothing is left; the
connector's journal knows how far it came. So a process may be killed anywhere, and the next one goes on.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dsr.authority.v1 import authority_pb2
from dsr.connector.v1 import connector_pb2
from dsr.connector.v1.grant_pb2 import Grant
from dsr.v1.error_reason_pb2 import ErrorReason
from dsr.v1.governance_pb2 import ProcessingRecord

from dsrkit import log
from dsrkit.errors import DsrError
from dsrkit.requests.connector import Connector
from dsrkit.requests.runtime import Toolbox
from dsrkit.requests.view import parse_partner

_AT_ONCE = 4
_OUTCOME = connector_pb2.Destroyed
_FAILURES = {
    _OUTCOME.OUTCOME_CAP_EXCEEDED: "RETURN_OUTDATED",
    _OUTCOME.OUTCOME_BLOCKED: "DESTRUCTION_BLOCKED",
}
_FINAL = frozenset({"METHOD_UNKNOWN", "SOURCE_REJECTED", "SOURCE_INCONSISTENT"})
"""What needs a person."""


class Destructions:
    """Pulls orders: governance holds nothing by which it could destroy."""

    def __init__(self, tools: Toolbox) -> None:
        self._tools = tools
        self._authority = tools.parts.authority
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def pull(self) -> None:
        """Chore. An order that fails is left for the next time, and the others are done."""
        await asyncio.gather(*map(self._try, await self._authority.destruction_orders()))

    async def _try(self, order: authority_pb2.DestructionOrder) -> None:
        try:
            async with self._places, self._alone(order) as alone:
                if alone:
                    await self._destroy(order)
        except DsrError as error:
            if error.reason in _FINAL:
                await self._report_failure(order, error.reason)
            log.get_logger().warning("destruction.waiting", source=order.source, reason=error.reason)

    async def _destroy(self, order: authority_pb2.DestructionOrder) -> None:
        issued = await self._authority.destruction_grant(order)
        described = await self._tools.connectors.describe(Connector.of(order.source, issued))
        if connector_pb2.CAPABILITY_DESTROY not in described.capabilities:
            await self._report_failure(order, "METHOD_UNKNOWN")
            return
        done = await self._asked(order, issued, count_only=False)
        failure = _FAILURES.get(done.outcome)
        if failure is not None:
            await self._report_failure(order, failure)
            return
        # What a connector says that it did is counted once more, under a grant that permits nothing else.
        counting = await self._authority.destruction_grant(order, count_only=True)
        left = await self._asked(order, counting, count_only=True)
        stays = len({(f.code, f.collection, f.detail) for f in left.findings})
        if done.outcome != _OUTCOME.OUTCOME_DESTROYED or left.outcome != _OUTCOME.OUTCOME_COUNTED:
            raise _inconsistent(order, "OUTCOME")
        returned = {i.collection for i in Grant.FromString(issued.grant.grant).instructions}
        counted = {c.collection for c in left.collections}
        if not returned <= counted or any(c.left for c in (*done.collections, *left.collections)):
            raise _inconsistent(order, "LEFT")
        records = sum(c.destroyed for c in done.collections)
        await self._record(order, "OK", records)
        report = authority_pb2.ReportDestructionRequest(
            termination=order.termination, source=order.source, records=records, stays=stays
        )
        await self._authority.report_destruction(report)
        log.get_logger().info("source.destroyed", source=order.source, records=records)

    async def _asked(
        self, order: authority_pb2.DestructionOrder, issued: authority_pb2.IssueGrantResponse, *, count_only: bool
    ) -> connector_pb2.Destroyed:
        """One call under a grant of its own; one that fails is on record."""
        request = connector_pb2.DestroyRequest(grant=issued.grant, count_only=count_only)
        try:
            return await self._tools.connectors.destroy(Connector.of(order.source, issued), request)
        except DsrError as error:
            await self._record(order, error.reason)
            raise

    async def _record(self, order: authority_pb2.DestructionOrder, outcome: str, records: int = 0) -> None:
        record = ProcessingRecord(
            actor="service:erasure", operation="destroy", source=order.source, outcome=outcome, records=records
        )
        record.record_time.GetCurrentTime()
        await self._tools.parts.store.add_records(parse_partner(order.termination, "termination"), [record])

    async def _report_failure(self, order: authority_pb2.DestructionOrder, reason: str) -> None:
        report = authority_pb2.ReportDestructionRequest(
            termination=order.termination,
            source=order.source,
            failure=ErrorReason.Value(f"ERROR_REASON_{reason}"),
        )
        await self._authority.report_destruction(report)

    @asynccontextmanager
    async def _alone(self, order: authority_pb2.DestructionOrder) -> AsyncIterator[bool]:
        """Whether nobody else of this service is at it. The database lets go when the process that holds it dies."""
        name = f"{order.termination} {order.source}"
        async with self._tools.parts.store.pool.acquire() as connection:
            alone = await connection.fetchval("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", name)
            try:
                yield bool(alone)
            finally:
                if alone:
                    await connection.execute("SELECT pg_advisory_unlock(hashtextextended($1, 0))", name)


def _inconsistent(order: authority_pb2.DestructionOrder, why: str) -> DsrError:
    text = "The connector's answer contradicts itself; the source isn't taken for destroyed."
    return DsrError("SOURCE_INCONSISTENT", text, source=order.source, why=why)
