"""One person in one transaction, wholly or not at all."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from connectors.relational.dialect import Database, Session
from connectors.relational.model import Model
from dsrkit.errors import DsrError

T = TypeVar("T")

_TRIES = 3
"""Of a person's transaction, when the database chose it as the victim of a deadlock."""


async def together(database: Database, model: Model, work: Callable[[Session], Awaitable[T]]) -> T:
    """What `work` returns, committed. What it raises rolls everything back."""
    for last in [False] * (_TRIES - 1) + [True]:
        try:
            async with database.transaction(model) as session:
                return await work(session)
        except DsrError as error:
            if last or error.metadata.get("why") != "DEADLOCK":
                raise
    raise AssertionError("unreachable: the last try returns or raises")
