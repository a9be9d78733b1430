"""The end of a contract, and 400 days that lead there, against the running services."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from dsr.ledger import Certificate, VerifierKey
from dsr.v1 import backups_pb2, governance_pb2
from dsr.v1 import termination_pb2 as pb
from google.protobuf import json_format

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


async def is_proved(world: World, certified: Any) -> None:
    """The certificate is the termination as it ended, and stands in the ledger."""
    message = pb.DownloadTerminationCertificateRequest(name=certified.name)
    call = world.terminations.DownloadTerminationCertificate(message, metadata=world.metadata("rita", "ROLE_READER"))
    whole = b"".join([part.data async for part in call])
    key = VerifierKey.parse((world.folder / "ledger.vkey").read_text())
    found = Certificate.parse(whole).verify(key)
    assert (found.index, found.origin) == (certified.certificate.number, certified.certificate.ledger)
    ended = json_format.ParseDict(found.document, T())
    assert not ended.HasField("certificate")
    ended.certificate.CopyFrom(certified.certificate)
    assert ended == certified


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
        certified = await get(world, made.name)
        assert certified.state == T.STATE_CERTIFIED
        await is_proved(world, certified)
        await let_pass(4 * DAY)
        assert left(world) == []
        assert (await get(world, made.name)).HasField("shred_time")
        await is_proved(world, certified)
