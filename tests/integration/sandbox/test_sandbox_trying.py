"""What an integrator tries in a sandbox: people for whom things go wrong, and a month that passes in seconds."""

import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from dsr.v1 import breach_pb2, notifications_pb2, request_pb2, sandbox_pb2, subject_pb2, termination_pb2
from dsr.v1.erasure_pb2 import ErasureRequest
from dsr.v1.error_reason_pb2 import ErrorReason
from dsr.v1.notifications_pb2_grpc import NotificationServiceStub

from connectors.sandbox import faults
from connectors.sandbox.seed import DOMAIN, TRIGGERS
from connectors.sandbox.table import as_markdown
from deploy.local import sandbox
from services.governance.sandbox.domain import FARTHEST, leap
from tests.integration.sandbox.conftest import Setting
from tests.support.sandbox import backend, connect, create_partner, serve, stub
from tests.support.services import PARTNER, World, eventually, reason_of, state

ROWS = [(who, right) for who, told in TRIGGERS.items() for right in told["outcomes"]]


@dataclass
class Desk:
    """A sandbox without grace, and a request about everybody."""

    world: World
    names: Mapping[tuple[str, str], str] = field(default_factory=dict)


@pytest.fixture(scope="module")
async def desk(setting: Setting) -> AsyncIterator[Desk]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults, "SLOW_SECONDS", 1)
        world = await create_partner(setting.live, "acme-faults", erasureGracePeriod="0s")
        source = "partners/acme-faults/dataSources/shop"
        async with serve(world, source, backend(world, source), [source]) as address:
            await connect(world, address)
            # All at once: they wait beside each other.
            names = {row: (await create(world, *row)).name for row in ROWS}
            yield Desk(world, names)


async def create(world: World, who: str, right: str) -> Any:
    return await world.create(right, identities=[("email", f"{who}@{DOMAIN}")])


@pytest.mark.parametrize(("who", "right"), ROWS)
async def test_a_request_comes_to_what_the_table_says(desk: Desk, who: str, right: str) -> None:
    world, name, wanted = desk.world, desk.names[who, right], TRIGGERS[who]["outcomes"][right]
    if right == "erasure":
        planned = await world.until(right, name, "PLANNED")
        found = {f.code for f in planned.plan.findings}
        assert found == ({wanted["finding"]} if "finding" in wanted else set())
        if "approval" in wanted:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await world.approve(planned, subject="manager-2")
            assert reason_of(refused.value) == wanted["approval"]
            return
        await world.approve(planned, subject="manager-2")
    if "waits" in wanted:
        await world.until_waiting(right, name, wanted["waits"])
        done = await world.get(right, name)
    else:
        done = await world.until(right, name, wanted["state"])
    assert request_pb2.RequestState.Name(done.state) == f"REQUEST_STATE_{wanted['state']}"
    if "records" in wanted:
        assert sum(c.records for c in done.bundle.collections) == wanted["records"]
    if "change" in wanted:
        kinds = {ErasureRequest.PlanChange.Kind.Name(c.kind) for c in done.plan_changes}
        assert kinds == {f"KIND_{wanted['change']}"}
    for count in ("retained", "unexplained"):
        if count in wanted:
            assert sum(getattr(o, count) for o in done.report.outcomes) == wanted[count]


def test_the_document_has_the_table() -> None:
    document = Path(__file__).parents[3] / "docs" / "sandbox.md"
    assert as_markdown() in document.read_text(), "put in what `python -m connectors.sandbox.table` prints"


async def test_what_the_law_refuses_is_refused_in_a_sandbox_too(desk: Desk) -> None:
    world = desk.world
    message = world.create_message("access", identities=[("email", f"bea@{DOMAIN}")])
    message.access_request.subject.verification.method = subject_pb2.IdentityVerification.METHOD_CONTACT_CONFIRMED
    refused = await world.stub("access").CreateAccessRequest(message, metadata=world.metadata())
    assert request_pb2.RequestState.Name(refused.state) == "REQUEST_STATE_REFUSED"
    assert refused.refusal.rule == "VERIFICATION_TOO_WEAK"


DAY = timedelta(days=1)


async def clock(world: World) -> sandbox_pb2.Sandbox:
    message = sandbox_pb2.GetSandboxRequest(parent=f"partners/{world.partner_id}")
    found: sandbox_pb2.Sandbox = await stub(world).GetSandbox(message, metadata=world.metadata("r", "ROLE_READER"))
    return found


async def advance(world: World, to: datetime, partner: str = sandbox.PARTNER) -> None:
    """Until every service has followed."""
    message = sandbox_pb2.AdvanceSandboxClockRequest(parent=partner, request_id=str(uuid.uuid4()))
    message.time.FromDatetime(to)
    told = await stub(world).AdvanceSandboxClock(message, metadata=world.metadata("adam", "ROLE_ADMIN"))
    assert abs(told.time.ToDatetime(UTC) - to) < timedelta(seconds=5)

    async def settled() -> bool:
        return (await clock(world)).settled

    await eventually(settled)


async def notices(world: World, kind: str) -> list[Any]:
    message = notifications_pb2.ListNoticesRequest(parent=f"partners/{world.partner_id}", kind=kind)
    listed = await NotificationServiceStub(world.channel("governance")).ListNotices(
        message, metadata=world.metadata("adam", "ROLE_ADMIN")
    )
    return list(listed.notices)


