"""What nobody should have to believe: that fields were emptied, and that all of a person's names were asked by."""

import io
import json
import uuid
import zipfile
from typing import Any

import grpc
import pytest
from dsr.v1 import erasure_pb2, governance_pb2

from tests.support.memory import Table
from tests.support.services import CRM, PARTNER, SHOP, World, collection_map, data_map, reason_of, state


async def remap(world: World, revised: governance_pb2.DataMap) -> None:
    await world.governance.CreateDataMap(
        governance_pb2.CreateDataMapRequest(parent=PARTNER, request_id=str(uuid.uuid4()), data_map=revised),
        metadata=world.metadata("adam", "ROLE_ADMIN"),
    )


async def planned(world: World, **fields: Any) -> Any:
    return await world.until("erasure", (await world.create("erasure", **fields)).name, "PLANNED")


async def test_a_connector_that_empties_nothing_is_caught_though_it_verifies(world: World) -> None:
    """Erase says that it anonymised, Verify that what is left is explained. Its own export says otherwise."""
    revised = data_map()
    (shop,) = [source for source in revised.sources if source.source == SHOP]
    (orders,) = [collection for collection in shop.collections if collection.collection == "orders"]
    orders.erase_action = governance_pb2.ERASE_ACTION_ANONYMISE
    for name, constant in (("item", '"removed"'), ("seller", None)):
        field = next((f for f in orders.fields if f.field == name), None) or orders.fields.add(field=name)
        field.anonymise.CopyFrom(governance_pb2.FieldAnonymisation(constant=constant))
    await remap(world, revised)

    world.shop.anonymises_nothing = True
    plan = await planned(world)
    await world.approve(plan)
    done = await world.until("erasure", plan.name)
    assert state(done) == "PARTIALLY_ERASED"
    (left,) = [o for o in done.report.outcomes if o.collection == "orders"]
    assert (left.result, left.remaining) == (erasure_pb2.ErasureRequest.Outcome.RESULT_REMAINS, 2)

    world.shop.anonymises_nothing = False
    joann = (("email", "joann@example.com"),)
    plan = await planned(world, identities=joann)
    await world.approve(plan)
    done = await world.until("erasure", plan.name)
    assert state(done) == "COMPLETED"
    (emptied,) = [o for o in done.report.outcomes if o.collection == "orders"]
    assert emptied.result == erasure_pb2.ErasureRequest.Outcome.RESULT_ANONYMISED
    assert [r["item"] for r in world.shop.tables["orders"].rows if r["customer"] == "70"] == ["removed"]


def chain(length: int) -> list[dict[str, str]]:
    """Each row shares a name with the next: ann@example.com is `length` rows from the last name."""
    names = ["ann@example.com", *(f"n{n}" if n % 2 else f"e{n}@example.com" for n in range(1, length + 1))]
    return [{"id": str(n), "email": names[n + n % 2], "number": names[n + 1 - n % 2]} for n in range(length)]


@pytest.mark.long
async def test_names_too_far_away_are_said_and_block_an_erasure(world: World) -> None:
    links = Table({"email": ("email", True), "number": ("customer_number", True)})
    world.crm.tables["links"] = links
    revised = data_map()
    (crm,) = [source for source in revised.sources if source.source == CRM]
    crm.collections.append(collection_map("links"))
    await remap(world, revised)

    links.rows = chain(4)
    assert not (await planned(world, validate_only=True)).plan.findings
    links.rows = chain(9)
    far = await planned(world)
    assert {(f.code, f.source) for f in far.plan.findings} >= {("NAMES_NOT_FOLLOWED", CRM)}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.approve(far)
    assert reason_of(caught.value) == "PLAN_BLOCKED"

    copy = await world.until("access", (await world.create("access")).name)
    with zipfile.ZipFile(io.BytesIO(await world.download("access", copy.name))) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("processing.json")]
        told = {s["source"]: s["searched_by_every_name"] for s in json.loads(archive.read(name))["sources"]}
        (page,) = [archive.read(n).decode() for n in archive.namelist() if n.endswith("index.html")]
    assert told[CRM] is False
    assert "may hold more about you" in page

    # What the finding says to do: bring the farthest name that this request found.
    await world.act("erasure", "Cancel", far.name)
    farthest = max((i for i in far.identities if i.followed), key=lambda i: i.hops)
    assert farthest.hops == 5
    again = await planned(world, identities=[("email", "ann@example.com"), (farthest.type, farthest.value)])
    assert not again.plan.findings
    await world.approve(again)
    assert state(await world.until("erasure", again.name)) == "COMPLETED"
    assert links.rows == []
