"""Breaches against the running services."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import grpc
import orjson
import pytest
from dsr.v1 import breach_pb2 as pb
from dsr.v1 import governance_pb2, notifications_pb2
from dsr.v1.error_reason_pb2 import ErrorReason
from dsr.v1.notifications_pb2_grpc import NotificationServiceStub

from tests.support.services import CRM, PARTNER, SHOP, World, eventually, reason_of, timestamp

P = pb.Breach
TEXT = "A backup was readable from outside"
DUBLIN = governance_pb2.Location(provider="Amazon Web Services", site="Dublin", country="IE")


def admin(world: World) -> Any:
    return world.metadata("adam", "ROLE_ADMIN")


async def refused(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


async def report(world: World, **fields: Any) -> Any:
    breach = P(natures=[P.NATURE_CONFIDENTIALITY], description=TEXT, **fields)
    message = pb.ReportBreachRequest(parent=PARTNER, breach=breach, request_id=str(uuid.uuid4()))
    return await world.breaches.ReportBreach(message, metadata=admin(world))


async def declare(world: World, request_id: str = "", aware: Any = None, **fields: Any) -> list[Any]:
    breach = P(natures=[P.NATURE_CONFIDENTIALITY], description=TEXT, aware_time=aware)
    message = pb.DeclareBreachRequest(breach=breach, request_id=request_id or str(uuid.uuid4()), **fields)
    answer = await world.breaches.DeclareBreach(message, metadata=world.operator())
    return list(answer.breaches)


async def advance(world: World, name: str, phase: Any, **fields: Any) -> Any:
    message = pb.AdvanceBreachRequest(name=name, phase=phase, note="done", request_id=str(uuid.uuid4()), **fields)
    return await world.breaches.AdvanceBreach(message, metadata=world.operator())


async def decide(world: World, name: str, audience: Any, kind: Any) -> Any:
    decision = P.Decision(kind=kind, decide_time=timestamp(), reference="case-1")
    message = pb.RecordBreachDecisionRequest(
        name=name, audience=audience, decision=decision, request_id=str(uuid.uuid4())
    )
    return await world.breaches.RecordBreachDecision(message, metadata=admin(world))


async def notices(world: World, kind: str) -> list[str]:
    stub: Any = NotificationServiceStub(world.channel("governance"))
    page = await stub.ListNotices(
        notifications_pb2.ListNoticesRequest(parent=PARTNER, kind=kind), metadata=admin(world)
    )
    return [notice.resource for notice in page.notices]


async def download(world: World, name: str, **fields: Any) -> bytes:
    message = pb.DownloadBreachReportRequest(name=name, **fields)
    return b"".join([p.data async for p in world.breaches.DownloadBreachReport(message, metadata=admin(world))])


@pytest.mark.policy("P8", "who declares a breach notifies each partner concerned at once; awareness and 72 hours apart")
async def test_declaring_notifies_every_partner_in_the_place(world: World) -> None:
    aware = timestamp()
    aware.FromDatetime(datetime.now(UTC) - timedelta(hours=3))
    identifier = str(uuid.uuid4())
    (made,) = await declare(world, identifier, aware, place=DUBLIN, confirmed=True)
    assert made.phase == P.PHASE_CONFIRMED
    assert list(made.data_sources) == [CRM, SHOP]
    assert made.aware_time == aware
    due = made.notice_time.ToDatetime(UTC) + timedelta(hours=72)
    assert made.authority_due_time.ToDatetime(UTC) == due
    assert await notices(world, "breach.noticed") == [made.name]
    assert [one.name for one in await declare(world, identifier, aware, place=DUBLIN, confirmed=True)] == [made.name]
    leeds = governance_pb2.Location(provider="Brightbox", site="Leeds", country="GB")
    assert await declare(world, place=leeds) == []
    (named,) = await declare(world, partners=[PARTNER])
    assert not named.data_sources
    assert {one.source for one in named.concerned} == {CRM, SHOP}
    assert await refused(declare(world)) == "FIELD_INVALID"
    assert await refused(declare(world, place=DUBLIN, partners=[PARTNER])) == "FIELD_INVALID"
    assert await refused(declare(world, partners=[PARTNER, "partners/nobody"])) == "NOT_FOUND"


@pytest.mark.policy(
    "P8", "reported, confirmed, fixed, told, closed: in this order, with a timeline and a final document"
)
async def test_from_the_report_to_the_breakdown(world: World) -> None:
    copy = await world.create("access")
    await world.until("access", copy.name, "COMPLETED")
    made = await report(world, data_sources=[CRM])
    assert made.phase == P.PHASE_SUSPECTED
    assert await notices(world, "breach.reported") == [made.name]
    assert [(c.source, c.certainty) for c in made.subject_counts] == [(CRM, P.SubjectCount.CERTAINTY_UNKNOWN)]
    assert {(c.source, c.collection) for c in made.concerned} == {(CRM, "people")}

    async def touched() -> bool:
        found = await world.breaches.GetBreach(pb.GetBreachRequest(name=made.name), metadata=admin(world))
        return {(a.source, a.operation) for a in found.activities if a.records} == {(CRM, "locate"), (CRM, "export")}

    await eventually(touched)
    assert await refused(advance(world, made.name, P.PHASE_FIXED)) == "STATE_CONFLICT"
    await advance(world, made.name, P.PHASE_CONFIRMED)
    wrong = P.SubjectCount(source=SHOP, subjects=4)
    assert await refused(advance(world, made.name, P.PHASE_FIXED, estimates=[wrong])) == "FIELD_INVALID"
    await advance(world, made.name, P.PHASE_FIXED)
    assert await refused(advance(world, made.name, P.PHASE_CLOSED)) == "STATE_CONFLICT"
    to = pb.RecordBreachDecisionRequest
    await decide(world, made.name, to.AUDIENCE_AUTHORITY, P.Decision.KIND_TOLD)
    assert await refused(advance(world, made.name, P.PHASE_CLOSED)) == "STATE_CONFLICT"
    assert b"This is not final" in await download(world, made.name)
    await decide(world, made.name, to.AUDIENCE_SUBJECTS, P.Decision.KIND_NOT_REQUIRED)
    closed = await advance(world, made.name, P.PHASE_CLOSED)
    assert [e.event for e in closed.timeline] == [
        *("REPORTED", "NOTICE", "CONFIRMED", "FIXED", "AUTHORITY_TOLD", "SUBJECTS_NOT_REQUIRED", "CLOSED")
    ]
    assert await refused(decide(world, made.name, to.AUDIENCE_SUBJECTS, P.Decision.KIND_TOLD)) == "STATE_CONFLICT"
    page = await download(world, made.name)
    assert TEXT.encode() in page
    assert b"dpo@agency.example" in page
    assert b"This is not final" not in page
    assert orjson.loads(await download(world, made.name, json=True))["final"] is True
    # What it says of its scope no longer changes.
    await world.until("access", (await world.create("access")).name, "COMPLETED")
    again = await world.breaches.GetBreach(pb.GetBreachRequest(name=made.name), metadata=admin(world))
    assert again.activities == closed.activities


async def counted(world: World, name: str, *sources: str) -> dict[str, Any]:
    """Each source's number, once every one of these has been asked."""
    found: dict[str, Any] = {}

    async def asked() -> bool:
        breach = await world.breaches.GetBreach(pb.GetBreachRequest(name=name), metadata=admin(world))
        found.update({one.source: one for one in breach.subject_counts})
        return all(found[source].counted or found[source].reason for source in sources)

    await eventually(asked)
    return found


