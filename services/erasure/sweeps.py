"""Retention sweeps: what governance orders is counted, and becomes erasure requests like any other."""

from contextlib import aclosing

from dsr.authority.v1 import authority_pb2
from dsr.connector.v1 import connector_pb2
from dsr.v1 import erasure_pb2
from dsr.v1.error_reason_pb2 import ErrorReason
from dsr.v1.subject_pb2 import Identity

from dsrkit import log
from dsrkit.errors import DsrError
from dsrkit.requests.connector import Connector
from dsrkit.requests.model import Dossier, Known
from dsrkit.requests.orders import begin, order_id, ordered
from dsrkit.requests.runtime import Toolbox
from dsrkit.requests.view import parse_partner

ACTOR = "urn:dsr:service:erasure#erasure"
_GROUND = erasure_pb2.ErasureRequest.GROUND_NON_NECESSITY
_FINAL = frozenset({"METHOD_UNKNOWN", "SOURCE_REJECTED", "SOURCE_INCONSISTENT"})
"""What trying again doesn't mend."""


class Sweeps:
    """Pulls orders, as bundles' obligations are pulled: governance holds nothing by which it could erase."""

    def __init__(self, tools: Toolbox) -> None:
        self._tools = tools
        self._authority = tools.parts.authority
        self._connectors = tools.connectors

    async def pull(self) -> None:
        """Chore. An order that fails is left for the next time, and the others are done."""
        for order in await self._authority.sweep_orders():
            try:
                await (self._count(order.sweep) if order.count_only else self._create(order))
            except DsrError as error:
                log.get_logger().warning("sweep.waiting", sweep=order.sweep, reason=error.reason)

    async def _count(self, sweep: str) -> None:
        try:
            totals = await self._totals(await self._authority.sweep_grant(sweep), "")
        except DsrError as error:
            if error.reason not in _FINAL:
                raise
            failure = ErrorReason.Value(f"ERROR_REASON_{error.reason}")
            await self._authority.report_sweep(authority_pb2.ReportSweepRequest(sweep=sweep, failure=failure))
            return
        report = authority_pb2.ReportSweepRequest(sweep=sweep, people=totals.people, unknown=totals.unknown)
        await self._authority.report_sweep(report)

    async def still_inactive(self, sweep: str, dossier: Dossier) -> bool:
        """Whether the person of a sweep's request is unused still. A cancelled sweep erases nobody."""
        try:
            told = await self._authority.sweep_grant(sweep)
        except DsrError as error:
            if error.reason == "STATE_CONFLICT":
                return False
            raise
        # The name the person was listed by was there before any that were resolved.
        value = next(i.value for i in dossier.identities if i.type == told.identity_type)
        return (await self._totals(told, value)).people == 1

    async def _totals(self, told: authority_pb2.IssueSweepGrantResponse, value: str) -> connector_pb2.InactiveTotals:
        request = connector_pb2.ListInactiveRequest(grant=told.grant, count_only=True, value=value)
        totals = connector_pb2.InactiveTotals()
        async with aclosing(self._connectors.list_inactive(_connector(told), request)) as messages:
            async for message in messages:
                totals = message.totals
        return totals

    async def _create(self, order: authority_pb2.SweepOrder) -> None:
        told = await self._authority.sweep_grant(order.sweep)
        totals = await self._totals(told, "")
        if totals.people > order.cap:
            report = authority_pb2.ReportSweepRequest(sweep=order.sweep, people=totals.people)
            await self._authority.report_sweep(report)
            return
        created = 0
        request = connector_pb2.ListInactiveRequest(grant=told.grant)
        async with aclosing(self._connectors.list_inactive(_connector(told), request)) as messages:
            async for message in messages:
                for identity in message.page.identities:
                    await self._request(order.sweep, told, identity)
                    created += 1
        report = authority_pb2.ReportSweepRequest(sweep=order.sweep, people=created, created=True)
        await self._authority.report_sweep(report)

    async def _request(self, sweep: str, told: authority_pb2.IssueSweepGrantResponse, identity: Identity) -> None:
        """One erasure request a person and sweep, however often the order is carried out."""
        parts, partner = self._tools.parts, parse_partner(sweep)
        if identity.type != told.identity_type or not 1 <= len(identity.value.strip()) <= 1024:
            source = told.data_source.name
            raise DsrError("SOURCE_INCONSISTENT", "The connector lists what is no name.", source=source, why="NAME")
        digest = await parts.vault.digest(partner, f"{sweep}\0{identity.type}\0{identity.value}".encode())
        if await parts.store.by_request_id(partner, order_id(digest), digest) is not None:
            return
        facts = {"validate_only": False, "ground": int(_GROUND), "sweep": sweep}
        sources = [told.data_source.name]
        now = await self._tools.clocks.now(partner)
        request = ordered(partner, digest, ACTOR, told.time_zone, sources, facts, now, told.data_map_revision)
        await begin(parts, request, Dossier((Known(identity.type, identity.value),)))


def _connector(told: authority_pb2.IssueSweepGrantResponse) -> Connector:
    return Connector.of(told.data_source.name, told.data_source)
