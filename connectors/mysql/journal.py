"""The journal of erasures and amendments, in the source's own server."""

from dataclasses import dataclass

from connectors.relational.journal import Counts, Journal, Runs, superseded
from connectors.relational.sql import Statement

STATEMENTS = ("claim", "hold", "recall", "record", "progress")


@dataclass(frozen=True)
class MysqlJournal(Journal):
    """Serialises by the task's own row: whoever holds it for update keeps newer attempts and twins out."""

    async def claim(self, session: Runs, task: str, attempt: int) -> None:
        await session.rows(Statement(self.statements["claim"], (self.source, task, attempt)))
        if not await self._current(session, task, attempt):
            raise superseded()

    async def hold(self, session: Runs, task: str, attempt: int, subject: bytes) -> list[Counts] | None:
        if not await self._current(session, task, attempt):
            raise superseded()
        return await self.recall(session, task, subject)

    async def _current(self, session: Runs, task: str, attempt: int) -> bool:
        return bool(await session.rows(Statement(self.statements["hold"], (self.source, task, attempt))))
