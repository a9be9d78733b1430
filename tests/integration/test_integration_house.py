"""Nothing of one test reaches the next on the same services."""

import asyncio

from dsr.v1 import access_pb2, governance_pb2

from deploy.local.postgres import Cluster
from tests.support.house import House
from tests.support.services import PARTNER, World, eventually


async def leave_a_mess(world: World) -> None:
    """A finished copy, an erasure that waits for its source, a plan, and a partner that has other rows."""
    await world.until("access", (await world.create("access")).name)
    await world.until("erasure", (await world.create("erasure", validate_only=True)).name, "PLANNED")
    world.shop.down = True
    waiting = await world.create("portability")
    await world.until_waiting("portability", waiting.name, "SOURCE_UNAVAILABLE")
    world.crm.tables["people"].rows.clear()
    (world.folder / "trust.json").write_text("{}")


async def operations(world: World) -> set[str]:
    message = governance_pb2.ListProcessingRecordsRequest(parent=PARTNER, page_size=500)
    page = await world.governance.ListProcessingRecords(message, metadata=world.metadata("adam", "ROLE_ADMIN"))
    return {record.operation for record in page.processing_records}


async def test_the_next_one_finds_everything_as_on_the_first_day(postgres: Cluster, template: str) -> None:
    house = House(postgres, template)
    try:
        async with house.world() as world:
            server = world.servers["access"]
            await leave_a_mess(world)
        async with house.world() as again:
            assert again.servers["access"] is server
            listed = await again.stub("access").ListAccessRequests(
                access_pb2.ListAccessRequestsRequest(parent=PARTNER), metadata=again.metadata()
            )
            assert not listed.access_requests
            assert not [path for path in (again.folder / "state").rglob("*") if path.is_file()]
            assert len(again.crm.tables["people"].rows) == 4
            await asyncio.sleep(0.2)  # what was on its way would be there by now
            made = {"CreatePartner", "CreateDataSource", "CreateDataMap", "ListAccessRequests"}
            assert await operations(again) <= made | {"ListProcessingRecords"}
            done = await again.until("access", (await again.create("access")).name)
            assert sum(c.records for c in done.bundle.collections) == 4
    finally:
        await house.close()


async def test_services_that_were_restarted_or_are_busy_are_not_used_again(postgres: Cluster, template: str) -> None:
    house = House(postgres, template)
    try:
        async with house.world() as world:
            first = world.servers["access"]
            await world.stop("access")
            await world.start("access")
        async with house.world() as world:
            second = world.servers["access"]
            assert second is not first
            second.counts.append(lambda: 1)
        async with house.world() as world:
            assert world.servers["access"] is not second
            await eventually(lambda: world.servers["access"].in_hand == 0)
    finally:
        await house.close()
