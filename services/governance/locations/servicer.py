"""LocationService: proposals, answers, moves."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
from dsr.v1 import governance_pb2
from dsr.v1 import location_pb2 as pb
from dsr.v1.location_pb2_grpc import LocationServiceServicer

from dsrkit.auth import current_caller
from dsrkit.db import Connection, partner_transaction
from dsrkit.errors import DsrError, invalid
from dsrkit.requests.view import known_enum
from services.governance import messages
from services.governance.locations import domain, view
from services.governance.locations.agreements import words
from services.governance.notifications.outbox import notify
from services.governance.tools import Tools, scope

Change = Callable[[Connection, asyncpg.Record, datetime], Awaitable[None]]
_USE = pb.LocationAgreement.Use


class LocationServicer(LocationServiceServicer):
    """Proto to domain and back, nothing else."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def ProposeLocation(self, request: pb.ProposeLocationRequest, context: Any) -> pb.LocationAgreement:
        partner, wanted = scope(request.parent), request.location_agreement
        field = "location_agreement"
        known_enum(wanted.use, _USE, f"{field}.use")
        if domain.place_of(wanted.location) not in self._tools.law.places:
            raise invalid(f"{field}.location", "must be one of the places that the operator's policy names")
        if wanted.source and wanted.use == _USE.USE_BUNDLES:
            raise invalid(f"{field}.source", "bundles are of no data source")
        effective = wanted.effective_time.ToDatetime(UTC)
        replaces = messages.child_uuid(wanted.replaces, "locationAgreements", "agreement") if wanted.replaces else None
        use = _USE.Name(wanted.use).removeprefix("USE_")

        async def make(connection: Connection, base: UUID) -> str:
            await self._store.need(connection, "partner", "resource")
            now = self._tools.clock()
            if effective <= now:
                raise invalid(f"{field}.effective_time", "must be in the future: the partner agrees beforehand")
            if wanted.source:
                source = messages.data_source(
                    await self._store.need(connection, "data_source", "resource", wanted.source)
                )
                if source.custody != governance_pb2.DataSource.CUSTODY_OPERATOR:
                    raise invalid(f"{field}.source", "is not in the operator's custody")
            if replaces is not None:
                old = await self._store.need(connection, "locations.get", "resource", replaces)
                kept = old["use"], old["source"], old["state"], old["end_time"]
                if kept != (use, wanted.source, "ACCEPTED", None):
                    # Else the move of one source could end what was agreed for all.
                    raise invalid(f"{field}.replaces", "is not an agreement in force for the same use and source")
            args = (base, use, wanted.source, *domain.place_of(wanted.location), "PROPOSED", replaces)
            await self._store.row(
                connection, "locations.create", *args, current_caller().principal, None, now, effective, None
            )
            name = f"{partner}/locationAgreements/{base}"
            facts = words(use, wanted.location, effective)
            await notify(self._store, connection, now, "location.proposed", name, "", None, **facts)
            return name

        return await self._read(await self._tools.once(partner, request, "ProposeLocation", make))

    async def GetLocationAgreement(self, request: pb.GetLocationAgreementRequest, context: Any) -> pb.LocationAgreement:
        return await self._read(request.name)

    async def ListLocationAgreements(
        self, request: pb.ListLocationAgreementsRequest, context: Any
    ) -> pb.ListLocationAgreementsResponse:
        rows, token = await self._tools.page(request, "locations.list")
        found = [view.message(row, self._tools.dpo_contact) for row in rows]
        return pb.ListLocationAgreementsResponse(location_agreements=found, next_page_token=token)

    async def AcceptLocationAgreement(
        self, request: pb.AcceptLocationAgreementRequest, context: Any
    ) -> pb.LocationAgreement:
        return await self._decide(request, "accept")

    async def RejectLocationAgreement(
        self, request: pb.RejectLocationAgreementRequest, context: Any
    ) -> pb.LocationAgreement:
        return await self._decide(request, "reject")

    async def _decide(self, request: Any, verb: str) -> pb.LocationAgreement:
        caller = current_caller()

        async def change(connection: Connection, row: asyncpg.Record, now: datetime) -> None:
            state = self._next(verb, row)
            if state == row["state"]:
                return
            await self._store.use_token(connection, caller.token_id, f"{verb} {row['id']}")
            await self._store.row(connection, "locations.decide", row["id"], state, caller.principal, now)
            await self._tell(connection, row, state, now)

        return await self._mutate(request, f"{verb.title()}LocationAgreement", change)

    async def WithdrawLocationAgreement(
        self, request: pb.WithdrawLocationAgreementRequest, context: Any
    ) -> pb.LocationAgreement:
        async def change(connection: Connection, row: asyncpg.Record, now: datetime) -> None:
            state = self._next("withdraw", row)
            if state != row["state"]:
                await self._store.row(connection, "locations.decide", row["id"], state, None, now)
                await self._tell(connection, row, state, now)

        return await self._mutate(request, "WithdrawLocationAgreement", change)

    async def CompleteLocationChange(
        self, request: pb.CompleteLocationChangeRequest, context: Any
    ) -> pb.LocationAgreement:
        async def change(connection: Connection, row: asyncpg.Record, now: datetime) -> None:
            if row["complete_time"] is not None:
                return
            if not domain.completable(row["state"], row["effective_time"], now):
                text = f"The agreement is {row['state']}; a move is done when it is ACCEPTED and its time has come."
                raise DsrError("STATE_CONFLICT", text, state=row["state"], allowed="ACCEPTED, from effective_time on")
            await self._store.row(connection, "locations.complete", row["id"], now)
            if row["replaces"] is not None:
                await self._store.row(connection, "locations.end", row["replaces"], now)
            if row["use"] == domain.DATA_SOURCES and row["source"]:
                place = messages.to_json(view.location(row))
                await self._store.need(connection, "locations.move_source", "data source", row["source"], place)
            await self._tell(connection, row, "COMPLETED", now)

        return await self._mutate(request, "CompleteLocationChange", change)

    def _next(self, verb: str, row: asyncpg.Record) -> str:
        state = domain.move(verb, row["state"])
        if state is None:
            text = f"The agreement is {row['state']}; this needs PROPOSED."
            raise DsrError("STATE_CONFLICT", text, state=row["state"], allowed="PROPOSED")
        return state

    async def _tell(self, connection: Connection, row: asyncpg.Record, state: str, now: datetime) -> None:
        name = f"{row['partner']}/locationAgreements/{row['id']}"
        facts = {"state": state, **words(row["use"], view.location(row), row["effective_time"])}
        await notify(self._store, connection, now, "location.changed", name, state, None, **facts)

    async def _mutate(self, request: Any, method: str, change: Change) -> pb.LocationAgreement:
        async def make(connection: Connection, _: UUID) -> str:
            row = await self._store.need(connection, "locations.lock", "resource", _id(request.name))
            await change(connection, row, self._tools.clock())
            return str(request.name)

        return await self._read(await self._tools.once(scope(request.name, "name"), request, method, make))

    async def _read(self, name: str) -> pb.LocationAgreement:
        async with partner_transaction(self._store.pool, scope(name, "name")) as connection:
            row = await self._store.need(connection, "locations.get", "resource", _id(name))
        return view.message(row, self._tools.dpo_contact)


def _id(name: str) -> UUID:
    return messages.child_uuid(name, "locationAgreements", "resource")
