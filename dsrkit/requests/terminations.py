"""A contract has ended: what this service keeps of the partner is destroyed, and that is reported."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

from dsrkit import log
from dsrkit.db import partner_transaction
from dsrkit.interceptors import map_error
from dsrkit.requests.authority import Authority
from dsrkit.requests.flow import Flow
from dsrkit.requests.model import TERMINAL, Move
from dsrkit.requests.store import RequestStore
from dsrkit.requests.view import parse_partner
from dsrkit.vault import Vault


class Terminations:
    """Pulled from governance until the termination is certified: whatever is written meanwhile goes the next time."""

    def __init__(
        self, store: RequestStore, flow: Flow, vault: Vault, authority: Authority, folders: Sequence[Path]
    ) -> None:
        self._store = store
        self._flow = flow
        self._vault = vault
        self._authority = authority
        self._folders = folders

    async def run(self) -> None:
        """Chore. May be killed anywhere; the next time does all of it again. One that fails keeps no other one up."""
        for termination in await self._authority.terminations():
            try:
                await self._empty(termination)
            except Exception as error:
                reason = map_error(error).reason
                log.get_logger().warning("termination.waiting", termination=termination, reason=reason, error=error)

    async def _empty(self, termination: str) -> None:
        partner = parse_partner(termination, "termination")
        await self._cancel(partner)
        await self._vault.destroy_partner(partner)
        for folder in self._folders:
            await asyncio.to_thread(_remove, folder / partner.split("/")[-1])
        await self._authority.emptied(termination)
        log.get_logger().info("partner.emptied", partner=partner)

    async def _cancel(self, partner: str) -> None:
        async with partner_transaction(self._store.pool, partner) as connection:
            found = await self._store.unfinished(connection, sorted(TERMINAL))
        for identifier in found:
            async with partner_transaction(self._store.pool, partner) as connection:
                request = await self._store.lock(connection, identifier)
                if not request.terminal:
                    await self._store.tasks.drop_open(connection, identifier)
                    await self._flow.make(connection, request, Move("CANCELLED"))


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
