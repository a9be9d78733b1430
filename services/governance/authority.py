"""AuthorityService: what the rights services ask, and report."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
from dsr.authority.v1 import authority_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant
from dsr.v1 import governance_pb2, options_pb2, request_pb2

from dsrkit.auth import Authenticator, require_fresh_person
from dsrkit.db import Connection, partner_transaction
from dsrkit.errors import DsrError, invalid
from dsrkit.grants import GrantSigner
from dsrkit.instructions import differences, reading_back
from dsrkit.interceptors import map_error
from dsrkit.metrics import GRANT_DECISIONS, counter
from dsrkit.requests.view import parse_partner, parse_uuid4
from services.governance import messages
from services.governance.admission import admit
from services.governance.backups import serving
from services.governance.breach.orders import CountRpcs
from services.governance.corrections.orders import AmendmentRpcs
from services.governance.domain import Facts, refuse
from services.governance.gatekeeper import Gatekeeper
from services.governance.keeping import keep
from services.governance.ledger.orders import CertifyRpcs
from services.governance.notifications import contacts
from services.governance.notifications.deadlines import track
from services.governance.notifications.outbox import notify
from services.governance.policies.domain import not_accepted
from services.governance.recipients import view
from services.governance.recipients.tasks import Debt, foresee, owe
from services.governance.retention.orders import OrderRpcs
from services.governance.sandbox.domain import mark
from services.governance.sandbox.orders import SandboxRpcs
from services.governance.services import SERVICES, own_request, own_right, request_name, right_of
from services.governance.staff.check import check as check_staff
from services.governance.termination.destructions import DestructionRpcs
from services.governance.termination.orders import TerminationRpcs
from services.governance.termination.outdating import outdate
from services.governance.termination.returns import ReturnRpcs
from services.governance.tools import Tools, refused
from services.governance.work import WorkRpcs, parse_id


class AuthorityServicer(
    WorkRpcs,
    OrderRpcs,
    AmendmentRpcs,
    CountRpcs,
    TerminationRpcs,
    ReturnRpcs,
    DestructionRpcs,
    SandboxRpcs,
    CertifyRpcs,
):
    """Proto to domain and back, nothing else."""

    def __init__(self, tools: Tools, signer: GrantSigner, partners: Authenticator) -> None:
        super().__init__(tools)
        self._tools = tools
        self._store = tools.store
        self._signer = signer
        self._partners = partners
        self._gatekeeper = Gatekeeper(tools)

    async def Authorize(self, request: pb.AuthorizeRequest, context: Any) -> pb.AuthorizeResponse:
        own_right(request.right)
        request_id = parse_uuid4(request.request_id, "request_id")
        async with partner_transaction(self._store.pool, parse_partner(request.partner, "partner")) as connection:
            row = await self._store.need(connection, "partner", "resource")
            partner = messages.partner(row)
            sources = await self._store.rows(connection, "data_sources", "", 10_000)
            registered = [source["name"] for source in sources]
            for index, source in enumerate(request.data_sources):
                if source not in registered:
                    raise invalid(f"data_sources[{index}]", "is not a data source of this partner")
            current = await self._store.row(connection, "data_map", 0)
            data_map = messages.data_map(current) if current else governance_pb2.DataMap()
            facts = Facts(
                right=request.right,
                standing=row["standing"],
                mapped=[source.source for source in data_map.sources],
                registered=registered,
                wanted=list(request.data_sources),
                verification=request.verification,
            )
            touched = [messages.data_source(s) for s in sources if s["name"] in (facts.wanted or registered)]
            policy = await self._policy(connection)
            refusal = not_accepted(policy["in_effect"], policy["accepted"], self._tools.dpo_contact)
            refusal = refusal or refuse(facts, self._tools.dpo_contact)
            refusal = refusal or await self._gatekeeper.gate(
                connection, request.right, row, touched, request.bundle_location
            )
            if refusal is not None:
                name = request_name(partner.name, request.right, request_id)
                await self._gatekeeper.enter(connection, partner.name, refusal, "Authorize", name, request.principal)
                return pb.AuthorizeResponse(refusal=refusal, partner=partner, data_map_revision=data_map.revision)
            now = self._tools.clock()
            await admit(self._store, connection, request, request_id, partner.daily_request_cap, now)
        return pb.AuthorizeResponse(
            data_map_revision=data_map.revision,
            partner=partner,
            data_sources=facts.wanted or registered,
            policy_version=policy["accepted"],
        )

    async def _policy(self, connection: Connection) -> Any:
        """Which version of the policy is in effect, and which the partner accepted."""
        return await self._store.need(connection, "policies.standing", "resource", self._tools.clock())

    async def GetInstructions(self, request: pb.GetInstructionsRequest, context: Any) -> pb.GetInstructionsResponse:
        own_right(request.right)
        partner_name = parse_partner(request.partner, "partner")
        if request.request and own_request(request.request, request.right) != partner_name:
            raise invalid("request", "belongs to another partner")
        async with partner_transaction(self._store.pool, partner_name) as connection:
            row = await self._store.need(connection, "partner", "resource")
            sources = await self._gatekeeper.instructions(
                connection,
                request.right,
                partner_name,
                request.data_map_revision,
                request.data_sources,
                request.identities,
            )
            touched = [source.data_source for source in sources]
            refusal = await self._gatekeeper.gate(connection, request.right, row, touched, request.bundle_location)
            refusal = refusal or await self._gatekeeper.restricted(connection, request)
            if refusal is not None:
                await self._gatekeeper.enter(connection, partner_name, refusal, "GetInstructions", request.request)
                return pb.GetInstructionsResponse(refusal=refusal)
            await serving.need_served(self._store, connection, request.data_sources)
            return pb.GetInstructionsResponse(
                sources=sources,
                partner=messages.partner(row),
                dpo_contact=self._tools.dpo_contact,
                operator=self._tools.operator,
                partner_dpo=await contacts.partner_dpo(self._tools, connection, partner_name),
            )

    async def IssueGrant(self, request: pb.IssueGrantRequest, context: Any) -> pb.IssueGrantResponse:
        own_right(request.right)
        attributes = {"dsr.right": SERVICES[request.right]}
        try:
            answer = await self._grant(request)
        except Exception as error:
            known = map_error(error)
            attributes["error.type"] = known.reason
            if "rule" in known.metadata:
                attributes["dsr.refusal.rule"] = known.metadata["rule"]
            counter(GRANT_DECISIONS).add(1, attributes)
            raise
        counter(GRANT_DECISIONS).add(1, attributes)
        return answer

    async def _grant(self, request: pb.IssueGrantRequest) -> pb.IssueGrantResponse:
        erases = request.right == pb.RIGHT_ERASURE
        partner = parse_partner(request.source, "source")
        if own_request(request.request, request.right) != partner:
            raise invalid("request", "belongs to another partner than the source")
        async with partner_transaction(self._store.pool, partner) as connection:
            source, refusal = await self._permitted(connection, partner, request)
            if refusal is None:
                approver, told = await self._granted(connection, request, source)
                policy = await self._policy(connection)
        if refusal is not None:
            raise refused(refusal)  # after the transaction: the refusal stays on record
        grant = Grant(
            source=request.source,
            operation=Grant.OPERATION_EXPORT if request.read_back or not erases else Grant.OPERATION_ERASE,
            task=request.task,
            attempt=request.attempt,
            plan_digest=request.plan_digest,
            approver=approver,
            instructions=told,
            request=request.request,
            policy_version=policy["accepted"],
            sandbox=mark(source.data_source),
        )
        signed = self._signer.sign(grant, datetime.now(UTC))
        place = source.data_source
        identity = place.connector_identity if place.HasField("connector_identity") else None
        return pb.IssueGrantResponse(
            grant=signed,
            connector_address=place.connector_address,
            connector_identity=identity,
            sandbox=place.sandbox,
            sandbox_resets=place.sandbox_resets,
            sandbox_reset_time=place.sandbox_reset_time if place.sandbox_resets else None,
        )

    async def _permitted(
        self, connection: Connection, partner: str, request: pb.IssueGrantRequest
    ) -> tuple[pb.SourceInstructions, request_pb2.Refusal | None]:
        row = await self._store.need(connection, "partner", "resource")
        (source,) = await self._gatekeeper.instructions(
            connection, request.right, partner, request.data_map_revision, [request.source], request.identities
        )
        touched = [source.data_source]
        refusal = await self._gatekeeper.gate(connection, request.right, row, touched, request.bundle_location)
        refusal = refusal or await self._gatekeeper.restricted(connection, request)
        if refusal is not None:
            await self._gatekeeper.enter(connection, partner, refusal, "IssueGrant", request.request)
        return source, refusal

    async def _granted(
        self, connection: Connection, request: pb.IssueGrantRequest, source: pb.SourceInstructions
    ) -> tuple[str, Sequence[CollectionInstruction]]:
        """The last checks before a grant; returns the approver of an erasure, and what is granted."""
        await serving.need_served(self._store, connection, [request.source])
        if request.right != pb.RIGHT_ERASURE:
            return "", source.instructions
        if request.read_back:
            # Done is done: a role revoked since, or another data map, must not keep it from being looked at.
            approval = await self._approval(connection, request)
            return approval["approver"], reading_back(request.approved, source.map)
        approver = await self._approver(connection, request)
        changed = differences(request.approved, source.instructions)
        if changed:
            text = "Instructions have changed since the approval."
            raise DsrError("PLAN_CHANGED", text, changes=",".join(changed))
        await self._store.row(connection, "backups.granted", request.source, request.request, self._tools.clock())
        return approver, request.approved

    async def AuthorizeDelivery(
        self, request: pb.AuthorizeDeliveryRequest, context: Any
    ) -> pb.AuthorizeDeliveryResponse:
        partner = own_request(request.request)
        right = right_of(request.request)
        async with partner_transaction(self._store.pool, partner) as connection:
            row = await self._store.need(connection, "partner", "resource")
            refusal = await self._gatekeeper.gate(connection, right, row, (), request.bundle_location)
            if refusal is not None:
                await self._gatekeeper.enter(connection, partner, refusal, "AuthorizeDelivery", request.request)
        return pb.AuthorizeDeliveryResponse(refusal=refusal)

    async def _approval(self, connection: Connection, request: pb.IssueGrantRequest) -> asyncpg.Record:
        row = await self._store.row(connection, "approver", request.request, request.plan_digest)
        if row is None:
            raise DsrError("FOUR_EYES", "No approval of this plan is on record.", why="NOT_APPROVED")
        return row

    async def _approver(self, connection: Connection, request: pb.IssueGrantRequest) -> str:
        row = await self._approval(connection, request)
        if not row["still"]:
            raise DsrError("FOUR_EYES", "The approver's role was revoked since.", why="ROLE_NOT_GRANTED")
        return str(row["approver"])

    async def RecordApproval(self, request: pb.RecordApprovalRequest, context: Any) -> pb.RecordApprovalResponse:
        partner = own_request(request.request, pb.RIGHT_ERASURE)
        caller = self._partners.verify(request.token)
        if caller.partner != partner or "ROLE_APPROVER" not in caller.roles:
            raise DsrError("ROLE_REQUIRED", "This needs the role ROLE_APPROVER.", roles="ROLE_APPROVER")
        require_fresh_person(caller)
        if set(caller.actors) & set(request.creators):
            raise DsrError("FOUR_EYES", "Creator and approver must be different people.", why="SAME_PERSON")
        async with partner_transaction(self._store.pool, partner) as connection:
            holds = await self._store.need(connection, "holds_role", "resource", caller.principal, "ROLE_APPROVER")
            if not holds["exists"]:
                text = "The approver role was not granted to this person by two others."
                raise DsrError("FOUR_EYES", text, why="ROLE_NOT_GRANTED")
            purpose = f"approve {request.request} {request.plan_digest}"
            await self._store.use_token(connection, caller.token_id, purpose)
            await self._store.row(connection, "record_approval", request.request, request.plan_digest, caller.principal)
        return pb.RecordApprovalResponse(approver=caller.principal)

    async def OweRecipients(self, request: pb.OweRecipientsRequest, context: Any) -> pb.OweRecipientsResponse:
        partner = own_request(request.request, pb.RIGHT_ERASURE)
        debt = Debt(
            request=request.request,
            kind="ERASURE",
            owner=request.owner,
            due=request.due_time.ToDatetime(UTC),
            revision=request.data_map_revision,
            touched={t.source: list(t.collections) for t in request.touched},
            asked=list(request.data_sources),
        )
        async with partner_transaction(self._store.pool, partner) as connection:
            rows = await owe(self._tools, connection, partner, debt)
        return pb.OweRecipientsResponse(tasks=[view.task(row) for row in rows])

    async def ForeseeRecipients(
        self, request: pb.ForeseeRecipientsRequest, context: Any
    ) -> pb.ForeseeRecipientsResponse:
        partner = own_request(request.request, pb.RIGHT_ERASURE)
        touched = {t.source: list(t.collections) for t in request.touched}
        async with partner_transaction(self._store.pool, partner) as connection:
            args = (request.data_map_revision, touched, request.data_sources)
            found = await foresee(self._tools, connection, *args)
        return pb.ForeseeRecipientsResponse(tasks=[view.foreseen(partner, request.request, owed) for owed in found])

    async def ListHoldingSnapshots(
        self, request: pb.ListHoldingSnapshotsRequest, context: Any
    ) -> pb.ListHoldingSnapshotsResponse:
        touched = {t.source: list(t.collections) for t in request.touched}
        async with partner_transaction(self._store.pool, own_request(request.request, pb.RIGHT_ERASURE)) as connection:
            found = await serving.held(self._store, connection, touched, self._tools.clock())
        return pb.ListHoldingSnapshotsResponse(snapshots=found)

    async def CheckStaff(self, request: pb.CheckStaffRequest, context: Any) -> pb.CheckStaffResponse:
        await check_staff(self._tools, request.principal, [options_pb2.Role.Name(role) for role in request.roles])
        return pb.CheckStaffResponse()

    async def Report(self, request: pb.ReportRequest, context: Any) -> pb.ReportResponse:
        if len(request.entries) > 500:
            raise invalid("entries", "at most 500")
        by_partner: dict[str, list[pb.ReportEntry]] = {}
        for entry in request.entries:
            by_partner.setdefault(parse_partner(entry.partner, "entries.partner"), []).append(entry)
        for partner, entries in by_partner.items():
            async with partner_transaction(self._store.pool, partner) as connection:
                records = []
                for entry in entries:
                    identifier = parse_id(entry.id, "entries.id")
                    if entry.WhichOneof("entry") == "change":
                        await self._change(connection, identifier, entry.change)
                    else:
                        records.append((identifier, _own(entry.record)))
                await keep(self._store, connection, records)
                for _, record in records:
                    if (record.operation, record.outcome) == ("erase", "OK"):
                        erased = (record.source, record.request, record.record_time.ToDatetime(UTC))
                        await self._store.row(connection, "backups.erased", *erased)
                        if record.records:
                            now = self._tools.clock()
                            await outdate(self._store, connection, record.request, [record.source], now)
        return pb.ReportResponse()

    async def _change(self, connection: Connection, identifier: UUID, change: pb.StateChange) -> None:
        own_request(change.request, change.right)
        changed = await track(self._store, connection, change)
        if changed or change.waiting_reason:
            state = request_pb2.RequestState.Name(change.state).removeprefix("REQUEST_STATE_")
            when, kind = change.change_time.ToDatetime(UTC), "request.state_changed"
            await notify(self._store, connection, when, kind, change.request, notice=identifier, state=state)


def _own(record: governance_pb2.ProcessingRecord) -> governance_pb2.ProcessingRecord:
    """A record as the calling service may tell it: of a request of another right, it can't say which."""
    try:
        if record.request:
            own_request(record.request)
    except DsrError:
        record.request = ""
    return record
