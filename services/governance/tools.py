"""What every family of governance works with: store, keys, egress guard, clock, and the ways of a call."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

import grpc
import httpx
from dsr.v1 import request_pb2
from dsr.v1.governance_pb2 import ProcessingRecord

from dsrkit.auth import acting_partner, current_caller
from dsrkit.clock import Ahead, ahead, on_time
from dsrkit.db import Connection, partner_transaction
from dsrkit.egress import EgressGuard
from dsrkit.errors import DsrError
from dsrkit.pages import page_size
from dsrkit.recording import REQUEST, record_effect
from dsrkit.requests.view import parse_partner, parse_uuid4
from dsrkit.tasks.worker import Step
from dsrkit.vault import Vault
from services.governance import messages
from services.governance.keeping import keep
from services.governance.law.domain import Law
from services.governance.ledger.ledger import Ledger
from services.governance.mail import Mail
from services.governance.store import GovernanceStore

Clock = Callable[[], datetime]
"""The time by which governance decides for the partner of a call, in UTC. Decisions and statements get it as an
argument: never `now()`."""
Make = Callable[[Connection, UUID], Awaitable[str]]
Chore = tuple[float, Callable[[], Awaitable[None]]]
"""Seconds between two runs, and what is run."""


@dataclass(frozen=True)
class Tools:
    """Made once in `__main__`."""

    store: GovernanceStore
    vault: Vault
    egress: EgressGuard
    clock: Clock
    dpo_contact: str
    operator: str
    law: Law
    http: httpx.AsyncClient
    mail: Mail | None
    """None: no mail server is configured."""
    ledger: Ledger
    ahead: Ahead = on_time
    """How far ahead a partner's time is; the clock adds it for the partner of a call."""

    async def now(self, partner: str) -> datetime:
        """A partner's time, for chores, which are nobody's call."""
        return self.clock() + await self.ahead(partner)

    def real_time(self) -> datetime:
        """The time by which leases and retries go, however far ahead the partner of a call is."""
        return self.clock() - ahead()

    async def once(self, partner: str, message: Any, method: str, make: Make) -> str:
        """Carries out a mutation once per `request_id`, with its record; returns the name of what it made."""
        request_id = parse_uuid4(message.request_id, "request_id")
        body = message.DESCRIPTOR.full_name.encode() + b"\0" + message.SerializeToString(deterministic=True)
        digest = await self.vault.digest(partner, body)
        async with partner_transaction(self.store.pool, partner) as connection:
            made = await self.store.replay(connection, method, request_id, digest)
            if made is None:
                made = await make(connection, uuid5(request_id, partner))
                await self.store.remember(connection, method, request_id, digest, made)
                await self.record(connection, made)
        return made

    async def record(self, connection: Connection, resource: str = "") -> None:
        """A processing record of the current RPC, in the transaction of its effect (policy P5)."""
        caller = current_caller()
        record = ProcessingRecord(
            actor=caller.principal,
            operation=record_effect(),
            request=resource if REQUEST.fullmatch(resource) else "",
            outcome="OK",
            originating_ip=caller.originating_ip,
        )
        record.record_time.FromDatetime(self.clock())
        await keep(self.store, connection, [(uuid4(), record)])

    async def keep_records(self, partner: str, records: Sequence[ProcessingRecord]) -> None:
        """Processing records of calls without an effect."""
        async with partner_transaction(self.store.pool, partner) as connection:
            for record in records:
                record.record_time.FromDatetime(self.clock())
            await keep(self.store, connection, [(uuid4(), record) for record in records])

    async def page(
        self, request: Any, statement: str, *filters: Any, time_field: str = "create_time"
    ) -> tuple[Sequence[Any], str]:
        """A page of rows in the name of `request.parent`, newest first, and the token of the next.

        The statement takes the filters, then time and id after which the page begins (or NULL), then how many.
        """
        size = page_size(request.page_size)
        after = messages.position(request.page_token)
        async with partner_transaction(self.store.pool, scope(request.parent)) as connection:
            rows = await self.store.rows(connection, statement, *filters, *after, size + 1)
        more = len(rows) > size
        return rows[:size], messages.token(rows[size - 1][time_field], rows[size - 1]["id"]) if more else ""


def refused(refusal: request_pb2.Refusal) -> DsrError:
    """A refusal where the contract has no room for the resource: the error names it."""
    text = f"Governance refuses ({refusal.rule}, {refusal.article}): {'; '.join(refusal.facts)}. {refusal.objection}"
    return DsrError("INSTRUCTION_REFUSED", text, rule=refusal.rule, article=refusal.article, refusal=refusal.name)


def only_ours(is_ours: bool, role: str) -> None:
    """ROLE_REQUIRED when staff acts on what is not the operator's but the partner's, whose `role` does it."""
    if current_caller().partner is None and not is_ours:
        raise DsrError("ROLE_REQUIRED", "This is the partner's own; staff has no say in it.", roles=role)


async def four_eyes(tools: Tools, connection: Connection, others: Sequence[str], purpose: str) -> None:
    """The caller is none of those who came before, two others granted the approver's role, and the token is fresh."""
    caller = current_caller()
    if set(caller.actors) & set(others):
        raise DsrError("FOUR_EYES", "Somebody else must approve.", why="SAME_PERSON")
    holds = await tools.store.need(connection, "holds_role", "resource", caller.principal, "ROLE_APPROVER")
    if not holds["exists"]:
        text = "The approver role was not granted to this person by two others."
        raise DsrError("FOUR_EYES", text, why="ROLE_NOT_GRANTED")
    await tools.store.use_token(connection, caller.token_id, purpose)


def scope(name: str, field: str = "parent") -> str:
    """The partner in whose name the database is asked."""
    return acting_partner(parse_partner(name, field))


def _no_steps(tools: Tools) -> Mapping[str, Step]:
    return {}


def _no_chores(tools: Tools) -> Sequence[Chore]:
    return ()


@dataclass(frozen=True)
class Family:
    """A clause family of the policy: its RPCs, its durable steps, its chores. Listed in `families.FAMILIES`."""

    service: str
    """Full name of its gRPC service."""
    register: Callable[[Tools, grpc.aio.Server], None]
    """Adds its servicer to a server."""
    steps: Callable[[Tools], Mapping[str, Step]] = _no_steps
    """Durable steps by name; names are unique over all families."""
    chores: Callable[[Tools], Sequence[Chore]] = _no_chores
    """What its worker does again and again."""
