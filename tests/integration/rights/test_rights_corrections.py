"""Rectification, restriction and objection against the running services."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import grpc
import pytest
from dsr.v1 import correction_pb2 as pb
from dsr.v1 import erasure_pb2, governance_pb2, request_pb2

from dsrkit.calendar import due
from tests.support.services import CRM, PARTNER, SHOP, World, reason_of, subject, timestamp

R = pb.CorrectionRequest
ANN = (("email", "ann@example.com"),)
NEW = "ann.new@example.com"


async def create(world: World, request_id: str = "", metadata: Any = None, **fields: Any) -> Any:
    request = R(
        subject=subject(fields.pop("identities", ANN)), clock=request_pb2.Clock(received_time=timestamp()), **fields
    )
    message = pb.CreateCorrectionRequestRequest(
        parent=PARTNER, correction_request=request, request_id=request_id or str(uuid.uuid4())
    )
    return await world.corrections.CreateCorrectionRequest(message, metadata=metadata or world.metadata())


async def rectify(world: World, request_id: str = "") -> Any:
    change = R.FieldChange(source=CRM, collection="people", field="email", value=NEW)
    return await create(world, request_id, kind=R.KIND_RECTIFICATION, changes=[change])


async def restrict(world: World, identities: Any = ANN) -> Any:
    restriction = R.Restriction(ground=R.Restriction.GROUND_LEGAL_CLAIMS)
    return await create(world, kind=R.KIND_RESTRICTION, restriction=restriction, identities=identities)


async def complete(world: World, name: str, source: str, evidence: str = "ticket-1", request_id: str = "") -> Any:
    message = pb.CompleteCorrectionTaskRequest(
        name=name, source=source, evidence=evidence, request_id=request_id or str(uuid.uuid4())
    )
    return await world.corrections.CompleteCorrectionTask(message, metadata=world.metadata("carl", "ROLE_REQUESTER"))


async def cancel(world: World, name: str) -> Any:
    message = pb.CancelCorrectionRequestRequest(name=name, request_id=str(uuid.uuid4()))
    return await world.corrections.CancelCorrectionRequest(message, metadata=world.metadata())


async def lift(world: World, name: str) -> Any:
    message = pb.LiftRestrictionRequest(name=name, subject_told_time=timestamp(), request_id=str(uuid.uuid4()))
    return await world.corrections.LiftRestriction(message, metadata=world.metadata())


async def get(world: World, name: str, *roles: str) -> Any:
    message = pb.GetCorrectionRequestRequest(name=name)
    return await world.corrections.GetCorrectionRequest(message, metadata=world.metadata("rita", *roles))


async def refused(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert NEW not in str(caught.value)
    return reason_of(caught.value)


async def stored(world: World) -> str:
    """Every row of governance's that could hold what the request brought."""
    connection = await asyncpg.connect(world.dsn("governance"))
    try:
        async with connection.transaction():
            await connection.execute("SELECT set_config('dsr.partner', $1, true)", PARTNER)
            tables = (
                "notice",
                "deadline",
                "correction",
                "correction_task",
                "restricted_identity",
                "processing_record",
                "mutation",
            )
            return "".join([str(await connection.fetch(f"SELECT * FROM governance.{t}")) for t in tables])  # noqa: S608
    finally:
        await connection.close()


@pytest.mark.policy("P11", "a rectification is a task for every place, with owner, due date and evidence (Art. 16, 19)")
async def test_a_rectification_until_it_is_carried_out(world: World) -> None:
    request_id = str(uuid.uuid4())
    made = await rectify(world, request_id)
    assert (R.State.Name(made.state), [i.value for i in made.identities]) == ("STATE_OPEN", ["ann@example.com"])
    assert made.changes[0].value == NEW
    received = made.clock.received_time.ToDatetime(UTC)
    assert made.clock.due_time.ToDatetime(UTC) == due(received, "Europe/Dublin")
    (task,) = made.tasks
    assert (task.source, task.done, task.due_time) == (CRM, False, made.clock.due_time)
    assert task.owner == made.creator
    assert task.custody == governance_pb2.DataSource.CUSTODY_OPERATOR
    assert made.contact == "dpo@agency.example"
    key = world.folder / "keys" / "governance" / "acme" / f"correction-{made.name.split('/')[-1]}.key"
    assert key.exists()
    reader = await get(world, made.name, "ROLE_READER")
    assert not reader.identities
    assert not reader.changes
    done = await complete(world, made.name, CRM)
    assert (R.State.Name(done.state), done.tasks[0].evidence) == ("STATE_COMPLETED", "ticket-1")
    assert done.tasks[0].completer != done.tasks[0].owner
    assert not done.changes
    assert not done.identities
    assert not key.exists()
    again = await complete(world, made.name, CRM)
    assert again.tasks[0] == done.tasks[0]


