"""ConnectorChangeService: messages in and out."""

from datetime import UTC
from typing import Any
from uuid import UUID

import asyncpg
from dsr.v1 import connectors_pb2 as pb
from dsr.v1.connectors_pb2_grpc import ConnectorChangeServiceServicer
from google.protobuf import json_format

from dsrkit.auth import current_caller
from dsrkit.db import Connection, partner_transaction
from dsrkit.egress import host_and_port
from dsrkit.errors import DsrError, invalid, not_found
from services.governance import messages
from services.governance.connectors import domain
from services.governance.notifications.outbox import notify
from services.governance.tools import Tools, scope

_STATE = pb.ConnectorChange.State


class ConnectorChangeServicer(ConnectorChangeServiceServicer):
    """Proto to domain and back, nothing else."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def CreateConnectorChange(self, request: pb.CreateConnectorChangeRequest, context: Any) -> pb.ConnectorChange:
        partner, wanted, caller = scope(request.parent), request.connector_change, current_caller()
        if request.parent != partner:
            raise not_found("resource")
        if wanted.HasField("connector_identity"):
            found = domain.wrong(wanted.connector_identity, self._tools.clock().astimezone(UTC))
            if found is not None:
                raise invalid(f"connector_change.connector_identity.{found[0]}", found[1])
        await self._check(wanted.connector_address, "connector_change.connector_address")

        async def make(connection: Connection, base: UUID) -> str:
            await self._store.need(connection, "lock_partner", "resource")
            if await self._store.row(connection, "data_source", wanted.source) is None:
                raise invalid("connector_change.source", "is not a data source of this partner")
            if await self._store.row(connection, "connectors.proposed", wanted.source) is not None:
                text = "There is an open proposal for this data source: confirm or withdraw that one first."
                raise DsrError("STATE_CONFLICT", text, state="PROPOSED", allowed="no open proposal")
            await self._store.use_token(connection, caller.token_id, f"propose {base}")
            args = (base, wanted.source, _connector(wanted), caller.principal, list(caller.actors))
            await self._store.need(connection, "connectors.propose", "resource", *args, self._tools.clock())
            await self._tell(connection, "connector.proposed", f"{partner}/connectorChanges/{base}")
            return str(base)

        return await self._read(partner, UUID(await self._tools.once(partner, request, "CreateConnectorChange", make)))

    async def ConfirmConnectorChange(
        self, request: pb.ConfirmConnectorChangeRequest, context: Any
    ) -> pb.ConnectorChange:
        partner, caller, identifier = scope(request.name, "name"), current_caller(), _id(request.name)
        proposal = await self._read(partner, identifier)
        if proposal.state == _STATE.STATE_PROPOSED:
            await self._check(proposal.connector_address, "connector_change.connector_address")

        async def make(connection: Connection, _: UUID) -> str:
            row = await self._store.need(connection, "connectors.lock", "resource", identifier)
            if row["state"] == "CONFIRMED":
                return str(identifier)
            _need_proposed(row)
            if set(row["proposers"]) & set(caller.actors):
                text = "Who proposed a connector can't confirm it: another person of the partner must."
                raise DsrError("FOUR_EYES", text, why="SAME_PERSON")
            await self._store.use_token(connection, caller.token_id, f"confirm {identifier}")
            await self._decide(connection, row, "CONFIRMED", caller.principal)
            await self._store.need(connection, "connectors.apply", "data source", row["source"], row["connector"])
            await self._tell(connection, "connector.changed", request.name)
            return str(identifier)

        return await self._read(partner, UUID(await self._tools.once(partner, request, "ConfirmConnectorChange", make)))

    async def WithdrawConnectorChange(
        self, request: pb.WithdrawConnectorChangeRequest, context: Any
    ) -> pb.ConnectorChange:
        partner, identifier = scope(request.name, "name"), _id(request.name)

        async def make(connection: Connection, _: UUID) -> str:
            row = await self._store.need(connection, "connectors.lock", "resource", identifier)
            if row["state"] != "WITHDRAWN":
                _need_proposed(row)
                await self._decide(connection, row, "WITHDRAWN", None)
            return str(identifier)

        return await self._read(
            partner, UUID(await self._tools.once(partner, request, "WithdrawConnectorChange", make))
        )

    async def GetConnectorChange(self, request: pb.GetConnectorChangeRequest, context: Any) -> pb.ConnectorChange:
        return await self._read(scope(request.name, "name"), _id(request.name))

    async def ListConnectorChanges(
        self, request: pb.ListConnectorChangesRequest, context: Any
    ) -> pb.ListConnectorChangesResponse:
        rows, token = await self._tools.page(request, "connectors.list")
        return pb.ListConnectorChangesResponse(connector_changes=[_message(row) for row in rows], next_page_token=token)

    async def _check(self, address: str, field: str) -> None:
        """Early, for the proposer's sake. What protects is the check at every dial."""
        await self._tools.egress.resolve(*host_and_port(address, field), field)

    async def _read(self, partner: str, identifier: UUID) -> pb.ConnectorChange:
        async with partner_transaction(self._store.pool, partner) as connection:
            return _message(await self._store.need(connection, "connectors.get", "resource", identifier))

    async def _decide(self, connection: Connection, row: asyncpg.Record, state: str, confirmer: str | None) -> None:
        await self._store.row(connection, "connectors.decide", row["id"], state, confirmer, self._tools.clock())

    async def _tell(self, connection: Connection, kind: str, name: str) -> None:
        await notify(self._store, connection, self._tools.clock(), kind, name)


def _id(name: str) -> UUID:
    return messages.child_uuid(name, "connectorChanges", "resource")


def _need_proposed(row: asyncpg.Record) -> None:
    if row["state"] != "PROPOSED":
        text = f"The change is {row['state']}; only a PROPOSED one can be decided."
        raise DsrError("STATE_CONFLICT", text, state=row["state"], allowed="PROPOSED")


def _connector(wanted: pb.ConnectorChange) -> dict[str, object]:
    """What is stored of a proposal, and on confirmation becomes part of the data source."""
    stored = pb.ConnectorChange(connector_address=wanted.connector_address)
    if wanted.HasField("connector_identity"):
        identity = stored.connector_identity
        identity.server_name = wanted.connector_identity.server_name
        identity.authority = wanted.connector_identity.authority
        identity.fingerprints.extend(domain.fingerprints(identity.authority))
    return messages.to_json(stored)


def _message(row: asyncpg.Record) -> pb.ConnectorChange:
    found = pb.ConnectorChange()
    json_format.ParseDict(row["connector"], found, ignore_unknown_fields=True)
    found.name = f"{row['partner']}/connectorChanges/{row['id']}"
    found.source = row["source"]
    found.state = _STATE.Value(f"STATE_{row['state']}")
    found.proposer, found.confirmer = row["proposer"], row["confirmer"] or ""
    found.create_time.FromDatetime(row["create_time"])
    if row["decide_time"]:
        found.decide_time.FromDatetime(row["decide_time"])
    return found
