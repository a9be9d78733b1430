"""TransferService: messages in and out."""

from datetime import UTC
from typing import Any
from uuid import UUID

from dsr.v1 import transfer_pb2 as pb
from dsr.v1.transfer_pb2_grpc import TransferServiceServicer

from dsrkit.auth import current_caller
from dsrkit.db import Connection, partner_transaction
from dsrkit.errors import invalid
from services.governance import messages
from services.governance.tools import Tools, scope
from services.governance.transfers import domain, view

_SAFEGUARDS, _ATTESTATIONS = "transferSafeguards", "transferAttestations"


class TransferServicer(TransferServiceServicer):
    """Proto to domain and back, nothing else."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def CreateTransferSafeguard(
        self, request: pb.CreateTransferSafeguardRequest, context: Any
    ) -> pb.TransferSafeguard:
        partner, given, caller = scope(request.parent), request.transfer_safeguard, current_caller()
        found = domain.wrong_safeguard(given, partner, self._tools.law.eea)
        if found is not None:
            raise invalid(f"transfer_safeguard.{found[0]}", found[1])
        ends = given.end_time.ToDatetime(UTC) if given.HasField("end_time") else None

        async def make(connection: Connection, base: UUID) -> str:
            if given.recipient != partner:
                await self._store.need(connection, "data_source", "resource", given.recipient)
            await self._store.need(connection, "partner", "resource")
            await self._store.use_token(connection, caller.token_id, f"safeguard {base}")
            document = given.document_reference.strip(), given.document_sha256
            args = (given.recipient, given.country, given.instrument, *document, given.begin_time.ToDatetime(UTC), ends)
            now = self._tools.clock()
            await self._store.row(connection, "transfers.add_safeguard", base, *args, caller.principal, now)
            return f"{partner}/{_SAFEGUARDS}/{base}"

        return await self._safeguard(await self._tools.once(partner, request, "CreateTransferSafeguard", make))

    async def GetTransferSafeguard(self, request: pb.GetTransferSafeguardRequest, context: Any) -> pb.TransferSafeguard:
        return await self._safeguard(request.name)

    async def ListTransferSafeguards(
        self, request: pb.ListTransferSafeguardsRequest, context: Any
    ) -> pb.ListTransferSafeguardsResponse:
        rows, token = await self._tools.page(request, "transfers.safeguards")
        found = [view.safeguard(row) for row in rows]
        return pb.ListTransferSafeguardsResponse(transfer_safeguards=found, next_page_token=token)

    async def EndTransferSafeguard(self, request: pb.EndTransferSafeguardRequest, context: Any) -> pb.TransferSafeguard:
        return await self._safeguard(await self._end(request, "EndTransferSafeguard", _SAFEGUARDS, "safeguard"))

    async def CreateTransferAttestation(
        self, request: pb.CreateTransferAttestationRequest, context: Any
    ) -> pb.TransferAttestation:
        partner, given, caller = scope(request.parent), request.transfer_attestation, current_caller()
        found = domain.wrong_attestation(given, self._tools.law.eea, self._tools.clock())
        if found is not None:
            raise invalid(f"transfer_attestation.{found[0]}", found[1])

        async def make(connection: Connection, base: UUID) -> str:
            await self._store.need(connection, "partner", "resource")
            await self._store.use_token(connection, caller.token_id, f"attest {base}")
            told, notice = given.subjects_told_time.ToDatetime(UTC), given.notice_reference.strip()
            args = (base, given.country, told, notice, given.notice_sha256, caller.principal, self._tools.clock())
            await self._store.row(connection, "transfers.add_attestation", *args)
            return f"{partner}/{_ATTESTATIONS}/{base}"

        return await self._attestation(await self._tools.once(partner, request, "CreateTransferAttestation", make))

    async def GetTransferAttestation(
        self, request: pb.GetTransferAttestationRequest, context: Any
    ) -> pb.TransferAttestation:
        return await self._attestation(request.name)

    async def ListTransferAttestations(
        self, request: pb.ListTransferAttestationsRequest, context: Any
    ) -> pb.ListTransferAttestationsResponse:
        rows, token = await self._tools.page(request, "transfers.attestations")
        found = [view.attestation(row) for row in rows]
        return pb.ListTransferAttestationsResponse(transfer_attestations=found, next_page_token=token)

    async def EndTransferAttestation(
        self, request: pb.EndTransferAttestationRequest, context: Any
    ) -> pb.TransferAttestation:
        return await self._attestation(await self._end(request, "EndTransferAttestation", _ATTESTATIONS, "attestation"))

    async def _end(self, request: Any, method: str, collection: str, kind: str) -> str:
        identifier = messages.child_uuid(request.name, collection, "resource")

        async def make(connection: Connection, _: UUID) -> str:
            now = self._tools.clock()
            await self._store.need(connection, f"transfers.end_{kind}", "resource", identifier, now)
            return str(request.name)

        return await self._tools.once(scope(request.name, "name"), request, method, make)

    async def _safeguard(self, name: str) -> pb.TransferSafeguard:
        identifier = messages.child_uuid(name, _SAFEGUARDS, "resource")
        async with partner_transaction(self._store.pool, scope(name, "name")) as connection:
            return view.safeguard(await self._store.need(connection, "transfers.safeguard", "resource", identifier))

    async def _attestation(self, name: str) -> pb.TransferAttestation:
        identifier = messages.child_uuid(name, _ATTESTATIONS, "resource")
        async with partner_transaction(self._store.pool, scope(name, "name")) as connection:
            return view.attestation(await self._store.need(connection, "transfers.attestation", "resource", identifier))
