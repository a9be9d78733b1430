"""RefusalService: messages in and out."""

from datetime import UTC
from typing import Any
from uuid import UUID

import asyncpg
from dsr.v1 import refusal_pb2 as pb
from dsr.v1 import request_pb2
from dsr.v1.refusal_pb2_grpc import RefusalServiceServicer

from dsrkit.auth import current_caller
from dsrkit.db import Connection, partner_snapshot, partner_transaction, sweeper_transaction
from dsrkit.errors import DsrError, invalid
from dsrkit.requests.view import known_enum
from services.governance import messages
from services.governance.notifications import contacts
from services.governance.notifications.outbox import notify
from services.governance.refusals import domain, view
from services.governance.store import SCHEMA
from services.governance.tools import Tools, scope

_VERBS = {
    pb.AnswerObjectionRequest.ANSWER_UPHELD: "uphold",
    pb.AnswerObjectionRequest.ANSWER_WITHDRAWN: "withdraw",
}


class RefusalServicer(RefusalServiceServicer):
    """Proto to domain and back, nothing else."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def CreateSubjectRefusal(self, request: pb.CreateSubjectRefusalRequest, context: Any) -> pb.RefusalRecord:
        partner, given, now = scope(request.parent), request.subject_refusal, self._tools.clock()
        found = domain.wrong(given, partner, now)
        if found is not None:
            raise invalid(f"subject_refusal.{found[0]}", found[1])

        async def make(connection: Connection, base: UUID) -> str:
            zone = messages.partner(await self._store.need(connection, "partner", "resource")).time_zone
            received, told = (t.ToDatetime(UTC) for t in (given.received_time, given.subject_told_time))
            late = domain.told_late(received, told, zone)
            article = domain.REASONS[given.reason].article
            body = messages.to_json(given)
            args = (given.request, given.reason, article, body, late, current_caller().principal, now)
            await self._store.row(connection, "refusals.record", base, *args)
            return f"{partner}/refusals/{base}"

        return await self._read(await self._tools.once(partner, request, "CreateSubjectRefusal", make))

    async def GetRefusal(self, request: pb.GetRefusalRequest, context: Any) -> pb.RefusalRecord:
        return await self._read(request.name)

    async def ListRefusals(self, request: pb.ListRefusalsRequest, context: Any) -> pb.ListRefusalsResponse:
        known_enum(request.kind, request_pb2.Refusal.Kind, "kind")
        kind = request_pb2.Refusal.Kind.Name(request.kind).removeprefix("KIND_") if request.kind else ""
        rows, token = await self._tools.page(request, "refusals.list", kind, request.request)
        async with partner_transaction(self._store.pool, scope(request.parent)) as connection:
            officer = await contacts.partner_dpo(self._tools, connection, scope(request.parent))
        found = [view.message(row, self._tools.dpo_contact, officer) for row in rows]
        return pb.ListRefusalsResponse(refusals=found, next_page_token=token)

    async def ObjectToRefusal(self, request: pb.ObjectToRefusalRequest, context: Any) -> pb.RefusalRecord:
        return await self._move(request, "ObjectToRefusal", "object", "refusals.object")

    async def AnswerObjection(self, request: pb.AnswerObjectionRequest, context: Any) -> pb.RefusalRecord:
        if request.answer not in _VERBS:
            raise invalid("answer", "must be ANSWER_UPHELD or ANSWER_WITHDRAWN")
        return await self._move(request, "AnswerObjection", _VERBS[request.answer], "refusals.answer")

    async def _move(self, request: Any, method: str, verb: str, statement: str) -> pb.RefusalRecord:
        found = domain.reference(request.reference)
        if found is not None:
            raise invalid(*found)
        caller = current_caller()

        async def make(connection: Connection, _: UUID) -> str:
            row = await self._store.need(connection, "refusals.lock", "resource", _id(request.name))
            state = _next(verb, row)
            await self._store.use_token(connection, caller.token_id, f"{verb} {row['id']}")
            now = self._tools.clock()
            args = (row["id"], state, caller.principal, request.reference.strip(), now)
            await self._store.row(connection, statement, *args)
            if verb != "object":
                await notify(self._store, connection, now, "refusal.answered", request.name, state, state=state)
            return str(request.name)

        return await self._read(await self._tools.once(scope(request.name, "name"), request, method, make))

    async def ListOpenObjections(
        self, request: pb.ListOpenObjectionsRequest, context: Any
    ) -> pb.ListOpenObjectionsResponse:
        async with sweeper_transaction(self._store.pool, SCHEMA) as connection:
            rows = await self._store.rows(connection, "refusals.open_objections")
        return pb.ListOpenObjectionsResponse(refusals=[f"{row['partner']}/refusals/{row['id']}" for row in rows])

    async def _read(self, name: str) -> pb.RefusalRecord:
        partner = scope(name, "name")
        async with partner_snapshot(self._store.pool, partner) as connection:
            row = await self._store.need(connection, "refusals.get", "resource", _id(name))
            officer = await contacts.partner_dpo(self._tools, connection, partner)
        return view.message(row, self._tools.dpo_contact, officer)


def _id(name: str) -> UUID:
    return messages.child_uuid(name, "refusals", "resource")


def _next(verb: str, row: asyncpg.Record) -> str:
    state = domain.after(verb, row["kind"], row["state"])
    if state is None:
        allowed = "an operator's refusal that is STANDING" if verb == "object" else "OBJECTED"
        text = f"The refusal is {row['kind']} and {row['state']}; this needs {allowed}."
        raise DsrError("STATE_CONFLICT", text, state=row["state"], allowed=allowed)
    return state
