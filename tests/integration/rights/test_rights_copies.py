"""Access and portability, as a partner's backend uses them."""

import asyncio
import io
import json
import uuid
import zipfile
from datetime import UTC, datetime, timedelta

import asyncpg
import grpc
import pytest
from dsr.credentials import Credential
from dsr.v1 import access_pb2, governance_pb2, request_pb2, subject_pb2

from dsrkit.db import _set_up, partner_transaction
from dsrkit.tasks import Task, TaskStore
from tests.support.services import PARTNER, SHOP, World, eventually, reason_of, seconds, state


def files(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}


@pytest.mark.policy("P11", "access by every name a person has, in every source (Art. 15)")
async def test_access_finds_everything_by_every_name(world: World) -> None:
    created = await world.create("access")
    assert state(created) in ("PENDING", "LOCATING")
    done = await world.until("access", created.name)
    assert state(done) == "COMPLETED"
    found = {(i.type, i.value): (i.source.split("/")[-1], i.hops) for i in done.identities}
    assert found == {("email", "ann@example.com"): ("", 0), ("customer_number", "7"): ("crm", 1)}
    package = files(await world.download("access", done.name))
    orders = [json.loads(line) for line in package["data/shop/orders.jsonl"].splitlines()]
    assert [o["id"] for o in orders] == ["0", "1"]
    assert all("seller" not in o for o in orders), "other people's data is withheld (Art. 15(4))"
    assert {c.collection: c.withheld_fields[:] for c in done.bundle.collections}["orders"] == ["seller"]
    page = package["index.html"].decode()
    assert "fulfilling orders" in page
    assert "Data Protection Commission" in page
    assert "seller" in page.lower(), "what is withheld is named"


async def test_unknown_subject_gets_a_complete_empty_answer(world: World) -> None:
    created = await world.create("access", identities=[("email", "nobody@example.com")])
    done = await world.until("access", created.name)
    assert state(done) == "COMPLETED"
    assert not done.bundle.collections
    assert "index.html" in files(await world.download("access", done.name))


@pytest.mark.policy("P11", "portability: what the person provided, on consent or contract (Art. 20)")
async def test_portability_leaves_out_what_the_right_does_not_reach(world: World) -> None:
    created = await world.create("portability")
    done = await world.until("portability", created.name)
    package = files(await world.download("portability", done.name))
    assert any(name.endswith("orders.csv") for name in package)
    assert not any("invoices" in name for name in package), "kept by legal obligation, not on consent or contract"


async def test_ranges_are_of_the_bytes_served(world: World) -> None:
    done = await world.until("access", (await world.create("access")).name)
    whole = await world.download("access", done.name)
    assert len(whole) == done.bundle.size_bytes
    assert await world.download("access", done.name, offset=100, length=50) == whole[100:150]
    assert await world.download("access", done.name, offset=len(whole)) == b""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.download("access", done.name, offset=len(whole) + 1)
    assert reason_of(caught.value) == "OUT_OF_RANGE"


async def test_the_same_request_id_is_the_same_request(world: World) -> None:
    request_id = str(uuid.uuid4())
    message = world.create_message("access", request_id)
    stub, metadata = world.stub("access"), world.metadata()
    both = await asyncio.gather(*(stub.CreateAccessRequest(message, metadata=metadata) for _ in range(5)))
    assert len({r.name for r in both}) == 1
    message.access_request.subject.identities[0].value = "joann@example.com"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.CreateAccessRequest(message, metadata=metadata)
    assert reason_of(caught.value) == "REQUEST_ID_REUSED"


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("request_id", "not-a-uuid", "FIELD_INVALID"),
        ("request_id", "", "FIELD_REQUIRED"),
        ("access_request.subject.identities[0].type", "E-Mail", "FIELD_INVALID"),
        ("access_request.subject.identities[0].value", "", "FIELD_REQUIRED"),
        ("access_request.subject.identities[0].value", "x" * 1025, "FIELD_INVALID"),
        ("access_request.clock.received_time", datetime.now(UTC) + timedelta(days=1), "FIELD_INVALID"),
        ("access_request.subject.capacity", 99, "FIELD_INVALID"),
    ],
)
async def test_bad_input_names_the_field(world: World, path: str, value: object, reason: str) -> None:
    message = world.create_message("access")
    target: object = message
    parts = path.replace("[0]", "").split(".")
    for part in parts[:-1]:
        target = getattr(target, part)
        target = target[0] if part == "identities" else target  # type: ignore[index]
    if isinstance(value, datetime):
        getattr(target, parts[-1]).FromDatetime(value)
    else:
        setattr(target, parts[-1], value)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.stub("access").CreateAccessRequest(message, metadata=world.metadata())
    assert reason_of(caught.value) == reason
    assert path in (caught.value.details() or "")


