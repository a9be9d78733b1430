"""Rectification, restriction and objection carried out by connectors: previewed, approved by another, read back."""

import uuid
from typing import Any

import grpc
import pytest
from dsr.authority.v1 import authority_pb2
from dsr.authority.v1.authority_pb2_grpc import AuthorityServiceStub
from dsr.credentials import AUTHORITY_AUDIENCE, Credential
from dsr.v1 import correction_pb2 as pb
from dsr.v1 import governance_pb2, request_pb2
from dsr.v1.error_reason_pb2 import ErrorReason

from tests.integration.rights.test_rights_corrections import complete, get, stored
from tests.support.services import CRM, PARTNER, SHOP, World, eventually, reason_of, subject, timestamp

R = pb.CorrectionRequest
A = R.Amendment
RIGHT = "Annabel Lee"


def declare(world: World) -> None:
    """What the sources' operators say may be set."""
    people = world.crm.tables["people"]
    people.amendable, people.flags = frozenset({"name"}), {"restriction": "held", "fulfilling orders": "refuses"}
    for row in people.rows:
        row |= {"held": "no", "refuses": "no"}


async def create(world: World, **fields: Any) -> Any:
    fields.setdefault("subject", subject(fields.pop("identities", (("email", "ann@example.com"),))))
    wanted = R(clock=request_pb2.Clock(received_time=timestamp()), **fields)
    message = pb.CreateCorrectionRequestRequest(parent=PARTNER, correction_request=wanted, request_id=str(uuid.uuid4()))
    return await world.corrections.CreateCorrectionRequest(message, metadata=world.metadata())


async def rectify(world: World, value: str = RIGHT, field: str = "name", **fields: Any) -> Any:
    change = R.FieldChange(source=CRM, collection="people", field=field, value=value)
    return await create(world, kind=R.KIND_RECTIFICATION, changes=[change], **fields)


async def reach(world: World, name: str, *states: Any, source: str = CRM) -> Any:
    """The request, as soon as the task's amendment is in one of these states."""
    found: list[Any] = []

    async def there() -> bool:
        found.append(await get(world, name, "ROLE_READER"))
        return task(found[-1], source).amendment.state in states

    await eventually(there)
    return found[-1]


def task(request: Any, source: str = CRM) -> Any:
    return next(t for t in request.tasks if t.source == source)


async def approve(world: World, request: Any, who: str = "bob", digest: str = "", source: str = CRM) -> Any:
    message = pb.ApproveCorrectionTaskRequest(
        name=request.name,
        source=source,
        plan_digest=digest or task(request, source).amendment.plan_digest,
        request_id=str(uuid.uuid4()),
    )
    return await world.corrections.ApproveCorrectionTask(message, metadata=world.metadata(who, "ROLE_APPROVER"))


