"""Whether a member of staff holds a role that the credential claims."""

from collections.abc import Iterable

from dsrkit.db import partner_transaction
from dsrkit.errors import DsrError
from services.governance.store import OPERATOR
from services.governance.tools import Tools


async def check(tools: Tools, principal: str, roles: Iterable[str]) -> None:
    """FOUR_EYES unless two other people granted one of these roles."""
    async with partner_transaction(tools.store.pool, OPERATOR) as connection:
        for role in sorted(roles):
            if (await tools.store.need(connection, "holds_role", "resource", principal, role))["exists"]:
                return
    raise DsrError("FOUR_EYES", "The role was not granted to this person by two others.", why="ROLE_NOT_GRANTED")
