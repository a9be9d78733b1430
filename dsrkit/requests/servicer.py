"""The RPCs that all three rights offer, over messages that differ only in name."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from dsr.authority.v1.authority_pb2 import AuthorizeRequest
from dsr.v1 import request_pb2, subject_pb2
from google.protobuf.message import Message

from dsrkit import clock
from dsrkit.auth import Caller, acting_partner, current_caller
from dsrkit.calendar import due
from dsrkit.db import Connection, partner_snapshot, partner_transaction
from dsrkit.errors import DsrError, invalid, not_found, reason_value
from dsrkit.pages import page_size, parse_position, read_token, write_token
from dsrkit.requests import view
from dsrkit.requests.authority import Authority
from dsrkit.requests.flow import Flow, new_id
from dsrkit.requests.locate import after_decision
from dsrkit.requests.model import TERMINAL, Dossier, Move, Request, Right
from dsrkit.requests.resolution import decide
from dsrkit.requests.store import RequestStore
from dsrkit.requests.watch import EventHub
from dsrkit.tasks import Task
from dsrkit.vault import Vault

Fill = Callable[[Any, Request, Sequence[Task] | None], Awaitable[None]]
_SEES_PEOPLE = frozenset({"ROLE_REQUESTER", "ROLE_APPROVER"})
_TOO_LATE = frozenset({"ERASING", "VERIFYING", *TERMINAL})


@dataclass(frozen=True)
class Parts:
    """What the RPCs of any right work with."""

    right: Right
    store: RequestStore
    flow: Flow
    vault: Vault
    authority: Authority
    hub: EventHub
    draining: asyncio.Event


class RequestRpcs:
    """The shared RPCs. `new` makes an empty resource, `fill` adds what the right adds to it."""

    def __init__(self, parts: Parts, new: Callable[[], Any], fill: Fill) -> None:
        self.parts = parts
        self._new = new
        self._fill = fill

    async def create(self, message: Any, facts: Mapping[str, Any]) -> Any:
        """Creates a request, or returns the one that this call created before."""
        right, store = self.parts.right, self.parts.store
        caller = current_caller()
        partner = view.parse_partner(message.parent)
        if message.parent != partner:
            raise invalid("parent", "must be partners/{partner}")
        if partner != acting_partner(partner):
            raise not_found("resource")
        resource = getattr(message, f"{right.noun}_request")
        request_id = view.parse_uuid4(message.request_id, "request_id")
        digest = await self.digest(partner, message)
        existing = await store.by_request_id(partner, request_id, digest)
        if existing is not None:
            return await self._read(partner, existing.id, caller)
        parsed = view.parse_input(resource, right.noun, partner)
        answer = await self.parts.authority.authorize(
            AuthorizeRequest(
                partner=partner,
                principal=caller.principal,
                capacity=parsed.capacity,
                verification=parsed.verification,
                data_sources=parsed.data_sources,
                request_id=str(request_id),
                identity_types=sorted({i.type for i in parsed.identities}),
            )
        )
        refused = answer.HasField("refusal")
        now = clock.now()
        request = Request(
            partner=partner,
            id=new_id(partner, request_id),
            request_id=request_id,
            body_digest=digest,
            state="REFUSED" if refused else "PENDING",
            creator=caller.principal,
            creator_actors=caller.actors,
            capacity=subject_pb2.RequesterCapacity.Name(parsed.capacity),
            received_time=parsed.received_time,
            time_zone=answer.partner.time_zone,
            due_time=due(parsed.received_time, answer.partner.time_zone),
            extension=None,
            data_map_revision=answer.data_map_revision,
            data_sources=tuple(answer.data_sources),
            refusal=view.store_refusal(answer.refusal) if refused else None,
            facts={**facts, "policy_version": answer.policy_version},
            sealed=None,
            bundle_expire_time=None,
            next_event=1,
            create_time=now,
            update_time=now,
            complete_time=None,
        )
        if not refused:
            request = await self.parts.flow.seal(request, Dossier(parsed.identities))
        async with partner_transaction(store.pool, partner) as connection:
            created = await store.create(connection, request)
            if created is not None:
                await store.record_call(connection, caller, created)
                await store.add_event(connection, created, "state.changed")
                if not refused:
                    await self.parts.flow.go_on(connection, await store.lock(connection, created.id))
        if created is None:
            # Another call with the same request_id was faster; its body decides.
            await store.by_request_id(partner, request_id, digest)
        return await self._read(partner, request.id, caller)

    async def get(self, message: Any) -> Any:
        """Returns a request."""
        partner, identifier = scope(message.name, self.parts.right)
        return await self._read(partner, identifier, current_caller())

    async def list(self, message: Any, response: Any) -> Any:
        """Fills a page of requests."""
        partner = acting_partner(view.parse_partner(message.parent))
        size = page_size(message.page_size)
        for index, state in enumerate(message.states):
            view.known_enum(state, request_pb2.RequestState, f"states[{index}]")
        names = [request_pb2.RequestState.Name(state) for state in message.states]
        states = [name.removeprefix("REQUEST_STATE_") for name in names] or None
        before = message.due_before.ToDatetime(UTC) if message.HasField("due_before") else None
        shape = hashlib.sha256(orjson.dumps([partner, states, before])).hexdigest()[:16]
        after = _position(message.page_token, shape)
        async with partner_transaction(self.parts.store.pool, partner) as connection:
            rows = await self.parts.store.page(
                connection, states=states, due_before=before, after=after, limit=size + 1
            )
        field = getattr(response, f"{self.parts.right.noun}_requests")
        for row in rows[:size]:
            resource = field.add()
            view.fill(resource, self.parts.right, row, None, None)
        if len(rows) > size:
            response.next_page_token = _token(rows[size - 1], shape)
        return response

    async def cancel(self, message: Any) -> Any:
        """Cancels a request that is not done and not erasing."""

        async def change(connection: Connection, request: Request) -> None:
            if request.state == "CANCELLED":
                return
            if request.state in _TOO_LATE:
                raise conflict(request, "any state before ERASING and before a terminal one")
            await self.parts.store.tasks.drop_open(connection, request.id)
            await self.parts.flow.make(connection, request, Move("CANCELLED"))

        return await self.mutate(message, "Cancel", change)

    async def extend(self, message: Any) -> Any:
        """Extends the deadline to three months after receipt."""
        extension = message.extension
        told = view.parse_time(extension.subject_told_time, "extension.subject_told_time")
        if extension.reason not in request_pb2.Extension.Reason.values():
            raise invalid("extension.reason", "must be one of the DPV reasons of Art. 12(3)")

        async def change(connection: Connection, request: Request) -> None:
            if request.terminal:
                raise conflict(request, "any state that is not terminal")
            if request.extension is not None or clock.now() > request.due_time:
                when = request.due_time.isoformat()
                raise DsrError("DEADLINE_PASSED", "It is past due, or was extended before.", due_time=when)
            if not request.received_time <= told <= request.due_time:
                raise invalid("extension.subject_told_time", "must be between receipt and the due time")
            stored = {
                "reason": int(extension.reason),
                "subject_told_time": extension.subject_told_time.ToJsonString(),
            }
            later = due(request.received_time, request.time_zone, extended=True)
            extended = replace(request, extension=stored, due_time=later)
            await self.parts.store.save(connection, extended)
            await self.parts.store.add_event(connection, extended, "deadline.extended")

        return await self.mutate(message, "Extend", change)

    async def resolve(self, message: Any) -> Any:
        """Records the controller's decision on every open candidate."""

        async def change(connection: Connection, request: Request) -> None:
            if request.state != "AWAITING_CONTROLLER":
                raise conflict(request, "AWAITING_CONTROLLER")
            dossier = await self.parts.flow.dossier(request)
            decided = replace(dossier, candidates=decide(dossier.candidates, message.decisions))
            tasks = await self.parts.store.tasks.of_owner(connection, request.id)
            await self.parts.store.add_event(connection, request, "identities.resolved")
            await self.parts.flow.make(connection, request, after_decision(request, decided, tasks))

        return await self.mutate(message, "ResolveIdentities", change)

    async def mutate(
        self, message: Any, method: str, change: Callable[[Connection, Request], Any], after: str = ""
    ) -> Any:
        """One mutation of a locked request: once per `request_id`, recorded with its effect."""
        caller = current_caller()
        right, store = self.parts.right, self.parts.store
        partner, identifier = scope(message.name, right)
        request_id = view.parse_uuid4(message.request_id, "request_id")
        digest = await self.digest(partner, message)
        async with partner_transaction(store.pool, partner) as connection:
            request = await store.lock(connection, identifier)
            if not await store.replayed(connection, method, request_id, digest, identifier):
                await change(connection, request)
                await store.record_call(connection, caller, request)
        return await self._read(partner, identifier, caller)

    async def watch(self, message: Any, response: Callable[..., Any]) -> AsyncIterator[Any]:
        """Streams events until the request is terminal, the token expires or the server drains."""
        caller = current_caller()
        partner, identifier = scope(message.name, self.parts.right)
        if message.after_event < 0:
            raise invalid("after_event", "must not be negative")
        after = message.after_event
        store = self.parts.store
        async with self.parts.hub.watching(str(identifier)) as event:
            while True:
                async with partner_snapshot(store.pool, partner) as connection:
                    request = await store.get(connection, identifier)
                    rows = await store.events(connection, identifier, after)
                if after >= request.next_event:
                    raise DsrError("OUT_OF_RANGE", "There is no such event yet.", size=str(request.next_event - 1))
                for row in rows:
                    yield response(event=_event(row))
                    after = row["event"]
                if request.terminal and after >= request.next_event - 1:
                    return
                if self.parts.draining.is_set() or time.time() > caller.expire_time:
                    raise stream_ended()
                await self.parts.hub.wait(event)

    async def _read(self, partner: str, identifier: UUID, caller: Caller) -> Any:
        async with partner_snapshot(self.parts.store.pool, partner) as connection:
            request = await self.parts.store.get(connection, identifier)
            tasks = await self.parts.store.tasks.of_owner(connection, identifier)
        sees = request.sealed is not None and bool(caller.roles & _SEES_PEOPLE)
        dossier = await self.parts.flow.readable_dossier(request) if sees else None
        resource = self._new()
        view.fill(resource, self.parts.right, request, dossier, tasks)
        await self._fill(resource, request, tasks)
        return resource

    async def digest(self, partner: str, message: Message) -> bytes:
        """Keyed digest of a call's body, for its idempotency key."""
        body = message.DESCRIPTOR.full_name.encode() + b"\0" + message.SerializeToString(deterministic=True)
        return await self.parts.vault.digest(partner, body)