async def test_repeating_the_call_makes_nothing_new_and_another_body_is_refused(world: World) -> None:
    change = R.FieldChange(source=CRM, collection="people", field="email", value=NEW)
    request = R(
        subject=subject(ANN),
        clock=request_pb2.Clock(received_time=timestamp()),
        kind=R.KIND_RECTIFICATION,
        changes=[change],
    )
    message = pb.CreateCorrectionRequestRequest(
        parent=PARTNER, correction_request=request, request_id=str(uuid.uuid4())
    )
    first = await world.corrections.CreateCorrectionRequest(message, metadata=world.metadata())
    assert await world.corrections.CreateCorrectionRequest(message, metadata=world.metadata()) == first
    message.correction_request.changes[0].value = "other"
    assert (
        await refused(world.corrections.CreateCorrectionRequest(message, metadata=world.metadata()))
        == "REQUEST_ID_REUSED"
    )
    page = await world.corrections.ListCorrectionRequests(
        pb.ListCorrectionRequestsRequest(parent=PARTNER, states=[R.STATE_OPEN]), metadata=world.metadata()
    )
    assert [r.name for r in page.correction_requests] == [first.name]
    assert not page.correction_requests[0].changes


@pytest.mark.policy("P10", "new values of a rectification are stored under a key of their own")
async def test_no_row_and_no_record_holds_what_is_personal(world: World) -> None:
    made = await rectify(world)
    await restrict(world)
    await complete(world, made.name, CRM)
    rows = await stored(world)
    assert "CompleteCorrectionTask" in rows
    for text in (NEW, "ann@example.com"):
        assert text not in rows
        assert text.encode().hex() not in rows


async def erase(world: World, ground: Any) -> Any:
    return await world.create("erasure", ground=ground)


@pytest.mark.long
@pytest.mark.policy("P11", "a restriction is asked before every instruction and grant (Art. 18)")
async def test_a_restriction_stops_a_sweep_even_after_its_approval_and_not_the_person(world: World) -> None:
    ground = erasure_pb2.ErasureRequest
    sweep = await erase(world, ground.GROUND_NON_NECESSITY)
    sweep = await world.until("erasure", sweep.name, "PLANNED")
    made = await restrict(world)
    assert [t.source for t in made.tasks] == [CRM, SHOP]
    created = made.create_time.ToDatetime(UTC)
    assert made.restriction.effective_time.ToDatetime(UTC) == created + timedelta(minutes=5)
    await world.approve(sweep)
    await world.until_waiting("erasure", sweep.name, "INSTRUCTION_REFUSED")
    assert any(row["email"] == "ann@example.com" for row in world.crm.tables["people"].rows)
    copy = await world.create("access")
    assert R.State.Name(made.state) == "STATE_OPEN"
    await world.until("access", copy.name, "COMPLETED")
    await world.act("erasure", "Cancel", sweep.name)
    own = await world.until("erasure", (await erase(world, ground.GROUND_CONSENT_WITHDRAWN)).name, "PLANNED")
    await world.approve(own)
    await world.until("erasure", own.name, "COMPLETED")
    assert not any(row["email"] == "ann@example.com" for row in world.crm.tables["people"].rows)


@pytest.mark.long
@pytest.mark.parametrize("identity", [("email", " Ann@Example.com"), ("customer_number", "7")])
async def test_a_restriction_holds_by_any_name_and_spelling_and_for_nobody_else(
    world: World, identity: tuple[str, str]
) -> None:
    await restrict(world, [identity])
    ground = erasure_pb2.ErasureRequest.GROUND_NON_NECESSITY
    sweep = await erase(world, ground)
    await world.until_waiting("erasure", sweep.name, "INSTRUCTION_REFUSED")
    other = await world.create("erasure", ground=ground, identities=(("email", "joann@example.com"),))
    await world.until("erasure", other.name, "PLANNED")


