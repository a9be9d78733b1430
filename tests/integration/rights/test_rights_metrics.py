"""What a collector is told: every metric, in its unit, and nobody's name."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from opentelemetry import metrics
from opentelemetry.sdk.resources import Resource

from deploy.local.postgres import Cluster
from dsrkit.config import ConfigError
from dsrkit.metrics import METRICS
from dsrkit.telemetry import Collector as Target
from dsrkit.telemetry import meter_provider, tell_expiry
from gateway.config import Config
from gateway.server import open_gateway
from tests.integration.rights.test_rights_tls import authority_in, issue
from tests.support.http import PLAINTEXT
from tests.support.otlp import Collector, open_collector, points
from tests.support.services import PARTNER, World, eventually, open_world

SECONDS = 0.2
DATA = {"counter": "sum", "gauge": "gauge", "histogram": "histogram"}


@dataclass
class Watched:
    """The platform and who watches it."""

    world: World
    collector: Collector
    dsn: str

    async def execute(self, statement: str, *args: Any) -> list[Any]:
        """As the database's owner, to bring about what takes days. Returns the first column."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return [row[0] for row in await connection.fetch(statement, *args)]
        finally:
            await connection.close()


@pytest.fixture(scope="module")
async def watched(postgres: Cluster, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    name = f"rights_{secrets.token_hex(6)}"
    dsn = postgres.create_database(name, template=template)
    folder = tmp_path_factory.mktemp("metrics")
    async with open_collector() as collector:
        resource = Resource.create({"service.name": "dsr-test"})
        provider = meter_provider(resource, Target(collector.endpoint, SECONDS, None))
        metrics.set_meter_provider(provider)  # once per process: no other module does
        tell_expiry(provider, {"tls_certificate": issue(authority_in(folder / "pki"), "services").certificate})
        settings = {"otlp_endpoint": collector.endpoint, "otlp_interval_seconds": SECONDS}
        async with open_world(folder, postgres, name, telemetry=settings) as world:
            yield Watched(world, collector, dsn)
        await asyncio.to_thread(provider.shutdown)
    postgres.drop_database(name)


async def done(world: World) -> str:
    """An access request, carried out over HTTP."""
    ports = {f"{name}_address": f"127.0.0.1:{port}" for name, port in world.ports.items()}
    config = Config(listen="127.0.0.1:0", **ports)  # type: ignore[arg-type]
    world.crm.down = True
    request = await world.create("access")
    await world.until_waiting("access", request.name, "SOURCE_UNAVAILABLE")
    world.crm.down = False
    await world.until("access", request.name)
    async with open_gateway(config) as gateway, httpx.AsyncClient(verify=PLAINTEXT) as client:
        url = f"http://127.0.0.1:{gateway.port}/v1/{request.name}"
        assert (await client.get(url, headers=dict(world.metadata()))).status_code == 200
        assert (await client.get(f"{url}x", headers=dict(world.metadata()))).status_code == 404
    return str(request.name)


@pytest.mark.long
async def test_requests_are_counted_by_state_and_due_time(watched: Watched) -> None:
    world, collector = watched.world, watched.collector
    preview = await world.create("erasure", validate_only=True)
    await world.until("erasure", preview.name, "PLANNED")
    planned = await world.create("erasure", identities=[("email", "joann@example.com")])
    await world.until("erasure", planned.name, "PLANNED")
    erasure: Any = {"name": "dsr.request.open", "scope": "dsr.erasure"}
    # A preview waits for nobody: it isn't open, and can't become overdue.
    await eventually(lambda: collector.points(**erasure)[("later", "PLANNED")] == 1)
    assert 27 * 86400 < collector.points("dsr.request.time_to_due", "dsr.erasure")[()] < 32 * 86400
    assert collector.points("dsr.request.stalled", "dsr.erasure") == {(): 0}

    async def only_the_other_is_watched() -> bool:
        return await watched.execute("SELECT request FROM governance.deadline WHERE open") == [planned.name]

    await eventually(only_the_other_is_watched)
    day = "SET due_time = now() + $1::int * interval '1 day', update_time = now() - interval '2 days'"
    for days, bucket in ((6, "7d"), (2, "3d"), (0, "overdue")):
        await watched.execute(f"UPDATE erasure.request {day} WHERE complete_time IS NULL", days)
        await eventually(partial(lambda key: collector.points(**erasure)[key] == 1, (bucket, "PLANNED")))
    assert collector.points("dsr.request.stalled", "dsr.erasure") == {(): 1}
    assert -60 < collector.points("dsr.request.time_to_due", "dsr.erasure")[()] <= 0
    assert sum(collector.points(**erasure).values()) == 1
    await world.act("erasure", "Cancel", planned.name)
    await eventually(lambda: sum(collector.points(**erasure).values()) == 0)
    await watched.execute("UPDATE governance.partner SET standing = 'SUSPENDED'")
    await world.create("access")
    await watched.execute("UPDATE governance.partner SET standing = 'GOOD'")
    ended = {("CANCELLED",): 1, ("PLANNED",): 1, ("REFUSED",): 1}  # planned: the preview
    await eventually(lambda: collector.points("dsr.request.duration") == ended)


async def test_tasks_are_counted_by_step_and_what_they_wait_for(watched: Watched) -> None:
    world, collector, access = watched.world, watched.collector, "dsr.access"
    # No worker is there to take them; the process that serves RPCs tells of them.
    await world.stop("access")
    for row in (
        "'export', now() - interval '1000 s', now() - interval '5000 s', now() - interval '5000 s', NULL, 0",
        "'export', now() - interval '5000 s', now() - interval '2000 s', now() - interval '5000 s', NULL, 0",
        "'locate', now() + interval '1 hour', now(), now() - interval '4000 s', 'SOURCE_TIMEOUT', 30",
        "'locate', now() + interval '1 hour', now(), now(), NULL, 0",
    ):
        columns = "partner, owner, step, due_time, update_time, create_time, waiting_reason, tries"
        await watched.execute(f"INSERT INTO access.task ({columns}) VALUES ('{PARTNER}', gen_random_uuid(), {row})")  # noqa: S608
    world.telemetry["role"] = "api"
    await world.start("access")
    there = {("queued", "export"): 1, ("running", "export"): 1, ("waiting", "locate"): 1, ("scheduled", "locate"): 1}
    await eventually(lambda: positive(collector.points("dsr.task.open", access)) == there)
    ages = collector.points("dsr.task.age", access)
    assert [round(ages[key], -2) for key in there] == [1000, 2000, 4000, 0]
    assert positive(collector.points("dsr.task.stuck", access)) == {("locate",): 1}
    assert collector.points("dsr.task.retried", access) == {("SOURCE_TIMEOUT",): 1}
    await watched.execute("DELETE FROM access.task WHERE state = 'open'")
    await eventually(lambda: not positive(collector.points("dsr.task.open", access)))
    await world.stop("access")
    del world.telemetry["role"]
    await world.start("access")


def positive(found: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    return {key: value for key, value in found.items() if value}


@pytest.mark.long
@pytest.mark.policy("P5", "no metric names a person, a partner, a request or whoever acts")
async def test_every_metric_arrives_in_its_unit_and_names_nobody(watched: Watched) -> None:
    world, collector = watched.world, watched.collector
    await done(world)
    erasure = await world.create("erasure", identities=[("email", "twin@example.com")])
    await world.until("erasure", erasure.name, "AWAITING_CONTROLLER")
    await world.act("erasure", "Cancel", erasure.name)
    names = {metric.name for metric in METRICS}
    await eventually(lambda: names <= {name for _, name in collector.metrics()})
    known = {metric.name: metric for metric in METRICS}
    for (_, name), message in collector.metrics().items():
        metric = known[name]
        assert (message.unit, message.WhichOneof("data")) == (metric.unit, DATA[metric.kind]), name
        for point in points(message):
            assert {attribute.key for attribute in point.attributes} <= set(metric.attributes), name
    said = b"\0".join(request.SerializeToString() for request in collector.received)
    for name in ("ann@", "Ann", "twin", "acme", "joann", "alice", erasure.name.rsplit("/", 1)[1]):
        assert name.encode() not in said, name


@pytest.mark.policy("P9", "telemetry leaves the machine over mutual TLS only, and with the newest certificate")
async def test_telemetry_goes_over_mutual_tls_and_shows_a_new_certificate(tmp_path: Path) -> None:
    authority = authority_in(tmp_path)
    files = issue(authority, "worker")
    async with open_collector(issue(authority, "collector").server()) as collector:
        provider = meter_provider(Resource.create({}), Target(collector.endpoint, SECONDS, files))
        tell_expiry(provider, {"tls_certificate": files.certificate, "tls_ca": tmp_path / "absent"})
        await eventually(lambda: collector.callers == {"urn:dsr:service:worker"})
        left = collector.points("dsr.tls.certificate.time_to_expiry")
        assert set(left) == {("tls_certificate",)}
        assert 29 * 86400 < left[("tls_certificate",)] <= 30 * 86400
        renewed = issue(authority, "renewed")
        files.key.write_bytes(renewed.key.read_bytes())
        files.certificate.write_bytes(renewed.certificate.read_bytes())
        await eventually(lambda: collector.callers == {"urn:dsr:service:worker", "urn:dsr:service:renewed"})
        await asyncio.to_thread(provider.shutdown)


async def test_a_collector_that_cant_be_trusted_is_told_nothing(tmp_path: Path) -> None:
    ours, stranger = authority_in(tmp_path / "ours"), authority_in(tmp_path / "elsewhere")
    async with open_collector(issue(stranger, "collector").server()) as collector:
        provider = meter_provider(Resource.create({}), Target(collector.endpoint, 3600, issue(ours, "worker")))
        tell_expiry(provider, {"tls_certificate": tmp_path / "ours" / "worker" / "tls.crt"})
        await asyncio.to_thread(provider.shutdown, 1000)  # exports what there is, or would
        assert collector.received == []


def test_plaintext_telemetry_goes_to_loopback_only() -> None:
    with pytest.raises(ConfigError, match="DSR_OTLP_ENDPOINT is not loopback"):
        meter_provider(Resource.create({}), Target("collector.monitoring.svc:4317", SECONDS, None))