@pytest.mark.policy("P2", "where a name matches several people, the controller decides")
async def test_ambiguous_identity_stops_and_asks(world: World) -> None:
    created = await world.create("access", identities=[("email", "twin@example.com")])
    asked = await world.until("access", created.name, "AWAITING_CONTROLLER")
    assert state(asked) == "AWAITING_CONTROLLER"
    assert len(asked.candidates) == 2
    accept = next(c for c in asked.candidates if any(i.value == "81" for i in c.identities))
    reject = next(c for c in asked.candidates if c is not accept)
    one = [request_pb2.CandidateDecision(candidate=accept.candidate, decision=request_pb2.Candidate.DECISION_ACCEPT)]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.act("access", "Resolve", asked.name, decisions=one)
    assert reason_of(caught.value) == "FIELD_INVALID"
    both = [
        *one,
        request_pb2.CandidateDecision(candidate=reject.candidate, decision=request_pb2.Candidate.DECISION_REJECT),
    ]
    await world.act("access", "Resolve", asked.name, decisions=both)
    done = await world.until("access", asked.name)
    package = files(await world.download("access", done.name))
    people = [json.loads(line) for line in package["data/crm/people.jsonl"].splitlines()]
    assert [p["number"] for p in people] == ["81"]
    assert len(package["data/shop/orders.jsonl"].splitlines()) == 1


async def test_an_unreachable_source_makes_the_request_wait_and_say_so(world: World) -> None:
    world.shop.down = True
    created = await world.create("access")
    await world.until_waiting("access", created.name, "SOURCE_UNAVAILABLE")
    waiting = await world.get("access", created.name)
    assert {p.source for p in waiting.sources if p.waiting_reason} == {SHOP}
    world.shop.down = False
    assert state(await world.until("access", created.name)) == "COMPLETED"


@pytest.mark.long
async def test_a_connector_that_lies_about_counts_is_not_believed(world: World) -> None:
    world.shop.miscounts = 1
    created = await world.create("access")
    await world.until_waiting("access", created.name, "SOURCE_INCONSISTENT")
    world.shop.miscounts = 0
    assert state(await world.until("access", created.name)) == "COMPLETED"


@pytest.mark.long
async def test_without_governance_nothing_starts_and_running_work_waits(world: World) -> None:
    world.crm.gate = asyncio.Event()
    running = await world.create("access")
    await world.stop("governance")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.create("access")
    assert reason_of(caught.value) == "GOVERNANCE_UNAVAILABLE"
    world.crm.gate.set()
    await world.until_waiting("access", running.name, "GOVERNANCE_UNAVAILABLE")
    await world.start("governance")
    assert state(await world.until("access", running.name)) == "COMPLETED"


@pytest.mark.long
async def test_a_stalled_attempt_changes_nothing_after_its_successor(world: World) -> None:
    """The worker that holds attempt 1 comes back after attempt 2 is done: its result is dropped, once is once."""
    gate = world.crm.gate = asyncio.Event()
    created = await world.create("access")
    await eventually(lambda: "locate" in world.crm.calls)
    identifier = uuid.UUID(created.name.split("/")[-1])
    pool_store = await _task_store(world)
    try:
        tasks = await _tasks(pool_store, identifier)
        stalled = next(t for t in tasks if t.step == "locate" and t.source and t.source.endswith("crm"))
        again = await pool_store.begin(PARTNER, stalled.id)
        assert again is not None
        assert again.attempt == stalled.attempt + 1
        gate.set()
        world.crm.gate = None
        # The queue's own takeover finishes it in the end: with a third attempt, not with the first one's result.
        assert state(await world.until("access", created.name)) == "COMPLETED"
        finished = next(t for t in await _tasks(pool_store, identifier) if t.id == stalled.id)
        assert finished.attempt > again.attempt
    finally:
        await pool_store.pool.close()


async def _task_store(world: World) -> TaskStore:
    pool = await asyncpg.create_pool(
        world.dsn("access"), min_size=1, max_size=2, init=_set_up, server_settings={"search_path": "access, dsr"}
    )
    return TaskStore(pool, "access")


async def _tasks(store: TaskStore, identifier: uuid.UUID) -> list[Task]:
    async with partner_transaction(store.pool, PARTNER) as connection:
        return await store.of_owner(connection, identifier)


