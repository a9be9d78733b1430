"""RetentionService: messages in and out."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
from dsr.v1 import governance_pb2
from dsr.v1 import retention_pb2 as pb
from dsr.v1.retention_pb2_grpc import RetentionServiceServicer
from google.protobuf import json_format

from dsrkit.auth import current_caller
from dsrkit.db import Connection, partner_snapshot, partner_transaction
from dsrkit.errors import DsrError, invalid
from services.governance import messages
from services.governance.retention import domain, schedule, view
from services.governance.tools import Tools, four_eyes, scope

_OPEN = ("COUNTING", "COUNTED", "APPROVED")


class RetentionServicer(RetentionServiceServicer):
    """Proto to domain and back, nothing else."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def CreateRetentionRule(self, request: pb.CreateRetentionRuleRequest, context: Any) -> pb.RetentionRule:
        partner, wanted = scope(request.parent), request.retention_rule

        async def make(connection: Connection, base: UUID) -> str:
            await self._store.need(connection, "lock_partner", "resource")
            registered = [r["name"] for r in await self._store.rows(connection, "data_sources", "", 10_000)]
            bad = domain.wrong_rule(wanted, registered, await self._mapped(connection))
            if bad is not None:
                raise invalid(f"retention_rule.{bad[0]}", bad[1])
            if await self._store.row(connection, "retention.rule_of", wanted.source) is not None:
                text = "There is a rule for this data source; end it first."
                raise DsrError("ALREADY_EXISTS", text, resource_type="retention rule")
            caller, now = current_caller(), self._tools.clock()
            rule = (wanted.source, wanted.collection, wanted.field, wanted.identity_type)
            months = wanted.months or domain.LEAST_MONTHS
            args = (base, *rule, months, caller.principal, list(caller.actors), now)
            await self._store.row(connection, "retention.create_rule", *args)
            return f"{partner}/retentionRules/{base}"

        return await self._rule(await self._tools.once(partner, request, "CreateRetentionRule", make))

    async def GetRetentionRule(self, request: pb.GetRetentionRuleRequest, context: Any) -> pb.RetentionRule:
        return await self._rule(request.name)

    async def ListRetentionRules(
        self, request: pb.ListRetentionRulesRequest, context: Any
    ) -> pb.ListRetentionRulesResponse:
        rows, token = await self._tools.page(request, "retention.rules")
        return pb.ListRetentionRulesResponse(retention_rules=[view.rule(row) for row in rows], next_page_token=token)

    async def EndRetentionRule(self, request: pb.EndRetentionRuleRequest, context: Any) -> pb.RetentionRule:
        async def make(connection: Connection, _: UUID) -> str:
            row = await self._lock_rule(connection, request.name)
            now = self._tools.clock()
            await self._store.row(connection, "retention.end_rule", row["id"], now)
            await self._store.row(connection, "retention.cancel_open", row["id"], now)
            return str(request.name)

        name = await self._tools.once(scope(request.name, "name"), request, "EndRetentionRule", make)
        return await self._rule(name)

    async def InstructRetention(self, request: pb.InstructRetentionRequest, context: Any) -> pb.RetentionRule:
        async def make(connection: Connection, base: UUID) -> str:
            row = await self._lock_rule(connection, request.name)
            if row["end_time"] is not None:
                raise DsrError("STATE_CONFLICT", "The rule was ended.", state="ENDED", allowed="a rule in force")
            mapped = (await self._mapped(connection)).get(row["source"], ())
            bad = domain.wrong_instruction(request.instruction, mapped)
            if bad is not None:
                raise invalid(f"instruction.{bad[0]}", bad[1])
            await four_eyes(self._tools, connection, row["creator_actors"], f"instruct {base}")
            given = pb.RetentionRule.StandingInstruction(
                collections=sorted(set(request.instruction.collections)),
                purpose=request.instruction.purpose.strip(),
                instructor=current_caller().principal,
            )
            given.instruct_time.FromDatetime(self._tools.clock())
            stored = json_format.MessageToDict(given)
            await self._store.row(connection, "retention.instruct", row["id"], stored)
            return str(request.name)

        name = await self._tools.once(scope(request.name, "name"), request, "InstructRetention", make)
        return await self._rule(name)

    async def RevokeRetentionInstruction(
        self, request: pb.RevokeRetentionInstructionRequest, context: Any
    ) -> pb.RetentionRule:
        async def make(connection: Connection, _: UUID) -> str:
            row = await self._lock_rule(connection, request.name)
            await self._store.row(connection, "retention.instruct", row["id"], None)
            return str(request.name)

        name = await self._tools.once(scope(request.name, "name"), request, "RevokeRetentionInstruction", make)
        return await self._rule(name)

    async def CreateRetentionSweep(self, request: pb.CreateRetentionSweepRequest, context: Any) -> pb.RetentionSweep:
        partner, wanted = scope(request.parent), request.retention_sweep.rule

        async def make(connection: Connection, base: UUID) -> str:
            row = await self._lock_rule(connection, wanted)
            open_sweep = await self._store.row(connection, "retention.open_sweep", row["id"])
            if row["end_time"] is not None or open_sweep is not None:
                state = open_sweep["state"] if open_sweep is not None else "ENDED"
                text = "The rule was ended, or another sweep of it is open."
                raise DsrError("STATE_CONFLICT", text, state=state, allowed="a rule without open sweep")
            caller, now = current_caller(), self._tools.clock()
            await schedule.begin(self._store, connection, row, base, now, caller.principal, caller.actors)
            return f"{partner}/retentionSweeps/{base}"

        return await self._sweep(await self._tools.once(partner, request, "CreateRetentionSweep", make))

    async def GetRetentionSweep(self, request: pb.GetRetentionSweepRequest, context: Any) -> pb.RetentionSweep:
        return await self._sweep(request.name)

    async def ListRetentionSweeps(
        self, request: pb.ListRetentionSweepsRequest, context: Any
    ) -> pb.ListRetentionSweepsResponse:
        rows, token = await self._tools.page(request, "retention.sweeps")
        return pb.ListRetentionSweepsResponse(retention_sweeps=[view.sweep(r) for r in rows], next_page_token=token)

    async def ApproveRetentionSweep(self, request: pb.ApproveRetentionSweepRequest, context: Any) -> pb.RetentionSweep:
        async def make(connection: Connection, base: UUID) -> str:
            row = await self._lock_sweep(connection, request.name)
            _need(row, ("COUNTED",))
            rule = await self._store.need(connection, "retention.rule", "resource", row["rule"])
            actors = [*rule["creator_actors"], *row["creator_actors"]]
            await four_eyes(self._tools, connection, actors, f"approve {request.name}")
            args = (row["id"], current_caller().principal, False, self._tools.clock())
            await self._store.row(connection, "retention.approve", *args)
            return str(request.name)

        name = await self._tools.once(scope(request.name, "name"), request, "ApproveRetentionSweep", make)
        return await self._sweep(name)

    async def CancelRetentionSweep(self, request: pb.CancelRetentionSweepRequest, context: Any) -> pb.RetentionSweep:
        async def make(connection: Connection, _: UUID) -> str:
            row = await self._lock_sweep(connection, request.name)
            if row["state"] != "CANCELLED":
                _need(row, (*_OPEN, "COMPLETED"))
                await self._store.row(connection, "retention.end_sweep", row["id"], "CANCELLED", self._tools.clock())
            return str(request.name)

        name = await self._tools.once(scope(request.name, "name"), request, "CancelRetentionSweep", make)
        return await self._sweep(name)

    async def ListHoldSuggestions(
        self, request: pb.ListHoldSuggestionsRequest, context: Any
    ) -> pb.ListHoldSuggestionsResponse:
        async with partner_snapshot(self._store.pool, scope(request.parent)) as connection:
            partner = messages.partner(await self._store.need(connection, "partner", "resource"))
            current = await self._store.row(connection, "data_map", 0)
            data_map = messages.data_map(current) if current else governance_pb2.DataMap()
            holds = await self._store.holds(connection, [s.source for s in data_map.sources], [])
        held = {(hold.source, hold.collection) for hold in holds}
        found = domain.suggestions(partner.country, data_map, held)
        return pb.ListHoldSuggestionsResponse(hold_suggestions=found)

    async def _mapped(self, connection: Connection) -> Mapping[str, set[str]]:
        current = await self._store.row(connection, "data_map", 0)
        data_map = messages.data_map(current) if current else governance_pb2.DataMap()
        return {s.source: {c.collection for c in s.collections} for s in data_map.sources}

    async def _lock_rule(self, connection: Connection, name: str) -> asyncpg.Record:
        identifier = messages.child_uuid(name, "retentionRules", "resource")
        return await self._store.need(connection, "retention.lock_rule", "resource", identifier)

    async def _lock_sweep(self, connection: Connection, name: str) -> asyncpg.Record:
        identifier = messages.child_uuid(name, "retentionSweeps", "resource")
        return await self._store.need(connection, "retention.lock_sweep", "resource", identifier)

    async def _rule(self, name: str) -> pb.RetentionRule:
        async with partner_transaction(self._store.pool, scope(name, "name")) as connection:
            identifier = messages.child_uuid(name, "retentionRules", "resource")
            return view.rule(await self._store.need(connection, "retention.rule", "resource", identifier))

    async def _sweep(self, name: str) -> pb.RetentionSweep:
        async with partner_transaction(self._store.pool, scope(name, "name")) as connection:
            identifier = messages.child_uuid(name, "retentionSweeps", "resource")
            return view.sweep(await self._store.need(connection, "retention.sweep", "resource", identifier))


def _need(row: asyncpg.Record, states: Sequence[str]) -> None:
    if row["state"] not in states:
        text = f"The sweep is {row['state']}."
        raise DsrError("STATE_CONFLICT", text, state=row["state"], allowed=",".join(states))
