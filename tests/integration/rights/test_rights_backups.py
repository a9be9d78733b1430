"""Snapshots and restores against the running services."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from dsr.v1 import backups_pb2 as pb
from dsr.v1 import erasure_pb2, governance_pb2, notifications_pb2
from dsr.v1.notifications_pb2_grpc import NotificationServiceStub

from tests.support.services import CRM, PARTNER, SHOP, World, eventually, reason_of, timestamp

DUBLIN = governance_pb2.Location(provider="Amazon Web Services", site="Dublin", country="IE")


def snapshot(label: str, source: str = CRM, **fields: Any) -> pb.Snapshot:
    fields = {"location": DUBLIN, "snapshot_time": timestamp(), **fields}
    return pb.Snapshot(source=source, label=label, **fields)


async def register(world: World, *snapshots: pb.Snapshot) -> list[pb.Snapshot]:
    message = pb.RegisterSnapshotsRequest(parent=PARTNER, snapshots=snapshots, request_id=str(uuid.uuid4()))
    answer = await world.backups.RegisterSnapshots(message, metadata=admin(world))
    return list(answer.snapshots)


async def announce(world: World, name: str) -> pb.Restore:
    message = pb.AnnounceRestoreRequest(parent=PARTNER, restore=pb.Restore(snapshot=name), request_id=str(uuid.uuid4()))
    restore: pb.Restore = await world.backups.AnnounceRestore(message, metadata=admin(world))
    return restore


async def finish(world: World, name: str) -> Any:
    message = pb.FinishRestoreRequest(name=name, request_id=str(uuid.uuid4()))
    return await world.backups.FinishRestore(message, metadata=admin(world))


async def confirm(world: World, name: str, erasure: str, evidence: str = "ticket-1") -> Any:
    message = pb.ConfirmReplayRequest(name=name, erasure=erasure, evidence=evidence, request_id=str(uuid.uuid4()))
    return await world.backups.ConfirmReplay(message, metadata=admin(world))


async def destroyed(world: World, name: str) -> Any:
    message = pb.MarkSnapshotDestroyedRequest(name=name, evidence="ticket-9", request_id=str(uuid.uuid4()))
    return await world.backups.MarkSnapshotDestroyed(message, metadata=admin(world))


async def restore_of(world: World, name: str) -> Any:
    return await world.backups.GetRestore(pb.GetRestoreRequest(name=name), metadata=admin(world))


def admin(world: World) -> Any:
    return world.metadata("adam", "ROLE_ADMIN")


async def refused(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


async def erase(world: World) -> Any:
    created = await world.create("erasure", ground=erasure_pb2.ErasureRequest.GROUND_CONSENT_WITHDRAWN)
    await world.approve(await world.until("erasure", created.name, "PLANNED"))
    return await world.until("erasure", created.name, "COMPLETED")


@pytest.mark.policy("P7", "an erasure names the snapshots that still hold the person, and when the last one expires")
async def test_an_erasure_says_which_snapshots_are_left(world: World) -> None:
    later = timestamp()
    later.FromDatetime(datetime.now(UTC) + timedelta(days=30))
    whole, part, gone, *_ = await register(
        world,
        snapshot("crm-1"),
        snapshot("crm-2", collections=["people"], expire_time=later),
        snapshot("crm-3"),
        snapshot("shop-1", SHOP, collections=["invoices"]),  # which nobody touches
    )
    assert whole.expire_time.ToDatetime(UTC) > datetime.now(UTC) + timedelta(days=364)
    assert (await destroyed(world, gone.name)).state == pb.Snapshot.STATE_DESTROYED
    report = (await erase(world)).report
    assert [s.name for s in report.snapshots] == [whole.name, part.name]
    assert report.last_snapshot_expire_time == whole.expire_time
    assert report.snapshots[0].location == DUBLIN


@pytest.mark.long
@pytest.mark.policy("P7", "until every newer erasure is confirmed as replayed, a restored source gets no grant")
async def test_a_restored_source_is_not_served_until_erasures_are_replayed(world: World) -> None:
    (taken,) = await register(world, snapshot("crm-1"))
    erased = await erase(world)
    running = await world.create("erasure", identities=(("email", "joann@example.com"),))
    planned = await world.until("erasure", running.name, "PLANNED")

    async def reported() -> bool:
        page = await world.backups.GetRestore(pb.GetRestoreRequest(name=restore.name), metadata=admin(world))
        return [r.HasField("erase_time") for r in page.replays] == [True]

    restore = await announce(world, taken.name)
    assert restore.state == pb.Restore.STATE_REPLAYING
    assert restore.effective_time.ToDatetime(UTC) == restore.create_time.ToDatetime(UTC) + timedelta(minutes=5)
    assert [r.erasure for r in restore.replays] == [erased.name]
    await eventually(reported)
    copy = await world.create("access")
    await world.until_waiting("access", copy.name, "SOURCE_NOT_SERVED")
    await world.approve(planned)
    await world.until_waiting("erasure", running.name, "SOURCE_NOT_SERVED")
    assert await refused(finish(world, restore.name)) == "REPLAY_PENDING"
    assert await refused(confirm(world, restore.name, running.name)) == "FIELD_INVALID"
    assert await refused(confirm(world, restore.name, erased.name, "  ")) == "FIELD_INVALID"
    confirmed = await confirm(world, restore.name, erased.name)
    assert (await confirm(world, restore.name, erased.name, "another")).replays == confirmed.replays
    finished = await finish(world, restore.name)
    assert finished.state == pb.Restore.STATE_FINISHED
    assert finished.replays[0].evidence == "ticket-1"
    assert (await finish(world, restore.name)).finish_time == finished.finish_time
    # What waited goes on by itself, and what is erased from now on belongs to no restore of the past.
    await world.until("access", copy.name, "COMPLETED")
    await world.until("erasure", running.name, "COMPLETED")
    assert (await restore_of(world, restore.name)).replays == finished.replays
    (fresh,) = await register(world, snapshot("crm-2", snapshot_time=taken.snapshot_time))
    assert {r.erasure for r in (await announce(world, fresh.name)).replays} == {erased.name, running.name}


async def test_registering_again_changes_nothing_and_a_label_names_one_snapshot(world: World) -> None:
    first = await register(world, snapshot("crm-1"))
    again = snapshot("crm-1", snapshot_time=first[0].snapshot_time, collections=["people"])
    assert await register(world, again, again) == [first[0], first[0]]
    earlier = timestamp()
    earlier.FromDatetime(datetime.now(UTC) - timedelta(days=1))
    assert await refused(register(world, snapshot("crm-2"), snapshot("crm-1", snapshot_time=earlier))) == (
        "FIELD_INVALID"
    )
    assert await refused(register(world, snapshot("x", f"{PARTNER}/dataSources/none"))) == "FIELD_INVALID"
    page = await world.backups.ListSnapshots(pb.ListSnapshotsRequest(parent=PARTNER, source=CRM), metadata=admin(world))
    assert list(page.snapshots) == first
    await destroyed(world, first[0].name)
    assert await refused(announce(world, first[0].name)) == "STATE_CONFLICT"
    existing = pb.ListSnapshotsRequest(parent=PARTNER, existing=True)
    assert not (await world.backups.ListSnapshots(existing, metadata=admin(world))).snapshots


@pytest.mark.policy("P3", "a snapshot in a place that is not named is known, and the partner is told")
async def test_a_snapshot_in_a_wrong_place_is_known_and_told(world: World) -> None:
    paris = governance_pb2.Location(provider="Amazon Web Services", site="Paris", country="FR")
    (taken,) = await register(world, snapshot("crm-1", location=paris))
    assert taken.place_rule == "LOCATION_NOT_NAMED"
    stub: Any = NotificationServiceStub(world.channel("governance"))
    request = notifications_pb2.ListNoticesRequest(parent=PARTNER, kind="snapshot.misplaced")
    page = await stub.ListNotices(request, metadata=admin(world))
    assert [notice.resource for notice in page.notices] == [taken.name]