async def refused(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


def names(world: World) -> dict[str, str]:
    return {row["id"]: row["name"] for row in world.crm.tables["people"].rows}


@pytest.mark.policy("P11", "a rectification is previewed, approved by a second person, set and read back (Art. 16)")
async def test_a_rectification_from_preview_to_read_back(world: World) -> None:
    declare(world)
    before = names(world)
    made = await rectify(world)
    shown = await reach(world, made.name, A.STATE_PREVIEWED)
    (change,) = task(shown).amendment.changes
    assert (change.collection, list(change.fields), change.amended, change.unchanged) == ("people", ["name"], 1, 0)
    assert names(world) == before
    assert RIGHT not in str(shown)
    # Four eyes: not the creator, not somebody without the role, and what was read.
    assert await refused(approve(world, shown, "alice")) == "FOUR_EYES"
    assert await refused(approve(world, shown, "carol")) == "FOUR_EYES"
    assert await refused(approve(world, shown, digest="0" * 64)) == "PLAN_STALE"
    assert names(world) == before
    approved = await approve(world, shown)
    assert task(approved).amendment.approver == "urn:dsr:partner:acme#bob"
    done = await reach(world, made.name, A.STATE_AMENDED)
    assert names(world) == before | {"1": RIGHT}
    assert R.State.Name(done.state) == "STATE_COMPLETED"
    assert task(done).done
    assert task(done).evidence == f"plan {task(shown).amendment.plan_digest}, read back"
    assert world.crm.amend_runs == 1
    # Person and values are gone, and stand in no row.
    key = world.folder / "keys" / "governance" / "acme" / f"correction-{made.name.split('/')[-1]}.key"
    await eventually(lambda: not key.exists())
    rows = await stored(world)
    assert RIGHT not in rows
    assert "ann@example.com" not in rows
    assert "'amend'" in rows


OBSTACLES: dict[str, tuple[dict[str, Any], Any, str]] = {
    "nobody": ({"identities": (("email", "nobody@example.com"),)}, A.OBSTACLE_NOT_FOUND, ""),
    "a name": ({"field": "email"}, A.OBSTACLE_NOT_AMENDABLE, "people.email"),
    "too long": ({"value": "x" * 41}, A.OBSTACLE_VALUE_UNFIT, "people.name"),
    "right already": ({"value": "Ann"}, A.OBSTACLE_NOTHING_TO_SET, ""),
}


@pytest.mark.policy("P11", "what a connector can't or mustn't set stays a task of people, and says why")
async def test_what_a_connector_does_not_do_people_do(world: World) -> None:
    declare(world)
    before = names(world)
    made = {what: await rectify(world, **fields) for what, (fields, _, _) in OBSTACLES.items()}
    for what, (_, obstacle, field) in OBSTACLES.items():
        found = task(await reach(world, made[what].name, A.STATE_BY_HAND)).amendment
        assert (found.obstacle, found.field) == (obstacle, field), what
        assert not found.plan_digest
    name = made["too long"].name
    assert await refused(approve(world, await get(world, name, "ROLE_READER"), digest="0" * 64)) == "STATE_CONFLICT"
    assert R.State.Name((await complete(world, name, CRM)).state) == "STATE_COMPLETED"
    assert names(world) == before
    assert world.crm.amend_runs == 0


@pytest.mark.policy("P11", "a connector that says amended and amended nothing closes no request")
async def test_a_connector_that_lies_closes_nothing(world: World) -> None:
    declare(world)
    world.crm.amends_nothing = True
    shown = await reach(world, (await rectify(world)).name, A.STATE_PREVIEWED)
    await approve(world, shown)
    found = await reach(world, shown.name, A.STATE_BY_HAND, A.STATE_AMENDED)
    assert task(found).amendment.obstacle == A.OBSTACLE_INCONSISTENT
    assert not task(found).done
    assert R.State.Name(found.state) == "STATE_OPEN"


@pytest.mark.policy("P11", "a correction whose source can't be reached says why it waits, and until when")
async def test_an_unreachable_source_is_waited_for_and_named(world: World) -> None:
    declare(world)
    world.crm.down = True
    orders = world.shop.tables["orders"]
    orders.amendable = frozenset({"item"})
    change = R.FieldChange(source=SHOP, collection="orders", field="item", value="coffee")
    # The shop is there; but whose number is which, only the register can say.
    made = await create(world, kind=R.KIND_RECTIFICATION, changes=[change])
    found: list[Any] = []

    async def waits() -> bool:
        found.append(task(await get(world, made.name, "ROLE_READER"), SHOP).amendment)
        return bool(found[-1].waiting_reason)

    await eventually(waits)
    waiting = found[-1]
    assert ErrorReason.Name(waiting.waiting_reason) == "ERROR_REASON_SOURCE_UNAVAILABLE"
    assert (waiting.waiting_source, waiting.state) == (CRM, A.STATE_PREVIEWING)
    assert waiting.HasField("next_attempt_time")
    assert "'SOURCE_UNAVAILABLE'" in await stored(world)
    world.crm.down = False
    shown = task(await reach(world, made.name, A.STATE_PREVIEWED, source=SHOP), SHOP).amendment
    assert (shown.waiting_reason, shown.waiting_source, shown.HasField("next_attempt_time")) == (0, "", False)


@pytest.mark.long
async def test_more_than_was_approved_is_previewed_again(world: World) -> None:
    """Nobody's word covers records that came after it."""
    declare(world)
    people = world.crm.tables["people"]
    people.people = False
    shown = await reach(world, (await rectify(world)).name, A.STATE_PREVIEWED)
    people.rows.append({"id": "9", "email": "ann@example.com", "number": "9", "name": "Anne"})
    await approve(world, shown)
    again = await reach(world, shown.name, A.STATE_PREVIEWED)
    assert task(again).amendment.changes[0].amended == 2
    assert task(again).amendment.plan_digest != task(shown).amendment.plan_digest
    assert RIGHT not in names(world).values()
    await approve(world, again)
    await reach(world, shown.name, A.STATE_AMENDED)
    assert [names(world)[n] for n in ("1", "9")] == [RIGHT, RIGHT]


@pytest.mark.policy("P11", "restriction and objection are marked at the source as well (Art. 18, 21)")
async def test_a_restriction_and_an_objection_are_marked(world: World) -> None:
    declare(world)
    restriction = R.Restriction(ground=R.Restriction.GROUND_LEGAL_CLAIMS)
    held = await create(world, kind=R.KIND_RESTRICTION, restriction=restriction)
    opposed = await create(world, kind=R.KIND_OBJECTION, purposes=["fulfilling orders"], direct_marketing=True)
    for made, flag, field in ((held, "restriction", "held"), (opposed, "fulfilling orders", "refuses")):
        shown = await reach(world, made.name, A.STATE_PREVIEWED)
        (change,) = task(shown).amendment.changes
        assert (list(change.fields), list(change.flags), change.amended) == ([field], [flag], 1)
        await approve(world, shown)
        await reach(world, made.name, A.STATE_AMENDED)
        assert [row["id"] for row in world.crm.tables["people"].rows if row[field] == "yes"] == ["1"]
        # The shop declares no flag: its task is people's.
        left = await reach(world, made.name, A.STATE_BY_HAND, source=SHOP)
        assert task(left, SHOP).amendment.obstacle == A.OBSTACLE_NOT_CAPABLE


async def test_a_cancelled_or_finished_request_sets_nothing(world: World) -> None:
    declare(world)
    shown = await reach(world, (await rectify(world)).name, A.STATE_PREVIEWED)
    await complete(world, shown.name, CRM)
    assert await refused(approve(world, shown)) == "STATE_CONFLICT"
    other = await reach(world, (await rectify(world)).name, A.STATE_PREVIEWED)
    message = pb.CancelCorrectionRequestRequest(name=other.name, request_id=str(uuid.uuid4()))
    await world.corrections.CancelCorrectionRequest(message, metadata=world.metadata())
    assert await refused(approve(world, other)) == "STATE_CONFLICT"
    assert world.crm.amend_runs == 0


async def test_what_people_completed_after_the_approval_gets_no_grant(world: World) -> None:
    declare(world)
    changes = [
        R.FieldChange(source=SHOP, collection="orders", field="item", value=RIGHT),
        R.FieldChange(source=CRM, collection="people", field="name", value=RIGHT),
    ]
    shown = await reach(
        world, (await create(world, kind=R.KIND_RECTIFICATION, changes=changes)).name, A.STATE_PREVIEWED
    )
    await world.stop("erasure")
    try:
        await approve(world, shown)
        done = await complete(world, shown.name, CRM)
        assert R.State.Name(done.state) == "STATE_OPEN"
        key = Credential.load(world.folder / "erasure.json")
        token = key.token(AUTHORITY_AUDIENCE, subject="erasure", roles=["ROLE_SERVICE"])
        message = authority_pb2.IssueAmendmentGrantRequest(request=shown.name, source=CRM, without_grant=True)
        call = AuthorityServiceStub(world.channel("governance")).IssueAmendmentGrant(
            message, metadata=(("authorization", f"Bearer {token}"),)
        )
        assert await refused(call) == "STATE_CONFLICT"
    finally:
        await world.start("erasure")
    assert RIGHT not in names(world).values()


@pytest.mark.policy("P11", "who is previewed is found by further names, and nobody else is touched after the approval")
async def test_somebody_known_by_another_name_and_nobody_else(world: World) -> None:
    """The shop knows people by customer number only; the register says whose is which."""
    orders = world.shop.tables["orders"]
    orders.amendable = frozenset({"item"})
    wrong = R.FieldChange(source=SHOP, collection="orders", field="item", current_value="tea", value="coffee")

    async def previewed() -> Any:
        made = await create(world, kind=R.KIND_RECTIFICATION, changes=[wrong])
        return await reach(world, made.name, A.STATE_PREVIEWED, source=SHOP)

    shown = await previewed()
    assert task(shown, SHOP).amendment.changes[0].amended == 2
    ann, joann = world.crm.tables["people"].rows[:2]
    ann["number"], joann["number"] = "70", "7"
    await approve(world, shown, source=SHOP)
    again = await reach(world, shown.name, A.STATE_PREVIEWED, source=SHOP)
    assert task(again, SHOP).amendment.changes[0].amended == 1
    assert {row["item"] for row in orders.rows} == {"tea"}
    await approve(world, again, source=SHOP)
    await reach(world, shown.name, A.STATE_AMENDED, source=SHOP)
    assert {row["customer"] for row in orders.rows if row["item"] == "coffee"} == {"70"}


@pytest.mark.policy("P11", "an approval ends with its approver's role: the preview waits for somebody else")
async def test_a_revoked_approver_changes_nothing(world: World) -> None:
    declare(world)
    before = names(world)
    shown = await reach(world, (await rectify(world)).name, A.STATE_PREVIEWED)
    world.crm.down = True
    await approve(world, shown)
    listed = await world.governance.ListRoleGrants(
        governance_pb2.ListRoleGrantsRequest(parent=PARTNER), metadata=world.metadata("adam", "ROLE_ADMIN")
    )
    for one in listed.role_grants:
        revoke = governance_pb2.RevokeRoleGrantRequest(name=one.name, request_id=str(uuid.uuid4()))
        await world.governance.RevokeRoleGrant(revoke, metadata=world.metadata("adam", "ROLE_ADMIN"))
    world.crm.down = False
    again = await reach(world, shown.name, A.STATE_PREVIEWED)
    assert task(again).amendment.approver == ""
    assert task(again).amendment.plan_digest == task(shown).amendment.plan_digest
    assert names(world) == before
