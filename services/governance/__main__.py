"""Wires governance: `python -m services.governance`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

import grpc
import httpx
from dsr.authority.v1.authority_pb2_grpc import add_AuthorityServiceServicer_to_server
from dsr.credentials import AUTHORITY_AUDIENCE, PLATFORM_AUDIENCE, Credential
from dsr.v1.governance_pb2_grpc import add_GovernanceServiceServicer_to_server

from dsrkit import log, telemetry
from dsrkit.auth import Authenticator, TrustStore
from dsrkit.clock import ahead
from dsrkit.config import ConfigError
from dsrkit.db import open_pool
from dsrkit.egress import EgressGuard
from dsrkit.errors import DsrError
from dsrkit.gauges import Values, observing, of_requests, of_tasks
from dsrkit.grants import GrantSigner
from dsrkit.metrics import Metric
from dsrkit.requests.runtime import main
from dsrkit.server import RunningServer, is_loopback, open_server
from dsrkit.tasks import TaskStore, Worker
from dsrkit.tasks.worker import Step
from dsrkit.tls import TlsFiles
from dsrkit.vault import Vault
from services.governance import steps
from services.governance.authority import AuthorityServicer
from services.governance.config import Config
from services.governance.families import FAMILIES
from services.governance.keeping import know_operations
from services.governance.law.domain import Law
from services.governance.ledger.ledger import Ledger
from services.governance.mail import Mail
from services.governance.sandbox.clock import Clocks, real_clock
from services.governance.servicer import GovernanceServicer
from services.governance.staff.check import check as check_staff
from services.governance.staff.first import begin, named
from services.governance.store import SCHEMA, GovernanceStore
from services.governance.tools import Clock, Tools

SERVICES = (
    "dsr.v1.GovernanceService",
    "dsr.authority.v1.AuthorityService",
    *(family.service for family in FAMILIES),
)


@asynccontextmanager
async def open_service(config: Config, clock: Clock = real_clock) -> AsyncIterator[RunningServer]:
    """Opens everything in order, closes it in reverse."""
    egress = EgressGuard.parse(config.private_egress)
    trust = TrustStore(config.trust)
    key = Credential.load(config.signing_key)
    mail = Mail.of(
        config.smtp_address,
        config.smtp_sender,
        config.smtp_security,
        config.smtp_ca,
        config.smtp_user,
        config.smtp_password,
    )
    tls = TlsFiles.of(config.tls_certificate, config.tls_key, config.tls_ca)
    async with (
        open_pool(config.database_url, SCHEMA, max_size=16) as pool,
        httpx.AsyncClient(follow_redirects=False, trust_env=False) as client,
    ):
        store = GovernanceStore(pool, TaskStore(pool, SCHEMA))
        await know_operations(store)
        await begin(store, named(config.operators))
        vault = Vault(config.keys_dir)
        law = Law.load()
        ledger = Ledger.of(store, config.ledger_key, config.keys_dir)
        await _check(ledger)
        clocks = Clocks(pool)
        who = (config.dpo_contact, config.operator)
        tools = Tools(store, vault, egress, lambda: clock() + ahead(), *who, law, client, mail, ledger, clocks.ahead)
        governance = GovernanceServicer(tools)
        callers = Authenticator(trust, [PLATFORM_AUDIENCE], loopback=is_loopback(config.listen))
        authority = AuthorityServicer(tools, GrantSigner(key.key_id, key.private_key), callers)
        durable: dict[str, Step] = {}
        for family in FAMILIES:
            durable |= family.steps(tools)
        worker = Worker(
            store.tasks,
            durable,
            steps.lock,
            steps.settle,
            steps.waiting,
            [(3600.0, store.purge), *(chore for family in FAMILIES for chore in family.chores(tools))],
        )

        async def tasks() -> Mapping[Metric, Values]:
            return of_tasks(await store.tasks.watch(), list(durable))

        async def corrections() -> Mapping[Metric, Values]:
            return of_requests(await store.watch("corrections.watch"), ["OPEN", "LIFTING"])

        serves, works = config.role in ("api", "all"), config.role in ("worker", "all")
        registrations: list[Callable[[grpc.aio.Server], None]] = [
            lambda server: add_GovernanceServiceServicer_to_server(governance, server),
            lambda server: add_AuthorityServiceServicer_to_server(authority, server),
            *(partial(family.register, tools) for family in FAMILIES),
        ]
        async with (
            open_server(
                listen=config.listen,
                registrations=registrations if serves else [],
                service_names=SERVICES if serves else [],
                authenticator=Authenticator(trust, [PLATFORM_AUDIENCE, AUTHORITY_AUDIENCE]),
                tls=tls.server() if tls else None,
                interceptors=telemetry.server_interceptors(),
                health_listen=config.health_listen,
                drain_notice_seconds=config.drain_notice_seconds,
                records=tools.keep_records,
                staff=partial(check_staff, tools),
                ahead=clocks.ahead,
            ) as running,
            observing(SCHEMA, [tasks, corrections], config.otlp_endpoint, config.otlp_interval_seconds),
        ):
            working = asyncio.create_task(worker.run()) if works else None
            running.counts.append(lambda: worker.in_hand)
            try:
                yield running
            finally:
                log.get_logger().info("draining")
                if working is not None:
                    await worker.drain(working)


async def _check(ledger: Ledger) -> None:
    """Nothing runs on a database that has forgotten erasures: it would forget them for everybody."""
    try:
        await ledger.check()
    except DsrError as error:
        text = 'docs/operating.md says what to do, under "Back up and restore".'
        raise ConfigError(f"{error.message} {text}") from None


if __name__ == "__main__":
    main(SCHEMA, open_service, Config)