@pytest.mark.policy("P2", "deadlines, grace and bundles end when a sandbox's clock says so, and nobody else's do")
async def test_a_month_passes_in_seconds(setting: Setting) -> None:
    world, live = setting.world, setting.live
    theirs = await live.until("access", (await live.create("access")).name)
    copy = await world.create("access", identities=[("email", "bea@sandbox.example")])
    await world.until("access", copy.name)
    assert len(await world.download("access", copy.name)) > 0
    late = await world.create("access", identities=[("email", "ambiguous@sandbox.example")])
    late = await world.until("access", late.name, "AWAITING_CONTROLLER")
    due = late.clock.due_time.ToDatetime(UTC)
    wanted = await world.create("erasure", identities=[("email", "cem@sandbox.example")])
    planned = await world.until("erasure", wanted.name, "PLANNED")
    approved = await world.approve(planned, subject="manager-2")
    assert state(approved) == "APPROVED"

    await advance(world, datetime.now(UTC) + DAY + timedelta(minutes=1))  # the grace period of a partner that says none
    assert state(await world.until("erasure", wanted.name)) == "COMPLETED"
    await world.download("access", copy.name)

    await advance(world, due - timedelta(days=1, hours=12))
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await world.download("access", copy.name)
    assert reason_of(gone.value) == "BUNDLE_GONE"
    (near,) = await notices(world, "request.deadline_near")
    assert near.resource == late.name
    assert await notices(world, "request.overdue") == []
    await advance(world, due + timedelta(hours=1))
    (over,) = await notices(world, "request.overdue")
    assert over.resource == late.name

    fresh = world.create_message("access", identities=[("email", "dov@sandbox.example")])
    received = (await clock(world)).time
    fresh.access_request.clock.received_time.CopyFrom(received)
    made = await world.stub("access").CreateAccessRequest(fresh, metadata=world.metadata())
    assert made.clock.due_time.ToDatetime(UTC) > due + 25 * DAY

    assert await notices(live, "request.deadline_near") == []
    assert len(await live.download("access", theirs.name)) > 0


async def test_only_sandboxes_have_a_clock_and_it_never_goes_back(setting: Setting) -> None:
    now = (await clock(setting.world)).time.ToDatetime(UTC)
    for world, partner, to, reason in (
        (setting.world, sandbox.PARTNER, now - DAY, "FIELD_INVALID"),
        (setting.world, sandbox.PARTNER, datetime.now(UTC) + FARTHEST + DAY, "FIELD_INVALID"),
        (setting.live, PARTNER, now + DAY, "SANDBOX_MISMATCH"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await advance(world, to, partner)
        assert reason_of(refused.value) == reason
    assert (await clock(setting.world)).settled


async def test_what_a_sandbox_orders_while_it_is_ahead_does_not_wait(setting: Setting) -> None:
    world = setting.world
    await advance(world, (await clock(world)).time.ToDatetime(UTC) + DAY)
    breach = breach_pb2.Breach(natures=[breach_pb2.Breach.NATURE_AVAILABILITY], description="lost")
    message = breach_pb2.ReportBreachRequest(parent=sandbox.PARTNER, breach=breach, request_id=str(uuid.uuid4()))
    made = await world.breaches.ReportBreach(message, metadata=world.metadata("adam", "ROLE_ADMIN"))

    async def asked() -> bool:
        request = breach_pb2.GetBreachRequest(name=made.name)
        found = await world.breaches.GetBreach(request, metadata=world.metadata("adam", "ROLE_ADMIN"))
        return {one.reason for one in found.subject_counts} == {ErrorReason.ERROR_REASON_METHOD_UNKNOWN}

    await eventually(asked)


def test_a_leap_counts_from_the_real_time() -> None:
    real = datetime(2026, 3, 1, tzinfo=UTC)
    wanted = sandbox_pb2.Sandbox().time
    wanted.FromDatetime(real + 9 * DAY)
    assert leap(wanted, real, 3 * DAY) == 9 * DAY


async def test_a_sandbox_that_is_ahead_can_be_ended(setting: Setting) -> None:
    """The last of the file: there is no sandbox after it."""
    world = setting.world
    ahead = (await clock(world)).time.ToDatetime(UTC) + DAY
    await advance(world, ahead)
    admin, terminations = world.metadata("adam", "ROLE_ADMIN"), world.terminations
    message = termination_pb2.CreateTerminationRequest(parent=sandbox.PARTNER, request_id=str(uuid.uuid4()))
    name = (await terminations.CreateTermination(message, metadata=admin)).name
    package = termination_pb2.Termination.Package(label="none", sha256="0" * 64)
    returned = await terminations.RecordReturn(
        termination_pb2.RecordReturnRequest(
            name=name, source=sandbox.SHOP, packages=[package], request_id=str(uuid.uuid4())
        ),
        metadata=world.operator(),
    )
    confirmed = await terminations.ConfirmReceipt(
        termination_pb2.ConfirmReceiptRequest(
            name=name, manifest_digest=returned.manifest_digest, request_id=str(uuid.uuid4())
        ),
        metadata=world.metadata("manager-2", "ROLE_APPROVER"),
    )
    await advance(world, confirmed.effective_time.ToDatetime(UTC) + timedelta(seconds=1))

    async def emptied() -> bool:
        message = termination_pb2.GetTerminationRequest(name=name)
        return len((await terminations.GetTermination(message, metadata=admin)).emptied_services) == 3

    await eventually(emptied)
