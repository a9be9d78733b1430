"""Wires a rights service: the parts that are alike, in the order they are opened."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc
import uvloop
from dsr.credentials import PLATFORM_AUDIENCE, Credential
from dsr.v1.governance_pb2 import Location

from dsrkit import log, telemetry
from dsrkit.auth import Authenticator, TrustStore
from dsrkit.channels import Channels
from dsrkit.config import ConfigError, from_env
from dsrkit.db import open_pool
from dsrkit.egress import EgressGuard
from dsrkit.gauges import Values, observing, of_outbox, of_requests, of_tasks
from dsrkit.metrics import Metric
from dsrkit.requests.authority import Authority
from dsrkit.requests.bundle import Bundles
from dsrkit.requests.clocks import Clocks
from dsrkit.requests.close import Close
from dsrkit.requests.connector import Connectors, Limits
from dsrkit.requests.export import Export, Spool
from dsrkit.requests.flow import Advance, Flow
from dsrkit.requests.leftovers import Leftovers
from dsrkit.requests.locate import Locate
from dsrkit.requests.model import OPEN_STATES, Right
from dsrkit.requests.servicer import Parts
from dsrkit.requests.store import RequestStore
from dsrkit.requests.terminations import Terminations
from dsrkit.requests.watch import EventHub
from dsrkit.server import RunningServer, open_server
from dsrkit.tasks import Task, TaskStore, Worker
from dsrkit.tasks.worker import Chore, Step
from dsrkit.tls import TlsFiles
from dsrkit.vault import Vault

C = TypeVar("C")
CLOCK_SECONDS = 1.0
"""How often governance is asked for sandboxes whose time was advanced."""
TERMINATION_SECONDS = 5.0
"""How often governance is asked for contracts that have ended."""
_ROUNDS = 20
"""How many batches of every partner are shipped before other chores have their turn."""


@dataclass(frozen=True)
class Config:
    """What a rights service is told by its environment."""

    listen: str
    """`DSR_LISTEN`: `host:port`; port 0 takes a free one."""
    database_url: str
    """`DSR_DATABASE_URL`: of the service's own role."""
    trust: Path
    """`DSR_TRUST`: the trust file."""
    credential: Path
    """`DSR_CREDENTIAL`: the service's own signing key."""
    governance_address: str
    """`DSR_GOVERNANCE_ADDRESS`: `host:port`."""
    state_dir: Path
    """`DSR_STATE_DIR`: spool and bundles, ciphertext only; no versions, no snapshots."""
    keys_dir: Path
    """`DSR_KEYS_DIR`: wrapped keys; apart from everything that is backed up."""
    bundle_location: str = ""
    """`DSR_BUNDLE_LOCATION`: where `DSR_STATE_DIR` is, as `provider/site/country`, such as `Rackspace/London/GB`.
    Told to governance with every request: without it, or at a place the partner didn't agree to, no copy is made."""
    role: str = "all"
    """`DSR_ROLE`: `api`, `worker` or `all`."""
    private_egress: str = ""
    """`DSR_PRIVATE_EGRESS`: networks (CIDR, comma-separated) that may be dialled although they are private."""
    tls_certificate: str = ""
    """`DSR_TLS_CERTIFICATE`: PEM chain shown to others, with `DSR_TLS_KEY` and `DSR_TLS_CA`; none: loopback only."""
    tls_key: str = ""
    tls_ca: str = ""
    """`DSR_TLS_CA`: PEM certificates that others' are checked against (mutual TLS)."""
    otlp_endpoint: str = ""
    """`DSR_OTLP_ENDPOINT`: `host:port` of an OpenTelemetry collector, over TLS with this process's certificate; empty:
    none. Plaintext on loopback only."""
    otlp_interval_seconds: float = 15.0
    """`DSR_OTLP_INTERVAL_SECONDS`: between two exports of metrics."""
    health_listen: str = ""
    """`DSR_HEALTH_LISTEN`: `host:port` that answers health checks in plaintext, for probes; empty: none."""
    drain_notice_seconds: float = 0.0
    """`DSR_DRAIN_NOTICE_SECONDS`: after SIGTERM, how long health says no before calls are refused."""
    connector_idle_seconds: float = 60.0
    """`DSR_CONNECTOR_IDLE_SECONDS`: how long a connector may be silent."""
    heartbeat_seconds: float = 10.0
    """`DSR_HEARTBEAT_SECONDS`: after which silence another worker takes over a task."""

    def __post_init__(self) -> None:
        parse_location(self.bundle_location)


@dataclass(frozen=True)
class Toolbox:
    """What steps of any right work with."""

    config: Config
    parts: Parts
    tls: TlsFiles | None
    connectors: Connectors
    locate: Locate
    export: Export
    spool: Spool
    bundles: Bundles
    close: Close
    clocks: Clocks


def parse_location(text: str) -> Location | None:
    """`provider/site/country`; None for nothing. ConfigError."""
    if not text:
        return None
    provider, site, country = text.rsplit("/", 2) if text.count("/") >= 2 else ("", "", "")
    if not (provider and site and re.fullmatch("[A-Z]{2}", country)):
        raise ConfigError("DSR_BUNDLE_LOCATION must be provider/site/country, such as Rackspace/London/GB")
    return Location(provider=provider, site=site, country=country)


