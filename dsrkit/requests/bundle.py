"""Bundles: made once, served while they last, ended for good."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pyrage
from dsr.authority.v1.authority_pb2 import Obligation
from dsr.v1.governance_pb2 import Partner

from dsrkit import clock, log
from dsrkit.db import partner_transaction
from dsrkit.errors import DsrError
from dsrkit.requests.authority import Authority
from dsrkit.requests.export import Spool
from dsrkit.requests.model import Request
from dsrkit.requests.store import RequestStore
from dsrkit.sealed import read_sealed, write_sealed
from dsrkit.tasks import Task
from dsrkit.vault import KeyGone, RequestKey, Vault

DEFAULT_LIFETIME = timedelta(days=7)
PIECE = 1024 * 1024


class Bundles:
    """The folder of bundles, `{partner}/{request}-{attempt}.age`. Bytes in it are always ciphertext."""

    def __init__(self, store: RequestStore, vault: Vault, folder: Path, spool: Spool) -> None:
        self._store = store
        self._vault = vault
        self._folder = folder
        self._spool = spool

    async def write(
        self, task: Task, key: RequestKey, partner: Partner, filename: str, build: Callable[[], Iterator[bytes]]
    ) -> dict[str, Any]:
        """Writes what `build` yields, in a thread; returns the facts about the bundle.

        With the partner's own recipient key the operator can't read the bundle, and the ciphertext is what is served.
        """
        path = self._folder / task.partner.split("/")[-1] / f"{task.owner}-{task.attempt}.age"
        own = partner.bundle_recipient
        recipient = pyrage.x25519.Recipient.from_str(own) if own else key.identity.to_public()
        written = await asyncio.to_thread(lambda: write_sealed(path, recipient, build()))
        return {
            "state": "AVAILABLE",
            "filename": f"{filename}.age" if own else filename,
            "media_type": "application/age" if own else "application/zip",
            "size": written.cipher_bytes if own else written.plain_bytes,
            "sha256": written.cipher_sha256 if own else written.plain_sha256,
            "path": str(path.relative_to(self._folder)),
            "as_is": bool(own),
        }

    def read(self, request: Request, key: RequestKey | None, offset: int, length: int) -> Iterator[bytes]:
        """The bytes served, from `offset`, `length` of them. Blocking."""
        bundle = request.facts["bundle"]
        path = self._folder / bundle["path"]
        pieces = _plain_file(path, offset) if key is None else read_sealed(path, key.identity, offset)
        left = length
        for piece in pieces:
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return

    async def key(self, request: Request) -> RequestKey | None:
        """The key to serve an available bundle with; None when it is served as it is. BUNDLE_GONE."""
        bundle = request.facts.get("bundle")
        if not bundle or bundle["state"] != "AVAILABLE" or _over(request):
            raise gone(bundle["state"] if bundle and not _over(request) else "EXPIRED" if bundle else "NOT_READY")
        if bundle["as_is"]:
            return None
        try:
            return await self._vault.get(request.partner, str(request.id))
        except KeyGone:
            raise gone("EXPIRED") from None

    async def end(self, partner: str, request_id: UUID, state: str) -> None:
        """Ends a bundle for good: key first, then bytes, then the record. Idempotent."""
        await self._vault.destroy(partner, str(request_id))
        await self._spool.remove(partner, str(request_id))
        await asyncio.to_thread(self._remove_files, partner, request_id)
        async with partner_transaction(self._store.pool, partner) as connection:
            request = await self._store.lock(connection, request_id)
            bundle = request.facts.get("bundle")
            ended = replace(request, bundle_expire_time=None, sealed=None)
            if bundle and bundle["state"] == "AVAILABLE":
                ended = ended.with_facts(bundle={**bundle, "state": state})
                await self._store.add_event(connection, request, "bundle.ended")
            await self._store.save(connection, ended)

    def _remove_files(self, partner: str, request_id: UUID) -> None:
        for path in (self._folder / partner.split("/")[-1]).glob(f"{request_id}-*.age"):
            path.unlink(missing_ok=True)

    async def sweep(self) -> None:
        """Chore: ends bundles whose time is over."""
        for partner, request_id in await self._store.expired_bundles():
            await self.end(partner, request_id, "EXPIRED")

    async def fulfil(self, authority: Authority) -> None:
        """Chore: ends bundles of people who were erased, and says so to governance.

        One that is still being made, of a whole source, is ended afterwards.
        """
        last = ""
        while page := [o for o in await authority.obligations(last) if o.id > last]:
            for obligation in page:
                try:
                    await self._fulfil(authority, obligation)
                except DsrError as error:
                    logged = log.get_logger()
                    logged.warning("obligation.left", request=obligation.request, reason=error.reason)
            last = page[-1].id

    async def _fulfil(self, authority: Authority, obligation: Obligation) -> None:
        partner, request_id = _split(obligation)
        async with partner_transaction(self._store.pool, partner) as connection:
            request = await self._store.get(connection, request_id)
        if request.terminal:
            await self.end(partner, request_id, "ENDED_BY_ERASURE")
            await authority.acknowledge(obligation)


def expire_time(partner: Partner) -> datetime:
    """When a bundle made now ends."""
    lifetime = partner.bundle_lifetime.ToTimedelta() if partner.HasField("bundle_lifetime") else DEFAULT_LIFETIME
    return clock.now() + lifetime


def gone(state: str) -> DsrError:
    """BUNDLE_GONE."""
    return DsrError("BUNDLE_GONE", "There is no bundle to download (any more).", bundle_state=state)


def _over(request: Request) -> bool:
    return request.bundle_expire_time is None or request.bundle_expire_time <= clock.now()


def _split(obligation: Obligation) -> tuple[str, UUID]:
    parts = obligation.request.split("/")
    return "/".join(parts[:2]), UUID(parts[-1])


def _plain_file(path: Path, offset: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(offset)
        while piece := file.read(PIECE):
            yield piece
