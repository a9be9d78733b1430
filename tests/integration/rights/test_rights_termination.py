"""The end of a contract, and 400 days that lead there, against the running services."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from dsr.v1 import backups_pb2, breach_pb2, erasure_pb2, governance_pb2, retention_pb2
from dsr.v1 import termination_pb2 as pb

from tests.support.clock import virtual_time
from tests.support.services import CRM, PARTNER, SHOP, World, eventually, reason_of, state

T = pb.Termination
DUBLIN = governance_pb2.Location(provider="Amazon Web Services", site="Dublin", country="IE")
DAY = timedelta(days=1)


def admin(world: World) -> Any:
    return world.metadata("adam", "ROLE_ADMIN")


async def refused(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


async def begin(world: World) -> Any:
    message = pb.CreateTerminationRequest(parent=PARTNER, request_id=str(uuid.uuid4()))
    return await world.terminations.CreateTermination(message, metadata=admin(world))


async def get(world: World, name: str) -> Any:
    return await world.terminations.GetTermination(pb.GetTerminationRequest(name=name), metadata=admin(world))


async def give_back(world: World, name: str, source: str, label: str = "all.tar") -> Any:
    package = T.Package(label=label, size_bytes=9, sha256="0" * 64)
    message = pb.RecordReturnRequest(name=name, source=source, packages=[package], request_id=str(uuid.uuid4()))
    return await world.terminations.RecordReturn(message, metadata=world.operator())


async def confirm(world: World, name: str, digest: str, who: str = "bob") -> Any:
    message = pb.ConfirmReceiptRequest(name=name, manifest_digest=digest, request_id=str(uuid.uuid4()))
    return await world.terminations.ConfirmReceipt(message, metadata=world.metadata(who, "ROLE_APPROVER"))


async def destroy(world: World, name: str, source: str) -> Any:
    message = pb.RecordDestructionRequest(name=name, source=source, evidence="job-1", request_id=str(uuid.uuid4()))
    return await world.terminations.RecordDestruction(message, metadata=world.operator())


async def snapshot(world: World, label: str, taken: datetime, days: int) -> Any:
    one = backups_pb2.Snapshot(source=CRM, label=label, location=DUBLIN)
    one.snapshot_time.FromDatetime(taken)
    one.expire_time.FromDatetime(taken + timedelta(days=days))
    message = backups_pb2.RegisterSnapshotsRequest(parent=PARTNER, snapshots=[one], request_id=str(uuid.uuid4()))
    return (await world.backups.RegisterSnapshots(message, metadata=admin(world))).snapshots[0]


async def gone(world: World, name: str) -> None:
    message = backups_pb2.MarkSnapshotDestroyedRequest(name=name, evidence="job-2", request_id=str(uuid.uuid4()))
    await world.backups.MarkSnapshotDestroyed(message, metadata=admin(world))


def left(world: World) -> list[Path]:
    """Keys, bundles and spools of the partner, in every service."""
    kept = [*(world.folder / "keys").glob("*/acme/**/*"), *(world.folder / "state").glob("*/*/acme/**/*")]
    return [path for path in kept if path.is_file()]


async def emptied(world: World, name: str) -> None:
    async def all_three() -> bool:
        return len((await get(world, name)).emptied_services) == 3

    await eventually(all_three, within=40)


@pytest.mark.policy("P14", "a person confirms exactly what was returned; before that nothing is destroyed")
async def test_nothing_is_destroyed_before_the_receipt_was_confirmed(world: World) -> None:
    copy = await world.create("access")
    await world.until("access", copy.name, "COMPLETED")
    made = await begin(world)
    assert await refused(begin(world)) == "STATE_CONFLICT"
    assert await refused(confirm(world, made.name, made.manifest_digest)) == "STATE_CONFLICT"
    await give_back(world, made.name, CRM)
    returned = await give_back(world, made.name, SHOP)
    assert await refused(destroy(world, made.name, CRM)) == "STATE_CONFLICT"
    again = await give_back(world, made.name, SHOP, "again.tar")
    assert await refused(confirm(world, made.name, returned.manifest_digest)) == "PLAN_STALE"
    assert await refused(confirm(world, made.name, again.manifest_digest, "adam")) == "FOUR_EYES"
    assert await refused(confirm(world, made.name, again.manifest_digest, "carol")) == "FOUR_EYES"
    assert left(world)
    assert await world.download("access", copy.name)
    cancel = pb.CancelTerminationRequest(name=made.name, request_id=str(uuid.uuid4()))
    assert (await world.terminations.CancelTermination(cancel, metadata=admin(world))).state == T.STATE_CANCELLED
    assert await refused(confirm(world, made.name, again.manifest_digest)) == "STATE_CONFLICT"
    assert (await begin(world)).state == T.STATE_RETURNING


@pytest.mark.policy(
    "P14", "keys, bundles, sources and snapshots: certified when the last is gone, whoever is killed meanwhile"
)
async def test_until_the_last_copy_is_gone(world: World) -> None:
    start = datetime.now(UTC)
    copy = await world.create("access")
    await world.until("access", copy.name, "COMPLETED")
    waiting = await world.until("erasure", (await world.create("erasure")).name, "PLANNED")
    kept = await snapshot(world, "crm-1", start - DAY, 30)
    async with virtual_time(world, start) as let_pass:
        made = await begin(world)
        await give_back(world, made.name, CRM)
        digest = (await give_back(world, made.name, SHOP)).manifest_digest
        confirmed = await confirm(world, made.name, digest)
        assert confirmed.effective_time.ToDatetime(UTC) == start + timedelta(minutes=5)
        assert state(await world.create("access")) == "REFUSED"
        good = governance_pb2.SetPartnerStandingRequest(name=PARTNER, standing=governance_pb2.Partner.STANDING_GOOD)
        assert await refused(world.governance.SetPartnerStanding(good, metadata=world.operator())) == "STATE_CONFLICT"
        # A service that is down when its turn comes empties itself when it is back.
        await world.stop("portability")
        await let_pass(timedelta(minutes=6))
        await destroy(world, made.name, CRM)
        assert (await destroy(world, made.name, SHOP)).state == T.STATE_DESTROYING
        await world.start("portability")
        await emptied(world, made.name)
        assert [path for path in left(world) if "governance" not in path.parts] == []
        assert state(await world.get("erasure", waiting.name)) == "CANCELLED"
        assert await refused(world.download("access", copy.name)) == "BUNDLE_GONE"
        there = await get(world, made.name)
        assert (there.state, [s.name for s in there.snapshots]) == (T.STATE_SNAPSHOTS_LEFT, [kept.name])
        # That its time is over doesn't show that it is gone.
        await let_pass(40 * DAY)
        assert (await get(world, made.name)).state == T.STATE_SNAPSHOTS_LEFT
        await gone(world, kept.name)
        await let_pass(DAY)
        assert (await get(world, made.name)).state == T.STATE_CERTIFIED
        await let_pass(4 * DAY)
        assert left(world) == []
        assert (await get(world, made.name)).HasField("shred_time")


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
@pytest.mark.policy("P14", "400 days of a partner's life end with nothing left of it")
async def test_400_days(world: World) -> None:
    start = datetime.now(UTC) - 400 * DAY
    for row in world.crm.tables["people"].rows:
        row["seen"] = (start if row["email"] == "ann@example.com" else start + 500 * DAY).isoformat()
    async with virtual_time(world, start) as let_pass:
        ruled = retention_pb2.RetentionRule(source=CRM, collection="people", field="seen", identity_type="email")
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
            if day == 100:
                given = retention_pb2.RetentionRule.StandingInstruction(collections=["people"], purpose="it is over")
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
        await give_back(world, leaving.name, CRM)
        digest = (await give_back(world, leaving.name, SHOP)).manifest_digest
        await confirm(world, leaving.name, digest)
        await let_pass(DAY)
        await emptied(world, leaving.name)
        await destroy(world, leaving.name, CRM)
        assert (await destroy(world, leaving.name, SHOP)).state == T.STATE_SNAPSHOTS_LEFT
        await gone(world, snapshots[-1].name)
        await let_pass(DAY)
        assert (await get(world, leaving.name)).state == T.STATE_CERTIFIED
        await let_pass(world_end(world, start))
        assert left(world) == []


def world_end(world: World, start: datetime) -> timedelta:
    """What is left of the 400 days."""
    return start + 400 * DAY - world.clock()
