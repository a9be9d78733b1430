"""Packages of whole sources that were returned before governance noted which requests copy them."""

from collections.abc import AsyncIterator
from importlib import resources
from uuid import UUID

import asyncpg
import pytest

from deploy.local.postgres import Cluster

REQUEST = "partners/acme/portabilityRequests/1"
AS_IT_WAS = """
SET LOCAL search_path = governance, dsr;
SET LOCAL session_replication_role = replica;
INSERT INTO termination (partner, id, state, creator, creator_actors, create_time, confirm_time, standing_before)
SELECT 'partners/' || number, ('00000000-0000-0000-0000-00000000000' || number)::uuid, state, '', '{}', now(), now(),
       'GOOD'
FROM (VALUES (1, 'RETURNING'), (2, 'DESTROYING')) AS old (number, state);
INSERT INTO termination_item (partner, termination, source, return_request)
SELECT partner, id, source, request FROM termination,
       (VALUES ('crm', 'partners/acme/portabilityRequests/1'), ('shop', '')) AS old (source, request);
CREATE ROLE plain_owner;
GRANT USAGE, CREATE ON SCHEMA governance, dsr TO plain_owner;
ALTER TABLE termination OWNER TO plain_owner;
ALTER TABLE termination_item OWNER TO plain_owner;
ALTER TABLE termination_copy OWNER TO plain_owner;
SET LOCAL ROLE plain_owner;
"""
"""By now for an owner who is no superuser: row-level security holds for it, too, where it is forced."""

EVERYTHING = """
SELECT id FROM termination UNION ALL SELECT termination FROM termination_item
UNION ALL SELECT termination FROM termination_copy
"""


@pytest.fixture
async def connection(postgres: Cluster, template: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(postgres.create_database("returned_before", template=template))
    try:
        transaction = opened.transaction()
        await transaction.start()
        yield opened
        await transaction.rollback()
    finally:
        await opened.close()
        postgres.drop_database("returned_before")


@pytest.mark.policy("P2", "an erasure ends packages of whole sources that were returned before an upgrade, too")
async def test_packages_from_before_are_known_as_copies(connection: asyncpg.Connection) -> None:
    await connection.execute(AS_IT_WAS)
    sql = resources.files("services.governance.termination").joinpath("sql", "0011_copies.sql").read_text()
    await connection.execute(sql)
    assert await connection.fetch(EVERYTHING) == [], "row-level security is forced again"
    await connection.execute("RESET ROLE")
    copies = await connection.fetch("SELECT request, termination, source FROM termination_copy ORDER BY termination")
    first, second = UUID(int=1), UUID(int=2)
    assert [tuple(row) for row in copies] == [(REQUEST, first, "crm"), (REQUEST, second, "crm")]
    standings = await connection.fetch("SELECT id, standing_before FROM termination")
    assert {row["id"]: row["standing_before"] for row in standings} == {first: "GOOD", second: None}
