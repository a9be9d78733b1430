"""What an integrator tries in a sandbox: people for whom things go wrong, and a month that passes in seconds."""

import io
import uuid
import zipfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from dsr.v1 import (
    breach_pb2,
    erasure_pb2,
    notifications_pb2,
    policy_pb2,
    portability_pb2,
    request_pb2,
    retention_pb2,
    subject_pb2,
    termination_pb2,
)
from dsr.v1.correction_pb2 import CorrectionRequest
from dsr.v1.erasure_pb2 import ErasureRequest
from dsr.v1.notifications_pb2_grpc import NotificationServiceStub
from dsr.v1.sandbox_pb2 import Sandbox

from connectors.sandbox import faults
from connectors.sandbox.seed import DOMAIN, PEOPLE, TRIGGERS
from connectors.sandbox.table import as_markdown
from deploy.local import sandbox
from dsrkit.watermark import WATERMARK
from services.governance.policies.domain import ANSWER_TIME
from services.governance.sandbox.domain import FARTHEST, leap
from tests.integration.sandbox.conftest import Setting
from tests.support.policies import appoint_officers, propose, publish
from tests.support.policies import stub as policies
from tests.support.sandbox import (
    advance,
    approve_amendment,
    backend,
    clock,
    connect,
    create_partner,
    create_rule,
    rectify,
    reset,
    serve,
    sweep,
    until_amended,
    until_swept,
)
from tests.support.services import PARTNER, World, eventually, reason_number, reason_of, state

ROWS = [(who, right) for who, told in TRIGGERS.items() for right in told["outcomes"]]
REQUESTS = [row for row in ROWS if row[1] in ("access", "erasure")]
CORRECTIONS = [row for row in ROWS if row[1] == "correction"]
SWEPT = [row[0] for row in ROWS if row[1] == "sweep"]
A = CorrectionRequest.Amendment
S = retention_pb2.RetentionSweep
G = policy_pb2.PolicyAgreement


@dataclass
class Desk:
    """A sandbox without grace, and a request about everybody."""

    world: World
    names: Mapping[tuple[str, str], str]
    rule: str


@pytest.fixture(scope="module")
async def desk(setting: Setting) -> AsyncIterator[Desk]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults, "SLOW_SECONDS", 1)
        world = await create_partner(setting.live, "acme-faults", erasureGracePeriod="0s")
        source = "partners/acme-faults/dataSources/shop"
        async with serve(world, source, backend(world, source), [source]) as address:
            await connect(world, address)
            # All at once: they wait beside each other.
            names = {row: (await create(world, *row)).name for row in [*REQUESTS, *CORRECTIONS]}
            yield Desk(world, names, (await create_rule(world)).name)


async def create(world: World, who: str, right: str) -> Any:
    address = f"{who}@{DOMAIN}"
    if right == "correction":
        return await rectify(world, address)
    return await world.create(right, identities=[("email", address)])


@pytest.mark.parametrize(("who", "right"), REQUESTS)
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


@pytest.mark.parametrize(("who", "right"), CORRECTIONS)
async def test_a_correction_comes_to_what_the_table_says(desk: Desk, who: str, right: str) -> None:
    name, wanted = desk.names[who, right], TRIGGERS[who]["outcomes"][right]
    stopped = A.STATE_BY_HAND, A.STATE_AWAITING_CONTROLLER
    shown = await until_amended(desk.world, name, A.STATE_PREVIEWED, *stopped)
    if shown.state == A.STATE_PREVIEWED:
        await approve_amendment(desk.world, name, shown)
        shown = await until_amended(desk.world, name, A.STATE_AMENDED, A.STATE_BY_HAND)
    assert A.State.Name(shown.state) == f"STATE_{wanted.get('state', 'BY_HAND')}"
    assert A.Obstacle.Name(shown.obstacle) == f"OBSTACLE_{wanted.get('obstacle', 'UNSPECIFIED')}"


async def test_a_correction_is_set_and_one_that_does_not_fit_is_not(desk: Desk) -> None:
    who = f"eve@{DOMAIN}"
    good, bad = await rectify(desk.world, who), await rectify(desk.world, who, "In May", "birth_date")
    shown = await until_amended(desk.world, good.name, A.STATE_PREVIEWED)
    await approve_amendment(desk.world, good.name, shown)
    await until_amended(desk.world, good.name, A.STATE_AMENDED)
    assert (await until_amended(desk.world, bad.name, A.STATE_BY_HAND)).obstacle == A.OBSTACLE_VALUE_UNFIT


async def test_a_sweep_comes_to_what_the_table_says(desk: Desk) -> None:
    world, listed = desk.world, erasure_pb2.ListErasureRequestsRequest(parent=f"partners/{desk.world.partner_id}")
    found = await sweep(world, desk.rule)
    assert found.people == len(SWEPT)
    assert found.unknown > 0
    message = retention_pb2.ApproveRetentionSweepRequest(name=found.name, request_id=str(uuid.uuid4()))
    await world.retention.ApproveRetentionSweep(message, metadata=world.metadata("manager-2", "ROLE_APPROVER"))
    await until_swept(world, found.name, S.STATE_COMPLETED)
    page = await world.stub("erasure").ListErasureRequests(listed, metadata=world.metadata())
    requests = [await world.get("erasure", request.name) for request in page.erasure_requests]
    states = [state(await world.until("erasure", r.name)) for r in requests if r.sweep == found.name]
    assert sorted(states) == sorted(TRIGGERS[who]["outcomes"]["sweep"]["state"] for who in SWEPT)
    copies = [await create(world, who, "access") for who in SWEPT]
    left = [(await world.until("access", copy.name)).bundle.collections for copy in copies]
    assert [bool(sum(c.records for c in collections)) for collections in left] == [False, True]


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
        return [one.certainty for one in found.subject_counts] == [breach_pb2.Breach.SubjectCount.CERTAINTY_EXACT]

    await eventually(asked)


