"""Counts people where governance orders it, for breaches: the source says how many, and nobody is named."""

import asyncio

from dsr.authority.v1 import authority_pb2
from dsr.connector.v1 import connector_pb2
from dsr.v1.error_reason_pb2 import ErrorReason

from dsrkit import log
from dsrkit.errors import DsrError
from dsrkit.requests.connector import Connector
from dsrkit.requests.runtime import Toolbox

_AT_ONCE = 8
"""Sources counted at the same time."""


class Counts:
    """Pulls orders, as the erasure service pulls sweeps."""

    def __init__(self, tools: Toolbox) -> None:
        self._authority = tools.parts.authority
        self._connectors = tools.connectors

    async def pull(self) -> None:
        """Chore. A source that can't be counted now is reported with its reason, and holds up no other."""
        free = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for order in await self._authority.count_orders():
                group.create_task(self._carry_out(order, free))

    async def _carry_out(self, order: authority_pb2.CountOrder, free: asyncio.Semaphore) -> None:
        logged = log.get_logger().bind(breach=order.breach, source=order.source)
        report = authority_pb2.ReportCountRequest(breach=order.breach, source=order.source)
        async with free:
            try:
                totals = await self._count(order)
                report.people, report.certainty = totals.people, totals.certainty
            except DsrError as error:
                if error.reason == "STATE_CONFLICT":  # somebody else counts
                    return
                logged.warning("count.failed", reason=error.reason)
                report.failure = ErrorReason.Value(f"ERROR_REASON_{error.reason}")
            try:
                await self._authority.report_count(report)
            except DsrError as error:  # the order comes back when its lease has ended
                logged.warning("count.unreported", reason=error.reason)

    async def _count(self, order: authority_pb2.CountOrder) -> connector_pb2.PeopleTotals:
        told = await self._authority.count_grant(order)
        connector = Connector.of(told.data_source.name, told.data_source)
        return await self._connectors.count_people(connector, connector_pb2.CountPeopleRequest(grant=told.grant))
