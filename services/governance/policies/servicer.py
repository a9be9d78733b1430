"""PolicyService: messages in and out."""

from datetime import UTC
from typing import Any
from uuid import UUID

import asyncpg
from dsr.v1 import policy_pb2 as pb
from dsr.v1.policy_pb2_grpc import PolicyServiceServicer

from dsrkit.auth import current_caller
from dsrkit.db import Connection, partner_snapshot, partner_transaction
from dsrkit.errors import DsrError, invalid
from dsrkit.pages import page_size, read_token, write_token
from services.governance.policies import view
from services.governance.policies.domain import deadline, too_late, wrong
from services.governance.store import OPERATOR
from services.governance.tools import Tools, scope

_NOBODY = 0


class PolicyServicer(PolicyServiceServicer):
    """Proto to domain and back, nothing else."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def ProposePolicyVersion(self, request: pb.ProposePolicyVersionRequest, context: Any) -> pb.PolicyVersion:
        wanted, caller = request.policy_version, current_caller()
        found = wrong(wanted)
        if found is not None:
            raise invalid(f"policy_version.{found[0]}", found[1])
        times = wanted.effective_time.ToDatetime(UTC), wanted.answer_deadline.ToDatetime(UTC)

        async def make(connection: Connection, base: UUID) -> str:
            await self._store.row(connection, "policies.lock")
            await self._store.use_token(connection, caller.token_id, f"propose {base}")
            text = (wanted.text_url, wanted.text_sha256, wanted.changes)
            by = (caller.principal, list(caller.actors), self._tools.clock())
            row = await self._store.need(connection, "policies.propose", "resource", *text, *times, *by)
            return str(row["version"])

        return await self._version(int(await self._tools.once(OPERATOR, request, "ProposePolicyVersion", make)))

    async def PublishPolicyVersion(self, request: pb.PublishPolicyVersionRequest, context: Any) -> pb.PolicyVersion:
        number, caller = view.number(request.name, "policyVersions"), current_caller()

        async def make(connection: Connection, _: UUID) -> str:
            await self._store.row(connection, "policies.lock")
            row = await self._store.need(connection, "policies.version", "resource", number)
            now = self._tools.clock()
            if row["state"] != "PROPOSED":
                text = f"The version is {row['state']}; only a PROPOSED one can be published."
                raise DsrError("STATE_CONFLICT", text, state=row["state"], allowed="PROPOSED")
            if set(row["proposers"]) & set(caller.actors):
                raise DsrError("FOUR_EYES", "Who proposed a version can't publish it.", why="SAME_PERSON")
            if too_late(row["answer_deadline"], now):
                when = row["answer_deadline"].isoformat()
                raise DsrError("DEADLINE_PASSED", "Partners would have too little time to answer.", due_time=when)
            await self._store.use_token(connection, caller.token_id, f"publish {number}")
            await self._store.row(connection, "policies.publish", number, caller.principal, now)
            return str(number)

        return await self._version(int(await self._tools.once(OPERATOR, request, "PublishPolicyVersion", make)))

    async def ListPolicyVersions(
        self, request: pb.ListPolicyVersionsRequest, context: Any
    ) -> pb.ListPolicyVersionsResponse:
        size, before = page_size(request.page_size), _before(request.page_token)
        async with partner_transaction(self._store.pool, OPERATOR) as connection:
            rows = await self._store.rows(connection, "policies.versions", before, size + 1)
        found = [view.version(row) for row in rows[:size]]
        return pb.ListPolicyVersionsResponse(policy_versions=found, next_page_token=_token(rows, size))

    async def ListPolicyAgreements(
        self, request: pb.ListPolicyAgreementsRequest, context: Any
    ) -> pb.ListPolicyAgreementsResponse:
        partner, size, before = scope(request.parent), page_size(request.page_size), _before(request.page_token)
        async with partner_snapshot(self._store.pool, partner) as connection:
            await self._store.need(connection, "partner", "resource")
            standing = await self._standing(connection)
            rows = await self._store.rows(connection, "policies.agreements", _NOBODY, before, size + 1)
        found = [view.agreement(row, partner, standing["accepted"]) for row in rows[:size]]
        return pb.ListPolicyAgreementsResponse(policy_agreements=found, next_page_token=_token(rows, size))

    async def GetPolicyAgreement(self, request: pb.GetPolicyAgreementRequest, context: Any) -> pb.PolicyAgreement:
        return await self._agreement(request.name)

    async def AcceptPolicyVersion(self, request: pb.AcceptPolicyVersionRequest, context: Any) -> pb.PolicyAgreement:
        async def check(row: asyncpg.Record) -> None:
            if request.text_sha256 != row["text_sha256"]:
                raise invalid("text_sha256", "is not the digest of this version's text; read it again")

        return await self._answer(request, "AcceptPolicyVersion", "ACCEPTED", check)

    async def RejectPolicyVersion(self, request: pb.RejectPolicyVersionRequest, context: Any) -> pb.PolicyAgreement:
        async def check(row: asyncpg.Record) -> None:
            if row["answer"] == "ACCEPTED":
                text = "The version was accepted; what was agreed ends with the contract."
                raise DsrError("STATE_CONFLICT", text, state="ACCEPTED", allowed="OPEN")
            until = row["partner_deadline"] or deadline(row["answer_deadline"], row["publish_time"])
            if self._tools.clock() > until:
                text = "The time to reject is over; a version that isn't accepted doesn't apply anyway."
                raise DsrError("DEADLINE_PASSED", text, due_time=until.isoformat())

        return await self._answer(request, "RejectPolicyVersion", "REJECTED", check)

    async def _answer(self, request: Any, method: str, state: str, check: Any) -> pb.PolicyAgreement:
        partner, caller = scope(request.name, "name"), current_caller()
        number = view.number(request.name, *partner.split("/"), "policyAgreements")

        async def make(connection: Connection, _: UUID) -> str:
            await self._store.need(connection, "lock_partner", "resource")
            row = await self._store.need(connection, "policies.agreements", "resource", number, 0, 1)
            if row["answer"] != state:
                await check(row)
                now = self._tools.clock()
                until = row["partner_deadline"] or deadline(row["answer_deadline"], now)
                await self._store.use_token(connection, caller.token_id, f"{method} {number}")
                await self._store.row(connection, "policies.answer", number, state, until, now, caller.principal)
            return str(request.name)

        return await self._agreement(await self._tools.once(partner, request, method, make))

    async def GetOperator(self, request: pb.GetOperatorRequest, context: Any) -> pb.Operator:
        async with partner_snapshot(self._store.pool, scope(request.parent)) as connection:
            await self._store.need(connection, "partner", "resource")
            standing = await self._standing(connection)
        return pb.Operator(
            display_name=self._tools.operator,
            dpo_contact=self._tools.dpo_contact,
            policy_version=standing["accepted"],
        )

    async def _standing(self, connection: Connection) -> asyncpg.Record:
        return await self._store.need(connection, "policies.standing", "resource", self._tools.clock())

    async def _version(self, number: int) -> pb.PolicyVersion:
        async with partner_transaction(self._store.pool, OPERATOR) as connection:
            return view.version(await self._store.need(connection, "policies.version", "resource", number))

    async def _agreement(self, name: str) -> pb.PolicyAgreement:
        partner = scope(name, "name")
        number = view.number(name, *partner.split("/"), "policyAgreements")
        async with partner_snapshot(self._store.pool, partner) as connection:
            row = await self._store.need(connection, "policies.agreements", "resource", number, 0, 1)
            standing = await self._standing(connection)
        return view.agreement(row, partner, standing["accepted"])


def _before(token: str) -> int:
    if not token:
        return 0
    value = read_token(token, 1)[0]
    if not (value.isascii() and value.isdecimal()) or len(value) > 15:
        raise invalid("page_token", "is not one of ours")
    return int(value)


def _token(rows: list[asyncpg.Record], size: int) -> str:
    return write_token(str(rows[size - 1]["version"])) if len(rows) > size else ""