def scope(name: str, right: Right) -> tuple[str, UUID]:
    """The partner in whose name the database is asked, and the request's id. NOT_FOUND."""
    partner, identifier = view.parse_name(name, right)
    return acting_partner(partner), identifier


def stream_ended() -> DsrError:
    """STREAM_ENDED."""
    return DsrError("STREAM_ENDED", "The stream ends here; call again from where you are.")


def conflict(request: Request, allowed: str) -> DsrError:
    """STATE_CONFLICT."""
    text = f"The request is {request.state}; this needs {allowed}."
    return DsrError("STATE_CONFLICT", text, state=request.state, allowed=allowed)


def _event(row: asyncpg.Record) -> request_pb2.RequestEvent:
    event = request_pb2.RequestEvent(
        event=row["event"], state=request_pb2.RequestState.Value(f"REQUEST_STATE_{row['state']}"), type=row["type"]
    )
    event.create_time.FromDatetime(row["create_time"])
    if row["source"] or row["waiting_reason"]:
        event.progress.source = row["source"] or ""
        event.progress.step = row["step"] or ""
        event.progress.attempts = row["attempts"]
        event.progress.records = row["records"]
        event.progress.done = row["waiting_reason"] is None
        if row["waiting_reason"]:
            event.progress.waiting_reason = reason_value(row["waiting_reason"])
    return event


def _token(row: Request, shape: str) -> str:
    return write_token(row.create_time.isoformat(), str(row.id), shape)


def _position(token: str, shape: str) -> tuple[datetime, UUID] | None:
    if not token:
        return None
    when, identifier, made_for = read_token(token, 3)
    if made_for != shape:
        raise invalid("page_token", "belongs to a list with other filters")
    return parse_position(when, identifier)
