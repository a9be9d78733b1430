"""From one task to the next: stores what a task brought, and when a request's last open task is done asks the right's
`advance` what follows. One transaction, under the request's row lock."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from dsrkit.db import Connection, partner_snapshot, partner_transaction
from dsrkit.errors import DsrError
from dsrkit.requests.connector import FROM_CONNECTORS
from dsrkit.requests.model import AFTERWARDS, Dossier, Found, Move, Request
from dsrkit.requests.store import RequestStore
from dsrkit.tasks import Done, NewTask, Task
from dsrkit.vault import KeyGone, RequestKey, Vault

Founds = Mapping[str, Found]
Advance = Callable[[Request, Dossier, Sequence[Task], Founds], Move | None]

TOUCHES = frozenset({"locate", "relocate", "export", "erase", "verify", "destroy", "amend"})
"""Steps that touch a data source."""


class Flow:
    """The way of a request through its tasks."""

    def __init__(self, store: RequestStore, vault: Vault, advance: Advance) -> None:
        self._store = store
        self._vault = vault
        self._advance = advance

    async def load(self, task: Task) -> tuple[Request, Dossier]:
        """A task's request and what is known of its subject."""
        async with partner_transaction(self._store.pool, task.partner) as connection:
            request = await self._store.get(connection, task.owner)
        return request, await self.dossier(request)

    async def load_all(self, task: Task) -> tuple[Request, Dossier, list[Task]]:
        """Also all its tasks."""
        async with partner_snapshot(self._store.pool, task.partner) as connection:
            request = await self._store.get(connection, task.owner)
            tasks = await self._store.tasks.of_owner(connection, task.owner)
        return request, await self.dossier(request), tasks

    async def key(self, request: Request) -> RequestKey:
        """The request's key. STATE_CONFLICT when it is gone, which ends whatever needed it."""
        try:
            return await self._vault.get(request.partner, str(request.id))
        except KeyGone:
            raise DsrError(
                "STATE_CONFLICT", "The request's key was destroyed.", state=request.state, allowed=""
            ) from None

    async def dossier(self, request: Request) -> Dossier:
        """What is known of the subject."""
        if request.sealed is None:
            return Dossier()
        return Dossier.load((await self.key(request)).open(request.sealed, context(request, "dossier")))

    async def readable_dossier(self, request: Request) -> Dossier | None:
        """What is known of the subject; None when it has been destroyed meanwhile."""
        try:
            key = await self._vault.get(request.partner, str(request.id))
        except KeyGone:
            return None
        return Dossier.load(key.open(request.sealed, context(request, "dossier"))) if request.sealed else None

    async def seal(self, request: Request, dossier: Dossier) -> Request:
        """A copy of the request with this dossier."""
        key = await self._vault.create(request.partner, str(request.id))
        return replace(request, sealed=key.seal(dossier.dump(), context(request, "dossier")))

    async def seal_found(self, request: Request, task: Task, found: Found) -> bytes:
        """What a Locate brought, to be stored with its task."""
        return (await self.key(request)).seal(found.dump(), context(request, f"found|{task.id}"))

    async def founds(self, request: Request, tasks: Sequence[Task], step: str = "locate") -> Founds:
        """The latest Locate of every source."""
        if not any(t.sealed for t in tasks):
            return {}
        key = await self.key(request)
        return {
            source: Found.load(key.open(task.sealed, context(request, f"found|{task.id}")))
            for source, task in latest(tasks, step).items()
            if task.sealed is not None
        }

    async def lock(self, connection: Connection, task: Task) -> None:
        """Takes the request's row lock first, always in this order, so that nobody waits for the other."""
        await self._store.lock(connection, task.owner)

    async def settle(self, connection: Connection, task: Task, done: Done) -> None:
        """Stores a task's traces, and what follows."""
        request = await self._store.lock(connection, task.owner)
        finished = replace(task, records=done.records, result=done.result)
        if task.step in TOUCHES:
            await self._store.record_touch(connection, request, finished, "OK", done.records)
        if request.terminal:
            return
        if task.source is not None:
            await self._store.add_event(connection, request, f"{task.step}.done", finished)
        await self.go_on(connection, request)

    async def go_on(self, connection: Connection, request: Request) -> Request:
        """Asks `advance` what follows, if no task is open. The request is locked."""
        while True:
            tasks = await self._store.tasks.of_owner(connection, request.id)
            if request.terminal or any(t.state == "open" for t in tasks if t.step not in AFTERWARDS):
                return request
            dossier = await self.dossier(request)
            move = self._advance(request, dossier, tasks, await self.founds(request, tasks, _locate_step(tasks)))
            if move is None:
                return request
            request = await self.make(connection, request, move)
            if not move.tasks:
                return request

    async def make(self, connection: Connection, request: Request, move: Move) -> Request:
        """Carries out a move."""
        changed = replace(request, state=move.state, facts={**request.facts, **move.facts})
        if move.bundle_expire_time is not None:
            changed = replace(changed, bundle_expire_time=move.bundle_expire_time)
        if move.dossier is not None:
            changed = await self.seal(changed, move.dossier)
        saved = await self._store.save(connection, changed)
        if move.state != request.state:
            await self._store.add_event(connection, saved, "state.changed")
        tasks = [*move.tasks, NewTask("close")] if saved.terminal else list(move.tasks)
        await self._store.tasks.insert(connection, request.id, tasks)
        return saved

    async def waiting(self, connection: Connection, task: Task, reason: str) -> None:
        """Says in the request's events that a task waits, once per reason; records the touch that failed.

        A refusal or an outage of governance comes before any touch and may last for days: it is recorded once, too.
        """
        request = await self._store.lock(connection, task.owner)
        if task.step in TOUCHES and (reason in FROM_CONNECTORS or task.waiting_reason != reason):
            await self._store.record_touch(connection, request, task, reason)
        if not request.terminal and task.waiting_reason != reason:
            await self._store.add_event(connection, request, f"{task.step}.waiting", task, waiting=reason)

    async def superseded(self, task: Task) -> None:
        """Records the touch of an attempt whose result was not taken."""
        if task.step in TOUCHES:
            async with partner_transaction(self._store.pool, task.partner) as connection:
                request = await self._store.lock(connection, task.owner)
                await self._store.record_touch(connection, request, task, "ATTEMPT_SUPERSEDED")


def context(request: Request, purpose: str) -> str:
    """What a ciphertext is bound to."""
    return f"{request.partner}|{request.id}|{purpose}"


def latest(tasks: Sequence[Task], step: str) -> dict[str, Task]:
    """The newest finished task of a step, per source."""
    found: dict[str, Task] = {}
    for task in tasks:
        if task.step != step or task.state != "done" or task.source is None:
            continue
        if task.source not in found or task.round >= found[task.source].round:
            found[task.source] = task
    return found


def _locate_step(tasks: Sequence[Task]) -> str:
    """The step of the newest round: rounds of location and relocation alternate, and go up."""
    found = [t for t in tasks if t.step in ("locate", "relocate")]
    return max(found, key=lambda t: t.round).step if found else "locate"


def new_id(partner: str, request_id: uuid.UUID) -> uuid.UUID:
    """The id of a request: the same for every repetition of the call that creates it."""
    return uuid.uuid5(request_id, partner)
