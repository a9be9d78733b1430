"""The whole way of a request over mutual TLS, and whom it keeps out."""

import datetime
import ipaddress
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
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.local.postgres import Cluster
from dsrkit.config import ConfigError
from dsrkit.tls import TlsFiles
from tests.support.services import World, open_world, state


class Authority:
    """A small certificate authority for tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign("authority", self.key.public_key(), ca=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ca.pem").write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, name: str, public: ec.EllipticCurvePublicKey, *, ca: bool = False) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = subject if ca else self.certificate.subject
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
            builder = builder.add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, name: str) -> TlsFiles:
        """Writes (again) a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        certificate, secret = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        secret.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        certificate.write_bytes(self._sign(name, key.public_key()).public_bytes(pem))
        return TlsFiles(certificate, secret, self.folder / "ca.pem")


@pytest.fixture
async def over_tls(postgres: Cluster, template: str) -> AsyncIterator[tuple[World, Authority]]:
    name = f"tls_{secrets.token_hex(6)}"
    postgres.create_database(name, template=template)
    with tempfile.TemporaryDirectory(prefix="dsr-tls-") as folder:
        authority = Authority(Path(folder) / "pki")
        async with open_world(Path(folder), postgres, name, tls=authority.issue("services")) as world:
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
    stranger = Authority(world.folder / "other").issue("stranger")
    ours = (authority.folder / "ca.pem").read_bytes()
    foreign = grpc.ssl_channel_credentials(ours, stranger.key.read_bytes(), stranger.certificate.read_bytes())
    for credentials in (grpc.ssl_channel_credentials(ours), foreign):
        async with grpc.aio.secure_channel(target, credentials) as channel:
            call: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"", timeout=5)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    # A certificate is replaced without a restart: the next handshake shows the new one.
    before = _shown(world.ports["access"], authority)
    authority.issue("services")
    assert _shown(world.ports["access"], authority) != before


def _shown(port: int, authority: Authority) -> int:
    context = ssl.create_default_context(cafile=str(authority.folder / "ca.pem"))
    client = authority.issue("client")
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