@pytest.mark.policy("P11", "an extension needs its reason and the time the subject was told, before the due time")
async def test_deadlines_and_their_extension(world: World) -> None:
    world.crm.gate = asyncio.Event()
    received = datetime(2026, 1, 31, 12, tzinfo=UTC)
    message = world.create_message("access")
    message.access_request.clock.received_time.FromDatetime(received)
    created = await world.stub("access").CreateAccessRequest(message, metadata=world.metadata())
    assert created.clock.due_time.ToDatetime(UTC) == datetime(2026, 2, 28, 12, tzinfo=UTC)
    extension = request_pb2.Extension(reason=request_pb2.Extension.REASON_JUSTIFICATION_A12_COMPLEXITY)
    extension.subject_told_time.FromDatetime(received + timedelta(days=3))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.act("access", "Extend", created.name, extension=extension)
    assert reason_of(caught.value) == "DEADLINE_PASSED"
    fresh = await world.create("access")
    told = request_pb2.Extension(reason=request_pb2.Extension.REASON_JUSTIFICATION_A12_COMPLEXITY)
    told.subject_told_time.GetCurrentTime()
    extended = await world.act("access", "Extend", fresh.name, extension=told)
    assert extended.clock.due_time.ToDatetime(UTC) - fresh.clock.due_time.ToDatetime(UTC) > timedelta(days=55)
    world.crm.gate.set()


@pytest.mark.long
async def test_lists_are_paged_and_filtered(world: World) -> None:
    names = [(await world.create("access")).name for _ in range(5)]
    for name in names:
        await world.until("access", name)
    seen: list[str] = []
    token = ""
    while True:
        page = await world.stub("access").ListAccessRequests(
            access_pb2.ListAccessRequestsRequest(parent=PARTNER, page_size=2, page_token=token),
            metadata=world.metadata(),
        )
        seen += [r.name for r in page.access_requests]
        token = page.next_page_token
        if not token:
            break
    assert seen == names[::-1]
    none = await world.stub("access").ListAccessRequests(
        access_pb2.ListAccessRequestsRequest(parent=PARTNER, states=[request_pb2.REQUEST_STATE_REFUSED]),
        metadata=world.metadata(),
    )
    assert not none.access_requests


async def test_a_cancelled_request_leaves_nothing(world: World) -> None:
    world.shop.gate = asyncio.Event()
    created = await world.create("access")
    cancelled = await world.act("access", "Cancel", created.name)
    assert state(cancelled) == "CANCELLED"
    world.shop.gate.set()
    key = world.folder / "keys" / "access" / "acme" / f"{created.name.split('/')[-1]}.key"
    await eventually(lambda: not key.exists())
    assert not (await world.get("access", created.name)).identities


@pytest.mark.policy(
    "P13", "a copy for somebody who only confirmed an address is refused: rule, article, facts, objection"
)
@pytest.mark.policy("P2", "how the requester was verified is recorded, and weak proof is advised against")
async def test_address_only_proof_is_refused_with_the_article(world: World) -> None:
    message = world.create_message("access")
    message.access_request.subject.verification.method = subject_pb2.IdentityVerification.METHOD_CONTACT_CONFIRMED
    refused = await world.stub("access").CreateAccessRequest(message, metadata=world.metadata())
    assert state(refused) == "REFUSED"
    assert refused.refusal.rule == "VERIFICATION_TOO_WEAK"
    assert "Art. 12(6)" in refused.refusal.article
    assert "dpo@agency.example" in refused.refusal.objection
    assert not refused.identities


@pytest.mark.policy("P13", "standing is looked at again for every grant; running work stops")
async def test_a_suspended_partner_is_refused_and_running_work_waits(world: World) -> None:
    world.crm.gate = asyncio.Event()
    running = await world.create("access")
    token = Credential.load(world.folder / "operator.json").token("dsr", subject="olga", roles=["ROLE_OPERATOR"])

    async def set_standing(standing: governance_pb2.Partner.Standing.ValueType) -> None:
        await world.governance.SetPartnerStanding(
            governance_pb2.SetPartnerStandingRequest(name=PARTNER, standing=standing),
            metadata=(("authorization", f"Bearer {token}"),),
        )

    await set_standing(governance_pb2.Partner.STANDING_SUSPENDED)
    refused = await world.create("access")
    assert refused.refusal.rule == "PARTNER_SUSPENDED"
    world.crm.gate.set()
    await world.until_waiting("access", running.name, "INSTRUCTION_REFUSED")
    await set_standing(governance_pb2.Partner.STANDING_GOOD)
    assert state(await world.until("access", running.name)) == "COMPLETED"


async def test_duration_helper_is_exact() -> None:
    assert seconds(1.5).ToTimedelta() == timedelta(seconds=1.5)