@asynccontextmanager
async def open_toolbox(config: Config, right: Right, advance: Advance, *, with_anchors: bool) -> AsyncIterator[Toolbox]:
    """Opens everything a rights service needs, and closes it in reverse."""
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(config.database_url, right.noun, max_size=16))
        tls = TlsFiles.of(config.tls_certificate, config.tls_key, config.tls_ca)
        channels = await stack.enter_async_context(Channels(Credential.load(config.credential), tls))
        tasks = TaskStore(pool, right.noun)
        store = RequestStore(pool, right, tasks)
        vault = Vault(config.keys_dir)
        flow = Flow(store, vault, advance)
        authority = Authority(channels, config.governance_address, right, parse_location(config.bundle_location))
        hub = EventHub(pool, store.channel)
        egress = EgressGuard.parse(config.private_egress)
        connectors = Connectors(channels, egress, Limits(idle=config.connector_idle_seconds))
        spool = Spool(config.state_dir / "spool")
        bundles = Bundles(store, vault, config.state_dir / "bundles", spool)
        parts = Parts(right, store, flow, vault, authority, hub, asyncio.Event())
        yield Toolbox(
            config=config,
            parts=parts,
            tls=tls,
            connectors=connectors,
            locate=Locate(flow, authority, connectors, with_anchors=with_anchors),
            export=Export(flow, authority, connectors, spool),
            spool=spool,
            bundles=bundles,
            close=Close(store, flow, vault, authority, spool),
            clocks=Clocks(pool, tasks, authority),
        )


async def ship(tools: Toolbox) -> None:
    """Chore: hands processing records and state changes to governance."""
    store = tools.parts.store
    for _ in range(_ROUNDS):
        partners = await store.outbox_partners()
        for partner in partners:
            entries = await store.outbox(partner)
            for identifier, entry in entries:
                entry.id = str(identifier)
            if entries:
                await tools.parts.authority.report([entry for _, entry in entries])
                await store.shipped(partner, [identifier for identifier, _ in entries])
        if not partners:
            return


@asynccontextmanager
async def serving(
    config: Config,
    tools: Toolbox,
    service_name: str,
    register: Callable[[grpc.aio.Server], None],
    steps: Mapping[str, Step],
    chores: Sequence[Chore] = (),
) -> AsyncIterator[RunningServer]:
    """Serves RPCs and works on tasks, as `config.role` says; drains at the end."""
    flow = tools.parts.flow
    durable: dict[str, Step] = {
        "register": tools.locate.register,
        "locate": tools.locate.locate,
        "close": tools.close.close,
        **steps,
    }
    parts, folders = tools.parts, (config.state_dir / "spool", config.state_dir / "bundles")
    ended = Terminations(parts.store, parts.flow, parts.vault, parts.authority, folders)
    leftovers = Leftovers(tools.parts.store, config.state_dir / "spool", config.state_dir / "bundles")

    async def discard(task: Task) -> None:
        await flow.superseded(task)
        await leftovers.of_attempt(task)

    worker = Worker(
        tools.parts.store.tasks,
        {name: tools.clocks.of_task(step) for name, step in durable.items()},
        flow.lock,
        flow.settle,
        flow.waiting,
        [
            (0.5, lambda: ship(tools)),
            (3600.0, leftovers.sweep),
            (TERMINATION_SECONDS, ended.run),
            (CLOCK_SECONDS, tools.clocks.follow),
            *chores,
        ],
        heartbeat_seconds=config.heartbeat_seconds,
        discard=discard,
    )

    async def tasks() -> Mapping[Metric, Values]:
        return of_tasks(await tools.parts.store.tasks.watch(), list(durable))

    async def requests() -> Mapping[Metric, Values]:
        rows, outbox_age = await tools.parts.store.watch()
        return {**of_requests(rows, OPEN_STATES), **of_outbox(outbox_age)}

    authenticator = Authenticator(TrustStore(config.trust), [PLATFORM_AUDIENCE])
    serves, works = config.role in ("api", "all"), config.role in ("worker", "all")
    async with (
        open_server(
            listen=config.listen,
            registrations=[register] if serves else [],
            service_names=[service_name] if serves else [],
            authenticator=authenticator,
            tls=tools.tls.server() if tools.tls else None,
            interceptors=telemetry.server_interceptors(),
            draining=tools.parts.draining,
            health_listen=config.health_listen,
            drain_notice_seconds=config.drain_notice_seconds,
            records=tools.parts.store.add_records,
            staff=tools.parts.authority.check_staff,
            ahead=tools.clocks.ahead,
        ) as running,
        observing(tools.parts.right.noun, [tasks, requests], config.otlp_endpoint, config.otlp_interval_seconds),
    ):
        listening = asyncio.create_task(tools.parts.hub.listen())
        working = asyncio.create_task(worker.run()) if works else None
        running.counts.append(lambda: worker.in_hand)
        try:
            yield running
        finally:
            log.get_logger().info("draining")
            if working is not None:
                await worker.drain(working)
            tools.parts.hub.stop()
            await listening


def main(service: str, open_service: Callable[[C], AbstractAsyncContextManager[RunningServer]], kind: type[C]) -> None:
    """Runs a process: reads its environment, serves until told to end, drains."""
    log.configure(service)
    try:
        config: Any = from_env(kind, os.environ)
        EgressGuard.parse(config.private_egress)
        tls = TlsFiles.of(config.tls_certificate, config.tls_key, config.tls_ca)
        files = {"tls_certificate": config.tls_certificate, "tls_ca": config.tls_ca}
        collector = telemetry.Collector(config.otlp_endpoint, config.otlp_interval_seconds, tls)
        telemetry.configure(service, collector, files)
        uvloop.run(_serve(open_service(config)))
    except ConfigError as error:
        sys.exit(f"{service}: {error}")


async def _serve(service: AbstractAsyncContextManager[RunningServer]) -> None:
    async with service as running:
        await running.wait_for_termination()
