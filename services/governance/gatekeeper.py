"""Gathers the facts of a decision, and has the pure rules decide."""

from collections.abc import Sequence
from typing import Any

from dsr.authority.v1 import authority_pb2 as pb
from dsr.v1 import governance_pb2, request_pb2
from dsr.v1.subject_pb2 import Identity

from dsrkit.db import Connection
from dsrkit.errors import invalid
from dsrkit.requests.view import parse_partner
from services.governance import messages
from services.governance.digests import hold_digests, identity_digests
from services.governance.domain import instructions, restricted
from services.governance.gate import GateFacts, gate
from services.governance.locations import agreements
from services.governance.tools import Tools


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
        """The refusal of a partner's row, of a place or of a transfer; None where there is none."""
        known = await agreements.load(self._store, connection)
        facts = GateFacts(right, partner["standing"], partner["body"]["country"], sources, known, bundle_location)
        return gate(facts, self._tools.law, self._tools.clock(), self._tools.dpo_contact)

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
