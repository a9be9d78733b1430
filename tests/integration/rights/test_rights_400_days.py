"""400 days of a partner's life, in a minute: snapshots, retention, versions of the policy, a breach, the end."""

import secrets
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from dsr.v1 import backups_pb2, breach_pb2, erasure_pb2, governance_pb2, policy_pb2, retention_pb2

from connectors.backend import SourceConfig
from connectors.postgres import open_backend
from deploy.local.postgres import Cluster
from tests.integration.rights.test_rights_policies import answer, told
from tests.integration.rights.test_rights_termination import (
    DAY,
    DUBLIN,
    T,
    admin,
    begin,
    confirm,
    destroy,
    emptied,
    get,
    give_back,
    gone,
    left,
    snapshot,
)
from tests.support.clock import Pass, virtual_time
from tests.support.policies import appoint_officers, propose, publish
from tests.support.services import CRM, PARTNER, SHOP, World, connected, data_map, eventually, open_services, state

PEOPLE = "public.people"
SCHEMA = """
CREATE TABLE people (tenant int, id bigint PRIMARY KEY, email text, number text, name text, seen timestamptz);
INSERT INTO people SELECT t, t * 10 + n, email, number, 'Somebody' FROM generate_series(1, 2) t, (VALUES
  (1, 'ann@example.com', '7'), (2, 'joann@example.com', '70'), (3, 'twin@example.com', '81'), (4, 'cy@example.com', '9')
) AS person (n, email, number);
"""
OPTIONS: dict[str, Any] = {
    "scope": {"tenant": 1},
    "collections": {
        PEOPLE: {
            "people": True,
            "identity": {
                "email": {"type": "email", "unique": True},
                "number": {"type": "customer_number", "unique": True},
            },
        }
    },
}
VERSIONS = {10: (1, "Accept"), 50: (2, "Reject"), 90: (3, "Accept")}
"""By day: a version of the policy that is published, and how the partner answers. In effect twenty days later."""
IN_FORCE = {40: 1, 80: 1, 120: 3}
"""By day: the version that a request is made under."""


@dataclass
class Life:
    """A partner whose customers are a slice of a real database."""

    world: World
    platform: str
    slice: asyncpg.Connection
    start: datetime

    async def seen(self) -> None:
        """Ann is never seen after the beginning; the others always."""
        since = "CASE email WHEN 'ann@example.com' THEN $1::timestamptz ELSE $2 END"
        await self.slice.execute(f"UPDATE people SET seen = {since}", self.start, self.start + 500 * DAY)  # noqa: S608

    async def rows(self) -> tuple[int, int]:
        """Rows of the partner and of the other tenant, looked up directly."""
        count = "SELECT count(*) FILTER (WHERE tenant = 1), count(*) FILTER (WHERE tenant = 2) FROM people"
        (found,) = await self.slice.fetch(count)
        return found[0], found[1]

    async def version(self, number: int, verb: str, let_pass: Pass) -> None:
        """A version of the policy: proposed, published, told, answered."""
        now = self.world.clock()
        proposed = await propose(self.world, effective=now + 20 * DAY, deadline=now + 15 * DAY)
        assert (await publish(self.world, proposed)).version == number
        await let_pass(timedelta(0))
        await eventually(lambda: told(self.world, number))
        agreement = await answer(self.world, verb, number)
        assert policy_pb2.PolicyAgreement.State.Name(agreement.state) == f"STATE_{verb.upper()}ED"

    async def under(self) -> int:
        """The version of the policy that a request is made under now."""
        made = await self.world.create("access", identities=[("email", "joann@example.com")])
        done = await self.world.until("access", made.name, "COMPLETED")
        return int(done.policy_version)

    async def returned(self, name: str) -> None:
        """Waits until the platform has returned the slice."""

        async def there() -> bool:
            return any(item.return_request for item in (await get(self.world, name)).items)

        await eventually(there)

    async def destroyed(self, name: str) -> None:
        """Waits until the platform has destroyed the slice."""

        async def there() -> bool:
            return any(item.destroyed_records for item in (await get(self.world, name)).items)

        await eventually(there)

    async def traces(self, *names: str) -> list[str]:
        """Tables of the platform in which one of the names stands, in any column."""
        found = []
        connection = await asyncpg.connect(self.platform)
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname IN ('access', 'portability', 'erasure', 'governance')"
        )
        assert len(tables) > 30
        for (table,) in tables:
            for name in names:
                query = f"SELECT count(*) FROM {table} t WHERE position($1 IN t::text) > 0"  # noqa: S608 - quoted by the server
                spelled = (name, name.encode().hex())
                if any([await connection.fetchval(query, form) for form in spelled]):
                    found.append(f"{table}: {name}")
        await connection.close()
        return found


