"""StaffService: messages in and out."""

from typing import Any
from uuid import UUID

import asyncpg
from dsr.v1 import governance_pb2, options_pb2
from dsr.v1 import staff_pb2 as pb
from dsr.v1.staff_pb2_grpc import StaffServiceServicer

from dsrkit.auth import STAFF, current_caller
from dsrkit.db import Connection, partner_transaction
from dsrkit.errors import invalid, not_found
from dsrkit.pages import page_size
from services.governance import messages, roles
from services.governance.store import OPERATOR
from services.governance.tools import Tools


class StaffServicer(StaffServiceServicer):
    """Proto to domain and back, nothing else."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def GrantStaffRole(self, request: pb.GrantStaffRoleRequest, context: Any) -> governance_pb2.RoleGrant:
        wanted, caller = request.role_grant, current_caller()
        role = options_pb2.Role.Name(wanted.role) if wanted.role in options_pb2.Role.values() else ""
        if role not in STAFF:
            raise invalid("role_grant.role", f"must be one of {', '.join(sorted(STAFF))}")
        roles.check(wanted, caller)

        async def make(connection: Connection, base: UUID) -> str:
            return await roles.propose(self._store, connection, caller, base, wanted)

        return await self._read(await self._tools.once(OPERATOR, request, "GrantStaffRole", make))

    async def ConfirmStaffRole(self, request: pb.ConfirmStaffRoleRequest, context: Any) -> governance_pb2.RoleGrant:
        identifier, caller = _id(request.name), current_caller()

        async def make(connection: Connection, _: UUID) -> str:
            return await roles.confirm(self._store, connection, caller, identifier)

        return await self._read(await self._tools.once(OPERATOR, request, "ConfirmStaffRole", make))

    async def RevokeStaffRole(self, request: pb.RevokeStaffRoleRequest, context: Any) -> governance_pb2.RoleGrant:
        identifier = _id(request.name)

        async def make(connection: Connection, _: UUID) -> str:
            await self._store.need(connection, "set_role_grant", "resource", identifier, "REVOKED", None)
            return str(identifier)

        return await self._read(await self._tools.once(OPERATOR, request, "RevokeStaffRole", make))

    async def ListStaffGrants(self, request: pb.ListStaffGrantsRequest, context: Any) -> pb.ListStaffGrantsResponse:
        size, after = page_size(request.page_size), messages.position(request.page_token)
        async with partner_transaction(self._store.pool, OPERATOR) as connection:
            rows = await self._store.rows(connection, "role_grants", *after, size + 1)
        token = messages.token(rows[size - 1]["create_time"], rows[size - 1]["id"]) if len(rows) > size else ""
        return pb.ListStaffGrantsResponse(role_grants=[_message(row) for row in rows[:size]], next_page_token=token)

    async def _read(self, identifier: str) -> governance_pb2.RoleGrant:
        async with partner_transaction(self._store.pool, OPERATOR) as connection:
            return _message(await self._store.need(connection, "role_grant", "resource", UUID(identifier)))


def _id(name: str) -> UUID:
    collection, _, last = name.partition("/")
    try:
        if collection != "staffGrants":
            raise ValueError
        return UUID(last)
    except ValueError:
        raise not_found("resource") from None


def _message(row: asyncpg.Record) -> governance_pb2.RoleGrant:
    message = messages.role_grant(row)
    message.name = f"staffGrants/{row['id']}"
    return message
