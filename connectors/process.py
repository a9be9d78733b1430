"""The host as a process: arguments and environment in, a server until it is told to end."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import grpc
import uvloop
from dsr.connector.v1.connector_pb2_grpc import add_ConnectorServiceServicer_to_server

from connectors import config
from connectors.host import SERVICE_NAME, ConnectorHost
from dsrkit import log, telemetry
from dsrkit.auth import Authenticator, TrustStore
from dsrkit.config import ConfigError, from_env
from dsrkit.grants import GrantVerifier
from dsrkit.server import is_loopback, open_server
from dsrkit.tls import TlsFiles


def _parse(arguments: Sequence[str], env: Mapping[str, str]) -> tuple[config.HostConfig, bool]:
    parser = argparse.ArgumentParser(prog="python -m connectors", description="Serves data sources to the platform.")
    parser.add_argument("--config", help="YAML file with the sources; instead of DSR_CONNECTORS_CONFIG")
    parser.add_argument("--check", action="store_true", help="check the configuration, then end")
    options = parser.parse_args(arguments)
    if options.config:
        env = {**env, "DSR_CONNECTORS_CONFIG": options.config}
    return from_env(config.HostConfig, env), options.check


def _tls(settings: config.HostConfig) -> TlsFiles | None:
    """TLS files; None for plaintext, which is allowed on loopback only (policy P9)."""
    if not settings.tls_certificate:
        if not is_loopback(settings.listen):
            raise ConfigError("DSR_TLS_CERTIFICATE is not set; plaintext is refused outside loopback")
        return None
    if not settings.tls_key:
        raise ConfigError("DSR_TLS_KEY is not set; it goes with DSR_TLS_CERTIFICATE")
    authority = Path(settings.tls_client_ca) if settings.tls_client_ca else None
    return TlsFiles(Path(settings.tls_certificate), Path(settings.tls_key), authority)


async def _serve(settings: config.HostConfig, tls: grpc.ServerCredentials | None, host: ConnectorHost) -> None:
    async with AsyncExitStack() as stack:
        stack.push_async_callback(host.close)
        running = await stack.enter_async_context(
            open_server(
                listen=settings.listen,
                registrations=[lambda server: add_ConnectorServiceServicer_to_server(host, server)],
                service_names=[SERVICE_NAME],
                authenticator=Authenticator(TrustStore(settings.trust), audiences=frozenset(host.backends)),
                tls=tls,
                interceptors=telemetry.server_interceptors(),
                health_listen=settings.health_listen,
                drain_notice_seconds=settings.drain_notice_seconds,
            )
        )
        await running.wait_for_termination()


def main(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """Returns the process's exit code: 0 after a drain, 2 when the configuration can't be used."""
    try:
        settings, check_only = _parse(arguments, env)
        file = config.load(settings.connectors_config)
        keys = config.GrantKeys(settings.connectors_config.parent / file.grant_keys)
        if not len(keys):
            raise ConfigError(f"{keys.path}: it holds no key")
        backends = config.open_backends(settings.connectors_config, file, settings.state_dir)
        files = _tls(settings)
        tls = files.server() if files else None
        if not check_only:
            log.configure("connectors")
            expiring = {"tls_certificate": settings.tls_certificate, "tls_client_ca": settings.tls_client_ca}
            collector = telemetry.Collector(settings.otlp_endpoint, settings.otlp_interval_seconds, files)
            telemetry.configure("connectors", collector, expiring)
    except (ConfigError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if check_only:
        sys.stdout.write(f"{settings.connectors_config}: {len(backends)} sources can be served\n")
        return 0
    kinds = {name: entry.kind for name, entry in file.sources.items()}
    sandboxes = config.sandboxes(file)
    host = ConnectorHost(backends, GrantVerifier(keys), lambda: datetime.now(UTC), kinds, sandboxes)
    uvloop.run(_serve(settings, tls, host))
    return 0
