"""What a partner does over HTTP and over gRPC, on the running platform."""

import asyncio
import hashlib
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from dsr.client import connect
from dsr.v1 import access_pb2, request_pb2, subject_pb2

from deploy.local.api import Event
from deploy.local.package import Package, equal
from deploy.local.shop import sources
from deploy.local.story import NOT_PORTED, WITHHELD
from tests.support.e2e import PARTNER, World, body, erased_once
from tests.support.e2e_people import Person
from tests.unit.package.archive import unpack

NOBODY = {"type": "email", "value": "nobody.at.all@shopper.example"}


async def download(world: World, name: str, **headers: str) -> httpx.Response:
    return await world.api.client.get(f"/v1/{name}:download", headers={**world.clerk.headers(), **headers})


async def test_a_copy_is_whole_and_valid(world: World, tmp_path: Path) -> None:
    person = await world.person()
    name = await world.copy(person)
    await world.in_state(name, "COMPLETED")
    archive = unpack([(await download(world, name)).content], tmp_path)  # bagit and frictionless agree
    package = Package(archive.root)
    assert package.counts("shop") == person.counts
    assert len(package.files()) == (await world.look(person)).own_files
    async with world.shop() as connection:
        witness = await person.witness(connection)
        for table in person.counts:
            assert equal(package.records("shop", table), await witness.records(table), WITHHELD[table])
    await _belongs_to_one(package, world, person)


async def _belongs_to_one(package: Package, world: World, person: Person) -> None:
    everything = b"".join(path.read_bytes() for path in package.root.rglob("*") if path.is_file())
    assert person.email.encode() in everything
    assert not [other for other in world.people if other != person and other.email.encode() in everything]


async def test_what_was_provided_is_portable(world: World, tmp_path: Path) -> None:
    person = await world.person()
    name = await world.copy(person, "portabilityRequests", formats=["FORMAT_CSV", "FORMAT_PARQUET"])
    await world.in_state(name, "COMPLETED")
    package = Package(unpack([(await download(world, name)).content], tmp_path).root)
    assert package.counts("shop") == {name: rows for name, rows in person.counts.items() if name not in NOT_PORTED}
    suffixes = {path.suffix for path in (package.root / "data" / "shop").iterdir()}
    assert suffixes == {".jsonl", ".csv", ".parquet"}


async def test_an_erasure_takes_one_person(world: World) -> None:
    person = await world.person()
    before = await world.look(person)
    name = await world.erasure(person)
    await world.approve(name)
    await world.in_state(name, "COMPLETED")
    erased_once(before, await world.look(person), await world.api.get(world.clerk, name))
    report = await download(world, name)
    assert report.headers["content-type"] == "application/json"
    assert report.json()["state"] == "REQUEST_STATE_COMPLETED"
    again = await world.copy(person)
    await world.in_state(again, "COMPLETED")
    assert not (await world.api.get(world.clerk, again))["bundle"]["collections"]


@pytest.mark.policy("P2", "a preview says what an erasure would do, and does nothing")
async def test_a_preview_erases_nothing(world: World) -> None:
    person = await world.person()
    before = await world.look(person)
    name = await world.erasure(person, validateOnly=True)
    await world.in_state(name, "PLANNED")
    plan = (await world.api.get(world.clerk, name))["plan"]
    planned = {c["collection"]: int(c["records"]) for c in plan["collections"] if c["source"] == sources.SHOP}
    assert {table: rows for table, rows in planned.items() if rows} == before.counts
    assert await world.look(person) == before


@pytest.mark.parametrize("collection", ["accessRequests", "portabilityRequests", "erasureRequests"])
async def test_nobody_is_an_honest_and_empty_answer(world: World, collection: str) -> None:
    more = {"ground": "GROUND_CONSENT_WITHDRAWN"} if collection == "erasureRequests" else {}
    created = await world.api.create(world.clerk, f"{PARTNER}/{collection}", body(NOBODY, **more))
    await world.in_state(created["name"], "COMPLETED")
    resource = await world.api.get(world.clerk, created["name"])
    assert all(int(source["records"]) == 0 for source in resource["sources"])
    if collection == "erasureRequests":
        assert not any(int(outcome["erased"]) for outcome in resource["report"]["outcomes"])
    else:
        assert not resource["bundle"]["collections"]
        assert (await download(world, created["name"])).status_code == 200


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"favouriteColour": "blue"}, "favouriteColour", "FIELD_UNKNOWN"),
        ({"subject": {"identities": [NOBODY], "shoeSize": 38}}, "subject.shoeSize", "FIELD_UNKNOWN"),
        ({"clock": {}}, "clock.receivedTime", "FIELD_REQUIRED"),
        ({"clock": {"receivedTime": "2999-01-01T00:00:00Z"}}, "clock.receivedTime", "FIELD_INVALID"),
        ({"dataSources": ["partners/other/dataSources/shop"]}, "dataSources[0]", "FIELD_INVALID"),
    ],
)
async def test_a_problem_names_the_field(world: World, change: dict[str, Any], field: str, reason: str) -> None:
    answer = await world.api.client.post(
        f"/v1/{PARTNER}/accessRequests",
        params={"requestId": "0b8dbb0c-3a43-4a53-9a6b-8f1f0a8f5f10"},
        json={**body(NOBODY), **change},
        headers=world.clerk.headers(),
    )
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (answer.status_code, problem["reason"], problem["metadata"]["field"]) == (400, reason, field)
    assert field in problem["detail"]


