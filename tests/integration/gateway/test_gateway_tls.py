"""Mutual TLS on both sides of the gateway: whom it lets in and believes, and certificates replaced while it runs."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from dsr.client import connect
from dsr.credentials import Credential
from dsr.v1 import governance_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.certificates import Authority, make
from deploy.local.postgres import free_port
from dsrkit.tls import EDGE, TlsFiles
from gateway.config import Config
from gateway.server import open_gateway
from tests.gateway_fake import PARTNER, Platform, open_platform

TOLD = "203.0.113.7"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    make(folder, ["acme"], ["localhost", "127.0.0.1"])
    return folder


def files(folder: Path) -> TlsFiles:
    return TlsFiles(folder / "tls.crt", folder / "tls.key", folder / "ca.crt")


@asynccontextmanager
async def client(port: int, who: TlsFiles | None, ca: Path, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    context = ssl.create_default_context(cafile=str(ca))
    if who is not None:
        context.load_cert_chain(who.certificate, who.key)
    async with httpx.AsyncClient(base_url=f"https://localhost:{port}", verify=context, headers=headers) as http:
        yield http


@pytest.fixture(scope="module")
async def secured(pki: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    async with open_platform(tmp_path_factory.mktemp("platform"), files(pki / "access").server()) as platform:
        yield platform


def config_of(pki: Path, platform: Platform, **more: Any) -> Config:
    target, own = f"localhost:{platform.port}", pki / "gateway"
    settings = {
        "tls_certificate": str(own / "tls.crt"),
        "tls_key": str(own / "tls.key"),
        "tls_client_ca": str(own / "ca.crt"),
        "upstream_certificate": str(own / "tls.crt"),
        "upstream_key": str(own / "tls.key"),
        "upstream_ca": str(own / "ca.crt"),
        **more,
    }
    return Config(target, target, target, target, "127.0.0.1:0", **settings)


@pytest.mark.policy("P9", "the gateway asks its clients for a certificate where it is told by whom they are signed")
async def test_who_comes_in_and_who_is_believed(pki: Path, secured: Platform) -> None:
    authorization = f"Bearer {secured.token()}"
    ca = pki / "platform" / "ca.crt"
    partner = files(pki / "partners" / "acme")
    expected = {"edge": TOLD, "access": "127.0.0.1"}
    async with open_gateway(config_of(pki, secured)) as gateway:
        for name, address in expected.items():
            headers = {"authorization": authorization, "x-forwarded-for": f"198.51.100.1, {TOLD}"}
            async with client(gateway.port, files(pki / name), ca, **headers) as http:
                assert (await http.get(f"/v1/{PARTNER}")).status_code == 200
            # Told by the gateway, and believed by the service because of the gateway's certificate.
            assert secured.calls[-1].header("x-dsr-originating-ip") == [address]
            assert secured.calls[-1].originating_ip == address
        for stranger in (None, partner):
            async with client(gateway.port, stranger, ca) as http:
                with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError, httpx.ConnectError)):
                    await http.get("/healthz")


async def test_certificates_and_authorities_are_replaced_without_a_restart(pki: Path, secured: Platform) -> None:
    headers = {"authorization": f"Bearer {secured.token()}"}
    async with open_gateway(config_of(pki, secured)) as gateway:
        edge = files(pki / "edge")
        async with client(gateway.port, edge, pki / "platform" / "ca.crt", **headers) as http:
            assert (await http.get(f"/v1/{PARTNER}")).status_code == 200
        # A new authority altogether: for who comes in, for what is shown, and for the service behind.
        second = Authority(pki / "second", "second")
        for name in ("access", "gateway"):
            second.issue(pki / name, f"urn:dsr:service:{name}", ["localhost"])
        new = second.issue(pki / "edge-2", EDGE)
        async with client(gateway.port, new, second.path, **headers) as http:
            assert (await http.get(f"/v1/{PARTNER}")).status_code == 200
        async with client(gateway.port, edge, second.path, **headers) as http:
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                await http.get("/healthz")
        # Half-way through a rotation what there was serves on.
        (pki / "gateway" / "tls.crt").write_text("not a certificate")
        async with client(gateway.port, new, second.path, **headers) as http:
            assert (await http.get("/healthz")).status_code == 200
    make(pki, ["acme"], ["localhost", "127.0.0.1"])


async def test_health_for_probes_is_plaintext_and_ends_with_the_notice(pki: Path, secured: Platform) -> None:
    listen = f"127.0.0.1:{free_port()}"
    config = config_of(pki, secured, health_listen=listen, drain_notice_seconds=0.5)
    said = []

    async def watch() -> None:
        async with grpc.aio.insecure_channel(listen) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            async for answer in stub.Watch(health_pb2.HealthCheckRequest(), timeout=10):
                said.append(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
                heard.set()

    heard = asyncio.Event()
    async with open_gateway(config):
        watching = asyncio.create_task(watch())
        await asyncio.wait_for(heard.wait(), 10)
    with pytest.raises(grpc.aio.AioRpcError):  # the port is closed after the notice
        await watching
    assert said == ["SERVING", "NOT_SERVING"]


@pytest.mark.policy("P9", "the client shows a certificate, and speaks TLS on loopback too when it is given one")
async def test_the_client_shows_its_certificate(pki: Path, secured: Platform) -> None:
    credential = Credential.load(secured.credential_file)
    root = (pki / "platform" / "ca.crt").read_bytes()
    pair = ((pki / "edge" / "tls.crt").read_bytes(), (pki / "edge" / "tls.key").read_bytes())
    target, request = f"localhost:{secured.port}", governance_pb2.GetPartnerRequest(name=PARTNER)

    async def ask(**how: Any) -> Any:
        async with connect(target, credential=credential, actor="clerk-7", **how) as platform:
            return await platform.governance.GetPartner(request, timeout=5)

    assert (await ask(root_certificates=root, certificate=pair)).name == PARTNER
    for how in ({"root_certificates": root}, {}):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(**how)
        assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
