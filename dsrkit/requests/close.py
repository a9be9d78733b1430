"""The last step: nobody works on the person any more, and what was only needed for the work is destroyed."""

from dataclasses import replace

from dsrkit.db import partner_transaction
from dsrkit.requests.authority import Authority
from dsrkit.requests.export import Spool
from dsrkit.requests.flow import Flow
from dsrkit.requests.model import Request
from dsrkit.requests.store import RequestStore
from dsrkit.tasks import Done, Task
from dsrkit.vault import Vault


class Close:
    """Step `close`."""

    def __init__(self, store: RequestStore, flow: Flow, vault: Vault, authority: Authority, spool: Spool) -> None:
        self._store = store
        self._flow = flow
        self._vault = vault
        self._authority = authority
        self._spool = spool

    async def close(self, task: Task) -> Done:
        """Closes the work in governance, removes the spool, and the key unless a bundle still needs it."""
        async with partner_transaction(self._store.pool, task.partner) as connection:
            request = await self._store.get(connection, task.owner)
        await self._authority.close(request, request.bundle_expire_time)
        await self._spool.remove(task.partner, str(task.owner))
        if not _keeps_bundle(request):
            await self._vault.destroy(task.partner, str(task.owner))
            async with partner_transaction(self._store.pool, task.partner) as connection:
                locked = await self._store.lock(connection, task.owner)
                await self._store.save(connection, replace(locked, sealed=None))
        return Done()


def _keeps_bundle(request: Request) -> bool:
    bundle = request.facts.get("bundle")
    return bundle is not None and bundle["state"] == "AVAILABLE" and request.state == "COMPLETED"
