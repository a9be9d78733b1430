"""Processing records (policy P5): of every call and every touch, with no room for anything personal."""

import asyncio
import json
import secrets
import tempfile
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from dsr.credentials import Credential
from dsr.v1 import access_pb2, records_pb2
from dsr.v1 import governance_pb2 as pb
from dsr.v1.records_pb2_grpc import RecordServiceStub

from deploy.local.postgres import Cluster
from dsrkit.db import open_pool, partner_transaction
from services.governance.keeping import keep
from services.governance.records.chores import purge
from services.governance.store import SCHEMA
from tests.integration.rights.test_rights_notifications import tools_at
from tests.support.services import CRM, PARTNER, SHOP, World, eventually, open_world, reason_of

CANARY = "qvzkwy3xj"
ADMIN = ("adam", "ROLE_ADMIN")


@pytest.fixture(scope="module")
async def world(postgres: Cluster, template: str) -> AsyncIterator[World]:
    """One for the module: records are told apart by what they are about."""
    name = f"records_{secrets.token_hex(6)}"
    postgres.create_database(name, template=template)
    with tempfile.TemporaryDirectory(prefix="dsr-records-") as folder:
        async with open_world(Path(folder), postgres, name) as opened:
            yield opened
    postgres.drop_database(name)


async def records(world: World, **filters: Any) -> list[pb.ProcessingRecord]:
    message = pb.ListProcessingRecordsRequest(parent=PARTNER, page_size=500, **filters)
    page = await world.governance.ListProcessingRecords(message, metadata=world.metadata(*ADMIN))
    return list(page.processing_records)


