"""Roles by four eyes, the approvers' of a partner and the staff's: one person proposes, another confirms."""

from uuid import UUID

from dsr.v1 import governance_pb2, options_pb2

from dsrkit.auth import ACTOR_FORM, Caller, is_actor
from dsrkit.db import Connection
from dsrkit.errors import DsrError, invalid
from services.governance.store import GovernanceStore


def check(wanted: governance_pb2.RoleGrant, caller: Caller) -> None:
    """FIELD_INVALID for a grantee that is no actor, FOUR_EYES for the caller."""
    if not is_actor(wanted.grantee):
        raise invalid("role_grant.grantee", ACTOR_FORM)
    if wanted.grantee in caller.actors:
        raise DsrError("FOUR_EYES", "Nobody grants a role to themselves.", why="GRANTEE_IS_GRANTER")


async def propose(
    store: GovernanceStore, connection: Connection, caller: Caller, identifier: UUID, wanted: governance_pb2.RoleGrant
) -> str:
    """Keeps a grant that has no effect yet."""
    await store.use_token(connection, caller.token_id, f"grant {identifier}")
    role = options_pb2.Role.Name(wanted.role)
    args = (identifier, wanted.grantee, role, "PROPOSED", caller.principal, list(caller.actors))
    await store.need(connection, "create_role_grant", "resource", *args)
    return str(identifier)


async def confirm(store: GovernanceStore, connection: Connection, caller: Caller, identifier: UUID) -> str:
    """Puts a grant into effect. FOUR_EYES for the grantee and for whoever proposed it."""
    row = await store.need(connection, "role_grant", "resource", identifier)
    if row["state"] != "PROPOSED":
        text = f"The grant is {row['state']}; only a PROPOSED one can be confirmed."
        raise DsrError("STATE_CONFLICT", text, state=row["state"], allowed="PROPOSED")
    if {row["grantee"], *row["proposers"]} & set(caller.actors):
        raise DsrError("FOUR_EYES", "Grantee and proposer can't confirm.", why="SAME_PERSON")
    await store.use_token(connection, caller.token_id, f"confirm {identifier}")
    await store.row(connection, "set_role_grant", identifier, "CONFIRMED", caller.principal)
    return str(identifier)
