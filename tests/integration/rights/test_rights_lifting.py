"""What a lifted restriction leaves at the sources is cleared; holds in force stand in a correction's preview."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from dsr.authority.v1 import authority_pb2
from dsr.authority.v1.authority_pb2_grpc import AuthorityServiceStub
from dsr.credentials import AUTHORITY_AUDIENCE, Credential
from dsr.v1 import correction_pb2 as pb
from dsr.v1 import governance_pb2
from dsr.v1.error_reason_pb2 import ErrorReason
from dsr.v1.subject_pb2 import Identity

from tests.integration.rights.test_rights_amendments import (
    approve,
    create,
    declare,
    names,
    reach,
    rectify,
    refused,
    task,
)
from tests.integration.rights.test_rights_corrections import cancel, complete, get
from tests.support.services import CRM, PARTNER, SHOP, World, eventually, timestamp

R = pb.CorrectionRequest
A = R.Amendment
EMAIL, NUMBER = (("email", "ann@example.com"),), (("customer_number", "7"),)


async def restrict(world: World, identities: Any = EMAIL) -> Any:
    restriction = R.Restriction(ground=R.Restriction.GROUND_LEGAL_CLAIMS)
    return await create(world, kind=R.KIND_RESTRICTION, restriction=restriction, identities=identities)


async def marked(world: World) -> Any:
    """A restriction that the register's connector has marked."""
    shown = await reach(world, (await restrict(world)).name, A.STATE_PREVIEWED)
    await approve(world, shown)
    return await reach(world, shown.name, A.STATE_AMENDED)


async def lift(world: World, name: str, who: str = "alice") -> Any:
    message = pb.LiftRestrictionRequest(name=name, subject_told_time=timestamp(), request_id=str(uuid.uuid4()))
    return await world.corrections.LiftRestriction(message, metadata=world.metadata(who, "ROLE_REQUESTER"))


def clearing(request: Any, source: str = CRM) -> Any:
    return next(t for t in request.tasks if t.source == source and t.clears)


async def cleared(world: World, name: str, *states: Any, source: str = CRM) -> Any:
    """The request, as soon as the task that clears is in one of these states."""
    found: list[Any] = []

    async def there() -> bool:
        found.append(await get(world, name, "ROLE_REQUESTER"))
        return clearing(found[-1], source).amendment.state in states

    await eventually(there)
    return found[-1]


async def confirm(world: World, request: Any, who: str = "bob") -> Any:
    """Approves the task that clears."""
    return await approve(world, request, who, digest=clearing(request).amendment.plan_digest)


def flags(world: World) -> list[str]:
    return [row["id"] for row in world.crm.tables["people"].rows if row["held"] == "yes"]


def key_of(world: World, name: str) -> Any:
    return world.folder / "keys" / "governance" / "acme" / f"correction-{name.split('/')[-1]}.key"


@pytest.mark.policy(
    "P11", "lifting a restriction clears its marks: previewed, approved by another, read back (Art. 18(3))"
)
async def test_a_lifted_restriction_is_cleared_where_it_was_marked(world: World) -> None:
    declare(world)
    made = await marked(world)
    done = await complete(world, made.name, SHOP)
    assert R.State.Name(done.state) == "STATE_COMPLETED"
    # In force: the names are kept, for whoever has to find the person once more.
    assert [i.value for i in (await get(world, made.name, "ROLE_REQUESTER")).identities] == ["ann@example.com"]
    assert not (await get(world, made.name, "ROLE_READER")).identities
    lifted = await lift(world, made.name)
    assert (R.State.Name(lifted.state), lifted.restriction.lifter) == ("STATE_LIFTING", made.creator)
    assert not lifted.HasField("complete_time")
    assert lifted.clock.due_time.seconds >= made.clock.due_time.seconds
    shown = await cleared(world, made.name, A.STATE_PREVIEWED)
    (change,) = clearing(shown).amendment.changes
    assert (list(change.fields), list(change.flags), change.amended) == (["held"], ["restriction"], 1)
    assert task(shown).amendment == task(made).amendment
    assert flags(world) == ["1"]
    assert await refused(confirm(world, shown, "alice")) == "FOUR_EYES"
    await confirm(world, shown)
    await cleared(world, made.name, A.STATE_AMENDED)
    assert flags(world) == []
    # People did it at the shop, so people clear it there.
    left = await cleared(world, made.name, A.STATE_BY_HAND, source=SHOP)
    assert clearing(left, SHOP).amendment.obstacle == A.OBSTACLE_NOT_CAPABLE
    assert R.State.Name(left.state) == "STATE_LIFTING"
    over = await complete(world, made.name, SHOP, "ticket-2")
    assert (R.State.Name(over.state), clearing(over, SHOP).evidence) == ("STATE_COMPLETED", "ticket-2")
    assert not over.identities
    assert not key_of(world, made.name).exists()


