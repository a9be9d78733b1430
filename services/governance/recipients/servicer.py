"""RecipientService: messages in and out."""

from typing import Any
from uuid import UUID

from dsr.v1 import recipient_pb2 as pb
from dsr.v1.recipient_pb2_grpc import RecipientServiceServicer

from dsrkit.auth import current_caller
from dsrkit.db import Connection, partner_snapshot, partner_transaction
from dsrkit.errors import DsrError, invalid, not_found
from services.governance import messages
from services.governance.recipients import view
from services.governance.recipients.domain import REGISTER, SubProcessor, state
from services.governance.tools import Tools, only_ours, scope

_LONGEST = 200
_DONE = {
    pb.ListRecipientTasksRequest.FILTER_UNSPECIFIED: None,
    pb.ListRecipientTasksRequest.FILTER_OPEN: False,
    pb.ListRecipientTasksRequest.FILTER_DONE: True,
}


class RecipientServicer(RecipientServiceServicer):
    """Proto to domain and back, nothing else."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def ListSubProcessors(
        self, request: pb.ListSubProcessorsRequest, context: Any
    ) -> pb.ListSubProcessorsResponse:
        partner, day = scope(request.parent), self._tools.clock().date()
        async with partner_snapshot(self._store.pool, partner) as connection:
            await self._store.need(connection, "partner", "resource")
            rows = {r["sub_processor"]: r for r in await self._store.rows(connection, "recipients.objections")}
        found = [view.sub_processor(partner, entry, rows.get(entry.id), day) for entry in REGISTER]
        return pb.ListSubProcessorsResponse(sub_processors=found)

    async def ObjectToSubProcessor(self, request: pb.ObjectToSubProcessorRequest, context: Any) -> pb.SubProcessor:
        caller, reference = current_caller(), _reference(request.reference, "reference")

        async def make(connection: Connection, _: UUID) -> str:
            await self._store.need(connection, "partner", "resource")
            entry, day = _entry(request.name), self._tools.clock().date()
            if state(entry, False, day) == "ENDED":
                raise DsrError(
                    "STATE_CONFLICT", "It is not in use any more.", state="ENDED", allowed="IN_USE,ANNOUNCED"
                )
            await self._store.use_token(connection, caller.token_id, f"object {entry.id}")
            args = (entry.id, caller.principal, reference, self._tools.clock())
            await self._store.row(connection, "recipients.object", *args)
            return str(request.name)

        return await self._mutate(request, "ObjectToSubProcessor", make)

    async def WithdrawSubProcessorObjection(
        self, request: pb.WithdrawSubProcessorObjectionRequest, context: Any
    ) -> pb.SubProcessor:
        async def make(connection: Connection, _: UUID) -> str:
            await self._store.need(connection, "partner", "resource")
            await self._store.row(connection, "recipients.withdraw", _entry(request.name).id)
            return str(request.name)

        return await self._mutate(request, "WithdrawSubProcessorObjection", make)

    async def _mutate(self, request: Any, method: str, make: Any) -> pb.SubProcessor:
        partner = scope(request.name, "name")
        entry = _entry(await self._tools.once(partner, request, method, make))
        async with partner_transaction(self._store.pool, partner) as connection:
            row = await self._store.row(connection, "recipients.objection", entry.id)
        return view.sub_processor(partner, entry, row, self._tools.clock().date())

    async def GetRecipientTask(self, request: pb.GetRecipientTaskRequest, context: Any) -> pb.RecipientTask:
        return await self._task(request.name)

    async def ListRecipientTasks(
        self, request: pb.ListRecipientTasksRequest, context: Any
    ) -> pb.ListRecipientTasksResponse:
        if request.filter not in _DONE:
            raise invalid("filter", "must be FILTER_OPEN or FILTER_DONE")
        rows, token = await self._tools.page(request, "recipients.list", request.request, _DONE[request.filter])
        return pb.ListRecipientTasksResponse(recipient_tasks=[view.task(row) for row in rows], next_page_token=token)

    async def CompleteRecipientTask(self, request: pb.CompleteRecipientTaskRequest, context: Any) -> pb.RecipientTask:
        evidence = _reference(request.evidence, "evidence")

        async def make(connection: Connection, _: UUID) -> str:
            row = await self._store.need(connection, "recipients.lock_task", "resource", _task_id(request.name))
            only_ours(bool(row["sub_processor"]), "ROLE_REQUESTER")
            if row["complete_time"] is None:
                now = self._tools.clock()
                args = (row["id"], evidence, current_caller().principal, now)
                await self._store.row(connection, "recipients.complete", *args)
                name, due = request.name, row["due_time"]
                await self._store.row(connection, "notifications.track", name, "COMPLETED", False, due, now)
            return str(request.name)

        return await self._task(
            await self._tools.once(scope(request.name, "name"), request, "CompleteRecipientTask", make)
        )

    async def _task(self, name: str) -> pb.RecipientTask:
        async with partner_transaction(self._store.pool, scope(name, "name")) as connection:
            return view.task(await self._store.need(connection, "recipients.task", "resource", _task_id(name)))


def _task_id(name: str) -> UUID:
    return messages.child_uuid(name, "recipientTasks", "resource")


def _entry(name: str) -> SubProcessor:
    parts = name.split("/")
    if len(parts) == 4 and parts[2] == "subProcessors":
        for entry in REGISTER:
            if entry.id == parts[3]:
                return entry
    raise not_found("resource")


def _reference(text: str, field: str) -> str:
    if not 1 <= len(text.strip()) <= _LONGEST:
        raise invalid(field, f"must be a reference of 1 to {_LONGEST} characters")
    return text.strip()