@pytest.fixture
async def life(postgres: Cluster, template: str) -> AsyncIterator[Life]:
    """The four services, one partner, the slice and a shop in memory."""
    name, source = f"life_{secrets.token_hex(6)}", f"life_source_{secrets.token_hex(6)}"
    platform = postgres.create_database(name, template=template)
    dsn = postgres.create_database(source)
    postgres.execute(SCHEMA, source)
    connection = await asyncpg.connect(dsn)
    backend = open_backend(SourceConfig(CRM, "postgres", {"dsn": dsn, **OPTIONS}, b"k" * 32, Path("unused")))
    with tempfile.TemporaryDirectory(prefix="dsr-life-") as folder:
        async with open_services(Path(folder), postgres, name) as world, AsyncExitStack() as stack:
            # The contract begins with the 400 days, and with it what was agreed about places.
            start = datetime.now(UTC) - 400 * DAY
            world.clock = lambda: start
            await stack.enter_async_context(connected(world, {CRM: backend}))
            mapped = data_map()
            mapped.sources[0].collections[0].collection = PEOPLE
            message = governance_pb2.CreateDataMapRequest(parent=PARTNER, request_id=str(uuid.uuid4()), data_map=mapped)
            await world.governance.CreateDataMap(message, metadata=admin(world))
            yield Life(world, platform, connection, start)
    await backend.close()
    await connection.close()
    postgres.drop_database(name)
    postgres.drop_database(source)


async def tell(world: World, name: str, audience: Any) -> None:
    told = breach_pb2.Breach.Decision(kind=breach_pb2.Breach.Decision.KIND_TOLD, reference="case-1")
    told.decide_time.FromDatetime(world.clock())
    message = breach_pb2.RecordBreachDecisionRequest(
        name=name, audience=audience, decision=told, request_id=str(uuid.uuid4())
    )
    await world.breaches.RecordBreachDecision(message, metadata=admin(world))


async def advance(world: World, name: str, phase: Any) -> None:
    message = breach_pb2.AdvanceBreachRequest(name=name, phase=phase, note="done", request_id=str(uuid.uuid4()))
    await world.breaches.AdvanceBreach(message, metadata=world.operator())


async def swept(world: World, wanted: Any) -> list[Any]:
    found: list[Any] = []

    async def there() -> bool:
        request = retention_pb2.ListRetentionSweepsRequest(parent=PARTNER)
        page = await world.retention.ListRetentionSweeps(request, metadata=admin(world))
        found[:] = page.retention_sweeps
        return bool(found) and found[0].state == wanted

    await eventually(there)
    return found


