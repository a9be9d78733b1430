"""Return and Destroy: a whole slice of a shared database, and not a row of anybody else's."""

import pytest
from dsr.connector.v1 import connector_pb2 as pb

from connectors.mysql import MysqlBackend
from connectors.relational import destroy
from tests.integration.postgres.whole import caps, codes, destroyed, returned
from tests.servers.mysql.harness import Database, declaration

COLUMN = {"public.order_items": "order_tenant", "public.countries": None}


async def of_tenant(shop: Database, tenant: int) -> dict[str, int]:
    """Rows of one tenant by table, looked up directly."""
    found = {}
    for name in declaration()["collections"]:
        column = COLUMN.get(name, "tenant_id")
        if column:
            ((found[name],),) = await shop.fetch(f"SELECT count(*) FROM {name} WHERE {column} = {tenant}")
    return found


async def test_a_slice_is_returned_and_destroyed_whole_and_nothing_else(
    source: MysqlBackend, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destroy, "ROWS", 20)
    limits, before, others = caps(await returned(source)), await of_tenant(shop, 1), await of_tenant(shop, 2)
    assert limits == before
    for attempt in (1, 2):
        result = await destroyed(source, limits, attempt)
        assert result.outcome == pb.Destroyed.OUTCOME_DESTROYED, codes(result)
        assert {c.collection: (c.destroyed, c.left) for c in result.collections} == {
            name: (number, 0) for name, number in before.items()
        }
    assert not any((await of_tenant(shop, 1)).values())
    assert await of_tenant(shop, 2) == others


async def test_what_somebody_elses_row_refers_to_is_not_destroyed(source: MysqlBackend, shop: Database) -> None:
    limits, before = caps(await returned(source)), await of_tenant(shop, 1)
    await shop.execute("UPDATE comments SET parent_id = 1000701 WHERE tenant_id = 2 AND id % 100 = 1")
    result = await destroyed(source, limits)
    assert result.outcome == pb.Destroyed.OUTCOME_BLOCKED
    assert ("REFERENCED_OUTSIDE_SCOPE", "public.comments") in codes(result)
    assert await of_tenant(shop, 1) == before
