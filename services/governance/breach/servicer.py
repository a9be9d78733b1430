"""BreachService: messages in and out."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
from dsr.v1 import breach_pb2 as pb
from dsr.v1.breach_pb2_grpc import BreachServiceServicer
from google.protobuf import json_format

from dsrkit import log
from dsrkit.auth import current_caller
from dsrkit.db import Connection, partner_snapshot, partner_transaction, sweeper_transaction
from dsrkit.errors import DsrError, invalid
from dsrkit.requests.downloads import serve_document
from dsrkit.requests.view import known_enum, parse_partner
from dsrkit.watermark import watermark
from services.governance import messages
from services.governance.breach import document, domain, scope, view
from services.governance.notifications import contacts
from services.governance.notifications.outbox import notify
from services.governance.store import SCHEMA
from services.governance.tools import Tools
from services.governance.tools import scope as partner_of

Change = Callable[[Connection, asyncpg.Record, datetime], Awaitable[None]]
_AUDIENCES = {
    pb.RecordBreachDecisionRequest.AUDIENCE_AUTHORITY: "authority",
    pb.RecordBreachDecisionRequest.AUDIENCE_SUBJECTS: "subjects",
}
_ESTIMATED = "ESTIMATED"


class BreachServicer(BreachServiceServicer):
    """Proto to domain and back, nothing else."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def ReportBreach(self, request: pb.ReportBreachRequest, context: Any) -> pb.Breach:
        partner, wanted = partner_of(request.parent), request.breach
        if wanted.HasField("aware_time"):
            raise invalid("breach.aware_time", "only the operator says since when it knows")

        async def make(connection: Connection, base: UUID) -> str:
            return await self._open(connection, partner, base, wanted, "SUSPECTED", "REPORTED")

        name = await self._tools.once(partner, request, "ReportBreach", make)
        log.get_logger().error("breach.reported", partner=partner, breach=name)
        return await self._read(name)

    async def DeclareBreach(self, request: pb.DeclareBreachRequest, context: Any) -> pb.DeclareBreachResponse:
        if request.breach.data_sources:
            raise invalid("breach.data_sources", "follow from the place, or are all of each partner named")
        if request.HasField("place") == bool(request.partners):
            raise invalid("place", "give a place, or partners, and not both")
        if len(request.partners) > 500:
            raise invalid("partners", "at most 500")
        phase = "CONFIRMED" if request.confirmed else "SUSPECTED"
        concerned = await self._concerned(request)
        names = []
        for partner, sources in concerned.items():
            wanted = pb.Breach()
            wanted.CopyFrom(request.breach)
            wanted.data_sources.extend(sources)
            names.append(await self._declare(request, partner, wanted, phase))
        return pb.DeclareBreachResponse(breaches=[await self._read(name) for name in names])

    async def _declare(self, request: pb.DeclareBreachRequest, partner: str, wanted: pb.Breach, phase: str) -> str:
        async def make(connection: Connection, base: UUID) -> str:
            return await self._open(connection, partner, base, wanted, phase, "DECLARED")

        return await self._tools.once(partner, request, "DeclareBreach", make)

    async def _concerned(self, request: pb.DeclareBreachRequest) -> dict[str, list[str]]:
        """Partners and their data sources in the place; none: all of the partner's. Before the first record is made."""
        if request.partners:
            partners = sorted({parse_partner(p, f"partners[{i}]") for i, p in enumerate(request.partners)})
        else:
            async with sweeper_transaction(self._store.pool, SCHEMA) as connection:
                partners = sorted(row["partner"] for row in await self._store.rows(connection, "partners"))
        found: dict[str, list[str]] = {}
        for partner in partners:
            async with partner_transaction(self._store.pool, partner) as connection:
                await self._store.need(connection, "partner", "resource")
                rows = await self._store.rows(connection, "data_sources", "", 10_000)
            there = domain.at([messages.data_source(row) for row in rows], request.place)
            if there or request.partners:
                found[partner] = there
        return found

    async def _open(
        self, connection: Connection, partner: str, base: UUID, wanted: pb.Breach, phase: str, event: str
    ) -> str:
        await self._store.need(connection, "partner", "resource")
        now, caller = self._tools.clock(), current_caller()
        sources = [row["name"] for row in await self._store.rows(connection, "data_sources", "", 10_000)]
        bad = domain.wrong(wanted, sources, now)
        if bad is not None:
            raise invalid(f"breach.{bad[0]}", bad[1])
        key = await self._tools.vault.create(partner, view.KEY.format(base))
        sealed = key.seal(wanted.description.strip().encode(), view.context(partner, base))
        aware = wanted.aware_time.ToDatetime(UTC) if wanted.HasField("aware_time") else now
        end = wanted.end_time.ToDatetime(UTC) if wanted.HasField("end_time") else None
        facts = (phase, list(wanted.natures), list(wanted.data_sources), domain.begin(wanted, now), end)
        await self._store.row(connection, "breach.create", base, *facts, caller.principal, sealed, aware, now)
        name = f"{partner}/breaches/{base}"
        await self._store.row(connection, "breach.add_entry", base, now, event, caller.principal, None)
        await self._store.row(connection, "breach.add_entry", base, now, "NOTICE", caller.principal, None)
        ordered = (list(wanted.data_sources) or sources, now, self._tools.real_time())
        await self._store.row(connection, "breach.order", base, *ordered)
        due = (now + domain.CONTROLLER).isoformat(timespec="seconds")
        kind = "breach.noticed" if event == "DECLARED" else "breach.reported"
        await notify(self._store, connection, now, kind, name, phase=phase, due=due)
        return name

    async def AdvanceBreach(self, request: pb.AdvanceBreachRequest, context: Any) -> pb.Breach:
        known_enum(request.phase, pb.Breach.Phase, "phase")
        if why := domain.wrong_text(request.note):
            raise invalid("note", why)
        wanted = domain.phase_name(request.phase)

        async def change(connection: Connection, row: asyncpg.Record, now: datetime) -> None:
            current = pb.Breach.Phase.Value(f"PHASE_{row['phase']}")
            undecided = wanted == "CLOSED" and (row["authority"] is None or row["subjects"] is None)
            if not domain.may_follow(current, request.phase) or undecided:
                text = f"The breach is {row['phase']}; it can't become {wanted} now."
                allowed = "CLOSED after both decisions" if undecided else domain.following(current)
                raise DsrError("STATE_CONFLICT", text, state=row["phase"], allowed=allowed)
            await self._estimate(connection, row, request.estimates, now)
            key = await self._tools.vault.get(row["partner"], view.KEY.format(row["id"]))
            sealed = key.seal(request.note.strip().encode(), view.context(row["partner"], row["id"]))
            principal = current_caller().principal
            await self._store.row(connection, "breach.add_entry", row["id"], now, wanted, principal, sealed)
            ends = request.phase in domain.OVER
            kept = None
            if ends:
                message = pb.Breach()
                await scope.fill(self._store, connection, self._tools.clock, row, message)
                kept = view.stored(message)
            await self._store.row(connection, "breach.advance", row["id"], wanted, kept, now if ends else None)
            if ends:
                await self._store.row(connection, "breach.close_orders", row["id"], now)
            if current != request.phase:
                await notify(self._store, connection, now, "breach.advanced", request.name, wanted, phase=wanted)

        return await self._mutate(request, "AdvanceBreach", change)

    async def _estimate(
        self, connection: Connection, row: asyncpg.Record, estimates: Sequence[pb.Breach.SubjectCount], now: datetime
    ) -> None:
        registered = {r["name"] for r in await self._store.rows(connection, "data_sources", "", 10_000)}
        sources = set(row["data_sources"]) or registered
        for index, one in enumerate(estimates):
            if one.source not in sources:
                raise invalid(f"estimates[{index}].source", "is not a data source of this breach")
            if one.subjects < 0:
                raise invalid(f"estimates[{index}].subjects", "must not be negative")
            args = (row["id"], one.source, one.subjects, _ESTIMATED, now, False)
            await self._store.row(connection, "breach.count", *args)

    async def RecordBreachDecision(self, request: pb.RecordBreachDecisionRequest, context: Any) -> pb.Breach:
        known_enum(request.audience, pb.RecordBreachDecisionRequest.Audience, "audience")
        known_enum(request.decision.kind, pb.Breach.Decision.Kind, "decision.kind")
        if not 1 <= len(request.decision.reference.strip()) <= 200:
            raise invalid("decision.reference", "must be a reference of 1 to 200 characters")
        audience = _AUDIENCES[request.audience]

        async def change(connection: Connection, row: asyncpg.Record, now: datetime) -> None:
            if row["phase"] in ("CLOSED", "DISMISSED"):
                text = f"The breach is {row['phase']}."
                raise DsrError("STATE_CONFLICT", text, state=row["phase"], allowed="SUSPECTED,CONFIRMED,FIXED")
            if request.decision.decide_time.ToDatetime(UTC) > now:
                raise invalid("decision.decide_time", "must not be in the future")
            principal = current_caller().principal
            decision = pb.Breach.Decision(recorder=principal)
            decision.MergeFrom(request.decision)
            decision.recorder = principal
            await self._store.row(
                connection, f"breach.decide_{audience}", row["id"], json_format.MessageToDict(decision)
            )
            event = f"{audience}_{pb.Breach.Decision.Kind.Name(decision.kind).removeprefix('KIND_')}".upper()
            await self._store.row(connection, "breach.add_entry", row["id"], now, event, principal, None)

        return await self._mutate(request, "RecordBreachDecision", change)

    async def GetBreach(self, request: pb.GetBreachRequest, context: Any) -> pb.Breach:
        return await self._read(request.name)

    async def ListBreaches(self, request: pb.ListBreachesRequest, context: Any) -> pb.ListBreachesResponse:
        rows, token = await self._tools.page(request, "breach.list")
        found = [view.breach(row, None, self._tools.dpo_contact) for row in rows]
        async with partner_transaction(self._store.pool, partner_of(request.parent)) as connection:
            mark = watermark(await self._store.row(connection, "sandbox.sandbox") is not None)
        for one in found:
            one.sandbox = mark
        return pb.ListBreachesResponse(breaches=found, next_page_token=token)

    async def DownloadBreachReport(
        self, request: pb.DownloadBreachReportRequest, context: Any
    ) -> AsyncIterator[pb.DownloadBreachReportResponse]:
        breach = await self._read(request.name)
        made = document.as_json(breach) if request.json else document.as_html(breach, self._tools.operator)
        filename = f"breach-{request.name.rsplit('/', 1)[-1]}.{'json' if request.json else 'html'}"
        media_type = "application/json" if request.json else "text/html; charset=utf-8"
        async for part in serve_document(made, filename, media_type, request, pb.DownloadBreachReportResponse):
            yield part

    async def _mutate(self, request: Any, method: str, change: Change) -> pb.Breach:
        async def make(connection: Connection, _: UUID) -> str:
            row = await self._store.need(connection, "breach.lock", "resource", _id(request.name))
            await change(connection, row, self._tools.clock())
            return str(request.name)

        return await self._read(await self._tools.once(partner_of(request.name, "name"), request, method, make))

    async def _read(self, name: str) -> pb.Breach:
        partner = partner_of(name, "name")
        async with partner_snapshot(self._store.pool, partner) as connection:
            row = await self._store.need(connection, "breach.get", "resource", _id(name))
            key = await self._tools.vault.get(partner, view.KEY.format(row["id"]))
            message = view.breach(row, key, self._tools.dpo_contact)
            message.partner_dpo = await contacts.partner_dpo(self._tools, connection, partner)
            message.sandbox = watermark(await self._store.row(connection, "sandbox.sandbox") is not None)
            await scope.fill(self._store, connection, self._tools.clock, row, message)
            entries = await self._store.rows(connection, "breach.entries", row["id"])
        message.timeline.extend(view.entry(one, key) for one in entries)
        return message


def _id(name: str) -> UUID:
    return messages.child_uuid(name, "breaches", "resource")
