"""What was erased or amended, noted in the source's own database in the transaction that did it.

No personal data: a task, an attempt, a keyed digest of the subject, counts.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dsr.connector.v1 import connector_pb2 as pb

from connectors.relational.sql import Sql, Statement
from dsrkit.errors import DsrError

Counts = dict[str, Any]
"""A collection's name and numbers."""


class Runs(Protocol):
    """The part of a session that a journal needs."""

    async def rows(self, statement: Statement) -> Sequence[Sequence[Any]]: ...


@dataclass(frozen=True)
class Journal:
    """The journal of one source. `statements`: claim, hold, serialise, recall, record, progress, in its dialect."""

    source: str
    key: bytes
    statements: Mapping[str, Sql]

    async def claim(self, session: Runs, task: str, attempt: int) -> None:
        """Notes that `attempt` works on the task, once an older one's person is done. ATTEMPT_SUPERSEDED by a newer."""
        if not await session.rows(Statement(self.statements["claim"], (self.source, task, attempt))):
            raise superseded()

    async def hold(self, session: Runs, task: str, attempt: int, subject: bytes) -> list[Counts] | None:
        """Keeps newer attempts, and this one's twin, out until the transaction ends. Returns what was done before."""
        lock = int.from_bytes(hashlib.sha256(b"\0".join([task.encode(), subject])).digest()[:8], "big", signed=True)
        await session.rows(Statement(self.statements["serialise"], (lock,)))
        if not await session.rows(Statement(self.statements["hold"], (self.source, task, attempt))):
            raise superseded()
        return await self.recall(session, task, subject)

    async def recall(self, session: Runs, task: str, subject: bytes) -> list[Counts] | None:
        """What was done before, if anything."""
        rows = await session.rows(Statement(self.statements["recall"], (self.source, task, subject)))
        return json.loads(rows[0][0]) if rows else None

    async def record(
        self, session: Runs, task: str, attempt: int, subject: bytes, collections: Sequence[Counts]
    ) -> None:
        """Notes what was done, to be committed with it."""
        counts = json.dumps(collections)
        await session.rows(Statement(self.statements["record"], (self.source, task, subject, attempt, counts)))

    async def progress(self, session: Runs, task: str) -> dict[str, int]:
        """How much of each collection a task has deleted so far."""
        rows = await session.rows(Statement(self.statements["progress"], (self.source, task)))
        deleted: dict[str, int] = {}
        for (counts,) in rows:
            for one in json.loads(counts):
                deleted[one["collection"]] = deleted.get(one["collection"], 0) + one["deleted"]
        return deleted

    def subject(self, subject: pb.Subject) -> bytes:
        """A keyed digest of the subject's reference, which stays with the task whatever else a retry brings."""
        return hmac.new(self.key, b"journal\0" + subject.subject_ref.encode(), hashlib.sha256).digest()


def counted(outcomes: Iterable[pb.CollectionOutcome]) -> list[Counts]:
    """What was deleted, anonymised and retained, as it is noted."""
    names = ("collection", "deleted", "anonymised", "retained")
    return [{name: getattr(outcome, name) for name in names} for outcome in outcomes]


def superseded() -> DsrError:
    return DsrError("ATTEMPT_SUPERSEDED", "A newer attempt of the task is at work; this one stops.")
