"""Nothing that the platform writes says who it is about: not when all goes well, and not when it doesn't."""

import asyncio
import base64
import hashlib
import json
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import pytest
from dsr.client import connect
from dsr.errors import DsrRpcError
from dsr.v1 import access_pb2, subject_pb2

from deploy.local.api import ApiError
from deploy.local.programs import RIGHTS
from deploy.local.shop import sources
from tests.support.e2e import PARTNER, World, body, until
from tests.support.e2e_canary import Hunt, hunt, names
from tests.support.e2e_people import Person


async def send(world: World, method: str, path: str, person: Person, **more: Any) -> int:
    """One call over HTTP, with a canary in a header too; its status."""
    headers = {**world.clerk.headers(), "user-agent": person.email, "x-customer": person.customer_number}
    headers |= more.pop("headers", {})
    answer = await world.api.client.request(method, path, headers=headers, **more)
    return answer.status_code


async def wrong_calls(world: World, person: Person) -> None:
    """Canaries where they don't belong."""
    base = f"/v1/{PARTNER}/accessRequests"
    good, fresh = body(person.identity), {"requestId": str(uuid.uuid4())}
    long = person.email * 60
    subject = good["subject"]
    for wrong in (
        {**good, person.family_name: person.email},
        {**good, "subject": {**subject, "identities": [{"type": person.email, "value": "x"}]}},
        {**good, "subject": {**subject, "identities": [{"type": "email", "value": long}]}},
        {**good, "subject": {**subject, "identities": [{"type": "email", "value": f"{person.email}\0"}]}},
        {**good, "subject": {**subject, "capacity": person.email}},
        {**good, "subject": {**subject, "verification": {**subject["verification"], "verifier": long}}},
        {**good, "dataSources": [person.email]},
        {**good, "clock": {"receivedTime": person.customer_number}},
    ):
        assert await send(world, "POST", base, person, params=fresh, json=wrong) == 400
    assert await send(world, "POST", base, person, params={"requestId": person.email}, json=good) == 400
    assert await send(world, "POST", base, person, params={person.email: "1"}, json=good) == 400
    broken = f'{{"subject": "{person.email}'
    headers = {"content-type": "application/json"}
    assert await send(world, "POST", base, person, params=fresh, content=broken, headers=headers) == 400
    assert await send(world, "GET", f"{base}/{person.customer_number}", person) in (400, 404)
    assert await send(world, "GET", f"/v1/{PARTNER}/{person.family_name}", person) == 404
    assert await send(world, "GET", f"/{person.email}", person) == 404
    assert await send(world, "GET", base, person, params={"pageToken": person.email}) == 400
    assert (
        await send(world, "GET", f"{base}/{uuid.uuid4()}:watch", person, headers={"last-event-id": person.email}) == 400
    )
    assert await send(world, "GET", base, person, headers={"authorization": f"Bearer {person.customer_number}"}) == 401
    assert await send(world, person.family_name.upper(), base, person) in (400, 405)


async def wrong_calls_over_grpc(world: World, person: Person) -> None:
    """The same past the gateway."""
    targets = {name: world.platform.address(name) for name in ("access", "portability", "erasure", "governance")}
    async with connect(targets, credential=world.clerk.credential, actor=world.clerk.subject) as platform:
        identity = subject_pb2.Identity(type=person.email, value=person.email)
        request = access_pb2.AccessRequest(subject=subject_pb2.Subject(identities=[identity]))
        for name in (person.email, f"{PARTNER}/accessRequests/{person.email}", f"partners/{person.family_name}"):
            for call in (
                platform.access.GetAccessRequest(access_pb2.GetAccessRequestRequest(name=name)),
                platform.access.CreateAccessRequest(
                    access_pb2.CreateAccessRequestRequest(parent=name, access_request=request, request_id=person.email)
                ),
            ):
                with pytest.raises(DsrRpcError) as refused:
                    await call
                assert refused.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)


