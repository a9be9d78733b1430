"""What governance keeps and tells: records, webhooks, data maps, roles; and what it refuses to take."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import grpc
import pytest
from dsr.v1 import governance_pb2 as pb
from standardwebhooks import Webhook

from tests.support.services import CRM, PARTNER, SHOP, World, collection_map, data_map, eventually, reason_of, seconds


def admin(world: World) -> Any:
    return world.metadata("adam", "ROLE_ADMIN")


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


@pytest.mark.policy(
    "P5", "one record per call and per touch of a source: who, what, when, where, outcome, originating IP"
)
async def test_every_call_and_every_touch_leaves_a_record_without_personal_data(world: World) -> None:
    done = await world.until("access", (await world.create("access")).name)
    await world.download("access", done.name)

    async def records() -> list[pb.ProcessingRecord]:
        page = await world.governance.ListProcessingRecords(
            pb.ListProcessingRecordsRequest(parent=PARTNER), metadata=admin(world)
        )
        return list(page.processing_records)

    async def complete() -> bool:
        return "DownloadAccessBundle" in {r.operation for r in await records()}

    await eventually(complete)
    found = await records()
    operations = [r.operation for r in found]
    assert {"CreateAccessRequest", "locate", "export", "DownloadAccessBundle"} <= set(operations)
    assert {r.source for r in found if r.operation == "export"} == {CRM, SHOP}
    assert next(r.originating_ip for r in found if r.operation == "CreateAccessRequest") in ("127.0.0.1", "::1")
    assert "ann@" not in str(found)
    only = await world.governance.ListProcessingRecords(
        pb.ListProcessingRecordsRequest(parent=PARTNER, operation="export", source=SHOP), metadata=admin(world)
    )
    assert len(only.processing_records) == 1


@asynccontextmanager
async def receiver(answers: list[int]) -> AsyncIterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A small HTTP server that notes what it gets; answers with the given statuses in turn, then 204."""
    got: list[tuple[dict[str, str], bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head.split("\r\n")[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        got.append((headers, body))
        status = answers.pop(0) if answers else 204
        writer.write(f"HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", got


async def create_webhook(world: World, url: str) -> pb.Webhook:
    message = pb.CreateWebhookRequest(parent=PARTNER, webhook=pb.Webhook(url=url), request_id=str(uuid.uuid4()))
    made: pb.Webhook = await world.governance.CreateWebhook(message, metadata=admin(world))
    return made


@pytest.mark.long
async def test_state_changes_are_told_signed_and_with_ids_only(world: World) -> None:
    async with receiver([503]) as (url, got):
        hook = await create_webhook(world, url)
        done = await world.until("access", (await world.create("access")).name)

        def told() -> bool:
            return any(json.loads(body)["data"]["state"] == "COMPLETED" for _, body in got)

        await eventually(told)
        for headers, body in got:
            Webhook(hook.secret).verify(body, headers)
            message = json.loads(body)
            assert message["type"] == "request.state_changed"
            assert message["data"]["resource"] == done.name
            assert set(message["data"]) == {"resource", "state"}
        first = got[0][0]["webhook-id"]
        await eventually(lambda: [h["webhook-id"] for h, _ in got].count(first) == 2)


async def test_an_address_that_says_gone_is_left_alone(world: World) -> None:
    async with receiver([410] * 20) as (url, _):
        await create_webhook(world, url)
        await world.until("access", (await world.create("access")).name)

        async def disabled() -> bool:
            page = await world.governance.ListWebhooks(pb.ListWebhooksRequest(parent=PARTNER), metadata=admin(world))
            assert not page.webhooks[0].secret, "the secret is shown once"
            return not page.webhooks[0].enabled

        await eventually(disabled)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://169.254.169.254/latest/meta-data", "ADDRESS_FORBIDDEN"),
        ("https://10.0.0.1/x", "ADDRESS_FORBIDDEN"),
        ("https://[::ffff:10.0.0.1]/x", "ADDRESS_FORBIDDEN"),
        ("https://[fd00::1]/x", "ADDRESS_FORBIDDEN"),
        ("https://0.0.0.0/x", "ADDRESS_FORBIDDEN"),
        ("ftp://127.0.0.1/x", "FIELD_INVALID"),
        ("https://user@127.0.0.1/x", "FIELD_INVALID"),
        ("https://127.0.0.1:99999/x", "FIELD_INVALID"),
        ("not a url", "FIELD_INVALID"),
    ],
)
async def test_only_permitted_addresses_are_dialled(world: World, url: str, reason: str) -> None:
    assert reason_of(await refused(create_webhook(world, url))) == reason


async def test_a_source_at_a_forbidden_address_is_not_registered(world: World) -> None:
    source = pb.DataSource(
        name=f"{PARTNER}/dataSources/away",
        display_name="Away",
        connector_address="169.254.169.254:80",
        custody=pb.DataSource.CUSTODY_PARTNER,
        location=pb.Location(provider="x", site="x", country="IE"),
    )
    message = pb.CreateDataSourceRequest(parent=PARTNER, data_source=source, request_id=str(uuid.uuid4()))
    error = await refused(world.governance.CreateDataSource(message, metadata=admin(world)))
    assert reason_of(error) == "ADDRESS_FORBIDDEN"


async def put_map(world: World, wanted: pb.DataMap) -> pb.DataMap:
    message = pb.CreateDataMapRequest(parent=PARTNER, data_map=wanted, request_id=str(uuid.uuid4()))
    made: pb.DataMap = await world.governance.CreateDataMap(message, metadata=admin(world))
    return made


async def test_requests_keep_the_data_map_they_were_authorised_under(world: World) -> None:
    world.crm.gate = asyncio.Event()
    created = await world.create("access")
    changed = data_map()
    for source in changed.sources:
        del source.collections[1:]
    assert (await put_map(world, changed)).revision == 2
    world.crm.gate.set()
    done = await world.until("access", created.name)
    assert done.data_map_revision == 1
    assert "invoices" in {c.collection for c in done.bundle.collections}


async def test_a_data_map_with_a_mistake_is_refused_by_name(world: World) -> None:
    retains = data_map()
    retains.sources[1].collections[1].ClearField("legal_reference")
    error = await refused(put_map(world, retains))
    assert "data_map.sources[1].collections[1].retain_reason" in (error.details() or "")
    twice = data_map()
    twice.sources[0].collections.append(collection_map("people"))
    assert "stands twice" in ((await refused(put_map(world, twice))).details() or "")
    foreign = data_map()
    foreign.sources[0].source = "partners/globex/dataSources/crm"
    assert "data_map.sources[0].source" in ((await refused(put_map(world, foreign))).details() or "")


async def test_a_source_that_is_not_mapped_refuses_the_request(world: World) -> None:
    small = data_map()
    del small.sources[1]
    await put_map(world, small)
    refusal = (await world.create("access")).refusal
    assert refusal.rule == "SOURCE_NOT_MAPPED"
    assert any(SHOP in fact for fact in refusal.facts)


async def test_a_hold_on_one_person_holds_nobody_else(world: World) -> None:
    hold = pb.Hold(
        source=SHOP,
        collection="orders",
        reason="eu-gdpr:JustificationA17LegalClaims",
        legal_reference="GDPR Art. 17(3)(e)",
        subject=pb.HoldSubject(type="customer_number", value="7"),
    )
    hold.review_time.FromDatetime(datetime.now(UTC) + timedelta(days=30))
    message = pb.PlaceHoldRequest(parent=PARTNER, hold=hold, request_id=str(uuid.uuid4()))
    placed = await world.governance.PlaceHold(message, metadata=admin(world))
    assert placed.for_one_subject
    assert not placed.HasField("subject")
    again = await world.governance.PlaceHold(message, metadata=admin(world))
    assert again.name == placed.name
    held = await world.until("erasure", (await world.create("erasure")).name, "PLANNED")
    action = {c.collection: c.action for c in held.plan.collections}["orders"]
    assert action == 3
    free = await world.create("erasure", identities=[("email", "joann@example.com")])
    free = await world.until("erasure", free.name, "PLANNED")
    assert {c.collection: c.action for c in free.plan.collections}["orders"] == 1


async def test_caps_count_over_rights_people_and_calls_at_once(world: World) -> None:
    connection = await asyncpg.connect(world.dsn("governance"))
    try:
        await connection.execute("SELECT set_config('dsr.partner', $1, false)", PARTNER)
        body = await connection.fetchval("SELECT body FROM governance.partner")
        changed = {**json.loads(body), "daily_request_cap": 2}
        await connection.execute("UPDATE governance.partner SET body = $1", json.dumps(changed))
        # One request_id for two rights is two requests; the same request again is none.
        request_id = str(uuid.uuid4())
        message = world.create_message("access", request_id)
        first = await world.stub("access").CreateAccessRequest(message, metadata=world.metadata())
        await world.create("portability", request_id)
        again = await world.stub("access").CreateAccessRequest(message, metadata=world.metadata())
        assert again.name == first.name
        error = await refused(world.create("erasure", request_id))
        assert reason_of(error) == "RATE_LIMITED"
        assert "principal" in str(error.details())
        # Of many at once no more get in than one after the other.
        many = [world.create("access", metadata=world.metadata("frank")) for _ in range(6)]
        done = await asyncio.gather(*many, return_exceptions=True)
        assert sum(not isinstance(one, BaseException) for one in done) == 2
        # Naming more people helps until the partner's own cap.
        others = "SELECT $1, gen_random_uuid(), 'p' || n, now() FROM generate_series(1, 15) AS n"
        await connection.execute(f"INSERT INTO governance.admission {others}", PARTNER)
        await world.create("access", metadata=world.metadata("grace"))
        error = await refused(world.create("access", metadata=world.metadata("heidi")))
        assert "partner" in str(error.details())
        # What was refused doesn't count, and what is a day old counts no more.
        assert await connection.fetchval("SELECT count(*) FROM governance.admission") == 20
        await connection.execute("DELETE FROM governance.admission WHERE principal LIKE 'p%'")
        await world.create("access", metadata=world.metadata("heidi"))
    finally:
        await connection.close()


async def test_bundles_end_by_themselves(world: World) -> None:
    import asyncpg

    done = await world.until("access", (await world.create("access")).name)
    folder = world.folder / "state" / "access"
    await eventually(lambda: len(list(folder.rglob("*.age"))) == 1)
    connection = await asyncpg.connect(world.dsn("access"))
    try:
        await connection.execute("SELECT set_config('dsr.partner', $1, false)", PARTNER)
        await connection.execute("UPDATE access.request SET bundle_expire_time = now() - interval '1 second'")
    finally:
        await connection.close()

    async def ended() -> bool:
        return bool((await world.get("access", done.name)).bundle.state == 2)

    await eventually(ended)
    assert reason_of(await refused(world.download("access", done.name))) == "BUNDLE_GONE"
    assert not list(folder.rglob("*.age"))
    assert not list((world.folder / "keys" / "access").rglob("*.key"))
    assert not (await world.get("access", done.name)).identities


@pytest.mark.policy("P10", "bundles can be encrypted to the partner's own key, so that the operator can't read them")
async def test_a_partner_with_a_key_of_its_own_gets_what_only_it_can_read(world: World) -> None:
    import asyncpg
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    connection = await asyncpg.connect(world.dsn("governance"))
    try:
        await connection.execute("SELECT set_config('dsr.partner', $1, false)", PARTNER)
        body = json.loads(await connection.fetchval("SELECT body FROM governance.partner"))
        body["bundle_recipient"] = str(identity.to_public())
        await connection.execute("UPDATE governance.partner SET body = $1", json.dumps(body))
    finally:
        await connection.close()
    done = await world.until("access", (await world.create("access")).name)
    assert done.bundle.media_type == "application/age"
    data = await world.download("access", done.name)
    assert pyrage.decrypt(data, [identity])[:2] == b"PK"


async def test_the_same_partner_twice_is_refused(world: World) -> None:
    from dsr.credentials import Credential

    token = Credential.load(world.folder / "operator.json").token("dsr", subject="olga", roles=["ROLE_OPERATOR"])
    partner = pb.Partner(
        name=PARTNER,
        display_name="x",
        country="IE",
        time_zone="Europe/Dublin",
        privacy_contact="x",
        erasure_grace_period=seconds(1),
    )

    def create(**fields: Any) -> Any:
        wanted = pb.Partner()
        wanted.CopyFrom(partner)
        for field, value in fields.items():
            setattr(wanted, field, value)
        message = pb.CreatePartnerRequest(partner=wanted, request_id=str(uuid.uuid4()))
        return world.governance.CreatePartner(message, metadata=(("authorization", f"Bearer {token}"),))

    assert reason_of(await refused(create())) == "ALREADY_EXISTS"
    for field, value in (("time_zone", "Mars/Olympus"), ("country", "Ireland"), ("bundle_recipient", "age1nonsense")):
        error = await refused(create(name="partners/other-one", **{field: value}))
        assert f"partner.{field}" in (error.details() or "")
