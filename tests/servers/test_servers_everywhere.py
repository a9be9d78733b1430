"""One of several people with nearly the same names is erased from every kind of store at once, and nobody else.

What is left is read from the stores themselves, object bytes included, never through the platform.
"""

import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiobotocore.session import get_session  # type: ignore[import-untyped]
from dsr.connector.v1.connector_pb2_grpc import add_ConnectorServiceServicer_to_server
from dsr.v1 import erasure_pb2, governance_pb2

from connectors import registry
from connectors.backend import SourceConfig
from connectors.config import GrantKeys
from connectors.host import SERVICE_NAME, ConnectorHost
from deploy.local.postgres import Cluster
from dsrkit.auth import Authenticator, TrustStore
from dsrkit.grants import GrantVerifier
from dsrkit.server import open_server
from tests.servers import everywhere
from tests.servers.everywhere import PEOPLE, Place, Records, mark
from tests.servers.programs import MariaDb, RedisServer
from tests.support.services import DUBLIN, PARTNER, World, collection_map, data_map, open_world, state

pytestmark = pytest.mark.servers

Open = Callable[[str], Any]


@pytest.fixture
def opening(
    postgres: Cluster,
    tmp_path: Path,
    mariadb_server: MariaDb,
    redis_server: RedisServer,
    radosgw: Mapping[str, str],
    swift: Mapping[str, str],
) -> Open:
    """Opens the platform over a store of each kind; `match`: how the register compares addresses."""

    @asynccontextmanager
    async def opened(match: str) -> AsyncIterator[tuple[World, Sequence[Place]]]:
        names = [f"everywhere_{uuid.uuid4().hex[:12]}" for _ in range(2)]
        own, crm = (postgres.create_database(name) for name in names)
        del own
        async with AsyncExitStack() as stack:
            for name in names:
                stack.callback(postgres.drop_database, name)
            s3 = get_session().create_client(
                "s3",
                endpoint_url=radosgw["endpoint"],
                region_name="us-east-1",
                aws_access_key_id=radosgw["access_key_id"],
                aws_secret_access_key=radosgw["secret_access_key"],
            )
            places = [
                await everywhere.postgres(crm, match),
                await everywhere.mysql(mariadb_server),
                await everywhere.redis(redis_server),
                await everywhere.files(tmp_path / "files"),
                await everywhere.s3(await stack.enter_async_context(s3), radosgw, tmp_path),
                await everywhere.swift(await stack.enter_async_context(httpx.AsyncClient(timeout=30)), swift, tmp_path),
            ]
            world = await stack.enter_async_context(open_world(tmp_path, postgres, names[0]))
            address = await stack.enter_async_context(_serve(places, tmp_path))
            await _register(world, places, address)
            yield world, places

    return opened


@asynccontextmanager
async def _serve(places: Sequence[Place], folder: Path) -> AsyncIterator[str]:
    """One connector host for all of them."""
    backends = {}
    for place in places:
        source = f"{PARTNER}/dataSources/{place.name}"
        config = SourceConfig(source, place.kind, place.options, b"k" * 32, folder / "state" / place.name)
        backends[source] = registry.factory(place.kind)(config)
    host = ConnectorHost(backends, GrantVerifier(GrantKeys(folder / "grants.jwks")), lambda: datetime.now(UTC))
    async with open_server(
        listen="127.0.0.1:0",
        registrations=[lambda server: add_ConnectorServiceServicer_to_server(host, server)],
        service_names=[SERVICE_NAME],
        authenticator=Authenticator(TrustStore(folder / "trust.json"), list(backends)),
    ) as running:
        yield f"127.0.0.1:{running.port}"
    await host.close()


async def _register(world: World, places: Sequence[Place], address: str) -> None:
    """The partner's sources and their data map: the register in PostgreSQL knows who is who."""
    admin, maps = world.metadata("adam", "ROLE_ADMIN"), list(data_map().sources)
    for table in (*world.crm.tables.values(), *world.shop.tables.values()):
        table.rows.clear()  # the sources in memory that every world has
    maps[0].authoritative_for[:] = []
    for place in places:
        source = governance_pb2.DataSource(
            name=f"{PARTNER}/dataSources/{place.name}",
            display_name=place.name,
            connector_address=address,
            custody=governance_pb2.DataSource.CUSTODY_OPERATOR,
            location=DUBLIN,
        )
        await world.governance.CreateDataSource(
            governance_pb2.CreateDataSourceRequest(parent=PARTNER, request_id=str(uuid.uuid4()), data_source=source),
            metadata=admin,
        )
        knows = ["email", "customer_number"] if place.kind == "postgres" else []
        collections = [collection_map(name) for name in place.options["collections"]]
        maps.append(governance_pb2.SourceMap(source=source.name, authoritative_for=knows, collections=collections))
    await world.governance.CreateDataMap(
        governance_pb2.CreateDataMapRequest(
            parent=PARTNER, request_id=str(uuid.uuid4()), data_map=governance_pb2.DataMap(sources=maps)
        ),
        metadata=admin,
    )


async def _read(places: Sequence[Place]) -> dict[str, Records]:
    return {place.name: await place.read() for place in places}


async def test_of_people_with_nearly_the_same_names_one_goes_everywhere(opening: Open) -> None:
    async with opening("exact") as (world, places):
        before = await _read(places)
        for name, records in before.items():
            for person in PEOPLE:
                assert [record for record in records if mark(person) in record], f"{person} is not in {name}"

        planned = await world.until("erasure", (await world.create("erasure")).name, "PLANNED")
        assert state(planned) == "PLANNED", planned
        assert not planned.plan.findings
        assert await _read(places) == before, "a plan touches nothing"
        await world.approve(planned)
        erased = await world.until("erasure", planned.name)
        assert state(erased) == "COMPLETED"

        after = await _read(places)
        gone = {name: before[name] - after[name] for name in before}
        wanted = {
            name: Counter({record: n for record, n in records.items() if mark("ann") in record})
            for name, records in before.items()
        }
        assert gone == wanted
        assert {name: after[name] - before[name] for name in after} == {name: Counter() for name in after}

        result = erasure_pb2.ErasureRequest.Outcome.Result.Name
        told: Counter[str] = Counter()
        for outcome in erased.report.outcomes:
            assert (result(outcome.result), outcome.remaining) == ("RESULT_ERASED", 0)
            told[outcome.source.rsplit("/", 1)[1]] += outcome.erased
        assert told == {name: sum(records.values()) for name, records in wanted.items()}


async def test_where_case_does_not_count_the_same_request_stops_and_asks(opening: Open) -> None:
    async with opening("case_fold") as (world, places):
        before = await _read(places)
        created = await world.create("erasure")
        asked = await world.until("erasure", created.name, "AWAITING_CONTROLLER")
        assert state(asked) == "AWAITING_CONTROLLER"
        assert len(asked.candidates) == 2  # ann@ and ANN@, and neither of the other two
        assert not asked.HasField("plan")
        assert await _read(places) == before