async def outcome(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return reason_of(error)
    return "OK"


@pytest.mark.policy("P5", "reads, refused calls, repetitions and watched streams are recorded, too, once each")
async def test_every_call_is_recorded_once(world: World) -> None:
    reader, stub, message = world.metadata("rita", "ROLE_READER"), world.stub("access"), world.create_message("access")
    made, again = [await stub.CreateAccessRequest(message, metadata=world.metadata()) for _ in range(2)]
    done = await world.until("access", made.name)
    get = access_pb2.GetAccessRequestRequest
    await stub.GetAccessRequest(get(name=done.name), metadata=reader)
    absent = f"{PARTNER}/accessRequests/{uuid.uuid4()}"
    assert await outcome(stub.GetAccessRequest(get(name=absent), metadata=reader)) == "NOT_FOUND"
    refused = world.act("access", "Cancel", done.name, metadata=reader)
    assert await outcome(refused) == "ROLE_REQUIRED"
    nobody = stub.GetAccessRequest(get(name=done.name), metadata=(("authorization", "Bearer x"),))
    assert await outcome(nobody) == "CREDENTIAL_INVALID"
    await world.download("access", done.name)
    assert again.name == made.name

    async def all_there() -> bool:
        found = [*await records(world, request=done.name), *await records(world, request=absent)]
        told = Counter((r.operation, r.actor.rpartition("#")[2], r.outcome) for r in found)
        assert told.pop(("WatchAccessRequest", "alice", "OK"), 0) + told.pop(watched, 0) <= 1
        return told == touches | {
            ("CreateAccessRequest", "alice", "OK"): 2,
            ("GetAccessRequest", "alice", "OK"): 1,
            ("GetAccessRequest", "rita", "OK"): 1,
            ("GetAccessRequest", "rita", "NOT_FOUND"): 1,
            ("CancelAccessRequest", "rita", "ROLE_REQUIRED"): 1,
            ("DownloadAccessBundle", "alice", "OK"): 1,
        }

    watched = ("WatchAccessRequest", "alice", "CANCELLED")  # or OK: who sees the last event first ends the stream
    touches = {("locate", "service:access", "OK"): 4, ("export", "service:access", "OK"): 2}

    await eventually(all_there)


@pytest.mark.policy("P5", "every attempt to touch a data source is recorded, failed and superseded ones too")
async def test_every_touch_is_recorded_also_when_it_fails(world: World) -> None:
    world.shop.down = True
    request = await world.create("access")
    await world.until_waiting("access", request.name, "SOURCE_UNAVAILABLE")

    async def failed() -> bool:
        found = await records(world, source=SHOP, request=request.name)
        return {(r.outcome, r.records, r.actor) for r in found} == {("SOURCE_UNAVAILABLE", 0, "service:access")}

    await eventually(failed)
    world.shop.calls.clear()
    world.shop.gate, world.shop.down = asyncio.Event(), False
    await eventually(lambda: "locate" in world.shop.calls)
    await world.act("access", "Cancel", request.name)
    world.shop.gate.set()
    world.shop.gate = None

    async def superseded() -> bool:
        return "ATTEMPT_SUPERSEDED" in {r.outcome for r in await records(world, source=SHOP)}

    await eventually(superseded)
    assert "OK" in {r.outcome for r in await records(world, source=CRM, request=request.name)}


@pytest.mark.policy("P5", "with names in every field that a caller can fill, no record holds any")
async def test_no_record_holds_what_a_caller_says(world: World) -> None:
    stub, get = world.stub("access"), access_pb2.GetAccessRequestRequest
    name = f"{PARTNER}/accessRequests/{CANARY}"
    for call in (
        world.create("access", identities=[("email", f"{CANARY}@example.com")]),
        world.create("access", identities=[(CANARY, CANARY)]),
        world.create("access", data_sources=[f"{PARTNER}/dataSources/{CANARY}"]),
        stub.GetAccessRequest(get(name=name), metadata=world.metadata()),
        stub.GetAccessRequest(get(name=f"partners/{CANARY}/x"), metadata=world.metadata()),
        stub.ListAccessRequests(
            access_pb2.ListAccessRequestsRequest(parent=PARTNER, page_token=CANARY), metadata=world.metadata()
        ),
        world.governance.GetDataMap(pb.GetDataMapRequest(name=f"{PARTNER}/{CANARY}"), metadata=world.metadata(*ADMIN)),
        world.governance.SetPartnerStanding(
            pb.SetPartnerStandingRequest(name=f"partners/{CANARY}", standing=pb.Partner.STANDING_GOOD),
            metadata=operator(world),
        ),
    ):
        await outcome(call)

    async def there() -> bool:
        counts = {name: len(await records(world, operation=name)) for name in wanted}
        return all(counts[name] >= number for name, number in wanted.items())

    wanted = {"CreateAccessRequest": 3, "GetAccessRequest": 2, "GetDataMap": 1, "ListAccessRequests": 1}

    await eventually(there)
    async with open_pool(world.dsn("governance"), SCHEMA) as pool:
        for partner in (PARTNER, f"partners/{CANARY}"):
            async with partner_transaction(pool, partner) as connection:
                rows = await connection.fetch("SELECT t::text FROM processing_record AS t")
                assert (partner == PARTNER) == bool(rows)
                assert CANARY not in str(rows)


def operator(world: World) -> Any:
    token = Credential.load(world.folder / "operator.json").token("dsr", subject="olga", roles=["ROLE_OPERATOR"])
    return (("authorization", f"Bearer {token}"),)


UNFIT = {
    "actor": "Ann Smith",
    "operation": "AnnSmith",
    "request": f"{PARTNER}/accessRequests/ann-smith",
    "source": "partners/globex/dataSources/shop",
    "outcome": "ann@example.com",
}


@pytest.mark.policy("P5", "the table itself takes closed sets and fixed forms only: a name fits into no column")
async def test_the_table_has_no_room_for_names(world: World) -> None:
    good = {
        "actor": "urn:dsr:partner:acme#adam",
        "operation": "GetPartner",
        "request": "",
        "source": "",
        "outcome": "OK",
    }
    statement = (
        "INSERT INTO processing_record (partner, id, records, record_time, actor, operation, request, source, outcome)"
        " VALUES ($1, gen_random_uuid(), 0, now(), $2, $3, $4, $5, $6)"
    )
    async with open_pool(world.dsn("governance"), SCHEMA) as pool:
        async with partner_transaction(pool, PARTNER) as connection:
            await connection.execute(statement, PARTNER, *good.values())
        for column, value in UNFIT.items():
            with pytest.raises(asyncpg.IntegrityConstraintViolationError):
                async with partner_transaction(pool, PARTNER) as connection:
                    await connection.execute(statement, PARTNER, *{**good, column: value}.values())


@pytest.mark.policy("P5", "the processor's record of Art. 30(2) per partner, as a page and as JSON")
@pytest.mark.policy("P18", "the processor's record names the data protection officer")
async def test_the_register_says_what_article_30_asks_for(world: World) -> None:
    done = await world.until("access", (await world.create("access")).name)
    await eventually(lambda: exported(world))

    async def download(form: Any, **fields: Any) -> tuple[Any, bytes]:
        message = records_pb2.DownloadProcessingRegisterRequest(parent=PARTNER, format=form, **fields)
        message.before_time.FromDatetime(datetime.now(UTC))
        info, data = None, b""
        stub: Any = RecordServiceStub(world.channel("governance"))
        async for part in stub.DownloadProcessingRegister(message, metadata=world.metadata("rita", "ROLE_READER")):
            info, data = (part.info, data) if part.WhichOneof("part") == "info" else (info, data + part.data)
        return info, data

    info, data = await download(records_pb2.DownloadProcessingRegisterRequest.FORMAT_JSON)
    assert (info.media_type, info.size_bytes) == ("application/json", len(data))
    found = json.loads(data)
    assert found["processor"]["data_protection_officer"] == "dpo@agency.example"
    assert found["controller"]["contact"] == "privacy@acme.example"
    collections = {(c["data_source"], c["collection"], c["lawful_basis"]) for c in found["categories_of_processing"]}
    assert (SHOP, "Invoices", "LEGAL_OBLIGATION") in collections
    assert {(p["data_source"], p["country"], p["third_country"]) for p in found["places"]} == {
        (CRM, "IE", False),
        (SHOP, "IE", False),
    }
    done_here = [c for c in found["carried_out"] if (c["operation"], c["source"]) == ("export", SHOP)]
    exports = await records(world, source=SHOP, operation="export")
    assert [(c["outcome"], c["times"]) for c in done_here] == [("OK", len(exports))]
    assert found["security_measures"]
    assert {(s["name"], s["state"], s["confirmed_by_processor"]) for s in found["sub_processors"]} >= {
        ("Stripe", "IN_USE", "")
    }
    info, page = await download(records_pb2.DownloadProcessingRegisterRequest.FORMAT_HTML)
    assert info.media_type == "text/html"
    assert b"dpo@agency.example" in page
    assert b"not yet: as the vendor" in page
    assert b"ann@example.com" not in data + page
    assert done.name.encode() not in data + page


async def exported(world: World) -> bool:
    return bool(await records(world, source=SHOP, operation="export"))


@pytest.mark.policy("P5", "records end after a year, by the calendar")
@pytest.mark.policy("P7", "processing records end with the year that logs are kept")
async def test_records_end_after_a_year(world: World) -> None:
    now = [datetime(2028, 2, 29, 12, tzinfo=UTC)]
    async with tools_at(world, now) as tools:
        old = [datetime(2027, 2, 28, 11, 59, tzinfo=UTC), datetime(2027, 2, 28, 12, tzinfo=UTC)]
        async with partner_transaction(tools.store.pool, PARTNER) as connection:
            for time in old:
                record = pb.ProcessingRecord(actor="service:access", operation="export", outcome="OK")
                record.record_time.FromDatetime(time)
                await keep(tools.store, connection, [(uuid.uuid4(), record)])
        await purge(tools)
        left = [r for r in await records(world) if r.operation == "export"]
        assert [r.record_time.ToDatetime(UTC) for r in left] == old[1:]
        now[0] += timedelta(days=400)
        await purge(tools)
        assert "CreatePartner" not in {r.operation for r in await records(world)}