@pytest.mark.policy("P6", "in a sandbox people become unused as its time goes on, and by nothing else")
async def test_people_become_unused_as_time_goes_on(setting: Setting) -> None:
    world = setting.world
    rule = (await create_rule(world)).name
    await reset(world)
    first = await sweep(world, rule)
    assert first.people == len(SWEPT)  # as seeded by the sandbox's time, though that is ahead
    await advance(world, (await clock(world)).time.ToDatetime(UTC) + 215 * DAY)
    cancel = retention_pb2.CancelRetentionSweepRequest(name=first.name, request_id=str(uuid.uuid4()))
    await world.retention.CancelRetentionSweep(cancel, metadata=world.metadata("adam", "ROLE_ADMIN"))
    second = await sweep(world, rule)
    assert (second.people, second.unknown) == (len(SWEPT) + len(PEOPLE), first.unknown)


@pytest.mark.policy("P17", "a sandbox is told of a version, and its time to answer ends, by its own time")
async def test_a_policy_version_is_due_by_the_sandboxs_time(setting: Setting) -> None:
    worlds = [setting.world, setting.live]
    await appoint_officers(setting.live)
    await publish(setting.live, await propose(setting.live, effective=datetime.now(UTC) + FARTHEST))

    async def states() -> list[int]:
        pages = [
            await policies(world).ListPolicyAgreements(
                policy_pb2.ListPolicyAgreementsRequest(parent=f"partners/{world.partner_id}"),
                metadata=world.metadata("r", "ROLE_READER"),
            )
            for world in worlds
        ]
        found = [agreement for page in pages for agreement in page.policy_agreements]
        return [a.state for a in found if a.HasField("notice_time")]

    async def both_told() -> bool:
        return await states() == [G.STATE_OPEN, G.STATE_OPEN]

    async def one_too_late() -> bool:
        return await states() == [G.STATE_UNANSWERED, G.STATE_OPEN]

    await eventually(both_told)
    await advance(setting.world, (await clock(setting.world)).time.ToDatetime(UTC) + ANSWER_TIME + DAY)
    await eventually(one_too_late)


def test_a_leap_counts_from_the_real_time() -> None:
    real = datetime(2026, 3, 1, tzinfo=UTC)
    wanted = Sandbox().time
    wanted.FromDatetime(real + 9 * DAY)
    assert leap(wanted, real, 3 * DAY) == 9 * DAY


async def test_a_sandbox_that_is_ahead_can_be_ended(setting: Setting) -> None:
    """The last of the file: there is no sandbox after it."""
    world = setting.world
    ahead = (await clock(world)).time.ToDatetime(UTC) + DAY
    await advance(world, ahead)
    admin, terminations = world.metadata("adam", "ROLE_ADMIN"), world.terminations
    await world.until("access", (await create(world, "anchored", "access")).name)
    message = termination_pb2.CreateTerminationRequest(parent=sandbox.PARTNER, request_id=str(uuid.uuid4()))
    name = (await terminations.CreateTermination(message, metadata=admin)).name

    async def get() -> termination_pb2.Termination:
        message = termination_pb2.GetTerminationRequest(name=name)
        found: termination_pb2.Termination = await terminations.GetTermination(message, metadata=admin)
        return found

    async def given_back() -> bool:
        return bool((await get()).items[0].packages)

    await eventually(given_back)
    returned = await get()
    assert returned.sandbox == WATERMARK
    call = world.stub("portability").DownloadPortabilityBundle(
        portability_pb2.DownloadPortabilityBundleRequest(name=returned.items[0].return_request), metadata=admin
    )
    bag = zipfile.ZipFile(io.BytesIO(b"".join([part.data async for part in call])))
    (readme,) = [name for name in bag.namelist() if name.endswith("README.txt")]
    assert bag.read(readme).decode().startswith(WATERMARK)
    confirmed = await terminations.ConfirmReceipt(
        termination_pb2.ConfirmReceiptRequest(
            name=name, manifest_digest=returned.manifest_digest, request_id=str(uuid.uuid4())
        ),
        metadata=world.metadata("manager-2", "ROLE_APPROVER"),
    )
    await advance(world, confirmed.effective_time.ToDatetime(UTC) + timedelta(seconds=1))

    async def emptied() -> bool:
        found = await get()
        return len(found.emptied_services) == 3 and found.items[0].destroy_failure == reason_number(blocked)

    blocked = TRIGGERS["anchored"]["outcomes"]["termination"]["waits"]
    await eventually(emptied)
    by_hand = termination_pb2.RecordDestructionRequest(
        name=name, source=sandbox.SHOP, evidence="job-1", request_id=str(uuid.uuid4())
    )
    certified = await terminations.RecordDestruction(by_hand, metadata=world.operator())
    assert certified.state == termination_pb2.Termination.STATE_CERTIFIED
    assert certified.certify_time.ToDatetime(UTC) > confirmed.effective_time.ToDatetime(UTC)

    async def shredded() -> bool:
        return bool((await get()).HasField("shred_time"))

    await advance(world, certified.certify_time.ToDatetime(UTC) + 5 * DAY)
    await eventually(shredded)