async def test_a_watch_is_resumed_after_the_last_event(world: World) -> None:
    name = await world.copy(await world.person())
    await world.in_state(name, "COMPLETED")
    seen = [event async for event in world.api.watch(world.clerk, name)]
    assert [event.number for event in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].state == "COMPLETED"
    half = seen[len(seen) // 2].number
    rest = [event async for event in world.api.watch(world.clerk, name, after=half)]
    assert [event.number for event in rest] == list(range(half + 1, len(seen) + 1))


async def test_a_watch_that_breaks_is_resumed_without_a_gap(world: World) -> None:
    name = await world.erasure(await world.person())
    first: list[Event] = []
    async with aclosing(world.api.watch(world.clerk, name)) as events:  # type: ignore[type-var]
        async for event in events:
            first.append(event)
            if len(first) == 2:
                break
    await world.approve(name)
    rest = [event async for event in world.api.watch(world.clerk, name, after=2)]
    assert [e.number for e in first + rest] == list(range(1, len(first + rest) + 1))
    assert rest[-1].state == "COMPLETED"


async def test_a_download_is_resumed_by_its_ranges(world: World) -> None:
    name = await world.copy(await world.person())
    await world.in_state(name, "COMPLETED")
    whole = await download(world, name)
    size, tag = len(whole.content), whole.headers["etag"]
    bundle = (await world.api.get(world.clerk, name))["bundle"]
    assert (int(bundle["sizeBytes"]), bundle["sha256"]) == (size, hashlib.sha256(whole.content).hexdigest())
    middle = size // 3
    head = await download(world, name, range=f"bytes=0-{middle - 1}")
    tail = await download(world, name, range=f"bytes={middle}-", **{"if-range": tag})
    assert (head.status_code, tail.status_code) == (206, 206)
    assert tail.headers["content-range"] == f"bytes {middle}-{size - 1}/{size}"
    assert head.content + tail.content == whole.content
    beyond = await download(world, name, range=f"bytes={size}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")


async def test_the_same_over_grpc(world: World, tmp_path: Path) -> None:
    person = await world.person()
    targets = {name: world.platform.address(name) for name in ("access", "portability", "erasure", "governance")}
    async with connect(targets, credential=world.clerk.credential, actor=world.clerk.subject) as platform:
        request = access_pb2.AccessRequest(
            subject=subject_pb2.Subject(
                identities=[subject_pb2.Identity(type="email", value=person.email)],
                capacity=subject_pb2.REQUESTER_CAPACITY_SELF,
                verification=subject_pb2.IdentityVerification(
                    method=subject_pb2.IdentityVerification.METHOD_ACCOUNT_LOGIN, verifier="desk-3"
                ),
            )
        )
        for time in (request.clock.received_time, request.subject.verification.verify_time):
            time.FromDatetime(datetime.now(UTC).replace(microsecond=0))
        call = access_pb2.CreateAccessRequestRequest(
            parent=PARTNER, access_request=request, request_id="3f2b0f6e-53c5-4d0c-9a51-0f2a4c7be7d4"
        )
        created, again = await asyncio.gather(*(platform.access.CreateAccessRequest(call) for _ in range(2)))
        assert created.name == again.name
        done = await platform.wait(created.name)
        assert done.state == request_pb2.REQUEST_STATE_COMPLETED
        events = [event.event async for event in platform.events(created.name, after_event=1)]
        assert events == list(range(2, len(events) + 2))
        package = Package.unpack(await platform.download(created.name, tmp_path))
        assert package.counts("shop") == person.counts
    over_http = await world.api.get(world.clerk, created.name)
    assert over_http["bundle"]["sha256"] == done.bundle.sha256  # type: ignore[union-attr]
