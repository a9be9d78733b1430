"""Governance, as the rights services ask it."""

from collections.abc import Awaitable, Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import grpc
from dsr.authority.v1 import authority_pb2 as pb
from dsr.authority.v1.authority_pb2_grpc import AuthorityServiceStub
from dsr.connector.v1.grant_pb2 import CollectionInstruction
from dsr.credentials import AUTHORITY_AUDIENCE
from dsr.v1 import options_pb2
from dsr.v1.backups_pb2 import Snapshot
from dsr.v1.governance_pb2 import Location
from dsr.v1.recipient_pb2 import RecipientTask
from dsr.v1.request_pb2 import Refusal
from dsr.v1.subject_pb2 import Identity

from dsrkit.channels import Channels
from dsrkit.errors import CODES, DsrError, from_rpc_error
from dsrkit.requests.model import Dossier, Request, Right
from dsrkit.tasks import Task

if TYPE_CHECKING:
    from dsr.authority.v1.authority_pb2_grpc import AuthorityServiceAsyncStub

TIMEOUT = 10.0
T = TypeVar("T")


class Authority:
    """A client of `AuthorityService` for one right. GOVERNANCE_UNAVAILABLE when it can't be reached."""

    def __init__(self, channels: Channels, address: str, right: Right, bundle_location: Location | None) -> None:
        self._channels = channels
        self._address = address
        self._right = right
        self.bundle_location = bundle_location

    @property
    def _stub(self) -> "AuthorityServiceAsyncStub":
        return AuthorityServiceStub(self._channels.get(self._address))

    async def authorize(self, request: pb.AuthorizeRequest) -> pb.AuthorizeResponse:
        """May this request be started?"""
        request.right = self._right.number
        if self.bundle_location is not None:
            request.bundle_location.CopyFrom(self.bundle_location)
        return await self._call(self._stub.Authorize(request, timeout=TIMEOUT, metadata=self._metadata()))

    async def instructions(
        self, request: Request, sources: Sequence[str], dossier: Dossier
    ) -> pb.GetInstructionsResponse:
        """Instructions as of now. INSTRUCTION_REFUSED when the work is no longer allowed."""
        message = pb.GetInstructionsRequest(
            partner=request.partner,
            right=self._right.number,
            request=self._right.name(request.partner, request.id),
            data_map_revision=request.data_map_revision,
            data_sources=sources,
            identities=identities(dossier),
            erasure_ground=request.facts.get("ground", 0),
            bundle_location=self.bundle_location,
        )
        answer = await self._call(self._stub.GetInstructions(message, timeout=TIMEOUT, metadata=self._metadata()))
        if answer.HasField("refusal"):
            raise _refused(answer.refusal)
        return answer

    async def delivery(self, request: Request) -> None:
        """Asks whether a request's bundle may be handed out, from where it is. INSTRUCTION_REFUSED."""
        where = request.facts["bundle"].get("location")
        message = pb.AuthorizeDeliveryRequest(
            request=self._right.name(request.partner, request.id),
            bundle_location=Location(**where) if where else None,
        )
        answer = await self._call(self._stub.AuthorizeDelivery(message, timeout=TIMEOUT, metadata=self._metadata()))
        if answer.HasField("refusal"):
            raise _refused(answer.refusal)

    async def grant(
        self,
        request: Request,
        task: Task,
        dossier: Dossier,
        *,
        plan_digest: str = "",
        approver: str = "",
        approved: Sequence[CollectionInstruction] = (),
        read_back: bool = False,
    ) -> pb.IssueGrantResponse:
        """A grant for one attempt of one task. `read_back`: to export the fields that were anonymised, nothing else."""
        message = pb.IssueGrantRequest(
            source=task.source or "",
            right=self._right.number,
            request=self._right.name(request.partner, request.id),
            task=task.name,
            attempt=task.attempt,
            data_map_revision=request.data_map_revision,
            plan_digest=plan_digest,
            approver=approver,
            approved=approved,
            read_back=read_back,
            identities=identities(dossier),
            erasure_ground=request.facts.get("ground", 0),
            bundle_location=self.bundle_location,
        )
        return await self._call(self._stub.IssueGrant(message, timeout=TIMEOUT, metadata=self._metadata()))

    async def record_approval(self, request: Request, plan_digest: str, token: str) -> str:
        """Has governance check the approver's own token, and record the approval. Returns the approver's opaque id."""
        message = pb.RecordApprovalRequest(
            request=self._right.name(request.partner, request.id),
            plan_digest=plan_digest,
            token=token,
            creators=request.creator_actors,
        )
        answer = await self._call(self._stub.RecordApproval(message, timeout=TIMEOUT, metadata=self._metadata()))
        return answer.approver

    async def register(self, request: Request, dossier: Dossier) -> Sequence[pb.OpenWork]:
        """Registers open work on the person; returns other open work on the same one."""
        message = pb.RegisterWorkRequest(
            request=self._right.name(request.partner, request.id),
            right=self._right.number,
            identities=identities(dossier),
        )
        answer = await self._call(self._stub.RegisterWork(message, timeout=TIMEOUT, metadata=self._metadata()))
        return answer.others

    async def close(self, request: Request, bundle_expire_time: datetime | None) -> None:
        """Says that the request no longer works on the person."""
        message = pb.CloseWorkRequest(request=self._right.name(request.partner, request.id))
        if bundle_expire_time is not None:
            message.bundle_expire_time.FromDatetime(bundle_expire_time)
        await self._call(self._stub.CloseWork(message, timeout=TIMEOUT, metadata=self._metadata()))

    async def oblige(self, request: Request) -> pb.ObligeBundleEndResponse:
        """Obliges the other rights to end bundles of the person."""
        message = pb.ObligeBundleEndRequest(request=self._right.name(request.partner, request.id))
        return await self._call(self._stub.ObligeBundleEnd(message, timeout=TIMEOUT, metadata=self._metadata()))

    async def holding_snapshots(self, request: Request, touched: Mapping[str, Sequence[str]]) -> Sequence[Snapshot]:
        """Snapshots that may still hold what an erasure destroyed: collections by source."""
        message = pb.ListHoldingSnapshotsRequest(request=self._right.name(request.partner, request.id))
        for source, collections in touched.items():
            message.touched.add(source=source, collections=collections)
        call = self._stub.ListHoldingSnapshots(message, timeout=TIMEOUT, metadata=self._metadata())
        return (await self._call(call)).snapshots

    async def sweep_orders(self) -> Sequence[pb.SweepOrder]:
        """Retention sweeps that have something to do."""
        call = self._stub.ListSweepOrders(pb.ListSweepOrdersRequest(), timeout=TIMEOUT, metadata=self._metadata())
        return (await self._call(call)).orders

    async def sweep_grant(self, sweep: str) -> pb.IssueSweepGrantResponse:
        """A grant to list the people of a sweep. STATE_CONFLICT when it was cancelled."""
        message = pb.IssueSweepGrantRequest(sweep=sweep)
        return await self._call(self._stub.IssueSweepGrant(message, timeout=TIMEOUT, metadata=self._metadata()))

    async def report_sweep(self, message: pb.ReportSweepRequest) -> None:
        """Reports what came of an order."""
        await self._call(self._stub.ReportSweep(message, timeout=TIMEOUT, metadata=self._metadata()))

    async def count_orders(self) -> Sequence[pb.CountOrder]:
        """Data sources whose people are to be counted."""
        call = self._stub.ListCountOrders(pb.ListCountOrdersRequest(), timeout=TIMEOUT, metadata=self._metadata())
        return (await self._call(call)).orders

    async def count_grant(self, order: pb.CountOrder) -> pb.IssueCountGrantResponse:
        """A grant to count; the order is the caller's for a while. STATE_CONFLICT when it is nobody's to count."""
        message = pb.IssueCountGrantRequest(breach=order.breach, source=order.source)
        return await self._call(self._stub.IssueCountGrant(message, timeout=TIMEOUT, metadata=self._metadata()))

    async def report_count(self, message: pb.ReportCountRequest) -> None:
        """Reports what came of a count."""
        await self._call(self._stub.ReportCount(message, timeout=TIMEOUT, metadata=self._metadata()))

    async def sweep_approval(self, request: Request, plan_digest: str, touched: Mapping[str, Sequence[str]]) -> str:
        """Has a plan approved by its sweep's approval. Returns the approver's opaque id. FOUR_EYES."""
        name = self._right.name(request.partner, request.id)
        message = pb.RecordSweepApprovalRequest(sweep=request.facts["sweep"], request=name, plan_digest=plan_digest)
        for source, collections in touched.items():
            message.touched.add(source=source, collections=collections)
        call = self._stub.RecordSweepApproval(message, timeout=TIMEOUT, metadata=self._metadata())
        return (await self._call(call)).approver

    async def foresee_recipients(
        self, request: Request, touched: Mapping[str, Sequence[str]]
    ) -> Sequence[RecipientTask]:
        """What recipients will have to hear of an erasure; makes nothing."""
        if not touched:
            return ()
        message = pb.ForeseeRecipientsRequest(
            request=self._right.name(request.partner, request.id),
            data_map_revision=request.data_map_revision,
            data_sources=request.data_sources,
        )
        for source, collections in touched.items():
            message.touched.add(source=source, collections=collections)
        call = self._stub.ForeseeRecipients(message, timeout=TIMEOUT, metadata=self._metadata())
        return (await self._call(call)).tasks

    async def owe_recipients(self, request: Request, touched: Mapping[str, Sequence[str]]) -> Sequence[RecipientTask]:
        """What recipients have to hear of an erasure; makes their tasks, once."""
        if not touched:
            return ()
        message = pb.OweRecipientsRequest(
            request=self._right.name(request.partner, request.id),
            data_map_revision=request.data_map_revision,
            data_sources=request.data_sources,
            owner=request.creator,
        )
        message.due_time.FromDatetime(request.due_time)
        for source, collections in touched.items():
            message.touched.add(source=source, collections=collections)
        call = self._stub.OweRecipients(message, timeout=TIMEOUT, metadata=self._metadata())
        return (await self._call(call)).tasks

    async def amendment_orders(self) -> Sequence[pb.AmendmentOrder]:
        """Tasks of correction requests that have something to do."""
        message = pb.ListAmendmentOrdersRequest()
        call = self._stub.ListAmendmentOrders(message, timeout=TIMEOUT, metadata=self._metadata())
        return (await self._call(call)).orders

    async def amendment_grant(
        self, order: pb.AmendmentOrder, flags: Sequence[pb.DeclaredFlag], names: Sequence[Identity]
    ) -> pb.IssueAmendmentGrantResponse:
        """What is to be set for a task; each is a new attempt. STATE_CONFLICT when there is nothing to do.

        Without names of the person: where and for whom; with them a grant.
        """
        message = pb.IssueAmendmentGrantRequest(
            request=order.request, source=order.source, flags=flags, identities=names, without_grant=not names
        )
        return await self._call(self._stub.IssueAmendmentGrant(message, timeout=TIMEOUT, metadata=self._metadata()))

    async def report_amendment(self, message: pb.ReportAmendmentRequest) -> None:
        """Says what came of an order."""
        await self._call(self._stub.ReportAmendment(message, timeout=TIMEOUT, metadata=self._metadata()))

    async def delay_amendment(self, message: pb.DelayAmendmentRequest) -> None:
        """Says why nothing came of an order for now."""
        await self._call(self._stub.DelayAmendment(message, timeout=TIMEOUT, metadata=self._metadata()))

    async def terminations(self) -> Sequence[str]:
        """Terminations for which this service has to destroy what it keeps."""
        message = pb.ListTerminationOrdersRequest(right=self._right.number)
        call = self._stub.ListTerminationOrders(message, timeout=TIMEOUT, metadata=self._metadata())
        return (await self._call(call)).terminations

    async def emptied(self, termination: str) -> None:
        """Says that nothing of the partner is left here."""
        message = pb.AcknowledgeTerminationRequest(termination=termination, right=self._right.number)
        await self._call(self._stub.AcknowledgeTermination(message, timeout=TIMEOUT, metadata=self._metadata()))

    async def return_orders(self) -> Sequence[pb.ReturnOrder]:
        """Whole data sources that are to be returned."""
        call = self._stub.ListReturnOrders(pb.ListReturnOrdersRequest(), timeout=TIMEOUT, metadata=self._metadata())
        return (await self._call(call)).orders

    async def return_grant(self, request: Request, task: Task) -> pb.IssueReturnGrantResponse:
        """A grant to return a whole data source. STATE_CONFLICT when its termination doesn't return any more."""
        message = pb.IssueReturnGrantRequest(
            termination=request.facts["termination"],
            source=request.data_sources[0],
            request=self._right.name(request.partner, request.id),
            task=task.name,
            attempt=task.attempt,
            bundle_location=self.bundle_location,
        )
        return await self._call(self._stub.IssueReturnGrant(message, timeout=TIMEOUT, metadata=self._metadata()))

    async def report_return(self, message: pb.ReportReturnRequest) -> None:
        """Says what was returned, or why nothing can be."""
        await self._call(self._stub.ReportReturn(message, timeout=TIMEOUT, metadata=self._metadata()))

    async def destruction_orders(self) -> Sequence[pb.DestructionOrder]:
        """Whole data sources that are to be destroyed."""
        message = pb.ListDestructionOrdersRequest()
        call = self._stub.ListDestructionOrders(message, timeout=TIMEOUT, metadata=self._metadata())
        return (await self._call(call)).orders

    async def destruction_grant(self, order: pb.DestructionOrder, *, count_only: bool = False) -> pb.IssueGrantResponse:
        """A grant to destroy a whole data source; each is a new attempt. STATE_CONFLICT when there is nothing to do."""
        message = pb.IssueDestructionGrantRequest(
            termination=order.termination, source=order.source, count_only=count_only
        )
        return await self._call(self._stub.IssueDestructionGrant(message, timeout=TIMEOUT, metadata=self._metadata()))

    async def report_destruction(self, message: pb.ReportDestructionRequest) -> None:
        """Says that a data source is destroyed, or why it isn't."""
        await self._call(self._stub.ReportDestruction(message, timeout=TIMEOUT, metadata=self._metadata()))

    async def certify(self, request: Request, document_sha256: bytes) -> pb.CertifyResponse:
        """Has the ledger take a document about the request; once. LEDGER_BEHIND."""
        name = self._right.name(request.partner, request.id)
        message = pb.CertifyRequest(request=name, document_sha256=document_sha256)
        return await self._call(self._stub.Certify(message, timeout=TIMEOUT, metadata=self._metadata()))

    async def sandbox_clocks(self) -> Sequence[pb.SandboxClock]:
        """Clocks of sandboxes that this service doesn't go by yet."""
        message = pb.ListSandboxClocksRequest(right=self._right.number)
        call = self._stub.ListSandboxClocks(message, timeout=TIMEOUT, metadata=self._metadata())
        return (await self._call(call)).clocks

    async def follow_sandbox_clock(self, clock: pb.SandboxClock) -> None:
        """Says that this service goes by it."""
        message = pb.FollowSandboxClockRequest(right=self._right.number, clock=clock)
        await self._call(self._stub.FollowSandboxClock(message, timeout=TIMEOUT, metadata=self._metadata()))

    async def obligations(self, after: str) -> Sequence[pb.Obligation]:
        """Open obligations of this right, a page at a time: those after this id."""
        message = pb.ListObligationsRequest(right=self._right.number, after_id=after)
        answer = await self._call(self._stub.ListObligations(message, timeout=TIMEOUT, metadata=self._metadata()))
        return answer.obligations

    async def acknowledge(self, obligation: pb.Obligation) -> None:
        """Says that an obligation is fulfilled."""
        message = pb.AcknowledgeObligationRequest(id=obligation.id, request=obligation.request)
        await self._call(self._stub.AcknowledgeObligation(message, timeout=TIMEOUT, metadata=self._metadata()))

    async def check_staff(self, principal: str, roles: Collection[str]) -> None:
        """FOUR_EYES unless two other people granted this member of staff one of these roles."""
        message = pb.CheckStaffRequest(principal=principal, roles=[options_pb2.Role.Value(role) for role in roles])
        await self._call(self._stub.CheckStaff(message, timeout=TIMEOUT, metadata=self._metadata()))

    async def report(self, entries: Sequence[pb.ReportEntry]) -> None:
        """Hands over what the outbox holds."""
        message = pb.ReportRequest(entries=entries)
        await self._call(self._stub.Report(message, timeout=TIMEOUT, metadata=self._metadata()))

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return self._channels.metadata(AUTHORITY_AUDIENCE)

    async def _call(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise _translate(error) from None


def identities(dossier: Dossier) -> list[Identity]:
    """The identities that stand for the person, as messages."""
    return [Identity(type=i.type, value=i.value) for i in dossier.followed()]


def _refused(refusal: Refusal) -> DsrError:
    text = f"Governance refuses ({refusal.rule}, {refusal.article})."
    return DsrError("INSTRUCTION_REFUSED", text, rule=refusal.rule, article=refusal.article, refusal=refusal.name)


_UNAVAILABLE = frozenset({"STORE_UNAVAILABLE", "METHOD_UNKNOWN"})
"""A governance that doesn't know a call is of the former release; what needs the call waits for the upgrade."""


def _translate(error: grpc.aio.AioRpcError) -> DsrError:
    info = from_rpc_error(error)
    if info is not None and info.reason in CODES and info.reason not in _UNAVAILABLE:
        return DsrError(info.reason, error.details() or info.reason, **dict(info.metadata))
    return DsrError("GOVERNANCE_UNAVAILABLE", "Governance can't be reached, so nothing new may start. Retry.")
