"""ErasureService: messages in and out, nothing else."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from dsr.ledger import Certificate
from dsr.v1 import erasure_pb2 as pb
from dsr.v1.erasure_pb2_grpc import ErasureServiceServicer

from dsrkit import clock
from dsrkit.auth import current_caller
from dsrkit.db import Connection, partner_transaction
from dsrkit.errors import DsrError
from dsrkit.requests import view
from dsrkit.requests.downloads import CERTIFICATE, serve_document
from dsrkit.requests.model import Request
from dsrkit.requests.servicer import Parts, RequestRpcs, conflict, scope
from dsrkit.tasks import NewTask, Task
from services.erasure import officer
from services.erasure.domain import effective
from services.erasure.view import dump, fill

_WAITS_FOR_APPROVAL = frozenset({"PLANNED", "PLAN_CHANGED"})


class ErasureServicer(ErasureServiceServicer):
    """The RPCs of the right."""

    def __init__(self, parts: Parts) -> None:
        self._rpcs = RequestRpcs(parts, pb.ErasureRequest, self._fill)
        self._parts = parts

    async def _fill(self, message: pb.ErasureRequest, request: Request, tasks: Sequence[Task] | None) -> None:
        fill(message, request)
        if message.HasField("report"):
            message.report.partner_dpo = await officer.named(self._parts.vault, request)

    async def CreateErasureRequest(self, request: pb.CreateErasureRequestRequest, context: Any) -> pb.ErasureRequest:
        wanted = request.erasure_request
        view.known_enum(wanted.ground, pb.ErasureRequest.Ground, "erasure_request.ground")
        facts = {"validate_only": wanted.validate_only, "ground": int(wanted.ground)}
        created: pb.ErasureRequest = await self._rpcs.create(request, facts)
        return created

    async def GetErasureRequest(self, request: pb.GetErasureRequestRequest, context: Any) -> pb.ErasureRequest:
        found: pb.ErasureRequest = await self._rpcs.get(request)
        return found

    async def ListErasureRequests(
        self, request: pb.ListErasureRequestsRequest, context: Any
    ) -> pb.ListErasureRequestsResponse:
        page: pb.ListErasureRequestsResponse = await self._rpcs.list(request, pb.ListErasureRequestsResponse())
        return page

    async def CancelErasureRequest(self, request: pb.CancelErasureRequestRequest, context: Any) -> pb.ErasureRequest:
        cancelled: pb.ErasureRequest = await self._rpcs.cancel(request)
        return cancelled

    async def ExtendErasureRequestDeadline(
        self, request: pb.ExtendErasureRequestDeadlineRequest, context: Any
    ) -> pb.ErasureRequest:
        extended: pb.ErasureRequest = await self._rpcs.extend(request)
        return extended

    async def ResolveErasureRequestIdentities(
        self, request: pb.ResolveErasureRequestIdentitiesRequest, context: Any
    ) -> pb.ErasureRequest:
        resolved: pb.ErasureRequest = await self._rpcs.resolve(request)
        return resolved

    async def WatchErasureRequest(
        self, request: pb.WatchErasureRequestRequest, context: Any
    ) -> AsyncIterator[pb.WatchErasureRequestResponse]:
        async for event in self._rpcs.watch(request, pb.WatchErasureRequestResponse):
            yield event

    async def ApproveErasureRequest(self, request: pb.ApproveErasureRequestRequest, context: Any) -> pb.ErasureRequest:
        partner, identifier = scope(request.name, self._parts.right)
        async with partner_transaction(self._parts.store.pool, partner) as connection:
            row = await self._parts.store.get(connection, identifier)
        if not _approved(row, request.plan_digest):
            _check_approvable(row, request.plan_digest)
            # Governance sees the person's own token, not our word for it. A call, so before the row is locked.
            await self._parts.authority.record_approval(row, request.plan_digest, _token(context))

        async def change(connection: Connection, current: Request) -> None:
            if _approved(current, request.plan_digest):
                return
            _check_approvable(current, request.plan_digest)
            now = clock.now()
            starts = effective(now, current.facts["plan"]["grace_seconds"])
            approval = {
                "approver": current_caller().principal,
                "plan_digest": request.plan_digest,
                "approve_time": now.isoformat(),
                "effective_time": starts.isoformat(),
            }
            facts = {**current.facts, "approval": approval, "plan_changes": []}
            saved = await self._parts.store.save(connection, replace(current, state="APPROVED", facts=facts))
            await self._parts.store.add_event(connection, saved, "state.changed")
            await self._parts.store.tasks.insert(connection, identifier, [NewTask("grace", due_time=starts)])

        approved: pb.ErasureRequest = await self._rpcs.mutate(request, "Approve", change)
        return approved

    async def DownloadErasureReport(
        self, request: pb.DownloadErasureReportRequest, context: Any
    ) -> AsyncIterator[pb.DownloadErasureReportResponse]:
        row = await self._row(request.name)
        if "report" not in row.facts:
            raise conflict(row, "COMPLETED or PARTIALLY_ERASED")
        document = await self._document(row)
        filename, response = f"erasure-{row.id}.json", pb.DownloadErasureReportResponse
        async for part in serve_document(document, filename, "application/json", request, response):
            yield part

    async def DownloadErasureCertificate(
        self, request: pb.DownloadErasureCertificateRequest, context: Any
    ) -> AsyncIterator[pb.DownloadErasureCertificateResponse]:
        row = await self._row(request.name)
        certified = row.facts.get("certificate", {})
        if "proof" not in certified:
            raise await self._uncertified(row)
        whole = Certificate(certified["document"].encode(), certified["proof"]).dump()
        filename, response = f"erasure-{row.id}.certificate", pb.DownloadErasureCertificateResponse
        async for part in serve_document(whole, filename, CERTIFICATE, request, response):
            yield part

    async def _row(self, name: str) -> Request:
        partner, identifier = scope(name, self._parts.right)
        async with partner_transaction(self._parts.store.pool, partner) as connection:
            return await self._parts.store.get(connection, identifier)

    async def _uncertified(self, row: Request) -> DsrError:
        if "report" not in row.facts:
            return conflict(row, "COMPLETED or PARTIALLY_ERASED")
        async with partner_transaction(self._parts.store.pool, row.partner) as connection:
            tasks = await self._parts.store.tasks.of_owner(connection, row.id)
        if any(task.step == "certify" for task in tasks):
            text = "The report isn't certified yet; the platform goes on by itself. Try again later."
            return DsrError("STATE_CONFLICT", text, state=row.state, allowed="certified")
        text = "This erasure was over before reports were certified; download its report."
        return DsrError("STATE_CONFLICT", text, state=row.state, allowed="an erasure that ended since")

    async def _document(self, request: Request) -> bytes:
        resource = pb.ErasureRequest()
        view.fill(resource, self._parts.right, request, None, None)
        await self._fill(resource, request, None)
        return dump(resource)


def _approved(request: Request, digest: str) -> bool:
    approval = request.facts.get("approval")
    return approval is not None and approval["plan_digest"] == digest


def _check_approvable(request: Request, digest: str) -> None:
    if request.state not in _WAITS_FOR_APPROVAL:
        raise conflict(request, "PLANNED or PLAN_CHANGED")
    if request.facts["validate_only"]:
        text = "A preview (validate_only) can't be approved; create a request without it."
        raise DsrError("STATE_CONFLICT", text, state="PLANNED", allowed="a request without validate_only")
    plan = request.facts["plan"]
    if plan["digest"] != digest:
        text = "The plan is another by now; read it and approve its digest."
        raise DsrError("PLAN_STALE", text, current_plan_digest=plan["digest"])
    if plan["findings"]:
        codes = sorted({f["code"] for f in plan["findings"]})
        text = "The plan has findings that must be mended first."
        raise DsrError("PLAN_BLOCKED", text, findings=",".join(codes))


def _token(context: Any) -> str:
    for key, value in context.invocation_metadata():
        if key == "authorization":
            return str(value).removeprefix("Bearer ")
    raise DsrError("CREDENTIAL_MISSING", "Present a token: authorization: Bearer <token>.")
