"""The whole way of a request over mutual TLS, and whom it keeps out."""

import secrets
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509

from deploy.certificates import Authority
from deploy.local.postgres import Cluster
from dsrkit.config import ConfigError
from dsrkit.tls import TlsFiles
from tests.support.services import World, open_world, state


def authority_in(folder: Path) -> Authority:
    """An authority of this platform's."""
    return Authority(folder, "platform")


def issue(authority: Authority, name: str = "services") -> TlsFiles:
    """Writes (again) a certificate for this machine, beside the authority's own."""
    return authority.issue(authority.path.parent / name, f"urn:dsr:service:{name}", ["127.0.0.1", "localhost"])


@pytest.fixture
async def over_tls(postgres: Cluster, template: str) -> AsyncIterator[tuple[World, Authority]]:
    name = f"tls_{secrets.token_hex(6)}"
    postgres.create_database(name, template=template)
    with tempfile.TemporaryDirectory(prefix="dsr-tls-") as folder:
        authority = authority_in(Path(folder) / "pki")
        async with open_world(Path(folder), postgres, name, tls=issue(authority)) as world:
            yield world, authority
    postgres.drop_database(name)


@pytest.mark.policy("P9", "services speak mutual TLS among themselves and with connectors")
async def test_a_request_goes_all_the_way_over_mutual_tls(over_tls: tuple[World, Authority]) -> None:
    world, authority = over_tls
    done = await world.until("access", (await world.create("access")).name)
    assert state(done) == "COMPLETED"
    plan = await world.until("erasure", (await world.create("erasure")).name, "PLANNED")
    await world.approve(plan)
    assert state(await world.until("erasure", plan.name)) == "COMPLETED"

    # Nobody without a certificate of ours gets as far as an RPC.
    target = f"127.0.0.1:{world.ports['access']}"
    stranger = issue(authority_in(world.folder / "other"))
    ours = authority.path.read_bytes()
    foreign = grpc.ssl_channel_credentials(ours, stranger.key.read_bytes(), stranger.certificate.read_bytes())
    for credentials in (grpc.ssl_channel_credentials(ours), foreign):
        async with grpc.aio.secure_channel(target, credentials) as channel:
            call: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"", timeout=5)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    # A certificate is replaced without a restart: the next handshake shows the new one.
    before = _shown(world.ports["access"], authority)
    issue(authority)
    assert _shown(world.ports["access"], authority) != before


def _shown(port: int, authority: Authority) -> int:
    context = ssl.create_default_context(cafile=str(authority.path))
    client = issue(authority, "client")
    context.load_cert_chain(client.certificate, client.key)
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", port), 5) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped:
            certificate = wrapped.getpeercert(binary_form=True)
            assert certificate is not None
            return x509.load_der_x509_certificate(certificate).serial_number


@pytest.mark.policy("P9", "half a TLS configuration is refused at the start")
def test_tls_is_all_or_nothing() -> None:
    assert TlsFiles.of("", "", "") is None
    with pytest.raises(ConfigError, match="DSR_TLS_KEY"):
        TlsFiles.of("cert.pem", "", "ca.pem")
    with pytest.raises(ConfigError, match="can't be read"):
        TlsFiles.of("/none/cert.pem", "/none/key.pem", "/none/ca.pem")
