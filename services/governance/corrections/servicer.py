"""CorrectionService: messages in and out."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
from dsr.v1 import correction_pb2 as pb
from dsr.v1 import governance_pb2, request_pb2, subject_pb2
from dsr.v1.correction_pb2_grpc import CorrectionServiceServicer
from google.protobuf import json_format

from dsrkit.auth import current_caller
from dsrkit.calendar import due
from dsrkit.db import Connection, partner_snapshot
from dsrkit.errors import DsrError, invalid, not_found
from dsrkit.grants import LIFETIME
from dsrkit.requests.model import Dossier
from dsrkit.requests.resolution import decide
from dsrkit.requests.view import candidates as candidate_messages
from dsrkit.requests.view import known_enum, parse_input, parse_time, parse_uuid4
from dsrkit.vault import KeyGone
from services.governance import messages
from services.governance.corrections import candidates, domain, view
from services.governance.corrections.closing import complete_task, end, tell
from services.governance.corrections.lifting import check_unmarked, lift, release
from services.governance.digests import hold_digests
from services.governance.notifications import contacts
from services.governance.tools import Tools, four_eyes, scope

_OPENS = frozenset({"ROLE_REQUESTER"})
Change = Callable[[Connection, asyncpg.Record, datetime], Awaitable[None]]


class CorrectionServicer(CorrectionServiceServicer):
    """Proto to domain and back, nothing else."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def CreateCorrectionRequest(
        self, request: pb.CreateCorrectionRequestRequest, context: Any
    ) -> pb.CorrectionRequest:
        partner, wanted = scope(request.parent), request.correction_request
        if request.parent != partner:
            raise not_found("resource")
        parsed = parse_input(wanted, "correction", partner)
        parse_uuid4(request.request_id, "request_id")
        digests = await hold_digests(self._tools.vault, partner, [(i.type, i.value) for i in parsed.identities])

        async def make(connection: Connection, base: UUID) -> str:
            await self._store.row(connection, "corrections.lock_restrictions")
            # The partner's row first: a restriction and an erasure's registration come one after the other.
            await self._store.need(connection, "lock_partner", "resource")
            zone = messages.partner(await self._store.need(connection, "partner", "resource")).time_zone
            sources = {r["name"]: messages.data_source(r) for r in await self._sources(connection)}
            current = await self._store.row(connection, "data_map", 0)
            data_map = messages.data_map(current) if current else governance_pb2.DataMap()
            found = domain.wrong(wanted, sources, data_map)
            if found is not None:
                raise invalid(f"correction_request.{found[0]}", found[1])
            effects = domain.effects(wanted, sources, data_map)
            places = domain.places(wanted, sources, effects)
            now, caller, kind = self._tools.clock(), current_caller(), pb.CorrectionRequest.Kind.Name(wanted.kind)
            key = await self._tools.vault.create(partner, view.KEY.format(base))
            facts = pb.CorrectionRequest(
                purposes=wanted.purposes, direct_marketing=wanted.direct_marketing, effects=effects
            )
            restricts = wanted.kind == pb.CorrectionRequest.KIND_RESTRICTION
            if restricts:
                facts.restriction.ground = wanted.restriction.ground
            await self._store.row(
                connection,
                "corrections.create",
                base,
                kind.removeprefix("KIND_"),
                caller.principal,
                subject_pb2.RequesterCapacity.Name(parsed.capacity),
                parsed.received_time,
                zone,
                due(parsed.received_time, zone),
                data_map.revision,
                list(parsed.data_sources) or places,
                json_format.MessageToDict(facts),
                key.seal(view.sealable(wanted), view.context(partner, base)),
                now + LIFETIME if restricts else None,
                now,
                domain.touched(wanted, places, data_map),
                list(caller.actors),
            )
            for source in places:
                await self._store.row(
                    connection, "corrections.add_task", base, source, sources[source].custody, caller.principal
                )
            if restricts:
                await self._store.row(connection, "corrections.restrict", base, digests)
            name = f"{partner}/correctionRequests/{base}"
            await tell(self._tools, connection, name, "OPEN", due(parsed.received_time, zone), now)
            if not places:
                await end(self._tools, connection, base, name, "COMPLETED", now)
            return name

        return await self._read(await self._tools.once(partner, request, "CreateCorrectionRequest", make))

    async def GetCorrectionRequest(self, request: pb.GetCorrectionRequestRequest, context: Any) -> pb.CorrectionRequest:
        return await self._read(request.name)

    async def ListCorrectionRequests(
        self, request: pb.ListCorrectionRequestsRequest, context: Any
    ) -> pb.ListCorrectionRequestsResponse:
        for index, state in enumerate(request.states):
            known_enum(state, pb.CorrectionRequest.State, f"states[{index}]")
        names = [pb.CorrectionRequest.State.Name(state).removeprefix("STATE_") for state in request.states]
        before = request.due_before.ToDatetime(UTC) if request.HasField("due_before") else None
        rows, token = await self._tools.page(request, "corrections.list", names or None, before)
        found = [view.message(row, (), None, self._tools.dpo_contact) for row in rows]
        return pb.ListCorrectionRequestsResponse(correction_requests=found, next_page_token=token)

    async def CancelCorrectionRequest(
        self, request: pb.CancelCorrectionRequestRequest, context: Any
    ) -> pb.CorrectionRequest:
        async def change(connection: Connection, row: asyncpg.Record, now: datetime) -> None:
            if row["state"] == "CANCELLED":
                return
            _need(row, "OPEN")
            if row["kind"] == "RESTRICTION":
                check_unmarked(await self._store.rows(connection, "corrections.tasks", row["id"]))
                await release(self._tools, connection, row, now)
            await end(self._tools, connection, row["id"], request.name, "CANCELLED", now)

        return await self._mutate(request, "CancelCorrectionRequest", change, ends_restriction=True)

    async def ExtendCorrectionRequestDeadline(
        self, request: pb.ExtendCorrectionRequestDeadlineRequest, context: Any
    ) -> pb.CorrectionRequest:
        extension = request.extension
        told = parse_time(extension.subject_told_time, "extension.subject_told_time")
        known_enum(extension.reason, request_pb2.Extension.Reason, "extension.reason")

        async def change(connection: Connection, row: asyncpg.Record, now: datetime) -> None:
            _need(row, "OPEN")
            if row["extension"] is not None or now > row["due_time"]:
                when = row["due_time"].isoformat()
                raise DsrError("DEADLINE_PASSED", "It is past due, or was extended before.", due_time=when)
            if not row["received_time"] <= told <= row["due_time"]:
                raise invalid("extension.subject_told_time", "must be between receipt and the due time")
            later = due(row["received_time"], row["time_zone"], extended=True)
            stored = json_format.MessageToDict(extension)
            await self._store.row(connection, "corrections.extend", row["id"], stored, later, now)
            await self._store.row(connection, "notifications.track", request.name, row["state"], True, later, now)

        return await self._mutate(request, "ExtendCorrectionRequestDeadline", change)

    async def CompleteCorrectionTask(
        self, request: pb.CompleteCorrectionTaskRequest, context: Any
    ) -> pb.CorrectionRequest:
        async def change(connection: Connection, row: asyncpg.Record, now: datetime) -> None:
            tasks = {t["source"]: t for t in await self._store.rows(connection, "corrections.tasks", row["id"])}
            if request.source not in tasks:
                raise invalid("source", "is not the data source of one of the request's tasks")
            if not 1 <= len(request.evidence.strip()) <= 200:
                raise invalid("evidence", "must be a reference of 1 to 200 characters")
            task = tasks[request.source]
            if task["complete_time"] is not None:
                return
            _need(row, "OPEN", "LIFTING")
            if task["state"] == "WITHDRAWN":
                text = "The restriction was lifted before this was done; it isn't to be done any more."
                raise DsrError("STATE_CONFLICT", text, state="WITHDRAWN", allowed="a task that is open")
            args = (request.name, request.evidence.strip(), current_caller().principal, now)
            await complete_task(self._tools, connection, row, task, *args)

        return await self._mutate(request, "CompleteCorrectionTask", change)

    async def ApproveCorrectionTask(
        self, request: pb.ApproveCorrectionTaskRequest, context: Any
    ) -> pb.CorrectionRequest:
        async def change(connection: Connection, row: asyncpg.Record, now: datetime) -> None:
            task = await self._store.row(connection, "corrections.task", row["id"], request.source)
            if task is None:
                raise invalid("source", "is not the data source of one of the request's tasks")
            if task["state"] in ("APPROVED", "AMENDED") and task["plan_digest"] == request.plan_digest:
                return
            _need(row, "OPEN", "LIFTING")
            if task["state"] != "PREVIEWED" or task["complete_time"] is not None:
                state = "done" if task["complete_time"] is not None else task["state"]
                text = "There is no preview that waits for an approval."
                raise DsrError("STATE_CONFLICT", text, state=state, allowed="PREVIEWED")
            if task["plan_digest"] != request.plan_digest:
                text = "The preview is another by now; read it and approve its digest."
                raise DsrError("PLAN_STALE", text, current_plan_digest=task["plan_digest"])
            purpose = f"approve {request.name} {request.source} {request.plan_digest}"
            others = [*row["creator_actors"], *row["lifter_actors"]]
            await four_eyes(self._tools, connection, others, purpose)
            kept = (task["changes"], request.plan_digest, current_caller().principal, now, 0, "", None)
            key = (row["id"], request.source, task["clears"])
            await self._store.row(connection, "corrections.set_amendment", *key, "APPROVED", *kept)

        return await self._mutate(request, "ApproveCorrectionTask", change)

    async def ResolveCorrectionRequestIdentities(
        self, request: pb.ResolveCorrectionRequestIdentitiesRequest, context: Any
    ) -> pb.CorrectionRequest:
        async def change(connection: Connection, row: asyncpg.Record, now: datetime) -> None:
            _need(row, "OPEN", "LIFTING")
            dossier = await candidates.load(self._tools, row)
            if not candidates.still_open(dossier.candidates):
                text = "There is nobody to choose from."
                raise DsrError("STATE_CONFLICT", text, state=row["state"], allowed="a task that is AWAITING_CONTROLLER")
            decided = replace(dossier, candidates=decide(dossier.candidates, request.decisions))
            await candidates.save(self._tools, connection, row, decided)
            await self._store.row(connection, "corrections.decided", row["id"])

        return await self._mutate(request, "ResolveCorrectionRequestIdentities", change)

    async def LiftRestriction(self, request: pb.LiftRestrictionRequest, context: Any) -> pb.CorrectionRequest:
        told = parse_time(request.subject_told_time, "subject_told_time")

        async def change(connection: Connection, row: asyncpg.Record, now: datetime) -> None:
            if row["kind"] != "RESTRICTION" or row["state"] == "CANCELLED":
                text = "There is no restriction in force here."
                raise DsrError("STATE_CONFLICT", text, state=row["kind"], allowed="a RESTRICTION that is in force")
            if row["lift_time"] is not None:
                return
            if told < row["received_time"]:
                raise invalid("subject_told_time", "must not be before the restriction was demanded")
            await lift(self._tools, connection, row, request.name, told, now)

        return await self._mutate(request, "LiftRestriction", change, ends_restriction=True)

    async def _mutate(
        self, request: Any, method: str, change: Change, *, ends_restriction: bool = False
    ) -> pb.CorrectionRequest:
        async def make(connection: Connection, base: UUID) -> str:
            if ends_restriction:
                await self._store.row(connection, "corrections.lock_restrictions")
            row = await self._store.need(connection, "corrections.lock", "resource", _id(request.name))
            now = self._tools.clock()
            await change(connection, row, now)
            return str(request.name)

        return await self._read(await self._tools.once(scope(request.name, "name"), request, method, make))

    async def _read(self, name: str) -> pb.CorrectionRequest:
        partner = scope(name, "name")
        async with partner_snapshot(self._store.pool, partner) as connection:
            row = await self._store.need(connection, "corrections.get", "resource", _id(name))
            tasks = await self._store.rows(connection, "corrections.tasks", row["id"])
            officer = await contacts.partner_dpo(self._tools, connection, partner)
        opened, dossier = None, Dossier()
        if row["sealed"] is None:
            # Over: what the committed row no longer needs is destroyed, by whoever reads it first after a crash too.
            await self._tools.vault.destroy(partner, view.KEY.format(row["id"]))
        elif current_caller().roles & _OPENS:
            try:
                key = await self._tools.vault.get(partner, view.KEY.format(row["id"]))
                opened = key.open(row["sealed"], view.context(partner, row["id"]))
                dossier = await candidates.load(self._tools, row)
            except KeyGone:
                pass  # ended between the two reads
        found = view.message(row, tasks, opened, self._tools.dpo_contact)
        found.candidates.extend(candidate_messages(dossier))
        found.partner_dpo = officer
        return found

    async def _sources(self, connection: Connection) -> list[asyncpg.Record]:
        return await self._store.rows(connection, "data_sources", "", 10_000)


def _id(name: str) -> UUID:
    return messages.child_uuid(name, "correctionRequests", "resource")


def _need(row: asyncpg.Record, *states: str) -> None:
    if row["state"] not in states:
        allowed = " or ".join(states)
        text = f"The request is {row['state']}; this needs {allowed}."
        raise DsrError("STATE_CONFLICT", text, state=row["state"], allowed=allowed)
