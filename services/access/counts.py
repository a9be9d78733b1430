"""Counts people where governance orders it, for breaches: the source says how many, and nobody is named."""

from dsr.authority.v1 import authority_pb2
from dsr.connector.v1 import connector_pb2
from dsr.v1.error_reason_pb2 import ErrorReason

from dsrkit import log
from dsrkit.errors import DsrError
from dsrkit.requests.connector import Connector
from dsrkit.requests.runtime import Toolbox


class Counts:
    """Pulls orders, as the erasure service pulls sweeps."""

    def __init__(self, tools: Toolbox) -> None:
        self._authority = tools.parts.authority
        self._connectors = tools.connectors

    async def pull(self) -> None:
        """Chore. A source that can't be counted now is reported with its reason, and the others are counted."""
        for order in await self._authority.count_orders():
            report = authority_pb2.ReportCountRequest(breach=order.breach, source=order.source)
            try:
                totals = await self._count(order)
                report.people, report.certainty = totals.people, totals.certainty
            except DsrError as error:
                if error.reason == "STATE_CONFLICT":  # somebody else counts
                    continue
                log.get_logger().warning("count.failed", breach=order.breach, source=order.source, reason=error.reason)
                report.failure = ErrorReason.Value(f"ERROR_REASON_{error.reason}")
            await self._authority.report_count(report)

    async def _count(self, order: authority_pb2.CountOrder) -> connector_pb2.PeopleTotals:
        told = await self._authority.count_grant(order)
        connector = Connector.of(told.data_source.name, told.data_source)
        return await self._connectors.count_people(connector, connector_pb2.CountPeopleRequest(grant=told.grant))
