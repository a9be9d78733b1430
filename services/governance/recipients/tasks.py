"""The one mechanism for what a request owes to recipients: erasures and corrections call it when they are done."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

import asyncpg

from dsrkit.db import Connection
from services.governance import messages
from services.governance.recipients.domain import Owed, owed
from services.governance.tools import Tools

_NAMESPACE = UUID("9a1f6f0c-8f1b-4d0e-9d8a-3b6f6c1f7c55")


@dataclass(frozen=True)
class Debt:
    """What a request did, as far as recipients have to hear of it."""

    request: str
    kind: str
    """`ERASURE`, `RECTIFICATION` or `RESTRICTION`."""
    owner: str
    """Opaque id of who sees to it: the creator of the request."""
    due: datetime
    revision: int
    """Of the data map."""
    touched: Mapping[str, Collection[str]]
    """Collections by source in which the person's data was touched."""
    asked: Collection[str]
    """The data sources that the request itself reached."""


async def foresee(
    tools: Tools, connection: Connection, revision: int, touched: Mapping[str, Collection[str]], asked: Collection[str]
) -> list[Owed]:
    """What a request will owe, so that whoever approves it sees that. Nothing is made. See Debt for the arguments."""
    row = await tools.store.row(connection, "data_map", revision) if revision else None
    if row is None:
        return []
    sources = [messages.data_source(s) for s in await tools.store.rows(connection, "data_sources", "", 10_000)]
    return owed(messages.data_map(row), touched, sources, asked)


async def owe(tools: Tools, connection: Connection, partner: str, debt: Debt) -> list[asyncpg.Record]:
    """Makes the tasks of a request, once; returns them. What a connector did is done: the request is its evidence."""
    store, now = tools.store, tools.clock()
    for entry in await foresee(tools, connection, debt.revision, debt.touched, debt.asked):
        done = (debt.request, "connector", now) if entry.source else ("", "", None)
        identifier = uuid5(_NAMESPACE, f"{debt.request}\0{entry.sub_processor or entry.recipient}")
        added = await store.row(
            connection,
            "recipients.add_task",
            identifier,
            debt.request,
            debt.kind,
            entry.recipient,
            entry.sub_processor,
            list(entry.collections),
            "AUTOMATIC" if entry.source else "MANUAL",
            entry.how,
            debt.owner,
            debt.due,
            now,
            *done,
        )
        if added is not None and not entry.source:
            # Deadlines are watched, and warned of, as those of requests are.
            name = f"{partner}/recipientTasks/{identifier}"
            await store.row(connection, "notifications.track", name, "OPEN", True, debt.due, now)
    return await store.rows(connection, "recipients.of_request", debt.request)
