"""Gathers the facts of a decision, and has the pure rules decide."""

from collections.abc import Sequence
from typing import Any

from dsr.authority.v1 import authority_pb2 as pb
from dsr.v1 import governance_pb2, request_pb2
from dsr.v1.subject_pb2 import Identity

from dsrkit.auth import current_caller
from dsrkit.db import Connection
from dsrkit.errors import invalid
from dsrkit.requests.view import parse_partner
from services.governance import messages
from services.governance.digests import hold_digests, identity_digests
from services.governance.domain import instructions, restricted
from services.governance.gate import GateFacts, Ground, gate
from services.governance.locations import agreements
from services.governance.refusals import book
from services.governance.tools import Tools
from services.governance.transfers import records


async def ground(tools: Tools, connection: Connection) -> Ground:
    """What questions about places and transfers rest on, for the partner of the transaction, as of now."""
    known = await agreements.load(tools.store, connection)
    kept = await records.load(tools.store, connection)
    objections = {row["sub_processor"] for row in await tools.store.rows(connection, "recipients.objections")}
    return Ground(tools.law, tools.clock(), tools.dpo_contact, known, kept, objections)


class Gatekeeper:
    """Asked before every request, instruction, grant and download."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def gate(
        self,
        connection: Connection,
        right: "pb.Right.ValueType",
        partner: Any,
        sources: Sequence[governance_pb2.DataSource],
        bundle_location: governance_pb2.Location,
    ) -> request_pb2.Refusal | None:
        """The refusal by a partner's standing, of a place or of a transfer; None where there is none."""
        facts = GateFacts(
            right, partner["standing"], partner["partner"], partner["body"]["country"], sources, bundle_location
        )
        return gate(facts, await ground(self._tools, connection))

    async def enter(
        self,
        connection: Connection,
        partner: str,
        refusal: request_pb2.Refusal,
        operation: str,
        request: str = "",
        creator: str = "",
    ) -> None:
        """Puts a refusal on record; from then on it names its resource."""
        who = creator or current_caller().principal
        await book.enter(self._store, connection, partner, refusal, operation, request, who, self._tools.clock())

    async def restricted(
        self, connection: Connection, request: pb.GetInstructionsRequest | pb.IssueGrantRequest
    ) -> request_pb2.Refusal | None:
        """Asked before every instruction and every grant: a restriction may have come, or gone, since the last one."""
        if request.right != pb.RIGHT_ERASURE:
            return None
        partner = parse_partner(request.partner if isinstance(request, pb.GetInstructionsRequest) else request.source)
        digests = await hold_digests(self._tools.vault, partner, [(i.type, i.value) for i in request.identities])
        rows = await self._store.rows(connection, "corrections.restrictions", digests)
        names = [f"{partner}/correctionRequests/{row['correction']}" for row in rows]
        return restricted(request.erasure_ground, names, self._tools.dpo_contact)

    async def instructions(
        self,
        connection: Connection,
        right: "pb.Right.ValueType",
        partner: str,
        revision: int,
        names: Sequence[str],
        identities: Sequence[Identity],
    ) -> list[pb.SourceInstructions]:
        """What connectors are to do under a pinned data map and today's holds."""
        row = await self._store.need(connection, "data_map", "data map", revision)
        maps = {source.source: source for source in messages.data_map(row).sources}
        digests = await identity_digests(self._tools.vault, partner, [(i.type, i.value) for i in identities])
        digests += await hold_digests(self._tools.vault, partner, [(i.type, i.value) for i in identities])
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