@pytest.mark.policy("P11", "a mark that is gone already when its restriction is lifted is cleared, and nobody is asked")
async def test_a_mark_that_is_gone_is_cleared(world: World) -> None:
    """As when two restrictions of a person were lifted, and the first one's task cleared the mark of both."""
    declare(world)
    made = await marked(world)
    await complete(world, made.name, SHOP)
    for row in world.crm.tables["people"].rows:
        row["held"] = "no"
    await lift(world, made.name)
    found = clearing(await cleared(world, made.name, A.STATE_AMENDED, A.STATE_BY_HAND))
    assert (found.amendment.state, found.done, found.amendment.changes[0].unchanged) == (A.STATE_AMENDED, True, 1)
    assert "no mark found" in found.evidence


@pytest.mark.policy("P11", "the mark of a person stays while another restriction of the same person is in force")
async def test_another_restriction_keeps_the_mark(world: World) -> None:
    declare(world)
    made = await marked(world)
    # By another name, which the register knows to be the same person's.
    other = await restrict(world, NUMBER)
    await lift(world, made.name)
    await cleared(world, made.name, A.STATE_KEPT)
    assert flags(world) == ["1"]
    assert not await watched(world, made.name)  # nobody is warned of what nobody may do
    gone = await lift(world, other.name)
    assert R.State.Name(gone.state) == "STATE_COMPLETED"
    assert {t.amendment.state for t in gone.tasks} == {A.STATE_WITHDRAWN}
    assert await refused(complete(world, other.name, CRM)) == "STATE_CONFLICT"
    assert await watched(world, made.name)
    await confirm(world, await cleared(world, made.name, A.STATE_PREVIEWED))
    done = await cleared(world, made.name, A.STATE_AMENDED)
    assert R.State.Name(done.state) == "STATE_COMPLETED"
    assert flags(world) == []


@pytest.mark.policy(
    "P11", "who lifted a restriction doesn't approve that its marks are cleared; a marked one isn't cancelled"
)
async def test_who_lifts_does_not_approve_and_what_is_marked_is_not_cancelled(world: World) -> None:
    declare(world)
    made = await marked(world)
    assert await refused(cancel(world, made.name)) == "STATE_CONFLICT"
    await lift(world, made.name, "bob")
    shown = await cleared(world, made.name, A.STATE_PREVIEWED)
    assert await refused(confirm(world, shown)) == "FOUR_EYES"
    assert task(shown, SHOP).amendment.state == A.STATE_WITHDRAWN
    assert R.State.Name((await complete(world, made.name, CRM)).state) == "STATE_COMPLETED"
    assert flags(world) == ["1"]


