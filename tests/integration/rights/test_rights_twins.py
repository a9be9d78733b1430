"""A correction that finds several people: the controller chooses, and everything after that is as for one."""

import uuid
from typing import Any

import pytest
from dsr.v1 import correction_pb2 as pb
from dsr.v1 import request_pb2

from tests.integration.rights.test_rights_amendments import (
    RIGHT,
    approve,
    create,
    declare,
    names,
    reach,
    rectify,
    refused,
    task,
)
from tests.integration.rights.test_rights_corrections import complete, get, stored
from tests.support.services import CRM, SHOP, World

R = pb.CorrectionRequest
A = R.Amendment
C = request_pb2.Candidate
TWIN = (("email", "twin@example.com"),)


def decision(candidate: Any, chosen: Any) -> request_pb2.CandidateDecision:
    return request_pb2.CandidateDecision(candidate=candidate.candidate, decision=chosen)


async def resolve(world: World, name: str, *decisions: Any) -> Any:
    message = pb.ResolveCorrectionRequestIdentitiesRequest(name=name, decisions=decisions, request_id=str(uuid.uuid4()))
    return await world.corrections.ResolveCorrectionRequestIdentities(message, metadata=world.metadata())


def numbers(request: Any) -> dict[str, Any]:
    """The candidates by their customer number."""
    return {i.value: c for c in request.candidates for i in c.identities if i.type == "customer_number"}


@pytest.mark.policy("P11", "a correction that finds several people asks the controller which of them it is")
async def test_one_of_two_people_is_chosen_and_nobody_else_is_corrected(world: World) -> None:
    declare(world)
    before = names(world)
    made = await rectify(world, identities=TWIN)
    assert not (await reach(world, made.name, A.STATE_AWAITING_CONTROLLER)).candidates  # a reader sees nobody
    asked = await get(world, made.name, "ROLE_REQUESTER")
    both = numbers(asked)
    assert set(both) == {"81", "82"}
    assert not task(asked).amendment.plan_digest
    assert "81" not in str([c.candidate for c in asked.candidates])
    one, other = decision(both["81"], C.DECISION_ACCEPT), decision(both["82"], C.DECISION_REJECT)
    assert await refused(resolve(world, made.name, one)) == "FIELD_INVALID"
    decided = await resolve(world, made.name, one, other)
    assert [c.decision for c in decided.candidates] == [
        C.DECISION_ACCEPT if c.candidate == one.candidate else C.DECISION_REJECT for c in asked.candidates
    ]
    shown = await reach(world, made.name, A.STATE_PREVIEWED)
    assert task(shown).amendment.changes[0].amended == 1
    assert await refused(resolve(world, made.name, one, other)) == "STATE_CONFLICT"
    assert await refused(approve(world, shown, "alice")) == "FOUR_EYES"
    assert names(world) == before
    assert "twin@example.com" not in await stored(world)
    await approve(world, shown)
    done = await reach(world, made.name, A.STATE_AMENDED)
    assert names(world) == before | {"3": RIGHT}
    assert R.State.Name(done.state) == "STATE_COMPLETED"
    assert not (await get(world, made.name, "ROLE_REQUESTER")).candidates


async def test_what_people_did_meanwhile_is_not_looked_for_again(world: World) -> None:
    declare(world)
    orders = world.shop.tables["orders"]
    orders.amendable = frozenset({"item"})
    changes = [
        R.FieldChange(source=CRM, collection="people", field="name", value=RIGHT),
        R.FieldChange(source=SHOP, collection="orders", field="item", value="coffee"),
    ]
    made = await create(world, kind=R.KIND_RECTIFICATION, changes=changes, identities=TWIN)
    for source in (CRM, SHOP):
        await reach(world, made.name, A.STATE_AWAITING_CONTROLLER, source=source)
    await complete(world, made.name, CRM)
    asked = await get(world, made.name, "ROLE_REQUESTER")
    decided = await resolve(world, made.name, *(decision(c, C.DECISION_REJECT) for c in asked.candidates))
    done = task(decided, CRM)
    assert (done.done, done.amendment.state) == (True, A.STATE_AWAITING_CONTROLLER)


@pytest.mark.policy(
    "P11", "who is chosen in one source is followed from there, and nobody is found where all are rejected"
)
async def test_the_choice_holds_for_the_names_that_other_sources_know(world: World) -> None:
    """The shop knows numbers only: whose, the register says, and there are two."""
    orders = world.shop.tables["orders"]
    orders.amendable = frozenset({"item"})
    orders.rows += [{"id": f"o{n}", "customer": n, "item": "tea"} for n in ("81", "82")]
    change = R.FieldChange(source=SHOP, collection="orders", field="item", value="coffee")

    async def asked() -> Any:
        made = await create(world, kind=R.KIND_RECTIFICATION, changes=[change], identities=TWIN)
        await reach(world, made.name, A.STATE_AWAITING_CONTROLLER, source=SHOP)
        return await get(world, made.name, "ROLE_REQUESTER")

    first, second = await asked(), await asked()
    both = numbers(first)
    await resolve(world, first.name, decision(both["81"], C.DECISION_REJECT), decision(both["82"], C.DECISION_ACCEPT))
    await resolve(world, second.name, *(decision(c, C.DECISION_REJECT) for c in second.candidates))
    await approve(world, await reach(world, first.name, A.STATE_PREVIEWED, source=SHOP), source=SHOP)
    await reach(world, first.name, A.STATE_AMENDED, source=SHOP)
    assert [row["customer"] for row in orders.rows if row["item"] == "coffee"] == ["82"]
    nobody = await reach(world, second.name, A.STATE_BY_HAND, source=SHOP)
    assert task(nobody, SHOP).amendment.obstacle == A.OBSTACLE_NOT_FOUND
