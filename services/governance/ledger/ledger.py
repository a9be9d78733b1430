"""The ledger: an entry for everything certified, and checkpoints over all of them.

An entry is added in the transaction of whoever certifies. A checkpoint is signed over what is committed, and stands
with the keys before anybody sees it: what was signed for once is never signed differently.
"""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import asyncpg
from dsr.credentials import Credential
from dsr.ledger import Checkpoint, SigningKey, leaf_hash
from dsr.ledger.certificate import SALT_BYTES, entry, proof
from dsr.v1 import ledger_pb2

from dsrkit.db import Connection, partner_transaction
from dsrkit.errors import DsrError
from services.governance.ledger import tree
from services.governance.ledger.witness import Witness
from services.governance.store import OPERATOR, GovernanceStore

_TRIES = 5
"""How often a checkpoint is signed anew because another process signed one meanwhile."""


@dataclass(frozen=True)
class Signed:
    """A checkpoint, and what it says."""

    size: int
    note: str
    sign_time: datetime


@dataclass(frozen=True)
class Ledger:
    """The operator's one ledger."""

    store: GovernanceStore
    witness: Witness

    @classmethod
    def of(cls, store: GovernanceStore, credential: Path, keys_dir: Path) -> "Ledger":
        """The ledger of a key. The witness lies where no partner's keys can."""
        key = Credential.load(credential)
        return cls(store, Witness(keys_dir / "_ledger", SigningKey(key.issuer, key.private_key)))

    async def certify(self, connection: Connection, resource: str, sha256: bytes, now: datetime) -> asyncpg.Record:
        """The entry of a document about a resource of the transaction's partner; made once.

        STATE_CONFLICT when another document was certified before.
        """
        # One after the other, until each has committed: an entry's number is its place in a tree without gaps.
        await self.store.row(connection, "ledger.lock")
        found = await self.store.row(connection, "ledger.certified", resource)
        if found is not None:
            if found["sha256"] != sha256:
                text = "Another document was certified for it before."
                raise DsrError("STATE_CONFLICT", text, state="CERTIFIED", allowed="a resource that isn't certified")
            return found
        size = await self._check(connection, await self._seen())
        salt = secrets.token_bytes(SALT_BYTES)
        known = await self._nodes(connection, tree.siblings(size))
        added = tree.grown(size, leaf_hash(entry(sha256, salt)), known)
        levels, numbers = zip(*added, strict=True)
        await self.store.row(connection, "ledger.grow", levels, numbers, list(added.values()))
        return await self.store.need(connection, "ledger.certify", "resource", resource, sha256, salt, size, now)

    def entry(self, row: asyncpg.Record) -> ledger_pb2.LedgerEntry:
        """Where the ledger has it, as a message."""
        message = ledger_pb2.LedgerEntry(number=row["number"], ledger=self.witness.key.name)
        message.certify_time.FromDatetime(row["certify_time"])
        return message

    async def prove(self, number: int, salt: bytes, now: datetime) -> str:
        """The proof of a committed entry, under the first checkpoint that has it: always the same."""
        async with partner_transaction(self.store.pool, OPERATOR) as connection:
            signed = await self.store.row(connection, "ledger.covering", self.witness.key.name, number)
        if signed is None:
            await self.checkpoint(now)
        async with partner_transaction(self.store.pool, OPERATOR) as connection:
            signed = await self.store.need(connection, "ledger.covering", "ledger entry", self.witness.key.name, number)
            path = await self._hashes(connection, tree.inclusion(number, signed["size"]))
        return proof(salt, number, path, signed["note"])

    async def checkpoint(self, now: datetime) -> Signed | None:
        """A checkpoint over every committed entry; None before the first. LEDGER_BEHIND."""
        for _ in range(_TRIES):
            seen = await self._seen()
            async with partner_transaction(self.store.pool, OPERATOR) as connection:
                size = await self._check(connection, seen)
                if size == 0:
                    return None
                key = self.witness.key
                row = await self.store.row(connection, "ledger.checkpoint", key.name)
                if row is not None and row["size"] == size:
                    return Signed(row["size"], row["note"], row["sign_time"])
                (root,) = await self._hashes(connection, [(0, size)])
                note = key.sign(size, root)
                # Only after the one that was just compared with the tree: whoever signed in between is compared next.
                if await self._see(note, seen):
                    await self.store.row(connection, "ledger.sign", key.name, size, note, now)
                    return Signed(size, note, now)
        raise DsrError("STORE_UNAVAILABLE", "Others sign all the time. Retry.")

    async def consistency(self, old: int, size: int) -> Sequence[bytes]:
        """The hashes that prove that the ledger of `old` entries is how the one of `size` begins."""
        async with partner_transaction(self.store.pool, OPERATOR) as connection:
            return await self._hashes(connection, tree.consistency(old, size))

    async def check(self) -> None:
        """LEDGER_BEHIND when this database isn't the one, or not as new, as what was signed for."""
        seen = await self._seen()
        async with partner_transaction(self.store.pool, OPERATOR) as connection:
            await self._check(connection, seen)

    async def _seen(self) -> Checkpoint | None:
        """The last checkpoint. Asked for before the tree is read, which may have grown since, and not the other way."""
        try:
            return await asyncio.to_thread(self.witness.seen)
        except ValueError:
            raise _behind("the checkpoint that is kept with the keys was damaged") from None

    async def _see(self, note: str, after: Checkpoint | None) -> bool:
        try:
            return await asyncio.to_thread(self.witness.see, note, after)
        except ValueError:
            raise _behind("the checkpoint that is kept with the keys was damaged") from None

    async def _check(self, connection: Connection, seen: Checkpoint | None) -> int:
        """The tree's size, if it is how it was when the checkpoint was signed."""
        signed = await self.store.row(connection, "ledger.checkpoint", self.witness.key.name)
        if seen is None and signed is not None:
            # Kept before it is stored: if the first one came just now, it is there by now.
            seen = await self._seen()
            if seen is None:
                raise _behind("the checkpoint that was kept with the keys is missing", signed["size"])
        size = await self._size(connection)
        if seen is None:
            return size
        if seen.size > size:
            raise _behind(f"{seen.size} were signed for", size)
        if await self._hashes(connection, [(0, seen.size)]) != [seen.root]:
            raise _behind(f"the first {seen.size} are not those that were signed for", size)
        return size

    async def _size(self, connection: Connection) -> int:
        return int((await self.store.need(connection, "ledger.size", "resource"))["size"])

    async def _hashes(self, connection: Connection, spans: Sequence[tree.Range]) -> list[bytes]:
        wanted = tree.nodes(spans)
        known = await self._nodes(connection, wanted)
        if len(known) < len(wanted):
            raise _behind("parts of the tree are missing", await self._size(connection))
        return [tree.root(span, known) for span in spans]

    async def _nodes(self, connection: Connection, wanted: Sequence[tree.Node]) -> dict[tree.Node, bytes]:
        levels, numbers = [level for level, _ in wanted], [number for _, number in wanted]
        rows = await self.store.rows(connection, "ledger.nodes", levels, numbers)
        return {(row["level"], row["number"]): row["hash"] for row in rows}


def _behind(why: str, size: int | None = None) -> DsrError:
    has = "The ledger can't be used: " if size is None else f"The database's ledger has {size} entries, but "
    text = f"{has}{why}. The database was restored from an older backup, or one of both was tampered with."
    return DsrError("LEDGER_BEHIND", text, size="" if size is None else str(size))