@pytest.mark.long
@pytest.mark.policy("P14", "400 days of a partner's life end with nothing left of it, looked up in the stores")
@pytest.mark.policy("P17", "in 400 days one version is accepted, one rejected, one accepted: processing follows")
async def test_400_days(life: Life) -> None:
    world, start = life.world, life.start
    await life.seen()
    async with virtual_time(world, start) as let_pass:
        await appoint_officers(world)
        ruled = retention_pb2.RetentionRule(source=CRM, collection=PEOPLE, field="seen", identity_type="email")
        rule = await world.retention.CreateRetentionRule(
            retention_pb2.CreateRetentionRuleRequest(
                parent=PARTNER, retention_rule=ruled, request_id=str(uuid.uuid4())
            ),
            metadata=admin(world),
        )
        snapshots = []
        for day in range(0, 220, 2):
            if day % 6 == 0:
                snapshots.append(await snapshot(world, f"crm-{day}", world.clock(), 90))
            if day in VERSIONS:
                await life.version(*VERSIONS[day], let_pass)
            if day in IN_FORCE:
                assert await life.under() == IN_FORCE[day]
            if day == 100:
                given = retention_pb2.RetentionRule.StandingInstruction(collections=[PEOPLE], purpose="it is over")
                instruct = retention_pb2.InstructRetentionRequest(
                    name=rule.name, instruction=given, request_id=str(uuid.uuid4())
                )
                await world.retention.InstructRetention(instruct, metadata=world.metadata("bob", "ROLE_APPROVER"))
            # Until then every sweep finds nobody: the person was seen within six months.
            if day % 20 == 0 and day < 180:
                await let_pass(timedelta(0))
                assert all(s.people == 0 for s in await swept(world, retention_pb2.RetentionSweep.STATE_COMPLETED))
            await let_pass(2 * DAY)
            # The services work in real time: a month mustn't pass while one person is being erased.
            if day > 180 and any(s.people for s in await swept(world, retention_pb2.RetentionSweep.STATE_COMPLETED)):
                break
        sweeps = await swept(world, retention_pb2.RetentionSweep.STATE_COMPLETED)
        assert [s.people for s in sweeps if s.people] == [1]
        assert [s.standing for s in sweeps if s.people] == [True]
        assert len(sweeps) in (7, 8)

        async def erased() -> Any:
            page = await world.stub("erasure").ListErasureRequests(
                erasure_pb2.ListErasureRequestsRequest(parent=PARTNER), metadata=world.metadata()
            )
            return [r.name for r in page.erasure_requests if state(r) == "COMPLETED"]

        await eventually(erased)
        (erasure,) = await erased()
        report = (await world.get("erasure", erasure)).report
        assert {s.name for s in report.snapshots} == {s.name for s in snapshots}

        for one in snapshots[:-1]:
            await gone(world, one.name)
        restore = await world.backups.AnnounceRestore(
            backups_pb2.AnnounceRestoreRequest(
                parent=PARTNER, restore=backups_pb2.Restore(snapshot=snapshots[-1].name), request_id=str(uuid.uuid4())
            ),
            metadata=admin(world),
        )
        assert [r.erasure for r in restore.replays] == [erasure]
        replayed = backups_pb2.ConfirmReplayRequest(
            name=restore.name, erasure=erasure, evidence="job-3", request_id=str(uuid.uuid4())
        )
        await world.backups.ConfirmReplay(replayed, metadata=admin(world))
        finish = backups_pb2.FinishRestoreRequest(name=restore.name, request_id=str(uuid.uuid4()))
        await world.backups.FinishRestore(finish, metadata=admin(world))

        breach = breach_pb2.Breach(natures=[breach_pb2.Breach.NATURE_CONFIDENTIALITY], description="a key was lost")
        declare = breach_pb2.DeclareBreachRequest(breach=breach, place=DUBLIN, request_id=str(uuid.uuid4()))
        (made,) = (await world.breaches.DeclareBreach(declare, metadata=world.operator())).breaches
        for _ in range(4):
            await let_pass(DAY)
        phases, to = breach_pb2.Breach, breach_pb2.RecordBreachDecisionRequest
        await tell(world, made.name, to.AUDIENCE_AUTHORITY)
        await tell(world, made.name, to.AUDIENCE_SUBJECTS)
        for phase in (phases.PHASE_CONFIRMED, phases.PHASE_FIXED, phases.PHASE_CLOSED):
            await advance(world, made.name, phase)
        await let_pass(100 * DAY)

        leaving = await begin(world)
        await life.returned(leaving.name)
        digest = (await give_back(world, leaving.name, SHOP)).manifest_digest
        assert await life.rows() == (3, 4), "nothing is destroyed before the confirmation"
        await confirm(world, leaving.name, digest)
        await let_pass(DAY)
        await emptied(world, leaving.name)
        await life.destroyed(leaving.name)
        assert (await destroy(world, leaving.name, SHOP)).state == T.STATE_SNAPSHOTS_LEFT
        await gone(world, snapshots[-1].name)
        await let_pass(DAY)
        assert (await get(world, leaving.name)).state == T.STATE_CERTIFIED
        await let_pass(world_end(world, start))
        assert left(world) == []
        assert await life.rows() == (0, 4), "of the slice no row is left, of the other tenant every one"
        assert await life.traces("ann@example.com", "joann@example.com", "twin@example.com") == []


def world_end(world: World, start: datetime) -> timedelta:
    """What is left of the 400 days."""
    return start + 400 * DAY - world.clock()