async def with_something_down(world: World, person: Person) -> None:
    """Requests while the connector, the shop's database and the platform's own are not there."""
    await world.kill("shop")
    waiting = await world.copy(person)

    async def waits() -> bool:
        return "SOURCE_UNAVAILABLE" in await world.waiting(waiting)

    await until(waits, "the connector is missed")
    await asyncio.to_thread(world.source_db.stop)
    await world.restart("shop")
    another = await world.copy(person, "portabilityRequests")
    waiting, first = another, waiting
    await until(waits, "the database is missed")
    await asyncio.to_thread(world.source_db.restart)
    for name in (first, another):
        await world.in_state(name, "COMPLETED", patience=100)
    await asyncio.to_thread(world.platform_db.stop)
    with pytest.raises(ApiError) as refused:
        await world.copy(person)
    assert refused.value.reason in ("STORE_UNAVAILABLE", "GOVERNANCE_UNAVAILABLE")
    await asyncio.to_thread(world.platform_db.restart)
    await world.platform.ready("gateway")


WAYS: Sequence[Callable[[str], bytes]] = (
    lambda name: name.encode(),
    lambda name: name.upper().encode(),
    lambda name: json.dumps({"subject": name}).encode(),
    lambda name: quote(f"?q={name}&x").encode(),
    lambda name: name.lower().encode().hex().encode(),
    lambda name: base64.b64encode(f"one byte more than before: {name}.".encode()),
    lambda name: base64.urlsafe_b64encode(f"two bytes more than before: {name}!".encode()),
    lambda name: hashlib.sha256(name.lower().encode()).digest(),
    lambda name: hashlib.sha256(name.encode()).hexdigest().encode(),
)
"""In which a name may be written."""


async def test_the_hunt_finds_what_is_there(world: World, tmp_path: Path) -> None:
    person = await world.person(tag="qvzkwy3xj")
    for write in WAYS:
        for name in names(person):
            (tmp_path / "log").write_bytes(b"an error for \xff" + write(name) + b" happened")
            found = Hunt(person)
            found.files([tmp_path])
            assert found.found, (name, write(name))


async def test_the_hunt_finds_what_is_in_a_table(world: World) -> None:
    person = await world.person(tag="wvxqzkjy2")
    async with world.shop() as connection:
        found = Hunt(person)
        await found.tables(connection, "public")
    assert any(place.startswith("public.customers.email") for place in found.found)


@pytest.mark.long
@pytest.mark.policy("P5", "a hunt through logs, tables and files finds no name in the clear")
async def test_no_name_is_written_anywhere(world: World, tmp_path: Path) -> None:
    person = await world.person(tag="zqxjkv7wyp")
    copies = [await world.copy(person), await world.copy(person, "portabilityRequests", formats=["FORMAT_PARQUET"])]
    for name in copies:
        await world.in_state(name, "COMPLETED")
        await world.api.download(world.clerk, name, tmp_path)
    preview = await world.erasure(person, validateOnly=True)
    await world.in_state(preview, "PLANNED")
    hold = {
        "source": sources.FILES,
        "collection": "invoices",
        "subject": {"type": "customer_number", "value": person.customer_number},
        "reason": "eu-gdpr:JustificationA17LegallyRequired",
        "legalReference": "Claim",
        "reviewTime": "2030-01-01T00:00:00Z",
    }
    await world.api.create(world.admin, f"{PARTNER}/holds", hold)
    await wrong_calls(world, person)
    await wrong_calls_over_grpc(world, person)
    await with_something_down(world, person)
    assert (await hunt(world, person)).found == set()
    name = await world.erasure(person)
    await world.approve(name)
    await world.in_state(name, "COMPLETED", patience=100)
    await world.api.download(world.clerk, name, tmp_path)
    await world.closed(name)
    found = await hunt(world, person)
    assert found.found == set()
    assert world.collector is not None
    told = {service.split("/")[0] for service, _ in world.collector.metrics()}
    assert told == {f"dsr-{name}" for name in (*RIGHTS, "governance", "gateway", "connectors")}
    assert found.searched > 10_000_000
