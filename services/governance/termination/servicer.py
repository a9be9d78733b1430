"""TerminationService: messages in and out."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from dsr.ledger import Certificate
from dsr.v1 import termination_pb2 as pb
from dsr.v1.termination_pb2_grpc import TerminationServiceServicer
from google.protobuf import json_format

from dsrkit.auth import current_caller
from dsrkit.db import Connection, partner_snapshot
from dsrkit.errors import DsrError, invalid
from dsrkit.grants import LIFETIME
from dsrkit.requests.downloads import CERTIFICATE, serve_document
from services.governance.notifications import contacts
from services.governance.notifications.outbox import notify
from services.governance.termination import confirmation, domain, progress, state
from services.governance.tools import Tools, scope

Change = Callable[[Connection, state.Known, datetime], Awaitable[None]]


class TerminationServicer(TerminationServiceServicer):
    """Proto to domain and back, nothing else."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def CreateTermination(self, request: pb.CreateTerminationRequest, context: Any) -> pb.Termination:
        partner = scope(request.parent)

        async def make(connection: Connection, base: UUID) -> str:
            await self._store.need(connection, "lock_partner", "resource")
            row = await self._store.row(connection, "termination.open")
            if row is not None:
                text = "There is a termination already."
                raise DsrError("STATE_CONFLICT", text, state=row["state"], allowed="a partner without termination")
            caller, now = current_caller(), self._tools.clock()
            args = (base, caller.principal, list(caller.actors), now, request.return_only)
            await self._store.row(connection, "termination.create", *args)
            name = f"{partner}/terminations/{base}"
            await notify(self._store, connection, now, "termination.changed", name, "RETURNING", state="RETURNING")
            return name

        return await self._read(await self._tools.once(partner, request, "CreateTermination", make))

    async def GetTermination(self, request: pb.GetTerminationRequest, context: Any) -> pb.Termination:
        return await self._read(request.name)

    async def DownloadTerminationCertificate(
        self, request: pb.DownloadTerminationCertificateRequest, context: Any
    ) -> AsyncIterator[pb.DownloadTerminationCertificateResponse]:
        identifier = state.identify(request.name)
        async with partner_snapshot(self._store.pool, scope(request.name, "name")) as connection:
            row = await self._store.need(connection, "termination.get", "resource", identifier)
            entry = await self._store.row(connection, "ledger.certified", request.name)
        if entry is None:
            before = row["state"] == "CERTIFIED"
            text = "It was over before there was a ledger." if before else "It isn't certified yet."
            allowed = "a termination that ended since" if before else "CERTIFIED"
            raise DsrError("STATE_CONFLICT", text, state=row["state"], allowed=allowed)
        proof = await self._tools.ledger.prove(entry["number"], entry["salt"], self._tools.real_time())
        whole = Certificate(row["certificate"].encode(), proof).dump()
        filename, response = f"termination-{identifier}.certificate", pb.DownloadTerminationCertificateResponse
        async for part in serve_document(whole, filename, CERTIFICATE, request, response):
            yield part

    async def RecordReturn(self, request: pb.RecordReturnRequest, context: Any) -> pb.Termination:
        if len(request.packages) > domain.MOST:
            raise invalid("packages", f"at most {domain.MOST:,}")
        for index, package in enumerate(request.packages):
            bad = domain.wrong_package(package)
            if bad is not None:
                raise invalid(f"packages[{index}].{bad[0]}", bad[1])

        async def change(connection: Connection, known: state.Known, now: datetime) -> None:
            _need(known, "RETURNING")
            _ours(known, request.source)
            stored = [json_format.MessageToDict(package) for package in request.packages]
            await self._store.row(connection, "termination.returned", known.row["id"], request.source, stored)
            if domain.last(known.items, request.source):
                await progress.returned(self._store, connection, known, request.source, now)

        return await self._mutate(request, "RecordReturn", change)

    async def ConfirmReceipt(self, request: pb.ConfirmReceiptRequest, context: Any) -> pb.Termination:
        async def change(connection: Connection, known: state.Known, now: datetime) -> None:
            if not known.lapsed:
                _need(known, "RETURNING")
            if known.row["return_only"]:
                text = "Only a return was asked for; nothing is destroyed. Create a termination without return_only."
                raise DsrError("STATE_CONFLICT", text, state="RETURNING", allowed="a termination without return_only")
            # A data source that is being registered is waited for; from here on none is.
            await self._store.need(connection, "lock_partner", "resource")
            known = await state.load(self._store, connection, known.row["id"], now)
            missing = domain.unreturned(known.items)
            if missing:
                text = f"{len(missing)} data sources have not been returned yet."
                raise DsrError("STATE_CONFLICT", text, state="RETURNING", allowed="every data source returned")
            if request.manifest_digest != known.digest:
                text = "The packages are others by now; check them and confirm their digest."
                raise DsrError("PLAN_STALE", text, current_plan_digest=known.digest)
            caller = current_caller()
            if set(caller.actors) & set(known.row["creator_actors"]):
                raise DsrError("FOUR_EYES", "Somebody else must confirm.", why="SAME_PERSON")
            holds = await self._store.need(connection, "holds_role", "resource", caller.principal, "ROLE_APPROVER")
            if not holds["exists"]:
                text = "The approver role was not granted to this person by two others."
                raise DsrError("FOUR_EYES", text, why="ROLE_NOT_GRANTED")
            await self._store.use_token(connection, caller.token_id, f"confirm {request.name}")
            args = (known.row["id"], caller.principal, now, now + LIFETIME)
            await self._store.row(connection, "termination.confirm", *args)
            # No grant, no instruction, no new request from here on.
            await self._store.need(connection, "set_standing", "resource", "SUSPENDED")
            kind, occasion = "termination.changed", f"DESTROYING {now}"
            await notify(self._store, connection, now, kind, request.name, occasion, state="DESTROYING")

        partner, identifier = scope(request.name, "name"), state.identify(request.name)
        await confirmation.lapsed(self._tools, partner, identifier, self._tools.clock())
        return await self._mutate(request, "ConfirmReceipt", change)

    async def CancelTermination(self, request: pb.CancelTerminationRequest, context: Any) -> pb.Termination:
        async def change(connection: Connection, known: state.Known, now: datetime) -> None:
            if known.row["state"] != "CANCELLED":
                _need(known, "RETURNING")
                await self._store.row(connection, "termination.set_state", known.row["id"], "CANCELLED", None)

        return await self._mutate(request, "CancelTermination", change)

    async def RecordDestruction(self, request: pb.RecordDestructionRequest, context: Any) -> pb.Termination:
        if not 1 <= len(request.evidence.strip()) <= 200:
            raise invalid("evidence", "must be a reference of 1 to 200 characters")

        async def change(connection: Connection, known: state.Known, now: datetime) -> None:
            _need(known, "DESTROYING")
            _ours(known, request.source)
            if known.lapsed:
                text = "The role of whoever confirmed the receipt was revoked since; somebody else has to confirm it."
                raise DsrError("FOUR_EYES", text, why="ROLE_NOT_GRANTED")
            if now < known.row["effective_time"]:
                when = known.row["effective_time"].isoformat()
                text = f"The confirmation takes effect at {when}; before that nothing may be destroyed."
                raise DsrError("STATE_CONFLICT", text, state="DESTROYING", allowed="a confirmation in effect")
            state.need_unheld(known, request.source)
            args = (known.row["id"], request.source, now, request.evidence.strip(), current_caller().principal)
            await self._store.row(connection, "termination.destroyed", *args)

        partner, identifier = scope(request.name, "name"), state.identify(request.name)
        await confirmation.lapsed(self._tools, partner, identifier, self._tools.clock())
        await self._mutate(request, "RecordDestruction", change)
        await progress.advance(self._tools, partner, identifier, self._tools.clock())
        return await self._read(request.name)

    async def _mutate(self, request: Any, method: str, change: Change) -> pb.Termination:
        async def make(connection: Connection, _: UUID) -> str:
            now = self._tools.clock()
            known = await state.load(self._store, connection, state.identify(request.name), now, lock=True)
            await change(connection, known, now)
            return str(request.name)

        return await self._read(await self._tools.once(scope(request.name, "name"), request, method, make))

    async def _read(self, name: str) -> pb.Termination:
        partner = scope(name, "name")
        async with partner_snapshot(self._store.pool, partner) as connection:
            known = await state.load(self._store, connection, state.identify(name), self._tools.clock())
            officer = await contacts.partner_dpo(self._tools, connection, partner)
            entry = await self._store.row(connection, "ledger.certified", name)
        found = known.message(self._tools.dpo_contact)
        found.partner_dpo = officer
        if entry is not None:
            found.certificate.CopyFrom(self._tools.ledger.entry(entry))
        return found


def _need(known: state.Known, wanted: str) -> None:
    if known.row["state"] != wanted:
        text = f"The termination is {known.row['state']}; this needs {wanted}."
        raise DsrError("STATE_CONFLICT", text, state=known.row["state"], allowed=wanted)


def _ours(known: state.Known, source: str) -> None:
    if source not in {item.source for item in known.items if item.ours}:
        raise invalid("source", "is not a data source of this partner in the operator's or a sub-processor's custody")
