"""AuthorityService: what the rights services ask, and report."""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from dsr.authority.v1 import authority_pb2 as pb
from dsr.authority.v1.authority_pb2_grpc import AuthorityServiceServicer
from dsr.connector.v1.grant_pb2 import Grant
from dsr.v1 import governance_pb2, request_pb2
from dsr.v1.subject_pb2 import Identity

from dsrkit.auth import Authenticator, require_fresh_person
from dsrkit.db import Connection, partner_transaction
from dsrkit.errors import DsrError, invalid
from dsrkit.grants import GrantSigner
from dsrkit.instructions import differences
from dsrkit.requests.view import parse_partner, parse_uuid4
from dsrkit.vault import Vault
from services.governance import messages
from services.governance.backups import serving
from services.governance.digests import hold_digests, identity_digests
from services.governance.domain import Facts, instructions, refuse, restricted
from services.governance.gate import GateFacts, gate
from services.governance.law.domain import Law
from services.governance.notifications.deadlines import track
from services.governance.notifications.outbox import notify
from services.governance.services import own_request, own_right, right_of
from services.governance.store import GovernanceStore
from services.governance.tools import Clock, refused

DEFAULT_DAILY_CAP = 1000


class AuthorityServicer(AuthorityServiceServicer):
    """Proto to domain and back, nothing else."""

    def __init__(
        self,
        store: GovernanceStore,
        vault: Vault,
        signer: GrantSigner,
        partners: Authenticator,
        dpo_contact: str,
        operator: str,
        law: Law,
        clock: Clock,
    ) -> None:
        self._store = store
        self._vault = vault
        self._signer = signer
        self._partners = partners
        self._dpo_contact = dpo_contact
        self._operator = operator
        self._law = law
        self._clock = clock

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
            refusal = refuse(facts, self._dpo_contact) or self._gate(request.right, row, touched)
            if refusal is not None:
                return pb.AuthorizeResponse(refusal=refusal, partner=partner, data_map_revision=data_map.revision)
            cap = partner.daily_request_cap or DEFAULT_DAILY_CAP
            admitted = await self._store.need(connection, "admitted", "resource", request.principal, request_id)
            if admitted["count"] >= cap:
                text = f"This principal started {cap} requests within 24 hours."
                raise DsrError("RATE_LIMITED", text, retry_after=timedelta(hours=1), limit=str(cap))
            await self._store.row(connection, "admit", request_id, request.principal)
        return pb.AuthorizeResponse(
            data_map_revision=data_map.revision, partner=partner, data_sources=facts.wanted or registered
        )

    async def GetInstructions(self, request: pb.GetInstructionsRequest, context: Any) -> pb.GetInstructionsResponse:
        own_right(request.right)
        partner_name = parse_partner(request.partner, "partner")
        async with partner_transaction(self._store.pool, partner_name) as connection:
            row = await self._store.need(connection, "partner", "resource")
            sources = await self._instructions(
                connection,
                request.right,
                partner_name,
                request.data_map_revision,
                request.data_sources,
                request.identities,
            )
            refusal = self._gate(request.right, row, [source.data_source for source in sources])
            refusal = refusal or await self._restricted(connection, request)
            if refusal is not None:
                return pb.GetInstructionsResponse(refusal=refusal)
            await serving.need_served(self._store, connection, request.data_sources)
            return pb.GetInstructionsResponse(
                sources=sources,
                partner=messages.partner(row),
                dpo_contact=self._dpo_contact,
                operator=self._operator,
            )

    async def _instructions(
        self,
        connection: Connection,
        right: "pb.Right.ValueType",
        partner: str,
        revision: int,
        names: Sequence[str],
        identities: Sequence[Identity],
    ) -> list[pb.SourceInstructions]:
        row = await self._store.need(connection, "data_map", "data map", revision)
        maps = {source.source: source for source in messages.data_map(row).sources}
        digests = await identity_digests(self._vault, partner, [(i.type, i.value) for i in identities])
        digests += await hold_digests(self._vault, partner, [(i.type, i.value) for i in identities])
        holds = await self._store.holds(connection, names, digests)
        found = []
        for name in names:
            source = await self._store.need(connection, "data_source", "data source", name)
            if name not in maps:
                raise invalid("data_sources", "is not in the pinned data map")
            told, retentions = instructions(right, maps[name], [h for h in holds if h.source == name])
            found.append(
                pb.SourceInstructions(
                    data_source=messages.data_source(source),
                    map=maps[name],
                    instructions=told,
                    retentions=retentions,
                )
            )
        return found

    async def IssueGrant(self, request: pb.IssueGrantRequest, context: Any) -> pb.IssueGrantResponse:
        own_right(request.right)
        erases = request.right == pb.RIGHT_ERASURE
        partner = parse_partner(request.source, "source")
        if own_request(request.request, request.right) != partner:
            raise invalid("request", "belongs to another partner than the source")
        async with partner_transaction(self._store.pool, partner) as connection:
            row = await self._store.need(connection, "partner", "resource")
            source = (
                await self._instructions(
                    connection, request.right, partner, request.data_map_revision, [request.source], request.identities
                )
            )[0]
            refusal = self._gate(request.right, row, [source.data_source])
            refusal = refusal or await self._restricted(connection, request)
            if refusal is not None:
                raise refused(refusal)
            await serving.need_served(self._store, connection, [request.source])
            approver = ""
            if erases:
                approver = await self._approver(connection, request)
                changed = differences(request.approved, source.instructions)
                if changed:
                    text = "Instructions have changed since the approval."
                    raise DsrError("PLAN_CHANGED", text, changes=",".join(changed))
                await self._store.row(connection, "backups.granted", request.source, request.request, self._clock())
        grant = Grant(
            source=request.source,
            operation=Grant.OPERATION_ERASE if erases else Grant.OPERATION_EXPORT,
            task=request.task,
            attempt=request.attempt,
            plan_digest=request.plan_digest,
            approver=approver,
            instructions=request.approved if erases else source.instructions,
            request=request.request,
        )
        signed = self._signer.sign(grant, datetime.now(UTC))
        return pb.IssueGrantResponse(grant=signed, connector_address=source.data_source.connector_address)

    def _gate(
        self, right: "pb.Right.ValueType", row: Any, sources: Sequence[governance_pb2.DataSource]
    ) -> request_pb2.Refusal | None:
        facts = GateFacts(right, row["standing"], row["body"]["country"], sources)
        return gate(facts, self._law, self._clock().date(), self._dpo_contact)

    async def _restricted(
        self, connection: Connection, request: pb.GetInstructionsRequest | pb.IssueGrantRequest
    ) -> request_pb2.Refusal | None:
        """Asked before every instruction and every grant: a restriction may have come, or gone, since the last one."""
        if request.right != pb.RIGHT_ERASURE:
            return None
        partner = parse_partner(request.partner if isinstance(request, pb.GetInstructionsRequest) else request.source)
        digests = await hold_digests(self._vault, partner, [(i.type, i.value) for i in request.identities])
        rows = await self._store.rows(connection, "corrections.restrictions", digests)
        names = [f"{partner}/correctionRequests/{row['correction']}" for row in rows]
        return restricted(request.erasure_ground, names, self._dpo_contact)

    async def _approver(self, connection: Connection, request: pb.IssueGrantRequest) -> str:
        row = await self._store.row(connection, "approver", request.request, request.plan_digest)
        if row is None:
            raise DsrError("FOUR_EYES", "No approval of this plan is on record.", why="NOT_APPROVED")
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

    async def RegisterWork(self, request: pb.RegisterWorkRequest, context: Any) -> pb.RegisterWorkResponse:
        own_right(request.right)
        partner = own_request(request.request, request.right)
        digests = await identity_digests(self._vault, partner, [(i.type, i.value) for i in request.identities])
        async with partner_transaction(self._store.pool, partner) as connection:
            # One at a time per partner, so that of two requests at least one sees the other.
            await self._store.need(connection, "lock_partner", "resource")
            await self._store.row(connection, "register_work", request.request, request.right)
            await self._store.row(connection, "add_work_identities", request.request, digests)
            rows = await self._store.rows(connection, "other_work", request.request)
        others = [pb.OpenWork(request=row["request"], right=row["right"], older=row["older"]) for row in rows]
        return pb.RegisterWorkResponse(others=others)

    async def CloseWork(self, request: pb.CloseWorkRequest, context: Any) -> pb.CloseWorkResponse:
        until = request.bundle_expire_time.ToDatetime(UTC) if request.HasField("bundle_expire_time") else None
        partner = own_request(request.request)
        async with partner_transaction(self._store.pool, partner) as connection:
            await self._store.row(connection, "close_work", request.request, right_of(request.request), until)
            if until is None:
                await self._store.row(connection, "forget_work", request.request)
        return pb.CloseWorkResponse()

    async def ObligeBundleEnd(self, request: pb.ObligeBundleEndRequest, context: Any) -> pb.ObligeBundleEndResponse:
        partner = own_request(request.request, pb.RIGHT_ERASURE)
        async with partner_transaction(self._store.pool, partner) as connection:
            await self._store.row(connection, "oblige", request.request)
            row = await self._store.need(connection, "obliged", "resource", request.request)
        return pb.ObligeBundleEndResponse(open=row["open"], total=row["total"])

    async def ListObligations(self, request: pb.ListObligationsRequest, context: Any) -> pb.ListObligationsResponse:
        own_right(request.right)
        rows = await self._store.open_obligations(request.right)
        found = [pb.Obligation(id=str(r["id"]), request=r["request"], erasure=r["erasure"]) for r in rows]
        return pb.ListObligationsResponse(obligations=found)

    async def AcknowledgeObligation(
        self, request: pb.AcknowledgeObligationRequest, context: Any
    ) -> pb.AcknowledgeObligationResponse:
        partner = own_request(request.request)
        async with partner_transaction(self._store.pool, partner) as connection:
            await self._store.need(connection, "acknowledge", "obligation", _uuid(request.id, "id"), request.request)
            await self._store.row(connection, "bundle_ended", request.request)
            await self._store.row(connection, "forget_work", request.request)
        return pb.AcknowledgeObligationResponse()

    async def ListHoldingSnapshots(
        self, request: pb.ListHoldingSnapshotsRequest, context: Any
    ) -> pb.ListHoldingSnapshotsResponse:
        touched = {t.source: list(t.collections) for t in request.touched}
        async with partner_transaction(self._store.pool, own_request(request.request, pb.RIGHT_ERASURE)) as connection:
            found = await serving.held(self._store, connection, touched, self._clock())
        return pb.ListHoldingSnapshotsResponse(snapshots=found)

    async def Report(self, request: pb.ReportRequest, context: Any) -> pb.ReportResponse:
        if len(request.entries) > 500:
            raise invalid("entries", "at most 500")
        by_partner: dict[str, list[pb.ReportEntry]] = {}
        for entry in request.entries:
            by_partner.setdefault(parse_partner(entry.partner, "entries.partner"), []).append(entry)
        for partner, entries in by_partner.items():
            async with partner_transaction(self._store.pool, partner) as connection:
                for entry in entries:
                    await self._take(connection, entry)
        return pb.ReportResponse()

    async def _take(self, connection: Connection, entry: pb.ReportEntry) -> None:
        identifier = _uuid(entry.id, "entries.id")
        if entry.WhichOneof("entry") == "change":
            change = entry.change
            own_request(change.request, change.right)
            changed = await track(self._store, connection, change)
            if changed or change.waiting_reason:
                state = request_pb2.RequestState.Name(change.state).removeprefix("REQUEST_STATE_")
                when, kind = change.change_time.ToDatetime(UTC), "request.state_changed"
                await notify(self._store, connection, when, kind, change.request, notice=identifier, state=state)
            return
        record = entry.record
        if record.request:
            own_request(record.request)
        ip = ipaddress.ip_address(record.originating_ip) if record.originating_ip else None
        args = (record.actor, record.operation, record.request, record.source, record.outcome, record.records)
        when = record.record_time.ToDatetime(UTC)
        await self._store.row(connection, "add_record", identifier, *args, when, ip)
        if record.operation == "erase":
            await self._store.row(connection, "backups.erased", record.source, record.request, when)


def _uuid(text: str, field: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise invalid(field, "must be a UUID") from None
