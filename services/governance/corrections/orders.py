"""What the erasure service asks of amendments. Governance itself calls no connector and sets nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
from dsr.authority.v1 import authority_pb2 as pb
from dsr.connector.v1.grant_pb2 import Amendment, Grant
from dsr.v1 import correction_pb2, governance_pb2

from dsrkit.db import Connection, partner_transaction, sweeper_transaction
from dsrkit.errors import DsrError, invalid
from dsrkit.grants import GrantSigner
from dsrkit.requests.view import parse_partner
from dsrkit.vault import KeyGone
from services.governance import messages
from services.governance.backups import serving
from services.governance.corrections import amendments, candidates, view
from services.governance.corrections.closing import settle
from services.governance.corrections.reports import AmendmentReports
from services.governance.digests import hold_digests, identity_digests
from services.governance.gatekeeper import Gatekeeper
from services.governance.sandbox.domain import mark
from services.governance.services import own_right
from services.governance.store import SCHEMA
from services.governance.tools import Tools, refused

_MOST_FLAGS = 10_000


class AmendmentRpcs(AmendmentReports):
    """Part of the authority, for the erasure service alone."""

    def __init__(self, tools: Tools, signer: GrantSigner, gatekeeper: Gatekeeper) -> None:
        super().__init__(tools)
        self._signer = signer
        self._gatekeeper = gatekeeper

    async def ListAmendmentOrders(
        self, request: pb.ListAmendmentOrdersRequest, context: Any
    ) -> pb.ListAmendmentOrdersResponse:
        own_right(pb.RIGHT_ERASURE)
        async with sweeper_transaction(self._store.pool, SCHEMA) as connection:
            rows = await self._store.rows(connection, "corrections.orders", self._tools.real_time())
        return pb.ListAmendmentOrdersResponse(
            orders=[
                pb.AmendmentOrder(
                    request=f"{row['partner']}/correctionRequests/{row['correction']}",
                    source=row["source"],
                    preview=row["state"] == "PREVIEWING",
                    attempt=row["attempt"],
                )
                for row in rows
            ]
        )

    async def IssueAmendmentGrant(
        self, request: pb.IssueAmendmentGrantRequest, context: Any
    ) -> pb.IssueAmendmentGrantResponse:
        own_right(pb.RIGHT_ERASURE)
        if len(request.flags) > _MOST_FLAGS:
            raise invalid("flags", f"at most {_MOST_FLAGS:,}")
        if not request.identities and not request.without_grant:
            # An erasure service of the release before looks for the person afterwards; what it has in hand has to wait.
            raise invalid("identities", "is required for a grant")
        partner = parse_partner(request.request, "request")
        await self._check_amendment_approver(partner, request)
        async with partner_transaction(self._store.pool, partner) as connection:
            await self._store.row(connection, "corrections.lock_restrictions")
            row, task = await self._amendment_task(connection, request.request, request.source)
            over = row["complete_time"] is not None or task["complete_time"] is not None
            if over or task["state"] not in ("PREVIEWING", "APPROVED"):
                text = "There is nothing to set for this task."
                raise DsrError("STATE_CONFLICT", text, state=task["state"] or row["state"], allowed="APPROVED")
            source = await self._amended_source(connection, request.source)
            demand = await self._demand(partner, row)
            choice = candidates.chosen(await candidates.load(self._tools, row))
            current = await self._store.row(connection, "data_map", 0)
            data_map = messages.data_map(current) if current else governance_pb2.DataMap()
            names = [(i.type, i.value) for i in (*demand.identities, *request.identities)]
            found, changes = await self._amendments(connection, task, request, demand, data_map)
            holds = await self._holds(connection, partner, request.source, names, changes) if request.identities else []
            stop = await self._stopped(connection, partner, row, task, request, names, holds)
            if stop is None:
                numbered = await self._number(connection, task, changes, holds)
                policy = await self._store.need(connection, "policies.standing", "resource", self._tools.clock())
                resolving = [
                    pb.IdentitySource(
                        data_source=await self._amended_source(connection, s.source), types=s.authoritative_for
                    )
                    for s in data_map.sources
                    if s.authoritative_for
                ]
        if stop is not None:
            raise stop  # after the transaction: the task's new state stays
        told = pb.IssueAmendmentGrantResponse(
            data_source=source,
            identities=demand.identities,
            attempt=numbered["attempt"],
            identity_sources=resolving,
            chosen=choice,
        )
        if task["state"] == "APPROVED":
            told.person_digest = task["person_digest"]
        if found and request.identities:
            self._sign(told, self._amendment_grant(request, numbered, source, policy["accepted"], found), changes)
        return told

    async def _amendments(
        self,
        connection: Connection,
        task: asyncpg.Record,
        request: pb.IssueAmendmentGrantRequest,
        demand: correction_pb2.CorrectionRequest,
        data_map: governance_pb2.DataMap,
    ) -> tuple[list[Amendment], list[dict[str, Any]]]:
        """What is to be set, and what of it is shown; nothing where it isn't what was approved."""
        mapped = {c.collection for s in data_map.sources if s.source == request.source for c in s.collections}
        if task["clears"]:
            # A mark goes wherever it was set, though the data map has changed since.
            marked = await self._store.need(
                connection, "corrections.marked", "task", task["correction"], task["source"]
            )
            mapped |= {change["collection"] for change in marked["changes"]}
        declared = {(flag.collection, flag.flag): flag.field for flag in request.flags}
        found = amendments.wanted(demand, request.source, mapped, declared, clears=task["clears"])
        changes = amendments.shown(found, declared)
        if task["state"] == "PREVIEWING":
            return found, changes
        same = amendments.same_names(changes, task["changes"])
        return amendments.approved(found, task["changes"]) if same else [], task["changes"]

    async def _holds(
        self,
        connection: Connection,
        partner: str,
        source: str,
        names: Sequence[tuple[str, str]],
        changes: Sequence[dict[str, Any]],
    ) -> list[str]:
        """Holds in force on what would change."""
        digests = await identity_digests(self._tools.vault, partner, names)
        digests += await hold_digests(self._tools.vault, partner, names)
        collections = {change["collection"] for change in changes}
        found = await self._store.holds(connection, [source], digests)
        return sorted({hold.name for hold in found if hold.collection in collections})

    async def _stopped(
        self,
        connection: Connection,
        partner: str,
        row: asyncpg.Record,
        task: asyncpg.Record,
        request: pb.IssueAmendmentGrantRequest,
        names: Sequence[tuple[str, str]],
        holds: Sequence[str],
    ) -> DsrError | None:
        """Why there is no grant by now: another restriction keeps the mark, or a hold came after the approval."""
        if task["clears"] and request.identities:
            digests = await hold_digests(self._tools.vault, partner, names)
            if await self._store.rows(connection, "corrections.restrictions", digests):
                await self._set_amendment(connection, task, "KEPT", [])
                await settle(self._tools, connection, row, request.request, self._tools.clock())
                text = "Another restriction of the person is in force, so the mark stays."
                return DsrError("STATE_CONFLICT", text, state="KEPT", allowed="APPROVED")
        if task["state"] == "APPROVED" and not set(holds) <= set(task["holds"]):
            await self._set_amendment(connection, task, "PREVIEWING", [])
            text = "A hold was placed since the approval; who approves has to know of it."
            return DsrError("STATE_CONFLICT", text, state="PREVIEWING", allowed="APPROVED")
        return None

    async def _number(
        self, connection: Connection, task: asyncpg.Record, changes: Sequence[dict[str, Any]], holds: Sequence[str]
    ) -> asyncpg.Record:
        """A new attempt. What was approved stays as it was shown."""
        kept = task["holds"] if task["state"] == "APPROVED" else holds
        args = (task["correction"], task["source"], task["clears"], list(changes), list(kept))
        return await self._store.need(connection, "corrections.attempt", "resource", *args)

    def _sign(self, told: pb.IssueAmendmentGrantResponse, grant: Grant, changes: Sequence[dict[str, Any]]) -> None:
        told.grant.CopyFrom(self._signer.sign(grant, datetime.now(UTC)))
        if grant.approver:
            back = Grant(operation=Grant.OPERATION_EXPORT, instructions=amendments.reading_back(changes))
            for name in ("source", "task", "attempt", "plan_digest", "approver", "request", "policy_version"):
                setattr(back, name, getattr(grant, name))
            if grant.HasField("sandbox"):
                back.sandbox.CopyFrom(grant.sandbox)
            told.read_back.CopyFrom(self._signer.sign(back, datetime.now(UTC)))

    def _amendment_grant(
        self,
        request: pb.IssueAmendmentGrantRequest,
        task: asyncpg.Record,
        source: governance_pb2.DataSource,
        policy: int,
        found: Sequence[Amendment],
    ) -> Grant:
        """A preview names no approver, so that it can't be more than that."""
        name = f"{task['correction']}-{request.source.rpartition('/')[2]}"
        return Grant(
            source=request.source,
            operation=Grant.OPERATION_AMEND,
            task=f"{name}-lift" if task["clears"] else name,
            attempt=task["attempt"],
            plan_digest=task["plan_digest"] if task["state"] == "APPROVED" else "",
            approver=task["approver"] if task["state"] == "APPROVED" else "",
            request=request.request,
            policy_version=policy,
            amendments=found,
            sandbox=mark(source),
        )

    async def _demand(self, partner: str, row: asyncpg.Record) -> correction_pb2.CorrectionRequest:
        """The request with person and values, for as long as it lives."""
        try:
            key = await self._tools.vault.get(partner, view.KEY.format(row["id"]))
        except KeyGone:
            raise DsrError("STATE_CONFLICT", "The request is over.", state="COMPLETED", allowed="OPEN") from None
        opened = key.open(row["sealed"], view.context(partner, row["id"]))
        return view.message(row, (), opened, self._tools.dpo_contact)

    async def _amended_source(self, connection: Connection, name: str) -> governance_pb2.DataSource:
        """The source, if the partner's standing and the source's place allow that its data are worked on."""
        row = await self._store.need(connection, "partner", "resource")
        source = messages.data_source(await self._store.need(connection, "data_source", "data source", name))
        place = governance_pb2.Location()
        refusal = await self._gatekeeper.gate(connection, pb.RIGHT_ERASURE, row, [source], place)
        if refusal is not None:
            raise refused(refusal)
        await serving.need_served(self._store, connection, [name])
        return source

    async def _check_amendment_approver(self, partner: str, request: pb.IssueAmendmentGrantRequest) -> None:
        """FOUR_EYES where the approver's role was revoked since: the preview waits for somebody else's approval."""
        async with partner_transaction(self._store.pool, partner) as connection:
            _, task = await self._amendment_task(connection, request.request, request.source)
            if task["state"] != "APPROVED" or task["complete_time"] is not None:
                return
            args = (task["approver"], "ROLE_APPROVER")
            if (await self._store.need(connection, "holds_role", "resource", *args))["exists"]:
                return
            await self._set_amendment(connection, task, "PREVIEWED", task["changes"], digest=task["plan_digest"])
        raise DsrError("FOUR_EYES", "The approver's role was revoked since.", why="ROLE_NOT_GRANTED")
