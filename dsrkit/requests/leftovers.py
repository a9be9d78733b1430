"""What attempts wrote that nobody will read: their request was cancelled, or another attempt took over."""

import asyncio
import shutil
from pathlib import Path
from uuid import UUID

from dsrkit import log
from dsrkit.db import partner_transaction
from dsrkit.errors import DsrError
from dsrkit.requests.model import Request
from dsrkit.requests.store import RequestStore
from dsrkit.tasks import Task


class Leftovers:
    """Removes files from the folders of spool and bundles. Ciphertext, but to a partner's own key it stays readable."""

    def __init__(self, store: RequestStore, spool: Path, bundles: Path) -> None:
        self._store = store
        self._spool = spool
        self._bundles = bundles

    async def of_attempt(self, task: Task) -> None:
        """What one attempt wrote whose result was not taken."""
        partner = task.partner.split("/")[-1]
        folder = self._spool / partner / str(task.owner)
        await asyncio.to_thread(shutil.rmtree, folder / f"{task.id}-{task.attempt}", ignore_errors=True)
        if task.step == "package":
            (self._bundles / partner / f"{task.owner}-{task.attempt}.age").unlink(missing_ok=True)

    async def sweep(self) -> None:
        """Chore: what is left of requests that are over, where the process that wrote it did not live to remove it."""
        for path in await asyncio.to_thread(lambda: [*self._spool.glob("*/*"), *self._bundles.glob("*/*.age")]):
            partner, identifier = f"partners/{path.parent.name}", UUID(path.name[:36])
            if not await self._needed(partner, identifier, path):
                await asyncio.to_thread(_remove, path)
                log.get_logger().warning("leftover.removed", request=str(identifier))

    async def _needed(self, partner: str, identifier: UUID, path: Path) -> bool:
        try:
            async with partner_transaction(self._store.pool, partner) as connection:
                request = await self._store.get(connection, identifier)
        except DsrError as error:
            if error.reason != "NOT_FOUND":
                raise
            return False
        return not request.terminal or _serves(request, str(path.relative_to(path.parents[1])))


def _serves(request: Request, path: str) -> bool:
    bundle = request.facts.get("bundle")
    return bundle is not None and bundle["state"] == "AVAILABLE" and bundle["path"] == path


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