@pytest.mark.policy("P8", "distinct people are counted at the source, marked exact, or unknown with the reason")
async def test_the_source_counts_the_people(world: World) -> None:
    people = len({row["email"] for row in world.crm.tables["people"].rows})
    made = await report(world)
    found = await counted(world, made.name, CRM, SHOP)
    exact, unknown = P.SubjectCount.CERTAINTY_EXACT, P.SubjectCount.CERTAINTY_UNKNOWN
    assert (found[CRM].subjects, found[CRM].certainty, found[CRM].reason) == (people, exact, 0)
    assert found[CRM].count_time.ToDatetime(UTC) >= made.notice_time.ToDatetime(UTC)
    assert (found[SHOP].subjects, found[SHOP].certainty, found[SHOP].counted) == (0, unknown, False)
    assert found[SHOP].reason == ErrorReason.ERROR_REASON_NOT_COUNTABLE
    # Somebody's estimate fills the gap and replaces no count; what the source can't say stays said.
    estimates = [P.SubjectCount(source=source, subjects=7_000) for source in (CRM, SHOP)]
    confirmed = await advance(world, made.name, P.PHASE_CONFIRMED, estimates=estimates)
    assert [(c.subjects, c.counted, c.reason) for c in confirmed.subject_counts] == [
        (people, True, 0),
        (7_000, False, ErrorReason.ERROR_REASON_NOT_COUNTABLE),
    ]
    assert f"<td>{people}</td><td>exact, counted at the source".encode() in await download(world, made.name)
    assert world.crm.calls.count("count_people") == 1


async def test_a_source_that_does_not_answer_stays_unknown_until_it_does(world: World) -> None:
    world.crm.down = True
    made = await report(world, data_sources=[CRM])
    found = await counted(world, made.name, CRM)
    assert found[CRM].certainty == P.SubjectCount.CERTAINTY_UNKNOWN
    assert found[CRM].reason == ErrorReason.ERROR_REASON_SOURCE_UNAVAILABLE
    world.crm.down = False
    world.clock = lambda: datetime.now(UTC) + timedelta(minutes=6)

    async def there() -> bool:
        return bool((await counted(world, made.name, CRM))[CRM].counted)

    await eventually(there)
    assert world.crm.calls == ["count_people"]


@pytest.mark.policy("P10", "what somebody wrote about a breach is stored under a key of its own")
async def test_what_was_written_is_ciphertext(world: World) -> None:
    await advance(world, (await report(world)).name, P.PHASE_CONFIRMED)
    connection = await asyncpg.connect(world.dsn("governance"))
    try:
        await connection.execute("SELECT set_config('dsr.partner', $1, false)", PARTNER)
        rows = await connection.fetch("SELECT * FROM governance.breach, governance.breach_entry, governance.notice")
    finally:
        await connection.close()
    assert rows
    assert TEXT not in str(rows)
    assert TEXT.encode().hex() not in str(rows)