@pytest.mark.long
@pytest.mark.policy("P11", "a mark that is about to be cleared is no mark of a restriction that comes meanwhile")
async def test_a_restriction_that_comes_while_a_mark_is_cleared_waits(world: World) -> None:
    declare(world)
    made = await marked(world)
    await lift(world, made.name)
    shown = await cleared(world, made.name, A.STATE_PREVIEWED)
    await world.stop("erasure")
    key = Credential.load(world.folder / "erasure.json")
    token = key.token(AUTHORITY_AUDIENCE, subject="erasure", roles=["ROLE_SERVICE"])
    stub, sender = AuthorityServiceStub(world.channel("governance")), (("authorization", f"Bearer {token}"),)
    flag = authority_pb2.DeclaredFlag(collection="people", flag="restriction", field="held")
    ann = [Identity(type=kind, value=value) for kind, value in EMAIL]

    async def grant(name: str) -> Any:
        message = authority_pb2.IssueAmendmentGrantRequest(request=name, source=CRM, flags=[flag], identities=ann)
        return await stub.IssueAmendmentGrant(message, metadata=sender)

    try:
        await confirm(world, shown)
        assert (await grant(made.name)).HasField("read_back")  # in somebody's hands, from before the other came
        other = await restrict(world)
        report = authority_pb2.ReportAmendmentRequest(request=other.name, source=CRM)
        report.attempt = (await grant(other.name)).attempt
        report.collections.add(collection="people", unchanged=1)
        await stub.ReportAmendment(report, metadata=sender)
        found = task(await get(world, other.name, "ROLE_READER")).amendment
        assert found.state == A.STATE_PREVIEWING
        assert ErrorReason.Name(found.waiting_reason) == "ERROR_REASON_SOURCE_BUSY"
        # Whoever asks from now on gets nothing.
        assert await refused(grant(made.name)) == "STATE_CONFLICT"
        assert clearing(await get(world, made.name, "ROLE_READER")).amendment.state == A.STATE_KEPT
    finally:
        await world.start("erasure")
    left = task(await reach(world, other.name, A.STATE_BY_HAND)).amendment
    assert left.obstacle == A.OBSTACLE_NOTHING_TO_SET
    assert flags(world) == ["1"]


async def watched(world: World, name: str) -> bool:
    """Whether the request's deadline is warned of."""
    connection = await asyncpg.connect(world.dsn("governance"))
    try:
        async with connection.transaction():
            await connection.execute("SELECT set_config('dsr.partner', $1, true)", PARTNER)
            return bool(await connection.fetchval("SELECT open FROM governance.deadline WHERE request = $1", name))
    finally:
        await connection.close()


async def hold(world: World) -> str:
    placed = governance_pb2.Hold(
        source=CRM,
        collection="people",
        subject=governance_pb2.HoldSubject(type="email", value="ANN@example.com"),
        reason="eu-gdpr:JustificationA17LegalClaims",
        legal_reference="GDPR Art. 17(3)(e)",
    )
    placed.review_time.FromDatetime(datetime.now(UTC) + timedelta(days=30))
    message = governance_pb2.PlaceHoldRequest(parent=PARTNER, hold=placed, request_id=str(uuid.uuid4()))
    return str((await world.governance.PlaceHold(message, metadata=world.metadata("adam", "ROLE_ADMIN"))).name)


@pytest.mark.policy(
    "P11", "who approves a correction is told of the holds in force, and asked again when one is placed since"
)
async def test_a_hold_stands_in_the_preview(world: World) -> None:
    declare(world)
    first = await hold(world)
    shown = await reach(world, (await rectify(world)).name, A.STATE_PREVIEWED)
    assert list(task(shown).amendment.holds) == [first]
    world.crm.down = True
    await approve(world, shown)
    second = await hold(world)
    world.crm.down = False
    again = await reach(world, shown.name, A.STATE_PREVIEWED)
    assert set(task(again).amendment.holds) == {first, second}
    assert task(again).amendment.plan_digest != task(shown).amendment.plan_digest
    assert names(world)["1"] == "Ann"
    await approve(world, again)
    await reach(world, shown.name, A.STATE_AMENDED)