@pytest.mark.policy("P11", "a restriction is lifted only after the person was told (Art. 18(3))")
async def test_a_restriction_outlives_its_tasks_until_it_is_lifted(world: World) -> None:
    made = await restrict(world)
    for source in (CRM, SHOP):
        await complete(world, made.name, source)
    done = await get(world, made.name, "ROLE_READER")
    assert R.State.Name(done.state) == "STATE_COMPLETED"
    assert not done.restriction.HasField("lift_time")
    sweep = await erase(world, erasure_pb2.ErasureRequest.GROUND_NON_NECESSITY)
    await world.until_waiting("erasure", sweep.name, "INSTRUCTION_REFUSED")
    early = pb.LiftRestrictionRequest(name=made.name, request_id=str(uuid.uuid4()))
    early.subject_told_time.FromDatetime(datetime.now(UTC) - timedelta(days=2))
    assert await refused(world.corrections.LiftRestriction(early, metadata=world.metadata())) == "FIELD_INVALID"
    lifted = await lift(world, made.name)
    assert lifted.restriction.HasField("lift_time")
    assert (await lift(world, made.name)).restriction == lifted.restriction
    await world.until("erasure", sweep.name, "PLANNED")


async def test_cancelling_ends_the_restriction_and_what_is_over_can_not_be_cancelled(world: World) -> None:
    made = await restrict(world)
    gone = await cancel(world, made.name)
    assert R.State.Name(gone.state) == "STATE_CANCELLED"
    assert (await cancel(world, made.name)).complete_time == gone.complete_time
    assert await refused(lift(world, made.name)) == "STATE_CONFLICT"
    assert await refused(complete(world, made.name, CRM)) == "STATE_CONFLICT"
    sweep = await erase(world, erasure_pb2.ErasureRequest.GROUND_NON_NECESSITY)
    await world.until("erasure", sweep.name, "PLANNED")
    right = await rectify(world)
    assert await refused(lift(world, right.name)) == "STATE_CONFLICT"
    assert await refused(complete(world, right.name, SHOP)) == "FIELD_INVALID"
    assert await refused(complete(world, right.name, CRM, "  ")) == "FIELD_INVALID"
    await complete(world, right.name, CRM)
    assert await refused(cancel(world, right.name)) == "STATE_CONFLICT"


@pytest.mark.policy("P11", "an objection's effect on every purpose of the data map is reported (Art. 21)")
async def test_an_objection_reports_its_effects(world: World) -> None:
    weighed = await create(world, kind=R.KIND_OBJECTION, purposes=["fulfilling orders"])
    assert {e.consequence for e in weighed.effects} == {R.Effect.CONSEQUENCE_NONE}
    assert R.State.Name(weighed.state) == "STATE_COMPLETED"
    made = await create(world, kind=R.KIND_OBJECTION, purposes=["fulfilling orders"], direct_marketing=True)
    assert [(e.collection, e.consequence) for e in made.effects] == [
        (name, R.Effect.CONSEQUENCE_STOPS) for name in ("people", "orders", "invoices")
    ]
    assert [t.source for t in made.tasks] == [CRM, SHOP]
    assert made.data_map_revision == 1
    assert await refused(create(world, kind=R.KIND_OBJECTION, purposes=["none"])) == "FIELD_INVALID"


@pytest.mark.policy("P11", "a deadline is extended once, to three months, before it is due (Art. 12(3))")
async def test_the_deadline_is_extended_once(world: World) -> None:
    made = await rectify(world)
    extension = request_pb2.Extension(
        reason=request_pb2.Extension.REASON_JUSTIFICATION_A12_COMPLEXITY, subject_told_time=timestamp()
    )

    async def extend() -> Any:
        message = pb.ExtendCorrectionRequestDeadlineRequest(
            name=made.name, extension=extension, request_id=str(uuid.uuid4())
        )
        return await world.corrections.ExtendCorrectionRequestDeadline(message, metadata=world.metadata())

    later = await extend()
    received = made.clock.received_time.ToDatetime(UTC)
    assert later.clock.due_time.ToDatetime(UTC) == due(received, "Europe/Dublin", extended=True)
    assert later.tasks[0].due_time == later.clock.due_time
    assert later.clock.extension == extension
    assert await refused(extend()) == "DEADLINE_PASSED"


@pytest.mark.policy("P11", "the deadline of a rectification, restriction or objection is watched like any other")
async def test_deadlines_are_watched_while_a_request_is_open(world: World) -> None:
    made = await rectify(world)

    async def watched() -> list[tuple[bool, datetime]]:
        connection = await asyncpg.connect(world.dsn("governance"))
        try:
            async with connection.transaction():
                await connection.execute("SELECT set_config('dsr.partner', $1, true)", PARTNER)
                rows = await connection.fetch("SELECT * FROM governance.deadline WHERE request = $1", made.name)
                return [(row["open"], row["due_time"]) for row in rows]
        finally:
            await connection.close()

    assert await watched() == [(True, made.clock.due_time.ToDatetime(UTC))]
    await complete(world, made.name, CRM)
    assert await watched() == [(False, made.clock.due_time.ToDatetime(UTC))]
